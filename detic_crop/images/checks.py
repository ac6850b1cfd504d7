"""Is a picture fit for training at all? A few numbers from its pixels, cheap enough for every photo.

All is measured on the finished crop, which is what a trainer sees, and which is there however little of the
photo was decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cv2.typing import MatLike

Image = NDArray[np.uint8]

HASH_BITS = 64

_LONGEST = 512  # px; larger crops are shrunk first, so that blur means the same at every --size
_BLUR_WINDOW = 9  # px, of the low-pass filter in Crete et al. 2007
_HASH_SIDE = 32
_ROUNDING = 1  # grey levels; a step of one between neighbours is how a smooth slope is stored
_EVERY = 4  # of the lines along which blur is measured every fourth is enough
_FLAT = 1e-3  # a DCT coefficient below this is rounding, not picture


class Checks(NamedTuple):
    """What a crop looks like.

    Attributes:
        blur: 0 (every pixel differs from its neighbours) to 1 (smooth).
        brightness: mean grey level, 0 to 255.
        entropy: entropy of the grey levels, bits: 0 (one level) to 8 (all 256 equally often).
        crop_hash: see `perceptual_hash`; empty for a crop that is all black.
    """

    blur: float
    brightness: float
    entropy: float
    crop_hash: str


def check_crop(crop: Image) -> Checks:
    """Measure a finished crop.

    Args:
        crop: (H, W, 3) uint8 BGR; black bars, as ``--fit pad`` adds, are left out.
    """
    longest = max(crop.shape[:2])
    if longest > _LONGEST:
        height, width = (max(1, round(side * _LONGEST / longest)) for side in crop.shape[:2])
        crop = _area(crop, width, height)
    grey = _without_bars(_grey(crop))
    if not grey.size:
        return Checks(1.0, 0.0, 0.0, "")
    levels = _levels(grey)
    brightness = float(levels @ np.arange(256))
    return Checks(
        round(_blur(grey), 3), round(brightness, 1), round(_entropy(levels), 2), perceptual_hash(grey)
    )


def perceptual_hash(picture: Image) -> str:
    """Return 64 bits that stay nearly the same when a picture is scaled, recompressed or brightened a little.

    Signs of the 64 lowest frequencies of the discrete cosine transform of a 32 × 32 grey miniature (Zauner
    2010, "Implementation and benchmarking of perceptual image hash functions", section 3.2.1), the mean left
    out. Hashes are compared by the number of differing bits.

    Args:
        picture: (H, W, 3) uint8 BGR or (H, W) grey, at any scale.

    Returns:
        16 hexadecimal digits.
    """
    grey = _grey(picture) if picture.ndim == 3 else picture
    miniature = _area(grey, _HASH_SIDE, _HASH_SIDE).astype(np.float32)
    coefficients = cv2.dct(miniature)[_ROWS, _COLUMNS]
    bits = np.packbits(coefficients > _FLAT)
    return bits.tobytes().hex()


def _lowest_frequencies() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of the first 64 coefficients after the mean, by falling wavelength."""
    places = [(row + column, row, column) for row in range(_HASH_SIDE) for column in range(_HASH_SIDE)]
    chosen = np.array(sorted(places)[1 : HASH_BITS + 1], np.intp)
    return chosen[:, 1], chosen[:, 2]


_ROWS, _COLUMNS = _lowest_frequencies()


def _area(image: Image, width: int, height: int) -> Image:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _grey(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def _without_bars(grey: Image) -> Image:
    if all(edge.any() for edge in (grey[0], grey[-1], grey[:, 0], grey[:, -1])):
        return grey
    rows, columns = np.flatnonzero(grey.any(axis=1)), np.flatnonzero(grey.any(axis=0))
    if not len(rows):
        return grey[:0]
    return grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _blur(grey: Image) -> float:
    """Return how little a picture loses by blurring (Crete et al. 2007, "The blur effect", equations 1 to 8).

    The smaller of the two directions, where they take the larger: a wide rectangle that was stretched to a
    square is smooth along one axis however sharp the photo. Steps of one grey level are not counted.
    """
    columns = cv2.transpose(np.ascontiguousarray(grey[:, ::_EVERY]))
    return min(_blur_along_rows(np.ascontiguousarray(grey[::_EVERY])), _blur_along_rows(columns))


def _blur_along_rows(lines: MatLike) -> float:
    if lines.shape[1] < 2:
        return 1.0
    # In whole numbers: sums over the window, not means, so steps count as often as the window has pixels.
    sums = cv2.boxFilter(lines, cv2.CV_16U, (_BLUR_WINDOW, 1), normalize=False)
    _, steps = cv2.threshold(_steps(lines), _ROUNDING, 0, cv2.THRESH_TOZERO)
    total = int(cv2.sumElems(steps)[0])
    if not total:
        return 1.0
    lost = cv2.subtract(np.multiply(steps, _BLUR_WINDOW, dtype=np.uint16), _steps(sums))  # not below 0
    return 1.0 - cv2.sumElems(lost)[0] / (_BLUR_WINDOW * total)


def _steps(lines: MatLike) -> MatLike:
    """Return the absolute difference from each value of a line to the next."""
    return cv2.absdiff(lines[:, 1:], lines[:, :-1])


def _levels(grey: Image) -> NDArray[np.float64]:
    """Return (256,) share of the pixels at each grey level."""
    counts = np.asarray(cv2.calcHist([grey], [0], None, [256], [0, 256]), np.float64).ravel()
    return np.asarray(counts / counts.sum(), np.float64)


def _entropy(shares: NDArray[np.float64]) -> float:
    shares = shares[shares > 0]
    return abs(float((shares * np.log2(shares)).sum()))
