"""Files that are replaced at once: written under a temporary name on the same disk, then renamed."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detic_crop.folder.inside import Inside, write_all
from detic_crop.folder.layout import Layout
from detic_crop.folder.tables import Tables
from detic_crop.folder.write_errors import output_errors


class Writer:
    """Writes the files of a folder. Making one touches nothing.

    Safe from several threads and processes: names of temporary files hold the process and a number.

    Args:
        layout: paths of the folder.
        inside: through which all of it is written.
        tables: keeps what must not be replaced of the files for people.
    """

    def __init__(self, layout: Layout, inside: Inside, tables: Tables) -> None:
        self._layout = layout
        self._inside = inside
        self._tables = tables
        self._numbers = itertools.count()

    def write(self, path: Path, data: bytes) -> None:
        """Replace a file by `data` at once: readers see the old file or the new one, never half.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """
        with output_errors(self._layout.shown):
            self._inside.mkdir(self._layout.temporary)
            self._replace(self.write_temporary(data), path)

    def write_parts(self, path: Path, parts: Iterable[bytes]) -> None:
        """Replace a file by parts that are made one after another; see `write`."""
        with output_errors(self._layout.shown):
            self._inside.mkdir(self._layout.temporary)
            temporary = self.new_path()
            try:
                with self._inside.create(temporary) as file:
                    for part in parts:
                        write_all(file, part)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._inside.remove(temporary)
                raise
            self._replace(temporary, path)

    def _replace(self, temporary: Path, path: Path) -> None:
        with self._tables.replacing(path, temporary):
            self.rename(temporary, path)

    def write_json(self, path: Path, value: Any) -> None:
        """Write some JSON, indented for people; see `write`."""
        text = json.dumps(value, indent=2, ensure_ascii=False)
        self.write(path, text.encode(errors="backslashreplace") + b"\n")

    def write_temporary(self, data: bytes) -> Path:
        """Write a new temporary file, to be renamed into place; return its path.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
        """
        path = self.new_path()
        with output_errors(self._layout.shown):
            self._inside.write_new(path, data)
        return path

    def rename(self, temporary: Path, path: Path) -> None:
        """Rename a temporary file into place, over one that may be there; where that fails, remove it.

        Raises:
            OSError: it cannot be renamed.
        """
        try:
            self._inside.replace(temporary, path, make=True)
        except OSError:
            with contextlib.suppress(OSError):
                self._inside.remove(temporary)
            raise

    def new_path(self) -> Path:
        """Return a path that no other temporary file has."""
        return self._layout.temporary / f"{os.getpid()}-{next(self._numbers)}"

    def clear(self) -> None:
        """Remove what was begun and will not be placed."""
        self._inside.remove_tree(self._layout.temporary, ignore_errors=True)
