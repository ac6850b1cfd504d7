"""Cut a rectangle out of a photo and resize it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.crop_size import CropSize
from detic_crop.boxes.geometry import PixelBox
from detic_crop.images.area import shrink
from detic_crop.images.detail import detail_of

Image = NDArray[np.uint8]
Resize: TypeAlias = Callable[[Image, int, int], Image]
"""(H, W, 3) pixels, width, height → (height, width, 3) pixels."""

# Samples for each pixel of the crop are enough (crops agree with exact averaging to 40 dB PSNR and more) if
# detail · (way / _NEAR) ** _FALL is at most _ENOUGH_FOR_ONE or _ENOUGH_FOR_SEVERAL, the way being that from
# one sample to the next, pixels. Fitted to camera photos (`python -m benchmarks.decode_quality PHOTOS`).
_NEAR = 1.6
_FALL = 3.5
_ENOUGH_FOR_ONE = 120.0
_ENOUGH_FOR_SEVERAL = 400.0
_ONE_IF_FULL = 1.4  # ratio up to which one sample of a full decode is as good as several
_TOO_MUCH = 1000.0  # detail that not even samples beside each other average well
_LINEAR_FROM = 1.8  # ratio from which a sample of reduced pixels may be bilinear


def cut_and_resize(image: Image, rectangle: PixelBox, size: CropSize, resize: Resize | None = None) -> Image:
    """Cut a rectangle out of a photo and resize it; its picture lies in the middle of a black canvas.

    Args:
        image: (H, W, 3) uint8, any channel order.
        rectangle: x1, y1, x2, y2 whole pixels inside the photo.
        size: sides of picture and canvas.
        resize: function that resizes; None takes `resize_exactly`.

    Returns:
        (H, W, 3) uint8, its own memory.
    """
    resize = resize or resize_exactly
    x1, y1, x2, y2 = rectangle
    region = image[y1:y2, x1:x2]
    sides = x2 - x1, y2 - y1
    (picture_w, picture_h), (width, height) = size.picture(sides), size.canvas(sides)
    picture = resize(region, picture_w, picture_h)
    if (picture_w, picture_h) == (width, height):
        return picture
    left, top = (width - picture_w) // 2, (height - picture_h) // 2
    canvas = np.zeros((height, width, image.shape[2]), np.uint8)
    canvas[top : top + picture_h, left : left + picture_w] = picture
    return canvas


def resize_exactly(image: Image, width: int, height: int) -> Image:
    """Shrink with area averaging, enlarge with cubic interpolation, each axis by its own rule.

    A wide box is often shrunk across and enlarged down; one filter for both would alias or blur, so the
    axis that shrinks goes first (it also leaves fewer pixels to enlarge).
    """
    source_h, source_w = image.shape[:2]
    shrunk_w, shrunk_h = min(width, source_w), min(height, source_h)
    if (shrunk_w, shrunk_h) != (source_w, source_h):
        image = shrink(image, shrunk_w, shrunk_h)
    if (shrunk_w, shrunk_h) != (width, height):
        image = _resized(image, width, height, cv2.INTER_CUBIC)
    return image if image.flags.owndata else image.copy()


def resize_quickly(image: Image, width: int, height: int) -> Image:
    """Shrink with the mean of a few bilinear samples for each pixel; fewer for less detail.

    OpenCV samples, and averages by two, with vector instructions; areas of other ratios it averages one pixel
    after the other. Where a side is enlarged, none is shrunk, or all is full of detail (noise, text), it is
    `resize_exactly`.
    """
    ratios = image.shape[1] / width, image.shape[0] / height
    if min(ratios) < 1 or max(ratios) == 1:
        return resize_exactly(image, width, height)
    details = detail_of(image)
    if max(details) > _TOO_MUCH:
        return resize_exactly(image, width, height)
    across, down = (
        1
        if ratio == 1 or (ratio <= _ONE_IF_FULL and detail <= _ENOUGH_FOR_SEVERAL)
        else _samples(ratio, detail)
        for ratio, detail in zip(ratios, details, strict=True)
    )
    return _resize_by_samples(image, width, height, across, down, cv2.INTER_LINEAR)


def resize_reduced(image: Image, width: int, height: int) -> Image:
    """Shrink a photo that was decoded at a fraction of its size.

    Its pixels are averages already, and averaging them again by their areas would blur. Where there is
    detail, cubic samples between them come 2 to 5 dB closer to a crop of all pixels.
    """
    ratios = image.shape[1] / width, image.shape[0] / height
    across, down = (_samples(*side) for side in zip(ratios, detail_of(image), strict=True))
    linear = (across == 1 or ratios[0] >= _LINEAR_FROM) and (down == 1 or ratios[1] >= _LINEAR_FROM)
    shape = cv2.INTER_LINEAR if linear else cv2.INTER_CUBIC
    return _resize_by_samples(image, width, height, across, down, shape)


def _samples(ratio: float, detail: float) -> int:
    """Return how many samples, a power of two, suffice for each pixel along a side shrunk by `ratio`."""
    if detail * max(ratio / _NEAR, 1.0) ** _FALL <= _ENOUGH_FOR_ONE:
        return 1
    samples = 2
    while (way := ratio / samples) > _NEAR and detail * (way / _NEAR) ** _FALL > _ENOUGH_FOR_SEVERAL:
        samples *= 2
    return samples


def _resize_by_samples(
    image: Image, width: int, height: int, across: int, down: int, interpolation: int
) -> Image:
    image = _resized(image, across * width, down * height, interpolation)
    while across > 1 or down > 1:
        # Of four, OpenCV averages with vector instructions; of two, only as the sample between them.
        halve = cv2.INTER_AREA if across > 1 and down > 1 else cv2.INTER_LINEAR
        across, down = max(1, across // 2), max(1, down // 2)
        image = _resized(image, across * width, down * height, halve)
    return image


def _resized(image: Image, width: int, height: int, interpolation: int) -> Image:
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
