"""COCO data sets, and COCO results that name the photos: left, top, width, height in pixels."""

from __future__ import annotations

from typing import Any

from detic_crop.config import BoxFormat
from detic_crop.detectors.boxes_file.drafts import Drafts
from detic_crop.detectors.boxes_file.ids import id_of
from detic_crop.detectors.boxes_file.json_items import (
    SOURCE_PHOTO,
    add_item,
    category_names,
    list_of,
    mapping,
    named_categories,
    path_of,
    state_size,
)
from detic_crop.detectors.boxes_file.judge import settle
from detic_crop.detectors.boxes_file.masks import mask_size
from detic_crop.detectors.boxes_file.numbered import are_rounded
from detic_crop.detectors.boxes_file.numbers import shown
from detic_crop.detectors.boxes_file.table import BoxesTable, FormatError

# Annotations that are not a box of one animal.
LEFT_OUT = {"iscrowd": "crowds (iscrowd)", "ignore": "annotations marked `ignore`"}


def coco_dataset(content: dict[str, Any], box_format: BoxFormat | None = None) -> BoxesTable:
    annotations = content["annotations"]
    categories = map(mapping, list_of(content.get("categories")))
    known = named_categories([(category.get("id"), category.get("name")) for category in categories])
    name_of = category_names(known, annotations, "category_id")
    table = BoxesTable(declared_classes=set(known.values()))
    drafts = _drafts(table, box_format)
    paths = _paths(content, table)
    for i, item in enumerate(map(mapping, annotations)):
        place, image = f"annotations[{i}]", id_of(item.get("image_id"))
        path = None if image is None else paths.get(image)
        if path is None:
            got = shown(item.get("image_id"))
            drafts.add_problem(place, f"expected the `image_id` of one of the images, got {got}")
        elif left_out := [what for key, what in LEFT_OUT.items() if item.get(key) in (1, "1")]:
            table.leave_out(path, left_out[0])
        else:
            size = list_of(mask_size(item.get("segmentation")))
            if len(size) == 2:
                state_size(table, place, path, size[1], size[0])
            add_item(drafts, place, path, item, item.get("score"), name_of)
    return settle(drafts)


def coco_results(results: list[Any], box_format: BoxFormat | None = None) -> BoxesTable:
    """Return a list of boxes. `file_name`, which ultralytics adds, is the photo; else `image_id` is its name.

    Raises:
        FormatError: `image_id` is the number of a photo in a data set that is not here.
    """
    items = list(map(mapping, results))
    name_of = category_names({}, items, "category_id")
    table = BoxesTable()
    drafts = _drafts(table, box_format)
    numbers = {path for path in (_number(item) for item in items) if path}
    if numbers and not (any(path_of(item.get("image_id")) for item in items) or are_rounded(items)):
        first = next(i for i, item in enumerate(items) if _number(item))
        raise FormatError(
            f"expected file names in `image_id`, got the number {items[first]['image_id']} at [{first}]; "
            "pass a COCO data set JSON (images, annotations, categories) with these boxes as annotations, "
            "or put each photo's file name in the place of its image_id"
        )
    for i, item in enumerate(items):
        path = path_of(item.get("file_name")) or path_of(item.get("image_id")) or _number(item)
        if path:
            add_item(drafts, f"[{i}]", path, item, item.get("score"), name_of)
        else:
            got = shown(item.get("image_id"))
            drafts.add_problem(f"[{i}]", f"expected a file name in `image_id`, got {got}")
    if numbers:
        table.numbers, first_number = numbers, min(numbers, key=int)
        table.notes.append(
            f"numbers in `image_id`, taken for the photos of these names, as ultralytics writes them: "
            f"{len(numbers):,} (first: {first_number} for {first_number}.jpg or 0{first_number}.jpg)"
        )
    return settle(drafts)


def _number(item: dict[str, Any]) -> str:
    """Return the number that stands in the place of a photo's name; "" where there is a name, or nothing."""
    image = item.get("image_id")
    if path_of(item.get("file_name")) or not isinstance(image, int | float):
        return ""
    number = id_of(image) or ""
    return number if number.isdecimal() else ""


def _drafts(table: BoxesTable, box_format: BoxFormat | None) -> Drafts:
    return Drafts(table, "`bbox`", box_format, "xywh", strict=box_format is not None)


def _paths(content: dict[str, Any], table: BoxesTable) -> dict[str, str]:
    """Return image id → path, and note the photos and their sizes in the table.

    If two photos have the same id, neither can be used.
    """
    paths: dict[str, str] = {}
    places: dict[str, str] = {}
    info = mapping(content.get("info"))
    for i, image in enumerate(map(mapping, content["images"])):
        place, key = f"images[{i}]", id_of(image.get("id"))
        path = path_of(image.get(SOURCE_PHOTO)) or path_of(image.get("file_name"))
        if not path or key is None:
            table.add_problem(place, "expected an `id` and a `file_name`, got one or none", path)
            continue
        first = paths.setdefault(key, path)
        if first != path:
            table.add_problem(place, f"expected an `id` of its own, got {key} a second time", path)
            table.add_problem(
                places[key], f"expected an `id` of its own, got {key}, also that of {path}", first
            )
            continue
        places.setdefault(key, place)
        table.entry(path)
        sized = image if image.get("width") is not None else info
        state_size(table, place, path, sized.get("width"), sized.get("height"))
    return paths
