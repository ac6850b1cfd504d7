"""How much of the machine a run uses by default, and what the system lets it have."""

from __future__ import annotations

import math
import os
from pathlib import Path

from detic_crop.system.memory import memory_bytes

_CGROUP = Path("/sys/fs/cgroup")
"""Control group of this container or job; version 2, else 1."""
_MEMORY_SHARE = 0.6
"""Share of the memory that detection may take."""
_MOST_WORKERS = 32
_FEEDING_WORKERS = 4
"""Workers that keep one detector busy; more would only hold more photos in memory."""


def default_workers(thread_safe: bool = False, memory_per_photo: int = 0, processes: int = 1) -> int:
    """Return how many photos to work on at once.

    Args:
        thread_safe: each worker asks the detector itself; else the workers feed one detector.
        memory_per_photo: bytes that detection in one photo takes.
        processes: number of processes that share the machine; the answer is for each.
    """
    if not thread_safe:
        return max(1, min(cpus() // processes, _FEEDING_WORKERS))
    return max(1, min(cpus() // threads_per_photo(memory_per_photo), _MOST_WORKERS))


def threads_per_photo(memory_per_photo: int) -> int:
    """Return the number of threads inside an operator for which memory suffices for photos on all cores.

    It depends on the machine alone and not on ``--workers``: another number of threads may change the last
    bits of a sum.
    """
    at_once = int(memory_bytes() * _MEMORY_SHARE / memory_per_photo) if memory_per_photo else cpus()
    return max(1, -(-cpus() // max(1, at_once)))


def cpus() -> int:
    """Return the cores that this process may use; a container or job may have fewer than the machine."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(there, _cpu_quota())))


def most_open_files() -> float:
    """Return how many files this process may have open at once; infinite where nothing limits it."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return math.inf
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if files == resource.RLIM_INFINITY else files


def _cpu_quota() -> float:
    """Return the cores that the control group grants (``docker run --cpus``, a Kubernetes limit)."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((_CGROUP / name).read_text() for name in names).split()
            if int(quota) > 0:  # version 1 says -1 where there is none
                return int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):  # no such group, or "max"
            continue
    return math.inf
