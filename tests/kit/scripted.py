"""A detector that answers as a test has written it down."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from detic_crop import Detections, DetectorInfo
from detic_crop.detectors.base import Detector
from tests.kit.helpers import Found, detections

Said: TypeAlias = Mapping[str, Sequence[Found]]
"""Photo → xyxy, score and class name of each box."""


class Scripted(Detector):
    """Answers with the boxes that are written down for a photo, and notes what it is given.

    Attributes:
        batches: the photos of each call.
        asked: what `ask_for` was told.
    """

    def __init__(self, name: str, said: Said, presence: float | None = None, **info: Any) -> None:
        given = {"default_conf": 0.3, "class_names": ("Dolphin", "Whale", "Boat"), **info}
        self.info = DetectorInfo(name, weights={f"{name}.bin": name}, **given)
        self.said, self.presence = said, presence
        self.batches: list[list[str]] = []
        self.asked: list[tuple[Any, float]] = []
        self.preferred_batch = 1

    def prepare(
        self, image: NDArray[np.uint8], key: str = "", photo_hw: tuple[int, int] | None = None
    ) -> tuple[str, tuple[int, ...]]:
        """The key, and the shape of what was decoded."""
        return key, image.shape

    def group_of(self, prepared: tuple[str, tuple[int, ...]]) -> Hashable:
        """The first letter of the key."""
        return prepared[0][:1]

    def detect_batch(self, prepared: Sequence[tuple[str, tuple[int, ...]]]) -> list[Detections]:
        """What is written down; a batch must be one that it takes."""
        self.batches.append([key for key, _ in prepared])
        assert len({self.group_of(each) for each in prepared}) == 1
        assert len(prepared) <= self.preferred_batch
        return [detections(*self.said.get(key, ()), presence=self.presence) for key, _ in prepared]

    def ask_for(self, classes: Sequence[str] | None, conf: float = 0.0) -> None:
        """Note it."""
        self.asked.append((classes, conf))


def answers(detector: Detector, *keys: str) -> list[Detections]:
    """Ask about several photos of 80 × 60 px at once."""
    photo = np.zeros((60, 80, 3), np.uint8)
    return detector.detect_batch([detector.prepare(photo, key) for key in keys])
