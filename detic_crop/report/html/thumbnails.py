"""Small pictures of photos and crops; a file that is gone or has changed leaves a note instead."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detic_crop.config import DEFAULT_PHOTO_TIMEOUT
from detic_crop.errors import PhotoError, one_line
from detic_crop.folder.records import Record
from detic_crop.folder.same_photo import changed_photo
from detic_crop.images.crop import resize_exactly as resize
from detic_crop.images.decode import Decoded, PhotoFile
from detic_crop.images.encode import encode
from detic_crop.images.file_bytes import most_bytes
from detic_crop.images.partial import REDUCTIONS
from detic_crop.images.source import BytesSource
from detic_crop.photos.location import Location
from detic_crop.stores.store import Asking, TimeLeft
from detic_crop.system.memory_budget import MemoryBudget
from detic_crop.wording import utf8

PHOTO_SIDE = 420  # px, long side
CROP_SIDE = 200
SHOWN_SIDE = 1024
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


def pictures_of(
    record: Record, location: Location, crop_and_trouble: tuple[bytes | None, str], memory: MemoryBudget
) -> Pictures:
    """Return both thumbnails of one photo, as far as they can be made.

    Args:
        record: record of the photo.
        location: where the photo is.
        crop_and_trouble: what `crop_picture` returned of its crop.
        memory: where memory for the photo is borrowed.
    """
    photo, photo_trouble = photo_picture(record, location, memory)
    crop, crop_trouble = crop_and_trouble
    return Pictures(photo, crop, photo_trouble, crop_trouble, photo_trouble == _GONE)


def photo_picture(record: Record, location: Location, memory: MemoryBudget) -> tuple[bytes | None, str]:
    """Return the thumbnail of a photo, a JPEG, and an empty text; or None, and why there is none.

    Args:
        record: record of the photo.
        location: where the photo is.
        memory: where memory for the photo is borrowed.
    """
    try:
        return photo_thumbnail(record, location, PHOTO_SIDE, _PHOTO_QUALITY, memory, tries=1), ""
    except (PhotoError, OSError, MemoryError, ValueError) as error:
        return None, _reason(error)


def crop_picture(read_crop: Callable[[], bytes], name: str, memory: MemoryBudget) -> tuple[bytes | None, str]:
    """Return the thumbnail of a crop, a JPEG, and an empty text; or None, and why there is none.

    Args:
        read_crop: function that returns the bytes of the crop, or raises OSError.
        name: name of its file.
        memory: where memory for it is borrowed.
    """
    try:
        return crop_thumbnail(read_crop(), name, CROP_SIDE, _CROP_QUALITY, memory), ""
    except (PhotoError, OSError, MemoryError, ValueError) as error:
        return None, _reason(error)


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
    words = error.strerror if isinstance(error, OSError) else one_line(error)
    return words or type(error).__name__


def photo_thumbnail(
    record: Record,
    location: Location,
    side: int,
    quality: int,
    memory: MemoryBudget,
    tries: int | None = None,
) -> bytes:
    """Return a small upright JPEG of a photo, which must still be the one that the run saw.

    Args:
        record: record of the photo.
        location: where the photo is.
        side: longest side of the result, px; smaller images keep their size.
        quality: JPEG quality.
        memory: where memory is borrowed meanwhile.
        tries: most requests to a store; None for its usual number.

    Raises:
        PhotoError: it cannot be read or decoded, or is another photo now.
    """
    photo = open_photo(record, location, memory, tries)
    try:
        decoded = _decode_small(photo, side)
        if decoded.resolution_wh != (record.width, record.height):
            raise changed_photo()
        return _small_jpeg(decoded, side, quality)
    finally:
        photo.give_back()


def open_photo(
    record: Record, location: Location, memory: MemoryBudget, tries: int | None = None
) -> PhotoFile:
    """Read a photo that has as many bytes as when the run saw it; the caller gives back what was borrowed.

    Args:
        record: record of the photo.
        location: where the photo is.
        memory: where memory is borrowed.
        tries: most requests to a store; None for its usual number.

    Raises:
        PhotoError: it cannot be read, or is another photo now.
    """
    # What the run accepted is accepted again, however large, and no more than that.
    pixels = max(1, record.width * record.height)
    asking = Asking(tries, TimeLeft(DEFAULT_PHOTO_TIMEOUT))
    try:
        with location.source(record.file_size, most_bytes(pixels), asking) as source:
            if record.file_size not in (0, source.size):
                raise changed_photo()
            return PhotoFile.open(source, memory, name=record.image, max_pixels=pixels)
    except PhotoError as error:
        if error.reason in ("too_many_pixels", "photo_changed"):  # it has grown
            raise changed_photo() from error
        raise


def crop_thumbnail(data: bytes, name: str, side: int, quality: int, memory: MemoryBudget) -> bytes:
    """Return a small JPEG of a crop; see `photo_thumbnail`.

    Args:
        data: bytes of the crop.
        name: name of its file.
        side: longest side of the result, px.
        quality: JPEG quality.
        memory: where memory is borrowed meanwhile; a `native` crop may be as large as its photo.

    Raises:
        PhotoError: it cannot be decoded.
    """
    crop = PhotoFile.open(BytesSource(data), memory, name=name)
    try:
        return _small_jpeg(_decode_small(crop, side), side, quality)
    finally:
        crop.give_back()


def shown_png(image: NDArray[np.uint8]) -> bytes:
    """Return a PNG of an (H, W, 3) uint8 BGR image for a notebook, with no side above `SHOWN_SIDE`."""
    return encode(_shrunk(image, SHOWN_SIDE), "png", 100)


def _small_jpeg(decoded: Decoded, side: int, quality: int) -> bytes:
    return encode(_shrunk(decoded.image, side), "jpg", quality)


def _shrunk(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    ratio = side / max(image.shape[:2])
    if ratio >= 1:
        return image
    return resize(image, max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio)))


def _decode_small(photo: PhotoFile, side: int) -> Decoded:
    """Decode an image at 1/2, 1/4 or 1/8 where its format allows that and `side` px are left."""
    photo.vouch()  # the run has found out whether it is damaged
    long_side = max(photo.resolution_wh or (0, 0))
    reduction = next(n for n in REDUCTIONS if n == 1 or long_side >= n * side)
    return photo.decode(reduction=reduction)
