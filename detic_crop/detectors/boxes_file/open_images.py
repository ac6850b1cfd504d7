"""Open Images' box tables: photos by their ids, shares of the photo, classes by theirs (/m/02hj4)."""

from __future__ import annotations

import csv
import io

from detic_crop.detectors.boxes_file.drafts import Drafts
from detic_crop.detectors.boxes_file.judge import settle
from detic_crop.detectors.boxes_file.numbers import checked_score
from detic_crop.detectors.boxes_file.shapes import draft, number
from detic_crop.detectors.boxes_file.table import BoxesTable, FormatError, RowError, clean_path

_CORNERS = ("XMin", "YMin", "XMax", "YMax")
_COLUMNS = frozenset({"ImageID", "LabelName", "Confidence", *_CORNERS})


def is_open_images(text: str) -> bool:
    header = text.partition("\n")[0]
    return {name.strip(' "\r') for name in header.split(",")} >= _COLUMNS


def open_images(text: str) -> BoxesTable:
    table = BoxesTable()
    drafts = Drafts(table, "the boxes", "xywh", normalised=True)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        for row in reader:
            _add(drafts, f"line {reader.line_num}", row)
    except csv.Error as error:
        raise FormatError(
            f"expected CSV, got a row that cannot be split at line {reader.line_num} ({error})"
        ) from error
    return settle(drafts)


def _add(drafts: Drafts, place: str, row: dict[str, str | None]) -> None:
    path = clean_path(row["ImageID"] or "")
    if not path:
        drafts.add_problem(place, "expected an id in `ImageID`, got none")
    elif row.get("IsGroupOf") == "1":
        drafts.table.leave_out(path, "groups (IsGroupOf)")
    else:
        try:
            left, top, right, bottom = (number(row[name]) for name in _CORNERS)
            score = checked_score(number(row.get("Confidence") or 1))
            box = draft((left, top, right, bottom), row["LabelName"], score)
        except RowError as error:
            drafts.add_problem(place, str(error), path)
        else:
            drafts.add(place, path, [box])
