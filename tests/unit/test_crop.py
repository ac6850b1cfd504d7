"""Cutting and resizing: pixels by hand, against textbook area and cubic filters, and constant images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detic_crop.boxes.crop_size import crop_size
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.geometry import crop_rectangle, whole
from detic_crop.config import Fit
from detic_crop.images.crop import Image, cut_and_resize
from detic_crop.images.crop import resize_exactly as resize
from tests.kit.helpers import FITS

small = st.integers(1, 40)


def noise(height: int, width: int, seed: int = 3) -> Image:
    """(height, width, 3) uint8 without any structure a filter could hide behind."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def gray(rows: list[list[int]]) -> Image:
    """(H, W, 3) uint8 with three equal channels."""
    return np.repeat(np.array(rows, np.uint8)[:, :, None], 3, axis=2)


# --- independent filters, one axis at a time, as matrices


def area_matrix(source: int, target: int) -> NDArray[np.float64]:
    """(target, source) share of each source pixel in each target pixel of an exact area average."""
    starts = np.arange(target)[:, None] * source / target
    stops = np.arange(1, target + 1)[:, None] * source / target
    pixels = np.arange(source)[None]
    overlap = np.minimum(stops, pixels + 1) - np.maximum(starts, pixels)
    result: NDArray[np.float64] = np.maximum(overlap, 0) * target / source
    return result


def cubic_matrix(source: int, target: int) -> NDArray[np.float64]:
    """(target, source) weights of Keys' cubic convolution (1981) with a = −0.75, edges repeated."""
    a = -0.75
    result = np.zeros((target, source))
    for i in range(target):
        position = (i + 0.5) * source / target - 0.5
        first = int(np.floor(position)) - 1
        for tap in range(first, first + 4):
            t = abs(position - tap)
            if t <= 1:
                weight = (a + 2) * t**3 - (a + 3) * t**2 + 1
            else:
                weight = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
            result[i, min(max(tap, 0), source - 1)] += weight
    return result


def apply(image: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Image:
    filtered = np.einsum("yh,hwc,xw->yxc", rows, image, columns)
    result: Image = np.clip(np.rint(filtered), 0, 255).astype(np.uint8)
    return result


def slow_resize(image: Image, width: int, height: int) -> Image:
    source_h, source_w = image.shape[:2]
    shrunk_h, shrunk_w = min(height, source_h), min(width, source_w)
    smaller = apply(image.astype(float), area_matrix(source_h, shrunk_h), area_matrix(source_w, shrunk_w))
    return apply(smaller.astype(float), cubic_matrix(shrunk_h, height), cubic_matrix(shrunk_w, width))


def difference(one: Image, other: Image) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max(initial=0))


# --- resize


def test_shrinking_by_two_is_the_mean_of_four() -> None:
    image = gray([[0, 4, 100, 104], [8, 12, 108, 112], [1, 1, 250, 254], [3, 3, 250, 254]])
    assert resize(image, 2, 2)[:, :, 1].tolist() == [[6, 106], [2, 252]]


def test_shrinking_by_three_across_and_two_down() -> None:
    image = gray([[1, 2, 3, 9, 9, 9], [4, 5, 15, 9, 9, 9]])
    assert resize(image, 2, 1)[:, :, 0].tolist() == [[5, 9]]


def test_shrinking_by_a_fraction_shares_the_pixel_between() -> None:
    # Three pixels to two: the middle one is halved. (90 + 60 / 2) / 1.5 = 80, (60 / 2 + 30) / 1.5 = 40.
    assert resize(gray([[90, 60, 30]]), 2, 1)[0, :, 0].tolist() == [80, 40]


@pytest.mark.parametrize(("down", "across"), [(1, 2), (2, 1), (2, 2), (3, 2), (4, 4), (5, 3), (7, 1)])
def test_whole_ratios_give_the_block_mean(down: int, across: int) -> None:
    image = noise(6 * down, 8 * across)
    means = image.reshape(6, down, 8, across, 3).mean(axis=(1, 3))
    # Half a grey level is rounding; which way a tie goes is the library's business.
    assert np.abs(resize(image, 8, 6) - means).max() <= 0.5 + 1e-6


@given(small, small, small, small, st.integers(0, 99))
def test_resizing_equals_textbook_filters(
    source_h: int, source_w: int, height: int, width: int, seed: int
) -> None:
    """Also where one side shrinks and the other grows. OpenCV's cubic weights have 11 bits: 2 levels."""
    image = noise(source_h, source_w, seed)
    tolerance = 2 if (height > source_h or width > source_w) else 1
    assert difference(resize(image, width, height), slow_resize(image, width, height)) <= tolerance


def test_the_side_that_shrinks_is_averaged_and_the_other_is_not() -> None:
    """Stripes finer than the target become their mean; the step across them stays sharp."""
    stripes = np.zeros((4, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert set(resize(stripes, 16, 16).ravel().tolist()) == {100}
    step = np.zeros((64, 4, 3), np.uint8)
    step[:, 2:] = 255
    enlarged = resize(step, 64, 16)
    assert set(enlarged[:, :8].ravel().tolist()) == {0}
    assert set(enlarged[:, -8:].ravel().tolist()) == {255}
    assert (enlarged == enlarged[:1]).all()


def test_the_same_size_is_the_same_image() -> None:
    image = noise(7, 9)
    assert np.array_equal(resize(image, 9, 7), image)


@given(small, small, small, small, st.tuples(*[st.integers(0, 255)] * 3))
def test_a_constant_image_stays_constant(
    source_h: int, source_w: int, height: int, width: int, colour: tuple[int, int, int]
) -> None:
    image = np.full((source_h, source_w, 3), colour, np.uint8)
    resized = resize(image, width, height)
    assert resized.shape == (height, width, 3)
    assert resized.dtype == np.uint8
    assert np.unique(resized.reshape(-1, 3), axis=0).tolist() == [list(colour)]


@given(small, small, small, small)
def test_the_channels_do_not_mix(source_h: int, source_w: int, height: int, width: int) -> None:
    image = noise(source_h, source_w)
    turned = resize(np.ascontiguousarray(image[:, :, ::-1]), width, height)
    assert np.array_equal(turned[:, :, ::-1], resize(image, width, height))


# --- cut_and_resize


def test_only_the_rectangle_is_seen() -> None:
    photo = np.zeros((20, 30, 3), np.uint8)
    photo[5:15, 10:20] = (1, 2, 3)
    for size in (1, 3, 10, 40):
        for fit in FITS:
            crop = cut_and_resize(photo, (10, 5, 20, 15), crop_size(size, fit))
            assert crop.shape == (size, size, 3)
            assert np.unique(crop.reshape(-1, 3), axis=0).tolist() == [[1, 2, 3]]


def test_a_crop_of_the_right_size_is_the_pixels_themselves() -> None:
    photo = noise(40, 50)
    for fit in FITS:
        assert np.array_equal(cut_and_resize(photo, (7, 9, 23, 25), crop_size(16, fit)), photo[9:25, 7:23])


@pytest.mark.parametrize("rectangle", [(0, 0, 40, 40), (7, 9, 23, 25), (0, 0, 16, 16), (3, 3, 9, 39)])
@pytest.mark.parametrize("fit", FITS)
def test_a_crop_is_its_own_memory(rectangle: tuple[int, int, int, int], fit: Fit) -> None:
    """A view would keep the whole photo alive for as long as its crop waits."""
    photo = noise(40, 40)
    before = photo.copy()
    for size in (1, 16, 40):
        crop = cut_and_resize(photo, rectangle, crop_size(size, fit))
        assert crop.base is None
        assert not np.shares_memory(crop, photo)
        assert crop.flags.c_contiguous
        crop[:] = 0
        assert np.array_equal(photo, before)


@pytest.mark.parametrize(
    ("region_wh", "size", "inner"),  # inner: left, top, right, bottom
    [
        ((100, 50), 20, (0, 5, 20, 15)),
        ((50, 100), 20, (5, 0, 15, 20)),
        ((60, 20), 9, (0, 3, 9, 6)),
        ((40, 30), 10, (0, 1, 10, 9)),  # 7.5 rows: the even number, as Python rounds
        ((300, 1), 32, (0, 15, 32, 16)),  # never less than one row
        ((1, 300), 32, (15, 0, 16, 32)),
        ((300, 2), 1, (0, 0, 1, 1)),
        ((5, 5), 20, (0, 0, 20, 20)),
        ((4, 2), 8, (0, 2, 8, 6)),  # enlarged
    ],
)
def test_padding_by_hand(region_wh: tuple[int, int], size: int, inner: tuple[int, int, int, int]) -> None:
    width, height = region_wh
    photo = np.full((height, width, 3), 255, np.uint8)
    expected = np.zeros((size, size, 3), np.uint8)
    expected[inner[1] : inner[3], inner[0] : inner[2]] = 255
    assert np.array_equal(cut_and_resize(photo, whole(region_wh), crop_size(size, "pad")), expected)


@given(small, small, st.integers(1, 64))
def test_padding_keeps_the_proportions_on_black(width: int, height: int, size: int) -> None:
    crop = cut_and_resize(
        np.full((height, width, 3), 9, np.uint8), (0, 0, width, height), crop_size(size, "pad")
    )
    rows = np.flatnonzero(crop.any(axis=(1, 2)))
    columns = np.flatnonzero(crop.any(axis=(0, 2)))
    inner_h, inner_w = len(rows), len(columns)
    assert (crop[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == 9).all()
    assert max(inner_h, inner_w) == size
    for inner, side, first in ((inner_w, width, columns[0]), (inner_h, height, rows[0])):
        exact = side * size / max(width, height)
        assert abs(inner - exact) <= 0.5 or (inner == 1 and exact < 1)
        assert first == (size - inner) // 2  # in the middle


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 24), st.data())
def test_stretching_equals_textbook_filters(width: int, height: int, size: int, data: st.DataObject) -> None:
    photo = noise(height, width)
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x2, y2 = data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height))
    crop = cut_and_resize(photo, (x1, y1, x2, y2), crop_size(size, "stretch"))
    assert difference(crop, slow_resize(photo[y1:y2, x1:x2], size, size)) <= 2


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [1, 2, 512])
def test_a_photo_of_one_pixel(size: int, fit: Fit) -> None:
    photo = np.array([[[10, 20, 30]]], np.uint8)
    crop = cut_and_resize(photo, (0, 0, 1, 1), crop_size(size, fit))
    assert crop.shape == (size, size, 3)
    assert (crop == photo).all()


def test_one_pixel_of_a_photo_is_its_mean() -> None:
    photo = noise(30, 20)
    crop = cut_and_resize(photo, (0, 0, 20, 30), crop_size(1, "stretch"))
    assert np.abs(crop[0, 0] - photo.mean(axis=(0, 1))).max() <= 0.5 + 1e-4


# --- one photo in memory, exactly as a run would


@pytest.mark.parametrize("left", [0.1, 1000.1, 1000.55, 2000.07])
def test_a_crop_in_memory_takes_the_pixels_a_run_takes(left: float) -> None:
    """A run cuts around the recorded box, which has two decimals; the float32 box may gain a pixel."""
    import detic_crop

    box = (left, 0.0, left + 1001, 4.0)
    photo = np.zeros((4, 4000, 3), np.uint8)
    found = Detections(np.array([box], np.float32), np.ones(1, np.float32), ("Whale",))
    recorded = [round(edge, 2) for edge in box]
    result = detic_crop.crop_photo(photo, found, size=4)
    assert result.crop_box == crop_rectangle(recorded, 1.2, crop_size(4, "stretch"), (4000, 4))
