"""How much boxes overlap. Boxes are xyxy: left, top, right, bottom, in one unit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def iou(box: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Return intersection over union of one box (4,) with others (N, 4) → (N,); 0 if both are empty."""
    one, many = np.asarray(box, np.float64), np.asarray(others, np.float64)
    intersection = _intersection(one, many)
    union = (one[2] - one[0]) * (one[3] - one[1]) + _areas(many) - intersection
    result: NDArray[np.float64] = np.zeros_like(intersection)
    np.divide(intersection, union, out=result, where=union > 0)
    return result


def iou_of_pair(one: ArrayLike, other: ArrayLike) -> float:
    """Return intersection over union of two boxes."""
    return float(iou(one, np.asarray(other, np.float64)[None])[0])


def iou_of_pairs(ones: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Return intersection over union of each box (N, 4) with the one in the same row of others → (N,)."""
    left, right = np.asarray(ones, np.float64), np.asarray(others, np.float64)
    intersection = _intersection(left, right)
    union = _areas(left) + _areas(right) - intersection
    result: NDArray[np.float64] = np.zeros_like(intersection)
    np.divide(intersection, union, out=result, where=union > 0)
    return result


def best_pairs(ones: ArrayLike, others: ArrayLike, least: float = 0.0) -> list[tuple[int, int, float]]:
    """Return (row of one, row of other, IoU) of boxes that belong together, each in one pair at most.

    The two boxes that overlap most are a pair, then the two that do of the rest; of equal ones those in the
    first rows.

    Args:
        ones: (M, 4).
        others: (N, 4).
        least: boxes that overlap less are no pair.
    """
    rows, columns = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (ones, others))
    left = np.array([iou(box, columns) for box in rows])  # (M, N)
    found: list[tuple[int, int, float]] = []
    while left.size and len(found) < min(left.shape):
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        best = float(left[row, column])
        if best < least:
            break
        found.append((int(row), int(column), best))
        left[row, :] = left[:, column] = -1.0
    return found


def inside_share(box: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Return the share of one box (4,) that lies in each of others (N, 4) → (N,); 0 if it is empty."""
    one, many = np.asarray(box, np.float64), np.asarray(others, np.float64)
    area = max(one[2] - one[0], 0.0) * max(one[3] - one[1], 0.0)
    return _intersection(one, many) / area if area else np.zeros(len(many))


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = boxes[:, 2:] - boxes[:, :2]
    areas: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return areas


def _intersection(one: NDArray[np.float64], many: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the common area of one box (4,), or of a box for each row (N, 4), with boxes (N, 4) → (N,)."""
    low = np.maximum(one[..., :2], many[:, :2])
    sides = np.maximum(np.minimum(one[..., 2:], many[:, 2:]) - low, 0)
    areas: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return areas
