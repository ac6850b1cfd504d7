"""Where the time of a run goes: seconds of work in each stage, and of waiting between them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeAlias

Totals: TypeAlias = dict[str, dict[str, float]]
"""What `StageTimes` holds, by the name of its attribute."""

_SUMS = ("seconds", "photos", "waited", "idle")


@dataclass(slots=True)
class StageTimes:
    """Seconds and photos of each stage and each queue, summed over threads.

    Attributes:
        seconds: seconds of work, by stage.
        photos: number of photos that passed through a stage.
        waited: seconds that photos spent in a queue, by queue.
        idle: seconds that threads had nothing to do, by kind of thread.
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

    def totals(self) -> Totals:
        """Return all sums, for another process to `add`."""
        with self._lock:
            return {name: dict(getattr(self, name)) for name in _SUMS}

    def add(self, totals: Totals) -> None:
        """Add the sums of another process."""
        with self._lock:
            for name in _SUMS:
                for key, value in totals[name].items():
                    getattr(self, name)[key] += value

    def queued(self, queue: str, seconds: float) -> None:
        """Add the time that a photo has spent in `queue`."""
        with self._lock:
            self.waited[queue] += seconds

    @contextmanager
    def idling(self, kind: str) -> Iterator[None]:
        """Add the time of a block to the idle time of this kind of thread."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.idle[kind] += time.perf_counter() - begun


@dataclass(slots=True)
class Usage:
    """How busy a run was kept.

    Attributes:
        times: sums for each stage and queue.
        seconds: wall time of the run.
        workers: number of threads that work on photos.
        workers_detect: the workers ask the detector themselves; else one thread of its own does.
        detectors: number of detectors.
    """

    times: StageTimes = field(default_factory=StageTimes)
    seconds: float = 0.0
    workers: int = 1
    workers_detect: bool = True
    detectors: int = 1

    def busy(self) -> dict[str, float]:
        """Return the share of the time that each kind of thread was busy, in [0, 1]."""
        seconds, elapsed = self.times.seconds, self.seconds or 1.0
        elsewhere = _RECORDING if self.workers_detect else {*_RECORDING, "detect"}
        on_workers = sum(s for stage, s in seconds.items() if stage not in elsewhere)
        shares = {"workers": on_workers / (elapsed * self.workers)}
        if not self.workers_detect:
            shares["detector"] = seconds["detect"] / (elapsed * self.detectors)
        shares["recording"] = sum(seconds.get(stage, 0.0) for stage in _RECORDING) / elapsed
        return {who: min(1.0, share) for who, share in shares.items()}

    def table(self) -> str:
        """Return a table for a person: every stage and queue, and what the run waited for."""
        lines = [f"{'stage':<36} {'seconds':>9} {'photos':>8} {'ms each':>9}"]
        for stage, seconds in sorted(self.times.seconds.items(), key=lambda item: -item[1]):
            lines.append(_line(stage, seconds, self.times.photos[stage]))
        for queue, seconds in self.times.waited.items():
            lines.append(_line(queue, seconds, self.times.photos["detect"]))
        busy = self.busy()
        most = max(busy, key=lambda who: busy[who])
        shares = ", ".join(f"{who} {share:.0%}" for who, share in busy.items())
        lines.append(f"{self.seconds:.1f} s in all; busy: {shares}; the bottleneck: {_ADVICE[most]}")
        return "\n".join(lines)


_RECORDING = {"write", "journal"}
_ADVICE = {
    "workers": "the workers; more of them help where there are more cores (--workers)",
    "detector": "the detector; another --model, --precision, --detector-size or --device may be faster",
    "recording": "the output disk; a local one may be faster",
}


def _line(what: str, seconds: float, photos: int) -> str:
    each = f"{1000 * seconds / photos:9.1f}" if photos else ""
    return f"{what:<36} {seconds:9.1f} {photos:8} {each}"
