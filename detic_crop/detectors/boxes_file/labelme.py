"""labelme: one JSON for each photo; pixels. The upright box around each shape that has an area counts."""

from __future__ import annotations

import math
from typing import Any

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.detectors.boxes_file.json_items import mapping
from detic_crop.detectors.boxes_file.numbers import edges_of_size, shown
from detic_crop.detectors.boxes_file.shapes import Edges, around, points_of, size_of
from detic_crop.detectors.boxes_file.table import Box, BoxesTable, RowError

_WITHOUT_AREA = frozenset({"point", "points", "line", "linestrip"})


def is_labelme(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def stated_photo(content: dict[str, Any]) -> str | None:
    path = content.get("imagePath")
    return path if isinstance(path, str) else None


def read_labelme(table: BoxesTable, place: str, path: str, content: dict[str, Any]) -> None:
    """Add what one JSON says of the photo `path`."""
    table.list_photo(path, content["shapes"])
    size = size_of(content.get("imageWidth"), content.get("imageHeight"))
    if size:
        table.state_size(place, path, size)
    for i, shape in enumerate(map(mapping, content["shapes"])):
        kind = str(shape.get("shape_type") or "polygon")
        if kind in _WITHOUT_AREA:
            table.leave_out(path, f"shapes of the type {kind}, which have no area")
            continue
        try:
            xmin, ymin, xmax, ymax = _edges(kind, shape.get("points"))
            box = edges_of_size((xmin, ymin, xmax - xmin, ymax - ymin))
        except RowError as error:
            table.add_problem(f"{place} shapes[{i}]", str(error), path)
        else:
            table.add(path, [Box(*box, 1.0, str(shape.get("label") or UNKNOWN_CLASS))])


def _edges(kind: str, values: object) -> Edges:
    points = points_of(values)
    if kind == "circle":
        if len(points) != 2:
            raise RowError(f"expected the centre and a point of the circle, got {shown(values)}")
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return x - radius, y - radius, x + radius, y + radius
    return around(points)
