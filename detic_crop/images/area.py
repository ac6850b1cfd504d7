"""The mean of the area that each pixel of a smaller picture covers: OpenCV's INTER_AREA to the bit, faster.

OpenCV adds up one pixel after the other. Here rows are added first, as products of matrices, and then OpenCV
averages along what is left of them. That adds in another order, so the sums differ in the last bits of a
float, and a mean that lies between two grey levels could be rounded to the other one. Such means, one of a
thousand or so, are added up again in OpenCV's order. So the result depends neither on the order in which a
processor's matrix product adds, nor on its threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_WORTH = 200_000
"""Pixels of a picture that is worth the steps; below, OpenCV is as fast."""
_LEAST_ROWS = 64
"""Rows of a smaller picture that is worth them; of fewer, each needs too much memory."""
_LEAST_SHARE = 1e-3
"""Of a pixel, see `_side`."""
_ROWS = 4
"""Rows of the smaller picture that one product makes."""
_BAND = 1 << 20
"""Bytes of averaged rows that are made before they are averaged further: they stay in the cache."""
_PRODUCT = 1 << 18
"""Multiplications of one product at most: NumPy's BLAS divides larger ones among threads of its own."""
_NEAR = 2.0**-15
"""By how much the two ways to add may differ, for each number added along both sides.

Each way rounds products and sums once for each number, by 2^-24 of at most 255.
"""
_TOO_MANY = 100
"""One mean of so many may be added up again; else OpenCV makes the picture."""


def shrink(image: Image, width: int, height: int) -> Image:
    """Return the picture that `cv2.resize` makes with INTER_AREA.

    Args:
        image: (H, W, 3) uint8; need not be contiguous.
        width, height: sides of the new picture, pixels; not larger than those of `image`.

    Returns:
        (height, width, 3) uint8.
    """
    source_h, source_w = image.shape[:2]
    pays = source_h * source_w >= _WORTH and source_h > height >= _LEAST_ROWS
    whole = source_h % height == 0 and source_w % width == 0  # then OpenCV adds whole numbers, which is fast
    smaller = shrink_by_rows(image, width, height) if pays and not whole else None
    if smaller is not None:
        return smaller
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


class _Side(NamedTuple):
    """What each pixel of the smaller picture is the mean of, along one side.

    Attributes:
        first: (pixels,) index of the first pixel of the larger picture.
        weights: (pixels, most) float32, of that one and of those after it; 0 where there are fewer.
    """

    first: NDArray[np.intp]
    weights: NDArray[np.float32]


def shrink_by_rows(image: Image, width: int, height: int) -> Image | None:
    """Average down, then across.

    Args:
        image, width, height: see `shrink`; not both ratios are whole numbers.

    Returns:
        See `shrink`; None if too many means lie between two grey levels.
    """
    rows, columns = _side(image.shape[0], height), _side(image.shape[1], width)
    near = _NEAR * (rows.weights.shape[1] + columns.weights.shape[1] + 2)
    smaller = np.empty((height, width, 3), np.uint8)
    unsure: list[NDArray[np.intp]] = []
    top = 0
    for band in _averaged_down(image, rows):
        if width != image.shape[1]:
            band = np.asarray(cv2.resize(band, (width, len(band)), interpolation=cv2.INTER_AREA), np.float32)
        band = band.reshape(len(band), -1)
        low = smaller[top : top + len(band)].reshape(band.shape)
        cv2.convertScaleAbs(band, low, 1, -near)
        between = np.flatnonzero(low != cv2.convertScaleAbs(band, None, 1, near))
        if between.size * _TOO_MANY > band.size:
            return None
        unsure.append(between + top * band.shape[1])
        top += len(band)
    _add_again(smaller, np.concatenate(unsure), image, rows, columns)
    return smaller


def _side(source: int, target: int) -> _Side:
    """Return the shares of pixels as OpenCV computes them, which leaves out what is below `_LEAST_SHARE`."""
    scale = 1 / (target / source)
    begins = np.arange(target) * scale
    ends = begins + scale
    covered = np.minimum(scale, source - begins)
    stop = np.minimum(np.floor(ends), source - 1)
    start = np.minimum(np.ceil(begins), stop)
    before, after = start - begins, ends - stop  # what is covered of the pixels around the whole ones
    has_before, has_after = before > _LEAST_SHARE, after > _LEAST_SHARE
    first = (start - has_before).astype(np.intp)
    count = (stop - start).astype(np.intp) + has_before + has_after
    weights = np.where(np.arange(count.max()) < count[:, None], 1 / covered[:, None], 0.0)
    weights[has_before, 0] = (before / covered)[has_before]
    after = np.minimum(np.minimum(after, 1), covered) / covered
    weights[has_after, count[has_after] - 1] = after[has_after]
    return _Side(first, weights.astype(np.float32))


def _averaged_down(image: Image, side: _Side) -> Iterator[NDArray[np.float32]]:
    """Yield (n, W, 3) means of rows, a band at a time; each is overwritten by the next."""
    height, width, _ = image.shape
    starts = side.first[::_ROWS]
    matrices = _matrices(side, starts)
    most = matrices.shape[2]
    values = 3 * width
    parts = -(-_ROWS * most * values // _PRODUCT)
    padded = parts * -(-values // parts)
    strip = np.zeros((most, padded), np.float32)
    groups = max(1, _BAND // (strip.itemsize * padded * _ROWS))
    band = np.empty((groups * _ROWS, padded), np.float32)
    pixels = strip[:, :values].reshape(most, width, 3)
    factors, products = (array.reshape(len(array), parts, -1).transpose(1, 0, 2) for array in (strip, band))
    stops = np.minimum(np.append(starts[1:] + 1, height), starts + most)
    limits = list(zip(starts.tolist(), stops.tolist(), matrices, strict=True))
    for first in range(0, len(limits), groups):
        for row, (start, stop, matrix) in enumerate(limits[first : first + groups]):
            count = stop - start
            np.copyto(pixels[:count], image[start:stop])
            part = products[:, row * _ROWS : (row + 1) * _ROWS]
            np.matmul(matrix[:, :count], factors[:, :count], out=part)
        rows = min(len(side.first) - first * _ROWS, len(band))
        yield band[:rows, :values].reshape(rows, width, 3)


def _matrices(side: _Side, starts: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return (groups, _ROWS, most) weights of the rows from `starts` on, for each group of new rows."""
    count, most = side.weights.shape
    behind = side.first - np.repeat(starts, _ROWS)[:count]
    matrices = np.zeros((len(starts) * _ROWS, int(behind.max()) + most), np.float32)
    matrices[np.arange(count)[:, None], behind[:, None] + np.arange(most)] = side.weights
    return matrices.reshape(len(starts), _ROWS, -1)


def _add_again(smaller: Image, places: NDArray[np.intp], image: Image, rows: _Side, columns: _Side) -> None:
    """Write some values of the smaller picture as OpenCV adds them: each row by itself, then the rows."""
    y, x, channel = np.unravel_index(places, smaller.shape)
    down, across = rows.weights[y], columns.weights[x]
    source_y, source_x = (
        np.minimum(first[:, None] + np.arange(weights.shape[1]), side - 1)  # where the weight is 0
        for first, weights, side in (
            (rows.first[y], down, image.shape[0]),
            (columns.first[x], across, image.shape[1]),
        )
    )
    values = image[source_y[:, :, None], source_x[:, None], channel[:, None, None]].astype(np.float32)
    sums = _added(values * across[:, None])
    smaller[y, x, channel] = np.rint(_added(sums * down))


def _added(terms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return sums along the last axis, from the first to the last; `np.sum` would add in pairs."""
    return np.add.accumulate(terms, axis=-1)[..., -1]
