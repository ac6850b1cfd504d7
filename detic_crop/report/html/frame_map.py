"""Where in their photos the chosen boxes lie: all on one frame."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detic_crop.columns import as_numpy

COLUMNS, ROWS = 24, 16
_STEPS = 20  # shades
_TOGETHER = 1 << 16
_NINE = (
    ("upper left", "top", "upper right"),
    ("left", "middle", "right"),
    ("lower left", "bottom", "lower right"),
)


@dataclass(frozen=True, slots=True)
class Run:
    """Cells side by side of one shade.

    Attributes:
        column: the first of them.
        row: their row.
        width: number of them.
        shade: opacity, in (0, 1].
        words: what share of the boxes covers them, in words.
    """

    column: int
    row: int
    width: int
    shade: float
    words: str


@dataclass(frozen=True, slots=True)
class FrameMap:
    """The frame, `COLUMNS` × `ROWS` cells.

    Attributes:
        runs: the cells that some box covers.
        number: number of boxes.
        highest: share of the boxes that cover the darkest cell.
        about: the same in words.
    """

    runs: Sequence[Run]
    number: int
    highest: float
    about: str


def frame_map(boxes: array[float]) -> FrameMap | None:
    """Return how many boxes cover each part of the frame; None without boxes.

    Args:
        boxes: left, top, right and bottom of each box, one after the other, as shares of its photo's sides.
    """
    corners = as_numpy(boxes).reshape(-1, 4)
    if not len(corners):
        return None
    shares = _counts(corners) / len(corners)  # (ROWS, COLUMNS)
    highest = float(shares.max())
    if not highest:
        return None
    row, column = divmod(int(shares.argmax()), COLUMNS)
    where = _NINE[3 * row // ROWS][3 * column // COLUMNS]
    about = f"most boxes, {100 * highest:.0f} % of them, cover the {where} of the photo"
    return FrameMap(_runs(shares, highest), len(corners), highest, about)


def _counts(corners: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return (ROWS, COLUMNS): number of boxes that cover the middle of each cell."""
    # Each box adds 1 to the cells from its upper left corner on, and takes that back beyond its edges.
    steps = np.zeros((ROWS + 1, COLUMNS + 1), np.int64)
    for first in range(0, len(corners), _TOGETHER):
        scaled = corners[first : first + _TOGETHER] * np.array([COLUMNS, ROWS, COLUMNS, ROWS], np.float32)
        edges = np.ceil(scaled - 0.5).clip(0, [COLUMNS, ROWS, COLUMNS, ROWS]).astype(np.intp)
        left, top, right, bottom = edges.T
        for rows, columns, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
            np.add.at(steps, (rows, columns), sign)
    counts: NDArray[np.int64] = steps.cumsum(axis=0).cumsum(axis=1)[:ROWS, :COLUMNS]
    return counts


def _runs(shares: NDArray[np.float64], highest: float) -> list[Run]:
    """Return the cells that are covered, those of one shade together."""
    shades = np.ceil(shares / highest * _STEPS).astype(int)
    runs = []
    for row in range(ROWS):
        ends = np.flatnonzero(np.diff(shades[row], append=-1)) + 1
        for first, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
            if shades[row, first]:
                words = f"{100 * float(shares[row, first:end].mean()):.0f} % of the boxes"
                runs.append(Run(first, row, end - first, shades[row, first] / _STEPS, words))
    return runs
