"""From a detected box to the whole pixels that are cut out.

Boxes are xyxy: left, top, right, bottom in pixels of the upright photo, max edges exclusive. They stay
float until `round_out`, the last step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from detic_crop.boxes.crop_size import CropSize, Sides
from detic_crop.config import CropConfig

Box: TypeAlias = tuple[float, float, float, float]
PixelBox: TypeAlias = tuple[int, int, int, int]

# A box edge that lands on a whole pixel must not gain a pixel because 1.2 has no exact binary form.
_ROUNDING_NOISE = 1e-6


def enlarge(xyxy: Sequence[float], scale: float) -> Box:
    """Multiply both sides of a box by `scale` about its centre; may reach outside the photo.

    Args:
        xyxy: left, top, right, bottom, pixels.
        scale: factor for both sides, > 0; 1.2 in the original data set.

    Raises:
        ValueError: `scale` is not a positive number.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be a positive number, got {scale}")
    left, top, right, bottom = (float(edge) for edge in xyxy)
    grow_x = (right - left) * (scale - 1) / 2
    grow_y = (bottom - top) * (scale - 1) / 2
    return left - grow_x, top - grow_y, right + grow_x, bottom + grow_y


def area_of(xyxy: Sequence[float]) -> float:
    """Return the area of a box, in square pixels."""
    left, top, right, bottom = xyxy
    return (right - left) * (bottom - top)


def clip(xyxy: Sequence[float], resolution_wh: tuple[int, int]) -> Box:
    """Cut a box to a photo of `resolution_wh` pixels (width, height)."""
    width, height = resolution_wh
    left, top, right, bottom = (float(edge) for edge in xyxy)
    return (
        min(max(left, 0.0), width),
        min(max(top, 0.0), height),
        min(max(right, 0.0), width),
        min(max(bottom, 0.0), height),
    )


def round_out(xyxy: Sequence[float], resolution_wh: tuple[int, int]) -> PixelBox:
    """Return the smallest whole-pixel box, at least 1×1 and inside the photo, that contains a clipped box."""
    width, height = resolution_wh
    left, top, right, bottom = xyxy
    x1 = min(math.floor(left + _ROUNDING_NOISE), width - 1)
    y1 = min(math.floor(top + _ROUNDING_NOISE), height - 1)
    x2 = max(math.ceil(right - _ROUNDING_NOISE), x1 + 1)
    y2 = max(math.ceil(bottom - _ROUNDING_NOISE), y1 + 1)
    return x1, y1, x2, y2


def grow_to_aspect(box: PixelBox, aspect: Sides, resolution_wh: tuple[int, int]) -> PixelBox:
    """Grow the side that is too short for these proportions, shifting to stay inside the photo.

    If the photo itself is too short for them, the side becomes the photo's.

    Args:
        box: x1, y1, x2, y2 whole pixels inside the photo.
        aspect: width : height that is wanted; 1 : 1 grows the short side to the long one.
        resolution_wh: photo width and height, pixels.
    """
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    wanted_w = max(width, _share(height, aspect[0], aspect[1]))
    wanted_h = max(height, _share(width, aspect[1], aspect[0]))
    x1, x2 = _grow_side(x1, x2, wanted_w, resolution_wh[0])
    y1, y2 = _grow_side(y1, y2, wanted_h, resolution_wh[1])
    return x1, y1, x2, y2


def _share(length: int, part: int, of: int) -> int:
    """Return length · part / of, rounded half up, in whole numbers."""
    return (2 * length * part + of) // (2 * of)


def _grow_side(low: int, high: int, length: int, limit: int) -> tuple[int, int]:
    length = min(length, limit)
    low = min(max(low - (length - (high - low)) // 2, 0), limit - length)
    return low, low + length


def crop_rectangle(
    xyxy: Sequence[float], scale: float, size: CropSize, resolution_wh: tuple[int, int]
) -> PixelBox:
    """Return the pixels to cut for a chosen box: enlarge, clip, round outwards and, for ``square``, grow.

    Args:
        xyxy: the raw chosen box.
        scale: enlargement of both sides.
        size: what will become of the rectangle.
        resolution_wh: photo width and height, pixels.
    """
    rectangle = round_out(clip(enlarge(xyxy, scale), resolution_wh), resolution_wh)
    aspect = size.aspect
    return rectangle if aspect is None else grow_to_aspect(rectangle, aspect, resolution_wh)


def whole(resolution_wh: tuple[int, int]) -> PixelBox:
    """Return the box of the whole photo."""
    return 0, 0, resolution_wh[0], resolution_wh[1]


def rectangle_of(
    xyxy: Sequence[float] | None, config: CropConfig, resolution_wh: tuple[int, int]
) -> PixelBox | None:
    """Return the pixels to cut out for a box, or for a photo without one; None if there is to be no crop.

    Args:
        xyxy: the chosen box; None where no animal was found.
        config: the settings as resolved.
        resolution_wh: width and height of the upright photo, in pixels.
    """
    if xyxy is None:
        return whole(resolution_wh) if config.not_found == "whole" else None
    left, top, right, bottom = xyxy
    if config.min_side is not None and min(right - left, bottom - top) < config.min_side:
        return None
    return crop_rectangle(xyxy, config.scale, CropSize.of(config), resolution_wh)
