"""Boxes to pixels: numbers worked by hand, invariances, and exact rational arithmetic as second opinion."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop.boxes.crop_size import crop_size
from detic_crop.boxes.geometry import (
    Box,
    PixelBox,
    clip,
    crop_rectangle,
    enlarge,
    grow_to_aspect,
    round_out,
    whole,
)
from detic_crop.config import Fit
from tests.kit.helpers import FITS

# Edges are kept to a hundredth of a pixel; `round_out` forgives a millionth of one.
NOISE = 1e-6

sides = st.integers(1, 6000)
resolutions = st.tuples(sides, sides)
edges = st.floats(-8000, 14000, allow_nan=False, width=32)
hundredths = st.integers(-20_000, 650_000)
scale_texts = st.sampled_from(["0.1", "0.5", "0.9", "1", "1.1", "1.2", "1.25", "1.4", "2", "3.3", "10"])


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """Any upright float box, also far outside a photo, also empty."""
    left, right = sorted((draw(edges), draw(edges)))
    top, bottom = sorted((draw(edges), draw(edges)))
    return left, top, right, bottom


@st.composite
def rectangles(draw: st.DrawFn) -> tuple[PixelBox, tuple[int, int]]:
    """A whole-pixel rectangle inside a photo, and the photo's resolution."""
    width, height = draw(st.tuples(st.integers(1, 300), st.integers(1, 300)))
    x1, y1 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return (x1, y1, draw(st.integers(x1 + 1, width)), draw(st.integers(y1 + 1, height))), (width, height)


def inside(inner: Box | PixelBox, outer: Box | PixelBox, slack: float = 0.0) -> bool:
    return (
        outer[0] <= inner[0] + slack
        and outer[1] <= inner[1] + slack
        and inner[2] <= outer[2] + slack
        and inner[3] <= outer[3] + slack
    )


# --- enlarge


def test_enlarging_multiplies_both_sides_about_the_centre() -> None:
    assert enlarge((100, 40, 200, 80), 1.5) == (75, 30, 225, 90)
    assert enlarge((100, 40, 200, 80), 0.5) == (125, 50, 175, 70)
    assert enlarge((-10, -10, 10, 10), 2) == (-20, -20, 20, 20)


def test_an_empty_box_stays_a_point() -> None:
    assert enlarge((7, 9, 7, 9), 3) == (7, 9, 7, 9)


@given(boxes())
def test_scale_one_changes_nothing(box: Box) -> None:
    assert enlarge(box, 1) == box


@given(boxes(), st.floats(1, 10))
def test_an_enlarged_box_contains_the_original_before_clipping(box: Box, scale: float) -> None:
    assert inside(box, enlarge(box, scale))


@given(boxes(), st.floats(0.1, 1))
def test_a_shrunken_box_lies_in_the_original(box: Box, scale: float) -> None:
    # Adding a hair to a large number may round by half a unit of its last place.
    assert inside(enlarge(box, scale), box, slack=1e-9)


@given(boxes(), st.floats(0.1, 10))
def test_the_centre_stays_and_the_sides_are_multiplied(box: Box, scale: float) -> None:
    big = enlarge(box, scale)
    for low, high in ((0, 2), (1, 3)):
        assert big[low] + big[high] == pytest.approx(box[low] + box[high], abs=1e-8)
        assert big[high] - big[low] == pytest.approx((box[high] - box[low]) * scale, abs=1e-8)


@given(boxes(), st.integers(-5000, 5000), st.floats(0.1, 10))
def test_enlarging_does_not_care_where_the_photo_begins(box: Box, shift: int, scale: float) -> None:
    moved = enlarge([edge + shift for edge in box], scale)
    assert moved == pytest.approx([edge + shift for edge in enlarge(box, scale)], abs=1e-8)


@pytest.mark.parametrize("scale", [0, -1.2, math.nan, math.inf])
def test_a_scale_that_is_no_positive_number_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be a positive number"):
        enlarge((0, 0, 1, 1), scale)


# --- clip


def test_clipping_by_hand() -> None:
    assert clip((-5, 3, 120, 90), (100, 80)) == (0, 3, 100, 80)
    assert clip((-9, -9, -1, -1), (100, 80)) == (0, 0, 0, 0)
    assert clip((300, 300, 400, 400), (100, 80)) == (100, 80, 100, 80)


@given(boxes(), resolutions)
def test_clipping_twice_is_clipping_once(box: Box, resolution_wh: tuple[int, int]) -> None:
    once = clip(box, resolution_wh)
    assert clip(once, resolution_wh) == once
    assert inside(once, whole(resolution_wh))
    assert once[0] <= once[2]
    assert once[1] <= once[3]


@given(boxes(), resolutions, st.integers(0, 5999), st.integers(0, 5999))
def test_clipping_keeps_exactly_the_points_of_the_photo(
    box: Box, resolution_wh: tuple[int, int], x: int, y: int
) -> None:
    point = (x % resolution_wh[0], y % resolution_wh[1])
    kept = clip(box, resolution_wh)
    covered = box[0] <= point[0] < box[2] and box[1] <= point[1] < box[3]
    assert covered == (kept[0] <= point[0] < kept[2] and kept[1] <= point[1] < kept[3])


# --- round_out


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        ((1.2, 2.0, 3.1, 4.0), (1, 2, 4, 4)),
        ((1.999, 0.0, 2.001, 0.5), (1, 0, 3, 1)),
        ((5.0, 5.0, 5.0, 5.0), (5, 5, 6, 6)),  # a point becomes one pixel
        ((10.0, 8.0, 10.0, 8.0), (9, 7, 10, 8)),  # also in the far corner
        ((0.0, 0.0, 0.0, 0.0), (0, 0, 1, 1)),
        ((2.9999999, 3.0000001, 6.0000001, 6.9999999), (3, 3, 6, 7)),  # noise is no pixel
    ],
)
def test_rounding_outwards_by_hand(box: Box, pixels: PixelBox) -> None:
    assert round_out(box, (10, 8)) == pixels


@given(boxes(), resolutions)
def test_the_pixels_contain_the_clipped_box_and_no_more_than_they_must(
    box: Box, resolution_wh: tuple[int, int]
) -> None:
    clipped = clip(box, resolution_wh)
    pixels = round_out(clipped, resolution_wh)
    x1, y1, x2, y2 = pixels
    assert all(isinstance(edge, int) for edge in pixels)
    assert inside(clipped, pixels, slack=NOISE)
    assert inside(pixels, whole(resolution_wh))
    assert x1 < x2
    assert y1 < y2
    for low, high, first, last in ((x1, x2, clipped[0], clipped[2]), (y1, y2, clipped[1], clipped[3])):
        if high - low > 1:  # one pixel less on either side would cut into the box
            assert low + 1 > first
            assert high - 1 < last


@given(rectangles())
def test_rounding_whole_pixels_changes_nothing(case: tuple[PixelBox, tuple[int, int]]) -> None:
    rectangle, resolution_wh = case
    assert round_out(rectangle, resolution_wh) == rectangle


# --- grow_to_aspect


@pytest.mark.parametrize(
    ("box", "resolution_wh", "square"),
    [
        ((10, 40, 50, 60), (100, 100), (10, 30, 50, 70)),
        ((10, 40, 50, 61), (100, 100), (10, 31, 50, 71)),  # an odd remainder goes to the bottom
        ((10, 0, 50, 10), (100, 100), (10, 0, 50, 40)),  # shifted down from the edge
        ((10, 90, 50, 100), (100, 100), (10, 60, 50, 100)),  # and up
        ((90, 0, 100, 60), (100, 100), (40, 0, 100, 60)),
        ((0, 5, 90, 15), (100, 30), (0, 0, 90, 30)),  # the photo is not high enough
        ((3, 3, 9, 9), (10, 10), (3, 3, 9, 9)),
        ((0, 0, 1, 1), (1, 1), (0, 0, 1, 1)),
    ],
)
def test_growing_to_a_square_by_hand(box: PixelBox, resolution_wh: tuple[int, int], square: PixelBox) -> None:
    assert grow_to_aspect(box, (1, 1), resolution_wh) == square


@given(rectangles())
def test_a_square_is_square_where_the_photo_allows_it(case: tuple[PixelBox, tuple[int, int]]) -> None:
    rectangle, (width, height) = case
    square = grow_to_aspect(rectangle, (1, 1), (width, height))
    x1, y1, x2, y2 = square
    long_side = max(rectangle[2] - rectangle[0], rectangle[3] - rectangle[1])
    assert (x2 - x1, y2 - y1) == (min(long_side, width), min(long_side, height))
    assert inside(rectangle, square)
    assert inside(square, (0, 0, width, height))
    assert grow_to_aspect(square, (1, 1), (width, height)) == square


@given(rectangles())
def test_a_square_stays_as_near_to_its_centre_as_the_photo_allows(
    case: tuple[PixelBox, tuple[int, int]],
) -> None:
    rectangle, resolution_wh = case
    square = grow_to_aspect(rectangle, (1, 1), resolution_wh)
    for axis in (0, 1):
        low, high, length = rectangle[axis], rectangle[axis + 2], square[axis + 2] - square[axis]
        distances = [abs(2 * at + length - low - high) for at in range(resolution_wh[axis] - length + 1)]
        assert abs(square[axis] + square[axis + 2] - low - high) == min(distances)


# --- the whole way


def test_a_box_of_round_numbers_gains_no_pixel_from_binary_noise() -> None:
    assert crop_rectangle((100, 100, 200, 200), 1.2, crop_size(512, "stretch"), (1000, 1000)) == (
        90,
        90,
        210,
        210,
    )


def test_no_multiple_of_ten_gains_a_pixel_at_the_default_scale() -> None:
    for size in range(10, 3000, 10):
        low, high = 3000 - size // 10, 3000 + size + size // 10
        box = (3000, 3000, 3000 + size, 3000 + size)
        assert crop_rectangle(box, 1.2, crop_size(512, "stretch"), (9000, 9000)) == (low, low, high, high)


def test_each_fit_by_hand() -> None:
    box = (40.5, 50.25, 80.5, 60.25)  # 40 × 10; at 1.5: 60 × 15 from (30.5, 47.75) to (90.5, 62.75)
    assert crop_rectangle(box, 1.5, crop_size(512, "stretch"), (100, 100)) == (30, 47, 91, 63)
    assert crop_rectangle(box, 1.5, crop_size(512, "pad"), (100, 100)) == (30, 47, 91, 63)
    # 61 px wide, 16 high: 45 more, 22 of them above.
    assert crop_rectangle(box, 1.5, crop_size(512, "square"), (100, 100)) == (30, 25, 91, 86)


def exact_rectangle(cents: list[int], scale: str, resolution_wh: tuple[int, int]) -> PixelBox:
    """`crop_rectangle` for ``stretch`` in exact arithmetic, written from the design page."""
    factor = Fraction(scale)
    result: list[int] = []
    for axis, limit in enumerate(resolution_wh):
        low, high = Fraction(cents[axis], 100), Fraction(cents[axis + 2], 100)
        centre, half = (low + high) / 2, (high - low) / 2 * factor
        first = math.floor(min(max(centre - half, Fraction(0)), Fraction(limit)))
        first = min(first, limit - 1)
        last = max(math.ceil(min(max(centre + half, Fraction(0)), Fraction(limit))), first + 1)
        result += [first, last]
    return result[0], result[2], result[1], result[3]


@given(st.lists(hundredths, min_size=4, max_size=4), scale_texts, resolutions)
def test_rectangles_equal_exact_arithmetic(
    values: list[int], scale: str, resolution_wh: tuple[int, int]
) -> None:
    left, right = sorted(values[:2])
    top, bottom = sorted(values[2:])
    cents = [left, top, right, bottom]
    box = [value / 100 for value in cents]
    expected = exact_rectangle(cents, scale, resolution_wh)
    assert crop_rectangle(box, float(scale), crop_size(512, "stretch"), resolution_wh) == expected
    assert crop_rectangle(box, float(scale), crop_size(512, "pad"), resolution_wh) == expected
    assert crop_rectangle(box, float(scale), crop_size(512, "square"), resolution_wh) == grow_to_aspect(
        expected, (1, 1), resolution_wh
    )


@pytest.mark.parametrize("fit", FITS)
def test_a_photo_of_one_pixel(fit: Fit) -> None:
    for found in ((0, 0, 1, 1), (0.4, 0.4, 0.6, 0.6), (-5, -5, 9, 9)):
        assert crop_rectangle(found, 1.2, crop_size(512, fit), (1, 1)) == (0, 0, 1, 1)


def test_the_whole_photo() -> None:
    assert whole((640, 480)) == (0, 0, 640, 480)
