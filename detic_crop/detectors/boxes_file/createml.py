"""CreateML's JSON: a list of photos; centre, width and height in pixels."""

from __future__ import annotations

from typing import Any

from detic_crop.detectors.boxes_file.drafts import Draft
from detic_crop.detectors.boxes_file.json_items import list_of, mapping, path_of
from detic_crop.detectors.boxes_file.judge import settle
from detic_crop.detectors.boxes_file.numbers import shown
from detic_crop.detectors.boxes_file.per_photo import named_drafts
from detic_crop.detectors.boxes_file.shapes import add_made, draft, number
from detic_crop.detectors.boxes_file.table import BoxesTable

_PHOTO_KEYS = ("image", "imagefilename")


def is_createml(content: Any) -> bool:
    return isinstance(content, list) and any(
        isinstance(item.get("annotations"), list) and any(key in item for key in _PHOTO_KEYS)
        for item in map(mapping, content)
    )


def createml(content: list[Any]) -> BoxesTable:
    table = BoxesTable()
    drafts = named_drafts(table)
    for i, item in enumerate(map(mapping, content)):
        stated = next((item[key] for key in _PHOTO_KEYS if key in item), None)
        path = path_of(stated)
        if not path:
            drafts.add_problem(f"[{i}]", f"expected a file name in `image`, got {shown(stated)}")
            continue
        annotations = list_of(item.get("annotations"))
        table.list_photo(path, annotations)
        for j, annotation in enumerate(map(mapping, annotations)):
            add_made(drafts, f"[{i}].annotations[{j}]", path, _draft, annotation)
    return settle(drafts)


def _draft(annotation: dict[str, Any]) -> Draft:
    stated = mapping(annotation.get("coordinates"))
    x, y, width, height = (number(stated.get(key)) for key in ("x", "y", "width", "height"))
    edges = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return draft(edges, annotation.get("label"))
