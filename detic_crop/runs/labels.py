"""The user's label table: which photos it asks for, and in which order the audit answers."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from detic_crop.errors import UsageError
from detic_crop.runs.names import printable


@dataclass(frozen=True, slots=True)
class Labels:
    """A label CSV, as it stands.

    Attributes:
        columns: its header.
        rows: its rows as strings, in file order.
        key_column: the column that names the photo.
        data: the file's bytes, to be kept with the run.
    """

    columns: list[str]
    rows: list[list[str]]
    key_column: str
    data: bytes = b""

    def names(self) -> list[str]:
        """What each row calls its photo."""
        index = self.columns.index(self.key_column)
        return [row[index] for row in self.rows]


def read_labels(path: Path, key_column: str) -> Labels:
    """Read a label CSV (UTF-8, with or without a byte order mark).

    Raises:
        UsageError: no such file, no such column, or a row of another length.
    """
    try:
        data = path.read_bytes()
        return parse_labels(data, key_column, str(path))
    except OSError as error:
        raise UsageError(f"--labels {path} cannot be read: {error.strerror}; pass a CSV file") from error


def parse_labels(data: bytes, key_column: str, name: str) -> Labels:
    """The table in the bytes of a label CSV called `name`; see `read_labels`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"--labels {name} is not UTF-8 (byte {error.start}); save it as UTF-8 (in Excel: CSV UTF-8)"
        ) from error
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise UsageError(f"--labels {name} is not a CSV table: {error}") from error
    if (
        table
        and table[0] != [key_column]
        and len(table[0]) == 1
        and key_column in re.split(r"[;\t]", table[0][0])
    ):
        raise UsageError(f"--labels {name} is not separated by commas; save it as CSV with commas")
    if not table or key_column not in table[0]:
        known = ", ".join(table[0]) if table else "(none)"
        raise UsageError(
            f"--labels {name} has no column {key_column!r}; it has {known}; pass --labels-key COLUMN"
        )
    columns = table[0]
    rows: list[list[str]] = []
    for number, row in enumerate(table[1:], start=2):
        if not row:
            continue  # a blank line, usually the last
        if len(row) != len(columns):
            raise UsageError(f"--labels {name}: row {number} has {len(row)} cells, the header {len(columns)}")
        rows.append(row)
    if not rows:
        raise UsageError(f"--labels {name} has a header but no rows")
    return Labels(columns, rows, key_column, data)


def match_labels(names: Sequence[str], keys: Sequence[str]) -> list[str | None]:
    """The photo of each label row: by relative path, else by unique file name, else by unique stem.

    A row that names folders never takes a photo that another row names exactly, so that a missing
    ``day2/1.jpg`` is missing rather than a second label for ``day1/1.jpg``.

    Args:
        names: what the rows call their photos.
        keys: all photos.

    Returns:
        One key per row, None where there is no such photo.

    Raises:
        UsageError: a file name fits several photos, or differing paths fit one.
    """
    by_path = {_composed(key): key for key in keys} | {key: key for key in keys}
    cleaned = [name if name in by_path else _cleaned(name) for name in names]
    exact = {by_path[name] for name in cleaned if name in by_path}
    by_name = _grouped(keys, lambda key: PurePosixPath(key).name)
    by_stem = _grouped(keys, lambda key: os.path.splitext(PurePosixPath(key).name)[0])
    claims: dict[str, str] = {}
    matches: list[str | None] = []
    for name in cleaned:
        if name in by_path:
            matches.append(by_path[name])
            continue
        base = PurePosixPath(name).name
        # Kaggle's `image_id` columns often lack the extension, hence the stems.
        found = by_name.get(base) or by_stem.get(base) or []
        if "/" in name:
            found = [key for key in found if key not in exact]
        if len(found) > 1:
            raise UsageError(
                f"--labels: {name!r} fits {len(found)} photos ({found[0]}, {found[1]} …); "
                "give relative paths in the key column"
            )
        if found and "/" in name and claims.setdefault(found[0], name) != name:
            raise UsageError(
                f"--labels: {claims[found[0]]!r} and {name!r} both fit the one photo {found[0]}; "
                "give paths relative to --in in the key column"
            )
        matches.append(found[0] if found else None)
    return matches


def _cleaned(name: str) -> str:
    return _composed(printable(name.strip().replace("\\", "/")).removeprefix("./"))


def _composed(name: str) -> str:
    """One spelling of é: a Mac's file names have e + ´, tables seldom do."""
    return unicodedata.normalize("NFC", name)


def _grouped(keys: Sequence[str], name_of: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(_composed(name_of(key)), []).append(key)
    return groups


def elsewhere(names: Sequence[str], matches: Sequence[str | None]) -> list[tuple[str, str]]:
    """(row, photo) where a row's folders are not the photo's: matched by file name alone."""
    pairs = [
        (_cleaned(name), key)
        for name, key in zip(names, matches, strict=True)
        if key is not None and "/" in name
    ]
    return [
        (name, key) for name, key in pairs if not f"/{name}".endswith(f"/{_composed(key)}") and name != key
    ]
