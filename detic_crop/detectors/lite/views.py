"""What the network of `lite` is shown of a photo: the overview, and close-ups of what was found in it."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detic_crop.detectors.lite.network import SIDE_STEP
from detic_crop.images.area import shrink

Box = tuple[float, float, float, float]  # left, top, right, bottom; pixels of the photo
Window = tuple[int, int, int, int]  # the same in whole pixels, not empty, inside the photo
Pixels = NDArray[np.uint8]  # (H, W, 3) BGR

OVERVIEW_SIDE = 448  # px, the photo's long side
CLOSE_UP_SIDE = 320  # px, root of the close-up's area
WINDOW_SCALE = 2.0  # close-up window / box: the overview's box may be half the animal
MAX_ASPECT = 3.0  # of a close-up window, so that a thin box does not make a thin picture


def overview(photo: Pixels) -> Pixels:
    """Return the photo at 448 px, aspect kept up to the rounding of its sides."""
    height, width = photo.shape[:2]
    scale = OVERVIEW_SIDE / max(height, width)
    return resize(photo, _side(width * scale, 64), _side(height * scale, 64))


def close_up(photo: Pixels, window: Window) -> Pixels:
    """Return the window at about 320² px, aspect kept within limits."""
    left, top, right, bottom = window
    aspect = np.clip((right - left) / (bottom - top), 1 / MAX_ASPECT, MAX_ASPECT)
    width, height = _side(CLOSE_UP_SIDE * aspect**0.5, 96), _side(CLOSE_UP_SIDE / aspect**0.5, 96)
    return resize(photo[top:bottom, left:right], width, height)


def window_around(box: Box, width: int, height: int) -> Window:
    """Return the box at twice its sides, not too thin, cut to the photo of width × height."""
    left, top, right, bottom = box
    box_width, box_height = right - left, bottom - top
    half_width = max(box_width, box_height / MAX_ASPECT) * WINDOW_SCALE / 2
    half_height = max(box_height, box_width / MAX_ASPECT) * WINDOW_SCALE / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    x0, y0 = max(0, int(x - half_width)), max(0, int(y - half_height))
    x1, y1 = min(width, int(np.ceil(x + half_width))), min(height, int(np.ceil(y + half_height)))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def jittered(box: NDArray[np.float64], width: int, height: int, rng: np.random.Generator) -> Box:
    """Return the (4,) box as an overview might have drawn it, cut to the photo of width × height.

    At least one pixel wide and high; one at the edge may in rare cases end beside the photo.
    """
    size = np.exp(rng.normal(0.1, 0.3)) * np.exp(rng.normal(0, 0.2, 2)) * (box[2:] - box[:2])
    centre = (box[:2] + box[2:]) / 2 + rng.normal(0, 0.15, 2) * size
    left, top = np.maximum(centre - size / 2, 0).tolist()
    right, bottom = np.minimum(centre + size / 2, (width, height)).tolist()
    return left, top, max(right, left + 1), max(bottom, top + 1)


def resize(picture: Pixels, width: int, height: int) -> Pixels:
    """Resize a picture: area averaging if it shrinks (no aliasing), linear if it grows."""
    if picture.shape[1] >= width and picture.shape[0] >= height:
        return shrink(picture, width, height)
    shrinks = picture.shape[1] > width or picture.shape[0] > height
    resized = cv2.resize(
        picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return np.asarray(resized, np.uint8)


def as_tensor(pictures: NDArray[np.uint8], device: str | torch.device = "cpu") -> Tensor:
    """Return (B, 3, H, W) RGB in [-1, 1], channels last, of (B, H, W, 3) BGR pictures."""
    rgb = torch.from_numpy(np.ascontiguousarray(pictures[..., ::-1])).to(device)
    pixels = rgb.permute(0, 3, 1, 2).float() / 127.5 - 1  # ImageNet's mean and deviation are 0.5 here
    return pixels.contiguous(memory_format=torch.channels_last)


def _side(side: float, least: int) -> int:
    return max(least, round(side / SIDE_STEP) * SIDE_STEP)
