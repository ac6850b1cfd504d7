"""The folder browser: what is in a folder, as far as somebody who chooses photos must know."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote_from_bytes

import msgspec

from detic_crop.app.refusals import RefusedError
from detic_crop.app.roots import Roots
from detic_crop.folder.layout import Layout
from detic_crop.photos.photo import is_photo_name
from detic_crop.wording import visible

_TABLES = (".csv", ".tsv", ".xlsx")
_MOST_LOOKED_AT = 50_000
"""Entries of one folder that are looked at; further ones are only said to be there."""
_MOST_IN_ALL = 100_000
"""Entries that are looked at to count the photos of all subfolders."""
_MOST_SHOWN = 1_000
_LONGEST_NAME = 200


class Subfolder(msgspec.Struct):
    """A folder in the list.

    Attributes:
        name: its name, as it is shown.
        path: what names it in a request's body.
        query: the same as part of an address: ``path=%2Fphotos``; a name may have bytes that are no text.
        photos: photos directly inside, as far as they were counted; null if nobody looked.
        is_output: whether it is an output folder of detic-crop.
    """

    name: str
    path: str
    query: str
    photos: int | None
    is_output: bool


class Table(msgspec.Struct):
    """A file that may hold labels; see `Subfolder`."""

    name: str
    path: str
    query: str


class FolderView(msgspec.Struct):
    """What is in a folder.

    Attributes:
        name: its name, as it is shown.
        path: what names it in a request's body.
        query: the same as part of an address.
        above: the folder above, as in `query`; null: it is a root.
        photos: photos directly inside, as far as they were counted.
        is_output: whether it is an output folder of detic-crop.
        folders: its subfolders, by name; hidden ones and links that lead outside are left out.
        tables: its tables (.csv, .xlsx), by name.
        more: whether there is more than was looked at or is listed.
    """

    name: str
    path: str
    query: str
    above: str | None
    photos: int
    is_output: bool
    folders: list[Subfolder]
    tables: list[Table]
    more: bool


def query_of(path: str) -> str:
    """Return a path as part of an address, ``path=…``."""
    return "path=" + quote_from_bytes(os.fsencode(path), safe="/")


def is_output(path: str) -> bool:
    """Return whether a folder is, or was begun as, an output folder of detic-crop."""
    return os.path.isdir(Layout(path).root_state)


def output_folder(roots: Roots, given: str) -> str:
    """Return the path of an output folder.

    Raises:
        RefusedError: it is not in the roots, or none.
    """
    path = roots.folder(given)
    if not is_output(path):
        raise RefusedError(409, "no_output_folder", f"expected an output folder of detic-crop, got {path}")
    return path


def look_into(roots: Roots, given: str) -> FolderView:
    """Return what is in a folder.

    Raises:
        RefusedError: it is not in the roots, or cannot be read.
    """
    path = roots.folder(given)
    found = _Found()
    try:
        for entry in _entries(path, _MOST_LOOKED_AT, found):
            found.note(entry)
    except OSError as error:
        raise RefusedError(403, "unreadable_folder", f"{path} cannot be read: {error.strerror}") from error
    folders = [name for name in sorted(found.folders) if _is_open(roots, os.path.join(path, name))]
    tables = sorted(found.tables)
    left = _Found(budget=_MOST_IN_ALL)
    return FolderView(
        name=_shown(path),
        path=path,
        query=query_of(path),
        above=None if (above := roots.above(path)) is None else query_of(above),
        photos=found.photos,
        is_output=is_output(path),
        folders=[_subfolder(os.path.join(path, name), left) for name in folders[:_MOST_SHOWN]],
        tables=[_table(os.path.join(path, name)) for name in tables[:_MOST_SHOWN]],
        more=found.more or max(len(folders), len(tables)) > _MOST_SHOWN,
    )


def make_folder(roots: Roots, above: str, name: str) -> FolderView:
    """Make a folder, and return what is in it: nothing.

    Raises:
        RefusedError: it is there, its name is none, or it cannot be made.
    """
    parent = roots.folder(above)
    is_plain = not any(sign in (os.sep, "/", "\x7f") or sign < " " for sign in name)
    if not is_plain or not name or name != name.strip() or name.startswith("."):
        raise RefusedError(400, "bad_name", "expected a plain folder name that does not begin with a dot")
    path = roots.path(os.path.join(parent, name))
    try:
        os.mkdir(path)
    except FileExistsError:
        raise RefusedError(409, "exists", f"{path} is there already; choose it, or another name") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise RefusedError(409, "cannot_make", f"{path} cannot be made: {why}") from error
    return look_into(roots, path)


class _Found:
    """What was met in a folder."""

    def __init__(self, budget: int = 0) -> None:
        self.folders: list[str] = []
        self.tables: list[str] = []
        self.photos = 0
        self.more = False
        self.budget = budget

    def note(self, entry: os.DirEntry[str]) -> None:
        if entry.name.startswith("."):
            return
        if _is_folder(entry):
            self.folders.append(entry.name)
        elif is_photo_name(entry.name):
            self.photos += 1
        elif entry.name.lower().endswith(_TABLES):
            self.tables.append(entry.name)


def _is_open(roots: Roots, path: str) -> bool:
    """Return whether somebody may look into a folder: a link may lead anywhere."""
    return roots.holds(path) if os.path.islink(path) else not roots.is_closed(path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with suppress(OSError):
        return entry.is_dir()
    return False


def _entries(path: str, most: int, found: _Found) -> Iterator[os.DirEntry[str]]:
    with os.scandir(path) as entries:
        for number, entry in enumerate(entries):
            if number >= most:
                found.more = True
                return
            yield entry


def _subfolder(path: str, left: _Found) -> Subfolder:
    """Return a folder of the list; its photos are counted as far as `left` allows."""
    photos: int | None = None
    if left.budget > 0:
        with suppress(OSError):
            photos = 0
            for entry in _entries(path, left.budget, left):
                left.budget -= 1
                photos += is_photo_name(entry.name) and not entry.name.startswith(".")
    return Subfolder(_shown(path), path, query_of(path), photos, is_output(path))


def _table(path: str) -> Table:
    return Table(_shown(path), path, query_of(path))


def _shown(path: str) -> str:
    name = os.path.basename(path) or path
    return visible(name.encode("utf-8", "replace").decode())[:_LONGEST_NAME]
