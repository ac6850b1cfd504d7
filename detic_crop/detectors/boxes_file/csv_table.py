"""Boxes in a table with a header (`,`, else `;`, tab or `|`).

An image column and either `box`/`bbox` ("x1 y1 x2 y2", "[[x1 y1 x2 y2] …]", commas or brackets as one likes),
four corner columns, or columns for left, top, width, height; optional score and class columns, and the
photo's own size. Several rows, or several boxes in a cell, are several boxes; empty box cells are none, the
original data set's "not found"; so is a whole photo of score 0, where the photo's size stands beside it.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.config import BoxFormat
from detic_crop.detectors.boxes_file.drafts import Draft, Drafts, Numbers
from detic_crop.detectors.boxes_file.ids import whole
from detic_crop.detectors.boxes_file.judge import settle
from detic_crop.detectors.boxes_file.numbers import checked_score, numbers_of, shown
from detic_crop.detectors.boxes_file.sizes import SizeWH, stated_size
from detic_crop.detectors.boxes_file.table import (
    BoxesTable,
    FormatError,
    RowError,
    StatedFormatError,
    clean_path,
)
from detic_crop.images.decode import IMAGE_EXTENSIONS
from detic_crop.naming import whole_id
from detic_crop.table_files.separated import SEPARATORS, SplitError, numbered_rows

IMAGE_COLUMNS = (
    *("image", "image_id", "file", "filename", "file_name", "path"),
    *("imageid", "image_name", "image_path", "file_path", "filepath"),
)
# Columns that say themselves what their four numbers are go first.
TEXT_COLUMNS: dict[str, BoxFormat | None] = {
    **dict.fromkeys(("box_xyxy", "bbox_xyxy", "xyxy", "bbox_voc", "bbox_pascal_voc"), "xyxy"),
    **dict.fromkeys(("box_xywh", "bbox_xywh", "xywh", "bbox_ltwh", "bbox_coco"), "xywh"),
    "box": None,
    "bbox": None,
}
BOX_COLUMNS: dict[tuple[str, ...], BoxFormat] = {
    ("xmin", "ymin", "xmax", "ymax"): "xyxy",
    ("x_min", "y_min", "x_max", "y_max"): "xyxy",
    ("x1", "y1", "x2", "y2"): "xyxy",
    ("x0", "y0", "x1", "y1"): "xyxy",
    ("left", "top", "right", "bottom"): "xyxy",
    ("x", "y", "w", "h"): "xywh",
    ("left", "top", "width", "height"): "xywh",
    ("xmin", "ymin", "width", "height"): "xywh",
    ("x_min", "y_min", "width", "height"): "xywh",
    ("bbox_x", "bbox_y", "bbox_w", "bbox_h"): "xywh",
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"): "xywh",
}
# A box, or a point and the photo's own size.
UNCLEAR_COLUMNS = ("x", "y", "width", "height")
PHOTO_SIZE_COLUMNS = (
    *(("image_width", "image_height"), ("img_width", "img_height"), ("img_w", "img_h")),
    *(("photo_width", "photo_height"), ("original_width", "original_height"), ("width", "height")),
)
# Of boxes that are shares of the photo, these are a centre's as often as a corner's.
CENTRE_NAMES = {"x", "bbox_x", "bbox_xywh", "box_xywh", "xywh"}
SCORE_COLUMNS = ("score", "conf", "confidence")
CLASS_COLUMNS = ("class_name", "class", "label")
# With these the table is an audit.csv of our own, whose `box` has corners.
AUDIT_COLUMNS = {"image", "crop", "status", "reason", "box", "crop_box"}

_SQUARE = str.maketrans("()", "[]")
_NESTED = re.compile(r"\[[\s,]*(?:\[[^\[\]]*\][\s,]*)+\]")
_INNER = re.compile(r"\[([^\[\]]*)\]")
_SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_MOST = 0.9


@dataclass(frozen=True, slots=True)
class _Layout:
    """The meaning of each column.

    Attributes:
        header: column names, as in the file.
        image: the column of the photo's path.
        box: one column (text) or four.
        box_format: meaning of the numbers if it is certain, else None.
        declared: meaning of the numbers by the header's names, or None.
        usual: meaning of the numbers unless the rows contradict it, or None.
        score: column, or None.
        class_name: column, or None.
        size: columns of what may be the photo's width and height, or None.
        status: column of an audit.csv, or None.
        decimal_comma: a spreadsheet may have written 0,5 for 0.5.
    """

    header: list[str]
    image: int
    box: tuple[int, ...]
    box_format: BoxFormat | None
    declared: BoxFormat | None
    usual: BoxFormat | None
    score: int | None
    class_name: int | None
    size: tuple[int, int] | None
    status: int | None
    decimal_comma: bool

    @property
    def columns(self) -> str:
        """The box's columns, for messages."""
        return ", ".join(f"`{self.header[column].strip()}`" for column in self.box)


def read_csv(text: str, box_format: BoxFormat | None = None) -> BoxesTable:
    """Read the whole table.

    Args:
        text: content of the file.
        box_format: meaning of the four numbers as the user states it; None judges it by the rows.

    Raises:
        FormatError: it has no columns that we know, or nobody can say what its numbers mean.
    """
    delimiter = _delimiter(text)
    rows = _numbered_rows(text, delimiter)
    _, header = next(rows, (0, []))
    table = BoxesTable()
    cells_of = list(rows)
    all_cells = [cells for _, cells in cells_of]
    layout = _layout(header, all_cells, box_format, delimiter != ",")
    drafts = Drafts(
        table,
        layout.columns,
        layout.box_format,
        layout.declared,
        layout.usual,
        strict=layout.declared is None,
        as_original=_as_original(all_cells, layout.box),
        may_be_centres=box_format is None and _names(header)[layout.box[0]] in CENTRE_NAMES,
    )
    sizes: list[tuple[str, str, list[str]]] = []
    for line, cells in cells_of:
        place = f"line {line}"
        path = whole_id(clean_path(cells[layout.image])) if layout.image < len(cells) else ""
        try:
            found = _csv_row(layout, path, cells)
        except RowError as error:
            drafts.add_problem(place, str(error), path)
        else:
            drafts.add(place, path, found)
            if layout.size is not None and found:
                sizes.append((place, path, [cells[column] for column in layout.size]))
    if layout.size is not None:
        _state_sizes(drafts, layout, sizes)
    return settle(drafts)


def _numbered_rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (first line of the row in the file, its cells); see `numbered_rows`."""
    try:
        yield from numbered_rows(io.StringIO(text, newline=""), delimiter)
    except SplitError as error:
        raise FormatError(f"expected CSV, got {error}") from error


def _delimiter(text: str) -> str:
    """Return a comma, unless only another delimiter makes an image column of the header."""
    for delimiter in SEPARATORS:
        # Quoted cells between other delimiters are not a valid row; then this delimiter is wrong.
        with suppress(FormatError):
            if set(_names(_header(text, delimiter))) & set(IMAGE_COLUMNS):
                return delimiter
    return SEPARATORS[0]


def _header(text: str, delimiter: str) -> list[str]:
    _, header = next(_numbered_rows(text, delimiter), (0, []))
    return header


def _names(header: Sequence[str]) -> list[str]:
    return [name.strip().lower() for name in header]


def _layout(
    header: list[str], rows: list[list[str]], box_format: BoxFormat | None, decimal_comma: bool
) -> _Layout:
    names = _names(header)
    image = _first_column(names, IMAGE_COLUMNS)
    if image is None:
        if any(os.path.splitext(cell.strip().lower())[1] in IMAGE_EXTENSIONS for cell in header):
            raise FormatError(
                f"expected a header, got a row: {shown(', '.join(header))}; add a first line that names the "
                "columns, e.g. image,xmin,ymin,xmax,ymax"
            )
        raise FormatError(
            f"expected an image column ({', '.join(IMAGE_COLUMNS)}), got {shown(', '.join(header))}; "
            "rename the column that holds the file names"
        )
    is_audit = set(names) >= AUDIT_COLUMNS
    box, declared = _box_columns(names)
    usual: BoxFormat | None = None
    if declared is None and len(box) == 1:
        named_box = names[box[0]] == "box"
        usual = "xyxy" if named_box or _as_arrays_are_printed(rows, box[0]) else None
    elif declared is None and box_format is None:
        _check_is_box(rows, box, image)
        declared = "xywh"
    if is_audit and len(box) == 1 and names[box[0]] == "box":
        box_format, declared = box_format or "xyxy", "xyxy"
    columns = ", ".join(header[column].strip() for column in box)
    if declared and box_format and declared != box_format:
        meant = "corners" if declared == "xyxy" else "left, top, width, height"
        raise StatedFormatError(
            f"--box-format {box_format} contradicts {columns}, which is {meant}; leave it out"
        )
    if len(box) == 4 and declared is None and box_format == "xyxy":
        raise FormatError(
            f"--box-format xyxy contradicts {columns}; leave it out, or pass xywh if that is the box"
        )
    return _Layout(
        header=header,
        image=image,
        box=box,
        box_format=box_format,
        declared=declared,
        usual=usual,
        score=_first_column(names, SCORE_COLUMNS),
        class_name=_first_column(names, CLASS_COLUMNS),
        size=_size_columns(names, box),
        status=names.index("status") if is_audit else None,
        decimal_comma=decimal_comma,
    )


def _box_columns(names: list[str]) -> tuple[tuple[int, ...], BoxFormat | None]:
    """Return the box's one or four columns, and what they say they are."""
    text = _first_column(names, tuple(TEXT_COLUMNS))
    if text is not None:
        return (text,), TEXT_COLUMNS[names[text]]
    known: dict[tuple[str, ...], BoxFormat | None] = {**BOX_COLUMNS, UNCLEAR_COLUMNS: None}
    for wanted, box_format in known.items():
        found = [_first_column(names, (name,)) for name in wanted]
        columns = tuple(column for column in found if column is not None)
        if len(columns) == len(wanted):
            return columns, box_format
    raise FormatError(
        "expected a `box` or `bbox` column, or columns xmin, ymin, xmax, ymax, or x, y, w, h, "
        f"got {shown(', '.join(names))}; rename the columns that hold the boxes, or pass a table without "
        "boxes as --labels"
    )


def _size_columns(names: list[str], box: Sequence[int]) -> tuple[int, int] | None:
    for width, height in PHOTO_SIZE_COLUMNS:
        found = _first_column(names, (width,)), _first_column(names, (height,))
        if found[0] is not None and found[1] is not None and not set(found) & set(box):
            return found[0], found[1]
    return None


def _as_arrays_are_printed(rows: list[list[str]], column: int) -> bool:
    """Return whether all cells are as NumPy prints boxes: [[x1 y1 x2 y2]]."""
    cells = _texts(rows, column)
    return bool(cells) and all(cell.startswith("[[") and "," not in cell for cell in cells)


def _as_original(rows: list[list[str]], box: Sequence[int]) -> bool:
    """Return whether all cells are as the original data sets have them: also just x1 y1 x2 y2."""
    bare = all(not set(cell) & set("[](),;") for cell in _texts(rows, box[0]))
    return bare or _as_arrays_are_printed(rows, box[0])


def _texts(rows: list[list[str]], column: int) -> list[str]:
    cells = (row[column].strip() for row in rows if column < len(row))
    return [cell for cell in cells if cell]


def _check_is_box(rows: list[list[str]], box: tuple[int, ...], image: int) -> None:
    """Return whether x, y, width, height are a box, not a point in a photo of that size.

    Raises:
        FormatError: they may be that.
    """
    sizes: dict[str, Sequence[float]] = {}
    for cells in rows:
        texts = [cells[column].strip() for column in box if column < len(cells)]
        numbers = numbers_of(texts) if len(texts) == 4 and all(texts) else None
        if numbers is None or image >= len(cells):
            continue
        x, y, *size = numbers
        part = not all(side.is_integer() for side in size)  # a photo has whole pixels
        if part or x >= size[0] or y >= size[1] or sizes.setdefault(cells[image].strip(), size) != size:
            return
    raise FormatError(
        "x, y, width, height may be boxes, or points and the photos' sizes; "
        "if they are boxes, pass --box-format xywh, or call the columns x, y, w, h"
    )


def _first_column(names: list[str], wanted: Sequence[str]) -> int | None:
    for name in wanted:
        if names.count(name) > 1:
            raise FormatError(f"expected one column `{name}`, got {names.count(name)}; rename the others")
        if name in names:
            return names.index(name)
    return None


def _csv_row(layout: _Layout, path: str, cells: list[str]) -> list[Draft]:
    if not path:
        raise RowError(f"expected a file name in `{layout.header[layout.image]}`, got none")
    columns = len(layout.header)
    # Spreadsheets write empty cells behind the last column; anything else there means shifted columns.
    if len(cells) < columns or "".join(cells[columns:]).strip():
        raise RowError(
            f"expected {columns} cells, got {len(cells)}; a cell with a delimiter in it needs quotes"
        )
    if layout.status is not None and cells[layout.status].strip() == "failed":
        raise RowError("expected boxes, got a photo that failed in the run of this audit.csv")
    boxes = _cell_boxes(layout, cells)
    scores = _cell_scores(layout, cells, len(boxes))
    if scores == [0] and _is_whole_photo(layout, cells, boxes[0]):
        return []
    names = _cell_classes(layout, cells, len(boxes))
    return [Draft(*found) for found in zip(boxes, scores, names, strict=True)]


def _is_whole_photo(layout: _Layout, cells: list[str], box: Numbers) -> bool:
    """Return whether a box is the photo itself: tables without empty cells say so that nothing was found."""
    size = numbers_of([cells[column] for column in layout.size]) if layout.size else None
    return size is not None and list(box) == [0, 0, *size]


def _cell_boxes(layout: _Layout, cells: list[str]) -> list[Numbers]:
    """Return every box of a row; none when its cells are empty, the original data set's "not found"."""
    if len(layout.box) == 1:
        cell = cells[layout.box[0]]
        groups = _number_groups(cell, layout.decimal_comma)
        if groups is None or any(len(group) != 4 for group in groups):
            raise RowError(f"expected 4 numbers in {layout.columns}, got {shown(cell)}")
        return [(a, b, c, d) for a, b, c, d in groups]
    texts = [cells[column].strip() for column in layout.box]
    if not any(texts):
        return []
    numbers = numbers_of([_with_point(text, layout.decimal_comma) for text in texts])
    if numbers is None:
        raise RowError(f"expected 4 numbers in {layout.columns}, got {shown(', '.join(texts))}")
    a, b, c, d = numbers
    return [(a, b, c, d)]


def _cell_scores(layout: _Layout, cells: list[str], count: int) -> list[float]:
    """Return one score for each box; 1 if the file has none, as for a drawn box in audit.csv."""
    cell = cells[layout.score].strip() if layout.score is not None else ""
    if layout.score is None or not cell or not count:
        return [1.0] * count
    groups = _number_groups(cell, layout.decimal_comma)
    scores = None if groups is None else [score for group in groups for score in group]
    if scores is None or len(scores) != count:
        raise RowError(
            f"expected {count} number{'s' * (count != 1)} in `{layout.header[layout.score]}`, "
            f"one per box, got {shown(cell)}"
        )
    return [checked_score(score) for score in scores]


def _cell_classes(layout: _Layout, cells: list[str], count: int) -> list[str]:
    """Return one class for each box: all have that of the cell, unless it has as many, joined by ``;``."""
    cell = cells[layout.class_name].strip() if layout.class_name is not None else ""
    several = cell.split(";") if count > 1 else []
    names = several if len(several) == count else [cell] * count
    return [whole(name.strip()) or UNKNOWN_CLASS for name in names]


def _with_point(text: str, decimal_comma: bool) -> str:
    return text.replace(",", ".") if decimal_comma and _DECIMAL_COMMA.fullmatch(text) else text


def _number_groups(cell: str, decimal_comma: bool = False) -> list[list[float]] | None:
    """Return the numbers of each innermost bracket, or of the whole cell; None when it is anything else."""
    text = cell.translate(_SQUARE).strip()
    if _NESTED.fullmatch(text):
        parts = _INNER.findall(text)
    else:
        parts = [text[1:-1] if text.startswith("[") and text.endswith("]") else text]
    groups = []
    for part in parts:
        # str.split is most of the speed: a regex only where it is needed.
        texts = part.split()
        if decimal_comma and len(texts) == 1 and _DECIMAL_COMMA.fullmatch(texts[0]):
            texts = [texts[0].replace(",", ".")]
        elif "," in part or ";" in part:
            texts = _SEPARATOR.split(part.strip())
        numbers = numbers_of(texts)
        if numbers is None:
            return None
        if numbers:
            groups.append(numbers)
    return groups


# --- the photo's size ---


def _state_sizes(drafts: Drafts, layout: _Layout, cells: list[tuple[str, str, list[str]]]) -> None:
    """Note the sizes that the rows state, if the columns are the photo's size and not something else's."""
    assert layout.size is not None
    sizes: dict[str, SizeWH | None] = {}
    unread: dict[str, tuple[str, str]] = {}
    for place, path, (width, height) in cells:
        try:
            sizes[place] = stated_size(
                _with_point(width, layout.decimal_comma), _with_point(height, layout.decimal_comma)
            )
        except RowError as error:
            unread[place] = (path, str(error))
    boxes = [
        (draft.numbers, size) for row, draft in drafts.boxes() if (size := sizes.get(row.place)) is not None
    ]
    corners = (layout.box_format or layout.declared) == "xyxy"
    if boxes and sum(_is_size_of(*pair, corners) for pair in boxes) >= _MOST * len(boxes):
        return  # of the box, which the box says itself
    outside = sum(box[0] > size[0] or box[1] > size[1] for box, size in boxes)
    if len(unread) > len(sizes) or 2 * outside > len(boxes):
        width, height = (layout.header[column].strip() for column in layout.size)
        drafts.table.notes.append(
            f"columns {width}, {height} are not taken for the photos' sizes, which most boxes do not fit"
        )
        return
    for place, path, _ in cells:
        if place in unread:
            drafts.table.add_problem(place, unread[place][1], path)
        elif (size := sizes[place]) is not None:
            drafts.table.state_size(place, path, size)


def _is_size_of(box: Numbers, size: SizeWH, corners: bool) -> bool:
    """Return whether it is the box's own, and not by chance that of a photo which the box fills."""
    a, b, c, d = box
    if a < 1 and b < 1:
        return False
    between = abs(c - a - size[0]) <= 1 and abs(d - b - size[1]) <= 1
    return between or (not corners and abs(c - size[0]) <= 1 and abs(d - size[1]) <= 1)
