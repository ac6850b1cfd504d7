"""Supervisely: one JSON for each photo (`x.jpg.json`), objects of points in pixels."""

from __future__ import annotations

from typing import Any

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.detectors.boxes_file.json_items import list_of, mapping
from detic_crop.detectors.boxes_file.numbers import edges_of_size
from detic_crop.detectors.boxes_file.shapes import around, points_of, size_of
from detic_crop.detectors.boxes_file.table import Box, BoxesTable, RowError

_WITH_AREA = frozenset({"rectangle", "polygon"})


def is_supervisely(content: Any) -> bool:
    return isinstance(content, dict) and {"size", "objects"} <= content.keys()


def read_supervisely(table: BoxesTable, place: str, path: str, content: dict[str, Any]) -> None:
    """Add what one JSON says of the photo `path`."""
    objects = list_of(content["objects"])
    table.list_photo(path, objects)
    size = size_of(mapping(content["size"]).get("width"), mapping(content["size"]).get("height"))
    if size:
        table.state_size(place, path, size)
    for i, item in enumerate(map(mapping, objects)):
        kind = str(item.get("geometryType") or "none")
        if kind not in _WITH_AREA:
            table.leave_out(path, f"objects of the type {kind}")
            continue
        try:
            xmin, ymin, xmax, ymax = around(points_of(mapping(item.get("points")).get("exterior")))
            box = edges_of_size((xmin, ymin, xmax - xmin, ymax - ymin))
        except RowError as error:
            table.add_problem(f"{place} objects[{i}]", str(error), path)
        else:
            table.add(path, [Box(*box, 1.0, str(item.get("classTitle") or UNKNOWN_CLASS))])
