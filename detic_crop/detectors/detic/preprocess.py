"""A photo as the network wants it, and boxes back in the photo's pixels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

# ImageNet's statistics, red, green, blue, on the scale 0–255.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
MULTIPLE = 32
"""Both sides of the network's input are multiples of this."""

_SHORTEST = 800
_LONGEST = 1333


def longest_for(shortest: int) -> int:
    """Return the limit of the longest side for a shortest side: 1333 for 800, others in proportion."""
    return round(shortest * _LONGEST / _SHORTEST)


def resized_hw(size_hw: tuple[int, int], shortest: int, longest: int) -> tuple[int, int]:
    """Return the size a photo is shown at: shortest side `shortest`, unless the other would exceed `longest`.

    Rounded half up; a side is never below one pixel.
    """
    height, width = size_hw
    scale = shortest / min(height, width)
    # The shorter side is set and not multiplied: 3 · (800 / 3) need not be 800.
    new_height, new_width = (
        (float(shortest), scale * width) if height < width else (scale * height, float(shortest))
    )
    if max(new_height, new_width) > longest:
        shrink = longest / max(new_height, new_width)
        new_height, new_width = new_height * shrink, new_width * shrink
    return max(1, int(new_height + 0.5)), max(1, int(new_width + 0.5))


def padded_hw(size_hw: tuple[int, int]) -> tuple[int, int]:
    """Return both sides rounded up to what the network takes."""
    height, width = size_hw
    return height + -height % MULTIPLE, width + -width % MULTIPLE


def resize(image: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (H, W, 3) uint8, any order of channels, with Pillow's antialiased bilinear filter."""
    height, width = size_hw
    small = Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(small)


def normalise(rgb: Tensor) -> Tensor:
    """Return (3, H, W) uint8 RGB as float32 around zero, padded right and below to multiples of 32."""
    mean = torch.tensor(PIXEL_MEAN, device=rgb.device)[:, None, None]
    std = torch.tensor(PIXEL_STD, device=rgb.device)[:, None, None]
    pixels = (rgb.float() - mean) / std
    height, width = rgb.shape[1:]
    return functional.pad(pixels, (0, -width % MULTIPLE, 0, -height % MULTIPLE))


def to_photo(boxes: Tensor, shown_hw: tuple[int, int], photo_hw: tuple[int, int]) -> Tensor:
    """Return (N, 4) xyxy at the network's size in pixels of the photo, cut at its edges."""
    (shown_height, shown_width), (height, width) = shown_hw, photo_hw
    scale_x, scale_y = width / shown_width, height / shown_height
    scaled = boxes * boxes.new_tensor([scale_x, scale_y, scale_x, scale_y])
    return scaled.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
