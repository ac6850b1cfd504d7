"""What an error of the disk or the store means for a command: one clear sentence, and whether to go on.

Whatever a command does with its folder is done within `folder_errors`. What changes the folder says so where
it does that (`writing`); any other error is one of reading.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from detic_crop.errors import DeticCropError, OutputError, UsageError, is_disk_full
from detic_crop.stores.addresses import is_address

# The disk or the folder is at fault, not the photo: going on would fail every photo after this one.
_FATAL_NAMES = ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "EMFILE", "ENFILE", "ESTALE", "ENODEV"]
_FATAL = {getattr(errno, name) for name in _FATAL_NAMES if hasattr(errno, name)}


def is_fatal(error: OSError) -> bool:
    """Return whether an error met while writing a crop would meet every later photo too."""
    return error.errno in _FATAL


_WRITING = "while writing"
_KEPT = "what was finished is kept"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Let an error of writing say so, and name the file where it names none."""
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
def folder_errors(shown: str) -> Iterator[None]:
    """Turn an error of the folder into one clear line, which tells reading and writing apart.

    Args:
        shown: name of the folder in messages.

    Raises:
        OutputError: something in it cannot be read or written.
        UsageError: its path is too long or that of a file, or relative to a folder that is gone.
    """
    try:
        yield
    except OSError as error:
        raise as_folder_error(error, shown) from error


def as_folder_error(error: OSError, shown: str) -> DeticCropError:
    """Return the sentence for an error met in a folder called `shown`."""
    if error.errno == errno.ENAMETOOLONG:
        return UsageError(
            "path_too_long",
            f"{_place(error, shown)[:100]}… is too long for the disk (a name may have 255 bytes, a path "
            "about 4,000); pass a shorter one",
        )
    if error.errno == errno.ENOENT and not _has_working_folder():
        return UsageError(
            "no_working_folder",
            f"the folder in which this command was started is gone, and {shown} is relative to it; change to "
            "a folder that is there, or pass absolute paths",
        )
    if error.errno == errno.ENOTDIR and (file := _file_in(shown)):
        if file == shown:
            said = f"{shown} is a file; pass the --out folder of a detic-crop run"
        else:
            said = f"{shown} can be no folder, for {file} is a file; pass another"
        return UsageError("out_is_file", said)
    if _of_writing(error) or is_disk_full(error):
        return as_output_error(error, shown)
    return as_reading_error(error, shown)


def _file_in(shown: str) -> str:
    """Return the part of a path that is a file where a folder is needed; empty if none is."""
    if is_address(shown):
        return ""
    parts = [shown, *map(os.fspath, Path(shown).parents)]
    return next((part for part in reversed(parts) if os.path.exists(part) and not os.path.isdir(part)), "")


def _has_working_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _place(error: OSError, shown: str) -> str:
    given = error.filename2 or error.filename or shown
    return os.fsdecode(given) if isinstance(given, str | bytes) else str(given)


@contextlib.contextmanager
def output_errors(shown: str, kept: str = _KEPT) -> Iterator[None]:
    """Turn an error of the disk, the folder or the store into one clear line that ends the run.

    Args:
        shown: name of the folder in messages.
        kept: what becomes of what was written so far.
    """
    try:
        yield
    except OSError as error:
        raise as_output_error(error, shown, kept) from error


def as_output_error(error: OSError, shown: str, kept: str = _KEPT) -> OutputError:
    """Return the sentence for an error met while writing to a folder, called `shown`; see `output_errors`."""
    stored = is_address(shown)
    if is_disk_full(error):
        disk = f"the disk of temporary files ({tempfile.gettempdir()})" if stored else f"the disk of {shown}"
        return OutputError(
            "disk_full",
            f"{disk} is full; {kept}: "
            f"free some space{' or set TMPDIR' if stored else ''} and run the same command again",
        )
    where = _place(error, shown)
    hint = "" if is_address(where) else " (is the file open in another program?)"
    return OutputError(
        "cannot_write",
        f"cannot write {where}: {error.strerror or error}; {kept}: "
        f"correct that{hint} and run the same command again",
    )


def as_reading_error(error: OSError, shown: str) -> OutputError:
    """Return the sentence for what cannot be read, or a store that does not answer, in a command."""
    if is_address(shown):
        where, hint = shown, ""
    elif error.errno in (errno.EACCES, errno.EPERM):
        where, hint = _place(error, shown), "give this user the right to read it, then "
    else:
        where, hint = _place(error, shown), "look at the disk or the network, then "
    return OutputError(
        "cannot_read_output",
        f"{where} cannot be read: {error.strerror or error}; what was finished is kept: {hint}run the same "
        "command again",
    )


@contextlib.contextmanager
def reading_errors(shown: str) -> Iterator[None]:
    """Turn an error of reading the store into one clear line that ends the run."""
    try:
        yield
    except OSError as error:
        raise as_reading_error(error, shown) from error
