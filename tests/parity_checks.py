"""How two implementations of Detic are compared, for `test_parity` and `benchmarks.parity`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detic_crop.config import Precision
from detic_crop.detectors.base import DetectorInfo
from detic_crop.detectors.detic.build import build
from detic_crop.detectors.detic.checkpoint import fill_network
from detic_crop.detectors.detic.detector import DeticDetector, vocabulary_matrix
from tests.filled_weights import N_CLASSES, filled_checkpoint, filled_vocabulary, published_shapes

FEATURE_BOUND = 1e-3
"""Largest difference in a feature map, in standard deviations of the map."""
MIN_IOU = 0.999
MAX_SCORE_DIFFERENCE = 1e-3
MIN_SHARE = 0.99
MAX_COUNT_DIFFERENCE = 0.01
SCORE_FLOOR = 0.3
"""The goldens have final boxes above this."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well boxes agree with a golden.

    Attributes:
        n_ours, n_golden: how many boxes there are.
        n_matched: pairs, one to one, with IoU ≥ 0.999, scores within 1e-3 and the same class.
        score_difference: the largest one among the pairs.
        pixels: the largest difference of an edge among the pairs.
    """

    n_ours: int
    n_golden: int
    n_matched: int
    score_difference: float
    pixels: float

    @property
    def holds(self) -> bool:
        """At least 99 % are matched, and the counts differ by at most 1 %."""
        most = max(self.n_ours, self.n_golden)
        return (
            self.n_matched >= MIN_SHARE * most
            and abs(self.n_ours - self.n_golden) <= MAX_COUNT_DIFFERENCE * self.n_golden
        )


def agreement(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    golden_boxes: NDArray[np.float32],
    golden_scores: NDArray[np.float32],
    golden_classes: NDArray[np.int64],
) -> Agreement:
    """Match (N, 4) boxes with (M, 4) golden ones, closest pairs first."""
    overlap = pairwise_iou(boxes, golden_boxes)  # (N, M)
    apart = np.abs(scores[:, None].astype(np.float64) - golden_scores[None, :])
    fits = (
        (overlap >= MIN_IOU) & (apart <= MAX_SCORE_DIFFERENCE) & (classes[:, None] == golden_classes[None, :])
    )
    pairs = sorted(np.argwhere(fits).tolist(), key=lambda pair: (-overlap[pair[0], pair[1]], *pair))
    taken: dict[int, int] = {}
    used: set[int] = set()
    for ours, golden in pairs:
        if ours not in taken and golden not in used:
            taken[ours] = golden
            used.add(golden)
    return Agreement(
        n_ours=len(boxes),
        n_golden=len(golden_boxes),
        n_matched=len(taken),
        score_difference=max((float(apart[i, j]) for i, j in taken.items()), default=0.0),
        pixels=max((float(np.abs(boxes[i] - golden_boxes[j]).max()) for i, j in taken.items()), default=0.0),
    )


def pairwise_iou(ours: NDArray[np.float32], golden: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N, 4) and (M, 4) xyxy → (N, M) intersection over union, in float64."""
    a, b = ours.astype(np.float64)[:, None], golden.astype(np.float64)[None, :]
    sides = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    shared = sides.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    return np.asarray(shared / np.maximum(union, 1e-12), dtype=np.float64)


def filled_detector(
    model: str,
    seed: int = 0,
    detector_size: int = 800,
    precision: Precision = "float32",
    device: str = "cpu",
    optimised: bool = True,
) -> DeticDetector:
    """A detector with filled weights and vocabulary; its classes are called "0" … "499"."""
    network = build(model)
    fill_network(network, filled_checkpoint(published_shapes(model), seed), "filled weights")
    names = tuple(str(i) for i in range(N_CLASSES))
    vocabulary = vocabulary_matrix(filled_vocabulary(seed), names)
    info = DetectorInfo(model, names, default_conf=0.5, weights={})
    return DeticDetector(
        network.to(device), info, vocabulary, device, precision, detector_size, optimised=optimised
    )
