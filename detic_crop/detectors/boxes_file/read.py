"""Boxes files as people have them: bytes → boxes per photo.

The dialect is told by the content and not by the file's name. Nothing here looks at photos; `detector`
matches the paths with them and knows their sizes.
"""

from __future__ import annotations

import codecs
import json
from typing import Any

from detic_crop.config import BoxFormat
from detic_crop.detectors.boxes_file.coco import coco_dataset, coco_results
from detic_crop.detectors.boxes_file.csv_table import read_csv
from detic_crop.detectors.boxes_file.json_items import mapping
from detic_crop.detectors.boxes_file.megadetector import megadetector
from detic_crop.detectors.boxes_file.numbers import shown
from detic_crop.detectors.boxes_file.table import BoxesTable, FormatError


def parse_boxes(data: bytes, box_format: BoxFormat | None = None) -> BoxesTable:
    """Read a boxes file of any dialect.

    Args:
        data: the file's bytes.
        box_format: what its four numbers are, where the person who gives it says so.

    Raises:
        FormatError: no text that we can decode, empty, of no known dialect, or without a single usable row.
    """
    text = _decoded(data)
    if not text.strip():
        raise FormatError("expected a CSV or JSON file with boxes, got an empty file")
    table = _read_json(text, box_format) if text.lstrip()[0] in "{[" else read_csv(text, box_format)
    _check_usable(table)
    return table


def _decoded(data: bytes) -> str:
    """UTF-8, or UTF-16 with its mark, which is Excel's "Unicode text"."""
    encoding = "utf-16" if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise FormatError(
            f"expected UTF-8 text, got byte 0x{data[error.start]:02x} at offset {error.start}; "
            "save the file as UTF-8 (in Excel: CSV UTF-8)"
        ) from error


def _check_usable(table: BoxesTable) -> None:
    if not table.entries and not table.problems:
        raise FormatError("expected at least one photo, got none; is this the right file?")
    if table.problems and not table.good_rows:
        shown = "; ".join(f"{place}: {text}" for place, text in table.problems[:3])
        raise FormatError(
            f"expected rows with boxes, got {len(table.problems)} that cannot be used and no other ({shown})"
        )


def _read_json(text: str, box_format: BoxFormat | None) -> BoxesTable:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        lines = _json_lines(text)
        if lines is None:
            raise FormatError(f"expected JSON, got text that cannot be read as such ({error})") from error
        content = lines
    if isinstance(content, list):
        return coco_results(content, box_format)
    images = content.get("images")
    if isinstance(images, list) and isinstance(content.get("annotations"), list):
        return coco_dataset(content, box_format)
    if isinstance(images, list) and (not images or any("file" in mapping(image) for image in images)):
        return megadetector(content, box_format)
    raise FormatError(
        "expected MegaDetector JSON (images with `file` and `detections`), a COCO data set "
        f"(images, annotations) or a list of COCO results, got keys {shown(', '.join(content))}"
    )


def _json_lines(text: str) -> list[Any] | None:
    """The objects of JSON Lines; None where the text is something else."""
    try:
        items = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None
    return items if len(items) > 1 and all(isinstance(item, dict) for item in items) else None
