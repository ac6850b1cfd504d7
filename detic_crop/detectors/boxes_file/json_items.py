"""What the JSON dialects have in common: an item with a `bbox`, and names of categories."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.detectors.boxes_file.numbers import (
    MAX_NORMALISED,
    MAX_PIXEL,
    checked_score,
    edges_of_size,
    shown,
)
from detic_crop.detectors.boxes_file.table import Box, BoxesTable, RowError, clean_path


def add_item(
    table: BoxesTable, place: str, path: str, item: dict[str, Any], score: object, class_name: str
) -> None:
    """One detection of any of the JSON dialects; an empty or null `bbox` says that there is no box."""
    bbox = item.get("bbox", "none")
    if bbox is None or bbox == []:
        table.add(path)
        return
    try:
        numbers = [_json_number(value) for value in list_of(bbox)]
        if len(numbers) != 4:
            raise RowError(f"expected 4 numbers in `bbox`, got {shown(bbox)}")
        edges = edges_of_size(numbers, MAX_NORMALISED if table.normalised else MAX_PIXEL)
        checked = 1.0 if score is None else checked_score(_json_number(score))
        table.add(path, [Box(*edges, checked, class_name)])
    except RowError as error:
        table.add_problem(place, str(error), path)


def category_names(known: dict[str, str], items: Sequence[object], key: str) -> Callable[[object], str]:
    """How this file's category ids are called.

    Without any names one id tells nothing, so its boxes are `unknown`, which is always eligible. Several ids
    do tell boxes apart: they stay apart as `category ID`, so nobody crops boats along with whales unasked.
    """
    used = {str(value) for value in (mapping(item).get(key) for item in items) if value is not None}
    anonymous = not known and len(used) <= 1

    def name_of(category: object) -> str:
        if category is None or anonymous:
            return UNKNOWN_CLASS
        return known.get(str(category), f"category {category}")

    return name_of


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
