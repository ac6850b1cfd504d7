"""The photos of a list: where those are that it names."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections import Counter
from collections.abc import Iterable

from detic_crop.columns import Column, Texts, hashes_of, rows_alike
from detic_crop.errors import UsageError
from detic_crop.naming import NameIndex
from detic_crop.photos.in_tars import from_tars
from detic_crop.photos.keys import STATE, normalise_key, printable
from detic_crop.photos.list_file import TABLE_EXTENSIONS, names_in
from detic_crop.photos.location import (
    FileOrObject,
    LocalFile,
    Location,
    StoreObject,
    TarMember,
    locate,
)
from detic_crop.photos.photo import Photo, distinct, is_photo_name
from detic_crop.photos.table import Listing, Photos, locations_of, stat_all
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
    named, repeats = _without_repeats(_located(line, where) for line in names_in(where, notes))
    if repeats:
        notes.append(f"lines of {name} that repeat a photo: {repeats:,}")
    if len(named) and all(text.name.lower().endswith(".tar") for text in locations_of(named)):
        listing = from_tars([tar for tar in locations_of(named) if not isinstance(tar, TarMember)])
        listing.notes[:0] = notes
        return listing
    names = named.keys
    photos = stat_all(zip(_list_keys(names), locations_of(named), strict=True))
    if isinstance(where, LocalFile):
        photos = _found(photos, names, where, notes)
    return Listing(photos, notes=notes)


def _without_repeats(located: Iterable[tuple[FileOrObject, str]]) -> tuple[Photos, int]:
    """Return what the lines of a list mean, each once under its text, and how many repeat one before."""
    named = Photos(Photo(text, location) for location, text in located)
    alike = rows_alike(hashes_of(locations_of(named))).tolist()
    first: dict[Location, int] = {}
    repeated = {row for row in alike if first.setdefault(named.location(row), row) != row}
    if not repeated:
        return named, 0
    kept = array("q", (row for row in range(len(named)) if row not in repeated))
    return named.of(kept), len(repeated)


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


def _found(photos: Photos, names: Column, where: LocalFile, notes: list[str]) -> Photos:
    """Return the photos of a list; look for the missing ones where they may be."""
    photos = _respelled(photos)
    if len(photos) and not any(map(_exists, photos)) and not any(map(os.path.isabs, names)):
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


def _below(folder: str, names: Column) -> Photos:
    located = (LocalFile(os.path.abspath(os.path.join(folder, name))) for name in names)
    return stat_all(zip(_list_keys(names), located, strict=True))


def _respelled(photos: Photos) -> Photos:
    """Return the photos; for a missing one the only file in its folder that differs in spelling."""
    incomplete = {os.path.dirname(photo.location.own_path) for photo in photos if not _exists(photo)}
    present = {folder: files for folder in incomplete if (files := _photos_in(folder))}
    if not present:
        return photos
    named: dict[str, dict[int, str]] = {folder: {} for folder in present}  # folder → row → file name
    for row, photo in enumerate(photos):
        folder, name = os.path.split(photo.location.own_path)
        if folder in named and isinstance(photo.location, LocalFile):
            named[folder][row] = name
    keys, taken = photos.keys, set[str]()
    found: dict[int, Photo] = {}
    for folder, names in named.items():
        # All names of that folder, so that none takes the photo of another.
        photo_of = NameIndex(names.values()).match(present[folder]).photo_of
        for row, name in names.items():
            file = None if _exists(photos[row]) else photo_of.get(name)
            above, slash, _ = keys[row].rpartition("/")
            if file is not None and (key := printable(above + slash + file)) not in taken and key not in keys:
                found[row] = Photo.at(key, LocalFile(os.path.join(folder, file)))
                taken.add(key)
    return Photos(found.get(row, photo) for row, photo in enumerate(photos)) if found else photos


def _folder_beside(names: Column, where: LocalFile, notes: list[str]) -> str:
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
    except (OSError, ValueError):  # ValueError: half of a surrogate pair
        return []


def _list_keys(names: Column) -> Column:
    """Return a key for every name of a list.

    The query of an address plays no part unless it alone tells two photos apart: it may hold a signature,
    which is secret and another one tomorrow.
    """
    keys = Texts(normalise_key(path_of(name) if is_address(name) else name) for name in names)
    alike = [row for row in rows_alike(hashes_of(keys)).tolist() if is_address(names[row])]
    several = Counter(keys[row] for row in alike)
    longer: dict[int, str] = {}
    for row in alike:
        if several[keys[row]] > 1:
            stem, extension = os.path.splitext(keys[row])
            query = names[row].partition("?")[2].encode(errors="surrogateescape")
            longer[row] = f"{stem}~{hashlib.blake2b(query, digest_size=4).hexdigest()}{extension}"
    return distinct(longer.get(row, key) for row, key in enumerate(keys)) if longer else distinct(keys)


def _existing_spelling(line: str, folder: str) -> str:
    """Return the line with slashes instead of a Windows list's backslashes, unless such a file exists."""
    exists = "\\" not in line or os.path.exists(os.path.join(folder, line))
    return line if exists else line.replace("\\", "/")
