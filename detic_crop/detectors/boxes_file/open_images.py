"""Open Images' box tables: photos by their ids, shares of the photo, classes by theirs (/m/02hj4)."""

from __future__ import annotations

from detic_crop.detectors.boxes_file.csv_dicts import header_of, rows_of
from detic_crop.detectors.boxes_file.drafts import Draft, Drafts
from detic_crop.detectors.boxes_file.judge import settle
from detic_crop.detectors.boxes_file.numbers import checked_score
from detic_crop.detectors.boxes_file.shapes import add_made, draft, number
from detic_crop.detectors.boxes_file.table import BoxesTable, clean_path

_CORNERS = ("XMin", "YMin", "XMax", "YMax")
_COLUMNS = frozenset({"ImageID", "LabelName", "Confidence", *_CORNERS})


def is_open_images(text: str) -> bool:
    return set(header_of(text)) >= _COLUMNS


def open_images(text: str) -> BoxesTable:
    drafts = Drafts(BoxesTable(), "the boxes", "xywh", normalised=True)
    for place, row in rows_of(text):
        _add(drafts, place, row)
    return settle(drafts)


def _add(drafts: Drafts, place: str, row: dict[str, str]) -> None:
    path = clean_path(row["ImageID"])
    if not path:
        drafts.add_problem(place, "expected an id in `ImageID`, got none")
    elif row.get("IsGroupOf") == "1":
        drafts.table.leave_out(path, "groups (IsGroupOf)")
    else:
        add_made(drafts, place, path, _draft, row)


def _draft(row: dict[str, str]) -> Draft:
    left, top, right, bottom = (number(row[name]) for name in _CORNERS)
    score = checked_score(number(row["Confidence"].strip() or 1))
    return draft((left, top, right, bottom), row["LabelName"], score)
