"""How two implementations of Detic are compared, for `test_parity` and `benchmarks.parity`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detic_crop.config import Precision
from detic_crop.detectors.base import DetectorInfo
from detic_crop.detectors.detic.build import build
from detic_crop.detectors.detic.checkpoint import fill_network
from detic_crop.detectors.detic.detector import DeticDetector, vocabulary_matrix
from detic_crop.detectors.detic.network import DeticNetwork
from tests.kit.filled_weights import N_CLASSES, filled_checkpoint, filled_vocabulary, published_shapes

FEATURE_BOUND = 1e-3
"""Largest difference in a feature map, in standard deviations of the map."""

# What a box must share with its golden one. Rounding differs by processor: by the width of its vectors, the
# number of threads, Winograd's products. Edges move by a few thousandths of a pixel then, and filled weights,
# unlike trained ones, make slivers a fifth of a pixel wide, whose IoU with themselves falls to 0.97 by that.
# So closeness is told in pixels. Now and then two scores of these weights are tied to the last digit, and a
# box moves by more, as the other one is refined: such a box must be there all the same, of that class, with
# that score, in that place. A box too many or too few is never rounding.
CLOSE_PIXELS = 0.01
MIN_CLOSE_SHARE = 0.95
MIN_IOU = 0.95
MAX_SCORE_DIFFERENCE = 1e-3
SCORE_FLOOR = 0.3
"""The goldens have final boxes above this."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well boxes agree with a golden.

    Attributes:
        n_ours, n_golden: how many boxes there are.
        n_close: pairs, one to one, with edges within 0.01 px, scores within 1e-3 and the same class.
        n_near: further pairs, of IoU ≥ 0.95 instead.
        score_difference: the largest one among all pairs.
        pixels: the largest difference of an edge among the close pairs.
    """

    n_ours: int
    n_golden: int
    n_close: int
    n_near: int
    score_difference: float
    pixels: float

    @property
    def holds(self) -> bool:
        """Every box has its partner, on both sides, and at least 95 % of them a close one."""
        everyone = self.n_close + self.n_near == self.n_ours == self.n_golden
        return everyone and self.n_close >= MIN_CLOSE_SHARE * self.n_golden


def agreement(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    golden_boxes: NDArray[np.float32],
    golden_scores: NDArray[np.float32],
    golden_classes: NDArray[np.int64],
) -> Agreement:
    """Pair (N, 4) xyxy boxes with (M, 4) golden ones: the closest first, then as many as can be."""
    edges = np.abs(boxes[:, None].astype(np.float64) - golden_boxes[None, :]).max(axis=2)  # (N, M)
    apart = np.abs(scores[:, None].astype(np.float64) - golden_scores[None, :])
    alike = (apart <= MAX_SCORE_DIFFERENCE) & (classes[:, None] == golden_classes[None, :])
    close = alike & (edges <= CLOSE_PIXELS)
    fits = close | (alike & (pairwise_iou(boxes, golden_boxes) >= MIN_IOU))
    pairs = _pair_up(close, fits, edges)
    near = [pair for pair in pairs if not close[pair]]
    return Agreement(
        n_ours=len(boxes),
        n_golden=len(golden_boxes),
        n_close=len(pairs) - len(near),
        n_near=len(near),
        score_difference=max((float(apart[pair]) for pair in pairs), default=0.0),
        pixels=max((float(edges[pair]) for pair in pairs if close[pair]), default=0.0),
    )


def _pair_up(
    close: NDArray[np.bool_], fits: NDArray[np.bool_], edges: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """(row, column) pairs, one to one: the close ones, closest first, then others until no more fit."""
    row_of: dict[int, int] = {}
    for row, column in sorted(np.argwhere(close).tolist(), key=lambda pair: (edges[*pair], *pair)):
        if column not in row_of and row not in row_of.values():
            row_of[column] = row

    def find(row: int, tried: set[int]) -> bool:
        """Give the row a column, if need be one whose row finds another (an augmenting path)."""
        for column in np.flatnonzero(fits[row]).tolist():
            if column not in tried:
                tried.add(column)
                if column not in row_of or find(row_of[column], tried):
                    row_of[column] = row
                    return True
        return False

    for row in sorted(set(range(len(fits))) - set(row_of.values())):
        find(row, set())
    return [(row, column) for column, row in row_of.items()]


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
    change: Callable[[DeticNetwork], Any] = lambda network: None,
) -> DeticDetector:
    """A detector with filled weights and vocabulary; its classes are called "0" … "499".

    `change` is given the network before it is optimised.
    """
    network = build(model)
    fill_network(network, filled_checkpoint(published_shapes(model), seed), "filled weights")
    change(network)
    names = tuple(str(i) for i in range(N_CLASSES))
    vocabulary = vocabulary_matrix(filled_vocabulary(seed), names)
    info = DetectorInfo(model, names, default_conf=0.5, weights={})
    return DeticDetector(
        network.to(device), info, vocabulary, device, precision, detector_size, optimised=optimised
    )
