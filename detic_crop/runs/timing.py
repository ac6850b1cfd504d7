"""Where the time of a run goes: seconds of work per stage, and of waiting between them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock


@dataclass(slots=True)
class StageTimes:
    """Seconds and photos of each stage and each queue, summed over threads.

    Attributes:
        seconds: of work, by stage.
        photos: how many passed through a stage.
        waited: seconds that photos lay in a queue, by queue.
        idle: seconds that a thread had nothing to do, by kind of thread.
    """

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    photos: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    waited: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    idle: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def measure(self, stage: str, photos: int = 1) -> Iterator[None]:
        """Add the time of a block to `stage`."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[stage] += time.perf_counter() - begun
                self.photos[stage] += photos

    def queued(self, queue: str, seconds: float) -> None:
        """A photo has lain in `queue` so long."""
        with self._lock:
            self.waited[queue] += seconds

    @contextmanager
    def idling(self, kind: str) -> Iterator[None]:
        """Add the time of a block to what threads of this kind had nothing to do."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.idle[kind] += time.perf_counter() - begun
