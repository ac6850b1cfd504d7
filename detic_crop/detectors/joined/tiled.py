"""A second look at a photo, in overlapping tiles: what is small in the photo is large in a tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.choose import presence_of, wanted_mask
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.overlap import iou
from detic_crop.detectors.base import Detector
from detic_crop.detectors.joined.fallback import Fallback
from detic_crop.detectors.joined.grid import Tile, TiledBoxes, merged, part_around, tiles_of
from detic_crop.detectors.joined.several import ANIMAL, Several, ask, default_wanted
from detic_crop.errors import UsageError

_MOST_BOXES = 20
"""Boxes of one tile that are looked at, the wanted and confident ones."""

_MOST_ASKED = 8
"""Animals of a photo that are looked at once more, the most confident ones; others are left out."""

_SAME_AGAIN = 0.3
"""IoU with the box of the tile above which a box of the last look is of the same animal."""


def with_tiles(detector: Detector) -> Detector:
    """Return a detector that looks again, in tiles, where it has found nothing in a photo as a whole.

    Joined models are first asked in turn about the whole photo; then each that looks at pixels about tiles.

    Raises:
        UsageError: it does not look at pixels.
    """
    if not detector.info.needs_pixels:
        raise UsageError(
            "option_not_applicable",
            f"--tiles auto goes with models that look at the photo, not with {detector.info.name}; leave it "
            "out, or join another model, as in A+B",
        )
    members = detector.members if isinstance(detector, Fallback) else (detector,)
    again = [Tiled(member) for member in members if member.info.needs_pixels]
    looking_again = Fallback([*members, *again], detector.info.name)
    looking_again.lookups = detector.lookups if isinstance(detector, Several) else {}
    return looking_again


class Tiled(Several):
    """Looks at the tiles of a photo, and not at the photo as a whole.

    Many tiles are many chances to be wrong, in a photo in which the whole look has found nothing. Two things
    keep false alarms as rare as they are without tiles. With n tiles the odds of each score s, which are
    s / (1 - s), are divided by the square root of n: by n, as if the tiles were independent, `lite` lost four
    of five far animals (`python -m benchmarks.tiles_quality`). And what then still counts is looked at again,
    in a picture with it in the middle; the lower of both scores holds. What a chance of framing made look
    like an animal is gone there.

    Args:
        member: is asked about each tile.
    """

    def __init__(self, member: Detector) -> None:
        super().__init__([member])
        self.preferred_batch = 1  # the tiles of a photo are a batch
        self.info = replace(member.info, name=f"{member.info.name}, tiles", input_size=None, floor=0.0)
        self.classes = default_wanted(member.info)
        self._conf = member.info.default_conf

    def ask_for(self, classes: Sequence[str] | None, conf: float = 0.0) -> None:
        """Take note of what counts; the member is told, too."""
        super().ask_for(classes, conf)
        self._conf = conf

    def expect(self, photos: Mapping[str, str]) -> None:
        """The member is told as itself."""

    def notes(self) -> list[str]:
        """Return nothing: the member says it as itself."""
        return []

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Return the boxes in the tiles of one photo, (H, W, 3) uint8 BGR, not reduced."""
        height, width = image.shape[:2]
        tiles = tiles_of(width, height)
        answers = [self._best(found) for found in self._look(image, key, tiles)]
        if not any(len(found) for found in answers):
            return Detections.empty(presence=self._presence(answers))
        corners = [np.array([tile.left, tile.top] * 2) for tile in tiles]
        names = [name for found in answers for name in found.class_names]
        in_photo = TiledBoxes(
            np.concatenate([a.xyxy + corner for a, corner in zip(answers, corners, strict=True)]),
            np.concatenate([a.scores for a in answers]).astype(np.float64),
            [kind for found in answers for kind in self.kinds_of(found)],
            [tile for tile, found in zip(tiles, answers, strict=True) for _ in range(len(found))],
        )
        animals = merged(in_photo, width, height)
        best = [index for _, index in animals]
        scores = _shared_odds(in_photo.scores[best], len(tiles))
        boxes = np.array([box for box, _ in animals])
        counts = [i for i in np.flatnonzero(scores >= self._conf) if in_photo.kinds[best[i]] == ANIMAL]
        asked, left_out = counts[:_MOST_ASKED], counts[_MOST_ASKED:]
        again = self._again(image, key, boxes[asked])
        scores[asked] = np.minimum(scores[asked], _shared_odds(again, len(tiles)))
        kept = np.setdiff1d(np.arange(len(animals)), left_out)
        return Detections(
            boxes[kept].astype(np.float32),
            scores[kept].astype(np.float32),
            tuple(names[best[i]] for i in kept),
            presence=self._presence(answers),
        )

    def _look(self, image: NDArray[np.uint8], key: str, parts: Sequence[Tile]) -> list[Detections]:
        """Return what the member sees in parts of a photo, in pixels of each part."""
        (member,) = self.members
        cut = [np.ascontiguousarray(image[p.top : p.bottom, p.left : p.right]) for p in parts]
        return ask(member, [member.prepare(each, key) for each in cut])

    def _again(self, image: NDArray[np.uint8], key: str, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each (N, 4) box in a picture with it in the middle; 0 where it is not found."""
        parts = [part_around(box, image.shape[1], image.shape[0]) for box in boxes]
        scores = np.zeros(len(boxes))
        for i, (box, part, found) in enumerate(zip(boxes, parts, self._look(image, key, parts), strict=True)):
            overlaps = iou(box - np.array([part.left, part.top] * 2), found.xyxy)
            same = wanted_mask(found, self.classes) & (overlaps >= _SAME_AGAIN)
            scores[i] = found.scores[same].max(initial=0.0)
        return scores

    def detect_batch(self, prepared: Sequence[tuple[NDArray[np.uint8], str]]) -> list[Detections]:
        """Return the boxes in several photos, one after the other."""
        return [self.detect(image, key) for image, key in prepared]

    def _best(self, found: Detections) -> Detections:
        order = np.lexsort([-found.scores, ~wanted_mask(found, self.classes)])
        return found.take(order[:_MOST_BOXES])

    def _presence(self, answers: Sequence[Detections]) -> float:
        presences = [presence_of(found.rounded(), self.classes) or 0.0 for found in answers]
        return float(_shared_odds(np.array([max(presences, default=0.0)]), max(1, len(answers)))[0])


def _shared_odds(scores: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return scores whose odds are those of `scores` divided by √n."""
    shared: NDArray[np.float64] = scores / (scores + np.sqrt(n) * (1 - scores))
    return shared
