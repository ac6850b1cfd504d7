"""One photo of an input, and which key it gets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from msgspec import Struct

from detic_crop.columns import Column, Texts, hashes_of, rows_alike
from detic_crop.config import DEFAULT_MAX_PIXELS, DEFAULT_PHOTO_TIMEOUT, Truncated
from detic_crop.images.decode import IMAGE_EXTENSIONS, PhotoFile
from detic_crop.images.file_bytes import most_bytes
from detic_crop.photos.keys import printable
from detic_crop.photos.location import Location
from detic_crop.stores.store import Asking, TimeLeft
from detic_crop.system.memory_budget import MemoryBudget


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

    def open(
        self,
        max_pixels: int,
        truncated: Truncated,
        memory: MemoryBudget | None = None,
        beside: Callable[[tuple[int, int]], int] | None = None,
        seconds: float = DEFAULT_PHOTO_TIMEOUT,
        with_exif: bool = False,
    ) -> PhotoFile:
        """Read the photo's header, then the photo; see `PhotoFile.open`.

        Args:
            max_pixels, truncated, beside, with_exif: see there.
            memory: where memory is borrowed; None if no other photo is worked on.
            seconds: time that a store or web server has for the photo.

        Raises:
            PhotoError: anything wrong with the photo, or with reading it.
            CancelledError: see there.
        """
        asking = Asking(time=TimeLeft(seconds))
        with self.location.source(self.size, most_bytes(max_pixels), asking) as source:
            return PhotoFile.open(
                source,
                memory or MemoryBudget.of_machine(),
                name=self.key,
                max_pixels=max_pixels,
                truncated=truncated,
                beside=beside,
                with_exif=with_exif,
            )


def upright_size(photo: Photo, memory: MemoryBudget) -> tuple[int, int]:
    """Return width and height of a photo, pixels; decode it only if its header does not tell.

    Args:
        photo: the photo.
        memory: where memory is borrowed meanwhile.

    Raises:
        PhotoError: it cannot be read.
    """
    file = photo.open(DEFAULT_MAX_PIXELS, "keep", memory)
    try:
        return file.resolution_wh or file.decode().resolution_wh
    finally:
        file.give_back()


def is_photo_name(name: str) -> bool:
    """Return whether a file of that name, found among others, is taken for a photo."""
    _, dot, extension = name.rpartition(".")
    return dot + extension.lower() in IMAGE_EXTENSIONS


def distinct(keys: Iterable[str]) -> Column:
    """Return the keys printable and each once; a key that two files would share is numbered.

    The first of them keeps it, the next is ``stem~2.jpg``, unless that is taken by one before it.
    """
    texts = Texts(map(printable, keys))
    alike = rows_alike(hashes_of(texts)).tolist()
    if not alike:  # nearly always
        return texts
    new: dict[int, str] = {}
    used: set[str] = set()
    last: dict[str, int] = {}  # key → the last number that was given for it: all before it are taken
    to_do, met = alike, set(alike)  # a heap, which an ascending list is
    while to_do:
        row = heappop(to_do)
        key = name = texts[row]
        if key in used:
            stem, suffix = os.path.splitext(key)
            number = last.get(key, 1)
            while True:
                number += 1
                name = f"{stem}~{number}{suffix}"
                if name in used:
                    continue
                other = texts.find(name)
                if other is None or other > row:
                    break
            last[key] = number
            if other is not None and other not in met:  # it comes later, and finds its key taken
                met.add(other)
                heappush(to_do, other)
        used.add(name)
        new[row] = name
    return Texts(new.get(row, key) for row, key in enumerate(texts))
