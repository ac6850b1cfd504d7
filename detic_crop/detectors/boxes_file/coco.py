"""COCO data sets, and COCO results whose `image_id` is the file name: left, top, width, height in pixels."""

from __future__ import annotations

from typing import Any

from detic_crop.detectors.boxes_file.json_items import add_item, category_names, list_of, mapping, path_of
from detic_crop.detectors.boxes_file.numbers import shown
from detic_crop.detectors.boxes_file.table import BoxesTable, FormatError


def coco_dataset(content: dict[str, Any]) -> BoxesTable:
    annotations = content["annotations"]
    known = {
        str(category["id"]): str(category["name"])
        for category in map(mapping, list_of(content.get("categories")))
        if "id" in category and "name" in category
    }
    name_of = category_names(known, annotations, "category_id")
    table = BoxesTable(declared_classes=set(known.values()))
    paths: dict[str, str] = {}
    for i, image in enumerate(map(mapping, content["images"])):
        path, key = path_of(image.get("file_name")), str(image.get("id"))
        if not path or "id" not in image:
            table.add_problem(f"images[{i}]", "expected an `id` and a `file_name`, got one or none", path)
        elif paths.get(key, path) != path:
            table.add_problem(f"images[{i}]", f"expected an `id` of its own, got {key} a second time", path)
        else:
            paths[key] = path
            table.entry(path)
    for i, item in enumerate(map(mapping, annotations)):
        place, key = f"annotations[{i}]", str(item.get("image_id"))
        if key in paths:
            name = name_of(item.get("category_id"))
            add_item(table, place, paths[key], item, item.get("score"), name)
        else:
            table.add_problem(place, f"expected the `image_id` of one of the images, got {shown(key)}")
    return table


def coco_results(results: list[Any]) -> BoxesTable:
    name_of = category_names({}, results, "category_id")
    table = BoxesTable()
    for i, item in enumerate(map(mapping, results)):
        image = item.get("image_id")
        if isinstance(image, int):
            raise FormatError(
                f"expected file names in `image_id`, got the number {image} at [{i}]; give a COCO data set "
                "JSON (images, annotations, categories), or results whose image_id is the file name"
            )
        path = path_of(image)
        if path:
            name = name_of(item.get("category_id"))
            add_item(table, f"[{i}]", path, item, item.get("score"), name)
        else:
            table.add_problem(f"[{i}]", f"expected a file name in `image_id`, got {shown(image)}")
    return table
