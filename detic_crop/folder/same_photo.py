"""Whether a file is still the photo that a run saw."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from detic_crop.errors import PhotoError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import replay
from detic_crop.folder.records import Record
from detic_crop.images.source import parts_of
from detic_crop.photos.location import LocalFile
from detic_crop.photos.photo import Photo

_MOST_READ = 20
"""Photos of an input whose bytes are compared, if size and time leave it open."""


def is_same_photo(record: Record, photo: Photo, moved: bool) -> bool:
    """Return whether a file is still the photo that the run saw: same size, and same time or same bytes.

    A photo that was copied, restored or only touched has a new time. Then its bytes are read, and compared by
    their CRC-32; a file that cannot be read is not taken for another one.

    Args:
        record: record of the photo.
        photo: the file as it is now.
        moved: True if the user said that the photos have moved; it matters only without a saved CRC-32.
    """
    if record.file_size != photo.size:
        return False
    if record.file_time == photo.version:
        return True
    if record.checksum is None:
        return moved
    try:
        return record.checksum == _checksum(photo)
    except PhotoError:
        return True


def _checksum(photo: Photo) -> int:
    """Return the CRC-32 of a photo's bytes, a few of which at a time are in memory."""
    checksum = 0
    with photo.location.source(photo.size, photo.size) as source:
        for part in parts_of(source):
            checksum = zlib.crc32(part, checksum)
    return checksum


class SamePhoto:
    """Tells whether a photo is the one that a folder has under its key; None if that is not known."""

    def __init__(self, folder: OutputFolder) -> None:
        self._folder = folder
        self._records: Mapping[str, Record] | None = None
        self._left = _MOST_READ

    def __call__(self, photo: Photo) -> bool | None:
        if self._records is None:
            self._records = replay(self._folder.layout.journal).records
        record = self._records.get(photo.key)
        if record is None or -1 in (record.file_size, photo.size):
            return None
        if record.file_size != photo.size:
            return False
        if record.file_time == photo.version or not isinstance(photo.location, LocalFile) or not self._left:
            return True
        self._left -= 1
        return is_same_photo(record, photo, moved=True)


def changed_photo() -> PhotoError:
    """Return the error of a photo that is another one than the run saw."""
    return PhotoError("changed", "it has changed since the run; run the `run` command again")
