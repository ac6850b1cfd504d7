"""labelme: one JSON for each photo; pixels. The upright box around each shape that has an area counts."""

from __future__ import annotations

import math
from typing import Any

from detic_crop.detectors.boxes_file.drafts import Draft, Drafts
from detic_crop.detectors.boxes_file.json_items import mapping, state_size
from detic_crop.detectors.boxes_file.numbers import shown
from detic_crop.detectors.boxes_file.shapes import Edges, add_made, around, draft, points_of
from detic_crop.detectors.boxes_file.table import RowError

_WITHOUT_AREA = frozenset({"point", "points", "line", "linestrip"})


def is_labelme(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def stated_photo(content: dict[str, Any]) -> str | None:
    path = content.get("imagePath")
    return path if isinstance(path, str) else None


def read_labelme(drafts: Drafts, place: str, path: str, content: dict[str, Any]) -> None:
    """Add what one JSON says of the photo `path`."""
    drafts.table.list_photo(path, content["shapes"])
    state_size(drafts.table, place, path, content.get("imageWidth"), content.get("imageHeight"))
    for i, shape in enumerate(map(mapping, content["shapes"])):
        kind = str(shape.get("shape_type") or "polygon")
        if kind in _WITHOUT_AREA:
            drafts.table.leave_out(path, f"shapes of the type {kind}, which have no area,")
            continue
        add_made(drafts, f"{place} shapes[{i}]", path, _draft, kind, shape)


def _draft(kind: str, shape: dict[str, Any]) -> Draft:
    return draft(_edges(kind, shape.get("points")), shape.get("label"))


def _edges(kind: str, values: object) -> Edges:
    points = points_of(values)
    if kind == "circle":
        if len(points) != 2:
            raise RowError(f"expected the centre and a point of the circle, got {shown(values)}")
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return x - radius, y - radius, x + radius, y + radius
    return around(points)
