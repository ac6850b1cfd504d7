"""The bytes of a photo in a file of this machine, and what keeps them from being read."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from detic_crop.errors import PhotoError, one_line
from detic_crop.images.source import grown

# Most bytes of a pixel in a file (four 32-bit samples), and of metadata.
_MAX_BYTES_PER_PIXEL = 16
_METADATA_BYTES = 256 << 20

READ_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
)
"""To open a file that may be a pipe, without waiting for its writer."""


def most_bytes(max_pixels: int) -> int:
    """Return the most bytes that a photo of that number of pixels can take."""
    return max_pixels * _MAX_BYTES_PER_PIXEL + _METADATA_BYTES


@contextmanager
def open_photo(path: str | Path, listed: int = -1) -> Iterator[FileSource]:
    """Yield a photo that is a file of this machine; never block on a pipe or device.

    Args:
        path: the file.
        listed: bytes that it had when it was listed; not positive if that is unknown.

    Raises:
        PhotoError: it cannot be read, or has grown since.
    """
    with _opened(path) as (file, size):
        if 0 < listed < size:
            raise grown(listed)
        yield FileSource(file, 0, size)


@contextmanager
def open_part(path: str | Path, start: int, size: int) -> Iterator[FileSource]:
    """Yield a part of a file, fewer bytes at its end; see `open_photo`."""
    with _opened(path) as (file, there):
        yield FileSource(file, start, min(size, there - start))


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[FileIO, int]]:
    """Yield a file and how many bytes it has."""
    with _file_errors():
        _check_regular(os.stat(path).st_mode)
        # Non-blocking, in case a pipe has taken the file's place since.
        file = FileIO(os.open(path, READ_FLAGS), "r")
    with file:
        with _file_errors():
            status = os.fstat(file.fileno())
            _check_regular(status.st_mode)
        yield file, status.st_size


class FileSource:
    """A `Source` in a file that is open.

    Args:
        file: the file, unbuffered.
        start: its first byte.
        size: how many bytes it has; what is written behind them meanwhile is not read.
    """

    def __init__(self, file: FileIO, start: int, size: int) -> None:
        self.size = max(0, size)
        self._file = file
        self._start = start

    def part(self, start: int, size: int) -> bytes:
        """See `Source`."""
        with _file_errors():
            self._file.seek(self._start + start)
            left = min(size, self.size - start)
            parts = []
            while left > 0 and (data := self._file.read(left)):
                parts.append(data)
                left -= len(data)
            return parts[0] if len(parts) == 1 else b"".join(parts)

    def whole(self) -> bytes:
        """See `Source`."""
        return self.part(0, self.size)


@contextmanager
def _file_errors() -> Iterator[None]:
    """Turn what reading a file raises into `PhotoError`."""
    try:
        yield
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoError(
            "out_of_memory",
            "expected enough memory for the file, got none; pass a smaller --memory or fewer --workers",
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _file_error(error) from error


def _check_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise PhotoError("not_a_file", f"expected a file, got {kind}; leave it out of the list")


def _file_error(error: OSError | ValueError) -> PhotoError:
    """Return what the operating system says about a file, in the words of this package."""
    code = error.errno if isinstance(error, OSError) else None
    if isinstance(error, ValueError) or code in (
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    ):
        return PhotoError("missing_file", "expected a file, found none at this path; check the list and --in")
    if code in (errno.EACCES, errno.EPERM):
        return PhotoError(
            "permission_denied", "expected a readable file, got no permission; change its mode or owner"
        )
    if code in (errno.EISDIR, errno.ENXIO, errno.ENODEV):
        return PhotoError("not_a_file", "expected a file, got a folder or device; leave it out of the list")
    if code == errno.ENOMEM:
        return PhotoError(
            "out_of_memory",
            "expected enough memory for the file, got none; pass a smaller --memory or fewer --workers",
        )
    return PhotoError(
        "unreadable", f"expected a readable file, got: {reason_of(error)}; check the disk or network"
    )


def reason_of(error: Exception) -> str:
    """Return what went wrong, without line breaks, paths or addresses."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    if isinstance(error, (LookupError, TypeError, AttributeError)):
        text = f"{type(error).__name__} {text}"
    return one_line(text, 160)
