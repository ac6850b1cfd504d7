"""A list of photos as a file: a text with a name on each line, or a table with a column of names."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from detic_crop.columns import Texts
from detic_crop.errors import UsageError
from detic_crop.photos.keys import STATE
from detic_crop.photos.location import FileOrObject, LocalFile, read_list, strip_file_scheme
from detic_crop.photos.photo import is_photo_name
from detic_crop.table_files.separated import SEPARATORS
from detic_crop.table_files.text import encoding_of, opened
from detic_crop.wording import typed

LIST_EXTENSIONS = (".txt", ".lst", ".csv", ".tsv")
TABLE_EXTENSIONS = (".csv", ".tsv")
LIST_COLUMNS = (
    *("path", "file", "filename", "file_name", "image", "image_path"),
    *("filepath", "file_path", "image_name", "photo", "image_id", "image_url"),
)


def names_in(where: FileOrObject, notes: list[str]) -> Texts:
    """Return what a list names, in its order: each line of a text, or the column of photos of a table.

    Args:
        where: the list.
        notes: sentences about a missing header or empty cells are added.

    Raises:
        UsageError: it cannot be read, has no column of photos, or is the table of a run.
    """
    data = read_list(where)
    try:
        if where.name.lower().endswith(TABLE_EXTENSIONS):
            return _read_column(data, where, notes)
        return Texts(filter(None, (line.strip() for line in _text(data, newline=None))))
    except UnicodeDecodeError as error:
        raise UsageError("not_utf8", f"--in {where.describe()} is not text; save it as UTF-8") from error
    except csv.Error as error:
        raise UsageError("not_csv", f"--in {where.describe()} is not a CSV table: {error}") from error


def _text(data: bytes, newline: str | None) -> io.TextIOWrapper:
    """Return the bytes of a list as a text; `newline` is that of `open`."""
    encoding = encoding_of(data)  # UTF-16 is what PowerShell's `>` writes
    return opened(data, encoding, "surrogateescape" if encoding.startswith("utf-8") else "strict", newline)


def _read_column(data: bytes, where: FileOrObject, notes: list[str]) -> Texts:
    """Return the column of a table that names photos."""
    readers = [csv.reader(_text(data, newline=""), delimiter=d) for d in _delimiters(data)]
    tables = [(next(reader, []), reader) for reader in readers]  # first row, and those that follow
    for first, rows in tables:
        header = [cell.strip().lower() for cell in first]
        _refuse_table_of_run(header, where)
        if column := next((column for column in LIST_COLUMNS if column in header), None):
            return _cells(rows, header.index(column), column, where.name, notes)
    for first, rows in sorted(tables, key=lambda table: -len(table[0])):  # without a header
        for index, cell in enumerate(first):
            if is_photo_name(strip_file_scheme(cell.strip())):
                notes.append(f"{where.name} has no header: column {index + 1} was taken, which names photos")
                return _cells(chain([first], rows), index, f"column {index + 1}", where.name, notes)
    columns = [cell.strip().lower() for cell in tables[0][0]]
    raise UsageError(
        "no_photo_column",
        f"--in {where.describe()} has the columns {', '.join(columns) or '(none)'}; "
        f"expected one of {', '.join(LIST_COLUMNS)}",
    )


def _delimiters(data: bytes) -> Iterable[str]:
    """Return the delimiters that the first line has, the comma always and first."""
    first = _text(data, newline="\n").readline()
    return [delimiter for delimiter in SEPARATORS if delimiter == "," or delimiter in first]


def _cells(rows: Iterable[Sequence[str]], index: int, what: str, name: str, notes: list[str]) -> Texts:
    empty = 0

    def named() -> Iterator[str]:
        nonlocal empty
        for row in filter(None, rows):
            cell = row[index].strip() if index < len(row) else ""
            empty += not cell
            if cell:
                yield cell

    cells = Texts(named())
    if empty:
        notes.append(f"rows of {name} without {what}, ignored: {empty:,}")
    return cells


def _refuse_table_of_run(header: Sequence[str], where: FileOrObject) -> None:
    """Refuse the table of a run: its names are relative to that run's input."""
    if not isinstance(where, LocalFile) or not {"image", "crop", "suspicion"}.issubset(header):
        return
    folder = os.path.dirname(os.path.abspath(where.path))
    if not os.path.exists(os.path.join(folder, STATE)):
        return
    try:
        with open(os.path.join(folder, "run.json"), "rb") as file:
            photos = str(json.load(file)["input"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        photos = "PHOTOS"
    raise UsageError(
        "table_of_run",
        f"--in {where.path} is the table of an earlier run, not a list of photos; pass its photos, --in "
        f"{photos}, and for the boxes in it --model boxes:{where.path}, or run: detic-crop recrop "
        f"{typed(folder)} --out FOLDER",
    )
