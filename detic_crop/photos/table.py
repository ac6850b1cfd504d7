"""The photos of an input in columns: ten million of them in little memory, each made when it is read."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, overload

import numpy as np

from detic_crop.columns import (
    Column,
    Texts,
    checked_row,
    equal,
    hashes_of,
    numbers,
    picked_rows,
    shown,
)
from detic_crop.photos.location import FileOrObject, LocalFile, Location, StoreObject, TarMember
from detic_crop.photos.photo import Photo
from detic_crop.stores.addresses import scheme_of
from detic_crop.stores.store import map_parallel, store_of

_TOGETHER = 10_000
"""Photos that are looked at together."""
_ELSEWHERE = -1
_MOST = 2**63 - 1


class _Holder(Protocol):
    """What the locations of many photos have in common."""

    def location(self, columns: _Columns, row: int) -> Location:
        """Return where the photo of a row is."""
        ...


@dataclass(frozen=True, slots=True)
class _Above:
    """Files or objects whose path or address is some text, then the key."""

    kind: type[LocalFile | StoreObject]
    text: str

    def location(self, columns: _Columns, row: int) -> Location:
        return self.kind(self.text + columns.keys.text(row))


@dataclass(frozen=True, slots=True)
class _Tar:
    """Members of a tar file."""

    tar: FileOrObject

    def location(self, columns: _Columns, row: int) -> Location:
        offset, size, time = (column[row] for column in columns.members)
        return TarMember(offset, size, time, self.tar)


class _Columns:
    """The columns: a key, where it is, its size and version; see `Photo`.

    Attributes:
        keys: the keys.
        holders: what many locations have in common.
        held_by: of each photo the index of its holder, or `_ELSEWHERE`.
        members: of tar members offset, size and time; empty where there are none.
    """

    def __init__(self) -> None:
        self.keys = Texts()
        self.holders: list[_Holder] = []
        self.held_by = array("i")
        self.members = (array("q"), array("q"), array("q"))
        self._elsewhere: dict[int, Location] = {}
        self._sizes = array("q")  # this and the next are empty where nothing is known of any photo
        self._versions = array("q")
        self._odd: dict[int, tuple[int, int]] = {}
        self._known: dict[_Holder, int] = {}
        self._last = _Above(LocalFile, "/")
        self._last_index = self.index_of(self._last)

    def append(self, photo: Photo) -> None:
        row = len(self.held_by)
        key, location, size, version = photo.key, photo.location, photo.size, photo.version
        self.keys.append(key)
        last = self._last
        if type(location) is last.kind and location.own_path == last.text + key:  # nearly all
            self.held_by.append(self._last_index)
        else:
            self.held_by.append(self._holder_of(row, key, location))
        if not (-_MOST <= version <= _MOST and size <= _MOST):
            self._odd[row] = size, version  # a time after 2262, or what a damaged tar file says
            size = version = -1
        if len(self._sizes) == row and (row or size != -1 or version != -1):
            self._sizes.append(size)
            self._versions.append(version)
        elif size != -1 or version != -1:  # the first of which something is known
            self._sizes.extend([-1] * row)
            self._versions.extend([-1] * row)
            self._sizes.append(size)
            self._versions.append(version)

    def move(self, row: int, location: Location) -> None:
        self._elsewhere.pop(row, None)
        self.held_by[row] = self._holder_of(row, self.keys.text(row), location)

    def _holder_of(self, row: int, key: str, location: Location) -> int:
        if isinstance(location, TarMember):
            member = location.offset, location.size, location.time
            if max(member) <= _MOST:
                for column, value in zip(self.members, member, strict=True):
                    if len(column) <= row:
                        column.extend([0] * (row + 1 - len(column)))
                    column[row] = value
                return self.index_of(_Tar(location.tar))
        else:
            path = location.own_path
            if key and path.endswith(key):
                above = path[: -len(key)]
                self._last = _Above(type(location), above)
                self._last_index = self.index_of(self._last)
                return self._last_index
        self._elsewhere[row] = location
        return _ELSEWHERE

    def index_of(self, holder: _Holder) -> int:
        index = self._known.setdefault(holder, len(self.holders))
        if index == len(self.holders):
            self.holders.append(holder)
        return index

    def location(self, row: int) -> Location:
        index = self.held_by[row]
        return self._elsewhere[row] if index == _ELSEWHERE else self.holders[index].location(self, row)

    def photo(self, row: int) -> Photo:
        key = self.keys.text(row)
        index = self.held_by[row]
        holder = None if index == _ELSEWHERE else self.holders[index]
        if type(holder) is _Above:  # nearly all; the key is read once
            location: Location = holder.kind(holder.text + key)
        else:
            location = self.location(row)
        if row in self._odd:
            return Photo(key, location, *self._odd[row])
        return (
            Photo(key, location, self._sizes[row], self._versions[row])
            if self._sizes
            else Photo(key, location)
        )


class Photos(Sequence[Photo]):
    """Photos in columns: about 70 bytes for each, and each is made when it is read.

    Equal to any other sequence of the same photos.

    Args:
        photos: the first photos.
    """

    def __init__(self, photos: Iterable[Photo] = ()) -> None:
        self._columns = _Columns()
        self._rows: Sequence[int] | None = None  # None: all
        for photo in photos:
            self._columns.append(photo)

    def append(self, photo: Photo) -> None:
        """Put a photo at the end of a table that was not made by `of`."""
        assert self._rows is None
        self._columns.append(photo)

    @classmethod
    def below(cls, folder: FileOrObject, keys: Texts) -> Photos:
        """Return photos that were not looked at, each at its key below a folder; the column is taken over."""
        photos = cls()
        columns = photos._columns
        columns.keys = keys
        if len(keys):
            [location] = folder.below([keys[0]])
            above = location.own_path[: len(location.own_path) - len(keys[0])]
            holder = columns.index_of(_Above(type(location), above))
            columns.held_by = array("i", [holder]) * len(keys)
        return photos

    def move(self, row: int, location: Location) -> None:
        """Note that a photo of a table that was not made by `of` is elsewhere."""
        assert self._rows is None
        self._columns.move(row, location)

    def of(self, rows: Sequence[int]) -> Photos:
        """Return the photos in some rows, in that order; the columns are shared."""
        picked = Photos()
        picked._columns = self._columns
        picked._rows = picked_rows(range(len(self)) if self._rows is None else self._rows, rows)
        return picked

    @property
    def keys(self) -> Column:
        """The keys in order, each made when it is read."""
        keys = self._columns.keys
        return keys if self._rows is None else keys.of(self._rows)

    def location(self, row: int) -> Location:
        """Return where the photo in a row is."""
        return self._columns.location(row if self._rows is None else self._rows[row])

    def __len__(self) -> int:
        return len(self._columns.held_by) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, row: int) -> Photo: ...
    @overload
    def __getitem__(self, row: slice) -> Photos: ...
    def __getitem__(self, row: int | slice) -> Photo | Photos:
        if isinstance(row, slice):
            return self.of(range(len(self))[row])
        row = checked_row(row, len(self))
        return self._columns.photo(row if self._rows is None else self._rows[row])

    def __iter__(self) -> Iterator[Photo]:
        return map(self._columns.photo, range(len(self)) if self._rows is None else self._rows)

    def __eq__(self, other: object) -> bool:
        return equal(self, other)

    def __repr__(self) -> str:
        return shown(self)


class Locations(Mapping[str, Location]):
    """Key → location of photos in columns.

    Args:
        photos: the photos.
    """

    def __init__(self, photos: Photos) -> None:
        self._photos = photos
        self._keys = photos.keys

    def __getitem__(self, key: str) -> Location:
        row = self._keys.find(key)
        if row is None:
            raise KeyError(key)
        return self._photos.location(row)

    def __len__(self) -> int:
        return len(self._photos)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)


class Sizes(Mapping[str, int]):
    """Key → bytes of photos in columns; -1 of one that could not be looked at.

    Args:
        photos: the photos.
    """

    def __init__(self, photos: Photos) -> None:
        self._photos = photos
        self._keys = photos.keys

    def __getitem__(self, key: str) -> int:
        row = self._keys.find(key)
        if row is None:
            raise KeyError(key)
        return self._photos[row].size

    def __len__(self) -> int:
        return len(self._photos)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)


class Places:
    """Which photo is at a location: 16 bytes a photo.

    Args:
        photos: the photos.
    """

    def __init__(self, photos: Photos) -> None:
        hashes = hashes_of(locations_of(photos))
        order = np.argsort(hashes, kind="stable")
        self._photos = photos
        self._hashes, self._rows = numbers(hashes[order]), numbers(order)

    def key_at(self, location: Location) -> str | None:
        """Return the key of the last photo there; None if there is none."""
        number, found = hash(location), None
        place = bisect_left(self._hashes, number)
        while place < len(self._hashes) and self._hashes[place] == number:
            row = self._rows[place]
            if self._photos.location(row) == location:
                found = self._photos.keys[row]
            place += 1
        return found


class OwnPaths(Mapping[str, str]):
    """Key → path or address of photos in columns; empty of a member of a tar file.

    Args:
        photos: the photos.
    """

    def __init__(self, photos: Photos) -> None:
        self._locations = Locations(photos)

    def __getitem__(self, key: str) -> str:
        return self._locations[key].own_path

    def __len__(self) -> int:
        return len(self._locations)

    def __iter__(self) -> Iterator[str]:
        return iter(self._locations)


@dataclass(frozen=True, slots=True)
class Listing:
    """The photos of an input.

    Attributes:
        photos: photos in the order of the audit's rows.
        ignored: number of files in folders that are not photos.
        notes: sentences for the summary: folders that could not be read, repeated list lines.
        links: paths of photos that may be links; None if any may be one.
        warnings: sentences to be said before the first photo: these are probably not the ones that are meant.
    """

    photos: Photos
    ignored: int = 0
    notes: list[str] = field(default_factory=list)
    links: Collection[str] | None = None
    warnings: list[str] = field(default_factory=list)


def stat_all(located: Iterable[tuple[str, Location]]) -> Photos:
    """Look at the photos at some locations, each with its key; stores and tar files are asked in parallel.

    Raises:
        UsageError: no package for some address is installed; says what to install.
    """
    looked = Photos()
    located = iter(located)
    while several := list(islice(located, _TOGETHER)):
        for photo in _stat_some(several):
            looked.append(photo)
    return looked


def _stat_some(located: Sequence[tuple[str, Location]]) -> list[Photo]:
    photos = [
        Photo.at(key, location) if isinstance(location, LocalFile) else Photo(key, location)
        for key, location in located
    ]
    slow = [index for index, photo in enumerate(photos) if not isinstance(photo.location, LocalFile)]
    stored = (photos[index].location for index in slow)
    addresses = (location.address for location in stored if isinstance(location, StoreObject))
    for address in {scheme_of(address): address for address in addresses}.values():
        store_of(address)  # if its package is missing, say so once
    looked = map_parallel(lambda index: Photo.at(photos[index].key, photos[index].location), slow)
    for index, photo in zip(slow, looked, strict=True):
        photos[index] = photo
    return photos


def locations_of(photos: Photos) -> Iterator[Location]:
    """Yield where each photo is."""
    return map(photos.location, range(len(photos)))


def in_columns(photos: Iterable[Photo]) -> Photos:
    """Return photos as a table in columns: themselves, if they are one."""
    return photos if isinstance(photos, Photos) else Photos(photos)
