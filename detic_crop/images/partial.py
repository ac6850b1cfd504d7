"""Decode less of a photo: not the rows below a region, and not finer than the use of it needs.

Both are for the plain JPEG. Its rows are stored from top to bottom, so a file that claims to be lower is
decoded down to there and no further: the pixels above are the same, bit for bit. And its pixels are stored as
cosine transforms of blocks of 8×8, which decode to 4×4, 2×2 or 1×1 about as well as to 8×8 averaged. How well
depends on how sharp the photo is, which its reduced pixels tell.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.crop_size import CropSize, Sides
from detic_crop.boxes.geometry import PixelBox
from detic_crop.images.detail import detail_of
from detic_crop.images.headers.header import Header

Reduction: TypeAlias = Literal[1, 2, 4, 8]
REDUCTIONS: tuple[Reduction, ...] = (8, 4, 2, 1)
"""Coarsest first."""

LEAST_PIXELS = 1_000_000
"""Smaller photos are decoded whole: that takes no time, and most of them are too sharp for a shortcut."""

MARGINS: dict[int, float] = {2: 1.0, 4: 1.8, 8: 2.5}
"""Reduction → pixels a side that a region so decoded must have for each one of the crop.

With fewer, too many photos turn out too sharp (`is_fine_enough`) and are decoded again.
"""

# Detail of both sides, each divided by the square of its pixels per pixel of the crop. At one value the PSNR
# of crops varies by 5 dB; this keeps the least above 40 dB (`python -m benchmarks.decode_quality PHOTOS`).
_MOST_DETAIL = 250.0
_LEAST_SHARE = 0.5  # more than two pixels per pixel of the crop gain nothing

# Rows are decoded in stripes of up to 16, and the last row of a stripe takes some colour from the next one.
_STRIPE = 16
_STRIPES_BELOW = 1


def reduction_for(sides: Sides, size: CropSize) -> Reduction:
    """Return the coarsest reduction that still leaves enough pixels of a region for its crop.

    Args:
        sides: width and height of the region, photo pixels.
        size: what becomes of the region. Where both sides are shrunk alike, the longer one decides, which is
            rounded least; still two reduced pixels must be left of the other, so that `snapped` has one to
            cut back.
    """
    picture = size.picture(sides)
    shrunk = (
        [(max(sides), max(picture))] if size.keeps_proportions else list(zip(sides, picture, strict=True))
    )
    return next(
        r
        for r in REDUCTIONS
        if r == 1 or (all(side / r >= MARGINS[r] * left for side, left in shrunk) and min(sides) >= 2 * r)
    )


def is_fine_enough(region: NDArray[np.uint8], width: int, height: int) -> bool:
    """Return whether a crop out of reduced pixels equals the crop of a full decode, to 40 dB PSNR.

    If the reduced pixels have much detail, the photo has more, which they lost.

    Args:
        region: (H, W, 3) uint8 BGR, the reduced pixels of the region.
        width: width of the crop, pixels.
        height: height of the crop, pixels.
    """
    detail = detail_of(region)
    across = detail.across * max(width / region.shape[1], _LEAST_SHARE) ** 2
    down = detail.down * max(height / region.shape[0], _LEAST_SHARE) ** 2
    return bool(across + down <= _MOST_DETAIL)


def reduction_to_show(resolution_wh: tuple[int, int], view: tuple[int, int] | None) -> Reduction:
    """Return the coarsest reduction at which a detector that shrinks photos loses nothing.

    Args:
        resolution_wh: size of the photo, pixels.
        view: shortest and longest side, pixels, at which the detector looks; None: as the photo is.
    """
    if view is None:
        return 1
    shrink = min(view[0] / min(resolution_wh), view[1] / max(resolution_wh))
    return next(r for r in REDUCTIONS if r == 1 or r * shrink <= 1)


def snapped(region: PixelBox, multiple: int, resolution_wh: tuple[int, int]) -> PixelBox:
    """Return the region grown outwards to multiples of a number of pixels, cut at the photo's edge."""
    x1, y1, x2, y2 = region
    width, height = resolution_wh
    return (
        x1 // multiple * multiple,
        y1 // multiple * multiple,
        min(-(-x2 // multiple), width // multiple) * multiple,
        min(-(-y2 // multiple), height // multiple) * multiple,
    )


def can_reduce(header: Header, reduction: int) -> bool:
    """Return whether each reduced pixel of this photo covers whole pixels of the upright one.

    A reduced photo begins at the stored left top. Turned upright, that may be another corner, and pixels
    counted from there only agree where the sides are multiples of the reduction.
    """
    if reduction == 1:
        return True
    if not header.plain or header.truncated:
        return False
    return header.orientation == 1 or (header.width % reduction == 0 and header.height % reduction == 0)


def stored_rows(header: Header, region: PixelBox | None) -> int:
    """Return how many stored rows, from the first, hold a region of the upright photo; all if unknown."""
    if region is None or not header.height_at or not header.plain or header.truncated:
        return header.height
    x1, y1, x2, y2 = region
    # By where the first stored row is in the upright photo: top, bottom, left or right.
    last = {
        1: y2,
        2: y2,
        3: header.height - y1,
        4: header.height - y1,
        5: x2,
        8: x2,
        6: header.height - x1,
        7: header.height - x1,
    }[header.orientation]
    return min((-(-last // _STRIPE) + _STRIPES_BELOW) * _STRIPE, header.height)


def origin_of(header: Header, rows: int) -> tuple[int, int]:
    """Return x, y, in pixels of the upright photo, of the left top corner of its first `rows` stored rows."""
    missing = header.height - rows
    if header.orientation in (3, 4):
        return 0, missing
    return (missing, 0) if header.orientation in (6, 7) else (0, 0)


def with_rows(header: Header, rows: int) -> bytes:
    """Return the lean file with a height that ends it after that number of rows."""
    if rows >= header.height:
        return header.lean
    at = header.height_at
    return b"".join((header.lean[:at], rows.to_bytes(2, "big"), header.lean[at + 2 :]))
