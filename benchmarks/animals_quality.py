"""How good is `--animals all`? `python -m benchmarks.animals_quality SET [SET …]`.

Each SET is a folder of labelled photos (see `labelled_photos`); photos with several animals count only where
every one of them has a box. Two things are measured:

- the rule by itself: of the boxes that were drawn by hand, given with equal scores, how many get a crop;
- `lite` with the rule, on the boxes kept in `data/lite_cross_validated.jsonl` (weights that never saw the
  photo's source): animals with a crop of IoU 0.5 or more, and crops that are of no animal, or of one twice.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.labelled_photos import Box, LabelledPhoto, read_sets
from benchmarks.lite_metrics import read_predictions
from benchmarks.lite_quality import CROSS_VALIDATED
from benchmarks.spoiled_rows import RIGHT_IOU
from detic_crop.boxes.choose import choose_all
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.overlap import iou


class Counts(NamedTuple):
    """What some photos show and have.

    Attributes:
        photos, animals: number of photos, and of the animals in them.
        crops: number of crops.
        found: number of animals that have a crop of their own.
    """

    photos: int = 0
    animals: int = 0
    crops: int = 0
    found: int = 0

    def plus(self, animals: Sequence[Box], crops: Sequence[Box]) -> Counts:
        """Return the counts with one photo more."""
        return Counts(
            self.photos + 1,
            self.animals + len(animals),
            self.crops + len(crops),
            self.found + len(matches(animals, crops)),
        )

    def __str__(self) -> str:
        share = self.found / self.animals if self.animals else 0.0
        return (
            f"{self.photos} photos, {self.animals} animals: {self.found} found ({share:.0%}); "
            f"{self.crops} crops, of no animal or of one twice: {self.crops - self.found}"
        )


def matches(animals: Sequence[Box], crops: Sequence[Box]) -> list[tuple[int, int]]:
    """Return (animal, crop) pairs of IoU 0.5 or more, the best first; each takes part once."""
    overlaps = np.array([iou(crop, np.array(animals)) for crop in crops]).reshape(len(crops), len(animals))
    pairs: list[tuple[int, int]] = []
    for place in np.argsort(-overlaps, axis=None, kind="stable").tolist():
        crop, animal = divmod(place, len(animals))
        is_taken = any(animal == a or crop == c for a, c in pairs)
        if overlaps[crop, animal] >= RIGHT_IOU and not is_taken:
            pairs.append((animal, crop))
    return pairs


def boxes_of(found: Detections, conf: float) -> list[Box]:
    """Return the boxes of all animals."""
    choices = choose_all(found, None, conf)
    return [found.edges(choice.index) for choice in choices if choice.index is not None]


def drawn(animals: Sequence[Box]) -> Detections:
    """Return boxes drawn by hand as if a detector had found them, all with one score."""
    boxes = np.array(animals, np.float32)
    return Detections(boxes, np.full(len(boxes), 0.9, np.float32), ("animal",) * len(boxes))


def is_complete(photo: LabelledPhoto) -> bool:
    """Return whether every animal of a photo has a box, and there is one."""
    return photo.box is not None and (bool(photo.further) or not photo.several)


def main() -> None:
    """Print both measurements, for photos of one animal and of several."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET")
    arguments = parser.parse_args()
    (said,) = read_predictions(CROSS_VALIDATED).values()
    rule, one, several = Counts(), Counts(), Counts()
    for photo in filter(is_complete, read_sets(arguments.sets)):
        assert photo.box is not None
        animals = [photo.box, *photo.further]
        if len(animals) > 1:
            rule = rule.plus(animals, boxes_of(drawn(animals), 0.0))
        if (prediction := said.get(photo.key)) is not None:
            crops = boxes_of(prediction.found, prediction.conf)
            if len(animals) > 1:
                several = several.plus(animals, crops)
            else:
                one = one.plus(animals, crops)
    print(f"the rule, on boxes drawn by hand: {rule}")
    print(f"lite, photos of several animals: {several}")
    print(f"lite, photos of one animal: {one}")


if __name__ == "__main__":
    main()
