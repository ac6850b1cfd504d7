"""The user's label table: which photos it asks for, and in which order the audit answers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detic_crop.errors import UsageError
from detic_crop.naming import NameIndex
from detic_crop.system.whole_files import read_whole


@dataclass(frozen=True, slots=True)
class Labels:
    """A label CSV as it is.

    Attributes:
        columns: names in the header.
        rows: rows as strings, in file order.
        key_column: the column that names the photo.
        data: the file's bytes, which are saved with the run.
    """

    columns: list[str]
    rows: list[list[str]]
    key_column: str
    data: bytes = b""

    def names(self) -> list[str]:
        """Return what each row calls its photo."""
        index = self.columns.index(self.key_column)
        return [row[index] for row in self.rows]


def read_labels(path: Path, key_column: str) -> Labels:
    """Read a label CSV (UTF-8, with or without a byte order mark).

    Raises:
        UsageError: no such file, no such column, or a row of another length.
    """
    try:
        data = read_whole(path)
    except OSError as error:
        raise UsageError(
            "labels_unreadable", f"--labels {path} cannot be read: {error.strerror}; pass a CSV file"
        ) from error
    return parse_labels(data, key_column, str(path))


def parse_labels(data: bytes, key_column: str, name: str) -> Labels:
    """Return the table in the bytes of a label CSV called `name`; see `read_labels`."""
    table = _parse_csv(data, name)
    if not table or key_column not in table[0]:
        raise _no_column(table, key_column, name)
    columns = table[0]
    rows: list[list[str]] = []
    for number, row in enumerate(table[1:], start=2):
        if not row:
            continue  # a blank line, usually the last
        if len(row) != len(columns):
            raise UsageError(
                "labels_uneven_row",
                f"--labels {name}: row {number} has {len(row)} cells, the header {len(columns)}",
            )
        rows.append(row)
    if not rows:
        raise UsageError("labels_without_rows", f"--labels {name} has a header but no rows")
    return Labels(columns, rows, key_column, data)


def _parse_csv(data: bytes, name: str) -> list[list[str]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            "labels_not_utf8",
            f"--labels {name} is not UTF-8 (byte {error.start}); save it as UTF-8 (in Excel: CSV UTF-8)",
        ) from error
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise UsageError("labels_not_csv", f"--labels {name} is not a CSV table: {error}") from error


def _no_column(table: Sequence[Sequence[str]], key_column: str, name: str) -> UsageError:
    """Return the error for a table without the key column."""
    header = table[0] if table else []
    if len(header) == 1 and key_column in re.split(r"[;\t]", header[0]):
        return UsageError(
            "labels_not_commas", f"--labels {name} is not separated by commas; save it as CSV with commas"
        )
    known = ", ".join(header) if table else "(none)"
    return UsageError(
        "labels_no_column",
        f"--labels {name} has no column {key_column!r}; it has {known}; pass --labels-key COLUMN",
    )


@dataclass(frozen=True, slots=True)
class LabelMatches:
    """The photo of each label row.

    Attributes:
        keys: one per row; None if the row has no photo.
        notes: sentences about how they were found.
    """

    keys: list[str | None]
    notes: list[str]


def match_labels(names: Sequence[str], photos: Mapping[str, str] | Sequence[str]) -> LabelMatches:
    """Return the photo of each label row; see `naming` for what belongs together.

    Args:
        names: names of the photos in the rows.
        photos: key → path or address of every photo; or keys alone.

    Raises:
        UsageError: a name fits several photos, or differing names fit one.
    """
    index = NameIndex(names)
    found = index.match(photos)
    for name, keys in found.unclear_names.items():
        raise UsageError(
            "label_fits_several",
            f"--labels: {name!r} fits {len(keys)} photos ({keys[0]}, {keys[1]} …); "
            "use relative paths in the key column",
        )
    for key, several in found.unclear_photos.items():
        raise UsageError(
            "labels_fit_one",
            f"--labels: {several[0]!r} and {several[1]!r} both fit the photo {key}; "
            "use paths relative to --in in the key column",
        )
    notes = [f"labels: {found.note_on_moved}"] if found.note_on_moved else []
    if unused := index.describe_unused(found, photos):
        notes.append(f"labels: rows without a photo, because another row fits it better: {unused}")
    if found.refused is not None:
        notes.append(f"labels: {found.note_on_refused}")
    return LabelMatches([found.photo_of.get(name) for name in names], notes)
