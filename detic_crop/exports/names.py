"""File names of an export: no two of its pictures share one, also on a disk that is blind to case."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from detic_crop.columns import as_numpy, rows_alike
from detic_crop.exports.picture import Picture
from detic_crop.folder.names import FILE_RULES, fold_name

NameOf = Callable[[Picture], str]


class UniqueNames:
    """A name for each picture, below the export's folder; 8 bytes are kept of each.

    Args:
        pictures: all pictures, always in the same order.
        wanted: the name that a picture has if no earlier one has it; a later one gets a number. It is made
            `fitting` first.
        numbered: name and number → another name; None puts ``-2`` before the extension.
        spare: bytes that a name leaves free for an extension that is added to it.
    """

    def __init__(
        self,
        pictures: Iterable[Picture],
        wanted: NameOf,
        numbered: Callable[[str, int], str] | None = None,
        spare: int = 0,
    ) -> None:
        self._wanted, self._spare = wanted, spare
        numbered = numbered or _numbered
        hashes = array("q", (hash(fold_name(self._first_choice(picture))) for picture in pictures))
        alike = set(rows_alike(as_numpy(hashes)).tolist()) if hashes else set()
        self._others: dict[tuple[str, int | None], str] = {}
        if not alike:
            return
        ascending = np.sort(as_numpy(hashes))
        added: set[int] = set()
        next_number: dict[str, int] = {}
        for row, picture in enumerate(pictures):
            if row not in alike:
                continue
            name = self._first_choice(picture)
            number = next_number.get(fold_name(name))
            if number is None:
                next_number[fold_name(name)] = 2
                continue
            while True:
                other = fitting(numbered(name, number), spare)
                number += 1
                taken = hash(fold_name(other))
                if taken not in added and not _has(ascending, taken):
                    break
            next_number[fold_name(name)] = number
            added.add(taken)
            self._others[picture.key, picture.animal] = other

    def _first_choice(self, picture: Picture) -> str:
        return fitting(self._wanted(picture), self._spare)

    def __call__(self, picture: Picture) -> str:
        """Return the name of a picture."""
        other = self._others.get((picture.key, picture.animal)) if self._others else None
        return self._first_choice(picture) if other is None else other

    def keeps(self, picture: Picture) -> bool:
        """Return whether a picture has the name that was wanted."""
        return (picture.key, picture.animal) not in self._others

    @property
    def changed(self) -> int:
        """How many pictures have another name than the one that was wanted."""
        return len(self._others)


def _has(ascending: NDArray[np.int64], number: int) -> bool:
    place = int(np.searchsorted(ascending, number))
    return place < len(ascending) and int(ascending[place]) == number


_LONGEST = 255  # bytes of a name on ext4, APFS and NTFS
_LONGEST_EXTENSION = len(".jpeg")
_ENDS_A_LINE = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")


def fitting(path: str, spare: int = 0) -> str:
    """Return a path that disks take, and that is one line in a list of paths.

    What ends a line becomes ``_``; a name of more than 255 bytes is cut and ends in a hash of it.

    Args:
        path: names with ``/`` between them.
        spare: bytes that the last name leaves free.
    """
    if _ENDS_A_LINE.search(path):
        path = _ENDS_A_LINE.sub("_", path)
    if len(path.encode()) + spare <= _LONGEST:  # nearly all
        return path
    *folders, file = path.split("/")
    return "/".join([*(_cut(folder, 0) for folder in folders), _cut(file, spare)])


def _cut(name: str, spare: int) -> str:
    if len(name.encode()) + spare <= _LONGEST:
        return name
    stem, extension = os.path.splitext(name)
    if len(extension.encode()) > _LONGEST_EXTENSION:
        stem, extension = name, ""
    end = f"~{hashlib.sha256(name.encode()).hexdigest()[:8]}{extension}"
    room = _LONGEST - spare - len(end.encode())
    return stem.encode()[:room].decode(errors="ignore") + end


def flat(name: str) -> str:
    """Return the name of a file that stands for a path: ``day1/a.jpg`` becomes ``day1__a.jpg``."""
    return name.replace("/", "__")


_SPELLED = str.maketrans({"ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "Ae", "đ": "d", "ł": "l", "Ł": "L"})
_LONGEST_PLAIN = 150


def plain(name: str, filler: str) -> str:
    """Return the name of a file as `plain_words` does; its extension stays.

    Args:
        name: name of a picture, with an extension; folders become a part of the name.
        filler: see `plain_words`.
    """
    stem, extension = os.path.splitext(name)
    stem = plain_words(stem, filler) or "photo"
    if FILE_RULES.file_name(stem, extension) != stem + extension:  # Windows keeps it for a device
        stem = f"photo{filler}{stem}"
    return stem + extension


def plain_words(text: str, filler: str) -> str:
    """Return a text in A–Z, a–z, 0–9 and dots; of a long one the end.

    Accents are dropped: ``März/Wal ä`` becomes ``Marz_Wal_a``.

    Args:
        text: any text.
        filler: one character that stands for each run of others.
    """
    text = unicodedata.normalize("NFKD", text.translate(_SPELLED))
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return re.sub("[^A-Za-z0-9.]+", filler, text)[-_LONGEST_PLAIN:].strip(f"{filler}.")


class FreeNames:
    """Names that are given away one by one, each once, also on a disk that is blind to case.

    Args:
        taken: names that are not given away.
    """

    def __init__(self, *taken: str) -> None:
        self._next_number = dict.fromkeys(map(fold_name, taken), 2)

    def take(self, name: str) -> str:
        """Return the name, with a number if it is taken, and note that it is."""
        number = self._next_number.get(fold_name(name))
        if number is None:
            self._next_number[fold_name(name)] = 2
            return name
        while fold_name(other := f"{name}-{number}") in self._next_number:
            number += 1
        self._next_number[fold_name(name)] = number + 1
        self._next_number[fold_name(other)] = 2
        return other


class UniqueWords:
    """A plain word for each text, of letters, digits and a filler; no two texts share one, in any case.

    Args:
        filler: one character that stands for others; ``-2`` is added to later ones that are alike.
        instead: the word for a text of which nothing is left.
    """

    def __init__(self, filler: str, instead: str) -> None:
        self._filler, self._instead = filler, instead
        self._of: dict[str, str] = {}
        self._free = FreeNames()

    def __call__(self, text: str) -> str:
        """Return the word of a text."""
        found = self._of.get(text)
        if found is None:
            word = plain_words(text, self._filler).replace(".", self._filler) or self._instead
            found = self._of[text] = self._free.take(word)
        return found


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
