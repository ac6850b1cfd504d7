"""How much detail a picture has, which tells how coarsely it can be sampled.

Measured by second differences: how far a value is from the middle between its neighbours. Where values lie on
straight lines, a few samples spread evenly over an area have the mean of the area.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

# Rows are measured in threes, evenly spread: some thirty in a small picture, and in a large one so close that
# a caption is not missed.
_THREES = 32
_FARTHEST = 24  # rows from one three to the next


class Detail(NamedTuple):
    """Mean square of the second differences of all channels, along rows and down columns."""

    across: float
    down: float


def detail_of(picture: NDArray[np.uint8]) -> Detail:
    """Measure some rows of (H, W, 3) uint8 pixels; infinite for a picture lower or narrower than three."""
    if min(picture.shape[:2]) < 3:
        return Detail(np.inf, np.inf)
    every = min(max(3, len(picture) // _THREES), _FARTHEST)
    rows = len(picture) // every * every
    threes = picture[:rows].reshape(-1, every, *picture.shape[1:])
    above, here, below = (threes[:, row].astype(np.int16) for row in range(3))
    return Detail(
        _mean_square(here[:, 2:] - 2 * here[:, 1:-1] + here[:, :-2]), _mean_square(above - 2 * here + below)
    )


def _mean_square(values: NDArray[np.int16]) -> float:
    rows = values.reshape(len(values), -1)  # OpenCV is slow with many short rows
    return cv2.norm(rows, cv2.NORM_L2SQR) / values.size
