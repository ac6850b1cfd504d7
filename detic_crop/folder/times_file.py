"""times.json: when photos were taken and with which camera, read after a run that had not recorded it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import suppress
from typing import TypeAlias

import msgspec

from detic_crop.columns import Texts
from detic_crop.config import DEFAULT_MAX_PIXELS
from detic_crop.errors import PhotoError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.photo_lines import Document, document
from detic_crop.folder.records import Record
from detic_crop.folder.there import is_there
from detic_crop.images.file_bytes import most_bytes
from detic_crop.images.metadata import read_metadata
from detic_crop.images.source import Window
from detic_crop.photos.location import Location

TimesLine: TypeAlias = tuple[str, int, str, str]
_document = Document(msgspec.json.Decoder(dict[str, int]), msgspec.json.Decoder(list[TimesLine]))


class Times:
    """Photo → when it was taken and with which camera; about 100 bytes for each."""

    def __init__(self) -> None:
        self._keys, self._taken = Texts(), Texts()
        self._versions = array("q")
        self._cameras = array("i")
        self._names: list[str] = []
        self._number_of: dict[str, int] = {}  # of a camera

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[TimesLine]:
        """Yield key, version, time and camera of each photo."""
        names = (self._names[number] for number in self._cameras)
        return zip(self._keys, self._versions, self._taken, names, strict=True)

    def of(self, record: Record) -> tuple[str, str] | None:
        """Return time and camera of a photo, empty where it does not say them; None if nobody looked yet."""
        row = self._keys.find(record.image)
        if row is None or self._versions[row] != record.file_time:
            return None
        return self._taken.text(row), self._names[self._cameras[row]]

    def add(self, record: Record, taken: str, camera: str) -> None:
        """Put in a photo that is not there yet.

        Args:
            record: what is known of it; if the photo changes, its time is asked again.
            taken, camera: see `images.metadata.Metadata`.
        """
        self._add(record.image, record.file_time, taken, camera)

    def add_line(self, line: TimesLine) -> None:
        """Put in a photo as it was saved."""
        self._add(*line)

    def _add(self, key: str, version: int, taken: str, camera: str) -> None:
        self._keys.append(key)
        self._versions.append(version)
        self._taken.append(taken)
        number = self._number_of.setdefault(camera, len(self._names))
        if number == len(self._names):
            self._names.append(camera)
        self._cameras.append(number)


def save_times(folder: OutputFolder, times: Times) -> None:
    """Replace times.json.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    folder.write_parts(folder.layout.times, document({}, iter(times)))


def load_times(folder: OutputFolder) -> Times:
    """Return the times as they were saved; none where there are none, or the file is damaged."""
    times = Times()

    def take(lines: list[TimesLine]) -> None:
        for line in lines:
            times.add_line(line)

    path = folder.layout.times
    if not is_there(path):
        return times
    try:
        with open(path, "rb") as file:
            _document.read(file, take)
    except (ValueError, OverflowError):
        return Times()  # they are read again
    return times


def read_time(location: Location, record: Record) -> tuple[str, str] | None:
    """Return time and camera as the photo's EXIF says them now; None where it is not on this machine."""
    if location.local_path is None:
        return None
    with suppress(PhotoError), location.source(record.file_size, most_bytes(DEFAULT_MAX_PIXELS)) as source:
        found = read_metadata(Window(source))
        return found.taken, found.camera
    return None
