"""The bytes of a photo, read in parts: first as few as its header takes, then all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, overload

from detic_crop.errors import PhotoError

_BLOCK = 1 << 16
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
    """A source as if it were bytes, of which a small piece at a time is in memory.

    Places are counted from the front only.

    Args:
        source: what is looked at.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._size = source.size
        self._piece = b""
        self._first = 0  # where the piece begins
        self._end = 0

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, at: int, /) -> int: ...
    @overload
    def __getitem__(self, at: slice, /) -> bytes: ...
    def __getitem__(self, at: int | slice, /) -> int | bytes:
        if isinstance(at, int):
            return self._from(at, at + 1)[at - self._first]
        start, stop = at.start or 0, self._size if at.stop is None else at.stop
        if stop - start > _BLOCK:
            return self._source.part(start, stop - start)
        return self._from(start, stop)[start - self._first : max(start, stop) - self._first]

    def _from(self, start: int, stop: int) -> bytes:
        """Return a piece that holds this range, which is no more than a block."""
        if not self._first <= start <= stop <= self._end:
            self._piece = self._source.part(start, _BLOCK)
            self._first, self._end = start, start + len(self._piece)
        return self._piece

    def find(self, wanted: bytes, start: int, end: int, /) -> int:
        """Return where some bytes, no more than a block, begin between two places; -1 if nowhere."""
        end = min(end, self._size)
        while start + len(wanted) <= end:
            piece = self._from(start, start + len(wanted))
            found = piece.find(wanted, start - self._first, end - self._first)
            if found >= 0:
                return self._first + found
            if self._end < start + len(wanted):  # there is less than was said
                break
            start = self._end - len(wanted) + 1
        return -1

    def startswith(self, wanted: bytes | tuple[bytes, ...], /) -> bool:
        """Return whether it begins with some bytes, no more than a block."""
        return self[:_BLOCK].startswith(wanted)


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


def parts_of(source: Source) -> Iterator[bytes]:
    """Yield the bytes of a source in order, a few at a time."""
    start = 0
    while start < source.size and (part := source.part(start, min(AT_ONCE, source.size - start))):
        yield part
        start += len(part)


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
