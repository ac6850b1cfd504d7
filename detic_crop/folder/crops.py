"""The crops of an output folder: how they are put in place, looked at and removed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from detic_crop.folder.records import Record
from detic_crop.folder.tar_crops import place_of

if TYPE_CHECKING:
    from detic_crop.folder.folder import OutputFolder


class AnyCrops:
    """Crops of a folder, whichever kind they are. (Stands in until both kinds have a class each.)"""

    def __init__(self, folder: OutputFolder) -> None:
        self._folder = folder

    def size(self, name: str) -> int | None:
        """Return the bytes of a crop; None where there is none."""
        size = self._folder.crop_size(name)
        return None if size < 0 else size

    def read(self, name: str) -> bytes:
        """Return the bytes of a crop.

        Raises:
            OSError: it is not there.
        """
        return self._folder.read_crop(name)

    def put(self, name: str, data: bytes, record: Record) -> None:
        """Put a crop in place at once: no half of one is ever seen.

        Args:
            name: path of the crop, relative to the folder.
            data: bytes of the crop.
            record: of its photo.

        Raises:
            OutputError: the disk is full or the folder cannot be written.
            OSError: this crop cannot be put there.
            UsageError: the path is, or leads through, a link inside the folder.
        """
        temporary = self._folder.write_temporary(data)
        try:
            self._folder.place(temporary, name, record)
        except OSError:
            with contextlib.suppress(OSError):
                self._folder.remove(temporary)
            raise

    def discard(self, name: str) -> None:
        """Remove a crop, if it is there.

        Raises:
            OSError: it cannot be removed.
        """
        self._folder.discard(name)

    def forget(self, name: str) -> None:
        """Drop a crop that was put and will not be recorded, where it is not in its place yet.

        Raises:
            OSError: it cannot be removed.
        """
        if place := place_of(name):
            self._folder.tars.forget(place)

    def flush(self) -> None:
        """Bring all crops to where they are to be: into tar files.

        Raises:
            OSError: it cannot be done; nothing is lost.
        """
        self._folder.tars.pack_all()
