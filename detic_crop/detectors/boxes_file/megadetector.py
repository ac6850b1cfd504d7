"""MegaDetector's JSON: normalised left, top, width, height."""

from __future__ import annotations

from typing import Any

from detic_crop.detectors.boxes_file.json_items import add_item, category_names, list_of, mapping, path_of
from detic_crop.detectors.boxes_file.numbers import shown
from detic_crop.detectors.boxes_file.table import BoxesTable


def megadetector(content: dict[str, Any]) -> BoxesTable:
    images = content["images"]
    items = [item for image in images for item in list_of(mapping(image).get("detections"))]
    known = {str(key): str(name) for key, name in mapping(content.get("detection_categories")).items()}
    name_of = category_names(known, items, "category")
    table = BoxesTable(normalised=True, declared_classes=set(known.values()))
    for i, image in enumerate(map(mapping, images)):
        path, place = path_of(image.get("file")), f"images[{i}]"
        detections = image.get("detections", False)
        if not path:
            table.add_problem(place, f"expected a file name in `file`, got {shown(image.get('file'))}")
        elif image.get("failure"):
            # Not the same as "nothing found": nobody has looked at this photo.
            table.add_problem(place, f"expected boxes, got the failure {shown(image['failure'])}", path)
        elif detections is None or detections == []:
            table.add(path)
        elif not isinstance(detections, list):
            table.add_problem(place, "expected a list in `detections`, got none", path)
        else:
            for j, item in enumerate(map(mapping, detections)):
                name = name_of(item.get("category"))
                add_item(table, f"{place}.detections[{j}]", path, item, item.get("conf"), name)
    return table
