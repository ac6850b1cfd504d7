"""CVAT for images 1.1: one XML for all photos; pixels. The upright box around each shape counts."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from detic_crop.detectors.boxes_file.drafts import Draft, Drafts
from detic_crop.detectors.boxes_file.json_items import state_size
from detic_crop.detectors.boxes_file.judge import settle
from detic_crop.detectors.boxes_file.per_photo import named_drafts
from detic_crop.detectors.boxes_file.shapes import add_made, around, around_ellipse, draft, number, points_of
from detic_crop.detectors.boxes_file.table import BoxesTable, FormatError, RowError, clean_path

_WITHOUT_AREA = frozenset({"points", "polyline", "skeleton", "cuboid"})
_SHAPES = frozenset({"box", "polygon", "ellipse", "mask"})


def is_cvat(root: Element) -> bool:
    return root.tag == "annotations" and (root.find("image") is not None or root.find("track") is not None)


def cvat(root: Element) -> BoxesTable:
    if root.find("image") is None:
        raise FormatError(
            "expected photos, got CVAT's tracks through a video; export the task as `CVAT for images 1.1`"
        )
    labels = {(label.text or "").strip() for label in root.findall("meta//labels/label/name")}
    table = BoxesTable(declared_classes=labels - {""})
    drafts = named_drafts(table)
    for i, image in enumerate(root.findall("image"), 1):
        path, place = clean_path(image.get("name", "")), f"image {i}"
        if not path:
            drafts.add_problem(place, "expected a file name in `name`, got none")
            continue
        table.list_photo(path, image)
        state_size(table, place, path, image.get("width"), image.get("height"))
        for j, shape in enumerate(image, 1):
            _add(drafts, f"{place} shape {j}", path, shape)
    return settle(drafts)


def _add(drafts: Drafts, place: str, path: str, shape: Element) -> None:
    if shape.tag in _WITHOUT_AREA:
        drafts.table.leave_out(path, f"shapes of the type {shape.tag}")
    elif shape.tag in _SHAPES:
        add_made(drafts, place, path, _draft, shape)


def _draft(shape: Element) -> Draft:
    def of(*names: str) -> list[float]:
        return [number(shape.get(name)) for name in names]

    name, degrees = shape.get("label"), number(shape.get("rotation") or 0)
    if not math.isfinite(degrees):
        raise RowError(f"expected degrees in `rotation`, got {degrees:g}")
    if shape.tag == "box":
        left, top, right, bottom = of("xtl", "ytl", "xbr", "ybr")
        return draft((left, top, right, bottom), name, degrees=degrees)
    if shape.tag == "ellipse":
        x, y, a, b = of("cx", "cy", "rx", "ry")
        return draft(around_ellipse(x, y, a, b, math.radians(degrees)), name)
    if shape.tag == "mask":
        left, top, width, height = of("left", "top", "width", "height")
        return draft((left, top, left + width, top + height), name)
    points = [point.split(",") for point in shape.get("points", "").split(";") if point]
    return draft(around(points_of(points)), name)
