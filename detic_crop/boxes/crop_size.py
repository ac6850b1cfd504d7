"""How large a crop is: what ``--size`` and ``--fit`` make of a rectangle, and what that takes.

A crop is a canvas with a picture on it: the rectangle, resized. Only ``pad`` has a canvas that is larger.
Sides are (width, height) in pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from math import gcd, isqrt
from typing import TypeAlias

from detic_crop.config import CropConfig, Fit, Size, parse_size

Sides: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class CropSize(ABC):
    """What a size and a fit make of a rectangle.

    Attributes:
        fit: ``stretch``, ``pad`` or ``square``.
    """

    fit: Fit

    @staticmethod
    def of(config: CropConfig) -> CropSize:
        """Return what the settings of a run ask for."""
        return crop_size(config.size, config.fit)

    @property
    def aspect(self) -> Sides | None:
        """Width : height to which a rectangle grows before it is cut out; None: it does not grow."""
        return self._proportions if self.fit == "square" else None

    @property
    @abstractmethod
    def _proportions(self) -> Sides: ...

    @property
    @abstractmethod
    def shape(self) -> Sides | None:
        """Width : height of all crops; None: each has that of its rectangle."""

    @property
    @abstractmethod
    def keeps_proportions(self) -> bool:
        """Whether both sides of a rectangle are shrunk or enlarged alike."""

    @abstractmethod
    def picture(self, rectangle: Sides) -> Sides:
        """Return the sides to which a rectangle is resized."""

    @abstractmethod
    def canvas(self, rectangle: Sides) -> Sides:
        """Return the sides of the crop of a rectangle."""

    @abstractmethod
    def enlarges(self, rectangle: Sides) -> bool:
        """Return whether both sides of a rectangle have to be enlarged."""

    @abstractmethod
    def most_pixels(self, photo: Sides) -> int:
        """Return how many pixels the crop of any rectangle of a photo has at most."""

    @abstractmethod
    def smaller(self, rectangle: Sides, ratio: float) -> CropSize | None:
        """Return a size whose crop of a rectangle is smaller; None if all crops are to have the same sides.

        Args:
            rectangle: width and height, pixels.
            ratio: sides of the new crop / sides of the crop, below 1; at least a pixel goes.
        """

    @property
    @abstractmethod
    def text(self) -> str:
        """The size in words."""


@dataclass(frozen=True, slots=True)
class _Exactly(CropSize):
    """Crops that all have the same sides."""

    sides: Sides

    @property
    def _proportions(self) -> Sides:
        width, height = self.sides
        common = gcd(width, height)
        return width // common, height // common

    @property
    def shape(self) -> Sides:
        return self._proportions

    @property
    def keeps_proportions(self) -> bool:
        return self.fit == "pad"

    def picture(self, rectangle: Sides) -> Sides:
        if not self.keeps_proportions:
            return self.sides
        return _scaled(rectangle, min(self.sides[0] / rectangle[0], self.sides[1] / rectangle[1]))

    def canvas(self, rectangle: Sides) -> Sides:
        return self.sides

    def enlarges(self, rectangle: Sides) -> bool:
        return rectangle[0] < self.sides[0] and rectangle[1] < self.sides[1]

    def most_pixels(self, photo: Sides) -> int:
        return self.sides[0] * self.sides[1]

    def smaller(self, rectangle: Sides, ratio: float) -> CropSize | None:
        return None

    @property
    def text(self) -> str:
        return f"{self.sides[0]} × {self.sides[1]}"


@dataclass(frozen=True, slots=True)
class _AtMost(CropSize):
    """Crops that are never enlarged and keep the proportions of their rectangles.

    Attributes:
        longest: most pixels of a side; None: all that the rectangle has.
    """

    longest: int | None

    @property
    def _proportions(self) -> Sides:
        return 1, 1

    @property
    def shape(self) -> Sides | None:
        return self._proportions if self.fit == "pad" else None

    @property
    def keeps_proportions(self) -> bool:
        return True

    def picture(self, rectangle: Sides) -> Sides:
        longest = max(rectangle)
        if self.longest is None or longest <= self.longest:
            return rectangle
        return _scaled(rectangle, self.longest / longest)

    def canvas(self, rectangle: Sides) -> Sides:
        picture = self.picture(rectangle)
        return (max(picture), max(picture)) if self.fit == "pad" else picture

    def enlarges(self, rectangle: Sides) -> bool:
        return False

    def most_pixels(self, photo: Sides) -> int:
        width, height = (side if self.longest is None else min(side, self.longest) for side in photo)
        return max(width, height) ** 2 if self.fit == "pad" else width * height

    def smaller(self, rectangle: Sides, ratio: float) -> CropSize | None:
        longest = max(self.picture(rectangle))
        return None if longest == 1 else _AtMost(self.fit, max(1, min(longest - 1, int(longest * ratio))))

    @property
    def text(self) -> str:
        return "as in the photo" if self.longest is None else f"longest side at most {self.longest}"


@cache
def crop_size(size: Size, fit: Fit) -> CropSize:
    """Return what ``--size`` and ``--fit`` ask for.

    Args:
        size: as `CropConfig.size`: a side, ``384x768`` (width x height), ``long:1600`` or ``native``.
        fit: as `CropConfig.fit`.

    Raises:
        UsageError: the size is none of these.
    """
    size = parse_size(size)
    if isinstance(size, int):
        return _Exactly(fit, (size, size))
    if size == "native":
        return _AtMost(fit, None)
    _, is_long, longest = size.partition("long:")
    if is_long:
        return _AtMost(fit, int(longest))
    width, height = map(int, size.split("x"))
    return _Exactly(fit, (width, height))


def square_of(pixels: int) -> Sides:
    """Return the sides of the smallest square of at least that many pixels."""
    side = isqrt(pixels - 1) + 1 if pixels else 0
    return side, side


def _scaled(rectangle: Sides, ratio: float) -> Sides:
    return max(1, round(rectangle[0] * ratio)), max(1, round(rectangle[1] * ratio))
