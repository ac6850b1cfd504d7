"""How busy the machine is with other work while something is measured."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from types import TracebackType

import psutil

QUIET = 0.05
"""Up to this share of the processors others may use before a measurement deserves a warning."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What clocks show, in seconds: the wall's, all processors at work, this process and its children."""

    wall: float
    everyone: float
    own: float


def read_clock(server: psutil.Process | None = None) -> Clock:
    """Read the clocks. Time that the hypervisor gave to other machines counts as work.

    Args:
        server: a child that is still at work; its time is our own, too.
    """
    times = psutil.cpu_times()
    everyone = times.user + times.system + times.nice  # guests are in user already
    everyone += sum(getattr(times, name, 0.0) for name in ("irq", "softirq", "steal"))
    own = sum(os.times()[:4]) + (0.0 if server is None else sum(server.cpu_times()[:2]))
    return Clock(time.perf_counter(), everyone, own)


def share_of_others(begun: Clock, ended: Clock, processors: int) -> float:
    """Return the share, 0 to 1, of all processors that other processes used between two readings."""
    whole = (ended.wall - begun.wall) * processors
    others = (ended.everyone - begun.everyone) - (ended.own - begun.own)
    return min(1.0, max(0.0, others / whole)) if whole > 0 else 0.0


class Others:
    """Measure what others use while the block runs; children count as own once they have ended.

    Args:
        server: a child that works all the time, and counts as own.
    """

    def __init__(self, server: psutil.Process | None = None) -> None:
        self._server = server

    def __enter__(self) -> Others:
        self.share = 0.0
        self._begun = read_clock(self._server)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.share = share_of_others(self._begun, read_clock(self._server), psutil.cpu_count() or 1)

    def __str__(self) -> str:
        text = f"others used {self.share:.0%} of the processors"
        return text if self.share <= QUIET else f"BUSY: {text}; trust processor time only"
