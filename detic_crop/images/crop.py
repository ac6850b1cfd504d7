"""Cut a rectangle out of a photo and fit it into a square."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.geometry import Fit, PixelBox

Image = NDArray[np.uint8]
Resize: TypeAlias = Callable[[Image, int, int], Image]
"""(H, W, 3) pixels, width, height → (height, width, 3) pixels."""

# Samples a side for each pixel of the crop, and up to which ratio so many are enough: then crops agree with
# exact averaging to 40 dB PSNR and more (`python -m benchmarks.decode_quality PHOTOS`).
_SAMPLES = ((2, 2.6), (4, 4.2))
# Time of one bilinear sample and its averaging, and of one source pixel in exact averaging, in some unit.
_SAMPLE_TIME, _PIXEL_TIME = 4.5, 10.0


def cut_and_resize(
    image: Image, rectangle: PixelBox, size: int, fit: Fit, resize: Resize | None = None
) -> Image:
    """The crop a trainer sees.

    Args:
        image: (H, W, 3) uint8, any channel order.
        rectangle: x1, y1, x2, y2 whole pixels inside the photo.
        size: side of the square result, pixels.
        fit: ``pad`` keeps the proportions on black; otherwise the rectangle is resized as it is.
        resize: how; None is `resize_exactly`.

    Returns:
        (size, size, 3) uint8, its own memory.
    """
    resize = resize or resize_exactly
    x1, y1, x2, y2 = rectangle
    region = image[y1:y2, x1:x2]
    if fit != "pad":
        return resize(region, size, size)
    width, height = x2 - x1, y2 - y1
    ratio = size / max(width, height)
    inner_w, inner_h = max(1, round(width * ratio)), max(1, round(height * ratio))
    left, top = (size - inner_w) // 2, (size - inner_h) // 2
    canvas = np.zeros((size, size, image.shape[2]), np.uint8)
    canvas[top : top + inner_h, left : left + inner_w] = resize(region, inner_w, inner_h)
    return canvas


def resize_exactly(image: Image, width: int, height: int) -> Image:
    """Shrink with area averaging, enlarge with cubic interpolation, each axis by its own rule.

    A wide box is often shrunk across and enlarged down; one filter for both would alias or blur, so the
    axis that shrinks goes first (it also leaves fewer pixels to enlarge).
    """
    source_h, source_w = image.shape[:2]
    shrunk_w, shrunk_h = min(width, source_w), min(height, source_h)
    if (shrunk_w, shrunk_h) != (source_w, source_h):
        image = cv2.resize(image, (shrunk_w, shrunk_h), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if (shrunk_w, shrunk_h) != (width, height):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)  # type: ignore[assignment]
    return image if image.flags.owndata else np.ascontiguousarray(image).copy()


def resize_quickly(image: Image, width: int, height: int) -> Image:
    """Area averaging by the mean of 2×2 to 4×4 bilinear samples for each pixel, where that is faster.

    OpenCV samples and averages by powers of two with vector instructions, and averages areas of other ratios
    one pixel after the other. Elsewhere the same as `resize_exactly`.
    """
    across, down = _samples(image.shape[1] / width), _samples(image.shape[0] / height)
    if across is None or down is None:
        return resize_exactly(image, width, height)
    effort = _SAMPLE_TIME * across * down * width * height
    if effort >= _PIXEL_TIME * image.shape[0] * image.shape[1]:
        return resize_exactly(image, width, height)
    sampled = cv2.resize(image, (across * width, down * height), interpolation=cv2.INTER_LINEAR)
    while across > 1 and down > 1:
        across, down = across // 2, down // 2
        sampled = cv2.resize(sampled, (across * width, down * height), interpolation=cv2.INTER_AREA)
    return resize_exactly(sampled, width, height)  # type: ignore[arg-type]


def _samples(ratio: float) -> int | None:
    """How many samples a side suffice for shrinking by `ratio`; None where it enlarges, or none do."""
    return next((samples for samples, most in _SAMPLES if 1 < ratio <= most), None)
