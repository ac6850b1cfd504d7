"""How photos are shown to ONNX models, and boxes back in the photo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop.config import CropConfig, onnx_input_size, parse_onnx_input
from detic_crop.detectors.onnx_file.presentation import Fitting, Presentation
from detic_crop.errors import UsageError
from tests.kit.errors import refused

sides = st.integers(1, 9000)
shown = st.integers(32, 1600)
fittings = st.sampled_from(["letterbox", "corner", "stretch"])


@given(sides, sides, shown, shown, fittings, st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_boxes_come_back_to_where_they_were(
    width: int, height: int, shown_width: int, shown_height: int, fitting: Fitting, shares: list[float]
) -> None:
    x1, x2 = sorted(share * width for share in shares[:2])
    y1, y2 = sorted(share * height for share in shares[2:])
    box = np.array([[x1, y1, x2, y2]])
    placement = Presentation(shown_width, shown_height, fitting).place((height, width))
    there = placement.to_picture(box)
    assert (there >= -1e-6).all()
    assert (there <= np.array([shown_width, shown_height] * 2) + 1e-6).all()
    back = placement.to_photo(there.astype(np.float32))
    # A float32 of the picture's pixels is exact to 2^-14 of one.
    tolerance = 0.01 + max(width, height) / min(placement.width, placement.height) * 2**-13
    assert np.abs(back - box).max() < tolerance


@given(sides, sides, shown, shown, fittings)
def test_a_photo_fits_its_picture(
    width: int, height: int, shown_width: int, shown_height: int, fitting: Fitting
) -> None:
    placement = Presentation(shown_width, shown_height, fitting).place((height, width))
    assert 1 <= placement.width <= shown_width - placement.left
    assert 1 <= placement.height <= shown_height - placement.top
    if fitting == "letterbox":  # in the middle, to a pixel
        assert 0 <= shown_width - placement.width - 2 * placement.left <= 1
        assert 0 <= shown_height - placement.height - 2 * placement.top <= 1
    if fitting != "stretch":  # its proportions stay, to half a pixel
        assert shown_width == placement.width or shown_height == placement.height
        ratio = min(shown_width / width, shown_height / height)
        assert abs(placement.width - max(width * ratio, 1)) <= 0.5 + 1e-6
        assert abs(placement.height - max(height * ratio, 1)) <= 0.5 + 1e-6


def test_what_the_bars_and_the_photo_look_like() -> None:
    photo = np.full((10, 40, 3), (10, 20, 30), np.uint8)  # BGR
    shown = Presentation(64, 64)
    placement = shown.place((10, 40))
    assert (placement.left, placement.top, placement.width, placement.height) == (0, 24, 64, 16)
    picture = shown.draw(photo, placement)
    assert picture.shape == (64, 64, 3)
    assert (picture[:24] == 114).all()
    assert (picture[40:] == 114).all()
    assert (picture[24:40] == (30, 20, 10)).all()
    corner = Presentation(64, 64, "corner", "bgr")
    picture = corner.draw(photo, corner.place((10, 40)))
    assert (picture[:16] == (10, 20, 30)).all()
    assert (picture[16:] == 114).all()
    stretched = Presentation(64, 64, "stretch")
    assert (stretched.draw(photo, stretched.place((10, 40))) == (30, 20, 10)).all()


def test_the_numbers_of_a_pixel() -> None:
    picture = np.full((1, 2, 2, 3), (255, 0, 51), np.uint8)
    assert np.allclose(Presentation(2, 2).numbers(picture)[0, 0, 0], [1, 0, 0.2])
    assert np.allclose(Presentation(2, 2, values="0-255").numbers(picture)[0, 0, 0], [255, 0, 51])
    of_imagenet = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    assert np.allclose(Presentation(2, 2, values="imagenet").numbers(picture)[0, 0, 0], of_imagenet)
    turned = Presentation(2, 2, colour="bgr", values="imagenet").numbers(picture[..., ::-1])
    assert np.allclose(turned[0, 0, 0], of_imagenet[::-1])


@pytest.mark.parametrize("photo_hw", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
@pytest.mark.parametrize("fitting", ["letterbox", "corner", "stretch"])
def test_photos_of_a_pixel(photo_hw: tuple[int, int], fitting: Fitting) -> None:
    shown = Presentation(96, 64, fitting)
    placement = shown.place(photo_hw)
    picture = shown.draw(np.full((*photo_hw, 3), 200, np.uint8), placement)
    assert picture.shape == (64, 96, 3)
    assert (picture == 200).any()
    whole = np.array([[placement.left, placement.top, placement.left + placement.width, 1e6]], np.float32)
    assert placement.to_photo(whole)[0].tolist() == [0, 0, photo_hw[1], photo_hw[0]]


def test_a_picture_of_a_reduced_photo_has_its_place() -> None:
    """`--decode scaled`: the pixels are fewer, the boxes are the photo's."""
    shown = Presentation(64, 64)
    placement = shown.place((1000, 2000))
    picture = shown.draw(np.full((125, 250, 3), 9, np.uint8), placement)
    assert (picture[16:48] == 9).all()
    assert placement.to_photo(np.array([[0, 16, 64, 48]], np.float32))[0].tolist() == [0, 0, 2000, 1000]


@pytest.mark.parametrize(
    ("given_words", "kept"),
    [
        ("640", "640x640"),
        ("640x480,letterbox,rgb,0-1", "640x480,letterbox,rgb,0-1"),
        (" IMAGENET , Stretch,512×384 ", "512x384,stretch,imagenet"),
        ("bgr", "bgr"),
        ("0-255,corner", "corner,0-255"),
    ],
)
def test_what_onnx_input_takes(given_words: str, kept: str) -> None:
    assert parse_onnx_input(given_words) == kept
    assert CropConfig(onnx_input=given_words).onnx_input == kept
    assert CropConfig(onnx_input=given_words) == CropConfig(onnx_input=kept)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "640x",
        "rgb,bgr",
        "640,640",
        "16",
        "9000",
        "grey",
        "640x480x3",
        "letterbox;rgb",
        "rgb,,",
        "bgr,255",
    ],
)
def test_what_onnx_input_does_not_take(words: str) -> None:
    with refused("bad_value", UsageError, names=["--onnx-input", "letterbox", "imagenet"]):
        CropConfig(onnx_input=words)


def test_a_size_in_it() -> None:
    assert onnx_input_size("640x480,rgb") == (640, 480)
    assert onnx_input_size("rgb,0-1") is None
    assert onnx_input_size(None) is None


def test_parts_of_it_leave_the_rest() -> None:
    shown = Presentation(640, 640).changed_by("bgr,0-255")
    assert str(shown) == "640x640,letterbox,bgr,0-255"
    assert shown.changed_by(None) == shown
