"""Decoding less of a photo: the same pixels where rows are left out, nearly the same where it is reduced."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from detic_crop.boxes.crop_size import crop_size
from detic_crop.boxes.geometry import PixelBox
from detic_crop.images.crop import cut_and_resize, resize_exactly, resize_quickly, resize_reduced
from detic_crop.images.decode import PhotoFile
from detic_crop.images.detail import detail_of
from detic_crop.images.headers.read import read_header
from detic_crop.images.partial import (
    REDUCTIONS,
    Reduction,
    is_fine_enough,
    reduction_for,
    reduction_to_show,
    snapped,
    stored_rows,
)
from tests.kit.photos import picture

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "train_images").glob("*.jpg"))


def jpeg(image: NDArray[np.uint8], orientation: int = 1, **options: object) -> bytes:
    """A JPEG of (H, W, 3) BGR pixels as they are stored."""
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image[:, :, ::-1])).save(file, "JPEG", exif=exif, **options)
    return file.getvalue()


def region_of(data: st.DataObject, width: int, height: int) -> PixelBox:
    """Any rectangle inside a photo."""
    x1, y1 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    return x1, y1, data.draw(st.integers(x1 + 1, width)), data.draw(st.integers(y1 + 1, height))


@given(
    data=st.data(),
    orientation=st.integers(1, 8),
    subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    restarts=st.sampled_from([0, 3]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_a_region_has_the_pixels_of_the_whole_photo(
    data: st.DataObject, orientation: int, subsampling: str, restarts: int
) -> None:
    stored = picture(3, data.draw(st.integers(17, 150)), data.draw(st.integers(17, 200)))
    options = {"subsampling": subsampling, "quality": 90, "restart_marker_rows": restarts}
    photo = PhotoFile(jpeg(stored, orientation, **options))
    whole = photo.decode()
    region = region_of(data, *whole.resolution_wh)
    part = photo.decode(region)  # the second time: only the rows that it needs
    assert part.resolution_wh == whole.resolution_wh == photo.resolution_wh
    x1, y1, x2, y2 = region
    left, top, right, bottom = part.in_image(region)
    assert np.array_equal(part.image[top:bottom, left:right], whole.image[y1:y2, x1:x2])
    assert part.truncated is whole.truncated is False


def known(data: bytes) -> PhotoFile:
    """A photo that was found undamaged before; others are decoded whole, once."""
    photo = PhotoFile(data)
    photo.vouch()
    return photo


def test_rows_below_are_really_left_out() -> None:
    photo = known(jpeg(picture(1, 160, 480)))
    assert photo.decode((0, 0, 10, 10)).image.shape == (32, 160, 3)
    assert photo.decode((0, 400, 10, 480)).image.shape == (480, 160, 3)
    upside_down = known(jpeg(picture(1, 160, 480), orientation=3))
    assert upside_down.decode((0, 470, 10, 480)).image.shape == (32, 160, 3)
    on_its_side = known(jpeg(picture(1, 160, 480), orientation=6))  # its stored top is at the right
    part = on_its_side.decode((470, 0, 480, 10))
    assert (part.image.shape, part.origin) == ((160, 32, 3), (448, 0))


@pytest.mark.parametrize("options", [{"progressive": True}, {"cut": True}], ids=["progressive", "cut off"])
def test_what_is_not_stored_top_down_is_decoded_whole(options: dict[str, bool]) -> None:
    data = jpeg(picture(1, 160, 480), progressive=options.get("progressive", False))
    photo = PhotoFile(data[: len(data) * 3 // 4] if options.get("cut") else data)
    part = photo.decode((0, 0, 10, 10))
    assert part.image.shape == (480, 160, 3)
    assert part.truncated is options.get("cut", False)


def test_a_scan_for_each_component_is_decoded_whole() -> None:
    """Then the rows of the second component come after all of those of the first."""
    image = picture(1, 64, 480)
    header = read_header(jpeg(image, quality=90))
    scan = header.lean.index(b"\xff\xda")
    one_component = header.lean[: scan + 4] + b"\x01" + header.lean[scan + 5 :]
    assert stored_rows(header, (0, 0, 1, 1)) == 32
    assert stored_rows(read_header(one_component), (0, 0, 1, 1)) == 480


@pytest.mark.parametrize("format", ["png", "webp", "bmp", "tiff"])
def test_other_formats_are_decoded_whole(format: str) -> None:
    file = io.BytesIO()
    Image.fromarray(picture(1, 60, 480)).save(file, format)
    photo = PhotoFile(file.getvalue())
    assert photo.resolution_wh is None
    assert not photo.can_reduce(2)
    assert photo.decode((0, 0, 10, 10)).image.shape == (480, 60, 3)


@pytest.mark.parametrize(
    ("reduction", "spare", "least"),
    [(2, 1.0, 5), (2, 1.3, 8), (2, 2.0, 10), (4, 1.8, 7), (4, 3.0, 8), (8, 3.0, 3)],
)
def test_reduced_pixels_that_are_fine_enough_give_the_crop_of_a_full_decode_to_40_db(
    reduction: Reduction, spare: float, least: int
) -> None:
    fine = {}
    for path in EXAMPLES:
        photo = PhotoFile(enlarged(path))
        assert photo.resolution_wh is not None
        width, height = photo.resolution_wh
        region = snapped((width // 20, height // 20, width, height), reduction, photo.resolution_wh)
        sides = region[2] - region[0], region[3] - region[1]
        size = int(min(sides) / reduction / spare)
        assert reduction_for(sides, crop_size(size, "stretch")) >= reduction
        full, few = photo.decode(region), photo.decode(region, reduction)
        assert few.reduction == reduction
        x1, y1, x2, y2 = few.in_image(region)
        if is_fine_enough(few.image[y1:y2, x1:x2], size, size):
            ours = cut_and_resize(few.image, few.in_image(region), crop_size(size, "stretch"), resize_reduced)
            exact = cut_and_resize(full.image, full.in_image(region), crop_size(size, "stretch"))
            fine[path.stem] = cv2.PSNR(ours, exact)
    assert all(psnr >= 40 for psnr in fine.values()), fine
    assert len(fine) >= least


def enlarged(path: Path) -> bytes:
    """A photo 1.5 times as large, and so as soft as those of a camera with more pixels than its lens has."""
    image = cv2.imread(str(path))
    assert image is not None
    height, width = image.shape[:2]
    larger = cv2.resize(image, (width * 3 // 2, height * 3 // 2), interpolation=cv2.INTER_CUBIC)
    return jpeg(np.asarray(larger, np.uint8), quality=92)


def test_detail_worked_by_hand() -> None:
    """Three rows of four pixels; a second difference is both neighbours less twice the value between them."""
    picture = np.zeros((3, 4, 3), np.uint8)
    picture[1] = [[0], [10], [0], [0]]  # along the row: 0 - 20 + 0 and 10 - 0 + 0; down: -2 times each
    assert detail_of(picture) == pytest.approx(((20**2 + 10**2) / 2, 20**2 / 4))
    one_channel = picture.copy()
    one_channel[..., :2] = 0
    assert detail_of(one_channel) == pytest.approx(((20**2 + 10**2) / 2 / 3, 20**2 / 4 / 3))
    assert detail_of(picture[:2]) == detail_of(picture[:, :2]) == (np.inf, np.inf)


def test_detail_of_a_caption_is_found_wherever_it_is() -> None:
    picture = np.full((1500, 60, 3), 128, np.uint8)
    caption = np.random.default_rng(0).integers(0, 256, (26, 60, 3), dtype=np.uint8)
    for top in range(700, 750):
        captioned = picture.copy()
        captioned[top : top + len(caption)] = caption
        assert min(detail_of(captioned)) > 100


def test_noise_is_too_fine_to_be_reduced_and_a_slope_is_not() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    slope = np.repeat(np.tile(np.arange(300) * 255 // 299, (200, 1)).astype(np.uint8)[..., None], 3, axis=2)
    assert not is_fine_enough(noise, 150, 100)
    assert is_fine_enough(slope, 150, 100)
    assert not is_fine_enough(slope[:2], 150, 1)  # too few lines to tell
    assert np.array_equal(resize_quickly(noise, 130, 90), resize_exactly(noise, 130, 90))


@pytest.mark.parametrize(
    "ratios",
    [
        (1.3, 1.1),
        (1.6, 1.0),
        (1.0, 1.6),
        (1.6, 1.6),
        (2.3, 1.2),
        (2.3, 2.3),
        (3.3, 2.2),
        (4.1, 4.1),
        (7.5, 2.5),
    ],
)
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_quick_averaging_gives_the_crop_of_exact_averaging_to_40_db(
    path: Path, ratios: tuple[float, float]
) -> None:
    image = PhotoFile(path.read_bytes()).decode().image
    width, height = round(image.shape[1] / ratios[0]), round(image.shape[0] / ratios[1])
    quick, exact = resize_quickly(image, width, height), resize_exactly(image, width, height)
    assert quick.shape == exact.shape == (height, width, 3)
    assert not np.array_equal(quick, exact)
    assert cv2.PSNR(quick, exact) >= 40


@pytest.mark.parametrize("sides", [(333, 150), (150, 333), (333, 333), (300, 300)])
def test_what_is_not_shrunk_is_resized_exactly(sides: tuple[int, int]) -> None:
    image = picture(3, 300, 300)
    assert np.array_equal(resize_quickly(image, *sides), resize_exactly(image, *sides))


def test_pixels_of_a_flipped_photo_are_reduced_only_where_they_stay_in_place() -> None:
    for orientation, (width, height) in itertools.product(range(1, 9), [(160, 96), (161, 96), (160, 97)]):
        photo = PhotoFile(jpeg(picture(2, width, height), orientation, quality=95))
        allowed = orientation == 1 or (width, height) == (160, 96)
        assert photo.can_reduce(2) is allowed, (orientation, width, height)
        assert photo.can_reduce(1)
        if not allowed:
            continue
        full, small = photo.decode(), photo.decode(reduction=2)
        expected = cv2.resize(full.image[:96, :96], (48, 48), interpolation=cv2.INTER_AREA)
        left, top, right, bottom = small.in_image((0, 0, 96, 96))
        assert cv2.PSNR(expected, small.image[top:bottom, left:right]) > 35


def test_reductions_leave_enough_for_the_crop() -> None:
    assert reduction_for((1023, 9000), crop_size(512, "stretch")) == 1
    assert reduction_for((1024, 9000), crop_size(512, "stretch")) == 2
    assert reduction_for((1024, 9000), crop_size(512, "square")) == 2
    assert reduction_for((600, 2048), crop_size(512, "pad")) == 2  # the long side fills the crop
    assert reduction_for((3687, 3687), crop_size(512, "stretch")) == 4
    assert reduction_for((10240, 10240), crop_size(512, "stretch")) == 8
    assert reduction_for((10239, 10240), crop_size(512, "stretch")) == 4
    assert reduction_for((100, 100), crop_size(512, "stretch")) == 1


def test_a_thin_region_at_the_edge_keeps_its_pixels() -> None:
    """Of a letterboxed crop the long side alone is large; the other must survive the cut to whole pixels."""
    width, height = 4000, 2999
    for top in range(2960, 2999):
        region = (0, top, 2000, 2999)
        reduction = reduction_for((2000, 2999 - top), crop_size(100, "pad"))
        x1, y1, x2, y2 = snapped(region, reduction, (width, height))
        assert x1 < x2
        assert y1 < y2
    assert reduction_for((2000, 3), crop_size(100, "pad")) == 1


def test_reductions_leave_enough_to_look_at() -> None:
    assert reduction_to_show((2600, 1600), (800, 1333)) == 2  # half of it is 1300 × 800
    assert reduction_to_show((2666, 1700), (800, 1333)) == 2
    assert reduction_to_show((2400, 1600), (800, 1333)) == 2
    assert reduction_to_show((2400, 1599), (800, 1333)) == 1
    assert reduction_to_show((20000, 20000), (800, 1333)) == 8
    assert reduction_to_show((20000, 20000), None) == 1


@given(data=st.data(), reduction=st.sampled_from(REDUCTIONS))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_snapping_grows_to_whole_pixels(data: st.DataObject, reduction: Reduction) -> None:
    width, height = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 300))
    region = region_of(data, width, height)
    x1, y1, x2, y2 = snapped(region, reduction, (width, height))
    assert 0 <= x1 <= region[0]
    assert 0 <= y1 <= region[1]
    assert min(region[2], width // reduction * reduction) <= x2 <= width
    assert min(region[3], height // reduction * reduction) <= y2 <= height
    assert {edge % reduction for edge in (x1, y1, x2, y2)} == {0}
    assert snapped((x1, y1, x2, y2), reduction, (width, height)) == (x1, y1, x2, y2)
