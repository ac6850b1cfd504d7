"""Rows of YOLO label files: which numbers are the box, told by all rows of a folder together.

    class cx cy w h                     a box: centre and size
    class cx cy w h conf                as `save_conf` writes it
    class cx cy w h conf track          as `track` writes it; without `save_conf` the track follows the box
    class x1 y1 x2 y2 x3 y3 … [conf]    a polygon, or the four corners of a turned box: the box around it
    class cx cy w h x1 y1 [v1] … [conf] a box and keypoints (pose)

All are shares of the photo's sides. Polygons and keypoints look alike; data.yaml's `kpt_shape` tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from detic_crop.detectors.boxes_file.numbers import checked_score, numbers_of, shown
from detic_crop.detectors.boxes_file.shapes import Edges, around
from detic_crop.detectors.boxes_file.table import FormatError, RowError

Row = Sequence[float]  # the numbers of a line: class, then coordinates
_BOX = 5
_WHAT = "`class cx cy w h`"


def parse_line(line: str) -> list[float]:
    """Return the numbers of one line.

    Raises:
        RowError: fewer than 5, or not a class index first.
    """
    numbers = numbers_of(line.replace(",", " ").split())
    if numbers is None or len(numbers) < _BOX:
        raise RowError(f"expected {_WHAT} in numbers, got {shown(line.strip())}")
    if not (numbers[0] >= 0 and numbers[0].is_integer()):
        raise RowError(f"expected a class index first, got {numbers[0]:g}")
    return numbers


def is_row(line: str) -> bool:
    """Return whether it is a line of a label file."""
    try:
        return bool(parse_line(line))
    except RowError:
        return False


@dataclass(frozen=True, slots=True)
class YoloLayout:
    """How the rows of a folder are laid out.

    Attributes:
        tracked: lengths of rows whose last number is a track.
        keypoints: numbers of keypoints behind the box; 0 where rows that long are polygons.
    """

    tracked: frozenset[int] = frozenset()
    keypoints: int = 0

    def box(self, row: Row) -> tuple[Edges, float, bool]:
        """Return edges in shares of the photo, score, and whether they are those of a polygon.

        Raises:
            RowError: the score is none.
        """
        numbers = row[: -1 if len(row) in self.tracked else None]
        count = len(numbers)
        if count <= _BOX + 1 or (self.keypoints and count - _BOX - self.keypoints in (0, 1)):
            x, y, width, height = numbers[1:_BOX]
            edges = x - width / 2, y - height / 2, x + width / 2, y + height / 2
            return edges, _score(numbers, _BOX + self.keypoints * (count > _BOX + 1)), False
        pairs = (count - 1) // 2
        points = list(zip(numbers[1 : 1 + 2 * pairs : 2], numbers[2 : 1 + 2 * pairs : 2], strict=True))
        return around(points), _score(numbers, 1 + 2 * pairs), True


def _score(numbers: Row, at: int) -> float:
    return checked_score(numbers[at]) if at < len(numbers) else 1.0


def layout_of(rows: Iterable[Row], kpt_shape: tuple[int, int] | None) -> YoloLayout:
    """Return the layout that all rows of a folder have.

    Args:
        rows: rows of the whole folder.
        kpt_shape: `kpt_shape` of data.yaml, or None.

    Raises:
        FormatError: they may be keypoints or polygons.
    """
    by_length: dict[int, list[Row]] = {}
    for row in rows:
        if len(row) > _BOX:
            by_length.setdefault(len(row), []).append(row)
    tracked = frozenset(length for length in by_length if _is_tracked(length, by_length))
    if kpt_shape is not None:
        return YoloLayout(tracked, kpt_shape[0] * kpt_shape[1])
    lengths = {length - (length in tracked) for length in by_length}
    keypoints = _keypoints(by_length[max(by_length)], max(lengths)) if len(lengths) == 1 else 0
    return YoloLayout(tracked, keypoints)


def _is_tracked(length: int, by_length: dict[int, list[Row]]) -> bool:
    """Return whether the last numbers of rows are tracks.

    Tracks are whole numbers from 1; scores and coordinates end at 1, a keypoint's visibility at 2.
    """
    last = [row[-1] for row in by_length[length]]
    if not all(value >= 1 and value.is_integer() for value in last):
        return False
    if length == _BOX + 1:
        return max(last) > 1
    if length == _BOX + 2:  # a box, its score and its track, unless there are polygons beside these triangles
        return max(last) > 1 or set(by_length) <= {_BOX + 1, _BOX + 2}
    return max(last) > 2


def _keypoints(rows: Sequence[Row], length: int) -> int:
    """Return how many numbers of keypoints rows of this one length have; 0 when they are polygons."""
    count = length - _BOX
    marks = [value for row in rows for value in row[_BOX + 2 : length : 3]]
    if count % 3 == 0 and all(mark in (0, 1, 2) for mark in marks):
        return count
    if length < _BOX + 6:  # triangles and turned boxes
        return 0
    for each, extra in ((3, 0), (3, 1), (2, 0), (2, 1)):
        if (count - extra) % each == 0 and all(_inside(row[:length], each, extra) for row in rows):
            raise FormatError(
                f"expected rows of 5 numbers, got {length}, which may be polygons, or boxes with keypoints; "
                "write a data.yaml next to these labels that says `kpt_shape: [N, 2]` or `kpt_shape: [N, 3]` "
                "for N keypoints of 2 or 3 numbers each, or `kpt_shape: [0, 2]` for polygons"
            )
    return 0


def _inside(row: Row, each: int, extra: int) -> bool:
    """Return whether the points behind the first four numbers lie in the box that these are."""
    x, y, width, height = row[1:_BOX]
    points = row[_BOX : len(row) - extra]
    return all(
        (abs(px - x) <= 0.55 * width and abs(py - y) <= 0.55 * height) or (px <= 0 and py <= 0)
        for px, py in zip(points[::each], points[1::each], strict=False)
    )
