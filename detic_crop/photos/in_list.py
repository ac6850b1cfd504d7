"""The photos of a list: where those are that it names."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence

from detic_crop.errors import UsageError
from detic_crop.naming import NameIndex
from detic_crop.photos.in_tars import from_tars
from detic_crop.photos.keys import STATE, normalise_key, printable
from detic_crop.photos.list_file import TABLE_EXTENSIONS, names_in
from detic_crop.photos.location import (
    FileOrObject,
    LocalFile,
    StoreObject,
    locate,
)
from detic_crop.photos.photo import Photo, distinct, is_photo_name
from detic_crop.photos.table import Listing, in_columns, stat_all
from detic_crop.stores.addresses import is_address, path_of, resolve
from detic_crop.system.system_folders import is_system_folder

_TRIED = 200  # names of a table that are looked for in each folder beside it


def from_list(where: FileOrObject) -> Listing:
    """Return the photos that a list names, in its order; an address may stand in any list.

    Names are relative to the list's folder; if none of them is there, to the one folder next to it that has
    them (a table is often next to the folder of its photos). A name may be spelled as in `naming`.

    Raises:
        UsageError: it cannot be read, has no column of photos, or is the table of a run.
    """
    notes: list[str] = []
    name = printable(where.name)
    lines = names_in(where, notes)
    names: dict[FileOrObject, str] = {}  # from which the keys are made
    for line in lines:
        location, text = _located(line, where)
        names.setdefault(location, text)
    repeats = len(lines) - len(names)
    if repeats:
        notes.append(f"lines of {name} that repeat a photo: {repeats:,}")
    if names and all(location.name.lower().endswith(".tar") for location in names):
        listing = from_tars(list(names))
        listing.notes[:0] = notes
        return listing
    photos: Sequence[Photo] = stat_all(zip(_list_keys(list(names.values())), names, strict=True))
    if isinstance(where, LocalFile):
        photos = _found(photos, list(names.values()), where, notes)
    return Listing(in_columns(photos), notes=notes)


def _located(line: str, where: FileOrObject) -> tuple[FileOrObject, str]:
    """Return what a line means, and the text that its key is made from."""
    folder = "" if isinstance(where, StoreObject) else os.path.dirname(where.path)
    location = locate(line, folder)
    if isinstance(location, StoreObject):
        return location, location.address
    if isinstance(where, StoreObject):
        return StoreObject(resolve(where.address, location.path)), location.path
    path = _existing_spelling(location.path, folder)
    return LocalFile(os.path.abspath(os.path.join(folder, path))), path


def _found(
    photos: Sequence[Photo], names: Sequence[str], where: LocalFile, notes: list[str]
) -> Sequence[Photo]:
    """Return the photos of a list; look for the missing ones where they may be."""
    photos = _respelled(photos)
    if photos and not any(map(_exists, photos)) and not any(map(os.path.isabs, names)):
        if folder := _folder_beside(names, where, notes):
            return _respelled(_below(folder, names))
        name, above = where.name, os.path.dirname(os.path.abspath(where.path))
        table = f"; its photos may also be given as --in FOLDER --labels {name}"
        notes.append(
            f"no photo of {name} is there: its names are relative to its own folder ({above})"
            + (table if name.lower().endswith(TABLE_EXTENSIONS) else "")
        )
    return photos


def _exists(photo: Photo) -> bool:
    """Return whether the photo is there, as far as that is known."""
    return photo.size >= 0 or not isinstance(photo.location, LocalFile)


def _below(folder: str, names: Sequence[str]) -> Sequence[Photo]:
    located = (LocalFile(os.path.abspath(os.path.join(folder, name))) for name in names)
    return stat_all(zip(_list_keys(names), located, strict=True))


def _respelled(photos: Sequence[Photo]) -> list[Photo]:
    """Return the photos; for a missing one the only file in its folder that differs in spelling."""
    found = list(photos)
    by_folder: dict[str, dict[int, str]] = {}  # folder → position → file name
    for position, photo in enumerate(photos):
        if isinstance(photo.location, LocalFile):
            folder, name = os.path.split(photo.location.path)
            by_folder.setdefault(folder, {})[position] = name
    taken = {photo.key for photo in photos}
    for folder, names in by_folder.items():
        missing = [position for position in names if not _exists(photos[position])]
        present = _photos_in(folder) if missing else []
        if not present:
            continue
        # All names of that folder, so that none takes the photo of another.
        photo_of = NameIndex(names.values()).match(present).photo_of
        for position in missing:
            file = photo_of.get(names[position])
            above, slash, _ = photos[position].key.rpartition("/")
            if file is not None and (key := printable(above + slash + file)) not in taken:
                found[position] = Photo.at(key, LocalFile(os.path.join(folder, file)))
                taken.add(key)
    return found


def _folder_beside(names: Sequence[str], where: LocalFile, notes: list[str]) -> str:
    """Return the one folder next to a list that has what it names; empty if there is none.

    Raises:
        UsageError: several have it.
    """
    above = os.path.dirname(os.path.abspath(where.path))
    tried = names[:: max(1, len(names) // _TRIED)]
    hits = {folder: sum(map(_exists, _respelled(_below(folder, tried)))) for folder in _folders_in(above)}
    best = max(hits, key=lambda folder: hits[folder], default="")
    if not best or not hits[best]:
        return ""
    equal = [os.path.basename(folder) for folder, n in hits.items() if n == hits[best]]
    if len(equal) > 1:
        raise UsageError(
            "unclear_folder",
            f"--in {where.path}: its photos are in {equal[0]} and in {equal[1]}; say which: "
            f"--in {os.path.join(above, equal[0])} --labels {where.path}",
        )
    folder = printable(os.path.basename(best))
    notes.append(f"the photos of {where.name} are in the folder {folder} next to it")
    return best


def _folders_in(folder: str) -> list[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        return [
            entry.path
            for entry in entries
            if not entry.name.startswith(".")
            and entry.is_dir()
            and not is_system_folder(entry.name)
            and not os.path.exists(os.path.join(entry.path, STATE))
        ]
    except OSError:
        return []


def _photos_in(folder: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(folder) if is_photo_name(entry.name)]
    except OSError:
        return []


def _list_keys(names: Sequence[str]) -> Sequence[str]:
    """Return a key for every name of a list.

    The query of an address plays no part unless it alone tells two photos apart: it may hold a signature,
    which is secret and another one tomorrow.
    """
    keys = [normalise_key(path_of(name) if is_address(name) else name) for name in names]
    addresses = Counter(key for key, name in zip(keys, names, strict=True) if is_address(name))
    for index, name in enumerate(names):
        if is_address(name) and addresses[keys[index]] > 1:
            stem, extension = os.path.splitext(keys[index])
            digest = hashlib.blake2b(name.partition("?")[2].encode(errors="surrogateescape"), digest_size=4)
            keys[index] = f"{stem}~{digest.hexdigest()}{extension}"
    return distinct(keys)


def _existing_spelling(line: str, folder: str) -> str:
    """Return the line with slashes instead of a Windows list's backslashes, unless such a file exists."""
    exists = "\\" not in line or os.path.exists(os.path.join(folder, line))
    return line if exists else line.replace("\\", "/")
