"""TIFF directories: what TIFF files and EXIF blocks are made of."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from detic_crop.images.source import Readable

__all__ = ["Directory", "Entry", "read_directory"]

_TYPE_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
    129: 1,
}
_INTEGER_CODES = {1: "B", 3: "H", 4: "L", 16: "Q"}
_MOST_NUMBERS = 1 << 22
_NUMBER_CODES = _INTEGER_CODES | {6: "b", 8: "h", 9: "l", 11: "f", 12: "d", 17: "q"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One directory entry whose value lies inside the data."""

    tag: int
    type: int
    count: int
    raw: bytes  # the entry as it stands
    where: int  # first byte of the value
    size: int  # bytes of the value
    value: int | None  # the first number, of integer types


@dataclass(frozen=True, slots=True)
class Directory:
    order: str  # struct's byte order, "<" or ">"
    big: bool  # BigTIFF: 8-byte offsets
    whole: bool  # the file does not end among the entries
    entries: dict[int, Entry]

    def number(self, tag: int, default: int = 0) -> int:
        entry = self.entries.get(tag)
        return default if entry is None or entry.value is None else entry.value

    def numbers(self, tag: int, data: Readable) -> tuple[int, ...]:
        """Return all numbers of an entry of integer type; none if there is no such entry.

        Raises:
            ValueError: there are far more than any photo needs.
        """
        entry = self.entries.get(tag)
        if entry is None or entry.value is None:
            return ()
        return self._unpacked(entry, _INTEGER_CODES[entry.type], data)

    def count(self, tag: int) -> int:
        """Return how many values an entry has; 0 if there is no such entry."""
        entry = self.entries.get(tag)
        return 0 if entry is None else entry.count

    def reals(self, tag: int, data: Readable) -> tuple[float, ...]:
        """Return all numbers of an entry of integer or floating type; none if there is no such entry."""
        entry = self.entries.get(tag)
        code = None if entry is None else _NUMBER_CODES.get(entry.type)
        if entry is None or code is None:
            return ()
        return self._unpacked(entry, code, data)

    def _unpacked(self, entry: Entry, code: str, data: Readable) -> tuple[Any, ...]:
        if entry.count > _MOST_NUMBERS:  # each takes ten times as much here as in the file
            raise ValueError(f"{entry.count:,} numbers in one entry")
        values = data[entry.where : entry.where + entry.size]
        return struct.unpack(f"{self.order}{entry.count}{code}", values)

    def bytes_of(self, tag: int, data: Readable) -> bytes:
        """Return the bytes of an entry's value; empty if there is no such entry."""
        entry = self.entries.get(tag)
        return b"" if entry is None else data[entry.where : entry.where + entry.size]


def read_directory(data: Readable, at: int | None = None) -> Directory:
    """Return a directory of a TIFF structure, without entries that point outside the data.

    Args:
        data: the structure.
        at: where the directory begins; None for the first one.

    Raises:
        struct.error: the directory itself is not inside the data.
        ValueError: not a TIFF structure.
    """
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None:
        raise ValueError("no byte order mark")
    big = struct.unpack(order + "H", data[2:4])[0] == 43
    offset_code, entry_code, inline, step = ("Q", "HHQ", 8, 20) if big else ("L", "HHL", 4, 12)
    (start,) = (
        (at,) if at is not None else struct.unpack(order + offset_code, data[8:16] if big else data[4:8])
    )
    if start + 2 > len(data):
        raise struct.error("directory outside the file")
    first = start + (8 if big else 2)
    (count,) = struct.unpack(order + ("Q" if big else "H"), data[start:first])
    if count > 65535:
        raise ValueError("too many directory entries")
    entries: dict[int, Entry] = {}
    within = min(count, (len(data) - first) // step)
    table = data[first : first + within * step]
    for row in range(0, within * step, step):
        at = first + row
        tag, kind, n = struct.unpack_from(order + entry_code, table, row)
        size = _TYPE_SIZES.get(kind, 0) * n
        where = at + step - inline
        if size > inline:
            (where,) = struct.unpack_from(order + offset_code, table, row + step - inline)
        if not 0 < size <= len(data) - where or tag in entries:
            continue
        code = _INTEGER_CODES.get(kind)
        value = None
        if code is not None:
            (value,) = struct.unpack(order + code, data[where : where + _TYPE_SIZES[kind]])
        entries[tag] = Entry(tag, kind, n, table[row : row + step], where, size, value)
    return Directory(order, big, within == count, entries)
