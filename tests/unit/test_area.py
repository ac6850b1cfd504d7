"""Area averaging by rows: OpenCV's bits, and the exact mean to a grey level."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detic_crop.images import area
from detic_crop.images.area import Image, shrink, shrink_by_rows

PICTURES = ("noise", "two levels side by side", "black and white", "grey", "slope")


def picture_of(kind: str, height: int, width: int, seed: int = 5) -> Image:
    random = np.random.default_rng(seed)
    levels = {"two levels side by side": (127, 129), "black and white": (0, 2)}.get(kind, (0, 256))
    image = random.integers(*levels, (height, width, 3), dtype=np.uint8)
    if kind == "black and white":
        image *= 255
    elif kind == "grey":
        image[:] = image[..., :1]
    elif kind == "slope":
        image[:] = np.linspace(0, 255, width).astype(np.uint8)[:, None]
    return image


def opencv(image: Image, width: int, height: int) -> Image:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def exact_mean(image: Image, width: int, height: int) -> NDArray[np.float64]:
    """(height, width, 3) mean of each area, in double precision."""
    down, across = (shares(side, new) for side, new in zip(image.shape, (height, width), strict=False))
    mean: NDArray[np.float64] = np.einsum("yh,hwc,xw->yxc", down, image.astype(float), across, optimize=True)
    return mean


def shares(source: int, target: int) -> NDArray[np.float64]:
    """(target, source) share of each old pixel in each new one."""
    edges = np.arange(target + 1)[:, None] * source / target
    pixels = np.arange(source)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    share: NDArray[np.float64] = np.maximum(overlap, 0) * target / source
    return share


@settings(max_examples=200)
@given(
    st.integers(2, 150),
    st.integers(1, 150),
    st.floats(0.01, 1),
    st.floats(0.01, 1),
    st.sampled_from(PICTURES),
    st.integers(0, 99),
)
def test_it_gives_the_bits_of_opencv(
    source_h: int, source_w: int, down: float, across: float, kind: str, seed: int
) -> None:
    """Also of a part of a larger picture, whose rows do not follow each other in memory."""
    image = picture_of(kind, source_h + 3, source_w + 5, seed)[1:-2, 2:-3]
    width, height = max(1, round(source_w * across)), max(1, round(source_h * down))
    if source_h % height == source_w % width == 0:
        return  # OpenCV adds whole numbers then, and `shrink` leaves it to that
    smaller = shrink_by_rows(image, width, height)
    if smaller is not None:
        assert np.array_equal(smaller, opencv(image, width, height))
        # Half a level is rounding; OpenCV leaves out what is less than a thousandth of a pixel.
        assert np.abs(smaller - exact_mean(image, width, height)).max() <= 0.5 + 0.3


@pytest.mark.parametrize(
    ("source_wh", "target_wh"),
    [
        ((1200, 900), (512, 512)),
        ((900, 1200), (512, 512)),
        ((640, 480), (639, 479)),
        ((513, 2000), (512, 512)),  # nearly nothing across
        ((512, 1100), (512, 512)),  # nothing across
        ((1100, 512), (512, 512)),  # nothing down
        ((1536, 1537), (512, 512)),  # a whole ratio across
        ((2000, 300), (7, 299)),
        ((700, 1400), (200, 70)),
        ((3000, 1400), (1100, 1300)),  # shares below a thousandth of a pixel are left out
    ],
)
@pytest.mark.parametrize("kind", PICTURES)
def test_photos_get_the_bits_of_opencv(
    source_wh: tuple[int, int], target_wh: tuple[int, int], kind: str
) -> None:
    width, height = source_wh
    image = picture_of(kind, height, width)
    before = image.copy()
    smaller = shrink(image, *target_wh)
    assert smaller.flags.c_contiguous
    assert smaller.base is None
    assert np.array_equal(smaller, opencv(image, *target_wh))
    assert np.abs(smaller - exact_mean(image, *target_wh)).max() <= 0.5 + 0.3
    assert np.array_equal(image, before)


def test_means_between_two_grey_levels_are_added_again() -> None:
    """Without that, some values of a large noisy picture would be rounded to the other level."""
    image = picture_of("noise", 1500, 1700)
    expected = opencv(image, 1021, 977)
    ours = shrink_by_rows(image, 1021, 977)
    assert ours is not None
    assert np.array_equal(ours, expected)
    down, across = shares(1500, 977).astype(np.float32), shares(1700, 1021).astype(np.float32)
    careless = np.stack([down @ image[..., channel] @ across.T for channel in range(3)], axis=2)
    assert 0 < np.count_nonzero(np.rint(careless) != expected) < expected.size / 1000


def test_a_picture_of_means_between_two_grey_levels_is_left_to_opencv() -> None:
    """At 4 to 3, a mean is a sum of sixteenths: one in sixteen lies in the middle."""
    image = picture_of("noise", 1000, 1000)
    assert shrink_by_rows(image, 750, 750) is None
    assert np.array_equal(shrink(image, 750, 750), opencv(image, 750, 750))


@pytest.mark.parametrize(("rows", "band"), [(1, 1), (2, 1 << 14), (3, 1 << 16), (8, 1 << 20), (16, 1 << 24)])
def test_how_the_rows_are_grouped_changes_nothing(
    rows: int, band: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = picture_of("noise", 701, 400)
    expected = shrink_by_rows(image, 300, 333)
    assert expected is not None
    monkeypatch.setattr(area, "_ROWS", rows)
    monkeypatch.setattr(area, "_BAND", band)
    monkeypatch.setattr(area, "_PRODUCT", band)
    regrouped = shrink_by_rows(image, 300, 333)
    assert regrouped is not None
    assert np.array_equal(regrouped, expected)
