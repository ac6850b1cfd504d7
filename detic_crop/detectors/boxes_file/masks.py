"""The box of a COCO mask: polygons, or run lengths (a list, or COCO's compressed text)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from detic_crop.detectors.boxes_file.numbers import shown
from detic_crop.detectors.boxes_file.table import RowError

Corners = tuple[float, float, float, float]


def box_of_mask(segmentation: object) -> Corners | None:
    """Return left, top, right, bottom of what a mask covers; None if it is absent or empty.

    Args:
        segmentation: a list of polygons, each [x1, y1, x2, y2, …]; one such polygon; or a run-length
            encoding {"size": [height, width], "counts": …}, columns first, beginning with background.

    Raises:
        RowError: it is none of these.
    """
    if isinstance(segmentation, dict):
        return _box_of_runs(segmentation) if segmentation.get("counts") else None
    if not segmentation:
        return None
    if not isinstance(segmentation, list):
        raise RowError(f"expected polygons or run lengths in `segmentation`, got {shown(segmentation)}")
    polygons = segmentation if any(isinstance(part, list) for part in segmentation) else [segmentation]
    numbers: list[float] = []
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) % 2 or not all(map(_is_number, polygon)):
            raise RowError(f"expected pairs of x and y in `segmentation`, got {shown(polygon)}")
        numbers += polygon
    if not numbers:
        return None
    xs, ys = numbers[0::2], numbers[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def mask_size(segmentation: object) -> object:
    """Return what a run-length encoding states as [height, width]; None of anything else."""
    return segmentation.get("size") if isinstance(segmentation, dict) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _box_of_runs(encoding: dict[str, Any]) -> Corners | None:
    size, counts = encoding.get("size"), encoding["counts"]
    if not (
        isinstance(size, list) and len(size) == 2 and all(_is_number(side) and side > 0 for side in size)
    ):
        raise RowError(f"expected [height, width] as the mask's `size`, got {shown(size)}")
    height, width = int(size[0]), int(size[1])
    runs = _uncompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(_is_number(run) and run >= 0 for run in runs):
        raise RowError(f"expected run lengths in `counts`, got {shown(counts)}")
    if sum(runs) != height * width:
        raise RowError(
            f"expected run lengths of {height * width} pixels ({width} x {height}), got {sum(runs)}"
        )
    return _covered(runs, height)


def _covered(runs: Sequence[int], height: int) -> Corners | None:
    """Return the box around every second run, the columns standing one below the other."""
    ends = [0]
    for run in runs:
        ends.append(ends[-1] + int(run))
    left, top, right, bottom = math.inf, math.inf, -math.inf, -math.inf
    for begin, end in list(pairwise(ends))[1::2]:
        if begin == end:
            continue
        (first, upper), (last, lower) = divmod(begin, height), divmod(end - 1, height)
        if first != last:  # it goes on at the top of the next column
            upper, lower = 0, height - 1
        left, right = min(left, first), max(right, last + 1)
        top, bottom = min(top, upper), max(bottom, lower + 1)
    return None if left == math.inf else (left, top, right, bottom)


def _uncompressed(text: str) -> list[int]:
    """Return the run lengths of COCO's compressed text.

    Each number is given in groups of 5 bits, lowest first, a character of code 48 + group; bit 5 says that
    more follow, bit 4 of the last is the sign. From the fourth number on it is the difference to the number
    two before.
    """
    runs: list[int] = []
    number = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise RowError(f"expected compressed run lengths in `counts`, got {shown(text)}")
        number |= (group & 0x1F) << shift
        shift += 5
        if group & 0x20:
            continue
        if group & 0x10:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    return runs
