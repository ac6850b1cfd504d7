"""Supervisely: one JSON for each photo (`x.jpg.json`), objects of points in pixels."""

from __future__ import annotations

from typing import Any

from detic_crop.detectors.boxes_file.drafts import Draft, Drafts
from detic_crop.detectors.boxes_file.json_items import list_of, mapping, state_size
from detic_crop.detectors.boxes_file.shapes import add_made, around, draft, points_of

_WITH_AREA = frozenset({"rectangle", "polygon"})


def is_supervisely(content: Any) -> bool:
    return isinstance(content, dict) and {"size", "objects"} <= content.keys()


def read_supervisely(drafts: Drafts, place: str, path: str, content: dict[str, Any]) -> None:
    """Add what one JSON says of the photo `path`."""
    objects, size = list_of(content["objects"]), mapping(content["size"])
    drafts.table.list_photo(path, objects)
    state_size(drafts.table, place, path, size.get("width"), size.get("height"))
    for i, item in enumerate(map(mapping, objects)):
        kind = str(item.get("geometryType") or "none")
        if kind not in _WITH_AREA:
            drafts.table.leave_out(path, f"objects of the type {kind}")
            continue
        add_made(drafts, f"{place} objects[{i}]", path, _draft, item)


def _draft(item: dict[str, Any]) -> Draft:
    points = points_of(mapping(item.get("points")).get("exterior"))
    return draft(around(points), item.get("classTitle"))
