"""Which boxes of a photo are animals: the largest eligible one, or each that is not a part of another."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.detections import SCORE_DECIMALS, Detections
from detic_crop.boxes.overlap import inside_share, iou

UNKNOWN_CLASS = "unknown"
"""Class of boxes from a file without class names; always eligible."""

KEPT_FLOOR = 0.05
"""Boxes below this score are not kept on disk (unless ``--conf`` is lower still)."""

MAX_KEPT = 50
"""Most boxes of one photo that are kept on disk."""

_APART_IOU = 0.1  # two boxes that overlap less than this are two animals, not two guesses at one
_PART_INSIDE = 0.9  # least share of a part that lies inside the whole
_PART_RATIO = 1.5  # least ratio of the areas of the whole and its part
_SAME_IOU = 0.5  # two boxes that overlap more than this are guesses at one animal
_SAME_INSIDE = 0.85  # so are two of which this share of the smaller one lies inside the larger one
_MANY = 3  # so many confident boxes apart in one are animals, not parts of one
_FILLED = 1 / 3  # two are if they fill this share of it; a fin and a fluke fill less of their body
_CONFLICT_IOU = 0.5  # a box of another class that overlaps more than this is about the same thing


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen box, and what may speak against it.

    Attributes:
        index: index of the chosen box in the detections, or None.
        reason: see `reason_of`.
        n_candidates: number of eligible boxes.
        best: index of the most confident eligible box, or None.
        n_apart: number of other eligible boxes that hardly touch the chosen one (IoU < 0.1).
        rival: index of the most confident box of an unwanted class on the same spot (IoU ≥ 0.5), or None.
        larger: index of the most confident wanted box below `conf` that contains 90 % of the chosen one
            and is at least 1.5 times as large, or None: the chosen one may be only a part of the animal.
    """

    index: int | None
    reason: str
    n_candidates: int = 0
    best: int | None = None
    n_apart: int = 0
    rival: int | None = None
    larger: int | None = None


def wanted_mask(detections: Detections, classes: Collection[str] | None) -> NDArray[np.bool_]:
    """Return (N,) True where the class is wanted; `classes` None means any class."""
    if classes is None:
        return np.ones(len(detections), bool)
    return np.array([name in classes or name == UNKNOWN_CLASS for name in detections.class_names], bool)


def choose(detections: Detections, classes: Collection[str] | None = None, conf: float = 0.0) -> Choice:
    """Return the largest box of a wanted class with a score of at least `conf` (ties: score, then order).

    Args:
        detections: boxes of one photo.
        classes: wanted class names; None for any. The class ``unknown`` is always wanted.
        conf: lowest score of an eligible box.
    """
    wanted = wanted_mask(detections, classes)
    eligible = _eligible(detections, wanted, conf)
    if len(eligible) == 0:
        return Choice(None, reason_of(None, detections.listed))
    choice = _choice_of(_by_area(detections, eligible)[0], eligible, detections, wanted, conf)
    return replace(choice, reason=reason_of(choice.index, detections.listed))


def choose_all(
    detections: Detections,
    classes: Collection[str] | None = None,
    conf: float = 0.0,
    most: int | None = None,
) -> list[Choice]:
    """Return a choice for each animal of a photo, from left to right.

    Of two boxes that show one animal the larger one counts, whatever their classes: their IoU is 0.5 or more,
    or 85 % of the smaller one lie inside the larger one, as a fin's box does in its body's. A box around
    several animals is left out: it contains boxes that are more confident and hardly touch each other, three
    of them, or two that fill a third of it.

    Args:
        detections: boxes of one photo.
        classes: wanted class names; None for any. The class ``unknown`` is always wanted.
        conf: lowest score of an eligible box.
        most: number of animals, of which the largest are taken; None for all.

    Returns:
        The choices, each among the boxes of its own animal; `n_candidates` is the number of these, `n_apart`
        that of the other animals. Which boxes are chosen does not depend on the order of the boxes.
    """
    wanted = wanted_mask(detections, classes)
    eligible = _eligible(detections, wanted, conf)
    in_place = sorted(eligible.tolist(), key=lambda i: (detections.edges(i), detections.class_names[i]))
    eligible = np.array(in_place, np.intp)  # of boxes of equal size and score the left one comes first
    eligible = eligible[[not _is_group(i, eligible, detections) for i in eligible]]
    parts: dict[int, list[int]] = {}  # of each animal its boxes, the largest first
    for i in _by_area(detections, eligible):
        whole = next((j for j in parts if _is_same_animal(detections, i, j)), i)
        parts.setdefault(whole, []).append(i)
    animals = list(parts)[:most]  # the largest first
    animals.sort(key=lambda i: (detections.edges(i), i))
    choices = (_choice_of(i, np.array(parts[i]), detections, wanted, conf) for i in animals)
    return [replace(choice, n_apart=len(animals) - 1) for choice in choices]


def _eligible(detections: Detections, wanted: NDArray[np.bool_], conf: float) -> NDArray[np.intp]:
    # Scores are float32: 0.3 given on the command line must admit a stored 0.3.
    return np.flatnonzero(wanted & (detections.scores >= np.float32(conf)) & (detections.areas > 0))


def _by_area(detections: Detections, indices: NDArray[np.intp]) -> list[int]:
    """Return indices in the order of the areas, the largest first (ties: score, then as given)."""
    areas, scores = detections.areas, detections.scores
    return sorted(indices.tolist(), key=lambda i: (-areas[i], -scores[i]))


def _is_same_animal(detections: Detections, smaller: int, larger: int) -> bool:
    one, other = detections.xyxy[smaller], detections.xyxy[[larger]]
    return bool(iou(one, other)[0] >= _SAME_IOU or inside_share(one, other)[0] >= _SAME_INSIDE)


def _is_group(index: int, eligible: NDArray[np.intp], detections: Detections) -> bool:
    """Return whether a box is around several animals: see `choose_all`."""
    xyxy, scores, areas = detections.xyxy, detections.scores, detections.areas
    more_confident = eligible[scores[eligible] > scores[index]]
    apart: list[int] = []  # those within, each apart from the others
    for i in _by_area(detections, more_confident):
        is_part = inside_share(xyxy[i], xyxy[[index]])[0] >= _PART_INSIDE
        if (
            is_part
            and areas[index] >= _PART_RATIO * areas[i]
            and (iou(xyxy[i], xyxy[apart]) < _APART_IOU).all()
        ):
            apart.append(i)
    filled = float(areas[apart].sum()) / float(areas[index])
    return len(apart) >= _MANY or (len(apart) > 1 and filled >= _FILLED)


def _choice_of(
    index: int, own: NDArray[np.intp], detections: Detections, wanted: NDArray[np.bool_], conf: float
) -> Choice:
    """Return a choice, and what speaks against it.

    Args:
        index: index of the chosen box.
        own: indices of the boxes that it was chosen among.
        detections: all boxes of the photo.
        wanted: (N,) True where the class is wanted.
        conf: lowest score of an eligible box.
    """
    areas, scores = detections.areas, detections.scores
    best = int(min(own, key=lambda i: (-scores[i], -areas[i])))
    overlap = iou(detections.xyxy[index], detections.xyxy)
    rivals = np.flatnonzero(~wanted & (overlap >= _CONFLICT_IOU))
    larger = np.flatnonzero(
        wanted
        & (scores < np.float32(conf))
        & (areas >= _PART_RATIO * areas[index])
        & (inside_share(detections.xyxy[index], detections.xyxy) >= _PART_INSIDE)
    )
    return Choice(
        index=index,
        reason="every_animal",
        n_candidates=len(own),
        best=best,
        n_apart=int((overlap[own] < _APART_IOU).sum()),
        rival=int(rivals[np.argmax(scores[rivals])]) if len(rivals) else None,
        larger=int(larger[np.argmax(scores[larger])]) if len(larger) else None,
    )


def reason_of(chosen: object, listed: bool) -> str:
    """Return why a photo is cropped, or not: ``largest_box``, ``not_found``, or ``not_listed``.

    Args:
        chosen: the box, or its index; None if there is none.
        listed: see `Detections`.
    """
    if chosen is not None:
        return "largest_box"
    return "not_found" if listed else "not_listed"


def presence_of(detections: Detections, classes: Collection[str] | None) -> float | None:
    """Return how sure the detector is that a wanted animal is in the photo, in [0, 1].

    This is its own number if it has one, else the best score; None if nobody looked at the photo.
    """
    if not detections.listed:
        return None
    if detections.presence is not None:
        return detections.presence
    wanted = wanted_mask(detections, classes)
    return round(float(detections.scores[wanted].max()), SCORE_DECIMALS) if wanted.any() else 0.0


def choose_and_keep(
    detections: Detections, classes: Collection[str] | None, conf: float, resolution_wh: tuple[int, int]
) -> tuple[Detections, Choice]:
    """Choose among all boxes, and select those to keep on disk, so that a later choice needs no detector.

    Boxes are clipped to the photo and rounded to the kept decimals; empty ones and those with a score below
    `kept_floor` are left out. Of the others at most `MAX_KEPT` are kept: always the chosen, the most
    confident, the rival and the larger one; then wanted classes before others, by falling score.

    Args:
        detections: boxes of one photo.
        classes: wanted class names; None for any.
        conf: lowest score of an eligible box.
        resolution_wh: width and height of the photo, pixels.

    Returns:
        (kept boxes, the choice with indices into them). Applied to kept boxes again, it returns the same.
    """
    inside = _inside(detections, resolution_wh)
    wanted = wanted_mask(inside, classes)
    usable = np.flatnonzero((inside.areas > 0) & (inside.scores >= np.float32(kept_floor(conf))))
    order = sorted(usable.tolist(), key=lambda i: (not wanted[i], -inside.scores[i]))  # stable for ties
    ranked = inside.take(order)
    choice = choose(ranked, classes, conf)
    named = {i for i in (choice.index, choice.best, choice.rival, choice.larger) if i is not None}
    others = [i for i in range(len(ranked)) if i not in named][: MAX_KEPT - len(named)]
    kept = sorted([*named, *others])
    if len(kept) == len(ranked):
        return ranked, choice
    place = {i: new for new, i in enumerate(kept)}

    def moved(i: int | None) -> int | None:
        return None if i is None else place[i]

    choice = replace(
        choice,
        index=moved(choice.index),
        best=moved(choice.best),
        rival=moved(choice.rival),
        larger=moved(choice.larger),
    )
    return ranked.take(kept), choice


def has_eligible(
    detections: Detections, classes: Collection[str] | None, conf: float, resolution_wh: tuple[int, int]
) -> bool:
    """Return whether `choose_and_keep` would choose a box; the arguments are the same."""
    inside = _inside(detections, resolution_wh)
    return len(_eligible(inside, wanted_mask(inside, classes), conf)) > 0


def _inside(detections: Detections, resolution_wh: tuple[int, int]) -> Detections:
    """Return the boxes clipped to the photo and rounded to the kept decimals."""
    width, height = resolution_wh
    limits = np.array([width, height, width, height], np.float32)
    return replace(detections, xyxy=np.clip(detections.xyxy, 0, limits)).rounded()


def kept_floor(conf: float) -> float:
    """Return the lowest score that a run at `conf` keeps on disk."""
    return min(KEPT_FLOOR, conf)
