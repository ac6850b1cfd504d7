"""Cut a rectangle out of a photo and fit it into a square."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.geometry import Fit, PixelBox

Image = NDArray[np.uint8]


def cut_and_resize(image: Image, rectangle: PixelBox, size: int, fit: Fit) -> Image:
    """The crop a trainer sees.

    Args:
        image: (H, W, 3) uint8, any channel order.
        rectangle: x1, y1, x2, y2 whole pixels inside the photo.
        size: side of the square result, pixels.
        fit: ``pad`` keeps the proportions on black; otherwise the rectangle is resized as it is.

    Returns:
        (size, size, 3) uint8, its own memory.
    """
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


def resize(image: Image, width: int, height: int) -> Image:
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
