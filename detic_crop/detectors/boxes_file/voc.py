"""Pascal VOC: one XML for each photo (labelImg, Roboflow, CVAT, roLabelImg, LabelMe's XML).

The photo is the one that the XML file is named after: both are renamed together, and what `<filename>`,
`<folder>` and `<path>` say is then of another day. VOC counts pixels from 1 and its last pixel belongs to the
box: `xmin ymin xmax ymax` is the area from xmin − 1, ymin − 1 to xmax, ymax; an edge below 1 is as it stands.
Objects marked difficult, truncated or occluded count like others. A `score` is that of our own exports.
"""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element

from detic_crop.detectors.boxes_file.drafts import Draft, Drafts
from detic_crop.detectors.boxes_file.json_items import state_size
from detic_crop.detectors.boxes_file.numbers import checked_score, joined
from detic_crop.detectors.boxes_file.shapes import Edges, add_made, around, draft, number
from detic_crop.detectors.boxes_file.table import RowError
from detic_crop.detectors.boxes_file.xml_tree import text_of

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_TURNED = ("cx", "cy", "w", "h", "angle")


def is_voc(root: Element) -> bool:
    return root.tag == "annotation"


def stated_photo(root: Element) -> str | None:
    return text_of(root, "filename")


def read_voc(drafts: Drafts, place: str, path: str, root: Element) -> None:
    """Add what one XML says of the photo `path`."""
    objects = root.findall("object")
    drafts.table.list_photo(path, objects)
    state_size(drafts.table, place, path, text_of(root, "size/width"), text_of(root, "size/height"))
    for i, item in enumerate(objects, 1):
        if text_of(item, "deleted") == "1":
            drafts.table.leave_out(path, "objects marked as deleted")
            continue
        add_made(drafts, f"{place} object {i}", path, _draft, item)


def _draft(item: Element) -> Draft:
    name = text_of(item, "name")
    box = item.find("bndbox")
    if box is not None:
        score = text_of(item, "score")
        edges = _from_zero([number(text_of(box, edge)) for edge in _CORNERS])
        return draft(edges, name, 1.0 if score is None else checked_score(number(score)))
    for turned in ("robndbox", "rotated_bndbox"):
        box = item.find(turned)
        if box is not None:
            x, y, width, height, radians = (number(text_of(box, part)) for part in _TURNED)
            edges = x - width / 2, y - height / 2, x + width / 2, y + height / 2
            if not math.isfinite(radians):
                raise RowError(f"expected an angle, got {radians:g}")
            return draft(edges, name, degrees=math.degrees(radians))
    polygon = item.find("polygon")
    if polygon is not None:
        return draft(around(_points(polygon)), name)
    raise RowError("expected a <bndbox>, got none")


def _from_zero(corners: list[float]) -> Edges:
    xmin, ymin, xmax, ymax = corners
    if not (xmin <= xmax and ymin <= ymax):
        raise RowError(f"expected xmin <= xmax and ymin <= ymax, got {joined(corners)}")
    if max(corners) <= 1:  # shares of the photo, if they are anything
        return xmin, ymin, xmax, ymax
    return xmin - 1 if xmin >= 1 else xmin, ymin - 1 if ymin >= 1 else ymin, xmax, ymax


def _points(polygon: Element) -> list[tuple[float, float]]:
    """Return points written as <pt><x/><y/></pt>, or as <x1/><y1/><x2/><y2/>."""
    points = polygon.findall("pt")
    if points:
        return [(number(text_of(point, "x")), number(text_of(point, "y"))) for point in points]
    found: list[tuple[float, float]] = []
    while text_of(polygon, f"x{len(found) + 1}") is not None:
        i = len(found) + 1
        found.append((number(text_of(polygon, f"x{i}")), number(text_of(polygon, f"y{i}"))))
    return found
