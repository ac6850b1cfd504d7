"""Repeating noise, curves and small vector helpers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Numbers = NDArray[np.float32] | NDArray[np.float64]
Vector = tuple[float, float, float]
Curve = tuple[tuple[float, float], ...]

TILE = 512  # side of the repeating noise textures


def smoothstep(low: float, high: float, values: Numbers) -> Floats:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


@cache
def noise_tile(seed: int, slope: float, octaves_from: float = 1.0) -> Floats:
    """Repeating noise (TILE, TILE) of mean 0 and deviation 1 whose amplitude falls as frequency^-slope."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(TILE), np.fft.rfftfreq(TILE), indexing="ij")) * TILE
    amplitude = np.where(frequency >= octaves_from, np.maximum(frequency, 1) ** -slope, 0)
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE))) * amplitude
    tile = np.fft.irfft2(spectrum, (TILE, TILE))
    return np.asarray(tile / tile.std(), np.float32)


@cache
def lace_tile(seed: int) -> Floats:
    """Repeating net of foam (TILE, TILE), 0 … 1: bright along the lines where two noises vanish."""
    coarse = np.exp(-((noise_tile(seed, 1.6, 6) / 0.42) ** 2))
    fine = np.exp(-((noise_tile(seed + 1, 1.3, 14) / 0.5) ** 2))
    clumps = smoothstep(-1, 1.4, noise_tile(seed + 2, 1.5, 3))
    return np.asarray(np.clip(0.55 * coarse + 0.35 * fine + 0.35 * clumps - 0.1, 0, 1), np.float32)


def sample(tile: Floats, u: Numbers, v: Numbers) -> Floats:
    """`tile` at (u, v), in repeats of the tile, bilinear; any shape of two dimensions."""
    wrapped = cv2.copyMakeBorder(tile, 0, 1, 0, 1, cv2.BORDER_WRAP)
    columns = np.asarray((u % 1) * TILE, np.float32)
    rows = np.asarray((v % 1) * TILE, np.float32)
    return np.asarray(cv2.remap(wrapped, columns, rows, cv2.INTER_LINEAR), np.float32)


def sample_points(tile: Floats, u: Numbers, v: Numbers) -> Floats:
    """`sample` for one-dimensional (n,) coordinates, which OpenCV takes in rows of at most 32,767."""
    columns = 1024
    padded = -len(u) % columns
    grid = [np.pad(values, (0, padded)).reshape(-1, columns).astype(np.float64) for values in (u, v)]
    return sample(tile, grid[0], grid[1]).ravel()[: len(u)]


def bezier(points: Sequence[Vector], t: Floats) -> Floats:
    """Bézier curve of any degree at `t` (n,): (n, 3)."""
    degree = len(points) - 1
    weights = [math.comb(degree, i) * t**i * (1 - t) ** (degree - i) for i in range(degree + 1)]
    return np.asarray(np.stack(weights, -1) @ np.array(points), np.float32)


def along(curve: Curve, s: Floats, smooth: float = 0.012) -> Floats:
    """`curve` (position, value) at `s`, its corners rounded over `smooth`."""
    knots, values = zip(*curve, strict=True)
    grid = np.linspace(-0.2, 1.4, 1601)
    line = np.interp(grid, knots, values)
    line = cv2.GaussianBlur(line[None], (0, 0), smooth * 1000)[0]
    return np.asarray(np.interp(s, grid, line), np.float32)


def unit(vector: Vector) -> Floats:
    """`vector` at length 1."""
    array = np.array(vector, np.float32)
    return np.asarray(array / np.linalg.norm(array), np.float32)


def normalised(vectors: Floats) -> Floats:
    """(..., 3) vectors at length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9), np.float32)


def around_trunk(patch: Floats) -> Floats:
    """A second coordinate of the skin beside s: the way round the trunk, in body lengths or so."""
    h, w = patch[..., 1], patch[..., 2]
    return np.asarray(0.2 * np.arctan2(w, h + 1e-6) + 0.7 * h + 0.8 * np.abs(w), np.float32)
