"""Whether a file is still the photo that a run saw."""

from __future__ import annotations

import sys
import zlib

from detic_crop.errors import PhotoError
from detic_crop.folder.records import Record
from detic_crop.photos.photo import Photo


def is_same_photo(record: Record, photo: Photo, moved: bool) -> bool:
    """Whether a file is still the photo that the run saw: its size is the same, and its time or its bytes.

    A photo that was copied, restored or only touched has a new time. Then its bytes are read, and compared by
    their CRC-32; a file that cannot be read is not taken for another one.

    Args:
        record: of the photo.
        photo: the file as it is now.
        moved: it is elsewhere than at the time of the run; says something only where no CRC-32 was kept.
    """
    if record.file_size != photo.size:
        return False
    if record.file_time == photo.version:
        return True
    if record.checksum is None:
        return moved
    try:
        return record.checksum == zlib.crc32(photo.location.read(sys.maxsize))
    except PhotoError:
        return True
