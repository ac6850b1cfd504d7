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

from detic_crop.errors import UsageError
from detic_crop.naming import NameIndex
from detic_crop.photos.in_tars import from_tars
from detic_crop.photos.keys import STATE, normalise_key, printable
from detic_crop.photos.location import (
    Container,
    LocalFile,
    StoreObject,
    locate,
    read_list,
    strip_file_scheme,
)
from detic_crop.photos.photo import Listing, Photo, distinct, is_photo_name, stat_all
from detic_crop.stores.addresses import is_address, path_of, resolve
from detic_crop.system.system_folders import is_system_folder

LIST_EXTENSIONS = (".txt", ".lst", ".csv", ".tsv")
_TABLES = (".csv", ".tsv")
LIST_COLUMNS = (
    *("path", "file", "filename", "file_name", "image", "image_path"),
    *("filepath", "file_path", "image_name", "photo", "image_id", "image_url"),
)
_DELIMITERS = (",", ";", "\t")
_TRIED = 200  # names of a table that are looked for in each folder beside it


def from_list(where: Container) -> Listing:
    """Return the photos that a list names, in its order; an address may stand in any list.

    Names are relative to the list's folder; where none of them is there, to the one folder beside it that has
    them (a table is often beside the folder of its photos). A name may be spelled as in `naming`.

    Raises:
        UsageError: it cannot be read, has no column of photos, or is the table of a run.
    """
    notes: list[str] = []
    name = printable(where.name)
    lines = _read_column(where, notes) if name.lower().endswith(_TABLES) else _read_lines(where)
    names: dict[Container, str] = {}  # from which the keys are made
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
    photos = stat_all(zip(_list_keys(list(names.values())), names, strict=True))
    if isinstance(where, LocalFile):
        photos = _found(photos, list(names.values()), where, notes)
    return Listing(photos, notes=notes)


def _located(line: str, where: Container) -> tuple[Container, str]:
    """Return what a line means, and the text that its key is made from."""
    folder = "" if isinstance(where, StoreObject) else os.path.dirname(where.path)
    location = locate(line, folder)
    if isinstance(location, StoreObject):
        return location, location.address
    if isinstance(where, StoreObject):
        return StoreObject(resolve(where.address, location.path)), location.path
    path = _existing_spelling(location.path, folder)
    return LocalFile(os.path.abspath(os.path.join(folder, path))), path


# ---------------------------------------------------------------- where the photos are


def _found(photos: list[Photo], names: Sequence[str], where: LocalFile, notes: list[str]) -> list[Photo]:
    """Return the photos of a list; look for the missing ones where they may be."""
    photos = _respelled(photos)
    if photos and not any(map(_exists, photos)) and not any(map(os.path.isabs, names)):
        if folder := _folder_beside(names, where, notes):
            return _respelled(_below(folder, names))
        name, above = where.name, os.path.dirname(os.path.abspath(where.path))
        table = f"; its photos may also be given as --in FOLDER --labels {name}"
        notes.append(
            f"no photo of {name} is there: its names are relative to its own folder ({above})"
            + (table if name.lower().endswith(_TABLES) else "")
        )
    return photos


def _exists(photo: Photo) -> bool:
    """Return whether the photo is there, as far as that is known."""
    return photo.size >= 0 or not isinstance(photo.location, LocalFile)


def _below(folder: str, names: Sequence[str]) -> list[Photo]:
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
    """Return the one folder beside a list that has what it names; empty when there is none.

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
    notes.append(f"the photos of {where.name} are in the folder {folder} beside it")
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


# ---------------------------------------------------------------- what they are called


def _list_keys(names: Sequence[str]) -> list[str]:
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


# ---------------------------------------------------------------- what a file says


def _read_text(where: Container) -> str:
    data = read_list(where)
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # what PowerShell's `>` writes
            return data.decode("utf-16")
        return data.decode("utf-8-sig", errors="surrogateescape")
    except UnicodeDecodeError as error:
        raise UsageError("not_utf8", f"--in {where.describe()} is not text; save it as UTF-8") from error


def _read_lines(where: Container) -> list[str]:
    return [line.strip() for line in re.split(r"\r\n|\r|\n", _read_text(where)) if line.strip()]


def _read_column(where: Container, notes: list[str]) -> list[str]:
    """Return the column of a table that names photos."""
    text = _read_text(where)
    try:
        tables = [list(csv.reader(io.StringIO(text, newline=""), delimiter=d)) for d in _delimiters(text)]
    except csv.Error as error:
        raise UsageError("not_csv", f"--in {where.describe()} is not a CSV table: {error}") from error
    for table in tables:
        header = [cell.strip().lower() for cell in table[0]] if table else []
        _refuse_table_of_run(header, where)
        if column := next((column for column in LIST_COLUMNS if column in header), None):
            return _cells(table[1:], header.index(column), column, where.name, notes)
    for table in sorted(tables, key=lambda table: -len(table[0]) if table else 0):  # without a header
        for index, cell in enumerate(table[0] if table else ()):
            if is_photo_name(strip_file_scheme(cell.strip())):
                notes.append(f"{where.name} has no header: column {index + 1} was taken, which names photos")
                return _cells(table, index, f"column {index + 1}", where.name, notes)
    columns = [cell.strip().lower() for cell in tables[0][0]] if tables[0] else []
    raise UsageError(
        "no_photo_column",
        f"--in {where.describe()} has the columns {', '.join(columns) or '(none)'}; "
        f"expected one of {', '.join(LIST_COLUMNS)}",
    )


def _delimiters(text: str) -> Iterable[str]:
    """Return the delimiters that the first line has, the comma always and first."""
    first = text.partition("\n")[0]
    return [delimiter for delimiter in _DELIMITERS if delimiter == "," or delimiter in first]


def _cells(table: Sequence[Sequence[str]], index: int, what: str, name: str, notes: list[str]) -> list[str]:
    cells = [row[index].strip() if index < len(row) else "" for row in table if row]
    if "" in cells:
        notes.append(f"rows of {name} without {what}, passed over: {cells.count(''):,}")
    return [cell for cell in cells if cell]


def _refuse_table_of_run(header: Sequence[str], where: Container) -> None:
    """Refuse the table of a run: its names are relative to that run's input."""
    if not isinstance(where, LocalFile) or not {"image", "crop", "suspicion"}.issubset(header):
        return
    folder = os.path.dirname(os.path.abspath(where.path))
    if not os.path.exists(os.path.join(folder, STATE)):
        return
    try:
        with open(os.path.join(folder, "run.json"), "rb") as file:
            photos = str(json.load(file)["input"])
    except (OSError, ValueError, KeyError, TypeError):
        photos = "PHOTOS"
    raise UsageError(
        "table_of_run",
        f"--in {where.path} is the table of an earlier run, not a list beside photos; pass its photos, --in "
        f"{photos}, and for the boxes in it --model boxes:{where.path}, or run: detic-crop recrop {folder} "
        "--out FOLDER",
    )
