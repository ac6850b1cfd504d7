"""Which box of a photo is the animal: the largest eligible one."""

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
    # Scores are float32: 0.3 given on the command line must admit a stored 0.3.
    areas, scores = detections.areas, detections.scores
    eligible = np.flatnonzero(wanted & (scores >= np.float32(conf)) & (areas > 0))
    if len(eligible) == 0:
        return Choice(None, reason_of(None, detections.listed))
    index = int(min(eligible, key=lambda i: (-areas[i], -scores[i], i)))
    best = int(min(eligible, key=lambda i: (-scores[i], -areas[i], i)))
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
        reason=reason_of(index, detections.listed),
        n_candidates=len(eligible),
        best=best,
        n_apart=int((overlap[eligible] < _APART_IOU).sum()),
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
    width, height = resolution_wh
    limits = np.array([width, height, width, height], np.float32)
    clipped = np.clip(detections.xyxy, 0, limits)
    inside = replace(detections, xyxy=clipped).rounded()
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


def kept_floor(conf: float) -> float:
    """Return the lowest score that a run at `conf` keeps on disk."""
    return min(KEPT_FLOOR, conf)
