"""How good a taught detector is on photos that it was not taught from, and how strongly to teach it.

Photos of one encounter are alike, so whole groups are left out together. The strength is chosen for each fold
on the photos of the other folds only, so the figures that are reported were not chosen to be the best ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.choose import choose
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.geometry import Box
from detic_crop.boxes.overlap import iou_of_pair

FOLDS = 5
SAME_BOX = 0.85
"""IoU from which two boxes count as equally good: two people who draw one animal agree about as well."""
GOOD_BOX = 0.5
_LEAST_GROUPS = 3
_NOTHING = 1e-9
"""A gain of rounding."""


class Grade(NamedTuple):
    """One photo, as a detector answered it.

    Attributes:
        found: whether a box counts, at the default ``--conf``.
        iou: overlap of the chosen box with the animal's; 0 where none counts, or there is no animal.
        worth: from 0, wrong, to 1, right: the IoU up to `SAME_BOX`; without an animal whether no box counts.
    """

    found: bool
    iou: float
    worth: float


@dataclass(frozen=True, slots=True)
class Figures:
    """How good a detector is on some photos; a share of none is NaN.

    Attributes:
        photos: number of photos with an animal.
        empty: number of photos without one.
        mean_iou: mean IoU of the chosen box with the animal's; 0 where no box counts.
        good: share of photos with an animal whose chosen box has an IoU of 0.5 or more.
        found: share of photos with an animal in which a box counts.
        false_alarms: share of photos without an animal in which a box counts.
    """

    photos: int
    empty: int
    mean_iou: float
    good: float
    found: float
    false_alarms: float

    @classmethod
    def of(cls, boxes: Sequence[Box | None], grades: Sequence[Grade]) -> Figures:
        """Return the figures of photos, given the animal's box and the grade of each."""
        pairs = list(zip(boxes, grades, strict=True))
        animals = [grade for box, grade in pairs if box is not None]
        empty = [grade for box, grade in pairs if box is None]
        return cls(
            len(animals),
            len(empty),
            _mean(grade.iou for grade in animals),
            _mean(grade.iou >= GOOD_BOX for grade in animals),
            _mean(grade.found for grade in animals),
            _mean(grade.found for grade in empty),
        )


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What cross-validation says of teaching.

    Attributes:
        before: grade of each photo by the detector as it was shipped.
        after: grade of each photo by one that was taught without its fold, at the strength that was chosen on
            the other folds.
        weakest: grade of each photo by one that was taught without its fold, at the weakest strength above 0.
        strength: the one that is chosen on all photos.
        gain: mean rise in worth from before to after.
    """

    before: list[Grade]
    after: list[Grade]
    weakest: list[Grade]
    strength: float
    gain: float

    @property
    def helps(self) -> bool:
        """True if some strength is better by more than chance, and photos that were left out gain, too."""
        return self.strength > 0 and self.gain > 0


def grade(found: Detections, box: Box | None, conf: float) -> Grade:
    """Compare an answer with the truth.

    Args:
        found: the detector's boxes.
        box: around the animal, in the same pixels; None: there is none.
        conf: lowest score of a box that counts.
    """
    chosen = choose(found, None, conf).index
    if box is None:
        return Grade(chosen is not None, 0.0, float(chosen is None))
    iou = 0.0 if chosen is None else iou_of_pair(found.xyxy[chosen], box)
    return Grade(chosen is not None, iou, min(iou / SAME_BOX, 1.0))


def folds_of(groups: Sequence[str], has_animal: Sequence[bool], count: int = FOLDS) -> list[int]:
    """Return the fold of each photo: whole groups, the largest first, each to the emptiest fold.

    Args:
        groups: group of each photo.
        has_animal: whether there is an animal; of these each fold gets as many as can be.
        count: number of folds at most.
    """
    animals = Counter(group for group, animal in zip(groups, has_animal, strict=True) if animal)
    sizes = Counter(groups)
    load = [(0, 0, fold) for fold in range(min(count, len(sizes)))]
    fold_of = {}
    for group in sorted(sizes, key=lambda name: (-animals[name], -sizes[name], name)):
        with_animal, size, fold = min(load)
        fold_of[group] = fold
        load[fold] = (with_animal + animals[group], size + sizes[group], fold)
    return [fold_of[group] for group in groups]


def judge(
    folds: Sequence[int],
    groups: Sequence[str],
    strengths: Sequence[float],
    grades: Callable[[Sequence[int], Sequence[int], float], Iterable[Grade]],
) -> CrossValidation:
    """Judge by cross-validation whether teaching helps.

    Args:
        folds: fold of each photo.
        groups: group of each photo; those of one group are not independent.
        strengths: two or more to try, the weakest first, which must be 0: the shipped detector.
        grades: (photos to teach, photos to grade, strength) → a grade of each of the latter.
    """
    found: list[list[Grade]] = [[Grade(False, 0.0, 0.0)] * len(folds) for _ in strengths]
    for fold in sorted(set(folds)):
        others = [i for i, of in enumerate(folds) if of != fold]
        own = [i for i, of in enumerate(folds) if of == fold]
        for tried, strength in zip(found, strengths, strict=True):
            for i, graded in zip(own, grades(others, own, strength), strict=True):
                tried[i] = graded
    worths = np.array([[graded.worth for graded in tried] for tried in found])
    names = np.unique(np.array(groups), return_inverse=True)[1]
    after = list(found[0])
    of_fold = np.array(folds)
    for fold in sorted(set(folds)):
        elsewhere = of_fold != fold
        best = _best(worths[:, elsewhere], names[elsewhere])
        for i in np.flatnonzero(~elsewhere).tolist():
            after[i] = found[best][i]
    gain = float(np.mean([graded.worth for graded in after]) - worths[0].mean())
    return CrossValidation(found[0], after, found[1], float(strengths[_best(worths, names)]), gain)


def _best(worths: NDArray[np.float64], groups: NDArray[np.intp]) -> int:
    """Return which strength to take, of (S, N) worths: a stronger one if it is better by a standard error.

    The rule of one standard error (Breiman et al. 1984, section 3.4.3), on the differences between photos,
    which are not independent within a group.
    """
    best = 0
    for strength in range(1, len(worths)):
        gains = worths[strength] - worths[best]
        if gains.mean() > _standard_error(gains, groups) + _NOTHING:
            best = strength
    return best


def _standard_error(gains: NDArray[np.float64], groups: NDArray[np.intp]) -> float:
    """Return the standard error of the mean of (N,) gains whose groups are independent of each other.

    That of a ratio of sums over clusters (Cochran 1977, Sampling Techniques, chapter 6); of fewer than three
    groups it cannot be told, and photos count as independent.
    """
    _, of_group = np.unique(groups, return_inverse=True)
    if of_group.max() < _LEAST_GROUPS - 1:
        of_group = np.arange(len(gains))
    sums = np.bincount(of_group, gains - gains.mean())
    count = max(len(sums), 2)
    return float(np.sqrt(count / (count - 1) * (sums**2).sum()) / len(gains))


def _mean(values: Iterable[float]) -> float:
    kept = [float(value) for value in values]
    return sum(kept) / len(kept) if kept else float("nan")
