"""From cells to boxes: no network here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.overlap import iou
from detic_crop.detectors.lite.network import CELL, LOG_REACH

Boxes = NDArray[np.float32]  # (N, 4) left, top, right, bottom; pixels of the picture
Scores = NDArray[np.float32]  # (N,) in [0, 1]

SAME_ANIMAL = 0.4  # IoU with a found box above which a cell speaks of the same animal
AGREES = 0.6  # IoU with the highest cell's box above which a cell's own box counts
LEAST_SCORE = 0.05  # of a further box


def boxes_of_cells(cells: NDArray[np.float32], limit: int) -> tuple[Boxes, Scores]:
    """Return the boxes that a picture's cells speak for, the likeliest first; at least one.

    The highest cell gives the first box: the mean over the cells that agree with it, each weighed with its
    probability and the square of the IoU (box voting, Gidaris & Komodakis 2015, section 3). Cells that speak
    of that box are then silent, and so on.

    Args:
        cells: (6, h, w) of `network.Sight`.
        limit: largest number of boxes.

    Returns:
        Boxes, cut to the picture, and the probability of each one's highest cell.
    """
    height, width = cells.shape[1:]
    chance = (1 / (1 + np.exp(-cells[0].astype(np.float64)))).ravel()
    reach = np.exp(cells[1:5].clip(*LOG_REACH)).reshape(4, -1) * CELL
    x = np.tile((np.arange(width) + 0.5) * CELL, height)
    y = np.repeat((np.arange(height) + 0.5) * CELL, width)
    edges = np.stack([x - reach[0], y - reach[1], x + reach[2], y + reach[3]], 1)
    edges = edges.clip(0, np.array([width, height, width, height]) * CELL)
    waiting = chance.copy()
    boxes: list[NDArray[np.float64]] = []
    scores: list[float] = []
    while len(boxes) < limit:
        highest = int(waiting.argmax())
        if boxes and waiting[highest] < LEAST_SCORE:
            break
        overlap = iou(edges[highest], edges)
        weights = np.where(overlap > AGREES, chance * overlap**2, 0)
        weights[highest] = max(weights[highest], np.finfo(float).tiny)  # a box without area agrees with none
        box = weights @ edges / weights.sum()
        boxes.append(box)
        scores.append(float(chance[highest]))
        waiting[iou(box, edges) > SAME_ANIMAL] = 0
        waiting[highest] = 0
    return np.array(boxes, np.float32), np.array(scores, np.float32)
