"""VGG Image Annotator (VIA 1 and 2): projects, annotations as JSON, annotations as CSV; pixels.

A photo without regions is one where nothing was found. Points and lines have no area and are left out. The
class is the region's attribute, where there is one; of several, the one that is called so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from detic_crop.detectors.boxes_file.csv_dicts import header_of, rows_of
from detic_crop.detectors.boxes_file.drafts import Draft
from detic_crop.detectors.boxes_file.json_items import list_of, mapping, path_of
from detic_crop.detectors.boxes_file.judge import settle
from detic_crop.detectors.boxes_file.numbers import shown
from detic_crop.detectors.boxes_file.per_photo import named_drafts
from detic_crop.detectors.boxes_file.shapes import Edges, add_made, around, around_ellipse, draft, number
from detic_crop.detectors.boxes_file.table import BoxesTable, RowError

_CLASS_KEYS = ("class", "class_name", "label", "name", "species", "category", "type")
_WITHOUT_AREA = frozenset({"point", "line", "polyline"})
_METADATA = "_via_img_metadata"

Region = tuple[str, dict[str, Any], dict[str, Any]]  # place, shape attributes, region attributes


def is_via(content: Any) -> bool:
    photos = mapping(content).get(_METADATA, content)
    return isinstance(photos, dict) and any(
        {"filename", "regions"} <= mapping(item).keys() for item in photos.values()
    )


def via(content: dict[str, Any]) -> BoxesTable:
    photos: list[tuple[str, str, list[Region]]] = []
    for key, item in mapping(content.get(_METADATA, content)).items():
        if isinstance(item, dict) and {"filename", "regions"} <= item.keys():
            regions = item["regions"]
            numbered = regions.items() if isinstance(regions, dict) else enumerate(list_of(regions))
            photos.append(
                (path_of(item["filename"]), key, [_region(f"{key} regions[{i}]", r) for i, r in numbered])
            )
    return _table(photos)


def _region(place: str, region: object) -> Region:
    values = mapping(region)
    return place, mapping(values.get("shape_attributes")), mapping(values.get("region_attributes"))


def is_via_csv(text: str) -> bool:
    return set(header_of(text)) >= {"filename", "region_shape_attributes", "region_attributes"}


def via_csv(text: str) -> BoxesTable:
    return _table(list(_csv_photos(text)))


def _csv_photos(text: str) -> Iterator[tuple[str, str, list[Region]]]:
    for place, row in rows_of(text):
        shape = _json_cell(row["region_shape_attributes"])
        attributes = _json_cell(row["region_attributes"])
        yield path_of(row["filename"]), place, [(place, shape, attributes)] if shape else []


def _json_cell(cell: str) -> dict[str, Any]:
    try:
        return mapping(json.loads(cell or "{}"))
    except (ValueError, RecursionError):
        return {"name": f"none, but {cell}"}  # as a shape no known one, as attributes no more than a name


def _table(photos: list[tuple[str, str, list[Region]]]) -> BoxesTable:
    table = BoxesTable()
    drafts = named_drafts(table)
    used = {key for _, _, regions in photos for _, _, attributes in regions for key in attributes}
    key = next(iter(used)) if len(used) == 1 else next((key for key in _CLASS_KEYS if key in used), "")
    for path, place, regions in photos:
        if not path:
            drafts.add_problem(place, "expected a file name in `filename`, got none")
            continue
        table.list_photo(path, regions)
        for where, shape, attributes in regions:
            kind = str(shape.get("name"))
            if kind in _WITHOUT_AREA:
                table.leave_out(path, f"regions of the type {kind}, which have no area,")
                continue
            add_made(drafts, where, path, _draft, kind, shape, attributes.get(key))
    if key:
        table.notes.append(f"class names are those of the region attribute `{key}`")
    return settle(drafts)


def _draft(kind: str, shape: dict[str, Any], class_value: object) -> Draft:
    return draft(_edges(kind, shape), _class_name(class_value))


def _edges(kind: str, shape: dict[str, Any]) -> Edges:
    def of(*names: str) -> list[float]:
        return [number(shape.get(name)) for name in names]

    if kind == "rect":
        x, y, width, height = of("x", "y", "width", "height")
        return x, y, x + width, y + height
    if kind == "circle":
        x, y, radius = of("cx", "cy", "r")
        return x - radius, y - radius, x + radius, y + radius
    if kind == "ellipse":
        x, y, a, b = of("cx", "cy", "rx", "ry")
        return around_ellipse(x, y, a, b, number(shape.get("theta") or 0))
    if kind == "polygon":
        across, down = list_of(shape.get("all_points_x")), list_of(shape.get("all_points_y"))
        if len(across) != len(down):
            raise RowError(f"expected as many x as y, got {len(across)} and {len(down)}")
        return around([(number(x), number(y)) for x, y in zip(across, down, strict=True)])
    raise RowError(f"expected a rect, circle, ellipse or polygon, got {shown(kind)}")


def _class_name(value: object) -> str:
    """Return a text, or the first box that is ticked ({"whale": true})."""
    if isinstance(value, dict):
        return next((str(name) for name, ticked in value.items() if ticked), "")
    return str(value or "")
