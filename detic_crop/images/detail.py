"""How much detail a picture has, which tells how coarsely it can be sampled.

Measured by second differences: how far a pixel is from the straight line between its neighbours. Where pixels
lie on straight lines, any few samples of an area have the mean of the area.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

_LINES = 32  # and more, evenly spread, are enough to measure it


class Detail(NamedTuple):
    """Mean square of the second differences of grey levels, from left to right and from top to bottom."""

    across: float
    down: float


def detail_of(picture: NDArray[np.uint8]) -> Detail:
    """Measure some lines of (H, W, 3) uint8 BGR pixels; infinite where fewer than three are in a line."""
    if min(picture.shape[:2]) < 3:
        return Detail(np.inf, np.inf)
    every = max(3, len(picture) // _LINES)
    rows = len(picture) // every * every
    lines = picture[:rows].reshape(-1, every, *picture.shape[1:])[:, :3]
    grey = cv2.cvtColor(lines.reshape(-1, *picture.shape[1:]), cv2.COLOR_BGR2GRAY).astype(np.int16)
    above, here, below = grey[0::3], grey[1::3], grey[2::3]
    return Detail(_mean_square(np.diff(here, n=2)), _mean_square(above - 2 * here + below))


def _mean_square(values: NDArray[np.int16]) -> float:
    return cv2.norm(values, cv2.NORM_L2SQR) / values.size
