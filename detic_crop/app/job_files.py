"""What one job has on disk: its order, the log of its command, and how that began and ended.

The server writes the order, the process around the command writes the rest; each file has one writer, and is
replaced in one step. That process holds a lock as long as it lives: so a server that was killed and started
again knows which commands still run, whoever has their process numbers by now.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

_MOST_BYTES = 1 << 22  # of one of these documents


class JobFiles:
    """The files of one job.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.order = folder / "order.json"
        self.begun = folder / "begun.json"
        self.ended = folder / "ended.json"
        self.log = folder / "log.txt"
        self.earlier_log = folder / "log.1.txt"
        self.lock = folder / "lock"

    def make(self) -> None:
        """Make the folder."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def forget_attempt(self) -> None:
        """Remove what an earlier attempt left, before the next one."""
        for path in (self.begun, self.ended, self.log, self.earlier_log):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all of it."""
        for path in (*self.folder.iterdir(),):
            path.unlink(missing_ok=True)
        self.folder.rmdir()

    def is_held(self) -> bool:
        """Return whether a process holds the lock."""
        lock = filelock.FileLock(self.lock)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return True
        lock.release()
        return False

    def lines(self, most: int) -> list[str]:
        """Return the last lines of the log."""
        found: list[str] = []
        for path in (self.earlier_log, self.log):
            try:
                found += path.read_bytes().decode("utf-8", "replace").splitlines()
            except OSError:
                continue
        return found[-most:]


def write_json(path: Path, value: Any) -> None:
    """Replace a document in one step; half of one is never seen, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    data = json.dumps(value, indent=1).encode()  # ASCII: a name may have bytes that are no text
    try:
        with open(temporary, "xb", opener=_private) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """Return what a document says; None where there is none, or it is damaged."""
    try:
        with open(path, "rb") as file:
            return json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None


def job_folders(folder: Path) -> Iterator[tuple[int, JobFiles]]:
    """Yield number and files of each job in a folder, in order."""
    numbers = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())
    for number in numbers:
        yield number, JobFiles(folder / str(number))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
