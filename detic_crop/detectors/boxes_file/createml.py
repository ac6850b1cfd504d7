"""CreateML's JSON: a list of photos; centre, width and height in pixels."""

from __future__ import annotations

from typing import Any

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.detectors.boxes_file.json_items import list_of, mapping, path_of
from detic_crop.detectors.boxes_file.numbers import edges_of_size, shown
from detic_crop.detectors.boxes_file.shapes import Edges, number
from detic_crop.detectors.boxes_file.table import Box, BoxesTable, RowError

_PHOTO_KEYS = ("image", "imagefilename")


def is_createml(content: Any) -> bool:
    return isinstance(content, list) and any(
        isinstance(item.get("annotations"), list) and any(key in item for key in _PHOTO_KEYS)
        for item in map(mapping, content)
    )


def createml(content: list[Any]) -> BoxesTable:
    table = BoxesTable()
    for i, item in enumerate(map(mapping, content)):
        stated = next((item[key] for key in _PHOTO_KEYS if key in item), None)
        path = path_of(stated)
        if not path:
            table.add_problem(f"[{i}]", f"expected a file name in `image`, got {shown(stated)}")
            continue
        annotations = list_of(item.get("annotations"))
        table.list_photo(path, annotations)
        for j, annotation in enumerate(map(mapping, annotations)):
            try:
                name = str(annotation.get("label") or UNKNOWN_CLASS)
                table.add(path, [Box(*_edges(annotation), 1.0, name)])
            except RowError as error:
                table.add_problem(f"[{i}].annotations[{j}]", str(error), path)
    return table


def _edges(annotation: dict[str, Any]) -> Edges:
    stated = mapping(annotation.get("coordinates"))
    x, y, width, height = (number(stated.get(key)) for key in ("x", "y", "width", "height"))
    return edges_of_size((x - width / 2, y - height / 2, width, height))
