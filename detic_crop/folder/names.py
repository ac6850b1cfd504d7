"""Names of crops: no two photos share one, and none leads out of the folder."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

from detic_crop.columns import Column, hashes_of, numbers, rows_alike
from detic_crop.folder.crop_paths import LONGEST_NUMBER, without_number
from detic_crop.photos.keys import STATE

ASIDE = ".rejected"
"""Ending of the name of a crop that was set aside: readers of pictures go by the ending."""

_DEVICE_NAMES = {
    *("con", "conin$", "conout$", "prn", "aux", "nul"),
    *(f"{name}{digit}" for name in ("com", "lpt") for digit in "123456789¹²³"),
}
_DEVICE_BEGINNINGS = {name[:3] for name in _DEVICE_NAMES}  # which hardly any name has
_OURS = {
    *("audit.csv", "animals.csv", "audit.html", "audit.xlsx", "manifest.csv", "estimate.json", "datacard.md"),
    *("run.json", STATE),
}
_OUR_TAR = re.compile(r"crops-[\d-]*(of-)?[\d-]*\.tar", re.IGNORECASE)  # see `tars`
_MAX_COMPONENT_BYTES = 255  # of ext4, APFS, NTFS (there in UTF-16 units, which are fewer)
_LONGEST_ADDED = 32  # bytes of the extension, a number and what is beside a crop; not fewer
_BESIDE = len(".gone")  # longest ending of the files beside a crop on its way into a tar file
_WINDOWS_FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]')


@dataclass(frozen=True, slots=True)
class NameRules:
    """Rules for the file names of crops, beyond what disks demand.

    Attributes:
        dot: replacement of a dot before the extension.
        spare: bytes that a name leaves free for a longer name made from it.
    """

    dot: str
    spare: int

    def numbered(self) -> NameRules:
        """Return the rules for names that numbers are added to."""
        return NameRules(self.dot, self.spare + LONGEST_NUMBER)

    def file_name(self, stem: str, extension: str) -> str:
        """Return a file name that these rules and disks allow."""
        return _safe_component(stem.replace(".", self.dot), extension, self.spare)

    def allow(self, name: str) -> bool:
        """Return whether a crop may keep its path from another folder."""
        *folders, file = name.split("/")
        stem, extension = os.path.splitext(file)
        room = _MAX_COMPONENT_BYTES - self.spare
        return (
            stem == stem.replace(".", self.dot)
            and len(os.fsencode(stem + extension)) <= room
            and all(len(os.fsencode(folder)) <= _MAX_COMPONENT_BYTES for folder in folders)
        )


FILE_RULES = NameRules(".", 0)
TAR_RULES = NameRules("_", _BESIDE)  # WebDataset cuts a name at its first dot


class FixedNames:
    """Names that new ones avoid, as hashes of 8 bytes: settled ones, and those of others' files.

    Args:
        are_numbered: crops get numbers after their names, so ``a.1.jpg`` takes ``a.jpg`` from them, too.
    """

    def __init__(self, *, are_numbered: bool = False) -> None:
        self._are_numbered = are_numbered
        self._keys, self._names = array("q"), array("q")  # names folded, as all here
        self._folders: dict[str, None] = {"": None}  # as they are spelled
        self._folded: set[str] = set()
        self._ascending = np.empty(0, np.int64)  # the names

    def settle(self, key: str, name: str) -> None:
        """Note that the crop of a photo has a name, which is never changed."""
        self._keys.append(hash(key))
        self._names.append(hash(fold_name(name)))
        if name.rpartition("/")[0] not in self._folders:
            self.take_folders(name)

    def take(self, name: str) -> None:
        """Note that a name is not ours to give."""
        self._names.append(hash(fold_name(name)))
        if self._are_numbered:
            self._names.append(hash(fold_name(without_number(name))))
        self.take_folders(name)

    def take_folders(self, path: str) -> None:
        """Note that the names of all folders above a path are taken."""
        folder = path.rpartition("/")[0]
        while folder not in self._folders:
            self._folders[folder] = None
            self._folded.add(fold_name(folder))
            if self._are_numbered:
                self._folded.add(fold_name(without_number(folder)))
            folder = folder.rpartition("/")[0]

    def rows_not_settled(self, keys: Column) -> Sequence[int]:
        """Return the rows of the keys that have no settled name."""
        if not self._keys:
            return range(len(keys))
        settled = np.frombuffer(self._keys, np.int64)
        return numbers(np.flatnonzero(np.isin(hashes_of(keys), settled, invert=True)))

    def rows_taken(self, hashes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of the hashes that belong to one of these names."""
        return np.flatnonzero(np.isin(hashes, np.concatenate([self._sorted(), hashes_of(self._folded)])))

    def is_file(self, folded: str) -> bool:
        """Return whether a settled crop or a file of others has that name."""
        names, number = self._sorted(), hash(folded)
        place = int(np.searchsorted(names, number))
        return place < len(names) and int(names[place]) == number

    def __contains__(self, folded: str) -> bool:
        return folded in self._folded or self.is_file(folded)

    def _sorted(self) -> NDArray[np.int64]:
        if len(self._ascending) != len(self._names):
            self._ascending = np.sort(np.array(self._names, np.int64))
        return self._ascending


class CropNames:
    """The path of the crop of each new photo, relative to the output folder; worked out when it is asked for.

    The first of colliding names in sorted order keeps ``stem.jpg``; the others become ``stem.EXT.jpg``,
    then numbered. Two names collide when a case-blind disk would take them for one.

    A hash of each name (8 bytes) tells which photos are involved in a collision. Only their names are kept.

    Args:
        keys: all photos of the input, each once, so that every shard agrees.
        extension: extension of the crops, with its dot.
        fixed: names that stay.
        rules: rules for the file names.
    """

    def __init__(
        self, keys: Column, extension: str, fixed: FixedNames, rules: NameRules = FILE_RULES
    ) -> None:
        self._extension = extension
        self._rules = rules
        new = keys.of(fixed.rows_not_settled(keys))
        self._folders = _safe_folders(new, fixed)
        for folder in self._folders.values():
            # A crop must not be named like a folder: `a.jpg/b.jpg` beside `a.png`.
            fixed.take_folders(folder)
        self._named = self._disentangled(new, fixed)

    def __getitem__(self, key: str) -> str:
        """Return the name of the crop of one of the photos that has no settled name."""
        return self._named.get(key) or self._choice(key, 0)

    def _choice(self, key: str, number: int) -> str:
        """Return the first choice (0) of a crop's name, or a later one if that is taken."""
        folder, _, file_name = key.rpartition("/")
        stem, suffix = os.path.splitext(file_name)
        if number:
            stem += suffix
        if number > 1:
            stem += f".{number}"
        return self._folders[folder] + self._rules.file_name(stem, self._extension)

    def _disentangled(self, new: Column, fixed: FixedNames) -> dict[str, str]:
        """Return the names of the photos whose first choice something else has, or may have."""
        first = hashes_of(fold_name(self._choice(key, 0)) for key in new)
        entangled = np.union1d(rows_alike(first), fixed.rows_taken(first)).tolist()
        if not entangled:
            return {}
        owners = _Owners(new, first, entangled, lambda key: fold_name(self._choice(key, 0)))
        names: dict[str, str] = {}
        used: set[str] = set()  # by these, folded
        tried: dict[tuple[str, str], int] = {}  # of names that are alike: the choices before it are taken
        to_do = sorted((new[row], row) for row in entangled)  # a heap
        del entangled
        while to_do:
            key, _ = heappop(to_do)
            alike = self._alike(key)
            number = 0
            while True:
                name = self._choice(key, number)
                folded = fold_name(name)
                owner = None
                if folded not in used and folded not in fixed:
                    owner = owners.find(folded)
                    if owner is None or owner[0] > key:
                        break
                number = number + 1 if number else tried.get(alike, 1)
            if number:
                tried[alike] = number + 1
            used.add(folded)
            names[key] = name
            if owner is not None:  # comes later in order, and finds its first choice taken
                owners.give_up(owner)
                heappush(to_do, owner)
        return names

    def _alike(self, key: str) -> tuple[str, str]:
        """Return what two keys have in common whose later choices are the same, one by one."""
        folder, _, file_name = key.rpartition("/")
        if len(file_name.encode()) > _MAX_COMPONENT_BYTES - _LONGEST_ADDED:  # shortened by a hash of it
            return folder, file_name
        return fold_name(self._folders[folder]), fold_name(file_name.replace(".", self._rules.dot))


class _Owners:
    """Which photo has a name as its first choice, of those that are not entangled yet.

    Args:
        keys: the photos.
        first: hash of the first choice of each.
        entangled: rows of those that are.
        choice: returns the folded first choice of a key.
    """

    def __init__(
        self, keys: Column, first: NDArray[np.int64], entangled: Iterable[int], choice: Callable[[str], str]
    ) -> None:
        self._keys = keys
        self._rows = np.argsort(first)
        self._hashes = first[self._rows]
        self._entangled = set(entangled)
        self._choice = choice

    def find(self, folded: str) -> tuple[str, int] | None:
        """Return the photo and its row; None if there is none."""
        place = int(np.searchsorted(self._hashes, hash(folded)))
        while place < len(self._hashes) and int(self._hashes[place]) == hash(folded):
            row = int(self._rows[place])
            if row in self._entangled:
                return None  # and so are all others of this hash
            key = self._keys[row]
            if self._choice(key) == folded:
                return key, row
            place += 1
        return None

    def give_up(self, owner: tuple[str, int]) -> None:
        """Note that somebody else got the first choice of a photo."""
        self._entangled.add(owner[1])


def aside_name(crop: str) -> str:
    """Return the path of a crop that is set aside, below the folder for these."""
    folder, slash, name = crop.rpartition("/")
    room = _MAX_COMPONENT_BYTES - len(ASIDE)
    if len(os.fsencode(name)) > room:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        name = os.fsencode(name)[: room - 17].decode(errors="ignore") + "~" + digest
    return folder + slash + name + ASIDE


_LEADS_AWAY = re.compile(rf"^{re.escape(STATE)}(?:/|$)|(?:^|/)\.{{0,2}}(?:/|$)|\0", re.IGNORECASE)


def is_crop_path(crop: str) -> bool:
    """Return whether a text may be the path of a crop below an output folder; empty means no crop."""
    if os.sep != "/" and _WINDOWS_FORBIDDEN.search(crop):
        return False
    if "/." in crop or "//" in crop or "\0" in crop or crop[:1] in ("", ".", "/") or crop[-1] == "/":
        return not crop or _LEADS_AWAY.search(crop) is None
    return True  # nearly all, in less time


def _safe_folders(keys: Iterable[str], fixed: FixedNames) -> dict[str, str]:
    """Return folder of a key → folder of its crop with its `/`; a file of that name is avoided."""
    safe = {"": ""}
    for folder in sorted({key.rpartition("/")[0] for key in keys} - {""}):
        path = ""
        for part in folder.split("/"):
            component = _safe_component(part)
            while fixed.is_file(fold_name(path + component)) or (not path and _is_ours(component)):
                part += "_"
                component = _safe_component(part)
            path += component + "/"
        safe[folder] = path
    return safe


def _is_ours(component: str) -> bool:
    return component.casefold() in _OURS or _OUR_TAR.fullmatch(component) is not None


def _safe_component(name: str, extension: str = "", spare: int = 0) -> str:
    if os.name == "nt":
        name = _WINDOWS_FORBIDDEN.sub("_", name)
    if name[:3].casefold() in _DEVICE_BEGINNINGS and name.split(".")[0].rstrip().casefold() in _DEVICE_NAMES:
        head, dot, tail = name.partition(".")
        name = f"{head}_{dot}{tail}"
    if not extension and name.rstrip(". ") != name:  # Windows drops trailing dots and spaces
        name = name.rstrip(". ") + "_"
    room = _MAX_COMPONENT_BYTES - len(extension) - spare
    if len(name.encode()) > room:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = name.encode()[: room - 9].decode(errors="ignore") + "~" + digest
    return name + extension


def fold_name(name: str) -> str:
    """Return a name as a disk compares it that ignores case and takes é for e + ´.

    This is canonical caseless matching as Unicode defines it.
    """
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
