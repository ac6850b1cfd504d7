"""Boxes files as people have them: bytes → boxes per photo, with every row that makes no sense named.

Read are, by content and not by the file's name:

- CSV with a header (`,`, else `;` or tab; UTF-8, with or without a byte-order mark): an image column and
  either `box`/`bbox` ("x1 y1 x2 y2", "[[x1 y1 x2 y2] …]", commas or brackets as one likes), four corner
  columns, or columns named exactly x, y, w, h; optional score and class columns. Several rows, or several
  boxes in a cell, are several boxes; empty box cells are none, the original data set's "not found".
- MegaDetector JSON: normalised left, top, width, height.
- COCO data set JSON and COCO results whose `image_id` is the file name: left, top, width, height in pixels.

Nothing here looks at photos; `boxes_file` matches the paths with them and knows their sizes.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from detic_crop.boxes.choose import UNKNOWN_CLASS

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

# Far beyond any photo, and far below where float32 turns to infinity.
MAX_PIXEL = 1e7
# A normalised box may reach a little past the photo; a number this large is a pixel.
MAX_NORMALISED = 2.0
SHOWN_CHARACTERS = 60

_SQUARE = str.maketrans("()", "[]")
_NESTED = re.compile(r"\[[\s,]*(?:\[[^\[\]]*\][\s,]*)+\]")
_INNER = re.compile(r"\[([^\[\]]*)\]")
_SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")


class FormatError(ValueError):
    """The file as a whole cannot be used; the message says what was expected, what was there, what to do."""


class _RowError(ValueError):
    """One row, or one JSON item, cannot be used; the message says why, without the place."""


class Box(NamedTuple):
    """One box: edges in pixels, or in shares of the photo's sides where the table is normalised."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float
    score: float
    class_name: str


class Problem(NamedTuple):
    """A row that cannot be used: where ("line 17", "images[3].detections[0]") and why."""

    place: str
    text: str


@dataclass(slots=True)
class Entry:
    """What the file says of one photo; any problem spoils the whole photo."""

    boxes: list[Box] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class BoxesTable:
    """A parsed boxes file.

    Attributes:
        entries: normalised path (`clean_path`) → what is said of that photo, in the file's order.
        problems: every row that cannot be used, also those that name no photo, in the file's order.
        normalised: boxes are shares of the photo's sides and not pixels.
        declared_classes: names that the file's own category list offers, used or not.
        good_rows: rows that could be used.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    normalised: bool = False
    declared_classes: set[str] = field(default_factory=set)
    good_rows: int = 0

    def add(self, path: str, boxes: Sequence[Box] = ()) -> None:
        """A usable row; without boxes it says that the photo has none."""
        self.entry(path).boxes.extend(boxes)
        self.good_rows += 1

    def entry(self, path: str) -> Entry:
        """The entry of that photo, from now on in the file's list of photos."""
        return self.entries.setdefault(path, Entry())

    def add_problem(self, place: str, text: str, path: str = "") -> None:
        """A row that cannot be used; `path` is empty when it names no photo."""
        problem = Problem(place, text)
        self.problems.append(problem)
        if path:
            self.entry(path).problems.append(problem)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Every class in the file, sorted; empty (open names) when it has none."""
        names = {box.class_name for entry in self.entries.values() for box in entry.boxes}
        names |= self.declared_classes
        return () if names <= {UNKNOWN_CLASS} else tuple(sorted(names))


def clean_path(path: str) -> str:
    """The one spelling of a path that keys and entries share: `/` between parts, no `./`, no outer blanks."""
    path = path.strip().replace("\\", "/")
    if "./" in path or "//" in path:
        root = "/" if path.startswith("/") else ""
        path = root + "/".join(part for part in path.split("/") if part.strip() not in ("", ".")).strip()
    return path


def parse_boxes(data: bytes) -> BoxesTable:
    """Read a boxes file of any dialect.

    Raises:
        FormatError: not UTF-8, empty, of no known dialect, or without a single usable row.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"expected UTF-8 text, got byte 0x{data[error.start]:02x} at offset {error.start}; "
            "save the file as UTF-8"
        ) from error
    if not text.strip():
        raise FormatError("expected a CSV or JSON file with boxes, got an empty file")
    table = _read_json(text) if text.lstrip()[0] in "{[" else _read_csv(text)
    _check_usable(table)
    return table


def _check_usable(table: BoxesTable) -> None:
    if not table.entries and not table.problems:
        raise FormatError("expected at least one photo, got none; is this the right file?")
    if table.problems and not table.good_rows:
        shown = "; ".join(f"{place}: {text}" for place, text in table.problems[:3])
        raise FormatError(
            f"expected rows with boxes, got {len(table.problems)} that cannot be used and no other ({shown})"
        )
    if table.normalised:
        return
    largest = max(
        (max(box[:4]) for entry in table.entries.values() for box in entry.boxes),
        default=math.inf,
    )
    # Taken as pixels these would be crops of the first pixel, every one, without any complaint.
    if largest <= 1:
        raise FormatError(
            f"expected boxes in pixels, got no coordinate above {largest:g}: they look normalised; "
            "multiply them by the photo's width and height, or give MegaDetector JSON"
        )


# --- CSV ---


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which cell means what; `box` has one column (text) or four, `corners` says how four are meant."""

    header: list[str]
    image: int
    box: tuple[int, ...]
    corners: bool
    score: int | None
    class_name: int | None


def _read_csv(text: str) -> BoxesTable:
    table = BoxesTable()
    delimiter = _delimiter(text)
    layout = _layout(_header(text, delimiter))
    rows = _numbered_rows(text, delimiter)
    next(rows, None)
    for line, cells in rows:
        path = clean_path(cells[layout.image]) if layout.image < len(cells) else ""
        try:
            table.add(*_csv_row(layout, path, cells))
        except _RowError as error:
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
            f"expected an image column ({', '.join(IMAGE_COLUMNS)}), got {_shown(', '.join(header))}; "
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
        f"got {_shown(', '.join(names))}; rename the columns that hold the boxes"
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
        raise _RowError(f"expected a file name in `{layout.header[layout.image]}`, got none")
    columns = len(layout.header)
    # Spreadsheets write empty cells behind the last column; anything else there means shifted columns.
    if len(cells) < columns or "".join(cells[columns:]).strip():
        raise _RowError(
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
            raise _RowError(f"expected 4 numbers in `{layout.header[layout.box[0]]}`, got {_shown(cell)}")
        return [_edges(group) for group in groups]
    texts = [cells[column].strip() for column in layout.box]
    if not any(texts):
        return []
    names = ", ".join(f"`{layout.header[column]}`" for column in layout.box)
    numbers = _numbers(texts)
    if numbers is None:
        raise _RowError(f"expected 4 numbers in {names}, got {_shown(', '.join(texts))}")
    return [_edges(numbers) if layout.corners else _edges_of_size(numbers)]


def _cell_scores(layout: _Layout, cells: list[str], count: int) -> list[float]:
    """One score per box; 1 where the file has none (a box that a person drew has none in audit.csv)."""
    cell = cells[layout.score].strip() if layout.score is not None else ""
    if layout.score is None or not cell or not count:
        return [1.0] * count
    groups = _number_groups(cell)
    scores = None if groups is None else [score for group in groups for score in group]
    if scores is None or len(scores) != count:
        raise _RowError(
            f"expected {count} number{'s' * (count != 1)} in `{layout.header[layout.score]}`, "
            f"one per box, got {_shown(cell)}"
        )
    return [_checked_score(score) for score in scores]


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
        numbers = _numbers(texts)
        if numbers is None:
            return None
        if numbers:
            groups.append(numbers)
    return groups


def _numbers(texts: Sequence[str]) -> list[float] | None:
    # float() also reads "1_000", which is a file name rather than a number.
    try:
        return None if "_" in "".join(texts) else [float(text) for text in texts]
    except ValueError:
        return None


# --- numbers ---


def _edges(numbers: Sequence[float]) -> tuple[float, float, float, float]:
    """Corners in pixels, checked."""
    xmin, ymin, xmax, ymax = numbers
    _check_range(numbers, MAX_PIXEL)
    if not (xmin < xmax and ymin < ymax):
        raise _RowError(
            f"expected xmin < xmax and ymin < ymax, got {_joined(numbers)}; "
            "left, top, width, height go in columns named x, y, w, h"
        )
    return xmin, ymin, xmax, ymax


def _edges_of_size(numbers: Sequence[float], limit: float = MAX_PIXEL) -> tuple[float, float, float, float]:
    """Left, top, width, height, in pixels or shares of the photo, checked, as corners."""
    left, top, width, height = numbers
    _check_range(numbers, limit)
    if not (width > 0 and height > 0):
        raise _RowError(f"expected a width and height above 0, got {_joined(numbers)}")
    return left, top, left + width, top + height


def _check_range(numbers: Sequence[float], limit: float) -> None:
    if not all(map(math.isfinite, numbers)):
        raise _RowError(f"expected finite numbers, got {_joined(numbers)}")
    if max(numbers) > limit or min(numbers) < -limit:
        unit = "normalised numbers, 0 to 1" if limit == MAX_NORMALISED else f"at most {limit:,.0f} px"
        raise _RowError(f"expected {unit}, got {_joined(numbers)}")


def _checked_score(score: float) -> float:
    if not 0 <= score <= 1:
        raise _RowError(f"expected a score from 0 to 1, got {score:g}")
    return score


def _joined(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:.10g}" for number in numbers)


def _shown(value: object) -> str:
    """`value` for a message, quoted, cut where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


# --- JSON ---


def _read_json(text: str) -> BoxesTable:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"expected JSON, got text that cannot be read as such ({error})") from error
    if isinstance(content, list):
        return _coco_results(content)
    images = content.get("images")
    if isinstance(images, list) and isinstance(content.get("annotations"), list):
        return _coco_dataset(content)
    if isinstance(images, list) and (not images or any("file" in _mapping(image) for image in images)):
        return _megadetector(content)
    raise FormatError(
        "expected MegaDetector JSON (images with `file` and `detections`), a COCO data set "
        f"(images, annotations) or a list of COCO results, got keys {_shown(', '.join(content))}"
    )


def _megadetector(content: dict[str, Any]) -> BoxesTable:
    images = content["images"]
    items = [item for image in images for item in _list(_mapping(image).get("detections"))]
    known = {str(key): str(name) for key, name in _mapping(content.get("detection_categories")).items()}
    name_of = _category_names(known, items, "category")
    table = BoxesTable(normalised=True, declared_classes=set(known.values()))
    for i, image in enumerate(map(_mapping, images)):
        path, place = _path(image.get("file")), f"images[{i}]"
        detections = image.get("detections", False)
        if not path:
            table.add_problem(place, f"expected a file name in `file`, got {_shown(image.get('file'))}")
        elif image.get("failure"):
            # Not the same as "nothing found": nobody has looked at this photo.
            table.add_problem(place, f"expected boxes, got the failure {_shown(image['failure'])}", path)
        elif detections is None or detections == []:
            table.add(path)
        elif not isinstance(detections, list):
            table.add_problem(place, "expected a list in `detections`, got none", path)
        else:
            for j, item in enumerate(map(_mapping, detections)):
                name = name_of(item.get("category"))
                _add_item(table, f"{place}.detections[{j}]", path, item, item.get("conf"), name)
    return table


def _coco_dataset(content: dict[str, Any]) -> BoxesTable:
    annotations = content["annotations"]
    known = {
        str(category["id"]): str(category["name"])
        for category in map(_mapping, _list(content.get("categories")))
        if "id" in category and "name" in category
    }
    name_of = _category_names(known, annotations, "category_id")
    table = BoxesTable(declared_classes=set(known.values()))
    paths: dict[str, str] = {}
    for i, image in enumerate(map(_mapping, content["images"])):
        path, key = _path(image.get("file_name")), str(image.get("id"))
        if not path or "id" not in image:
            table.add_problem(f"images[{i}]", "expected an `id` and a `file_name`, got one or none", path)
        elif paths.get(key, path) != path:
            table.add_problem(f"images[{i}]", f"expected an `id` of its own, got {key} a second time", path)
        else:
            paths[key] = path
            table.entry(path)
    for i, item in enumerate(map(_mapping, annotations)):
        place, key = f"annotations[{i}]", str(item.get("image_id"))
        if key in paths:
            name = name_of(item.get("category_id"))
            _add_item(table, place, paths[key], item, item.get("score"), name)
        else:
            table.add_problem(place, f"expected the `image_id` of one of the images, got {_shown(key)}")
    return table


def _coco_results(results: list[Any]) -> BoxesTable:
    name_of = _category_names({}, results, "category_id")
    table = BoxesTable()
    for i, item in enumerate(map(_mapping, results)):
        image = item.get("image_id")
        if isinstance(image, int):
            raise FormatError(
                f"expected file names in `image_id`, got the number {image} at [{i}]; give a COCO data set "
                "JSON (images, annotations, categories), or results whose image_id is the file name"
            )
        path = _path(image)
        if path:
            name = name_of(item.get("category_id"))
            _add_item(table, f"[{i}]", path, item, item.get("score"), name)
        else:
            table.add_problem(f"[{i}]", f"expected a file name in `image_id`, got {_shown(image)}")
    return table


def _add_item(
    table: BoxesTable, place: str, path: str, item: dict[str, Any], score: object, class_name: str
) -> None:
    """One detection of any of the JSON dialects; an empty or null `bbox` says that there is no box."""
    bbox = item.get("bbox", "none")
    if bbox is None or bbox == []:
        table.add(path)
        return
    try:
        numbers = [_json_number(value) for value in _list(bbox)]
        if len(numbers) != 4:
            raise _RowError(f"expected 4 numbers in `bbox`, got {_shown(bbox)}")
        edges = _edges_of_size(numbers, MAX_NORMALISED if table.normalised else MAX_PIXEL)
        checked = 1.0 if score is None else _checked_score(_json_number(score))
        table.add(path, [Box(*edges, checked, class_name)])
    except _RowError as error:
        table.add_problem(place, str(error), path)


def _category_names(known: dict[str, str], items: Sequence[object], key: str) -> Callable[[object], str]:
    """How this file's category ids are called.

    Without any names one id tells nothing, so its boxes are `unknown`, which is always eligible. Several ids
    do tell boxes apart: they stay apart as `category ID`, so nobody crops boats along with whales unasked.
    """
    used = {str(value) for value in (_mapping(item).get(key) for item in items) if value is not None}
    anonymous = not known and len(used) <= 1

    def name_of(category: object) -> str:
        if category is None or anonymous:
            return UNKNOWN_CLASS
        return known.get(str(category), f"category {category}")

    return name_of


def _json_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _RowError(f"expected a number, got {_shown(value)}")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _path(value: object) -> str:
    return clean_path(value) if isinstance(value, str) else ""
