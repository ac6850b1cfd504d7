"""Average precision of scored boxes, as the COCO detection challenge defines it, for one class.

COCO's rules (https://cocodataset.org/#detection-eval; Lin et al. 2014, Microsoft COCO: Common objects in
context, ECCV): boxes are taken by falling score, at most 100 of a photo; each is a hit if the true box that
it overlaps most, of those that are not taken yet, is overlapped enough. Precision is made to fall with
recall, and its mean at 101 recalls, 0, 0.01 … 1, is the average precision. The code is our own; a test holds
it against pycocotools.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.overlap import iou, iou_of_pairs

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""IoU from which a box counts as a hit: 0.5, 0.55 … 0.95."""

MOST_OF_PHOTO = 100
"""Boxes of one photo that count, those with the highest scores."""

_RECALLS = np.linspace(0.0, 1.0, 101)
# Boxes that are equal up to rounding would overlap enough for a threshold of 1, too.
_LEAST = np.minimum(THRESHOLDS, 1 - 1e-10)


class BoxesOfPhotos(NamedTuple):
    """Boxes of several photos, those of one photo together, and the photos in ascending order.

    Attributes:
        photos: (N,) int64, number of the photo of each box.
        xyxy: (N, 4) float64, left, top, right, bottom.
        scores: (N,) float64; of true boxes they mean nothing.
    """

    photos: NDArray[np.int64]
    xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]


class AveragePrecision(NamedTuple):
    """Average precisions.

    Attributes:
        mean: mean of those at `THRESHOLDS`: COCO's AP.
        at_50: at an IoU of 0.5: PASCAL VOC's overlap.
        at_75: at an IoU of 0.75.
    """

    mean: float
    at_50: float
    at_75: float


def average_precision(found: BoxesOfPhotos, truth: BoxesOfPhotos) -> AveragePrecision | None:
    """Return how well the scores of boxes sort hits before false alarms; None without any true box.

    Args:
        found: the detector's boxes.
        truth: the true boxes; photos that have none may have found boxes, which are false alarms.
    """
    if not len(truth.photos):
        return None
    found = _best_of_each(found)
    hits = _hits(found, truth)  # (T, N)
    order = np.argsort(-found.scores, kind="stable")
    precisions = [_of_hits(row[order], len(truth.photos)) for row in hits]
    return AveragePrecision(float(np.mean(precisions)), float(precisions[0]), float(precisions[5]))


def _best_of_each(found: BoxesOfPhotos) -> BoxesOfPhotos:
    """Return the boxes of each photo by falling score, as many as count."""
    order = np.lexsort((np.arange(len(found.photos)), -found.scores, found.photos))
    photos = found.photos[order]
    rank = np.arange(len(photos)) - np.searchsorted(photos, photos)  # within the photo
    kept = order[rank < MOST_OF_PHOTO]
    return BoxesOfPhotos(found.photos[kept], found.xyxy[kept], found.scores[kept])


def _hits(found: BoxesOfPhotos, truth: BoxesOfPhotos) -> NDArray[np.bool_]:
    """Return (T, N): whether each found box is a hit at each threshold."""
    hits = np.zeros((len(THRESHOLDS), len(found.photos)), np.bool_)
    firsts, ends = (np.searchsorted(truth.photos, found.photos, side) for side in ("left", "right"))
    alone = np.searchsorted(found.photos, found.photos, "right") - np.searchsorted(found.photos, found.photos)
    single = (ends - firsts == 1) & (alone == 1)  # most photos have one box of each
    overlap = iou_of_pairs(found.xyxy[single], truth.xyxy[firsts[single]])
    hits[:, single] = overlap >= _LEAST[:, None]
    places = np.flatnonzero((firsts < ends) & ~single)  # of the other boxes in photos that have a true one
    starts = np.flatnonzero(np.diff(found.photos[places], prepend=-1))
    for several in np.split(places, starts[1:]) if len(places) else ():
        true = truth.xyxy[firsts[several[0]] : ends[several[0]]]
        overlaps = np.array([iou(box, true) for box in found.xyxy[several]])  # (D, G)
        hits[:, several] = _matched(overlaps)
    return hits


def _matched(overlaps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (T, D): whether each box of one photo is a hit, by its overlaps with the true ones, (D, G)."""
    rows = np.arange(len(_LEAST))
    free = np.ones((len(_LEAST), overlaps.shape[1]), np.bool_)
    hits = np.zeros((len(_LEAST), len(overlaps)), np.bool_)
    for box, with_true in enumerate(overlaps):
        left = np.where(free, with_true, -1.0)
        best = left.shape[1] - 1 - left[:, ::-1].argmax(axis=1)  # of equal ones COCO takes the last
        is_hit = left[rows, best] >= _LEAST
        free[rows[is_hit], best[is_hit]] = False
        hits[:, box] = is_hit
    return hits


def _of_hits(hits: NDArray[np.bool_], n_true: int) -> float:
    """Return the average precision at one threshold, of hits by falling score."""
    if not len(hits):
        return 0.0
    taken = np.cumsum(hits)
    recalls = taken / n_true
    precisions = taken / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precisions[::-1])[::-1]
    places = np.searchsorted(recalls, _RECALLS, side="left")
    reached = places < len(falling)
    return float(np.sum(falling[places[reached]]) / len(_RECALLS))
