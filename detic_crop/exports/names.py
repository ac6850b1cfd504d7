"""File names of an export: no two of its pictures share one, also on a disk that is blind to case."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable

from detic_crop.columns import as_numpy, rows_alike
from detic_crop.exports.picture import Picture
from detic_crop.folder.names import fold_name

NameOf = Callable[[Picture], str]


class UniqueNames:
    """A name for each picture, below the export's folder; 8 bytes are kept of each.

    Args:
        pictures: all pictures, always in the same order.
        wanted: the name that a picture has if no earlier one has it; a later one gets a number.
        numbered: name and number → another name; None puts ``-2`` before the extension.
    """

    def __init__(
        self, pictures: Iterable[Picture], wanted: NameOf, numbered: Callable[[str, int], str] | None = None
    ) -> None:
        self._wanted = wanted
        numbered = numbered or _numbered
        hashes = array("q", (hash(fold_name(wanted(picture))) for picture in pictures))
        alike = set(rows_alike(as_numpy(hashes)).tolist()) if hashes else set()
        self._others: dict[tuple[str, int | None], str] = {}
        if not alike:
            return
        taken = set(hashes)
        first: set[str] = set()
        for row, picture in enumerate(pictures):
            if row not in alike:
                continue
            name = wanted(picture)
            if fold_name(name) not in first:
                first.add(fold_name(name))
                continue
            number = 2
            while hash(fold_name(numbered(name, number))) in taken:
                number += 1
            taken.add(hash(fold_name(numbered(name, number))))
            self._others[picture.key, picture.animal] = numbered(name, number)

    def __call__(self, picture: Picture) -> str:
        """Return the name of a picture."""
        other = self._others.get((picture.key, picture.animal)) if self._others else None
        return self._wanted(picture) if other is None else other

    @property
    def changed(self) -> int:
        """How many pictures have another name than the one that was wanted."""
        return len(self._others)


def flat(name: str) -> str:
    """Return the name of a file that stands for a path: ``day1/a.jpg`` becomes ``day1__a.jpg``."""
    return name.replace("/", "__")


def with_extension_of(name: str, accepted: Iterable[str]) -> str:
    """Return a name that ends as its format does, if it is one of those accepted, else in ``.jpg`` added.

    Args:
        name: name of a picture.
        accepted: formats, as `Header.format` has them.
    """
    extension = os.path.splitext(name)[1].lower()
    known = {ending for kind in accepted for ending in EXTENSIONS[kind]}
    return name if extension in known else f"{name}.jpg"


EXTENSIONS = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "WebP": (".webp",)}


def _numbered(name: str, number: int) -> str:
    stem, extension = os.path.splitext(name)
    return f"{stem}-{number}{extension}"
