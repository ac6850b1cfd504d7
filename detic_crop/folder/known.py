"""What is known of each photo, by key: of few in memory, of many in a file that is read when it is asked."""

from __future__ import annotations

from abc import abstractmethod
from array import array
from bisect import bisect_left
from collections.abc import Callable, ItemsView, Iterator, Mapping, Sequence, ValuesView
from functools import partial
from io import FileIO
from itertools import groupby
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from detic_crop.folder.records import OfCrops, Span
from detic_crop.folder.reread import Reread, changed_meanwhile
from detic_crop.folder.typed_json import decode, decode_lines

Integers = NDArray[np.int64]


class OfPhoto(OfCrops, Protocol):
    """What is said of one photo."""

    @property
    def image(self) -> str:
        """Key of the photo."""
        ...

    @property
    def candidates(self) -> Span | None:
        """Offset and length of its boxes in `candidates.jsonl`."""
        ...


T = TypeVar("T", bound=OfPhoto)
T_co = TypeVar("T_co", bound=OfPhoto, covariant=True)
V = TypeVar("V")


class Known(Mapping[str, T_co]):
    """Key → what is known of a photo, in the order in which photos came first."""

    @abstractmethod
    def spans(self) -> Integers:
        """Return offset and length of the boxes of the photos that have some: (N, 2) int64, in any order."""


class InMemory(Known[T_co]):
    """What is known of few photos.

    Args:
        known: key → that; changes of it show.
    """

    def __init__(self, known: Mapping[str, T_co]) -> None:
        self._known = known

    def __getitem__(self, key: str) -> T_co:
        return self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def spans(self) -> Integers:
        return _spans_of(self)


class Both(Known[T_co]):
    """What two mappings know together, as ``earlier | later`` has it; nothing is copied.

    Args:
        earlier: what is known of some photos.
        later: what counts for its photos; changes of it show.
    """

    def __init__(self, earlier: Mapping[str, T_co], later: Mapping[str, T_co]) -> None:
        self._earlier = earlier
        self._later = later

    def __getitem__(self, key: str) -> T_co:
        found = self._later.get(key)
        return self._earlier[key] if found is None else found

    def __contains__(self, key: object) -> bool:
        return key in self._later or key in self._earlier

    def __iter__(self) -> Iterator[str]:
        yield from self._earlier
        yield from (key for key in self._later if key not in self._earlier)

    def __len__(self) -> int:
        return len(self._earlier) + sum(key not in self._earlier for key in self._later)

    def items(self) -> ItemsView[str, T_co]:
        return _Items(self, self._read)

    def values(self) -> ValuesView[T_co]:
        return _Values(self, self._read)

    def _read(self) -> Iterator[T_co]:
        for key, value in self._earlier.items():
            found = self._later.get(key)
            yield value if found is None else found
        yield from (value for key, value in self._later.items() if key not in self._earlier)

    def spans(self) -> Integers:
        return _spans_of(self)


def both(earlier: Known[T], later: Known[T]) -> Known[T]:
    """Return what two mappings know together; see `Both`."""
    if not earlier or not later:
        return later or earlier
    return Both(earlier, later)


class InFile(Known[T_co]):
    """What the lines of a file say of photos: 44 bytes for each are kept, and a line is read when asked for.

    A file that only grows is read as it was, and so is one that was removed.

    Args:
        lines: where the lines are.
        decoder: makes of a line what is known of its photo.
    """

    def __init__(self, lines: PhotoLines, decoder: msgspec.json.Decoder[T_co]) -> None:
        self._lines = lines
        self._decoder = decoder
        # Photos are asked for in the order in which they were done, nearly always.
        self._next = 0
        self._ahead: tuple[int, Sequence[T_co]] = 0, ()

    def __getitem__(self, key: str) -> T_co:
        expected, (begun, ahead) = self._next, self._ahead
        if 0 <= expected - begun < len(ahead) and (value := ahead[expected - begun]).image == key:
            self._next = expected + 1
            return value
        for row in self._lines.rows_like(key):
            if (value := self._lines.read(row, self._decoder)).image == key:
                if row == expected > 0:
                    self._ahead = row, self._lines.read_some(row, self._decoder)
                self._next = row + 1
                return value
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        lines = self._lines
        return isinstance(key, str) and any(lines.image(row) == key for row in lines.rows_like(key))

    def __iter__(self) -> Iterator[str]:
        return (named.image for named in self._lines.read_all(_named))

    def __len__(self) -> int:
        return len(self._lines)

    def items(self) -> ItemsView[str, T_co]:
        return _Items(self, partial(self._lines.read_all, self._decoder))

    def values(self) -> ValuesView[T_co]:
        return _Values(self, partial(self._lines.read_all, self._decoder))

    def spans(self) -> Integers:
        return self._lines.spans


class _Items(ItemsView[str, T], Generic[T]):
    def __init__(self, mapping: Mapping[str, T], read: Callable[[], Iterator[T]]) -> None:
        super().__init__(mapping)
        self._read = read

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return ((value.image, value) for value in self._read())


class _Values(ValuesView[T], Generic[T]):
    def __init__(self, mapping: Mapping[str, T], read: Callable[[], Iterator[T]]) -> None:
        super().__init__(mapping)
        self._read = read

    def __iter__(self) -> Iterator[T]:
        return self._read()


def _spans_of(known: Mapping[str, OfPhoto]) -> Integers:
    spans = [value.candidates for value in known.values() if value.candidates]
    return np.array(spans, np.int64).reshape(-1, 2)


# ---------------------------------------------------------------- lines of a file

_NEWLINE = 10
_COLUMNS = 5  # hash of the key, offset and length of the line, offset and length of the boxes
_NOWHERE = -1, -1  # where there are no boxes
_TOGETHER = 256  # lines that are read together


class _Named(msgspec.Struct, frozen=True, gc=False):
    """The key in a line about a photo."""

    image: str


_named = msgspec.json.Decoder(_Named)


class LinesSeen:
    """Collects where lines about photos are, while a file is read once."""

    def __init__(self) -> None:
        self._found: list[Integers] = []

    def add(self, block: bytes, offset: int, said: Sequence[OfPhoto | None]) -> None:
        """Note lines.

        Args:
            block: the lines with their ends.
            offset: of the block in the file, in bytes.
            said: what each line says of a photo; None if it says nothing.
        """
        wanted = np.array([of_photo is not None for of_photo in said], bool)
        photos = [of_photo for of_photo in said if of_photo is not None]
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _NEWLINE)
        starts = np.append(0, ends[:-1] + 1)
        found = np.empty((_COLUMNS, len(photos)), np.int64)
        found[0] = [hash(photo.image) for photo in photos]
        found[1] = starts[wanted] + offset
        found[2] = (ends - starts)[wanted]
        found[3:] = np.array([photo.candidates or _NOWHERE for photo in photos], np.int64).reshape(-1, 2).T
        self._found.append(found)

    def last_of_each(self, file: FileIO, path: Path) -> PhotoLines:
        """Return the last line of each photo; the file is closed when they are no longer needed."""
        found = np.concatenate([np.empty((_COLUMNS, 0), np.int64), *self._found], axis=1)
        self._found.clear()
        lines = Reread(file, path)

        def image_of(line: int) -> str:
            return _said_at(lines, int(found[1, line]), int(found[2, line]), _named).image

        last = _last_of_each(found[0], image_of)
        return PhotoLines(lines, found if last is None else found[:, last])


class PhotoLines:
    """Lines about photos, one for each, in rows.

    Args:
        file: the file.
        found: (5, N) int64, the `_COLUMNS` of N rows; they change places.
    """

    def __init__(self, file: Reread, found: Integers) -> None:
        self._file = file
        order = np.argsort(found[0], kind="stable")
        found[0] = found[0][order]
        self._hashes = found[0].data
        self._rows = order.astype(np.int32 if len(order) < 2**31 else np.int64).data
        self._offsets, self._lengths = found[1].data, found[2].data
        self._found = found

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def spans(self) -> Integers:
        """Offset and length of the boxes of the photos that have some: (N, 2) int64."""
        spans = self._found[3:]
        return spans[:, spans[0] >= 0].T

    def rows_like(self, key: str) -> Iterator[int]:
        """Yield the rows whose key may be that one: its own, and hardly ever another."""
        wanted = hash(key)
        place = bisect_left(self._hashes, wanted)
        while place < len(self._hashes) and self._hashes[place] == wanted:
            yield self._rows[place]
            place += 1

    def image(self, row: int) -> str:
        """Return the key in a row."""
        return self.read(row, _named).image

    def read(self, row: int, decoder: msgspec.json.Decoder[V]) -> V:
        """Return what a row says.

        Raises:
            OutputError: the file is not what it was.
        """
        return _said_at(self._file, self._offsets[row], self._lengths[row], decoder)

    def read_some(self, row: int, decoder: msgspec.json.Decoder[V]) -> list[V]:
        """Return what some rows say, from one on; see `read`."""
        starts, lengths = self._found[1:3, row : row + _TOGETHER]
        ends = starts + lengths + 1
        if (starts[1:] == ends[:-1]).all():  # nearly always
            text = self._file.bytes_at(int(starts[0]), int(ends[-1] - starts[0]))
            if (values := decode_lines(text, decoder, len(starts))) is not None:
                return values
        return [self.read(number, decoder) for number in range(row, row + len(starts))]

    def read_all(self, decoder: msgspec.json.Decoder[V]) -> Iterator[V]:
        """Yield what each row says, in their order; see `read`."""
        for row in range(0, len(self), _TOGETHER):
            yield from self.read_some(row, decoder)


def _said_at(file: Reread, offset: int, length: int, decoder: msgspec.json.Decoder[V]) -> V:
    """Return what a line says; see `PhotoLines.read`."""
    try:
        return decode(file.bytes_at(offset, length), decoder)
    except ValueError as error:
        raise changed_meanwhile(file.path) from error


def _last_of_each(hashes: Integers, image_of: Callable[[int], str]) -> Integers | None:
    """Return the last line of each photo, in the order of the first ones: (N,) int64; None if all are such.

    Args:
        hashes: (M,) hash of the key in each line.
        image_of: tells the key in a line; asked only where two hashes are equal.
    """
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    is_like_next = ordered[1:] == ordered[:-1]
    if not is_like_next.any():
        return None
    is_alike = np.append(is_like_next, False) | np.append(False, is_like_next)
    first, last = array("q"), array("q")
    for _, lines in groupby(order[is_alike].tolist(), lambda line: hashes[line]):
        last_of: dict[str, tuple[int, int]] = {}
        for line in lines:
            image = image_of(line)
            last_of[image] = last_of.get(image, (line,))[0], line
        for begun, ended in last_of.values():
            first.append(begun)
            last.append(ended)
    once = order[~is_alike]
    in_order = np.argsort(np.append(once, first), kind="stable")
    return np.append(once, last)[in_order]
