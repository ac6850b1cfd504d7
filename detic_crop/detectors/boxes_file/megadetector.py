"""MegaDetector's JSON: normalised left, top, width, height."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detic_crop.config import BoxFormat
from detic_crop.detectors.boxes_file.drafts import Drafts
from detic_crop.detectors.boxes_file.json_items import (
    add_item,
    category_names,
    list_of,
    mapping,
    named_categories,
    path_of,
    state_size,
)
from detic_crop.detectors.boxes_file.judge import settle
from detic_crop.detectors.boxes_file.numbers import shown
from detic_crop.detectors.boxes_file.table import BoxesTable

THRESHOLD = "typical_detection_threshold"


def megadetector(content: dict[str, Any], box_format: BoxFormat | None = None) -> BoxesTable:
    images = content["images"]
    items = [item for image in images for item in list_of(mapping(image).get("detections"))]
    known = named_categories(list(mapping(content.get("detection_categories")).items()))
    name_of = category_names(known, items, "category")
    table = BoxesTable(declared_classes=set(known.values()), default_conf=_threshold(content))
    drafts = Drafts(table, "`bbox`", box_format, "xywh", normalised=True, strict=box_format is not None)
    for i, image in enumerate(map(mapping, images)):
        path, place = path_of(image.get("file")), f"images[{i}]"
        detections = image.get("detections", False)
        if not path:
            drafts.add_problem(place, f"expected a file name in `file`, got {shown(image.get('file'))}")
        elif image.get("failure"):
            # Not the same as "nothing found": nobody has looked at this photo.
            drafts.add_problem(place, f"expected boxes, got the failure {shown(image['failure'])}", path)
        elif detections is None or detections == []:
            drafts.add(place, path)
        elif not isinstance(detections, list):
            drafts.add_problem(place, "expected a list in `detections`, got none", path)
        else:
            state_size(table, place, path, image.get("width"), image.get("height"))
            for j, item in enumerate(map(mapping, detections)):
                add_item(drafts, f"{place}.detections[{j}]", path, item, item.get("conf"), name_of)
    return settle(drafts)


def _threshold(content: dict[str, Any]) -> float | None:
    """Return the score from which the detector's makers count a box; None where the file has none.

    It stands in `info.detector_metadata`; tools that rewrite such files put that elsewhere.
    """
    for value in _values_of(THRESHOLD, {key: content[key] for key in content if key != "images"}):
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
            return float(value)
    return None


def _values_of(wanted: str, content: object) -> Iterator[object]:
    for key, value in mapping(content).items():
        if key == wanted:
            yield value
        yield from _values_of(wanted, value)
