"""Names of crops: no two photos share one, and none leads out of the folder."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from detic_crop.photos.keys import STATE

ASIDE = ".rejected"
"""Ending of the name of a crop that was set aside: readers of pictures go by the ending."""

_DEVICE_NAMES = {
    *("con", "conin$", "conout$", "prn", "aux", "nul"),
    *(f"{name}{digit}" for name in ("com", "lpt") for digit in "123456789¹²³"),
}
_OURS = {"audit.csv", "audit.html", "audit.xlsx", "run.json", STATE}
_OUR_TAR = re.compile(r"crops-[\d-]*(of-)?[\d-]*\.tar", re.IGNORECASE)  # see `tars`
_MAX_COMPONENT_BYTES = 255  # of ext4, APFS, NTFS (there in UTF-16 units, which are fewer)
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


def crop_names(
    keys: Iterable[str],
    extension: str,
    settled: Mapping[str, str],
    taken: Iterable[str] = (),
    rules: NameRules = FILE_RULES,
) -> dict[str, str]:
    """Return the path of every photo's crop, relative to the output folder.

    The first of colliding names in sorted order keeps ``stem.jpg``; the others become ``stem.EXT.jpg``,
    then numbered. Two names collide when a case-blind disk would take them for one.

    Args:
        keys: all photos of the input, so that every shard agrees.
        extension: extension of the crops, with its dot.
        settled: key → name, as journalled before; never changed.
        taken: paths in the output folder that are not ours to replace.
        rules: rules for the file names.
    """
    new, folders, used = _prepared(keys, settled, taken)
    return dict(settled) | _assigned(new, extension, folders, used, rules)


def crop_names_of(
    wanted: Iterable[str],
    keys: Iterable[str],
    extension: str,
    settled: Mapping[str, str],
    rules: NameRules = FILE_RULES,
) -> dict[str, str]:
    """Return what `crop_names` says of some photos, without a name in memory for each of the others.

    Only photos involved in a collision are named in order. A hash of each photo's first choice (8 bytes)
    tells which these are.

    Args:
        wanted: the photos to name.
        keys: all photos of the input.
        extension: extension of the crops, with its dot.
        settled: key → name, as journalled before.
        rules: rules for the file names.
    """
    import numpy as np  # not at the top: the command line needs this module for its messages

    new, folders, used = _prepared(keys, settled, ())

    def attempt(key: str, number: int) -> str:
        folder, _, file_name = key.rpartition("/")
        return folders[folder] + _attempt(file_name, extension, number, rules)

    first = np.fromiter((hash(fold_name(attempt(key, 0))) for key in new), np.int64, len(new))
    fixed = np.fromiter(map(hash, used), np.int64, len(used))
    values, counts = np.unique(first, return_counts=True)
    entangled = np.isin(first, values[counts > 1]) | np.isin(first, fixed)
    while True:
        keys_of = [new[index] for index in np.flatnonzero(entangled).tolist()]
        names = _assigned(keys_of, extension, folders, set(used), rules)
        tried = []
        for key, name in names.items():
            number = 0
            while (other := attempt(key, number)) != name:
                tried.append(hash(fold_name(other)))
                number += 1
            tried.append(hash(fold_name(name)))
        met = np.isin(first, np.array(tried, np.int64)) & ~entangled
        if not met.any():
            break
        entangled |= met  # a photo whose own name would be taken by one of these
    return {key: settled.get(key) or names.get(key) or attempt(key, 0) for key in wanted}


def _prepared(
    keys: Iterable[str], settled: Mapping[str, str], taken: Iterable[str]
) -> tuple[list[str], dict[str, str], set[str]]:
    """Return photos to name in order; folder of a key → folder of its crop; forbidden names, folded."""
    fixed = [*settled.values(), *taken]
    files = {fold_name(name) for name in fixed}
    new = [key for key in sorted(keys) if key not in settled]
    folders = _safe_folders(new, files)
    # A crop must not be named like a folder: `a.jpg/b.jpg` beside `a.png`.
    used = files | {fold_name(folder) for folder in _folders(fixed)}
    used |= {fold_name(folder) for folder in _folders(f"{folder}/" for folder in folders.values())}
    return new, folders, used


def _assigned(
    keys: Iterable[str], extension: str, folders: Mapping[str, str], used: set[str], rules: NameRules
) -> dict[str, str]:
    names = {}
    for key in keys:
        folder, _, file_name = key.rpartition("/")
        number = 0
        while fold_name(name := folders[folder] + _attempt(file_name, extension, number, rules)) in used:
            number += 1
        used.add(fold_name(name))
        names[key] = name
    return names


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


def _safe_folders(keys: Iterable[str], files: set[str]) -> dict[str, str]:
    """Return folder of a key → folder of its crop with its `/`; a file of that name is avoided."""
    safe = {"": ""}
    for folder in sorted({key.rpartition("/")[0] for key in keys} - {""}):
        path = ""
        for part in folder.split("/"):
            component = _safe_component(part)
            while fold_name(path + component) in files or (not path and _is_ours(component)):
                part += "_"
                component = _safe_component(part)
            path += component + "/"
        safe[folder] = path
    return safe


def _is_ours(component: str) -> bool:
    return component.casefold() in _OURS or _OUR_TAR.fullmatch(component) is not None


def _attempt(file_name: str, extension: str, number: int, rules: NameRules) -> str:
    """Return the first choice of a crop's name, or a later one if that is taken."""
    stem, suffix = os.path.splitext(file_name)
    if number:
        stem += suffix
    if number > 1:
        stem += f".{number}"
    return rules.file_name(stem, extension)


def _safe_component(name: str, extension: str = "", spare: int = 0) -> str:
    if os.name == "nt":
        name = _WINDOWS_FORBIDDEN.sub("_", name)
    if name.split(".")[0].rstrip().casefold() in _DEVICE_NAMES:
        head, dot, tail = name.partition(".")
        name = f"{head}_{dot}{tail}"
    if not extension and name.rstrip(". ") != name:  # Windows drops trailing dots and spaces
        name = name.rstrip(". ") + "_"
    room = _MAX_COMPONENT_BYTES - len(extension) - spare
    if len(name.encode()) > room:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = name.encode()[: room - 9].decode(errors="ignore") + "~" + digest
    return name + extension


def _folders(names: Iterable[str]) -> set[str]:
    """Return every folder above any of the paths."""
    folders: set[str] = set()
    for name in names:
        folder = name.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders


def fold_name(name: str) -> str:
    """Return a name as a disk compares it that ignores case and takes é for e + ´.

    This is canonical caseless matching as Unicode defines it.
    """
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
