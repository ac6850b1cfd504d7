"""What the JSON dialects have in common: an item with a `bbox`, and names of categories."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.detectors.boxes_file.drafts import Draft, Drafts
from detic_crop.detectors.boxes_file.ids import id_of
from detic_crop.detectors.boxes_file.masks import box_of_mask
from detic_crop.detectors.boxes_file.numbers import checked_score, shown
from detic_crop.detectors.boxes_file.sizes import stated_size
from detic_crop.detectors.boxes_file.table import BoxesTable, FormatError, RowError, clean_path

SOURCE_PHOTO = "source_photo"
"""Key under which our exports say of which photo a picture is, where its own name does not."""

NameOf = Callable[[dict[str, Any]], str]


def add_item(
    drafts: Drafts, place: str, path: str, item: dict[str, Any], score: object, name_of: NameOf
) -> None:
    """Add a detection of any JSON dialect; without a box or mask it means that the photo has none."""
    try:
        draft = _draft(item, score, name_of)
    except RowError as error:
        drafts.add_problem(place, str(error), path)
    else:
        drafts.add(place, path, () if draft is None else (draft,))


def _draft(item: dict[str, Any], score: object, name_of: NameOf) -> Draft | None:
    name = name_of(item)
    bbox, mask = item.get("bbox", "none"), item.get("segmentation")
    empty = bbox is None or bbox == [] or bbox == "none" or (isinstance(bbox, list) and not any(bbox))
    corners = box_of_mask(mask) if empty and mask else None
    if corners is None and (bbox is None or bbox == []):
        return None
    checked = 1.0 if score is None else checked_score(_json_number(score))
    if corners is not None:
        return Draft(corners, checked, name, "xyxy")
    numbers = [_json_number(value) for value in list_of(bbox)]
    if len(numbers) != 4:
        raise RowError(f"expected 4 numbers in `bbox`, got {shown(bbox)}")
    a, b, c, d = numbers
    return Draft((a, b, c, d), checked, name, rotation=_rotation(item))


def _rotation(item: dict[str, Any]) -> float:
    """Return the degrees by which a box is turned, as CVAT notes it; a mask's box includes its turn."""
    rotation = mapping(item.get("attributes")).get("rotation", item.get("rotation"))
    if rotation is None:
        return 0.0
    degrees = _json_number(rotation)
    if not math.isfinite(degrees):
        raise RowError(f"expected degrees in `rotation`, got {shown(rotation)}")
    return degrees % 360


def category_names(known: dict[str, str], items: Sequence[object], key: str) -> NameOf:
    """Return how an item's category is called.

    Without any names one id tells nothing, so its boxes are `unknown`, which is always eligible. Several ids
    do tell boxes apart: they stay apart as `category ID`. An item that has no such key says nothing, either.

    Raises (what is returned):
        RowError: the file names its categories, and this is none of them.
    """
    used = {id_of(value) for value in (mapping(item).get(key) for item in items)} - {None}
    anonymous = not known and len(used) <= 1

    def name_of(item: dict[str, Any]) -> str:
        if key not in item or anonymous:
            return UNKNOWN_CLASS
        category = id_of(item[key])
        if known and category not in known:
            raise RowError(f"expected the `{key}` of one of the categories, got {shown(item[key])}")
        return UNKNOWN_CLASS if category is None else known.get(category, f"category {category}")

    return name_of


def named_categories(pairs: Sequence[tuple[object, object]]) -> dict[str, str]:
    """Return category id → name.

    Raises:
        FormatError: one id has two names.
    """
    known: dict[str, str] = {}
    for value, name in pairs:
        category = id_of(value)
        if category is None or not isinstance(name, str | int | float):
            continue
        if known.setdefault(category, str(name)) != str(name):
            raise FormatError(
                f"expected one name for category {category}, got {shown(known[category])} and {shown(name)}"
            )
    return known


def state_size(table: BoxesTable, place: str, path: str, width: object, height: object) -> None:
    """Note the photo's size, where one is stated."""
    try:
        size = stated_size(width, height)
    except RowError as error:
        table.add_problem(place, str(error), path)
    else:
        if size is not None:
            table.state_size(place, path, size)


def _json_number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RowError(f"expected a number, got {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def path_of(value: object) -> str:
    return clean_path(value) if isinstance(value, str) else ""
