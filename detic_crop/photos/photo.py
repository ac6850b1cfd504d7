"""One photo of an input, and a listing of many."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from detic_crop.images.decode import IMAGE_EXTENSIONS
from detic_crop.photos import location as places
from detic_crop.photos.keys import printable


class Photo(NamedTuple):
    """One photo of the input. A named tuple of plain text, since a run lists a hundred thousand of them.

    Attributes:
        key: its name in every table: relative path with ``/``.
        location: its place, see `places`: a path, an address, or a part of a tar file.
        size: bytes; -1 when it could not be looked at, 0 when that is not known before it is read.
        version: modification time, or of an object in a store a number that changes with its content; with
            `size` it tells a changed photo.
    """

    key: str
    location: str
    size: int = -1
    version: int = -1

    @classmethod
    def at(cls, key: str, where: str) -> Photo:
        """The photo at a place; one that cannot be looked at keeps -1, decoding will say what is wrong."""
        found = places.look(where)
        return cls(key, where) if found is None else cls(key, where, *found)

    @classmethod
    def of_file(cls, key: str, where: str) -> Photo:
        """`at` for a path, in less time."""
        try:
            status = os.stat(where)
        except (OSError, ValueError):  # ValueError: a NUL in a name from a list
            return cls(key, where)
        if not stat.S_ISREG(status.st_mode):
            return cls(key, where)
        return cls(key, where, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Listing:
    """The photos of an input, in input order.

    Attributes:
        photos: in the order of the audit's rows.
        passed_over: files in folders that are no images.
        notes: sentences for the summary: folders that could not be read, repeated list lines.
        plain: paths that are known not to be links.
    """

    photos: list[Photo]
    passed_over: int = 0
    notes: list[str] = field(default_factory=list)
    plain: set[str] = field(default_factory=set)


def is_photo_name(name: str) -> bool:
    """Whether a file of that name, found among others, is taken for a photo."""
    _, dot, extension = name.rpartition(".")
    return dot + extension.lower() in IMAGE_EXTENSIONS


def distinct(keys: Iterable[str]) -> list[str]:
    """Printable keys, each once; a key that two files would share is numbered."""
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
