"""How much of what the two looks say is to be believed: from log-odds and overlaps to probabilities."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a box.

    Attributes:
        middle_overview: log-odds of its highest cell in the overview.
        middle_close_up: the same in the close-up.
        presence_overview: log-odds of an animal in the photo.
        presence_close_up: the same in the close-up.
        classes_overview: log-odds of ImageNet's marine mammals in the photo, see `classes.margin`.
        classes_close_up: the same in the close-up.
        same_close_up: IoU of the boxes that the network finds in the overview and in the close-up.
        same_measured: IoU of the latter and of the measured box.
        contrast: mean share of the cells inside the measured box less that of the cells outside.
    """

    middle_overview: float
    middle_close_up: float
    presence_overview: float
    presence_close_up: float
    classes_overview: float
    classes_close_up: float
    same_close_up: float
    same_measured: float
    contrast: float

    def array(self) -> NDArray[np.float64]:
        """(9,) in the order of `FEATURES`."""
        return np.array(astuple(self))


FEATURES = tuple(each.name for each in fields(Evidence))
"""What is known of a box, in the order of the weights."""


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """Two logistic curves, fitted by `benchmarks/fit_judgement.py` on photos that the network had not seen.

    Attributes:
        box: (10,) weights of `FEATURES`, then the offset: the box is right (IoU ≥ 0.5 with an animal).
        presence: (10,) the same for the best box: there is an animal in the photo.
    """

    box: NDArray[np.float32]
    presence: NDArray[np.float32]

    def score(self, evidence: Evidence) -> float:
        """Return the probability that the box is right."""
        return _logistic(self.box, evidence)

    def presence_of(self, best: Evidence) -> float:
        """Return the probability that there is an animal in the photo, from its best box."""
        return _logistic(self.presence, best)


def _logistic(weights: NDArray[np.float32], evidence: Evidence) -> float:
    log_odds = float(weights[:-1].astype(np.float64) @ evidence.array()) + float(weights[-1])
    return float(1 / (1 + np.exp(-np.clip(log_odds, -30, 30))))
