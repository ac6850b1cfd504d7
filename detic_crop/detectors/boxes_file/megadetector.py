"""MegaDetector's JSON: normalised left, top, width, height."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from detic_crop.config import BoxFormat
from detic_crop.detectors.boxes_file.drafts import Drafts
from detic_crop.detectors.boxes_file.ids import id_of
from detic_crop.detectors.boxes_file.json_items import (
    NameOf,
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
CLASSES_ARE_CLASSIFICATIONS = "classes_are_classifications"
"""Key of `info` in our exports: a box is of the class that its classification says; else it is a guess of
another model, and the category counts."""


def megadetector(content: dict[str, Any], box_format: BoxFormat | None = None) -> BoxesTable:
    images = content["images"]
    items = [item for image in images for item in list_of(mapping(image).get("detections"))]
    known = named_categories(list(mapping(content.get("detection_categories")).items()))
    name_of = category_names(known, items, "category")
    if mapping(content.get("info")).get(CLASSES_ARE_CLASSIFICATIONS) is True:
        classes = named_categories(list(mapping(content.get("classification_categories")).items()))
        known |= {f"classification {key}": name for key, name in classes.items()}
        name_of = _classified(name_of, classes)
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


def _classified(name_of: NameOf, classes: dict[str, str]) -> NameOf:
    """Return how a detection is called: as its first classification, if it has one, else as its category."""

    def name(item: dict[str, Any]) -> str:
        first = list_of(next(iter(list_of(item.get("classifications"))), None))
        found = classes.get(id_of(first[0]) or "") if first else None
        return name_of(item) if found is None else found

    return name


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
