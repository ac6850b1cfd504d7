"""Fit the few numbers that turn what `lite` sees into probabilities, on photos its network had not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.labelled_photos import LabelledPhoto
from detic_crop.boxes.overlap import iou
from detic_crop.detectors.lite.detector import Found
from detic_crop.detectors.lite.judgement import Judgement

RIGHT = 0.5  # IoU with an animal from which a box is right
PENALTY = 1.0  # on the squares of the weights of standardised features, in photos
LOST = 0.05  # share of photos with an animal whose best box may fall below the default --conf
HIGHEST_CONF = 0.5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answer:
    """What a network that had not seen a photo says of it."""

    photo: LabelledPhoto
    found: Sequence[Found]

    def is_right(self, found: Found) -> bool | None:
        """Whether the box holds an animal; None where nobody knows."""
        photo = self.photo
        animals = [box for box in (photo.box, *photo.further) if box]
        if animals and iou(found.box, np.array(animals)).max() >= RIGHT:
            return True
        unknown = photo.ignored or (photo.several and not photo.further)
        return None if unknown else False


def fit_judgement(answers: Sequence[Answer]) -> Judgement:
    """Two logistic regressions: over all boxes, and over the best box of each photo."""
    each = [(found, answer.is_right(found)) for answer in answers for found in answer.found]
    boxes = np.array([found.evidence.array() for found, right in each if right is not None])
    right = np.array([right for _, right in each if right is not None], float)
    of_boxes = logistic_regression(boxes, right)
    first = Judgement(of_boxes, of_boxes)
    best = [max(answer.found, key=lambda found: first.score(found.evidence)) for answer in answers]
    here = np.array([answer.photo.box is not None for answer in answers], float)
    return Judgement(of_boxes, logistic_regression(np.array([f.evidence.array() for f in best]), here))


def logistic_regression(features: Floats, labels: Floats) -> NDArray[np.float32]:
    """(F + 1,) weights and offset of the features as they are, by Newton's method on standardised ones."""
    mean, spread = features.mean(0), features.std(0) + 1e-9
    design = np.column_stack([(features - mean) / spread, np.ones(len(features))])
    penalty = np.diag([PENALTY] * features.shape[1] + [1e-6])
    weights = np.zeros(design.shape[1])
    for _ in range(100):
        chance = 1 / (1 + np.exp(-(design @ weights).clip(-30, 30)))
        slope = design.T @ (labels - chance) - penalty @ weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + penalty
        weights += np.linalg.solve(curvature, slope).clip(-2, 2)
    plain = weights[:-1] / spread
    return np.append(plain, weights[-1] - plain @ mean).astype(np.float32)


def default_conf(judgement: Judgement, answers: Sequence[Answer]) -> float:
    """Default `--conf`: what 95 % of the photos with an animal reach, at most one half; two decimals."""
    best = np.array([max(judgement.score(f.evidence) for f in answer.found) for answer in answers])
    here = np.array([answer.photo.box is not None for answer in answers])
    return max(0.01, float(np.floor(100 * min(np.quantile(best[here], LOST), HIGHEST_CONF)) / 100))
