"""One photo of an input, and a listing of many."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec import Struct

from detic_crop.config import Truncated
from detic_crop.images.decode import IMAGE_EXTENSIONS, PhotoFile
from detic_crop.images.file_bytes import most_bytes
from detic_crop.photos.keys import printable
from detic_crop.photos.location import LocalFile, Location, StoreObject
from detic_crop.stores.addresses import scheme_of
from detic_crop.stores.store import map_parallel, store_of


class Photo(Struct, frozen=True, gc=False):
    """One photo of an input. A small struct, since a run lists millions of them.

    Attributes:
        key: name in every table: a relative path with ``/``.
        location: where its bytes are.
        size: bytes; -1 when it could not be looked at, 0 when that is not known before it is read.
        version: modification time in ns, or for an object of a store a number that changes with its content;
            together with `size` it tells whether the photo has changed.
    """

    key: str
    location: Location
    size: int = -1
    version: int = -1

    @classmethod
    def at(cls, key: str, location: Location) -> Photo:
        """Look at a photo; one that cannot be looked at keeps -1, and decoding will say what is wrong."""
        found = location.stat()
        return cls(key, location) if found is None else cls(key, location, *found)

    def is_visible(self) -> bool:
        """Return whether this process finds the photo there, in the size that it had when it was listed."""
        found = self.location.stat()
        return found is not None and found.size == self.size

    def open(self, max_pixels: int, truncated: Truncated) -> PhotoFile:
        """Read the photo and its header; see `PhotoFile`.

        Raises:
            PhotoError: anything wrong with the photo, or with reading it.
        """
        data = self.location.read(most_bytes(max_pixels))
        return PhotoFile(data, name=self.key, max_pixels=max_pixels, truncated=truncated)


@dataclass(frozen=True, slots=True)
class Listing:
    """The photos of an input.

    Attributes:
        photos: photos in the order of the audit's rows.
        ignored: number of files in folders that are not photos.
        notes: sentences for the summary: folders that could not be read, repeated list lines.
        plain: paths that are known not to be links.
    """

    photos: list[Photo]
    ignored: int = 0
    notes: list[str] = field(default_factory=list)
    plain: set[str] = field(default_factory=set)


def stat_all(located: Iterable[tuple[str, Location]]) -> list[Photo]:
    """Look at the photos at some locations, each with its key; stores and tar files are asked in parallel.

    Raises:
        UsageError: no package for some address is installed; says what to install.
    """
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


def is_photo_name(name: str) -> bool:
    """Return whether a file of that name, found among others, is taken for a photo."""
    _, dot, extension = name.rpartition(".")
    return dot + extension.lower() in IMAGE_EXTENSIONS


def distinct(keys: Iterable[str]) -> list[str]:
    """Return the keys printable and each once; a key that two files would share is numbered."""
    result: dict[str, None] = {}
    for key in map(printable, keys):
        if key not in result:
            result[key] = None
            continue
        stem, suffix = os.path.splitext(key)
        number, name = 1, key
        while name in result:
            number += 1
            name = f"{stem}~{number}{suffix}"
        result[name] = None
    return list(result)
