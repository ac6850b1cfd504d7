"""Detectors without a network: one that counts its calls, and some that can be sent to other processes."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.detections import Detections
from detic_crop.detectors.base import Detector, DetectorInfo

WANTED = ("Dolphin", "Whale", "Marine mammal")
OTHERS = ("Boat", "Person")
VOCABULARY = (*WANTED, *OTHERS)


@dataclass
class FakeDetector(Detector):
    """Answers with boxes drawn from a hash of the photo's key and size.

    Attributes:
        delay: seconds that every call takes.
        thread_safe: whether several threads may ask at once.
        failing: key → what `detect` raises for it.
        calls: how often each key was asked for.
    """

    delay: float = 0.0
    failing: Mapping[str, Exception] = field(default_factory=dict)
    default_conf: float = 0.3
    name: str = "fake"
    thread_safe: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        weights = {"fake.bin": "0" * 64}
        self.info = DetectorInfo(
            self.name, VOCABULARY, self.default_conf, weights, thread_safe=self.thread_safe
        )

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """The boxes of `fake_boxes`; see `Detector`."""
        with self._lock:
            self.calls[key] += 1
        if self.delay:
            time.sleep(self.delay)
        if key in self.failing:
            raise self.failing[key]
        return fake_boxes(key, image.shape[1], image.shape[0])


def fake_boxes(key: str, width: int, height: int) -> Detections:
    """0 to 5 boxes, the same for the same arguments; about one photo in six has none."""
    digest = hashlib.sha256(f"{key} {width} {height}".encode(errors="surrogateescape")).digest()
    random = np.random.default_rng(list(digest))
    count = int(random.integers(0, 6))
    corners = np.sort(random.random((count, 2, 2)), axis=1) * (width, height)  # (N, 2, xy)
    return Detections(
        corners.reshape(count, 4).astype(np.float32),
        random.uniform(0.01, 1, count).astype(np.float32),
        tuple(random.choice(VOCABULARY) for _ in range(count)),
    )


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
