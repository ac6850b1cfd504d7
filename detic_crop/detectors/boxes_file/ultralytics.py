"""What ultralytics' `results.to_json()` writes: one JSON for each photo, named after it; corners.

The photo stands nowhere in it. Turned boxes have four corners, x1 y1 … x4 y4; the box around them counts.
"""

from __future__ import annotations

from typing import Any

from detic_crop.detectors.boxes_file.drafts import Draft, Drafts
from detic_crop.detectors.boxes_file.json_items import mapping
from detic_crop.detectors.boxes_file.numbers import checked_score
from detic_crop.detectors.boxes_file.shapes import add_made, around, draft, number


def is_result(content: Any) -> bool:
    """Return whether it is a list of detections, which may be empty."""
    return isinstance(content, list) and all(
        isinstance(item, dict) and {"name", "class", "confidence", "box"} <= item.keys() for item in content
    )


def read_result(drafts: Drafts, place: str, path: str, content: list[dict[str, Any]]) -> None:
    """Add what one JSON says of the photo `path`."""
    drafts.table.list_photo(path, content)
    for i, item in enumerate(content):
        add_made(drafts, f"{place} [{i}]", path, _draft, item)


def _draft(item: dict[str, Any]) -> Draft:
    corners = mapping(item["box"])
    count = 4 if "x4" in corners else 2
    points = [(number(corners.get(f"x{k}")), number(corners.get(f"y{k}"))) for k in range(1, count + 1)]
    return draft(around(points), item["name"], checked_score(number(item["confidence"])))
