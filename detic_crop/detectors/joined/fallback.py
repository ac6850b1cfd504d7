"""Detectors that are asked in turn: the next one where those before it found nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.choose import has_eligible, presence_of, wanted_mask
from detic_crop.boxes.detections import Detections
from detic_crop.detectors.base import Detector
from detic_crop.detectors.joined.several import (
    Several,
    ask,
    default_wanted,
    described,
    prepared_for,
    unique,
)

_TINY = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A photo, as the first detector takes it and as the others may have to.

    Attributes:
        first: what the first detector made of it.
        image: (H, W, 3) uint8 BGR, perhaps a reduced decode.
        key: relative path of the photo.
        photo_hw: height and width of the photo.
    """

    first: Any
    image: NDArray[np.uint8]
    key: str
    photo_hw: tuple[int, int]


class Fallback(Several):
    """Asks each detector about the photos in which those before it found nothing.

    A detector has found something if it answers with a box that counts: of a wanted class, and with a score
    of at least its own default, or of what `count_from` says. Its boxes are then the answer, and
    `Detections.found_by` is its name. Where none has found anything, the answer are the boxes of the one that
    came nearest to its bar, with the highest `presence` of all that looked.

    Args:
        members: the detectors, in the order in which they are asked.
        name: their joined name; None joins their names.
    """

    def __init__(self, members: Iterable[Detector], name: str | None = None) -> None:
        super().__init__(members)
        self.names = unique(member.info.name for member in self.members)
        confs = {
            name: member.info.default_conf for name, member in zip(self.names, self.members, strict=True)
        }
        self.info = described(
            "+".join(self.names) if name is None else name, self.members, min(confs.values()), confs
        )
        self.classes = default_wanted(self.info)
        self._confs: Mapping[str, float] = confs
        for member, next_name in zip(self.members[:-1], self.names[1:], strict=True):
            member.followed_by(next_name)

    def ask_for(self, classes: Sequence[str] | None, conf: float = 0.0) -> None:
        """Take note of the wanted classes; each detector is told its own lowest score."""
        self.classes = None if classes is None else tuple(classes)
        self.count_from(self._confs)

    def count_from(self, confs: Mapping[str, float]) -> None:
        """Take note of the lowest score that counts of each detector."""
        self._confs = {name: confs.get(name, conf) for name, conf in self._confs.items()}
        for name, member in zip(self.names, self.members, strict=True):
            member.ask_for(self.classes, self._confs[name])

    def prepare(
        self, image: NDArray[np.uint8], key: str = "", photo_hw: tuple[int, int] | None = None
    ) -> Shown:
        """Return what the first detector makes of a photo, and the photo."""
        photo_hw = photo_hw or (image.shape[0], image.shape[1])
        return Shown(prepared_for(self.members[0], image, key, photo_hw), image, key, photo_hw)

    def group_of(self, prepared: Shown) -> Hashable:
        """Return the first detector's group of the photo."""
        return self.members[0].group_of(prepared.first)

    def detect_batch(self, prepared: Sequence[Shown]) -> list[Detections]:
        """Return the boxes in several photos, in order; see `Detector`."""
        said: list[list[Detections]] = [[] for _ in prepared]
        answers: dict[int, Detections] = {}
        for name, member in zip(self.names, self.members, strict=True):
            waiting = [i for i in range(len(prepared)) if i not in answers]
            first = member is self.members[0]
            views = (prepared[i] for i in waiting)
            shown = [
                view.first if first else prepared_for(member, view.image, view.key, view.photo_hw)
                for view in views
            ]
            for i, found in zip(waiting, ask(member, shown), strict=True):
                found = replace(found, found_by=name)
                said[i].append(found)
                height, width = prepared[i].photo_hw
                if has_eligible(found, self.classes, self._confs[name], (width, height)):
                    answers[i] = found
        return [answers[i] if i in answers else self._nearest(said[i]) for i in range(len(prepared))]

    def _nearest(self, said: Sequence[Detections]) -> Detections:
        """Return the answer about a photo in which no detector found anything."""
        looked = [found for found in said if found.listed]
        if not looked:
            return said[0]
        nearest = max(looked, key=self._nearness)
        presences = (presence_of(found.rounded(), self.classes) or 0.0 for found in looked)
        return replace(nearest, presence=max(presences))

    def _nearness(self, found: Detections) -> float:
        scores = found.scores[wanted_mask(found, self.classes)]
        return float(scores.max(initial=0.0)) / max(self._confs[found.found_by], _TINY)
