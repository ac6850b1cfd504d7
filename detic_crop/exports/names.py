"""File names of an export: no two of its pictures share one, also on a disk that is blind to case."""

from __future__ import annotations

import os
import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable

from detic_crop.columns import as_numpy, rows_alike
from detic_crop.exports.picture import Picture
from detic_crop.folder.names import FILE_RULES, fold_name

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


class UniqueWords:
    """A plain word for each text, of letters, digits and a filler; no two texts share one, in any case.

    Args:
        filler: one character that stands for others; ``-2`` is added to later ones that are alike.
        instead: the word for a text of which nothing is left.
    """

    def __init__(self, filler: str, instead: str) -> None:
        self._filler, self._instead = filler, instead
        self._of: dict[str, str] = {}
        self._taken: set[str] = set()

    def __call__(self, text: str) -> str:
        """Return the word of a text."""
        found = self._of.get(text)
        if found is None:
            word = plain_words(text, self._filler).replace(".", self._filler) or self._instead
            found, number = word, 2
            while found.casefold() in self._taken:
                found, number = f"{word}-{number}", number + 1
            self._taken.add(found.casefold())
            self._of[text] = found
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
