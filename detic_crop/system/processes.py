"""Which process this is, and whether another one is still there."""

from __future__ import annotations

import os
from typing import Any


def process_space() -> str:
    """Return which processes this one sees: containers may share a host's name and not its processes."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def is_there(pid: Any) -> bool:
    """Return whether a process of this machine lives; True where that cannot be asked."""
    if not isinstance(pid, int) or os.name == "nt":  # there, to ask would be to kill
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def birth(pid: int) -> str:
    """Return when a process began, in ticks since the machine did: a number may be given to another process.

    Empty where the system does not say.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError, ValueError):
        return ""
