"""Which size of the photo boxes are of, where their file states it."""

from __future__ import annotations

import math

from detic_crop.detectors.boxes_file.numbers import shown
from detic_crop.detectors.boxes_file.table import RowError

SizeWH = tuple[int, int]


def stated_size(width: object, height: object) -> SizeWH | None:
    """Return width and height in whole pixels; None if absent, empty, NaN, or not above 0.

    Raises:
        RowError: it is something else.
    """
    sides = _side(width), _side(height)
    if sides[0] is None or sides[1] is None:
        return None
    return sides[0], sides[1]


def _side(value: object) -> int | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = math.inf  # also what a number beyond any float counts as
    try:
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            number = float(value)
    except (ValueError, OverflowError):
        pass
    if math.isnan(number) or number <= 0:  # 0 and -1 are how many tools write that they do not know
        return None
    if not number.is_integer():
        raise RowError(f"expected the photo's width and height in whole pixels, got {shown(value)}")
    return int(number)


def same_shape(one: SizeWH, other: SizeWH) -> bool:
    """Return whether one can be the other resized, each side rounded to whole pixels in whatever way.

    A side that is off by less than one pixel in the smaller photo moves the cross product by less than the
    other side of the larger one.
    """
    return abs(one[0] * other[1] - one[1] * other[0]) <= max(*one, *other)


def difference(stated: SizeWH, photo: SizeWH) -> str:
    """Return why boxes of a photo of another shape do not fit, and what to do."""
    sizes = "{} x {} px, but the photo is {} x {} px".format(*stated, *photo)
    if same_shape(stated, (photo[1], photo[0])):
        return (
            f"the boxes were made on a photo of {sizes} when upright: they leave out its turn (EXIF "
            "orientation); make them on the upright photo"
        )
    return f"the boxes were made on a photo of {sizes}, another shape; pass the boxes of this photo"
