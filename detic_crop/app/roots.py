"""The folders that people may choose from: what lies outside is neither shown nor used."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from detic_crop.app.refusals import RefusedError
from detic_crop.errors import UsageError


class Roots:
    """Folders below which everything is that the page and the API read or write.

    Links are followed first, and then asked where they lead: out of the roots nobody comes. Hidden folders,
    to which those of our own state belong, are as if they were not there.

    Args:
        given: the folders.
        closed: folders that are as if they were hidden: those of our own state.

    Attributes:
        paths: the folders with all links followed, each once.

    Raises:
        UsageError: one of them is no folder.
    """

    def __init__(
        self, given: Sequence[str | os.PathLike[str]], closed: Sequence[str | os.PathLike[str]] = ()
    ) -> None:
        for folder in given:
            if not os.path.isdir(folder):
                raise UsageError("bad_root", f"--root must be a folder, got {os.fspath(folder)}")
        self.paths = tuple(dict.fromkeys(os.path.realpath(folder) for folder in given))
        self._closed = tuple(os.path.realpath(folder) for folder in closed)

    def path(self, given: str) -> str:
        """Return where a path leads, absolute and without links; a relative one begins at the first root.

        What is there does not matter, so that nobody learns it of a path outside.

        Raises:
            RefusedError: it leads outside, or through a hidden folder.
        """
        try:
            path = os.path.realpath(os.path.join(self.paths[0], os.path.expanduser(given)))
            os.fsencode(path)
        except (OSError, ValueError):  # a NUL, half of a surrogate pair, links in a circle
            raise RefusedError(400, "bad_path", "expected a path, got one that no file can have") from None
        root = self._root_of(path)
        if root is None:
            allowed = ", ".join(self.paths)
            raise RefusedError(403, "outside_root", f"expected a path in {allowed} (--root), got another")
        inside = os.path.relpath(path, root).split(os.sep)
        if any(part.startswith(".") and part != "." for part in inside) or self.is_closed(path):
            raise RefusedError(403, "hidden", "expected a folder that is not hidden, got one that is")
        return path

    def folder(self, given: str) -> str:
        """Return the path of a folder that is there; see `path`."""
        path = self.path(given)
        if not os.path.isdir(path):
            raise RefusedError(404, "no_such_folder", f"expected a folder, there is none at {path}")
        return path

    def file(self, given: str) -> str:
        """Return the path of a file that is there; see `path`."""
        path = self.path(given)
        if not os.path.isfile(path):
            raise RefusedError(404, "no_such_file", f"expected a file, there is none at {path}")
        return path

    def holds(self, path: str) -> bool:
        """Return whether a path leads into the roots, and into no closed folder."""
        path = os.path.realpath(path)
        return self._root_of(path) is not None and not self.is_closed(path)

    def is_closed(self, path: str) -> bool:
        """Return whether a path without links leads into a closed folder."""
        return any(_is_in(path, folder) for folder in self._closed)

    def above(self, path: str) -> str | None:
        """Return the folder above one that `path` returned; None of a root."""
        return None if path in self.paths else str(Path(path).parent)

    def _root_of(self, path: str) -> str | None:
        """Return the root that a path without links is in."""
        return max((root for root in self.paths if _is_in(path, root)), key=len, default=None)


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
