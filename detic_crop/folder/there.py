"""Whether something is there: "no" only where the disk says so, and never because the disk fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def status_of(path: str | Path) -> os.stat_result | None:
    """Return the status of what a path leads to; None where there is nothing.

    Raises:
        OSError: the disk cannot say. Taken for "nothing", a journal would be begun anew, or a crop be lost.
    """
    try:
        return os.stat(path)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise


def is_there(path: str | Path) -> bool:
    """Return whether a path leads to anything; see `status_of`."""
    return status_of(path) is not None
