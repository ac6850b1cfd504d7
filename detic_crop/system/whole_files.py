"""Files of a user that have to be in memory whole, such as tables: read no further than memory allows."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

from detic_crop.system.memory import usable_bytes

_SHARE = 4
"""Such a file may have one part in this many of the memory: what is read from it takes several times that."""
_CHUNK = 1 << 20
_MOST_WITHOUT_SIZE = 1 << 30
"""Bytes of a pipe, or of anything else that does not say how long it is."""


def read_whole(path: str | Path) -> bytes:
    """Return the bytes of a file or pipe.

    A pipe or device may have no end, and a file may grow: none is read beyond what memory allows.

    Raises:
        OSError: it cannot be read, or (EFBIG, ENOMEM) is too large for the memory of this machine.
    """
    try:
        return _read(path)
    except ValueError:  # a NUL, or half of a surrogate pair
        raise OSError(errno.EINVAL, "no file can have that name", str(path)) from None


def _read(path: str | Path) -> bytes:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        most = most_whole_bytes() if size else min(most_whole_bytes(), _MOST_WITHOUT_SIZE)
        check_whole(size, most)
        try:
            data = file.read(size + 1)
            if len(data) <= size:
                return data
            buffer = io.BytesIO()
            while data:
                buffer.write(data)
                check_whole(buffer.tell(), most)
                data = file.read(_CHUNK)
            return buffer.getvalue()
        except MemoryError:
            raise OSError(errno.ENOMEM, "there is too little memory for it") from None


def most_whole_bytes() -> int:
    """Return the most bytes of such a file on this machine."""
    return usable_bytes() // _SHARE


def check_whole(size: int, most: int) -> None:
    """Refuse (OSError, EFBIG) a file of more than `most` bytes."""
    if size > most:
        raise OSError(
            errno.EFBIG,
            f"expected at most {most:,} bytes, which suits the memory of this machine, got more",
        )
