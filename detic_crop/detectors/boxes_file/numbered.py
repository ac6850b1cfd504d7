"""Results whose photos are numbers: ultralytics makes 139 of `000000000139.jpg`, where a name is a number.

A data set's own ids look just the same, and are another photo's wherever photos are numbered, too; which of
the two it is, the numbers of the boxes tell: ultralytics rounds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from detic_crop.detectors.boxes_file.json_items import list_of
from detic_crop.detectors.boxes_file.table import BoxesTable, Entry, Problem, clean_path

_DIGITS = re.compile(r"\d{1,300}", re.ASCII)  # Python reads no longer numbers
_BOX_DECIMALS = 3
_SCORE_DECIMALS = 5


def are_rounded(results: Sequence[dict[str, Any]]) -> bool:
    """Return whether all boxes and scores are rounded as ultralytics does, and most need that decimal."""
    precise = 0
    for item in results:
        numbers = [value for value in list_of(item.get("bbox")) if isinstance(value, float)]
        if any(round(value, _BOX_DECIMALS) != value for value in numbers):
            return False
        score = item.get("score")
        if isinstance(score, float) and round(score, _SCORE_DECIMALS) != score:
            return False
        precise += any(round(value, _BOX_DECIMALS - 1) != value for value in numbers)
    return 2 * precise > len(results)


def name_photos(table: BoxesTable, keys: Iterable[str]) -> None:
    """Give the entries that are numbers the photos whose names, without extension, are those numbers.

    An entry that several photos have the number of, in whatever spelling, has the boxes of all of them: it
    is a problem.
    """
    if not table.numbers:
        return
    photos: dict[int, list[str]] = {}
    for key in keys:
        stem = clean_path(key).rpartition("/")[2]
        stem = stem.rpartition(".")[0] or stem
        if _DIGITS.fullmatch(stem):
            photos.setdefault(int(stem), []).append(key)
    named: dict[str, Entry] = {}
    for path, entry in table.entries.items():
        found = photos.get(int(path), []) if path in table.numbers else []
        if len(found) > 1:
            several = ", ".join(found[:3]) + ", …" * (len(found) > 3)
            text = f"expected one photo of that number, got {several}; pass the data set's file names"
            entry.problems.append(Problem(f"`image_id` {path}", text))
        for name in found or [path]:
            _add(named, name, entry)
    table.entries = named
    table.numbers = set()


def _add(named: dict[str, Entry], name: str, entry: Entry) -> None:
    """Add to what is said of the photo already, where it stands there by its name, too."""
    known = named.setdefault(name, entry)
    if known is not entry:
        known.boxes += entry.boxes
        known.problems += entry.problems
