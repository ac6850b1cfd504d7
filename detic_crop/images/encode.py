"""Pixels to file bytes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.crop_size import Sides
from detic_crop.config import FORMATS, MAX_SIZE, Format
from detic_crop.errors import PhotoError

EXTENSIONS: dict[Format, str] = {"jpg": ".jpg", "png": ".png", "webp": ".webp"}

# zlib level 3 is what OpenCV 4.8 to 5.0 use when nothing is said; stated here so that no version changes it.
PNG_COMPRESSION = 3

# Asked before cv2 is, which would log an error of its own.
_MAX_SIDE: dict[Format, int] = {"jpg": 65500, "png": 2**31 - 1, "webp": 16383}


def holds(sides: Sides, format: Format) -> bool:
    """Return whether a format can hold a picture of so many pixels: width and height."""
    return max(sides) <= _MAX_SIDE[format]


def check_sides(sides: Sides, format: Format) -> None:
    """Refuse a crop that its format cannot hold, before it is made; only `native` ones are so large.

    Args:
        sides: width and height, pixels.
        format: as in `encode`.

    Raises:
        PhotoError: a side is too long.
    """
    if not holds(sides, format):
        raise PhotoError(
            "crop_too_large",
            f"expected a crop of at most {_MAX_SIDE[format]} px a side for {format}, got "
            f"{sides[0]}×{sides[1]}; pass --size long:{MAX_SIZE}, or another --format",
        )


def encode(image: NDArray[np.uint8], format: Format, quality: int) -> bytes:
    """Return the bytes of an image file: three channels, no EXIF, no colour profile, no date.

    The same pixels, format and quality give the same bytes for one build of OpenCV.

    Args:
        image: (H, W, 3) uint8, BGR; need not be contiguous.
        format: ``jpg`` (4:2:0 chroma, baseline), ``png`` (lossless) or ``webp`` (lossy).
        quality: 1 to 100 for jpg and webp; png ignores it.

    Raises:
        ValueError: a programming error: another shape or type, an unknown format, a quality out of range, or
            a side that the format cannot hold (65,500 px in JPEG, 16,383 px in WebP).
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"expected (H, W, 3) uint8 pixels, got {image.shape} {image.dtype}")
    if not 1 <= quality <= 100:
        raise ValueError(f"expected a quality from 1 to 100, got {quality}")
    if format not in EXTENSIONS:
        raise ValueError(f"expected a format of {', '.join(FORMATS)}, got {format}")
    if max(image.shape) > _MAX_SIDE[format]:
        raise ValueError(
            f"expected at most {_MAX_SIDE[format]} px a side for {format}, got {max(image.shape)}"
        )
    settings = _settings(format, quality)
    ok, data = cv2.imencode(EXTENSIONS[format], np.ascontiguousarray(image), settings)
    if not ok:
        raise ValueError(f"cannot write {image.shape[1]}×{image.shape[0]} px as {format}")
    return data.tobytes()


def _settings(format: Format, quality: int) -> list[int]:
    """Return the parameters of cv2.imencode: names and values in turn."""
    if format == "jpg":
        return [cv2.IMWRITE_JPEG_QUALITY, quality]
    if format == "webp":
        # Above 100 cv2 would switch to lossless; `encode` has refused that already.
        return [cv2.IMWRITE_WEBP_QUALITY, quality]
    return [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION]
