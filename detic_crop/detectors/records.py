"""weights.json: the hash each file had when it was first seen, so that a later change is noticed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock
import msgspec

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of a file.

    Attributes:
        sha256: hash of its content when it was first seen.
        size: bytes, then.
        mtime_ns: its modification time then; with `size` it tells cheaply whether the file was touched.
        origin: the address it came from, or how else it got there.
        since: the day it was first seen.
    """

    sha256: str
    size: int
    mtime_ns: int
    origin: str
    since: str


class Records:
    """The records of one folder. Reading never fails; writing is best effort (the folder may be read-only).

    Attributes:
        path: the JSON file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "weights.json"

    def get(self, name: str) -> Record | None:
        """Return what is remembered of the file of that name."""
        return self._read().get(name)

    def remember(self, path: Path, sha256: str, origin: str) -> None:
        """Keep the hash of a file; one that is known keeps its day and origin."""
        stat = path.stat()
        before = self.get(path.name)
        if before and before.sha256 == sha256:
            origin, since = before.origin, before.since
        else:
            since = time.strftime("%Y-%m-%d")
        self._change({path.name: Record(sha256, stat.st_size, stat.st_mtime_ns, origin, since)})

    def forget(self, *names: str) -> None:
        """Accept whatever comes under these names next."""
        if any(name in self._read() for name in names):
            self._change(dict.fromkeys(names))

    def untouched(self, path: Path) -> bool:
        """Return whether the file has the size and the time it had when it was hashed."""
        record, stat = self.get(path.name), path.stat()
        return record is not None and (record.size, record.mtime_ns) == (stat.st_size, stat.st_mtime_ns)

    def _read(self) -> dict[str, Record]:
        try:
            values = msgspec.json.decode(self.path.read_bytes(), type=dict[str, dict[str, Record]])
            return values["files"]
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError, KeyError, RecursionError) as error:
            _log.warning("cannot read %s (%s); hashes are recorded again", self.path, error)
            return {}

    def _change(self, changes: dict[str, Record | None]) -> None:
        with contextlib.suppress(OSError), locked(self.path):
            files = self._read() | changes
            text = json.dumps({"files": {k: asdict(v) for k, v in sorted(files.items()) if v}}, indent=1)
            temporary = self.path.with_name(self.path.name + ".tmp")
            temporary.write_text(text + "\n", encoding="utf-8")
            os.replace(temporary, self.path)


@contextlib.contextmanager
def locked(path: Path, waiting: str = "") -> Iterator[None]:
    """Lock a file against all other processes.

    Args:
        path: the file; the lock itself is another one, in the folder `.locks` next to it.
        waiting: said once when another process is at it.

    Raises:
        OSError: the folder cannot be written.
    """
    path.parent.joinpath(".locks").mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path.parent / ".locks" / f"{path.name}.lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        if waiting:
            _log.info(waiting)
        lock.acquire()
    except NotImplementedError:  # a disk without locks: on trust, everything is checked before it counts
        yield
        return
    try:
        yield
    finally:
        lock.release()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
