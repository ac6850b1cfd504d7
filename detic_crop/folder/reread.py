"""Files that are read here and there for as long as a command lasts, more than may be open at once."""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from io import FileIO
from pathlib import Path

from detic_crop.errors import OutputError
from detic_crop.system.machine import most_open_files

_OTHERS = 64
"""Files that everything else in this process may have open, at most half of those that it may have."""

_lock = threading.RLock()  # a file that is no longer needed may be closed in the midst of a call
_opened: dict[int, FileIO] = {}  # by the number of the `Reread`, the one that was read last at the end
_numbers = itertools.count()


class Reread:
    """A file that only grows, read at any place. Safe from several threads.

    It stays open, so one that was removed or replaced is read as it was. Where too many others are open it is
    closed, and opened again when it is read: then it must be the same.

    Args:
        file: the file, open to be read; closed when this object is no longer needed.
        path: path of the file.
    """

    def __init__(self, file: FileIO, path: Path) -> None:
        self.path = path
        self._identity = _identity(file)
        self._number = next(_numbers)
        weakref.finalize(self, _close, self._number)
        with _lock:
            _make_room()
            _opened[self._number] = file

    def bytes_at(self, offset: int, length: int) -> bytes:
        """Return so many bytes of the file, fewer at its end.

        Raises:
            OutputError: there is another file in its place.
            OSError: it cannot be read; names the file.
        """
        with _lock:
            file = _opened.pop(self._number, None) or self._open_again()
            _opened[self._number] = file
            try:
                file.seek(offset)  # and not `os.pread`, which Windows does not have
                return file.read(length) or b""
            except OSError as error:
                error.filename = os.fspath(self.path)
                raise

    def _open_again(self) -> FileIO:
        _make_room()
        try:
            file = FileIO(self.path)
        except FileNotFoundError as error:
            raise changed_meanwhile(self.path) from error
        if _identity(file) != self._identity:
            file.close()
            raise changed_meanwhile(self.path)
        return file


def changed_meanwhile(path: Path) -> OutputError:
    """Return the error of a file that is not what it was when this command began to read it."""
    return OutputError("journal_changed", f"{path} was changed while it was read; run the same command again")


def _identity(file: FileIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def _make_room() -> None:
    """Close those that were not read for long, until one more may be open."""
    most = most_open_files()
    while len(_opened) >= max(1, most / 2, most - _OTHERS):
        _close(next(iter(_opened)))


def _close(number: int) -> None:
    with _lock:
        if (file := _opened.pop(number, None)) is not None:
            file.close()
