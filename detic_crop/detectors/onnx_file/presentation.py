"""How a photo is shown to a network, and where in the photo its boxes are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detic_crop.config import ONNX_INPUT_WORDS
from detic_crop.detectors.onnx_file.metadata import IMAGENET_MEAN, IMAGENET_STD

Fitting: TypeAlias = Literal["letterbox", "corner", "stretch"]
Colour: TypeAlias = Literal["rgb", "bgr"]
Values: TypeAlias = Literal["0-1", "0-255", "imagenet"]

_GREY = 114
"""Grey of the bars, of YOLO's trainers."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where in the picture a photo is.

    Attributes:
        left, top: where the photo begins, pixels of the picture.
        width, height: the photo's sides in the picture, pixels.
        photo_hw: the photo's own height and width.
    """

    left: int
    top: int
    width: int
    height: int
    photo_hw: tuple[int, int]

    def to_photo(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (N, 4) boxes in pixels of the photo, cut at its edges, of boxes in pixels of the picture."""
        height, width = self.photo_hw
        # Each side has a factor of its own: a side of the picture is a whole number of pixels, so the two
        # differ by up to half a pixel of it.
        scale = np.tile([width / self.width, height / self.height], 2)
        moved = (xyxy.astype(np.float64) - np.tile([self.left, self.top], 2)) * scale
        return np.asarray(np.clip(moved, 0, np.tile([width, height], 2)), np.float32)

    def to_picture(self, xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return boxes in pixels of the picture, of boxes in pixels of the photo."""
        height, width = self.photo_hw
        scale = np.tile([self.width / width, self.height / height], 2)
        moved: NDArray[np.float64] = xyxy * scale + np.tile([self.left, self.top], 2)
        return moved


@dataclass(frozen=True, slots=True)
class Presentation:
    """How a photo becomes the picture that a network sees.

    Attributes:
        width, height: sides of the picture, pixels.
        fitting: letterbox: in the middle, with grey bars at two edges; corner: at the left top, with grey
            bars right or below; stretch: over all of it.
        colour: order of the channels.
        values: what the numbers of a pixel are: 0 to 1, 0 to 255, or with ImageNet's mean 0 and deviation 1.
    """

    width: int
    height: int
    fitting: Fitting = "letterbox"
    colour: Colour = "rgb"
    values: Values = "0-1"

    def __str__(self) -> str:
        return f"{self.width}x{self.height},{self.fitting},{self.colour},{self.values}"

    def changed_by(self, words: str | None) -> Presentation:
        """Return the presentation that ``--onnx-input`` changes this into; the size is not changed by it."""
        changes: dict[str, Any] = {}
        for word in (words or "").split(","):
            for field, values in ONNX_INPUT_WORDS.items():
                if word in values:
                    changes[field] = word
        return replace(self, **changes)

    def place(self, photo_hw: tuple[int, int]) -> Placement:
        """Return where in the picture a photo of that size is."""
        height, width = photo_hw
        if self.fitting == "stretch":
            return Placement(0, 0, self.width, self.height, photo_hw)
        ratio = min(self.width / width, self.height / height)
        shown_width = min(max(round(width * ratio), 1), self.width)
        shown_height = min(max(round(height * ratio), 1), self.height)
        left, top = (self.width - shown_width) // 2, (self.height - shown_height) // 2
        if self.fitting == "corner":
            left = top = 0
        return Placement(left, top, shown_width, shown_height, photo_hw)

    def draw(self, image: NDArray[np.uint8], placement: Placement) -> NDArray[np.uint8]:
        """Return the picture, (height, width, 3) uint8 in its order of colours, of a BGR photo."""
        size = placement.width, placement.height
        image = np.ascontiguousarray(image)
        if self.fitting == "stretch":
            # DETR's trainers smooth what they shrink, YOLO's do not.
            small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        else:
            small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        picture = np.full((self.height, self.width, 3), _GREY, np.uint8)
        bottom, right = placement.top + placement.height, placement.left + placement.width
        picture[placement.top : bottom, placement.left : right] = (
            small[:, :, ::-1] if self.colour == "rgb" else small
        )
        return picture

    def numbers(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (B, H, W, 3) float32 of pictures that were drawn."""
        numbers = pictures.astype(np.float32)
        if self.values == "0-255":
            return numbers
        numbers /= 255
        if self.values == "imagenet":
            order = slice(None) if self.colour == "rgb" else slice(None, None, -1)
            numbers -= np.array(IMAGENET_MEAN[order], np.float32)
            numbers /= np.array(IMAGENET_STD[order], np.float32)
        return numbers

    @property
    def bounds(self) -> tuple[int, int]:
        """Bounds on the (shortest, longest) side of the picture's photo, see `DetectorInfo.input_size`."""
        longest = max(self.width, self.height)
        # A stretched photo loses nothing only if it is not shrunk below the picture along either side.
        return (longest, 1 << 30) if self.fitting == "stretch" else (longest, longest)
