"""One writer at a time: a folder, or a shard's part of it, is locked while a command writes to it.

On a disk the kernel keeps the lock, and frees that of a dead process (`FileLock`). A store has no locks: an
object that its writer renews says who is at work (`StoreLease`). That is a courtesy; what makes a second
writer harmless is that the parts of a journal are never replaced, see `mirror`.

An unsharded run and shards never work side by side. On a disk a shard begins while it holds the lock of the
whole folder, for a moment, and then keeps its own only. In a store each side takes its own lease first and
then looks at the other's, so that at least one of two sees the other.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import filelock

from detic_crop.errors import OutputError, UsageError
from detic_crop.folder.held import Held, identity
from detic_crop.folder.inside import Inside
from detic_crop.folder.layout import OWNER, SHARDS, Layout
from detic_crop.folder.patience import Patience
from detic_crop.folder.shard import Shard
from detic_crop.folder.tables import Tables
from detic_crop.folder.typed_json import decode_any
from detic_crop.folder.write_errors import as_output_error, output_errors, reading_errors
from detic_crop.folder.writer import Writer
from detic_crop.photos.keys import STATE
from detic_crop.stores.addresses import join
from detic_crop.stores.store import Store
from detic_crop.system.processes import birth, is_there, process_space

_log = logging.getLogger(__name__)

RENEWED_EACH = 45.0  # seconds
STALE_AFTER = 180.0  # seconds without renewal after which nobody is at work
_LOOK = 0.25  # seconds between looks at a lock

_tokens: set[str] = set()
"""Of the leases that this process holds."""


class FileLock:
    """A lock file of a folder on a disk.

    Args:
        layout: paths of the folder.
        inside: through which it is changed.
    """

    def __init__(self, layout: Layout, inside: Inside) -> None:
        self._layout = layout
        self._inside = inside

    @contextlib.contextmanager
    def hold(self, begin: Callable[[], None]) -> Iterator[None]:
        """Hold the folder, or the shard's part of it, for one command.

        Args:
            begin: called once it is held; of shards one at a time.

        Raises:
            OutputError: another run holds it; names the process.
        """
        layout, shard = self._layout, self._layout.shard
        if shard is None:
            with (
                self._owned(layout, self._acquired(layout)) as held,
                self._inside.guarded(held.check),
            ):
                begin()
                yield
            return
        with contextlib.ExitStack() as own:
            whole = layout.unsharded
            with self._owned(whole, self._acquired(whole, Patience()), begins=str(shard)):
                held = own.enter_context(self._owned(layout, self._acquired(layout)))
                own.enter_context(self._inside.guarded(held.check))
                begin()
            yield

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the lock for a moment, without a word of who does.

        Raises:
            OutputError: another run holds it; names the process.
        """
        lock = self._acquired(self._layout)
        try:
            yield
        finally:
            lock.release()

    def refuse_running(self, shards: Iterable[Shard]) -> None:
        """Refuse shards of which a process holds one; none can begin while this folder is locked.

        Raises:
            OutputError: names the process.
        """
        for shard in shards:
            self._acquired(self._layout.of_shard(shard)).release()

    def _acquired(self, layout: Layout, patience: Patience | None = None) -> filelock.BaseFileLock:
        """Take the lock; with patience wait while others only begin."""
        with output_errors(layout.shown):
            self._inside.mkdir(layout.own_state)
        lock = filelock.FileLock(layout.lock, thread_local=False)
        while True:
            try:
                lock.acquire(timeout=0 if patience is None else _LOOK, poll_interval=0.02)
                return lock
            except NotImplementedError as error:
                raise OutputError(
                    "no_locks", f"{layout.shown} is on a file system without locks; pass --out elsewhere"
                ) from error
            except filelock.Timeout as error:  # before OSError, which it is one of
                owner = _read_owner(layout.owner)
                if patience is None or patience.ends(owner, time.monotonic()):
                    raise _in_use(layout, owner) from error
            except OSError as error:
                raise as_output_error(error, layout.shown) from error

    @contextlib.contextmanager
    def _owned(self, layout: Layout, lock: filelock.BaseFileLock, **words: str) -> Iterator[Held]:
        """Say who holds a lock, and release it at the end; yield what tells whether it is still held."""
        writer = Writer(layout, self._inside, Tables(layout, self._inside))
        places = [(layout.root, self._inside.identity()), (layout.lock, identity(layout.lock))]
        held = Held(layout.shown, places)
        try:
            held.check()  # perhaps another folder came to this path before it was locked
            self._disown(layout)  # that of a killed run, which nobody need wait for
            # A killed run may have left files under the very names that this process will use.
            writer.clear()
            writer.write_json(layout.owner, {**_this_process(), **words})
            held = Held(layout.shown, places, layout.owner)
            yield held
        finally:
            if held.holds():
                self._disown(layout)
            lock.release()

    def _disown(self, layout: Layout) -> None:
        with contextlib.suppress(OSError, UsageError):  # a link may have come into the way
            self._inside.remove(layout.owner)


class StoreLease:
    """An object in a store that its writer renews; one that nobody renews counts as gone.

    Args:
        store: the store of the folder.
        address: address of the folder.
        layout: paths of the folder.
    """

    def __init__(self, store: Store, address: str, layout: Layout) -> None:
        self._store = store
        self._folder = address
        self._layout = layout
        self._address = self._address_of(layout)
        self._token = uuid.uuid4().hex
        self._since = _now()
        self._ended = threading.Event()
        self._taken_by: dict[str, Any] | None = None
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def hold(self, begin: Callable[[], None]) -> Iterator[None]:
        """Hold the folder, or the shard's part of it, as far as a store can tell; see `FileLock`."""
        shown = self._layout.shown
        try:
            with output_errors(shown):
                self.take()
            with reading_errors(shown):
                if self._layout.shard is None:
                    self.refuse_running(self._leased_shards())
                else:
                    self._refuse_held(self._layout.unsharded)
            begin()
            yield
        finally:
            self.release()

    def refuse_running(self, shards: Iterable[Shard]) -> None:
        """Refuse shards of which a process holds one."""
        with reading_errors(self._layout.shown):
            for shard in shards:
                self._refuse_held(self._layout.of_shard(shard))

    def take(self) -> None:
        """Begin to hold the lease; one that nobody renews is taken over.

        Raises:
            OutputError: another run holds it; names the process.
            OSError: the store cannot be written.
        """
        self._refuse_held(self._layout)
        before = self._read(self._address)
        if before is None:
            try:
                self._store.create(self._address, self._text())
            except FileExistsError as error:
                raise _leased(self._layout, self._read(self._address) or {}) from error
        else:
            _log.info(
                "the run of process %s on %s, since %s, was cut off; going on from what it left",
                *(before.get(name, "?") for name in ("pid", "host", "since")),
            )
            self._store.write(self._address, self._text())
        _tokens.add(self._token)
        self._thread = threading.Thread(target=self._renew, name="detic-crop-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that the lease was still held when it was last renewed.

        Raises:
            OutputError: another run has taken it over, since it was not renewed for long.
        """
        if self._taken_by is not None:
            error = _leased(self._layout, self._taken_by)
            raise OutputError(error.code, f"{error.message}; what was finished is kept")

    def ask(self) -> None:
        """Make sure that the lease is held now; see `check`.

        Raises:
            OSError: the store cannot be read.
        """
        if self._thread is not None and not self._is_ours():
            self._taken_by = self._read(self._address) or {}
        self.check()

    def release(self) -> None:
        """Hold the lease no longer; one whose object cannot be removed expires."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        _tokens.discard(self._token)
        self._ended.set()
        thread.join()
        self._store = replace(self._store, tries=3)  # one that is gone was waited for already
        with contextlib.suppress(OSError):
            if self._is_ours():
                self._store.remove([self._address])

    def _renew(self) -> None:
        while not self._ended.wait(RENEWED_EACH):
            with contextlib.suppress(OSError):  # the next time, or the next upload says so
                if not self._is_ours():
                    self._taken_by = self._read(self._address) or {}
                    return
                self._store.write(self._address, self._text())

    def _is_ours(self) -> bool:
        return (self._read(self._address) or {}).get("token") == self._token

    def _text(self) -> bytes:
        owner = {
            **_this_process(),
            "since": self._since,
            "renewed": time.time(),
            "token": self._token,
        }
        return json.dumps(owner, indent=2).encode() + b"\n"

    def _leased_shards(self) -> list[Shard]:
        """Return the shards whose leases are in the store."""
        names = self._store.list(join(self._folder, f"{STATE}/{SHARDS}"))
        folders = (name.removesuffix(f"/{OWNER}") for name in names if name.endswith(f"/{OWNER}"))
        return sorted(filter(None, map(Shard.of_folder, folders)))

    def _refuse_held(self, layout: Layout) -> None:
        owner = self._read(self._address_of(layout))
        if owner is not None and is_alive(owner):
            raise _leased(layout, owner)

    def _address_of(self, layout: Layout) -> str:
        return join(self._folder, layout.name_of(layout.owner))

    def _read(self, address: str) -> dict[str, Any] | None:
        """Return the content of a lease; None if there is no lease, empty if it is damaged."""
        try:
            value = decode_any(self._store.read(address))
        except FileNotFoundError:
            return None
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


Lock: TypeAlias = FileLock | StoreLease


def is_alive(owner: Mapping[str, Any]) -> bool:
    """Return whether the process that a lease names is, as far as can be told, still at work."""
    if owner.get("token") in _tokens:
        return True
    here = socket.gethostname(), process_space()
    if (owner.get("host"), owner.get("processes")) == here and not _lives(owner.get("pid")):
        return False
    renewed = owner.get("renewed")
    return isinstance(renewed, int | float) and abs(time.time() - renewed) < STALE_AFTER


def _lives(pid: Any) -> bool:
    # With a token that is not ours, this process's own number is of an earlier one.
    return is_there(pid) and (os.name == "nt" or pid != os.getpid())


def _this_process() -> dict[str, Any]:
    here = {"host": socket.gethostname(), "processes": process_space()}
    return {"pid": os.getpid(), **here, "birth": birth(os.getpid()), "since": _now()}


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")


def _read_owner(path: Path) -> dict[str, Any]:
    """Return who holds a lock; empty if that is not known."""
    try:
        value = decode_any(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _in_use(layout: Layout, owner: Mapping[str, Any], hint: str = "") -> OutputError:
    pid, host, since = (owner.get(name, "?") for name in ("pid", "host", "since"))
    who = f"process {pid} on {host}, since {since}"
    if layout.shard is not None:
        return OutputError(
            "in_use",
            f"shard {layout.shard} of {layout.shown} is at work ({who}); wait for it, stop it, "
            f"or pass another --out{hint}",
        )
    return OutputError(
        "in_use",
        f"another run is writing to {layout.shown} ({who}); wait for it, stop it, or pass another --out"
        f"{hint}",
    )


def _leased(layout: Layout, owner: Mapping[str, Any]) -> OutputError:
    stale = round(STALE_AFTER / 60)
    return _in_use(layout, owner, f"; one that was killed counts as gone {stale} minutes after")
