"""How much boxes overlap. Boxes are xyxy: left, top, right, bottom, in one unit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def iou(box: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Return intersection over union of one box (4,) with others (N, 4) → (N,); 0 if both are empty."""
    one, many = np.asarray(box, np.float64), np.asarray(others, np.float64)
    intersection = _intersection(one, many)
    sides = many[:, 2:] - many[:, :2]
    union = (one[2] - one[0]) * (one[3] - one[1]) + sides[:, 0] * sides[:, 1] - intersection
    result: NDArray[np.float64] = np.zeros_like(intersection)
    np.divide(intersection, union, out=result, where=union > 0)
    return result


def iou_of_pair(one: ArrayLike, other: ArrayLike) -> float:
    """Return intersection over union of two boxes."""
    return float(iou(one, np.asarray(other, np.float64)[None])[0])


def inside_share(box: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Return the share of one box (4,) that lies in each of others (N, 4) → (N,); 0 if it is empty."""
    one, many = np.asarray(box, np.float64), np.asarray(others, np.float64)
    area = max(one[2] - one[0], 0.0) * max(one[3] - one[1], 0.0)
    return _intersection(one, many) / area if area else np.zeros(len(many))


def _intersection(one: NDArray[np.float64], many: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = np.maximum(np.minimum(one[2:], many[:, 2:]) - np.maximum(one[:2], many[:, :2]), 0)
    areas: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return areas
