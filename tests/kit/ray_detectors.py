"""Detectors that can be sent to other processes, and do there what photos and people do to them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.detections import Detections
from detic_crop.detectors.base import Detector, DetectorInfo
from tests.kit.fakes import VOCABULARY, fake_boxes


@dataclass
class SentDetector(Detector):
    """`FakeDetector`, without its lock and counters.

    Attributes:
        thread_safe: whether several threads may ask at once.
        delay: seconds that every call takes.
        deadly: the photo that kills the process.
        slow: the photo that waits for the file ``go`` in `marks`.
        marks: a folder where each call leaves a file.
        broken: every call raises.
        meeting: a folder; no call is answered before calls came in `processes` of them.
    """

    thread_safe: bool = True
    delay: float = 0.0
    deadly: str = ""
    slow: str = ""
    marks: Path | None = None
    broken: bool = False
    meeting: Path | None = None
    processes: int = 2

    def __post_init__(self) -> None:
        self.info = DetectorInfo(
            "fake", VOCABULARY, 0.3, {"fake.bin": "0" * 64}, thread_safe=self.thread_safe
        )

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """The boxes of `fake_boxes`, if it lives to answer."""
        self.meet()
        if self.broken:
            raise ValueError("no such operator")
        if self.marks is not None and key:
            (self.marks / key.replace("/", "_")).touch()
        if key and key == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        while key and key == self.slow and self.marks is not None and not (self.marks / "go").exists():
            time.sleep(0.02)
        time.sleep(self.delay)
        return fake_boxes(key, image.shape[1], image.shape[0])

    def meet(self) -> None:
        """Wait for the other processes."""
        if self.meeting is None:
            return
        (self.meeting / str(os.getpid())).touch()
        while len(list(self.meeting.iterdir())) < self.processes:
            time.sleep(0.02)


@dataclass
class PairDetector(SentDetector):
    """Looks at up to three photos at a time."""

    preferred_batch: int = 3

    def prepare(
        self, image: NDArray[np.uint8], key: str = "", photo_hw: tuple[int, int] | None = None
    ) -> tuple[str, tuple[int, int]]:
        """Key, height and width."""
        height, width = photo_hw or image.shape[:2]
        return key, (height, width)

    def group_of(self, prepared: tuple[str, tuple[int, int]]) -> int:
        """All go together."""
        return 0

    def detect_batch(self, prepared: Sequence[tuple[str, tuple[int, int]]]) -> list[Detections]:
        """Boxes of each."""
        self.meet()
        return [fake_boxes(key, width, height) for key, (height, width) in prepared]
