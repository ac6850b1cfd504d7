"""Cropped rows gone wrong on purpose: what the boxes and scores of a failed crop look like.

Every mechanism makes the candidate boxes of one photo, not the row: `choose_and_keep` then chooses among them
as in a run, and a draw whose chosen box is right after all (IoU ≥ 0.5 with the animal) is drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from detic_crop.boxes.choose import choose_and_keep
from detic_crop.boxes.crop_size import crop_size
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.geometry import Box, crop_rectangle
from detic_crop.boxes.overlap import iou_of_pair
from detic_crop.config import CropConfig
from detic_crop.folder.records import Record

RIGHT_IOU = 0.5
MARINE = "Marine mammal"
_TRIES = 10_000

ASSUMPTIONS = """\
part, body kept      a slice of 20-50 % of the animal's length is more confident than the whole body, whose
                     box fell below --conf but is among the kept candidates; both scores are those of a
                     photo where the detector split its evidence over two boxes
part, body lost      the same, but no box of the whole body was found
larger wrong box     the right box, and a less confident one with 2.2-5 times its area around it, which wins
boat, wave or bird   a box that lite drew on a photo without animals, at the same place of this photo; half
                     with a score of lite's wrong boxes beside an animal, half with one of a false alarm
whole image          each edge within 2 % of the photo's side from the photo's edge
fin only             10-30 % of the animal's width, 30-60 % of its height, at its upper edge"""


@dataclass(frozen=True)
class Animal:
    """A photo with an animal whose box is known, and the box that the detector found.

    Attributes:
        truth: the animal, xyxy pixels.
        found: the detector's right box.
        size: width and height of the photo.
        group: what a label would say of it.
    """

    truth: Box
    found: Box
    size: tuple[int, int]
    group: str


@dataclass(frozen=True)
class Scores:
    """The detector's own scores, to draw from.

    Attributes:
        right: (presence, score) of right boxes.
        wrong: (presence, score) of wrong boxes on photos with an animal.
        alarms: (presence, score) of boxes on photos without one that pass --conf.
        splits: (presence, higher score, lower score) where the lower one misses --conf.
        elsewhere: boxes on photos without an animal, as shares of the photo's sides.
    """

    right: Sequence[tuple[float, float]]
    wrong: Sequence[tuple[float, float]]
    alarms: Sequence[tuple[float, float]]
    splits: Sequence[tuple[float, float, float]]
    elsewhere: Sequence[Box]


def record_of(image: str, found: Detections, size: tuple[int, int], config: CropConfig) -> Record:
    """What a run would note of a photo with these boxes, up to its pixels."""
    kept, choice = choose_and_keep(found, (MARINE,), config.conf or 0.0, size)
    if choice.index is None or choice.best is None:
        return Record(image, "resized", choice.reason, width=size[0], height=size[1], presence=found.presence)
    another = choice.best != choice.index
    return Record(
        image=image,
        status="cropped",
        reason=choice.reason,
        width=size[0],
        height=size[1],
        class_name=kept.class_names[choice.index],
        score=kept.score(choice.index),
        presence=found.presence,
        box=kept.edges(choice.index),
        crop_box=crop_rectangle(
            kept.edges(choice.index), config.scale, crop_size(config.size, config.fit), size
        ),
        n_candidates=choice.n_candidates,
        best_class=kept.class_names[choice.best] if another else "",
        best_score=kept.score(choice.best) if another else None,
        best_box=kept.edges(choice.best) if another else None,
        n_apart=choice.n_apart,
        larger_score=None if choice.larger is None else kept.score(choice.larger),
    )


def boxes(presence: float, *found: tuple[Box, float]) -> Detections:
    """Detections of one class from (box, score) pairs."""
    return Detections(
        np.array([box for box, _ in found], np.float32),
        np.array([score for _, score in found], np.float32),
        (MARINE,) * len(found),
        presence,
    )


Random = np.random.Generator
Mechanism = Callable[[Animal, Scores, Random], Detections]
Item = TypeVar("Item")


def _one(items: Sequence[Item], random: Random) -> Item:
    return items[int(random.integers(len(items)))]


def _slice(animal: Animal, random: Random) -> Box:
    left, top, right, bottom = animal.truth
    share, first = random.uniform(0.2, 0.5), random.random() < 0.5
    if right - left >= bottom - top:
        length = share * (right - left)
        return (left, top, left + length, bottom) if first else (right - length, top, right, bottom)
    length = share * (bottom - top)
    return (left, top, right, top + length) if first else (left, bottom - length, right, bottom)


def part_body_kept(animal: Animal, scores: Scores, random: Random) -> Detections:
    presence, higher, lower = _one(scores.splits, random)
    return boxes(presence, (_slice(animal, random), higher), (animal.found, lower))


def part_body_lost(animal: Animal, scores: Scores, random: Random) -> Detections:
    presence, higher, _ = _one(scores.splits, random)
    return boxes(presence, (_slice(animal, random), higher))


def larger_wrong_box(animal: Animal, scores: Scores, random: Random) -> Detections:
    presence, right = _one(scores.right, random)
    wrong = _one(scores.wrong, random)[1]
    while wrong >= right:
        presence, right = _one(scores.right, random)
        wrong = _one(scores.wrong, random)[1]
    times = random.uniform(2.2, 5)
    wider = times ** random.uniform(0, 1)
    low_x, high_x = _stretched(animal.truth[0], animal.truth[2], wider, animal.size[0], random)
    low_y, high_y = _stretched(animal.truth[1], animal.truth[3], times / wider, animal.size[1], random)
    return boxes(presence, ((low_x, low_y, high_x, high_y), wrong), (animal.found, right))


def _stretched(low: float, high: float, times: float, side: int, random: Random) -> tuple[float, float]:
    """An interval of the photo's side that holds (low, high) somewhere in itself."""
    length = min(float(side), times * (high - low))
    start = random.uniform(max(0.0, high - length), max(0.0, min(low, side - length)))
    return start, min(float(side), start + length)


def boat_wave_or_bird(animal: Animal, scores: Scores, random: Random) -> Detections:
    pool = scores.alarms if random.random() < 0.5 else scores.wrong
    presence, score = _one(pool, random)
    left, top, right, bottom = _one(scores.elsewhere, random)
    width, height = animal.size
    return boxes(presence, ((left * width, top * height, right * width, bottom * height), score))


def whole_image(animal: Animal, scores: Scores, random: Random) -> Detections:
    presence, score = _one(scores.wrong, random)
    left, top, right, bottom = random.uniform(0, 0.02, 4)
    width, height = animal.size
    return boxes(presence, ((left * width, top * height, (1 - right) * width, (1 - bottom) * height), score))


def fin_only(animal: Animal, scores: Scores, random: Random) -> Detections:
    presence, score = _one(scores.wrong, random)
    left, top, right, bottom = animal.truth
    width, height = random.uniform(0.1, 0.3) * (right - left), random.uniform(0.3, 0.6) * (bottom - top)
    start = random.uniform(left, right - width)
    return boxes(presence, ((start, top, start + width, top + height), score))


MECHANISMS: dict[str, Mechanism] = {
    "part, body kept": part_body_kept,
    "part, body lost": part_body_lost,
    "larger wrong box": larger_wrong_box,
    "boat, wave or bird": boat_wave_or_bird,
    "whole image": whole_image,
    "fin only": fin_only,
}


def spoiled(
    name: str,
    mechanism: Mechanism,
    animals: Sequence[Animal],
    scores: Scores,
    config: CropConfig,
    random: Random,
) -> tuple[Record, str]:
    """A cropped row whose box is wrong, and the group of its photo."""
    for _ in range(_TRIES):
        animal = _one(animals, random)
        record = record_of(name, mechanism(animal, scores, random), animal.size, config)
        if (
            record.box is not None
            and record.box[2] > record.box[0]
            and record.box[3] > record.box[1]
            and iou_of_pair(record.box, animal.truth) < RIGHT_IOU
        ):
            return record, animal.group
    raise SystemExit(f"{mechanism.__name__}: no wrong crop in {_TRIES} tries")
