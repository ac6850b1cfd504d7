"""The file of a picture as an export stores it: its own bytes where other programs can read them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.crop_size import Sides
from detic_crop.config import DEFAULT_PHOTO_TIMEOUT, Format
from detic_crop.errors import PhotoError
from detic_crop.exports.names import EXTENSIONS
from detic_crop.folder.crop_paths import place_of
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.records import Record
from detic_crop.folder.same_photo import changed_photo
from detic_crop.folder.there import status_of
from detic_crop.images.decode import PhotoFile
from detic_crop.images.encode import EXTENSIONS as ENCODED
from detic_crop.images.encode import encode, holds
from detic_crop.images.file_bytes import most_bytes
from detic_crop.images.headers.read import read_extent
from detic_crop.images.source import BytesSource
from detic_crop.photos.location import LocalFile, Location
from detic_crop.stores.store import Asking, TimeLeft
from detic_crop.system.memory_budget import MemoryBudget

QUALITY = 95
"""Of pictures that are encoded anew."""


class StoredPicture(NamedTuple):
    """A picture's file.

    Attributes:
        data: its bytes.
        sides: width and height in pixels, as stored: a reader that ignores orientations sees them.
        path: the file on this disk that has these bytes, to be linked; empty where there is none.
    """

    data: bytes
    sides: Sides
    path: str = ""


def read_crop(folder: OutputFolder, crop: str, extension: str) -> StoredPicture:
    """Return the file of a crop.

    Args:
        folder: the output folder.
        crop: path of the crop below it.
        extension: how the name of the new file ends: another format is encoded anew, as PNG or JPEG.

    Raises:
        FileNotFoundError: there is none.
        PhotoError: it cannot be decoded.
    """
    data = folder.crops.read(crop)
    extent = read_extent(data, crop)
    if _fits(extent.format, extension):
        return StoredPicture(data, (extent.width, extent.height))
    return _encoded(PhotoFile(data, name=crop), extension)


def crop_to_link(folder: OutputFolder, crop: str, size: int, extension: str) -> str:
    """Return the path of a crop that can be linked as it is, without reading it; empty if it cannot.

    Args:
        folder: the output folder.
        crop: path of the crop below it.
        size: bytes that the run wrote.
        extension: how the name of the link ends; see `read_crop`.
    """
    path = os.path.join(folder.layout.root, crop)
    if place_of(crop) or os.path.splitext(crop)[1].lower() != extension.lower():
        return ""
    status = status_of(path)
    return path if status is not None and status.st_size == size else ""


def read_photo(record: Record, location: Location, extension: str, memory: MemoryBudget) -> StoredPicture:
    """Return the file of a photo, which must still be the one that the run saw.

    Args:
        record: record of the photo.
        location: where it is.
        extension: how the name of the new file ends; see `read_crop`.
        memory: where memory is borrowed meanwhile.

    Raises:
        PhotoError: it cannot be read or decoded, or is another photo now.
    """
    with _opened(record, location, memory) as (data, photo):
        header = photo.header
        is_whole = not (record.truncated or record.damaged or header.truncated or header.damaged)
        # Pillow shows a grey PNG of 16 bits all white.
        is_plain = header.plain if header.format == "JPEG" else read_extent(data).kind != "deep"
        if is_whole and is_plain and header.orientation == 1 and _fits(header.format, extension):
            path = location.path if isinstance(location, LocalFile) else ""
            return StoredPicture(data, (header.width, header.height), path)
        return _encoded(photo, extension)


def crop_pixels(folder: OutputFolder, crop: str) -> NDArray[np.uint8]:
    """Return the pixels of a crop: (H, W, 3) uint8, BGR.

    Raises:
        FileNotFoundError: there is none.
        PhotoError: it cannot be decoded.
    """
    return PhotoFile(folder.crops.read(crop), name=crop).decode().image


def photo_pixels(record: Record, location: Location, memory: MemoryBudget) -> NDArray[np.uint8]:
    """Return the upright pixels of a photo: (H, W, 3) uint8, BGR; arguments and errors as of `read_photo`."""
    with _opened(record, location, memory) as (_, photo):
        return photo.decode().image


@contextmanager
def _opened(record: Record, location: Location, memory: MemoryBudget) -> Iterator[tuple[bytes, PhotoFile]]:
    """Yield the bytes of a photo, which must still be the one that the run saw, and what reads them."""
    pixels = max(1, record.width * record.height)
    asking = Asking(None, TimeLeft(DEFAULT_PHOTO_TIMEOUT))
    try:
        data = location.read(most_bytes(pixels), asking)
        photo = PhotoFile.open(BytesSource(data), memory, name=record.image, max_pixels=pixels)
    except PhotoError as error:
        if error.reason == "too_many_pixels":
            raise changed_photo() from error
        raise
    try:
        if record.checksum not in (None, photo.checksum):
            raise changed_photo()
        yield data, photo
    finally:
        photo.give_back()


def _fits(format: str, extension: str) -> bool:
    return extension.lower() in EXTENSIONS.get(format, ())


def _encoded(photo: PhotoFile, extension: str) -> StoredPicture:
    image = photo.decode().image
    kind: Format = next((kind for kind, ending in ENCODED.items() if ending == extension.lower()), "jpg")
    sides = image.shape[1], image.shape[0]
    if not holds(sides, kind):
        raise PhotoError("too_long", f"expected sides that {kind} can hold, got {sides[0]}×{sides[1]}")
    return StoredPicture(encode(image, kind, QUALITY), sides)
