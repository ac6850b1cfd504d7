"""Drawn pictures that `lite` answers to: a sea, and a dolphin's back in it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def sea(height: int, width: int, seed: int = 0) -> Image:
    """Blue water: noise of three wave lengths, lighter towards the horizon."""
    rng = np.random.default_rng(seed)
    waves = np.zeros((height, width))
    for length in (4, 12, 40):
        noise = rng.normal(size=(height // length + 2, 3 * width // length // 8 + 2))
        waves += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    light = 1 + 0.25 * np.linspace(1, 0, height)[:, None] + 0.06 * waves
    return (np.array([125, 95, 60]) * light[..., None]).clip(0, 255).astype(np.uint8)


def back_and_fin(
    height: int, width: int, centre: tuple[int, int], length: int
) -> tuple[Image, NDArray[np.float64]]:
    """A dolphin's back with its fin in the sea, and its true box."""
    image = sea(height, width)
    x, y = centre
    t = np.linspace(0, np.pi, 40)
    back = np.stack([x - np.cos(t) * length / 2, y - np.sin(t) * length * 0.16], 1)
    fin = (
        np.array([[-0.1, -0.14], [-0.02, -0.3], [0.09, -0.36], [0.06, -0.25], [0.1, -0.13]]) * length + centre
    )
    for outline in (back, fin):
        cv2.fillPoly(image, [outline.round().astype(np.int32)], (52, 46, 42))
    points = np.concatenate([back, fin])
    return cv2.GaussianBlur(image, (3, 3), 0).astype(np.uint8), np.concatenate([points.min(0), points.max(0)])
