"""The server of a page: where it listens, and how it starts and ends."""

from __future__ import annotations

import socket
import threading
import webbrowser
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from detic_crop.errors import UsageError
from detic_crop.web.connections import AT_ONCE, Connection, Server
from detic_crop.web.guard import Guard, Programs, is_local
from detic_crop.web.lan import EVERYWHERE, lan_addresses

DEFAULT_PORT = 8377
_LONGEST_HEADERS = 32_768  # bytes


def serve(
    app: ASGIApp,
    command: str,
    listener: socket.socket,
    host: str,
    open_browser: bool,
    ready: Callable[[str], object],
    programs: Programs | None = None,
) -> None:
    """Answer until Ctrl-C or SIGTERM.

    Args:
        app: application that answers.
        command: command that serves it, ``review``.
        listener: socket bound to `host`; closed at the end.
        host: address as the user gave it.
        open_browser: True to open the page in a browser.
        ready: function that is told each address, one at a time; the first is for this machine.
        programs: how programs are let in; None: none is.
    """
    server, guard = make_server(app, command, listener, host, programs)
    port = listener.getsockname()[1]
    names = ["localhost", *lan_addresses()] if host in EVERYWHERE else [host]
    addresses = [f"http://{f'[{name}]' if ':' in name else name}:{port}/?token=" for name in names]
    for address in addresses:
        ready(address + guard.token)
    if open_browser:
        # The listener is bound, so an early request waits; a browser that does not return must not stop us.
        arguments = (addresses[0] + guard.token_for_one_use(),)
        threading.Thread(target=webbrowser.open, args=arguments, daemon=True).start()
    server.run(sockets=[listener])


def make_server(
    app: ASGIApp, command: str, listener: socket.socket, host: str, programs: Programs | None = None
) -> tuple[uvicorn.Server, Guard]:
    """Return a server that is not running yet, and its guard."""
    guard = Guard(app, host, listener.getsockname()[1], command, programs)
    config = uvicorn.Config(
        guard,
        http=Connection,
        h11_max_incomplete_event_size=_LONGEST_HEADERS,
        backlog=AT_ONCE,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",  # a port scanner's requests are nothing to read in the terminal
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    return Server(config), guard


def listen(host: str, port: int | None) -> socket.socket:
    """Return a socket bound to `host`; `port` 0 is any free one, None the usual one or else any.

    Raises:
        UsageError: the address cannot be used.
    """
    for candidate in (DEFAULT_PORT, 0) if port is None else (port,):
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, candidate, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            listener = socket.socket(family, kind, protocol)
        except (OSError, UnicodeError) as error:  # UnicodeError: no name of any machine
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                "host_unusable", f"--host {host} is not an address of this machine: {why}"
            ) from error
        try:
            if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except OSError as error:
            listener.close()
            if port is None and candidate:
                continue
            raise UsageError(
                "port_unusable",
                f"--host {host} --port {candidate} cannot be used: {error.strerror}; pass --port 0",
            ) from error
        return listener
    raise AssertionError("the last candidate returns or raises")


def warning_of(host: str) -> str:
    """Return a warning if other machines can reach the page; else an empty text."""
    if is_local(host):
        return ""
    return f"--host {host}: others on the network can reach this page; the token is all that keeps them out"
