"""The bytes of a photo in a file of this machine, and what keeps them from being read."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from detic_crop.errors import PhotoError, one_line

# Most bytes of a pixel in a file (four 32-bit samples), and of metadata.
_MAX_BYTES_PER_PIXEL = 16
_METADATA_BYTES = 256 << 20

_READ_FLAGS = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
)


def most_bytes(max_pixels: int) -> int:
    """Return the most bytes that a photo of that number of pixels can take."""
    return max_pixels * _MAX_BYTES_PER_PIXEL + _METADATA_BYTES


def read_file(path: str | Path, max_bytes: int, offset: int = 0, size: int | None = None) -> bytes:
    """Return a whole file, or `size` bytes of it from `offset` on; never block on a pipe or device.

    Raises:
        PhotoError: it cannot be read, or is larger than `max_bytes`.
    """
    try:
        _check_regular(os.stat(path).st_mode)
        # Non-blocking, in case a pipe has taken the file's place since.
        with open(os.open(path, _READ_FLAGS), "rb") as file:
            status = os.fstat(file.fileno())
            _check_regular(status.st_mode)
            if size is not None:
                file.seek(offset)
                # What is read is reserved beforehand, and a tar file may claim anything.
                return _what_came(file.read(min(size, max(0, status.st_size - offset))))
            if status.st_size > max_bytes:
                raise PhotoError(
                    "too_many_pixels",
                    f"expected a file of at most {max_bytes:,} bytes, got {status.st_size:,}; "
                    "raise --max-pixels if the photo is genuine",
                )
            return _what_came(file.read())
    except MemoryError as error:
        raise PhotoError(
            "out_of_memory", "expected enough memory for the file, got none; use fewer workers"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _file_error(error) from error


def _what_came(data: bytes | None) -> bytes:
    """Return what a file was read as; None came of one that keeps its reader waiting, such as /proc/kmsg."""
    if data is None:
        raise PhotoError("not_a_file", "expected a file, got one without an end; leave it out of the list")
    return data


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
        return PhotoError("out_of_memory", "expected enough memory for the file, got none; use fewer workers")
    return PhotoError(
        "unreadable", f"expected a readable file, got: {reason_of(error)}; check the disk or network"
    )


def reason_of(error: Exception) -> str:
    """Return what went wrong, without line breaks, paths or addresses."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    if isinstance(error, (LookupError, TypeError, AttributeError)):
        text = f"{type(error).__name__} {text}"
    return one_line(text, 160)
