"""Boxes in a table with a header (`,`, else `;` or tab).

An image column and either `box`/`bbox` ("x1 y1 x2 y2", "[[x1 y1 x2 y2] …]", commas or brackets as one likes),
four corner columns, or columns named exactly x, y, w, h; optional score and class columns. Several rows, or
several boxes in a cell, are several boxes; empty box cells are none, the original data set's "not found".
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.detectors.boxes_file.numbers import checked_score, edges, edges_of_size, numbers_of, shown
from detic_crop.detectors.boxes_file.table import Box, BoxesTable, FormatError, RowError, clean_path

IMAGE_COLUMNS = ("image", "image_id", "file", "filename", "file_name", "path")
TEXT_COLUMNS = ("box", "bbox")
CORNER_COLUMNS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("x1", "y1", "x2", "y2"),
    ("x0", "y0", "x1", "y1"),
    ("left", "top", "right", "bottom"),
)
# `width` and `height` are not here: beside x and y they may as well be the photo's own size.
SIZE_COLUMNS = ("x", "y", "w", "h")
SCORE_COLUMNS = ("score", "conf", "confidence")
CLASS_COLUMNS = ("class_name", "class", "label")
DELIMITERS = (",", ";", "\t")

_SQUARE = str.maketrans("()", "[]")
_NESTED = re.compile(r"\[[\s,]*(?:\[[^\[\]]*\][\s,]*)+\]")
_INNER = re.compile(r"\[([^\[\]]*)\]")
_SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which cell means what; `box` has one column (text) or four, `corners` says how four are meant."""

    header: list[str]
    image: int
    box: tuple[int, ...]
    corners: bool
    score: int | None
    class_name: int | None


def read_csv(text: str) -> BoxesTable:
    table = BoxesTable()
    delimiter = _delimiter(text)
    layout = _layout(_header(text, delimiter))
    rows = _numbered_rows(text, delimiter)
    next(rows, None)
    for line, cells in rows:
        path = clean_path(cells[layout.image]) if layout.image < len(cells) else ""
        try:
            table.add(*_csv_row(layout, path, cells))
        except RowError as error:
            table.add_problem(f"line {line}", str(error), path)
    return table


def _numbered_rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(first line of the row in the file, its cells), rows without any content left out.

    Strict, because a quotation mark left open would otherwise swallow all further rows without a word.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if "".join(cells).strip():
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise FormatError(
            f"expected CSV, got a row that cannot be split at line {line} ({error}); "
            "is a quotation mark left open?"
        ) from error


def _delimiter(text: str) -> str:
    """A comma, unless only another delimiter makes an image column of the header."""
    for delimiter in DELIMITERS:
        # Quoted cells between other delimiters are no valid row; then this one is not it.
        with suppress(FormatError):
            if set(_names(_header(text, delimiter))) & set(IMAGE_COLUMNS):
                return delimiter
    return DELIMITERS[0]


def _header(text: str, delimiter: str) -> list[str]:
    _, header = next(_numbered_rows(text, delimiter), (0, []))
    return header


def _names(header: Sequence[str]) -> list[str]:
    return [name.strip().lower() for name in header]


def _layout(header: list[str]) -> _Layout:
    names = _names(header)
    image = _first_column(names, IMAGE_COLUMNS)
    if image is None:
        raise FormatError(
            f"expected an image column ({', '.join(IMAGE_COLUMNS)}), got {shown(', '.join(header))}; "
            "rename the column that holds the file names"
        )
    box, corners = _box_columns(names)
    return _Layout(
        header=header,
        image=image,
        box=box,
        corners=corners,
        score=_first_column(names, SCORE_COLUMNS),
        class_name=_first_column(names, CLASS_COLUMNS),
    )


def _box_columns(names: list[str]) -> tuple[tuple[int, ...], bool]:
    """The box's one or four columns, and whether four are corners and not left, top, width, height."""
    text = _first_column(names, TEXT_COLUMNS)
    if text is not None:
        return (text,), True
    for wanted in (*CORNER_COLUMNS, SIZE_COLUMNS):
        found = [_first_column(names, (name,)) for name in wanted]
        columns = tuple(column for column in found if column is not None)
        if len(columns) == len(wanted):
            return columns, wanted != SIZE_COLUMNS
    raise FormatError(
        "expected a `box` or `bbox` column, or columns xmin, ymin, xmax, ymax, or x, y, w, h, "
        f"got {shown(', '.join(names))}; rename the columns that hold the boxes"
    )


def _first_column(names: list[str], wanted: Sequence[str]) -> int | None:
    for name in wanted:
        if names.count(name) > 1:
            raise FormatError(f"expected one column `{name}`, got {names.count(name)}; rename the others")
        if name in names:
            return names.index(name)
    return None


def _csv_row(layout: _Layout, path: str, cells: list[str]) -> tuple[str, list[Box]]:
    if not path:
        raise RowError(f"expected a file name in `{layout.header[layout.image]}`, got none")
    columns = len(layout.header)
    # Spreadsheets write empty cells behind the last column; anything else there means shifted columns.
    if len(cells) < columns or "".join(cells[columns:]).strip():
        raise RowError(
            f"expected {columns} cells, got {len(cells)}; a cell with a delimiter in it needs quotes"
        )
    corners = _cell_boxes(layout, cells)
    scores = _cell_scores(layout, cells, len(corners))
    name = cells[layout.class_name].strip() if layout.class_name is not None else ""
    boxes = [Box(*box, score, name or UNKNOWN_CLASS) for box, score in zip(corners, scores, strict=True)]
    return path, boxes


def _cell_boxes(layout: _Layout, cells: list[str]) -> list[tuple[float, float, float, float]]:
    """Every box of a row as edges; none when its cells are empty, the original data set's "not found"."""
    if len(layout.box) == 1:
        cell = cells[layout.box[0]]
        groups = _number_groups(cell)
        if groups is None or any(len(group) != 4 for group in groups):
            raise RowError(f"expected 4 numbers in `{layout.header[layout.box[0]]}`, got {shown(cell)}")
        return [edges(group) for group in groups]
    texts = [cells[column].strip() for column in layout.box]
    if not any(texts):
        return []
    names = ", ".join(f"`{layout.header[column]}`" for column in layout.box)
    numbers = numbers_of(texts)
    if numbers is None:
        raise RowError(f"expected 4 numbers in {names}, got {shown(', '.join(texts))}")
    return [edges(numbers) if layout.corners else edges_of_size(numbers)]


def _cell_scores(layout: _Layout, cells: list[str], count: int) -> list[float]:
    """One score per box; 1 where the file has none (a box that a person drew has none in audit.csv)."""
    cell = cells[layout.score].strip() if layout.score is not None else ""
    if layout.score is None or not cell or not count:
        return [1.0] * count
    groups = _number_groups(cell)
    scores = None if groups is None else [score for group in groups for score in group]
    if scores is None or len(scores) != count:
        raise RowError(
            f"expected {count} number{'s' * (count != 1)} in `{layout.header[layout.score]}`, "
            f"one per box, got {shown(cell)}"
        )
    return [checked_score(score) for score in scores]


def _number_groups(cell: str) -> list[list[float]] | None:
    """The numbers of each innermost bracket, or of the whole cell; None when it is anything else."""
    text = cell.translate(_SQUARE).strip()
    if _NESTED.fullmatch(text):
        parts = _INNER.findall(text)
    else:
        parts = [text[1:-1] if text.startswith("[") and text.endswith("]") else text]
    groups = []
    for part in parts:
        # str.split is most of the speed: a regex only where it is needed.
        texts = _SEPARATOR.split(part.strip()) if "," in part or ";" in part else part.split()
        numbers = numbers_of(texts)
        if numbers is None:
            return None
        if numbers:
            groups.append(numbers)
    return groups
