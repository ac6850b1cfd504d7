"""The bytes of a photo, read in parts: first as few as its header takes, then all of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol, overload

from detic_crop.errors import PhotoError

_BLOCK = 1 << 16
_BLOCKS = 8
AT_ONCE = 8 << 20
"""Bytes that are asked for at once where each question costs a round trip: most photos need only one."""


class Source(Protocol):
    """Where the bytes of one photo are read, while it is open."""

    @property
    def size(self) -> int:
        """How many bytes there are; the most that are taken where nobody says how many."""
        ...

    def part(self, start: int, size: int) -> bytes:
        """Return `size` bytes from `start` on, fewer at the end; raise PhotoError."""
        ...

    def whole(self) -> bytes:
        """Return all bytes, never more than `size`; raise PhotoError."""
        ...


class Readable(Protocol):
    """What headers are read from: bytes, or a `Window`."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, at: int, /) -> int: ...
    @overload
    def __getitem__(self, at: slice, /) -> bytes: ...

    def find(self, wanted: bytes, start: int, end: int, /) -> int: ...

    def startswith(self, wanted: bytes | tuple[bytes, ...], /) -> bool: ...


class Window:
    """A source as if it were bytes, of which a few blocks at a time are in memory.

    Args:
        source: what is looked at.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def __len__(self) -> int:
        return self._source.size

    @overload
    def __getitem__(self, at: int, /) -> int: ...
    @overload
    def __getitem__(self, at: slice, /) -> bytes: ...
    def __getitem__(self, at: int | slice, /) -> int | bytes:
        if isinstance(at, int):
            return self._block(at // _BLOCK)[at % _BLOCK]
        start, stop, _ = at.indices(len(self))
        if stop - start > _BLOCK:
            return self._source.part(start, stop - start)
        first, last = start // _BLOCK, max(start, stop - 1) // _BLOCK
        data = self._block(first) if first == last else self._block(first) + self._block(last)
        return data[start - first * _BLOCK : max(start, stop) - first * _BLOCK]

    def find(self, wanted: bytes, start: int, end: int, /) -> int:
        """Return where some bytes, no more than a block, begin between two places; -1 if nowhere."""
        while start < min(end, len(self)):
            found = self[start : min(end, start + _BLOCK)].find(wanted)
            if found >= 0:
                return start + found
            start += _BLOCK - len(wanted) + 1
        return -1

    def startswith(self, wanted: bytes | tuple[bytes, ...], /) -> bool:
        """Return whether it begins with some bytes, no more than a block."""
        return self[:_BLOCK].startswith(wanted)

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            self._blocks[number] = self._source.part(number * _BLOCK, _BLOCK)
            if len(self._blocks) > _BLOCKS:
                self._blocks.popitem(last=False)
        return self._blocks[number]


class BytesSource:
    """A source of bytes that are in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """See `Source`."""
        return len(self._data)

    def part(self, start: int, size: int) -> bytes:
        """See `Source`."""
        return self._data[start : start + size]

    def whole(self) -> bytes:
        """See `Source`."""
        return self._data


class RangeSource:
    """A source on another machine, which gives any range of it; a small photo is asked for once.

    Args:
        size: bytes.
        read: function of an offset and a number of bytes that returns them, fewer at the end.
    """

    def __init__(self, size: int, read: Callable[[int, int], bytes]) -> None:
        self.size = size
        self._read = read
        self._data: bytes | None = None

    def part(self, start: int, size: int) -> bytes:
        """See `Source`."""
        if self.size > AT_ONCE:
            return self._read(start, min(size, self.size - start))
        return self.whole()[start : start + size]

    def whole(self) -> bytes:
        """See `Source`."""
        if self._data is None:
            self._data = self._read(0, self.size)
        return self._data


def too_large(most: int, size: int | None = None) -> PhotoError:
    """Return the error for a file of more bytes than a photo of the allowed size can have."""
    got = "more" if size is None else f"{size:,}"
    return PhotoError(
        "too_many_pixels",
        f"expected a file of at most {most:,} bytes, got {got}; raise --max-pixels if the photo is genuine",
    )


def grown(listed: int) -> PhotoError:
    """Return the error for a file that has more bytes than when it was listed."""
    return PhotoError(
        "photo_changed",
        f"expected the {listed:,} bytes that it had when it was listed, got more; run the same command again "
        "when nothing writes to it any more",
    )
