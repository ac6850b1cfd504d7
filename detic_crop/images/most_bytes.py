"""Keep the file of a crop within a number of bytes: with a lower quality first, then with fewer pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.crop_size import CropSize, Sides
from detic_crop.config import Format
from detic_crop.errors import PhotoError

LOWEST_QUALITY = 50
"""What the tables of the JPEG standard (ITU-T T.81, annex K) stand for; below it blocks are seen."""
_STEP = 5

# Of the side that a file in proportion to its pixels would have: so the first try mostly fits.
_SPARE = 0.98

Image = NDArray[np.uint8]
Cut = Callable[[CropSize], Image]
Encode = Callable[[Image, int], bytes]


class CropFile(NamedTuple):
    """A crop and its file.

    Attributes:
        crop: (H, W, 3) uint8 BGR.
        data: bytes of the file.
        quality: of the file.
        is_shrunk: whether it is smaller than the size that was asked for.
    """

    crop: Image
    data: bytes
    quality: int
    is_shrunk: bool


def file_within(
    most: int | None,
    size: CropSize,
    rectangle: Sides,
    format: Format,
    quality: int,
    cut: Cut,
    encode: Encode,
) -> CropFile:
    """Return a crop whose file has at most some bytes; the same for the same pixels and settings.

    The quality falls in steps of 5 down to 50 (PNG has none); of these the highest is taken that fits. If
    none does, the crop is made smaller at the lowest one, where the size allows that.

    Args:
        most: bytes that the file may have; None for any number.
        size: size that is asked for.
        rectangle: width and height of what is cut out, pixels.
        format: its format.
        quality: quality that is asked for; one below 50 is not lowered.
        cut: function that makes the crop of a size out of the photo.
        encode: function that makes the file of a crop at a quality.

    Raises:
        PhotoError: its smallest file is larger.
    """
    crop = cut(size)
    if most is None:
        return CropFile(crop, encode(crop, quality), quality, is_shrunk=False)
    qualities = _qualities(format, quality)
    data, at = _highest_that_fits(most, qualities, lambda quality: encode(crop, quality))
    smaller: CropSize | None = size
    while len(data) > most:
        smaller = smaller and smaller.smaller(rectangle, _SPARE * sqrt(most / len(data)))
        if smaller is None:
            raise _too_many(most, len(data), crop, format, at)
        crop = cut(smaller)
        data = encode(crop, at)
    return CropFile(crop, data, at, smaller is not size)


def _qualities(format: Format, quality: int) -> Sequence[int]:
    """Return the qualities to try, highest first."""
    if format == "png":
        return [quality]
    lower = range(quality - 1 - (quality - 1) % _STEP, LOWEST_QUALITY - 1, -_STEP)
    return [quality, *lower]


def _highest_that_fits(
    most: int, qualities: Sequence[int], encode: Callable[[int], bytes]
) -> tuple[bytes, int]:
    """Return the file of the highest quality that fits, and that quality; the lowest one if none fits.

    Files grow with their quality, so half of the rest is left out with each try.
    """
    data, at = encode(qualities[0]), qualities[0]
    if len(data) <= most:
        return data, at
    found: tuple[bytes, int] | None = None
    low, high = 1, len(qualities)
    while low < high:
        middle = (low + high) // 2
        tried, quality = encode(qualities[middle]), qualities[middle]
        if len(tried) <= most:
            found, high = (tried, quality), middle
        else:
            data, at, low = tried, quality, middle + 1
    return found or (data, at)


def _too_many(most: int, size: int, crop: Image, format: Format, quality: int) -> PhotoError:
    height, width = crop.shape[:2]
    at = "png" if format == "png" else f"{format} of quality {quality}"
    return PhotoError(
        "too_many_bytes",
        f"expected a crop of at most {most:,} bytes, got {size:,} as {width}×{height} px in {at}; pass a "
        "larger --max-bytes, a smaller --size, or one that may shrink, such as --size long:1600",
    )
