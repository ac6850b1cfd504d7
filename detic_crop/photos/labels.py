"""The user's label table: which photos it asks for, and in which order the audit answers.

CSV in UTF-8 with commas, whose rows all have as many cells as the header, is taken as it stands. Any other
table is tidied: what is unclear in it is refused, and what was guessed is said.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TypeAlias

from detic_crop.columns import CellRows, Column, Optionals, Texts
from detic_crop.errors import UsageError, one_line
from detic_crop.naming import NameIndex, clean_path, likely_id
from detic_crop.system.whole_files import read_whole
from detic_crop.table_files.kinds import binary_kind, is_workbook, other_kind
from detic_crop.table_files.separated import (
    SEPARATORS,
    SplitError,
    numbered_rows,
    spoken,
    stated_separator,
)
from detic_crop.table_files.text import encoding_of, first_bad_byte, opened
from detic_crop.table_files.workbook import LibraryMissingError, Workbook, WorkbookError
from detic_crop.wording import counted, either

_WINDOWS = "cp1252"
_MARK = "\ufeff"
_TRIED = 1000
"""Rows that are tried when it is asked which column names the photos."""
_SHOWN = 20
"""Columns that a message lists."""
_HARDLY = 0.1
"""Share of the rows and of the photos below which a match is hardly any."""

_NumberedRow: TypeAlias = tuple[int, list[str]]


@dataclass(frozen=True, slots=True)
class Labels:
    """A label table.

    Attributes:
        columns: names in the header.
        rows: rows as strings, in file order.
        key_column: the column that names the photo.
        data: the table as CSV, which is saved with the run: the file's own bytes if it was that.
        notes: sentences about what was guessed.
        name: file name; empty where it is not known.
    """

    columns: list[str]
    rows: Sequence[Sequence[str]]
    key_column: str
    data: bytes = b""
    notes: Sequence[str] = field(default=(), compare=False)
    name: str = field(default="", compare=False)

    def names(self) -> Column:
        """Return what each row calls its photo."""
        index = self.columns.index(self.key_column)
        return Texts(row[index] for row in self.rows)


def read_labels(path: Path, key_column: str, photos: Iterable[str] = ()) -> Labels:
    """Read a label table: CSV with any usual separator and encoding, or an Excel workbook.

    Args:
        path: the file.
        key_column: name of the column that names the photos, in any case.
        photos: keys of photos, so that an error can say which column names them.

    Raises:
        UsageError: no such file, no such column, or a table that cannot be read or is unclear.
    """
    try:
        data = read_whole(path)
    except OSError as error:
        raise UsageError(
            "labels_unreadable",
            f"--labels {path} cannot be read: {error.strerror}; pass a CSV file or an Excel workbook",
        ) from error
    return replace(parse_labels(data, key_column, str(path), photos), name=path.name)


def parse_labels(data: bytes, key_column: str, name: str, photos: Iterable[str] = ()) -> Labels:
    """Return the table in the bytes of a file called `name`; see `read_labels`."""
    labels = plain_labels(data, key_column)
    if labels is None or _differ(labels.rows, columns_named(labels.columns, key_column)):
        labels = _tidied(data, key_column, name, photos)
    if repeated := [column for column, count in Counter(labels.columns).items() if count > 1]:
        note = f"labels: several columns of {name} have the same name: {_listed(repeated)}"
        return replace(labels, notes=[*labels.notes, note])
    return labels


# ---------------------------------------------------------------- as it stands


def plain_labels(data: bytes, key_column: str) -> Labels | None:
    """Return a table that is CSV in UTF-8 with commas as it stands; None if it is not, or lacks the column.

    Rows have as many cells as the header; blank lines are passed over.
    """
    try:
        reader = csv.reader(opened(data, "utf-8-sig"), strict=True)
        columns = next(reader, [])
        if key_column not in columns:
            return None
        rows = CellRows(len(columns))
        rows.extend(_of_width(filter(None, reader), len(columns)))
    except (UnicodeDecodeError, csv.Error, ValueError):
        return None
    return Labels(columns, rows, key_column, data) if rows else None


def _of_width(rows: Iterable[list[str]], width: int) -> Iterator[list[str]]:
    for row in rows:
        if len(row) != width:
            raise ValueError(f"expected {width} cells, got {len(row)}")
        yield row


# ---------------------------------------------------------------- tidied


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to read a file as a table.

    Attributes:
        what: this way in words.
        place: what the number of a row counts: lines, or rows of a sheet.
        rows: yields (number, cells) of the header and of each row.
    """

    what: str
    place: str
    rows: Callable[[], Iterator[_NumberedRow]]

    def header(self) -> list[str]:
        """Return the first row, without empty cells behind it; raises `SplitError`, `WorkbookError`."""
        _, header = next(self.rows(), (0, []))
        return _without_empty_end([name.strip(_MARK) for name in header])


def _tidied(data: bytes, key_column: str, name: str, photos: Iterable[str]) -> Labels:
    """Return the table of a file that is not plain CSV.

    Raises:
        UsageError: see `read_labels`.
    """
    try:
        readings, notes = _readings(data, name)
        reading, header, key = _chosen(readings, key_column, data, name, photos)
        rows, row_notes = _tidy_rows(reading, header, key, name)
    except LibraryMissingError as error:
        raise UsageError(
            "missing_extra",
            f"--labels {name} needs openpyxl, which cannot be imported ({error}); "
            "pip install 'detic-crop[xlsx]', or save the table as CSV in UTF-8",
        ) from error
    except WorkbookError as error:
        raise UsageError(
            "labels_not_workbook",
            f"--labels {name} is an Excel workbook that cannot be read ({one_line(error, 200)}); "
            "save it as CSV in UTF-8",
        ) from error
    except SplitError as error:
        raise UsageError("labels_not_csv", f"--labels {name} is not a CSV table: it has {error}") from error
    if reading.place == "row" and len(readings) > 1:
        notes.append(f"{reading.what} of {name} was taken, which has the column {header[key]!r}")
    notes = [f"labels: {note}" for note in [*notes, *row_notes]]
    return Labels(header, rows, header[key], _as_csv(header, rows), notes)


def _readings(data: bytes, name: str) -> tuple[list[_Reading], list[str]]:
    """Return the ways to read a file, the likeliest first, and what was guessed.

    Raises:
        UsageError: it is neither text nor a workbook.
    """
    if is_workbook(data):
        book = Workbook(data)
        return [_Reading(f"sheet {title!r}", "row", partial(book.rows, title)) for title in book.sheets], []
    if binary_kind(data) is not None and (kind := other_kind(data)) is not None:
        raise UsageError("labels_not_table", f"--labels {name} is {kind.what}; {kind.advice}")
    encoding, notes = _encoding(data, name)
    first = opened(data, encoding).readline(200)
    stated = stated_separator(first)
    separators = (stated,) if stated else SEPARATORS

    def rows_with(separator: str) -> Iterator[_NumberedRow]:
        lines = opened(data, encoding)
        if stated:
            lines.readline()
        return ((line + bool(stated), cells) for line, cells in numbered_rows(lines, separator))

    return [
        _Reading(f"separated by {spoken(separator)}", "line", partial(rows_with, separator))
        for separator in separators
    ], notes


def _encoding(data: bytes, name: str) -> tuple[str, list[str]]:
    """Return the encoding of a text, and what was guessed.

    Raises:
        UsageError: it is none that is read.
    """
    encoding = encoding_of(data)
    place = first_bad_byte(data, encoding)
    if place is None:
        return encoding, []
    other = None if encoding != "utf-8" or b"\0" in data else first_bad_byte(data, _WINDOWS)
    if encoding != "utf-8" or b"\0" in data or other is not None:
        raise UsageError(
            "labels_not_utf8",
            f"--labels {name} is neither UTF-8 nor UTF-16 nor Windows-1252 (byte {place}); save it as UTF-8 "
            "(in Excel: CSV UTF-8)",
        )
    start = max(data.rfind(b"\n", 0, place), data.rfind(b"\r", 0, place)) + 1
    start = max(start, place - 20)
    around = re.split(r"[\r\n]", data[start : place + 20].decode(_WINDOWS))[0]
    return _WINDOWS, [
        f"{name} is not UTF-8 and was read as Windows-1252 (…{around}…); if a letter is wrong, save it as "
        "UTF-8"
    ]


def _chosen(
    readings: Sequence[_Reading], key_column: str, data: bytes, name: str, photos: Iterable[str]
) -> tuple[_Reading, list[str], int]:
    """Return the reading whose header has the key column, that header, and the column's index.

    Raises:
        UsageError: none has it, or several have.
        SplitError, WorkbookError: the file cannot be read at all.
    """
    headers: list[tuple[_Reading, list[str]]] = []
    problem: SplitError | None = None
    for reading in readings:
        try:
            headers.append((reading, reading.header()))
        except SplitError as error:  # quoted cells between other separators are not a valid row
            problem = problem or error
    if not headers and problem is not None:
        raise problem
    found = [(each, header, keys) for each, header in headers if (keys := columns_named(header, key_column))]
    if not found:
        raise _no_column([pair for pair in headers if pair[1]], key_column, data, name, photos)
    reading, header, keys = found[0]
    if len(found) > 1 and reading.place == "row":
        names = ", ".join(each.what for each, _, _ in found[:_SHOWN])
        raise UsageError(
            "labels_unclear_sheet",
            f"--labels {name} has a column {key_column!r} on {len(found)} sheets ({names}); "
            "leave one of them, or save the one that counts as CSV in UTF-8",
        )
    if len(keys) > 1 and _differ((cells for _, cells in islice(reading.rows(), 1, None)), keys):
        names = ", ".join(repr(header[key]) for key in keys)
        raise UsageError(
            "labels_unclear_column",
            f"--labels {name} has {len(keys)} columns that may be {key_column!r} ({names}) and differ; "
            "rename all but the one that names the photos",
        )
    return reading, header, keys[0]


def columns_named(columns: Sequence[str], name: str) -> list[int]:
    """Return the indices of the columns of that name; if there is none, of those alike but for case."""
    exact = [place for place, column in enumerate(columns) if column == name]
    wanted = _folded(name)
    return exact or [place for place, column in enumerate(columns) if _folded(column) == wanted]


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def _differ(rows: Iterable[Sequence[str]], columns: Sequence[int]) -> bool:
    """Return whether some columns differ in any row."""
    if len(columns) < 2:
        return False
    return any(len({row[i] if i < len(row) else "" for i in columns}) > 1 for row in rows)


def _tidy_rows(reading: _Reading, header: Sequence[str], key: int, name: str) -> tuple[CellRows, list[str]]:
    """Return the rows below the header, each as long as it, and what was added.

    Raises:
        UsageError: a row has more cells than the header, or there is none.
    """
    width = len(header)
    table = CellRows(width)
    short = first = 0

    def tidy() -> Iterator[list[str]]:
        nonlocal short, first
        for number, cells in islice(reading.rows(), 1, None):
            if len(cells) > width:
                cells = _without_empty_end(cells)
            if len(cells) > width:
                raise UsageError(
                    "labels_uneven_row",
                    f"--labels {name}: {reading.place} {number} has {len(cells)} cells, the header {width} "
                    f"({reading.what}); {_advice_on_long(reading, cells[-1])}",
                )
            if len(cells) < width:
                if reading.place == "line":
                    short, first = short + 1, first or number
                cells += [""] * (width - len(cells))
            yield cells

    table.extend(tidy())
    if not len(table):
        raise UsageError("labels_without_rows", f"--labels {name} has a header but no rows")
    if not short:
        return table, []
    note = (
        f"rows of {name} with fewer cells than the header, whose last ones were taken for empty: {short:,} "
        f"(first: {reading.place} {first})"
    )
    return table, [note]


def _advice_on_long(reading: _Reading, cell: str) -> str:
    if reading.place == "row":
        return f"{one_line(cell, 50)!r} stands under no name: name its column, or empty the cell"
    return "a cell with the separator in it, such as a decimal comma, needs quotes"


def _without_empty_end(cells: Sequence[str]) -> list[str]:
    end = len(cells)
    while end and not cells[end - 1].strip():
        end -= 1
    return list(cells[:end])


def _as_csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """Return a table as CSV that `plain_labels` takes as it stands."""
    data = io.BytesIO()
    text = io.TextIOWrapper(data, "utf-8", newline="", write_through=True)
    # All quoted: before Python 3.13 a lone carriage return, which a name may hold, is not quoted of itself.
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(chain([columns], rows))
    return data.getvalue()


def _no_column(
    headers: Sequence[tuple[_Reading, list[str]]],
    key_column: str,
    data: bytes,
    name: str,
    photos: Iterable[str],
) -> UsageError:
    """Return the error for a table without the key column."""
    is_text = binary_kind(data) is None
    if is_text and (kind := other_kind(data)) is not None:
        return UsageError("labels_not_table", f"--labels {name} is {kind.what}; {kind.advice}")
    if is_text and b"\0" in data[:4096] and encoding_of(data) == "utf-8":
        return UsageError(
            "labels_not_utf8",
            f"--labels {name} has NUL bytes, as UTF-16 without its mark has; save it as UTF-8 (in Excel: "
            "CSV UTF-8)",
        )
    most = max((len(header) for _, header in headers), default=0)
    likely = [(reading, header) for reading, header in headers if len(header) == most]
    if is_text and most > 1 and len(likely) > 1:
        ways = " or ".join(reading.what for reading, _ in likely)
        return UsageError(
            "labels_unclear_separator",
            f"--labels {name} has no column {key_column!r}, and may be {ways} "
            f"({one_line(likely[0][1], 100)}); pass --labels-key COLUMN, or save it with one separator",
        )
    if not likely:
        known, advice = "(none)", "pass --labels-key COLUMN"
    elif not is_text and len(headers) > 1:
        known = "; ".join(f"{reading.what}: {_listed(header)}" for reading, header in headers[:5])
        advice = "pass --labels-key COLUMN"
    else:
        reading, header = likely[0]
        known = _listed(header)
        rows = (cells for _, cells in islice(reading.rows(), 1, None))
        advice = advice_on_key(header, rows, photos, key_column)
    return UsageError(
        "labels_no_column", f"--labels {name} has no column {key_column!r}; it has {known}; {advice}"
    )


def _listed(header: Sequence[str]) -> str:
    names = [one_line(name, 50) if name.strip() else "''" for name in header[:_SHOWN]]
    more = len(header) - _SHOWN
    return ", ".join(names) + (f" and {more:,} more" if more > 0 else "")


def advice_on_key(
    columns: Sequence[str], rows: Iterable[Sequence[str]], photos: Iterable[str], key_column: str
) -> str:
    """Return which column to pass as ``--labels-key``: the one whose cells name photos, if one does.

    Args:
        columns: names of the columns.
        rows: rows of the table; the first ones are tried.
        photos: keys of the photos.
        key_column: the column that was looked in.
    """
    tried = list(islice(rows, _TRIED))
    wanted: dict[str, Counter[int]] = {}  # what may be a photo → in how many cells of which columns
    for cells in tried:
        for place, cell in enumerate(cells[: len(columns)]):
            if columns[place] != key_column and (id_ := likely_id(cell)):
                wanted.setdefault(id_, Counter())[place] += 1
    found: Counter[int] = Counter()
    for key in photos:
        found.update(wanted.pop(likely_id(key), {}))
    if not found:
        return "pass --labels-key COLUMN"
    [(best, count)] = found.most_common(1)
    named = f"names photos here ({count:,} of the first {counted(len(tried), 'row')})"
    return f"pass --labels-key {columns[best]!r}, which {named}"


# ---------------------------------------------------------------- the photo of each row


@dataclass(frozen=True, slots=True)
class LabelMatches:
    """The photo of each label row.

    Attributes:
        keys: one per row; None if the row has no photo.
        notes: sentences about how they were found.
    """

    keys: Sequence[str | None]
    notes: list[str]


def match_labels(names: Sequence[str], photos: Mapping[str, str] | Sequence[str]) -> LabelMatches:
    """Return the photo of each label row; see `naming` for what belongs together.

    Args:
        names: names of the photos in the rows.
        photos: key → path or address of every photo; or keys alone.

    Raises:
        UsageError: a name fits several photos, or differing names fit one.
    """
    known: Collection[str] = photos if isinstance(photos, Mapping | Column) else set(photos)
    if all(name in known and clean_path(name) == name for name in names):
        return LabelMatches(Optionals(names), [])  # nearly always, and it takes no memory
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
    return LabelMatches(Optionals(found.photo_of.get(name) for name in names), notes)


def report_on(names: Sequence[str], keys: Sequence[str | None], labelled: int, photos: int) -> str:
    """Return how many rows and photos belong together, in one line.

    Args:
        names: what each row calls its photo.
        keys: photo of each row; None where there is none.
        labelled: number of photos that have a row.
        photos: number of all photos.
    """
    missing, first = 0, ""
    for name, key in zip(names, keys, strict=True):
        if key is None:
            first = first if missing else name
            missing += 1
    matched = len(names) - missing
    parts = [counted(len(names), "row"), f"{matched:,} {either(matched, 'matches', 'match')} a photo"]
    if matched != labelled:
        parts[-1] += f" ({counted(labelled, 'photo')} in all)"
    if missing:
        shown = one_line(first, 100) if first.strip() else "an empty cell"
        parts.append(f"{missing:,} {either(missing, 'does', 'do')} not (first: {shown})")
    if left := photos - labelled:
        are_left = either(left, "has no label and is left out", "have no label and are left out")
        parts.append(f"{counted(left, 'photo')} {are_left}")
    return f"labels: {', '.join(parts)}"


def is_hardly_any(rows: int, matched: int, photos: int, labelled: int) -> bool:
    """Return whether so few rows have a photo, and so few photos a row, that something must be wrong."""
    return matched < _HARDLY * rows and labelled < _HARDLY * photos
