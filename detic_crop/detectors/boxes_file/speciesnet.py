"""SpeciesNet's predictions.json: MegaDetector's boxes under other names; normalised left, top, width, height.

`category` "1" is an animal, "2" a human, "3" a vehicle; `label` says the same in words. The species
(`prediction`) is the photo's and no box's, so it is left aside.
"""

from __future__ import annotations

from typing import Any

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.config import BoxFormat
from detic_crop.detectors.boxes_file.drafts import Drafts
from detic_crop.detectors.boxes_file.json_items import add_item, list_of, mapping, path_of
from detic_crop.detectors.boxes_file.judge import settle
from detic_crop.detectors.boxes_file.numbers import shown
from detic_crop.detectors.boxes_file.table import BoxesTable

_LABELS = {"1": "animal", "2": "human", "3": "vehicle"}


def is_speciesnet(content: Any) -> bool:
    predictions = mapping(content).get("predictions")
    return isinstance(predictions, list) and any("filepath" in mapping(item) for item in predictions)


def speciesnet(content: dict[str, Any], box_format: BoxFormat | None = None) -> BoxesTable:
    table = BoxesTable(declared_classes=set(_LABELS.values()))
    drafts = Drafts(table, "`bbox`", box_format, "xywh", normalised=True, strict=box_format is not None)
    for i, item in enumerate(map(mapping, content["predictions"])):
        path, place = path_of(item.get("filepath")), f"predictions[{i}]"
        failures, detections = list_of(item.get("failures")), item.get("detections")
        if not path:
            drafts.add_problem(
                place, f"expected a file name in `filepath`, got {shown(item.get('filepath'))}"
            )
        elif "DETECTOR" in failures or (failures and detections is None):
            # Not the same as "nothing found": nobody has looked at this photo.
            failed = shown(", ".join(map(str, failures)))
            drafts.add_problem(place, f"expected boxes, got the failure {failed}", path)
        elif not isinstance(detections, list):
            drafts.add_problem(
                place, "expected a list in `detections`, got none; was only the classifier run?", path
            )
        else:
            table.list_photo(path, detections)
            for j, found in enumerate(map(mapping, detections)):
                add_item(drafts, f"{place}.detections[{j}]", path, found, found.get("conf"), _name_of)
    return settle(drafts)


def _name_of(item: dict[str, Any]) -> str:
    return str(item.get("label") or _LABELS.get(str(item.get("category"))) or UNKNOWN_CLASS)
