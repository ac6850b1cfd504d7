"""What a path that leads nowhere was probably meant to be."""

from __future__ import annotations

import contextlib
import os
from itertools import islice

from detic_crop.wording import nearest, typed

_MOST = 10_000  # names of a folder that are looked through


def near_path(path: str | os.PathLike[str]) -> str:
    """Return ``; did you mean …?`` with a path beside the one that is not there; empty if none is near."""
    whole = os.fspath(path).rstrip("/\\")
    folder, name = os.path.split(whole)
    with contextlib.suppress(OSError, ValueError), os.scandir(folder or ".") as entries:
        if near := nearest(name, (entry.name for entry in islice(entries, _MOST)), 0.75):
            return f"; did you mean {typed(os.path.join(folder, near))}?"
    return ""
