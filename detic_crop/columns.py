"""Long columns of texts in little memory: the names of ten million photos, and where a name stands."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import accumulate, chain, islice, pairwise
from operator import eq
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_TOGETHER = 1024
"""Texts that are encoded or decoded together."""
_PLACED = 1 << 20
"""Hashes that are put into a table together."""


class Column(Sequence[str]):
    """A sequence of texts that can also say where a text stands.

    The texts are made when they are read. Equal to any other sequence of the same texts.
    """

    __slots__ = ("_finder",)

    def __init__(self) -> None:
        self._finder: _Finder | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle writes: all but the table of hashes, which are another process's own."""
        names = [name for kind in type(self).__mro__ for name in getattr(kind, "__slots__", ())]
        return {name: getattr(self, name) for name in names if name != "_finder"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._finder = None
        for name, value in state.items():
            setattr(self, name, value)

    @abstractmethod
    def text(self, row: int) -> str:
        """Return the text in a row, counted from 0."""

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> Column: ...
    def __getitem__(self, row: int | slice) -> str | Column:
        if isinstance(row, slice):
            return self.of(range(len(self))[row])
        return self.text(checked_row(row, len(self)))

    def of(self, rows: Sequence[int]) -> Column:
        """Return the texts in some rows, in that order."""
        return Picked(self, rows)

    def find(self, text: str) -> int | None:
        """Return the first row that has a text; None if there is none.

        The first call makes a table of 8 to 16 bytes a text; afterwards a search takes about a microsecond.
        """
        if self._finder is None:
            self._finder = _Finder(self)
        return self._finder.find(text)

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and self.find(text) is not None

    def __eq__(self, other: object) -> bool:
        return equal(self, other)

    def __repr__(self) -> str:
        return shown(self)


class Texts(Column):
    """Texts one after another in one stretch of memory.

    A text of 40 bytes takes 48: its UTF-8, and 8 for where it ends. As a `str` in a list it takes 97.

    Args:
        texts: the first texts; surrogates, as of file names that are not text, are kept.
    """

    __slots__ = ("_data", "_ends")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        super().__init__()
        self._data = bytearray()
        self._ends = array("q", [0])  # of the text before each, and of the last one
        self.extend(texts)

    def append(self, text: str) -> None:
        """Put a text at the end."""
        self._data += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._data))
        self._finder = None

    def extend(self, texts: Iterable[str]) -> None:
        """Put texts at the end."""
        texts = iter(texts)
        while several := [text.encode("utf-8", "surrogatepass") for text in islice(texts, _TOGETHER)]:
            ends = accumulate(map(len, several), initial=len(self._data))
            self._ends.extend(islice(ends, 1, None))
            self._data += b"".join(several)
        self._finder = None

    def __len__(self) -> int:
        return len(self._ends) - 1

    def text(self, row: int) -> str:
        return self._data[self._ends[row] : self._ends[row + 1]].decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), _TOGETHER):
            ends = self._ends[first : first + _TOGETHER + 1]
            data = bytes(self._data[ends[0] : ends[-1]])
            start = ends[0]
            places = [end - start for end in ends]
            if data.isascii():
                text = data.decode("ascii")
                yield from [text[a:b] for a, b in pairwise(places)]
            else:
                pieces = [data[a:b] for a, b in pairwise(places)]
                yield from [piece.decode("utf-8", "surrogatepass") for piece in pieces]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Texts):
            return self._ends == other._ends and self._data == other._data
        return equal(self, other)


def in_column(texts: Iterable[str]) -> Column:
    """Return texts as a column: themselves, if they are one."""
    return texts if isinstance(texts, Column) else Texts(texts)


class Picked(Column):
    """Some texts of another column, in an order of their own.

    Args:
        column: all of the texts.
        rows: which of them.
    """

    __slots__ = ("_column", "_rows")

    def __init__(self, column: Column, rows: Sequence[int]) -> None:
        super().__init__()
        self._column = column
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def text(self, row: int) -> str:
        return self._column.text(self._rows[row])

    def of(self, rows: Sequence[int]) -> Column:
        return Picked(self._column, picked_rows(self._rows, rows))

    def __iter__(self) -> Iterator[str]:
        if self._rows == range(len(self._column)):
            return iter(self._column)
        return map(self._column.text, self._rows)


class Optionals(Sequence["str | None"]):
    """Texts of which some are missing. Equal to any other sequence of the same.

    Args:
        texts: the texts, none of them empty; None where one is missing.
    """

    __slots__ = ("_texts",)

    def __init__(self, texts: Iterable[str | None] = ()) -> None:
        self._texts = Texts(text or "" for text in texts)

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, row: int) -> str | None: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[str | None]: ...
    def __getitem__(self, row: int | slice) -> str | Sequence[str | None] | None:
        if isinstance(row, slice):
            return [text or None for text in self._texts[row]]
        return self._texts[row] or None

    def __iter__(self) -> Iterator[str | None]:
        return (text or None for text in self._texts)

    def __eq__(self, other: object) -> bool:
        return equal(self, other)

    def __repr__(self) -> str:
        return shown(self)


class CellRows(Sequence["list[str]"]):
    """The rows of a table of texts, in the bytes of their cells and 8 more for each; made when they are read.

    Equal to any other sequence of the same rows.

    Args:
        width: cells in each row, 1 or more.
    """

    __slots__ = ("_cells", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self._cells = Texts()

    def extend(self, rows: Iterable[Sequence[str]]) -> None:
        """Put rows at the end, each of `width` cells."""
        self._cells.extend(chain.from_iterable(rows))

    def __len__(self) -> int:
        return len(self._cells) // self.width

    @overload
    def __getitem__(self, row: int) -> list[str]: ...
    @overload
    def __getitem__(self, row: slice) -> list[list[str]]: ...
    def __getitem__(self, row: int | slice) -> list[str] | list[list[str]]:
        if isinstance(row, slice):
            return [self[place] for place in range(len(self))[row]]
        first = checked_row(row, len(self)) * self.width
        return [self._cells.text(place) for place in range(first, first + self.width)]

    def __iter__(self) -> Iterator[list[str]]:
        return map(list, zip(*[iter(self._cells)] * self.width, strict=True))

    def __eq__(self, other: object) -> bool:
        return equal(self, other)

    def __repr__(self) -> str:
        return shown(self)


class TextMap(Mapping[str, str]):
    """Text → text, in two columns; what is added must be new."""

    def __init__(self) -> None:
        self._from, self._to = Texts(), Texts()

    def add(self, text: str, value: str) -> None:
        """Put in the value of a text that has none yet."""
        self._from.append(text)
        self._to.append(value)

    def __getitem__(self, text: str) -> str:
        row = self._from.find(text)
        if row is None:
            raise KeyError(text)
        return self._to[row]

    def __len__(self) -> int:
        return len(self._from)

    def __iter__(self) -> Iterator[str]:
        return iter(self._from)


class Layers(Mapping[str, T]):
    """Several mappings as one: of a text that several have, the first one's value counts.

    Args:
        layers: the mappings.
    """

    def __init__(self, *layers: Mapping[str, T]) -> None:
        self._layers = layers

    def __getitem__(self, text: str) -> T:
        for layer in self._layers:
            if (value := layer.get(text)) is not None:
                return value
        raise KeyError(text)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[str]:
        for number, layer in enumerate(self._layers):
            above = self._layers[:number]
            yield from (text for text in layer if not any(text in other for other in above))


class _Finder:
    """A table of hashes, open to all sides, with the row of the text that each belongs to.

    Args:
        texts: the texts; equal ones are found at their first place.
    """

    def __init__(self, texts: Column) -> None:
        count = len(texts)
        size = 1 << max(3, (2 * count).bit_length())
        rows = array("i" if count < 2**31 else "q", [-1]) * size
        table = np.frombuffer(rows, rows.typecode)
        hashes = iter(map(hash, texts))
        for first in range(0, count, _PLACED):
            number = min(_PLACED, count - first)
            _place(np.fromiter(islice(hashes, number), np.int64, number), first, table)
        self._texts = texts
        self._mask = size - 1
        self._table = rows

    def find(self, text: str) -> int | None:
        slot = hash(text) & self._mask
        while (row := self._table[slot]) >= 0:
            if self._texts.text(row) == text:
                return row
            slot = (slot + 1) & self._mask
        return None


def _place(hashes: NDArray[np.int64], first: int, table: NDArray[Any]) -> None:
    """Put the rows of some hashes, the first of them `first`, into a table of which half stays free."""
    mask = len(table) - 1
    slots = hashes & mask
    rows = np.arange(first, first + len(hashes))
    while len(rows):
        is_free = table[slots] < 0
        # Of those that meet the first row gets the place: numpy keeps what it writes last.
        table[slots[is_free][::-1]] = rows[is_free][::-1]
        is_out = table[slots] != rows
        rows, slots = rows[is_out], (slots[is_out] + 1) & mask


def hashes_of(items: Iterable[Hashable]) -> NDArray[np.int64]:
    """Return the hash of each item as this process makes it: (N,) int64."""
    return np.fromiter(map(hash, items), np.int64)


def numbers(values: NDArray[np.int64]) -> array[int]:
    """Return numbers as an array of Python, which is read one by one in less time."""
    found = array("q")
    found.frombytes(np.ascontiguousarray(values, np.int64).tobytes())
    return found


def as_numpy(values: array[Any]) -> NDArray[Any]:
    """Return an array of Python as one of numpy, which shares its memory: it cannot grow meanwhile."""
    return np.frombuffer(values, values.typecode) if values else np.empty(0, values.typecode)


def rows_alike(hashes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows whose hash another row has, too, ascending: (N,) int64."""
    ordered = np.sort(hashes)
    several = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.flatnonzero(np.isin(hashes, several)) if len(several) else np.empty(0, np.int64)


def ascending(texts: Column) -> Sequence[int]:
    """Return the rows in the order of their texts; equal texts keep their order.

    Only texts that come before an earlier one are sorted, so a column that is nearly sorted takes little.
    """
    kept, others = array("q"), array("q")
    last = ""
    for row, text in enumerate(texts):
        if text >= last:
            kept.append(row)
            last = text
        else:
            others.append(row)
    if not others:
        return range(len(texts))
    moved = sorted(others, key=texts.text)
    # Of equal texts the one that was kept may be the later one: then it would come first.
    return array("q", merge(kept, moved, key=lambda row: (texts.text(row), row)))


def checked_row(row: int, count: int) -> int:
    """Return a row counted from 0; a negative one is counted from the end.

    Raises:
        IndexError: there are fewer rows.
    """
    if not -count <= row < count:
        raise IndexError(f"expected a row below {count}, got {row}")
    return row % count


def picked_rows(rows: Sequence[int], wanted: Sequence[int]) -> Sequence[int]:
    """Return `rows[i]` of each i in `wanted`, in 8 bytes each; where it can be, without any."""
    if isinstance(wanted, range) and isinstance(rows, range | array):
        stop = wanted.stop if wanted.stop >= 0 else None
        return rows[wanted.start : stop : wanted.step] if len(wanted) else range(0)
    return array("q", (rows[row] for row in wanted))


def equal(ours: Sequence[T], theirs: object) -> bool:
    """Return whether a value is a sequence of the same items."""
    if not isinstance(theirs, Sequence) or isinstance(theirs, str):
        return False
    return len(ours) == len(theirs) and all(map(eq, ours, theirs))


def shown(items: Sequence[object]) -> str:
    """Return the first items of a sequence for people."""
    more = f", … {len(items) - 3:,} more" if len(items) > 3 else ""
    return f"[{', '.join(repr(items[row]) for row in range(min(3, len(items))))}{more}]"
