"""A second look at a photo, in overlapping tiles: what is small in the photo is large in a tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.choose import presence_of, wanted_mask
from detic_crop.boxes.detections import Detections
from detic_crop.detectors.base import Detector
from detic_crop.detectors.joined.fallback import Fallback
from detic_crop.detectors.joined.grid import TiledBoxes, merged, tiles_of
from detic_crop.detectors.joined.several import Several, ask, default_wanted
from detic_crop.errors import UsageError

_ANIMAL = ""
"""What all wanted classes are when boxes of neighbouring tiles are compared."""

_MOST_BOXES = 20
"""Boxes of one tile that are looked at, the wanted and confident ones."""


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

    With n tiles there are n times as many chances to be wrong, in a photo in which the whole look has found
    nothing. So the odds of each score s, which are s / (1 - s), are divided by n. For scores that are
    probabilities, as `lite` has them, this is Bayes' rule where an animal may be in any one of n tiles.

    Args:
        member: is asked about each tile.
    """

    def __init__(self, member: Detector) -> None:
        super().__init__([member])
        self.preferred_batch = 1  # the tiles of a photo are a batch
        self.info = replace(member.info, name=f"{member.info.name}, tiles", input_size=None, floor=0.0)
        self.classes = default_wanted(member.info)

    def expect(self, photos: Mapping[str, str]) -> None:
        """The member is told as itself."""

    def notes(self) -> list[str]:
        """Return nothing: the member says it as itself."""
        return []

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Return the boxes in the tiles of one photo, (H, W, 3) uint8 BGR, not reduced."""
        height, width = image.shape[:2]
        tiles = tiles_of(width, height)
        (member,) = self.members
        cut = [np.ascontiguousarray(image[t.top : t.bottom, t.left : t.right]) for t in tiles]
        answers = [self._best(found) for found in ask(member, [member.prepare(each, key) for each in cut])]
        if not any(len(found) for found in answers):
            return Detections.empty(presence=self._presence(answers))
        corners = [np.array([tile.left, tile.top] * 2) for tile in tiles]
        names = [name for found in answers for name in found.class_names]
        in_photo = TiledBoxes(
            np.concatenate([a.xyxy + corner for a, corner in zip(answers, corners, strict=True)]),
            np.concatenate([a.scores for a in answers]).astype(np.float64),
            [kind for found in answers for kind in self._kinds(found)],
            [tile for tile, found in zip(tiles, answers, strict=True) for _ in range(len(found))],
        )
        animals = merged(in_photo, width, height)
        scores = in_photo.scores[[best for _, best in animals]]
        return Detections(
            np.array([box for box, _ in animals], np.float32),
            _shared_odds(scores, len(tiles)).astype(np.float32),
            tuple(names[best] for _, best in animals),
            presence=self._presence(answers),
        )

    def detect_batch(self, prepared: Sequence[tuple[NDArray[np.uint8], str]]) -> list[Detections]:
        """Return the boxes in several photos, one after the other."""
        return [self.detect(image, key) for image, key in prepared]

    def _best(self, found: Detections) -> Detections:
        order = np.lexsort([-found.scores, ~wanted_mask(found, self.classes)])
        return found.take(order[:_MOST_BOXES])

    def _kinds(self, found: Detections) -> list[str]:
        wanted = wanted_mask(found, self.classes)
        return [_ANIMAL if w else name for w, name in zip(wanted, found.class_names, strict=True)]

    def _presence(self, answers: Sequence[Detections]) -> float:
        presences = [presence_of(found.rounded(), self.classes) or 0.0 for found in answers]
        return float(_shared_odds(np.array([max(presences, default=0.0)]), max(1, len(answers)))[0])


def _shared_odds(scores: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return scores whose odds are those of `scores` divided by n."""
    shared: NDArray[np.float64] = scores / (scores + n * (1 - scores))
    return shared
