"""What ultralytics' `results.to_json()` writes: one JSON for each photo, named after it, corners in pixels.

The photo stands nowhere in it. Turned boxes have four corners, x1 y1 … x4 y4; the box around them counts.
"""

from __future__ import annotations

from typing import Any

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.detectors.boxes_file.json_items import mapping
from detic_crop.detectors.boxes_file.numbers import checked_score, edges_of_size
from detic_crop.detectors.boxes_file.shapes import around, number
from detic_crop.detectors.boxes_file.table import Box, BoxesTable, RowError


def is_result(content: Any) -> bool:
    """A list of detections; an empty one is a photo without."""
    return isinstance(content, list) and all(
        isinstance(item, dict) and {"name", "class", "confidence", "box"} <= item.keys() for item in content
    )


def read_result(table: BoxesTable, place: str, path: str, content: list[dict[str, Any]]) -> None:
    """Add what one JSON says of the photo `path`."""
    table.list_photo(path, content)
    for i, item in enumerate(content):
        try:
            table.add(path, [_box(item)])
        except RowError as error:
            table.add_problem(f"{place} [{i}]", str(error), path)


def _box(item: dict[str, Any]) -> Box:
    corners = mapping(item["box"])
    count = 4 if "x4" in corners else 2
    points = [(number(corners.get(f"x{k}")), number(corners.get(f"y{k}"))) for k in range(1, count + 1)]
    xmin, ymin, xmax, ymax = around(points)
    edges = edges_of_size((xmin, ymin, xmax - xmin, ymax - ymin))
    score = checked_score(number(item["confidence"]))
    return Box(*edges, score, str(item["name"] or UNKNOWN_CLASS))
