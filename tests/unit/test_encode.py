"""Encoding: what comes out is the format asked for, with three channels, and nothing but pixels."""

from __future__ import annotations

import io
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from detic_crop.config import FORMATS, Format
from detic_crop.images.encode import EXTENSIONS, encode

PILLOW_NAMES = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


def picture(height: int = 40, width: int = 56) -> NDArray[np.uint8]:
    """(height, width, 3) BGR gradients."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 4, y * 5, 255 - x * 2], -1).astype(np.uint8)


@pytest.mark.parametrize("format", FORMATS)
def test_comes_back(format: Format) -> None:
    photo = Image.open(io.BytesIO(encode(picture(), format, 95)))
    assert photo.format == PILLOW_NAMES[format]
    assert photo.mode == "RGB"
    image = np.asarray(photo)[..., ::-1].astype(int)
    assert np.abs(image - picture()).mean() < (0.01 if format == "png" else 3)


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_but_pixels(format: Format) -> None:
    photo = Image.open(io.BytesIO(encode(picture(), format, 90)))
    assert not photo.getexif()
    assert {"icc_profile", "xmp", "comment", "exif"}.isdisjoint(photo.info)


@pytest.mark.parametrize("format", FORMATS)
def test_same_pixels_same_bytes(format: Format) -> None:
    image = picture()
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 10:66] = image
    assert encode(image, format, 90) == encode(image.copy(), format, 90) == encode(wide[:, 10:66], format, 90)


@pytest.mark.parametrize("format", ["jpg", "webp"])
def test_quality_counts(format: Format) -> None:
    sizes = [len(encode(picture(), format, quality)) for quality in (1, 50, 100)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_png_ignores_quality() -> None:
    assert encode(picture(), "png", 1) == encode(picture(), "png", 100)


def test_webp_at_100_is_not_lossless() -> None:
    assert b"VP8 " in encode(picture(), "webp", 100)[:32]


def test_grey_pictures_keep_three_channels() -> None:
    grey = np.full((8, 8, 3), 77, np.uint8)
    for format in FORMATS:
        assert Image.open(io.BytesIO(encode(grey, format, 90))).mode == "RGB"


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
    ids=["grey", "alpha", "empty", "float"],
)
def test_wrong_pixels(image: Any) -> None:
    with pytest.raises(ValueError, match=r"expected \(H, W, 3\) uint8"):
        encode(image, "jpg", 90)


@pytest.mark.parametrize("quality", [0, 101, -1])
def test_wrong_quality(quality: int) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        encode(picture(), "jpg", quality)


def test_wrong_format() -> None:
    with pytest.raises(ValueError, match="jpg, png, webp"):
        encode(picture(), cast("Format", "gif"), 90)


@pytest.mark.parametrize(("format", "side"), [("jpg", 65501), ("webp", 16384)])
def test_too_large_for_the_format(format: Format, side: int) -> None:
    with pytest.raises(ValueError, match="px a side"):
        encode(np.zeros((1, side, 3), np.uint8), format, 90)


def test_extensions() -> None:
    assert EXTENSIONS == {"jpg": ".jpg", "png": ".png", "webp": ".webp"}
