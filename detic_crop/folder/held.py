"""Whether the paths of a folder still lead to the files that a command began to work with."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from detic_crop.errors import OutputError

Identity: TypeAlias = tuple[int, int] | None
"""Device and number of a file on it; None where there is no file."""


def identity(path: str | os.PathLike[str]) -> Identity:
    """Return which file a path leads to.

    Raises:
        OSError: that cannot be asked.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


class Held:
    """Paths of a folder that must go on leading to the same files while a command works on it.

    Somebody may rename the folder, put another one in its place or remove its lock. What is known by
    descriptors would go to the one folder then, what is known by paths to the other, or a second writer would
    come in.

    Args:
        shown: name of the folder in messages.
        files: the paths and what they lead to.
        named: path of a file that says who holds the folder. It may go; another one in its place means that
            another command has taken the folder, as where a server has forgotten a lock.
    """

    def __init__(self, shown: str, files: Iterable[tuple[Path, Identity]], named: Path | None = None) -> None:
        self._shown = shown
        self._files = [(os.fspath(path), known) for path, known in files]
        self._named = None if named is None else os.fspath(named)
        self._name = None if named is None else identity(named)

    def check(self) -> None:
        """Refuse to go on where a path leads elsewhere.

        Raises:
            OutputError: it does; says what to do.
            OSError: it cannot be asked.
        """
        if not self.holds():
            raise OutputError(
                "folder_replaced",
                f"{self._shown} was renamed, replaced or removed while this command was at work in it, or "
                "its lock was: nothing more is written, and what was finished is in the folder that it began "
                "with; put that back or pass its new path, then run the same command again",
            )

    def holds(self) -> bool:
        """Return whether every path leads where it did; see `check`."""
        if any(known is None or identity(path) != known for path, known in self._files):
            return False
        return self._named is None or identity(self._named) in (None, self._name)
