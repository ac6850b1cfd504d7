"""Ends this process, as a power switch would: at a call that changes a file, or in the middle of a write."""

from __future__ import annotations

import io
import os
import resource
import signal
import sys
import threading
from typing import Any

# Functions of C below `os` and `open` that change something on a disk, or say that they have.
_CHANGING = frozenset(
    (
        *("open", "write", "writelines", "pwrite", "close", "flush", "truncate", "ftruncate"),
        *("posix_fallocate", "sendfile", "copy_file_range", "rename", "replace", "unlink", "remove"),
        *("mkdir", "rmdir", "link", "symlink", "fsync", "fdatasync", "utime", "chmod"),
    )
)
_FILES = (io.FileIO, io.BufferedWriter, io.BufferedRandom, io.TextIOWrapper)


class Killer:
    """A profile function, in all threads: every such call counts when it begins and when it has returned.

    Args:
        at: kill this process when so many were counted; 0 for never.

    Attributes:
        count: so far.
    """

    def __init__(self, at: int = 0) -> None:
        self.count = 0
        self._at = at
        self._lock = threading.Lock()

    def install(self) -> None:
        """For this thread and those to come."""
        threading.setprofile(self)
        sys.setprofile(self)

    def __call__(self, frame: Any, event: str, function: Any) -> None:
        if not event.startswith("c_") or getattr(function, "__name__", "") not in _CHANGING:
            return
        owner = getattr(function, "__self__", None)
        if getattr(owner, "__name__", "") not in ("posix", "_io", "io") and not isinstance(owner, _FILES):
            return
        with self._lock:
            self.count += 1
            due = self.count == self._at
        if due:
            os.kill(os.getpid(), signal.SIGKILL)


def die_when_a_file_has(size: int) -> None:
    """Let the system kill this process in the middle of a write, as soon as any file has so many bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python makes an error of it
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
