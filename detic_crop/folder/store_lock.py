"""Who writes to a folder in a store: an object that its writer renews. A store has no locks, so this is a
courtesy; what makes a second writer harmless is that a journal's segment is never replaced."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from detic_crop.errors import OutputError
from detic_crop.stores.store import Store

_log = logging.getLogger(__name__)

RENEWED_EACH = 45.0  # seconds
STALE_AFTER = 180.0  # seconds without renewal after which nobody is at work

_held_here: set[str] = set()  # tokens of this process


class StoreLock:
    """The lock of one folder, or shard.

    Args:
        store: where.
        address: of the lock's object.
        in_use: owner → the sentence that refuses.
    """

    def __init__(self, store: Store, address: str, in_use: Callable[[dict[str, Any]], str]) -> None:
        self._store, self._address, self._in_use = store, address, in_use
        self._token = uuid.uuid4().hex
        self._since = time.strftime("%Y-%m-%d %H:%M:%S")
        self._ended = threading.Event()
        self._taken_by: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._keep, name="detic-crop-lock", daemon=True)

    def take(self) -> None:
        """Begin to hold it; one that nobody renews is taken over.

        Raises:
            OutputError: another run holds it; names the process.
            OSError: the store cannot be written.
        """
        before = _read(self._store, self._address)
        if before is not None and is_alive(before):
            raise OutputError(self._in_use(before))
        if before is None:
            try:
                self._store.create(self._address, self._owner())
            except FileExistsError as error:
                raise OutputError(self._in_use(_read(self._store, self._address) or {})) from error
        else:
            _log.info(
                "the run of process %s on %s, since %s, was cut off; going on from what it left",
                *(before.get(name, "?") for name in ("pid", "host", "since")),
            )
            self._store.write(self._address, self._owner())
        _held_here.add(self._token)
        self._thread.start()

    def check(self, ask: bool = False) -> None:
        """Make sure that it is still held.

        Args:
            ask: look at it now; else what the last look said.

        Raises:
            OutputError: another run has taken it over, since it was not renewed for long.
            OSError: the store cannot be read.
        """
        if ask and not self._is_ours():
            self._taken_by = _read(self._store, self._address) or {}
        if self._taken_by is not None:
            raise OutputError(f"{self._in_use(self._taken_by)}; what was finished is kept")

    def release(self) -> None:
        """Hold it no more; that its object could not be removed is no matter, as it grows stale."""
        self._store = replace(self._store, tries=3)  # one that is gone was waited for already
        _held_here.discard(self._token)
        if self._thread.is_alive():
            self._ended.set()
            self._thread.join()
            with contextlib.suppress(OSError):
                if self._is_ours():
                    self._store.remove([self._address])

    def _keep(self) -> None:
        while not self._ended.wait(RENEWED_EACH):
            with contextlib.suppress(OSError):  # the next time, or the next upload says so
                if not self._is_ours():
                    self._taken_by = _read(self._store, self._address) or {}
                    return
                self._store.write(self._address, self._owner())

    def _is_ours(self) -> bool:
        return (_read(self._store, self._address) or {}).get("token") == self._token

    def _owner(self) -> bytes:
        owner = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "processes": _process_space(),
            "since": self._since,
            "renewed": time.time(),
            "token": self._token,
        }
        return json.dumps(owner, indent=2).encode() + b"\n"


def refuse_held(store: Store, address: str, in_use: Callable[[dict[str, Any]], str]) -> None:
    """Refuse to begin beside a run that holds a lock.

    Raises:
        OutputError: it does; names the process.
    """
    owner = _read(store, address)
    if owner is not None and is_alive(owner):
        raise OutputError(in_use(owner))


def is_alive(owner: dict[str, Any]) -> bool:
    """Whether the process that a lock's object names is, as far as can be told, still at work."""
    if owner.get("token") in _held_here:
        return True
    here = socket.gethostname(), _process_space()
    if (owner.get("host"), owner.get("processes")) == here and not _lives(owner.get("pid")):
        return False
    renewed = owner.get("renewed")
    return isinstance(renewed, int | float) and abs(time.time() - renewed) < STALE_AFTER


def _read(store: Store, address: str) -> dict[str, Any] | None:
    try:
        value = json.loads(store.read(address))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _process_space() -> str:
    """Containers may share a host's name and not its processes."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _lives(pid: Any) -> bool:
    if not isinstance(pid, int) or os.name == "nt":  # there, to ask would be to kill
        return True
    if pid == os.getpid():  # with a token that is not ours: of an earlier process
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
