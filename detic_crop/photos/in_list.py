"""Lists of photos: what a text or a table names, and where that is."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from detic_crop.errors import UsageError
from detic_crop.naming import NameIndex
from detic_crop.photos import location as places
from detic_crop.photos.in_store import looked_at
from detic_crop.photos.in_tars import from_tars
from detic_crop.photos.keys import STATE, normalise_key, printable
from detic_crop.photos.photo import Listing, Photo, distinct, is_photo_name
from detic_crop.stores.store import is_address, path_of, resolve
from detic_crop.system.system_folders import is_system_folder

LIST_EXTENSIONS = (".txt", ".lst", ".csv", ".tsv")
_TABLES = (".csv", ".tsv")
LIST_COLUMNS = (
    *("path", "file", "filename", "file_name", "image", "image_path"),
    *("filepath", "file_path", "image_name", "photo", "image_id", "image_url"),
)
_DELIMITERS = (",", ";", "\t")
_TRIED = 200  # names of a table that are looked for in each folder beside it


def from_list(where: str) -> Listing:
    """The photos that a list names, in its order; an address may stand in any list.

    Names are relative to the list's folder; where none of them is there, to the one folder beside it that has
    them (a table is often beside the folder of its photos). A name may be spelled as in `naming`.

    Raises:
        UsageError: it cannot be read, has no column of photos, or is the table of a run.
    """
    notes: list[str] = []
    name = printable(places.name_of(where))
    lines = _read_column(where, notes) if name.lower().endswith(_TABLES) else _read_lines(where)
    unique: dict[str, str] = {}  # place → its name, from which its key is made
    for line in lines:
        line = places.given(line, "" if is_address(where) else Path(where).parent)
        if is_address(line):
            unique.setdefault(line, line)
        elif is_address(where):
            unique.setdefault(resolve(where, line), line)
        else:
            folder = Path(where).parent
            line = _existing_spelling(line, folder)
            unique.setdefault(os.path.abspath(folder / line), line)
    repeats = len(lines) - len(unique)
    if repeats:
        notes.append(f"lines of {name} that repeat a photo: {repeats:,}")
    if unique and all(_is_tar(place) for place in unique):
        listing = from_tars(list(unique))
        listing.notes[:0] = notes
        return listing
    photos = looked_at(zip(_list_keys(list(unique.values())), unique, strict=True))
    if not is_address(where):
        photos = _found(photos, list(unique.values()), where, notes)
    return Listing(photos, notes=notes)


# ---------------------------------------------------------------- where the photos are


def _found(photos: list[Photo], names: Sequence[str], where: str, notes: list[str]) -> list[Photo]:
    """The photos of a list, those that are not there looked for where they may be."""
    photos = _respelled(photos)
    if photos and not any(map(_is_there, photos)) and not any(map(os.path.isabs, names)):
        if folder := _folder_beside(names, where, notes):
            return _respelled(_below(folder, names))
        name, above = places.name_of(where), os.path.dirname(os.path.abspath(where))
        table = f"; its photos may also be given as --in FOLDER --labels {name}"
        notes.append(
            f"no photo of {name} is there: its names are relative to its own folder ({above})"
            + (table if name.lower().endswith(_TABLES) else "")
        )
    return photos


def _is_there(photo: Photo) -> bool:
    return photo.size >= 0 or not places.is_path(photo.location)


def _below(folder: str, names: Sequence[str]) -> list[Photo]:
    located = (os.path.abspath(os.path.join(folder, name)) for name in names)
    return looked_at(zip(_list_keys(names), located, strict=True))


def _respelled(photos: Sequence[Photo]) -> list[Photo]:
    """The same, those that are not there taken for the one photo in their folder that differs in spelling."""
    found = list(photos)
    by_folder: dict[str, list[int]] = {}
    for i, photo in enumerate(photos):
        if places.is_path(photo.location):
            by_folder.setdefault(os.path.dirname(photo.location), []).append(i)
    taken = {photo.key for photo in photos}
    for folder, numbers in by_folder.items():
        absent = [i for i in numbers if not _is_there(photos[i])]
        there = _photos_in(folder) if absent else []
        if not there:
            continue
        # All names of that folder, so that none takes the photo of another.
        names = NameIndex(os.path.basename(photos[i].location) for i in numbers)
        photo_of = names.match(there).photo_of
        for i in absent:
            file = photo_of.get(os.path.basename(photos[i].location))
            above, slash, _ = photos[i].key.rpartition("/")
            if file is not None and (key := printable(above + slash + file)) not in taken:
                found[i] = Photo.of_file(key, os.path.join(folder, file))
                taken.add(key)
    return found


def _folder_beside(names: Sequence[str], where: str, notes: list[str]) -> str:
    """The one folder beside a list that has what it names; empty when there is none.

    Raises:
        UsageError: several have it.
    """
    above = os.path.dirname(os.path.abspath(where))
    tried = names[:: max(1, len(names) // _TRIED)]
    hits = {folder: sum(map(_is_there, _respelled(_below(folder, tried)))) for folder in _folders_in(above)}
    best = max(hits, key=lambda folder: hits[folder], default="")
    if not best or not hits[best]:
        return ""
    equal = [os.path.basename(folder) for folder, n in hits.items() if n == hits[best]]
    if len(equal) > 1:
        raise UsageError(
            f"--in {places.kept(where)}: its photos are in {equal[0]} and in {equal[1]}; say which: "
            f"--in {os.path.join(above, equal[0])} --labels {where}"
        )
    folder = printable(os.path.basename(best))
    notes.append(f"the photos of {places.name_of(where)} are in the folder {folder} beside it")
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
    except (OSError, ValueError):  # ValueError: a NUL in a name from a list
        return []


def _is_tar(place: str) -> bool:
    return places.name_of(place).lower().endswith(".tar")


# ---------------------------------------------------------------- what they are called


def _list_keys(names: Sequence[str]) -> list[str]:
    """A key for every name of a list. Of addresses the query plays no part unless it alone tells two apart:
    it may hold a signature, which is secret and another one tomorrow."""
    keys = [normalise_key(path_of(name)) if is_address(name) else normalise_key(name) for name in names]
    addresses = Counter(key for key, name in zip(keys, names, strict=True) if is_address(name))
    for index, name in enumerate(names):
        if is_address(name) and addresses[keys[index]] > 1:
            stem, extension = os.path.splitext(keys[index])
            digest = hashlib.blake2b(name.partition("?")[2].encode(errors="surrogateescape"), digest_size=4)
            keys[index] = f"{stem}~{digest.hexdigest()}{extension}"
    return distinct(keys)


def _existing_spelling(line: str, folder: Path) -> str:
    """Lists made on Windows have backslashes; a file that really has one in its name goes first."""
    return line if "\\" not in line or os.path.exists(folder / line) else line.replace("\\", "/")


# ---------------------------------------------------------------- what a file says


def _read_text(where: str) -> str:
    data = places.read_text(where)
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # what PowerShell's `>` writes
            return data.decode("utf-16")
        return data.decode("utf-8-sig", errors="surrogateescape")
    except UnicodeDecodeError as error:
        raise UsageError(f"--in {places.kept(where)} is no text; save it as UTF-8") from error


def _read_lines(where: str) -> list[str]:
    return [line.strip() for line in re.split(r"\r\n|\r|\n", _read_text(where)) if line.strip()]


def _read_column(where: str, notes: list[str]) -> list[str]:
    """The column of a table that names photos."""
    text = _read_text(where)
    name = places.name_of(where)
    try:
        tables = [list(csv.reader(io.StringIO(text, newline=""), delimiter=d)) for d in _used(text)]
    except csv.Error as error:
        raise UsageError(f"--in {places.kept(where)} is not a CSV table: {error}") from error
    for table in tables:
        header = [cell.strip().lower() for cell in table[0]] if table else []
        _check_no_audit(header, where)
        if column := next((column for column in LIST_COLUMNS if column in header), None):
            return _cells(table[1:], header.index(column), column, name, notes)
    for table in sorted(tables, key=lambda table: -len(table[0]) if table else 0):  # without a header
        for index, cell in enumerate(table[0] if table else ()):
            if is_photo_name(places.given(cell.strip())):
                notes.append(f"{name} has no header: column {index + 1} was taken, which names photos")
                return _cells(table, index, f"column {index + 1}", name, notes)
    columns = [cell.strip().lower() for cell in tables[0][0]] if tables[0] else []
    raise UsageError(
        f"--in {places.kept(where)} has the columns {', '.join(columns) or '(none)'}; "
        f"expected one of {', '.join(LIST_COLUMNS)}"
    )


def _used(text: str) -> Iterable[str]:
    """The delimiters that the first line has, the comma always and first."""
    first = text.partition("\n")[0]
    return [delimiter for delimiter in _DELIMITERS if delimiter == "," or delimiter in first]


def _cells(table: Sequence[Sequence[str]], index: int, what: str, name: str, notes: list[str]) -> list[str]:
    cells = [row[index].strip() if index < len(row) else "" for row in table if row]
    if "" in cells:
        notes.append(f"rows of {name} without {what}, passed over: {cells.count(''):,}")
    return [cell for cell in cells if cell]


def _check_no_audit(header: Sequence[str], where: str) -> None:
    """Refuse the table of a run: its names are relative to that run's input."""
    folder = os.path.dirname(os.path.abspath(where))
    if is_address(where) or not {"image", "crop", "suspicion"}.issubset(header):
        return
    if not os.path.exists(os.path.join(folder, STATE)):
        return
    try:
        with open(os.path.join(folder, "run.json"), "rb") as file:
            photos = str(json.load(file)["input"])
    except (OSError, ValueError, KeyError, TypeError):
        photos = "PHOTOS"
    raise UsageError(
        f"--in {where} is the table of an earlier run, not a list beside photos; pass its photos, --in "
        f"{photos}, and for the boxes in it --model boxes:{where}, or give: detic-crop recrop {folder} "
        "--out FOLDER"
    )
