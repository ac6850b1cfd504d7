"""`--max-bytes`: which quality and how many pixels a crop keeps, by hand, on real encoders and in whole runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detic_crop import api
from detic_crop.boxes.crop_size import crop_size
from detic_crop.config import Fit, Format, Size
from detic_crop.errors import PhotoError
from detic_crop.images.crop import cut_and_resize
from detic_crop.images.encode import encode
from detic_crop.images.most_bytes import LOWEST_QUALITY, CropFile, file_within
from tests.kit.detectors import FakeDetector
from tests.kit.folders import crop, product, records_of, rows_of
from tests.kit.helpers import FITS
from tests.kit.photos import write_photo, write_photos

WIDTH, HEIGHT = 600, 400

Image = NDArray[np.uint8]


def noise() -> Image:
    """(HEIGHT, WIDTH, 3) uint8 that no encoder makes small."""
    return np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def fitted(
    most: int,
    size: Size = "native",
    format: Format = "jpg",
    quality: int = 95,
    fit: Fit = "stretch",
    bytes_of: Callable[[Image, int], bytes] | None = None,
) -> tuple[CropFile, list[tuple[int, int, int]]]:
    """The file of all of `noise`, and what was tried: width, height, quality."""
    photo, tried = noise(), []

    def encoded(crop: Image, quality: int) -> bytes:
        tried.append((crop.shape[1], crop.shape[0], quality))
        return encode(crop, format, quality) if bytes_of is None else bytes_of(crop, quality)

    file = file_within(
        most,
        crop_size(size, fit),
        (WIDTH, HEIGHT),
        format,
        quality,
        lambda size: cut_and_resize(photo, (0, 0, WIDTH, HEIGHT), size),
        encoded,
    )
    return file, tried


def bytes_as_quality(crop: Image, quality: int) -> bytes:
    """A format whose files have a byte for each pixel and each part in 100 of quality."""
    return bytes(crop.shape[0] * crop.shape[1] * quality // 100)


@pytest.mark.parametrize(
    ("quality", "most", "taken"),
    [
        (95, 228_000, 95),
        (95, 227_999, 90),
        (95, 216_000, 90),
        (95, 215_999, 85),
        (95, 120_000, 50),
        (97, 232_799, 95),  # then as multiples of 5
        (52, 124_799, 50),
        (40, 96_000, 40),  # one that is lower already stays
    ],
)
def test_the_highest_quality_that_fits_is_taken(quality: int, most: int, taken: int) -> None:
    file, _ = fitted(most, quality=quality, bytes_of=bytes_as_quality)
    assert (file.quality, file.is_shrunk, file.crop.shape) == (taken, False, (HEIGHT, WIDTH, 3))
    assert len(file.data) == WIDTH * HEIGHT * taken // 100


def test_what_fits_is_encoded_once_and_the_rest_a_few_times() -> None:
    assert fitted(10**9, bytes_of=bytes_as_quality)[1] == [(WIDTH, HEIGHT, 95)]
    for most in range(119_000, 229_000, 3_000):
        assert len(fitted(most, bytes_of=bytes_as_quality)[1]) <= 6


@pytest.mark.parametrize(("quality", "lowest"), [(95, 50), (50, 50), (30, 30)])
def test_below_the_lowest_quality_the_picture_shrinks(quality: int, lowest: int) -> None:
    file, tried = fitted(40_000, quality=quality, bytes_of=bytes_as_quality)
    assert (file.quality, file.is_shrunk) == (lowest, True)
    assert 36_000 < len(file.data) <= 40_000
    height, width = file.crop.shape[:2]
    assert abs(width / height - WIDTH / HEIGHT) < 0.01
    assert tried[-1] == (width, height, lowest)
    exact = cv2.resize(noise(), (width, height), interpolation=cv2.INTER_AREA)
    assert np.array_equal(file.crop, exact)  # out of the photo, not of the larger crop


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", ["native", "long:500"])
@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_files_of_long_and_native_always_fit(format: Format, size: Size, fit: Fit) -> None:
    for most in (10_000, 60_000, 200_000):
        file, _ = fitted(most, size, format, fit=fit)
        assert len(file.data) <= most
        assert LOWEST_QUALITY <= file.quality <= 95
        again, _ = fitted(most, size, format, fit=fit)
        assert again.data == file.data
        assert file.data == encode(file.crop, format, file.quality)


@pytest.mark.parametrize("size", [512, "384x768"])
@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_a_fixed_size_stays_or_fails(format: Format, size: Size) -> None:
    with pytest.raises(PhotoError, match="at most 10,000 bytes, got .* --size long:1600$") as caught:
        fitted(10_000, size, format)
    assert caught.value.reason == "too_many_bytes"
    assert ("quality 50" in str(caught.value)) == (format != "png")
    file, _ = fitted(2_000_000, size, format)
    assert not file.is_shrunk


def test_what_cannot_be_made_small_enough_fails() -> None:
    """As a crop with EXIF may be: its file never gets smaller than that."""
    with pytest.raises(PhotoError, match="got 20,000 as 1×1 px") as caught:
        fitted(10_000, bytes_of=lambda crop, quality: bytes(20_000))
    assert caught.value.reason == "too_many_bytes"


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0.01, 0.99), st.sampled_from(FITS))
def test_a_smaller_size_is_smaller(width: int, height: int, ratio: float, fit: Fit) -> None:
    for size in (crop_size("native", fit), crop_size("long:700", fit)):
        before = size.canvas((width, height))
        smaller = size.smaller((width, height), ratio)
        assert (smaller is None) == (max(before) == 1)
        if smaller is not None:
            after = smaller.canvas((width, height))
            assert max(after) == max(1, min(max(before) - 1, int(max(before) * ratio)))
            assert min(after) <= min(before)
    assert crop_size(512, fit).smaller((width, height), ratio) is None
