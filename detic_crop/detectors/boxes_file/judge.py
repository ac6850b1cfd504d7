"""What the numbers of a boxes file mean, judged by the file as a whole.

Row by row nobody can tell: left, top, width and height are corners too wherever the box is far enough to the
left, and a share of 1.003 is a pixel. All rows together nearly always can.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from detic_crop.config import BoxFormat
from detic_crop.detectors.boxes_file.drafts import Draft, Drafts, Numbers, Row
from detic_crop.detectors.boxes_file.numbers import (
    MAX_NORMALISED,
    MAX_PIXEL,
    edges,
    edges_of_size,
    joined,
)
from detic_crop.detectors.boxes_file.table import Box, BoxesTable, FormatError, RowError
from detic_crop.wording import counted

# How far boxes reach past their photo without anybody thinking of another reading.
_PAST_SHARE = 0.05
_PAST_PIXELS = 2.0
# The same for shares that are so by guess: a box beyond it is none.
_PAST_GUESSED = 0.1
# Against a header's or a format's word: rows are mistakes up to the first share, too many from the second.
_STRAY = 0.05
_MANY = 0.2
# Where nothing says what four numbers are, each different box speaks for one reading, with about the decimal
# logarithm of its odds. One that is impossible in the other reading: the odds of a mistake. One that fits
# both: of whales' boxes as left, top, width, height 3 of 10 would not be corners; of their corners in photos
# of known size 5 of 10 would not fit as sizes, which counts where none of them does not.
_IMPOSSIBLE = 1.5
_BOTH = -0.075
_BOTH_SIZED = 0.15
# What is usual, and how much has to speak for a reading.
_USUAL = 2.0
_ENOUGH = 1.5
# Sizes are impossible as corners at least as often, however many boxes there are; people draw some backwards.
_LEAST_SIZES = 0.2
_ROUNDING = 1e-9

_NAMES: dict[BoxFormat, str] = {"xyxy": "corners", "xywh": "left, top, width, height"}
_ASK = "say which they are: --box-format xyxy (corners) or xywh (left, top, width, height)"


def settle(drafts: Drafts) -> BoxesTable:
    """Decide what the numbers mean and fill the table; rows that contradict it are problems.

    Raises:
        FormatError: the file does not tell, and nothing is usual.
    """
    table = drafts.table
    guessed = drafts.normalised is None
    if guessed:
        table.normalised = _are_shares(drafts)
    else:
        table.normalised = bool(drafts.normalised)
    box_format = drafts.box_format or _judged_format(drafts)
    if drafts.may_be_centres and table.normalised:
        _check_not_centres(drafts)
    if turned_boxes := sum(draft.rotation != 0 for _, draft in drafts.boxes()):
        table.notes.append(f"turned boxes, taken as the upright ones around them: {turned_boxes}")
    if guessed and table.normalised:
        shares = (draft for _, draft in drafts.boxes() if _is_finite(draft) and _is_small(draft))
        largest = max(max(draft.numbers) for draft in shares)
        table.notes.append(
            f"no number in {drafts.column} is above {largest:g}: taken as shares of the photo's width and "
            "height"
        )
    reader = _Reader(table, drafts.column, box_format, guessed, drafts.strict, drafts.cure("xywh"))
    for row in drafts.rows:
        if row.problem:
            table.add_problem(row.place, row.problem, row.path)
            continue
        try:
            boxes = [reader.box(row, draft) for draft in row.boxes]
        except RowError as error:
            table.add_problem(row.place, str(error), row.path)
        else:
            table.add(row.path, boxes)
    return table


# --- pixels or shares ---


def _is_finite(draft: Draft) -> bool:
    return math.isfinite(sum(draft.numbers))  # faster than each; a sum beyond any float is not a box, either


def _is_small(draft: Draft) -> bool:
    """Return whether four finite numbers would be a box of a pixel or two."""
    return max(draft.numbers) <= MAX_NORMALISED and min(draft.numbers) >= -MAX_NORMALISED


def _are_shares(drafts: Drafts) -> bool:
    """Return whether most boxes of the file are too small to be in pixels."""
    # A box without an area, 0 0 0 0 above all, is neither in shares nor in pixels.
    small: list[tuple[Row, Draft]] = []
    large: list[tuple[Row, Draft]] = []
    for pair in drafts.boxes():
        if _is_finite(pair[1]) and any(_can_be(pair[1].numbers, None)):
            (small if _is_small(pair[1]) else large).append(pair)
    if small and len(small) == len(large):
        raise FormatError(
            f"expected all boxes in pixels, or all in shares of the photo, got {len(large)} and {len(small)} "
            f"({_example(large[0])}; {_example(small[0])}); write all in pixels"
        )
    return len(small) > len(large)


def _example(found: tuple[Row, Draft]) -> str:
    return f"{found[0].place}: {joined(found[1].numbers)}"


# --- corners or sizes ---


class _Evidence(NamedTuple):
    """Counts of different boxes by the readings that they allow: corners; left, top, width, height.

    Attributes:
        boxes: number of boxes that fit at least one reading.
        unsized: number of these that fit both readings, in photos of unknown size.
        only_sizes: boxes that cannot be corners.
        only_corners: boxes that cannot be left, top, width, height.
        not_centres: not all can be a centre with width and height; pixels are not suspected of it.
    """

    boxes: int
    unsized: int
    only_sizes: list[tuple[Row, Draft]]
    only_corners: list[tuple[Row, Draft]]
    not_centres: bool


def _judged_format(drafts: Drafts) -> BoxFormat:
    found = _evidence(drafts)
    if not found.boxes:
        return drafts.declared or drafts.usual or "xyxy"
    if drafts.declared is not None:
        return _unless_contradicted(drafts, found, drafts.declared)
    not_corners, not_sizes = len(found.only_sizes), len(found.only_corners)
    both_sized = found.boxes - not_corners - not_sizes - found.unsized
    for_sizes = _IMPOSSIBLE * (not_corners - not_sizes) + _BOTH * found.unsized
    if not not_sizes:
        for_sizes += _BOTH_SIZED * both_sized
    usual = _USUAL if drafts.usual == "xyxy" and not drafts.table.normalised else 0.0
    if for_sizes - usual <= -_ENOUGH + _ROUNDING and not_corners <= _STRAY * found.boxes:
        if for_sizes > -_ENOUGH + _ROUNDING and not drafts.as_original:
            drafts.table.notes.append(
                f"{drafts.column} is taken as corners, as usual, but could also be left, top, width, height; "
                "if it is, pass --box-format xywh"
            )
        return "xyxy"
    for_sizes -= usual
    often = not_corners >= max(1, _LEAST_SIZES * (found.boxes - both_sized))
    # Shares may be of a centre.
    if for_sizes >= _ENOUGH - _ROUNDING and often and found.not_centres:
        return _sizes(drafts, found)
    raise FormatError(_unclear(drafts, found))


def _unless_contradicted(drafts: Drafts, found: _Evidence, declared: BoxFormat) -> BoxFormat:
    """Return what the file calls them, unless many boxes can only be the other, and hardly any only that."""
    other: BoxFormat = "xywh" if declared == "xyxy" else "xyxy"
    against, for_it = found.only_corners, found.only_sizes
    if declared == "xyxy":
        against, for_it = for_it, against
    # One of a few that cannot be corners may be a mistake; it takes some doing to reach out of the photo.
    least = 2 if declared == "xyxy" else 1
    if len(against) >= max(least, _MANY * found.boxes) and len(for_it) <= _STRAY * found.boxes:
        cannot = "reach out of their photo" if declared == "xywh" else "cannot be that"
        all_boxes = counted(found.boxes, "box", "boxes")
        boxes = f"{len(against)} of {all_boxes} that {cannot}, and can be {_NAMES[other]}"
        raise FormatError(
            f"expected {_NAMES[declared]} in {drafts.column}, got {boxes} ({_example(against[0])}); "
            f"if they are, {drafts.cure(other)}, else pass --box-format {declared}"
        )
    return declared


def _sizes(drafts: Drafts, found: _Evidence) -> BoxFormat:
    drafts.table.notes.append(
        f"{drafts.column} is taken as left, top, width, height: {len(found.only_sizes)} of "
        f"{counted(found.boxes, 'box', 'boxes')} cannot be corners ({_example(found.only_sizes[0])})"
    )
    return "xywh"


def _check_not_centres(drafts: Drafts) -> None:
    found = _evidence(drafts)
    if found.only_corners or not found.not_centres:
        raise FormatError(
            f"expected boxes in pixels in {drafts.column}, got shares of the photo, which may be of a centre "
            "(YOLO); if they are left, top, width, height, pass --box-format xywh, else multiply them out"
        )


def _unclear(drafts: Drafts, found: _Evidence) -> str:
    looks = " (they look normalised, as shares of the photo)" if drafts.table.normalised else ""
    if not found.only_sizes:
        what = f"{counted(found.boxes, 'box', 'boxes')}{looks} that can be both"
    else:
        boxes = counted(found.boxes, "box", "boxes")
        what = (
            f"{len(found.only_sizes)} of {boxes}{looks} that cannot be corners "
            f"({_example(found.only_sizes[0])})"
        )
        if found.only_corners:
            what += f" and {len(found.only_corners)} that can only be ({_example(found.only_corners[0])})"
    return f"expected corners, or left, top, width, height, in {drafts.column}, got {what}; {_ASK}"


def _evidence(drafts: Drafts) -> _Evidence:
    only_sizes: list[tuple[Row, Draft]] = []
    only_corners: list[tuple[Row, Draft]] = []
    seen: set[tuple[Numbers, tuple[int, int] | None]] = set()
    unsized, not_centres = 0, not drafts.table.normalised
    entries = drafts.table.entries
    for row, draft in drafts.boxes():
        if draft.box_format is not None or not _is_finite(draft):
            continue
        if _is_small(draft) != drafts.table.normalised:
            continue
        entry = entries.get(row.path)
        size = (1, 1) if drafts.table.normalised else entry.size_wh if entry else None
        if (draft.numbers, size) in seen:
            continue
        corners, sizes = _can_be(draft.numbers, size)
        if not corners and not sizes:
            continue
        seen.add((draft.numbers, size))
        unsized += corners and sizes and size is None
        if not corners:
            only_sizes.append((row, draft))
        elif not sizes:
            only_corners.append((row, draft))
        left, top, width, height = draft.numbers
        not_centres = not_centres or left < width / 2 - _PAST_SHARE or top < height / 2 - _PAST_SHARE
    return _Evidence(len(seen), unsized, only_sizes, only_corners, not_centres)


def _can_be(numbers: Numbers, size: tuple[int, int] | None) -> tuple[bool, bool]:
    """Return whether they can be corners, and left, top, width, height, in a photo of that size."""
    a, b, c, d = numbers
    corners, sizes = a < c and b < d, c > 0 and d > 0
    if size is not None:
        corners = corners and _fits(c, size[0]) and _fits(d, size[1])
        sizes = sizes and _fits(a + c, size[0]) and _fits(b + d, size[1])
    return corners, sizes


def _fits(edge: float, side: int) -> bool:
    return edge <= side * (1 + _PAST_SHARE) + (_PAST_PIXELS if side > 1 else 0)


# --- row by row, once that is known ---


@dataclass(frozen=True, slots=True)
class _Reader:
    """Checks each box in the light of what the file is.

    Attributes:
        table: has the unit, and the sizes that the file states.
        column: column or key of the numbers, for messages.
        box_format: meaning of the numbers.
        guessed: the unit was judged and not declared.
        strict: a box that reaches far out of the stated size is not left, top, width and height.
        cure: what to do if corners are sizes.
    """

    table: BoxesTable
    column: str
    box_format: BoxFormat
    guessed: bool
    strict: bool
    cure: str

    def box(self, row: Row, draft: Draft) -> Box:
        numbers = draft.numbers
        box_format = draft.box_format or self.box_format
        declared_shares = self.table.normalised and not self.guessed
        limit = MAX_NORMALISED if declared_shares else MAX_PIXEL
        is_corners = box_format == "xyxy"
        corners = edges(numbers, limit, self.cure) if is_corners else edges_of_size(numbers, limit)
        if self.guessed:
            self._check_unit(draft, corners)
        size = self.table.entries[row.path].size_wh if row.path in self.table.entries else None
        if draft.box_format is None and box_format == "xywh" and self.strict and size is not None:
            right, bottom = corners[2:]
            limit_wh = (1, 1) if self.table.normalised else size
            if not (_fits(right, limit_wh[0]) and _fits(bottom, limit_wh[1])):
                raise RowError(
                    f"expected left, top, width, height within {size[0]} x {size[1]} px, "
                    f"got {joined(numbers)}"
                )
        if draft.rotation:
            corners = turned(corners, draft.rotation, size if self.table.normalised else (1, 1))
        return Box(*corners, draft.score, draft.class_name)

    def _check_unit(self, draft: Draft, corners: Numbers) -> None:
        if _is_small(draft) and not self.table.normalised:
            raise RowError(
                f"expected pixels, as in the other rows, got {joined(draft.numbers)}, "
                "which looks normalised (shares of the photo)"
            )
        past = min(corners) < -_PAST_GUESSED or max(corners) > 1 + _PAST_GUESSED
        if past and self.table.normalised:
            raise RowError(
                f"expected shares of the photo, 0 to 1, as in the other rows, got {joined(draft.numbers)}"
            )


def turned(corners: Sequence[float], degrees: float, size_wh: tuple[int, int] | None) -> Numbers:
    """Return the upright box around one that is turned about its centre.

    Args:
        corners: left, top, right, bottom.
        degrees: angle of the turn, in either direction.
        size_wh: the photo's size in pixels where the corners are shares of it; (1, 1) where they are pixels.

    Raises:
        RowError: they are shares, and the photo's size is not known, whose sides the turn mixes.
    """
    left, top, right, bottom = corners
    if size_wh is None:
        raise RowError(
            f"expected the photo's width and height with a turned box in shares, got {joined(corners)}"
        )
    width, height = (right - left) * size_wh[0], (bottom - top) * size_wh[1]
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    half_width = (width * cos + height * sin) / 2 / size_wh[0]
    half_height = (width * sin + height * cos) / 2 / size_wh[1]
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - half_width, y - half_height, x + half_width, y + half_height
