"""Boxes files as people have them: bytes → boxes per photo.

The dialect is told by the content and not by the file's name. Nothing here looks at photos; `detector`
matches the paths with them and knows their sizes.
"""

from __future__ import annotations

import json
import math

from detic_crop.detectors.boxes_file.coco import coco_dataset, coco_results
from detic_crop.detectors.boxes_file.csv_table import read_csv
from detic_crop.detectors.boxes_file.json_items import mapping
from detic_crop.detectors.boxes_file.megadetector import megadetector
from detic_crop.detectors.boxes_file.numbers import shown
from detic_crop.detectors.boxes_file.table import BoxesTable, FormatError


def parse_boxes(data: bytes) -> BoxesTable:
    """Read a boxes file of any dialect.

    Raises:
        FormatError: not UTF-8, empty, of no known dialect, or without a single usable row.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(
            f"expected UTF-8 text, got byte 0x{data[error.start]:02x} at offset {error.start}; "
            "save the file as UTF-8"
        ) from error
    if not text.strip():
        raise FormatError("expected a CSV or JSON file with boxes, got an empty file")
    table = _read_json(text) if text.lstrip()[0] in "{[" else read_csv(text)
    _check_usable(table)
    return table


def _check_usable(table: BoxesTable) -> None:
    if not table.entries and not table.problems:
        raise FormatError("expected at least one photo, got none; is this the right file?")
    if table.problems and not table.good_rows:
        shown = "; ".join(f"{place}: {text}" for place, text in table.problems[:3])
        raise FormatError(
            f"expected rows with boxes, got {len(table.problems)} that cannot be used and no other ({shown})"
        )
    if table.normalised:
        return
    largest = max(
        (max(box[:4]) for entry in table.entries.values() for box in entry.boxes),
        default=math.inf,
    )
    # Taken as pixels these would be crops of the first pixel, every one, without any complaint.
    if largest <= 1:
        raise FormatError(
            f"expected boxes in pixels, got no coordinate above {largest:g}: they look normalised; "
            "multiply them by the photo's width and height, or give MegaDetector JSON"
        )


def _read_json(text: str) -> BoxesTable:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"expected JSON, got text that cannot be read as such ({error})") from error
    if isinstance(content, list):
        return coco_results(content)
    images = content.get("images")
    if isinstance(images, list) and isinstance(content.get("annotations"), list):
        return coco_dataset(content)
    if isinstance(images, list) and (not images or any("file" in mapping(image) for image in images)):
        return megadetector(content)
    raise FormatError(
        "expected MegaDetector JSON (images with `file` and `detections`), a COCO data set "
        f"(images, annotations) or a list of COCO results, got keys {shown(', '.join(content))}"
    )
