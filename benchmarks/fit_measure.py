"""Fit the ridge regression with which `lite` measures, see `detic_crop.detectors.lite.measure`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from benchmarks.labelled_photos import LabelledPhoto
from detic_crop.detectors.lite.measure import Matrix, moments_of_close_up
from detic_crop.detectors.lite.network import LiteNetwork
from detic_crop.detectors.lite.views import Box, Pixels, as_tensor, close_up, jittered, window_around

WINDOWS = 8  # close-ups of each box, as the network might have found it, every second one mirrored


def moments_of_photo(network: LiteNetwork, photo: LabelledPhoto, index: int, seed: int = 0) -> Matrix:
    """Moments of close-ups around the largest animal."""
    assert photo.box is not None
    rng = np.random.default_rng([seed, index])
    width, height = photo.size
    pixels = photo.pixels()
    guesses = [jittered(np.array(photo.box), width, height, rng) for _ in range(WINDOWS)]
    each = [
        moments_of_window(network, pixels, photo.box, guess, i % 2 == 1) for i, guess in enumerate(guesses)
    ]
    return np.asarray(sum(each))


def moments_of_window(network: LiteNetwork, pixels: Pixels, box: Box, guess: Box, mirrored: bool) -> Matrix:
    """Moments of the close-up that a found box asks for."""
    window = window_around(guess, pixels.shape[1], pixels.shape[0])
    picture = close_up(pixels, window)
    with torch.inference_mode():
        shown = picture[:, ::-1] if mirrored else picture
        fine, coarse = network.published(network.below(as_tensor(shown[None])))
        return moments_of_close_up(fine[0], coarse[0], guess, window, box, mirrored)


def total(each: Iterable[Matrix | None]) -> Matrix:
    """Sum of the moments of photos; those without an animal have none."""
    return np.asarray(sum(matrix for matrix in each if matrix is not None), np.float64)
