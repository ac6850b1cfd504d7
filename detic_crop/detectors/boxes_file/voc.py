"""Pascal VOC: one XML for each photo (labelImg, Roboflow, CVAT, roLabelImg, LabelMe's XML).

The photo is the one that the XML file is named after: both are renamed together, and what `<filename>`,
`<folder>` and `<path>` say is then of another day. VOC counts pixels from 1 and its last pixel belongs to the
box: `xmin ymin xmax ymax` is the area from xmin − 1, ymin − 1 to xmax, ymax; an edge below 1 is as it stands.
Objects marked difficult, truncated or occluded count like others.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.detectors.boxes_file.numbers import edges, joined
from detic_crop.detectors.boxes_file.shapes import Edges, around, around_turned, number, size_of
from detic_crop.detectors.boxes_file.table import Box, BoxesTable, RowError
from detic_crop.detectors.boxes_file.xml_tree import text_of

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_TURNED = ("cx", "cy", "w", "h", "angle")


def is_voc(root: Element) -> bool:
    return root.tag == "annotation"


def stated_photo(root: Element) -> str | None:
    return text_of(root, "filename")


def read_voc(table: BoxesTable, place: str, path: str, root: Element) -> None:
    """Add what one XML says of the photo `path`."""
    objects = root.findall("object")
    table.list_photo(path, objects)
    size = size_of(text_of(root, "size/width"), text_of(root, "size/height"))
    if size:
        table.state_size(place, path, size)
    for i, item in enumerate(objects, 1):
        if text_of(item, "deleted") == "1":
            table.leave_out(path, "objects marked as deleted")
            continue
        try:
            name = text_of(item, "name") or UNKNOWN_CLASS
            table.add(path, [Box(*_edges(item), 1.0, name)])
        except RowError as error:
            table.add_problem(f"{place} object {i}", str(error), path)


def _edges(item: Element) -> Edges:
    box = item.find("bndbox")
    if box is not None:
        return _of_corners([number(text_of(box, name)) for name in _CORNERS])
    for turned in ("robndbox", "rotated_bndbox"):
        box = item.find(turned)
        if box is not None:
            x, y, width, height, radians = (number(text_of(box, name)) for name in _TURNED)
            return edges(around_turned((x, y), (width / 2, height / 2), radians))
    polygon = item.find("polygon")
    if polygon is not None:
        return edges(around(_points(polygon)))
    raise RowError("expected a <bndbox>, got none")


def _of_corners(corners: list[float]) -> Edges:
    xmin, ymin, xmax, ymax = corners
    if not (xmin <= xmax and ymin <= ymax):
        raise RowError(f"expected xmin <= xmax and ymin <= ymax, got {joined(corners)}")
    return edges((xmin - 1 if xmin >= 1 else xmin, ymin - 1 if ymin >= 1 else ymin, xmax, ymax))


def _points(polygon: Element) -> list[tuple[float, float]]:
    """Points written as <pt><x/><y/></pt>, or as <x1/><y1/><x2/><y2/>."""
    points = polygon.findall("pt")
    if points:
        return [(number(text_of(point, "x")), number(text_of(point, "y"))) for point in points]
    found: list[tuple[float, float]] = []
    while text_of(polygon, f"x{len(found) + 1}") is not None:
        i = len(found) + 1
        found.append((number(text_of(polygon, f"x{i}")), number(text_of(polygon, f"y{i}"))))
    return found
