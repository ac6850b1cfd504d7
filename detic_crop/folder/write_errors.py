"""What an error of the disk or the store means for a run: one clear sentence, and whether to go on."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from detic_crop.errors import OutputError, is_disk_full
from detic_crop.stores.addresses import is_address

# The disk or the folder is at fault, not the photo: going on would fail every photo after this one.
_FATAL_NAMES = ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "EMFILE", "ENFILE", "ESTALE", "ENODEV"]
_FATAL = {getattr(errno, name) for name in _FATAL_NAMES if hasattr(errno, name)}


def is_fatal(error: OSError) -> bool:
    """Return whether an error met while writing a crop would meet every later photo too."""
    return error.errno in _FATAL


_WRITING = "while writing"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Let an error of writing say so, and name the file where it names none; see `told_once`."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        if not _of_writing(error):
            error.add_note(_WRITING)
        raise


def _of_writing(error: OSError) -> bool:
    return _WRITING in getattr(error, "__notes__", ())


@contextlib.contextmanager
def output_errors(shown: str) -> Iterator[None]:
    """Turn an error of the disk, the folder or the store into one clear line that ends the run.

    Args:
        shown: name of the folder in messages.
    """
    try:
        yield
    except OSError as error:
        raise as_output_error(error, shown) from error


def as_output_error(error: OSError, shown: str) -> OutputError:
    """Return the sentence for an error met while writing to a folder, called `shown`."""
    stored = is_address(shown)
    if is_disk_full(error):
        disk = f"the disk of temporary files ({tempfile.gettempdir()})" if stored else f"the disk of {shown}"
        return OutputError(
            "disk_full",
            f"{disk} is full; what was finished is kept: "
            f"free some space{' or set TMPDIR' if stored else ''} and run the same command again",
        )
    given = error.filename2 or error.filename or shown
    where = os.fsdecode(given) if isinstance(given, str | bytes) else given
    hint = "" if is_address(str(where)) else " (is the file open in another program?)"
    return OutputError(
        "cannot_write",
        f"cannot write {where}: {error.strerror or error}; what was finished is kept: "
        f"correct that{hint} and run the same command again",
    )


def as_reading_error(error: OSError, shown: str) -> OutputError:
    """Return the sentence for a store that does not answer in the middle of a command."""
    return OutputError(
        "cannot_read_output",
        f"{shown} cannot be read: {error.strerror}; what was finished is kept: run the same command again",
    )


@contextlib.contextmanager
def reading_errors(shown: str) -> Iterator[None]:
    """Turn an error of reading the store into one clear line that ends the run."""
    try:
        yield
    except OSError as error:
        raise as_reading_error(error, shown) from error
