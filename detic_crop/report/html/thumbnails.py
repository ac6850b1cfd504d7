"""Small pictures of photos and crops; a file that is gone or has changed leaves a note instead."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass

from detic_crop.errors import PhotoError
from detic_crop.folder.records import Record
from detic_crop.images.crop import resize_exactly as resize
from detic_crop.images.decode import Decoded, PhotoFile
from detic_crop.images.encode import encode
from detic_crop.images.partial import REDUCTIONS
from detic_crop.photos.location import Location
from detic_crop.wording import utf8

PHOTO_SIDE = 420  # px, long side
CROP_SIDE = 200
_PHOTO_QUALITY = 75
_CROP_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Pictures:
    """Thumbnails of one photo and its crop, or why there is none.

    Attributes:
        photo: JPEG of the photo, or None.
        crop: JPEG of the crop, or None.
        photo_trouble: why there is no picture of the photo; else empty.
        crop_trouble: why there is no picture of the crop; else empty.
        photo_gone: True if there is no file any more where the photo was.
    """

    photo: bytes | None
    crop: bytes | None
    photo_trouble: str = ""
    crop_trouble: str = ""
    photo_gone: bool = False


def pictures_of(record: Record, location: Location, read_crop: Callable[[], bytes]) -> Pictures:
    """Return both thumbnails of one photo, as far as they can be made.

    Args:
        record: record of the photo.
        location: where the photo is.
        read_crop: function that returns the bytes of its crop, or raises OSError.
    """
    photo = crop = None
    photo_trouble = crop_trouble = ""
    try:
        data = read_photo(record, location, tries=1)
        photo = thumbnail(data, record.image, PHOTO_SIDE, _PHOTO_QUALITY, record)
    except (PhotoError, OSError, MemoryError, ValueError) as error:
        photo_trouble = _reason(error)
    try:
        crop = thumbnail(read_crop(), record.crop, CROP_SIDE, _CROP_QUALITY, None)
    except (PhotoError, OSError, MemoryError, ValueError) as error:
        crop_trouble = _reason(error)
    return Pictures(photo, crop, photo_trouble, crop_trouble, photo_trouble == _GONE)


def read_photo(record: Record, location: Location, tries: int | None = None) -> bytes:
    """Return the bytes of a photo, unless its size is no longer that of the run.

    Args:
        record: record of the photo.
        location: where the photo is.
        tries: most requests to a store; None for its usual number.

    Raises:
        PhotoError: it cannot be read, or is another photo now.
    """
    try:
        return location.read(record.file_size or sys.maxsize, tries)
    except PhotoError as error:
        if error.reason == "too_many_pixels":  # it has grown: more bytes than expected
            raise _changed() from error
        raise


def photo_stamp(record: Record) -> str:
    """Return a hash that differs between photos of the same name."""
    version = record.file_time if record.checksum is None else record.checksum
    return _stamp(record.image, record.file_size, version, record.width, record.height)


def crop_stamp(record: Record) -> str:
    """Return a hash that differs between crops of the same photo."""
    return _stamp(photo_stamp(record), record.crop_bytes, record.crop_hash, record.crop_box)


def _stamp(*values: object) -> str:
    return hashlib.blake2s(utf8(repr(values)), digest_size=8).hexdigest()


_GONE = "it is no longer where it was"


def _reason(error: Exception) -> str:
    """Return the reason in words, without a path: the page may be mailed to somebody else."""
    reason = error.reason if isinstance(error, PhotoError) else ""
    if reason == "missing_file" or isinstance(error, FileNotFoundError | NotADirectoryError):
        return _GONE
    if reason == "not_a_file":
        return "it is not a file any more"
    words = error.strerror if isinstance(error, OSError) else str(error)
    return words or type(error).__name__


def thumbnail(data: bytes, name: str, side: int, quality: int, record: Record | None) -> bytes:
    """Return a small upright JPEG of an image file.

    Args:
        data: bytes of the photo or crop.
        name: name of its file.
        side: longest side of the result, px; smaller images keep their size.
        quality: JPEG quality.
        record: record of a photo, which must still be that photo; None for a crop.

    Raises:
        PhotoError: it cannot be decoded, or is another photo now.
    """
    if record is not None and record.file_size not in (0, len(data)):
        raise _changed()
    decoded = _decode_small(data, name, side)
    image = decoded.image
    if record is not None and decoded.resolution_wh != (record.width, record.height):
        raise _changed()
    ratio = side / max(image.shape[:2])
    if ratio < 1:
        image = resize(image, max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio)))
    return encode(image, "jpg", quality)


def _changed() -> PhotoError:
    return PhotoError("changed", "it has changed since the run; run the `run` command again")


def _decode_small(data: bytes, name: str, side: int) -> Decoded:
    """Decode an image at 1/2, 1/4 or 1/8 where its format allows that and `side` px are left."""
    # It was decoded once: a limit that was raised for the run need not be raised for its page.
    photo = PhotoFile(data, name=name, max_pixels=1 << 40)
    photo.vouch()  # the run has found out whether it is damaged
    long_side = max(photo.resolution_wh or (0, 0))
    reduction = next(n for n in REDUCTIONS if n == 1 or long_side >= n * side)
    return photo.decode(reduction=reduction)
