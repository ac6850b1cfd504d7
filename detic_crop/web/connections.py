"""Connections to the page: how many there are at most, and how long one may take to ask for something.

Every user of the machine can open some. Who says nothing, or says it a byte a minute, must keep nobody else
away: one that is not being answered is closed after a while, and at once when there are too many.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import HANDLED_SIGNALS

from detic_crop.errors import one_line
from detic_crop.system.machine import most_open_files

AT_ONCE = 16
"""Connections that are accepted in a row, before any of them can be closed again."""

_MOST = 64
_PATIENCE = 10.0  # seconds in which a request with its headers must have come
_log = logging.getLogger(__name__)


class Connection(H11Protocol):
    """A connection that is closed unless it asks for something in time."""

    _begun = 0.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._begun = self.loop.time()
        if len(self.connections) > _most():
            others = (other for other in self.connections if isinstance(other, Connection))
            idle = [other for other in others if other is not self and not other.is_busy]
            min(idle, key=lambda other: other._begun, default=self).transport.abort()
        self._wait()

    @property
    def is_busy(self) -> bool:
        """Whether it is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(_PATIENCE, self._give_up)

    def _give_up(self) -> None:
        if not self.is_busy:  # else this is asked again when the answer is complete
            self.transport.abort()


class Server(uvicorn.Server):
    """A server that ends at Ctrl-C or SIGTERM, and says each trouble of its event loop once, in a line."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take signals meanwhile, and do not raise them again as uvicorn does: `leaving` counts them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        said: set[str] = set()

        def say_once(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            what = one_line(context.get("exception") or context["message"], 200)
            if what not in said and len(said) < _MOST:
                said.add(what)
                _log.error("the server of the page: %s", what)

        asyncio.get_running_loop().set_exception_handler(say_once)
        await super().startup(sockets)


def _most() -> int:
    """Return how many connections there may be: a part of the files that this process may open."""
    return int(max(4, min(_MOST, most_open_files() / 4)))
