"""CVAT for images 1.1: one XML for all photos; pixels. The upright box around each shape counts."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.detectors.boxes_file.numbers import edges_of_size
from detic_crop.detectors.boxes_file.shapes import Edges, around, around_turned, number, size_of
from detic_crop.detectors.boxes_file.table import Box, BoxesTable, FormatError, RowError, clean_path

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
    for i, image in enumerate(root.findall("image"), 1):
        path, place = clean_path(image.get("name", "")), f"image {i}"
        if not path:
            table.add_problem(place, "expected a file name in `name`, got none")
            continue
        table.list_photo(path, image)
        size = size_of(image.get("width"), image.get("height"))
        if size:
            table.state_size(place, path, size)
        for j, shape in enumerate(image, 1):
            _add(table, f"{place} shape {j}", path, shape)
    return table


def _add(table: BoxesTable, place: str, path: str, shape: Element) -> None:
    if shape.tag in _WITHOUT_AREA:
        table.leave_out(path, f"shapes of the type {shape.tag}")
    elif shape.tag in _SHAPES:
        try:
            xmin, ymin, xmax, ymax = _edges(shape)
            box = edges_of_size((xmin, ymin, xmax - xmin, ymax - ymin))
            table.add(path, [Box(*box, 1.0, shape.get("label") or UNKNOWN_CLASS)])
        except RowError as error:
            table.add_problem(place, str(error), path)


def _edges(shape: Element) -> Edges:
    def of(*names: str) -> list[float]:
        return [number(shape.get(name)) for name in names]

    radians = math.radians(number(shape.get("rotation") or 0))
    if shape.tag == "box":
        xmin, ymin, xmax, ymax = of("xtl", "ytl", "xbr", "ybr")
        if not radians or xmin > xmax or ymin > ymax:
            return xmin, ymin, xmax, ymax
        centre, half = ((xmin + xmax) / 2, (ymin + ymax) / 2), ((xmax - xmin) / 2, (ymax - ymin) / 2)
        return around_turned(centre, half, radians)
    if shape.tag == "ellipse":
        x, y, a, b = of("cx", "cy", "rx", "ry")
        return around_turned((x, y), (a, b), radians, ellipse=True)
    if shape.tag == "mask":
        left, top, width, height = of("left", "top", "width", "height")
        return left, top, left + width, top + height
    return around(
        [[number(part) for part in point.split(",")] for point in shape.get("points", "").split(";") if point]
    )
