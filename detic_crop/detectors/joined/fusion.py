"""Weighted box fusion: the boxes that several models have of one thing become one box."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.overlap import iou

SAME_IOU = 0.55
"""Boxes that overlap more than this are of one thing; the paper's own value."""


class Boxes(NamedTuple):
    """Boxes of one photo and one class.

    Attributes:
        xyxy: (N, 4) float64, pixels.
        scores: (N,) float64 in [0, 1].
        weights: (N,) float64, of the model that each is from; positive.
    """

    xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    weights: NDArray[np.float64]


class FusedBox(NamedTuple):
    """One box of several.

    Attributes:
        xyxy: (4,) float64, inside the hull of those it is of.
        score: in [0, 1].
        sources: indices of those it is of, the most confident first.
    """

    xyxy: NDArray[np.float64]
    score: float
    sources: list[int]


def weighted_box_fusion(boxes: Boxes, total: float, same: float = SAME_IOU) -> list[FusedBox]:
    """Return the boxes that stand for those of several models, by falling score of their first source.

    Solovyev, Wang and Gabruseva 2019, "Weighted boxes fusion: Ensembling boxes from different object
    detection models" (https://arxiv.org/abs/1910.13302), section 3. Boxes are taken by falling confidence C.
    Each joins the fused box that it overlaps most, if their IoU is above `same`, or else begins one. Of the T
    boxes in a cluster, equations 1 to 3 make

        C = (C1 + … + CT) / T,  X = (C1·X1 + … + CT·XT) / (C1 + … + CT) for each of the four edges,

    and at the end (step 7), with N models, C is multiplied with min(T, N) / N: what few models see counts
    less. Here each model has a weight w, which the paper mentions without a formula: sums over boxes
    are weighted with it, T is the sum of the weights in the cluster, and N the sum of those of all models.
    With all weights 1 these are the paper's equations.

    The result does not depend on the order of the boxes: ties are settled by weight, then by the edges.

    Args:
        boxes: of all models, of one class.
        total: N, the weights of all models that looked at the photo.
        same: see above.
    """
    ties = [*boxes.xyxy.T[::-1], -boxes.weights, -boxes.scores]
    clusters: list[list[int]] = []
    fused: list[NDArray[np.float64]] = []
    for index in np.lexsort(ties).tolist():
        overlaps = iou(boxes.xyxy[index], np.array(fused).reshape(-1, 4))
        best = int(overlaps.argmax()) if len(fused) else -1
        if best < 0 or overlaps[best] <= same:
            clusters.append([index])
            fused.append(boxes.xyxy[index])
        else:
            clusters[best].append(index)
            fused[best] = _mean_box(boxes, clusters[best])
    return [
        FusedBox(xyxy, _score(boxes, sources, total), sources)
        for xyxy, sources in zip(fused, clusters, strict=True)
    ]


def _mean_box(boxes: Boxes, sources: list[int]) -> NDArray[np.float64]:
    xyxy = boxes.xyxy[sources]
    shares = boxes.weights[sources] * boxes.scores[sources]
    if not shares.any():
        shares = boxes.weights[sources]
    mean = np.asarray(shares @ xyxy / shares.sum(), np.float64)
    return mean.clip(xyxy.min(0), xyxy.max(0))  # rounding may lead a hair beyond


def _score(boxes: Boxes, sources: list[int], total: float) -> float:
    weights = boxes.weights[sources]
    mean = float(weights @ boxes.scores[sources] / weights.sum())
    return min(1.0, max(0.0, mean * min(float(weights.sum()), total) / total))


def most_confident(xyxy: NDArray[np.float64], scores: NDArray[np.float64], same: float) -> list[int]:
    """Return the indices of boxes of which no more confident one overlaps more than `same` (greedy NMS).

    Args:
        xyxy: (N, 4), of one model.
        scores: (N,).
        same: IoU.
    """
    kept: list[int] = []
    for index in np.lexsort([*xyxy.T[::-1], -scores]).tolist():
        if not (iou(xyxy[index], xyxy[kept]) > same).any():
            kept.append(index)
    return kept
