"""`--size` and `--fit`: every form by hand, bounds as properties, and whole runs against exact resizing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import detic_crop
from detic_crop import api
from detic_crop.boxes.crop_size import CropSize, Sides, crop_size, square_of
from detic_crop.boxes.geometry import crop_rectangle, grow_to_aspect, whole
from detic_crop.config import CropConfig, Fit, Format, Size
from detic_crop.errors import PhotoError
from detic_crop.folder.records import Record
from detic_crop.images import encode
from detic_crop.images.crop import cut_and_resize
from detic_crop.images.decode import PhotoFile
from detic_crop.images.memory_use import BYTES_PER_PIXEL_OF_CROP
from detic_crop.report.suspicion import flags_of
from detic_crop.system.memory_budget import MemoryBudget
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.folders import crop, product, records_of, row_of, rows_of
from tests.kit.helpers import FITS, detections
from tests.kit.photos import picture, write_boxes, write_photos

SIZES: tuple[Size, ...] = (32, "24x48", "long:20", "native")

sizes = st.one_of(
    st.integers(1, 300),
    st.tuples(st.integers(1, 300), st.integers(1, 300)).map(lambda sides: f"{sides[0]}x{sides[1]}"),
    st.integers(1, 300).map(lambda side: f"long:{side}"),
    st.just("native"),
)
crop_sizes = st.builds(crop_size, sizes, st.sampled_from(FITS))
sides = st.tuples(st.integers(1, 500), st.integers(1, 500))


@pytest.mark.parametrize(
    ("size", "fit", "rectangle", "picture", "canvas"),
    [
        (512, "stretch", (1000, 400), (512, 512), (512, 512)),
        (512, "pad", (1000, 400), (512, 205), (512, 512)),
        (512, "square", (1000, 1000), (512, 512), (512, 512)),
        ("384x768", "stretch", (1000, 400), (384, 768), (384, 768)),
        ("384x768", "pad", (1000, 400), (384, 154), (384, 768)),  # 153.6 rows
        ("384x768", "pad", (100, 400), (192, 768), (384, 768)),
        ("384x768", "pad", (10, 20), (384, 768), (384, 768)),  # enlarged
        ("384x768", "square", (200, 400), (384, 768), (384, 768)),
        ("long:1600", "stretch", (3200, 1000), (1600, 500), (1600, 500)),
        ("long:1600", "stretch", (1000, 3201), (500, 1600), (500, 1600)),  # 499.8 columns
        ("long:1600", "stretch", (1600, 7), (1600, 7), (1600, 7)),
        ("long:1600", "stretch", (30, 20), (30, 20), (30, 20)),  # never enlarged
        ("long:1600", "stretch", (8000, 2), (1600, 1), (1600, 1)),  # never less than one row
        ("long:1600", "pad", (3200, 1000), (1600, 500), (1600, 1600)),
        ("long:1600", "pad", (30, 20), (30, 20), (30, 30)),
        ("long:1600", "square", (3200, 3200), (1600, 1600), (1600, 1600)),
        ("long:1600", "square", (3200, 3000), (1600, 1500), (1600, 1500)),  # the photo had no more
        ("native", "stretch", (3200, 1001), (3200, 1001), (3200, 1001)),
        ("native", "pad", (3200, 1001), (3200, 1001), (3200, 3200)),
        ("native", "square", (3200, 3200), (3200, 3200), (3200, 3200)),
    ],
)
def test_every_form_by_hand(size: Size, fit: Fit, rectangle: Sides, picture: Sides, canvas: Sides) -> None:
    asked = crop_size(size, fit)
    assert (asked.picture(rectangle), asked.canvas(rectangle)) == (picture, canvas)


@given(sides, crop_sizes)
def test_a_picture_lies_on_its_canvas(rectangle: Sides, size: CropSize) -> None:
    picture, canvas = size.picture(rectangle), size.canvas(rectangle)
    assert 1 <= picture[0] <= canvas[0]
    assert 1 <= picture[1] <= canvas[1]
    if size.fit != "pad":
        assert picture == canvas
    else:
        assert picture[0] == canvas[0] or picture[1] == canvas[1]
    if size.keeps_proportions:
        ratio = max(picture) / max(rectangle)
        for side, left in zip(rectangle, picture, strict=True):
            assert abs(left - side * ratio) <= 1 or left == 1


@given(sides, st.data(), crop_sizes)
def test_no_crop_of_a_photo_has_more_pixels_than_memory_is_borrowed_for(
    photo: Sides, data: st.DataObject, size: CropSize
) -> None:
    rectangle = data.draw(st.integers(1, photo[0])), data.draw(st.integers(1, photo[1]))
    width, height = size.canvas(rectangle)
    assert width * height <= size.most_pixels(photo)


@given(sides, st.integers(1, 300), st.sampled_from(FITS))
def test_long_and_native_never_enlarge(rectangle: Sides, longest: int, fit: Fit) -> None:
    for size in (crop_size(f"long:{longest}", fit), crop_size("native", fit)):
        picture = size.picture(rectangle)
        assert picture[0] <= rectangle[0]
        assert picture[1] <= rectangle[1]
        assert not size.enlarges(rectangle)
    assert max(crop_size(f"long:{longest}", fit).canvas(rectangle)) == min(longest, max(rectangle))


@given(st.integers(0, 10**9))
def test_a_square_holds_its_pixels(pixels: int) -> None:
    side, other = square_of(pixels)
    assert side == other
    assert max(side - 1, 0) ** 2 < max(pixels, 1) <= max(side**2, 1)


# --- fit square: the rectangle grows to the size's proportions


@pytest.mark.parametrize(
    ("box", "aspect", "photo", "grown"),
    [
        ((10, 40, 50, 60), (1, 2), (100, 100), (10, 10, 50, 90)),  # 40 wide: 80 high
        ((10, 40, 50, 60), (2, 1), (100, 100), (10, 40, 50, 60)),
        ((10, 40, 50, 60), (3, 1), (100, 100), (0, 40, 60, 60)),  # 60 wide: 10 more on both sides
        ((40, 0, 60, 90), (2, 3), (100, 100), (20, 0, 80, 90)),
        ((0, 0, 60, 90), (2, 1), (100, 100), (0, 0, 100, 90)),  # the photo is not wide enough
        ((0, 0, 3, 7), (2, 5), (100, 100), (0, 0, 3, 8)),  # 7.5 rows
    ],
)
def test_growing_by_hand(
    box: tuple[int, int, int, int], aspect: Sides, photo: Sides, grown: tuple[int, int, int, int]
) -> None:
    assert grow_to_aspect(box, aspect, photo) == grown


@given(st.data(), sides, st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_a_grown_rectangle_has_the_proportions_where_the_photo_allows(
    data: st.DataObject, photo: Sides, aspect: Sides
) -> None:
    x1, y1 = data.draw(st.integers(0, photo[0] - 1)), data.draw(st.integers(0, photo[1] - 1))
    x2, y2 = data.draw(st.integers(x1 + 1, photo[0])), data.draw(st.integers(y1 + 1, photo[1]))
    left, top, right, bottom = grow_to_aspect((x1, y1, x2, y2), aspect, photo)
    assert 0 <= left <= x1 < x2 <= right <= photo[0]
    assert 0 <= top <= y1 < y2 <= bottom <= photo[1]
    width, height = right - left, bottom - top
    assert width == x2 - x1 or height == y2 - y1  # no side grows that need not
    exact = height * aspect[0] / aspect[1], width * aspect[1] / aspect[0]
    assert (
        abs(width - exact[0]) <= 0.5
        or abs(height - exact[1]) <= 0.5
        or (width == photo[0] and width < exact[0])
        or (height == photo[1] and height < exact[1])
    )


def test_only_fit_square_grows() -> None:
    box = (100.0, 100.0, 200.0, 140.0)
    grown = {
        (size, fit): crop_rectangle(box, 1.0, crop_size(size, fit), (1000, 1000))
        for size in (512, "384x768", "long:16", "native")
        for fit in FITS
    }
    assert {grown[size, fit] for size, fit in grown if fit != "square"} == {(100, 100, 200, 140)}
    assert grown["384x768", "square"] == (100, 20, 200, 220)
    assert grown[512, "square"] == grown["native", "square"] == (100, 70, 200, 170)
    assert grown["long:16", "square"] == grown[512, "square"]


# --- pixels


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", SIZES)
def test_a_crop_is_exact_resizing_of_its_rectangle(size: Size, fit: Fit) -> None:
    """Shrinking is cv2's INTER_AREA; native crops are the photo's own pixels."""
    photo = np.random.default_rng(4).integers(1, 256, (150, 200, 3), dtype=np.uint8)
    asked = crop_size(size, fit)
    x1, y1, x2, y2 = crop_rectangle((30, 20, 120, 80), 1.2, asked, (200, 150))
    region = photo[y1:y2, x1:x2]
    (width, height), canvas = asked.picture((x2 - x1, y2 - y1)), asked.canvas((x2 - x1, y2 - y1))
    made = cut_and_resize(photo, (x1, y1, x2, y2), asked)
    assert made.shape == (canvas[1], canvas[0], 3)
    left, top = (canvas[0] - width) // 2, (canvas[1] - height) // 2
    inside = made[top : top + height, left : left + width]
    if size == "native":
        assert np.array_equal(inside, region)
    else:
        assert np.array_equal(inside, cv2.resize(region, (width, height), interpolation=cv2.INTER_AREA))
    assert int(made.sum()) == int(inside.sum())  # all else is black


@pytest.mark.parametrize("fit", FITS)
def test_a_native_crop_of_a_whole_photo_is_its_own_memory(fit: Fit) -> None:
    photo = np.full((30, 30, 3), 7, np.uint8)
    made = cut_and_resize(photo, whole((30, 30)), crop_size("native", fit))
    assert np.array_equal(made, photo)
    assert not np.shares_memory(made, photo)
    assert made.flags.c_contiguous
    assert made.base is None


# --- whole runs


def exact_crop(photo: Path, record: Record, size: Size, fit: Fit) -> NDArray[np.uint8]:
    """What the rectangle of a record must give, worked out from the photo itself."""
    decoded = PhotoFile(photo.read_bytes()).decode().image
    assert record.crop_box is not None
    x1, y1, x2, y2 = record.crop_box
    asked = crop_size(size, fit)
    (width, height), canvas = asked.picture((x2 - x1, y2 - y1)), asked.canvas((x2 - x1, y2 - y1))
    area = cv2.INTER_AREA if width <= x2 - x1 and height <= y2 - y1 else cv2.INTER_CUBIC
    made = np.zeros((canvas[1], canvas[0], 3), np.uint8)
    left, top = (canvas[0] - width) // 2, (canvas[1] - height) // 2
    resized = cv2.resize(decoded[y1:y2, x1:x2], (width, height), interpolation=area)
    made[top : top + height, left : left + width] = resized
    return made


def pixels_of(path: Path) -> NDArray[np.uint8]:
    """A crop as cv2 reads it."""
    made = cv2.imread(str(path))
    assert made is not None
    return np.asarray(made, np.uint8)


def are_exact(input: Path, out: Path, size: Size, fit: Fit) -> int:
    """How many PNG crops of a folder are to the pixel what their rectangles give; fails where one is not."""
    count = 0
    for image, record in records_of(out).items():
        made = pixels_of(out / record.crop)
        box = record.crop_box
        assert box is not None
        w, h = crop_size(size, fit).picture((box[2] - box[0], box[3] - box[1]))
        if (w < box[2] - box[0]) != (h < box[3] - box[1]) and size != "native":
            continue  # shrunk one way, enlarged the other: in two steps
        assert np.array_equal(made, exact_crop(input / image, record, size, fit)), image
        count += 1
    return count


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", SIZES)
def test_run_recrop_and_crop_photo_agree(size: Size, fit: Fit, tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 6, width=160, height=140)
    crop(tmp_path / "in", tmp_path / "out", size=size, fit=fit, format="png")
    assert are_exact(tmp_path / "in", tmp_path / "out", size, fit) >= 3
    crop(tmp_path / "in", tmp_path / "other", size=512, format="webp")
    api.recrop(tmp_path / "other", tmp_path / "again", size=size, fit=fit, format="png", quiet=True)
    made = {name: data for name, data in product(tmp_path / "out").items() if name.endswith(".png")}
    again = product(tmp_path / "again")
    assert len(made) == len(keys)
    assert {name: again[name] for name in made} == made
    for image, record in records_of(tmp_path / "out").items():
        photo = PhotoFile((tmp_path / "in" / image).read_bytes()).decode().image
        found = FakeDetector().detect(photo, image)
        result = detic_crop.crop_photo(photo, found, classes="marine", conf=0.3, size=size, fit=fit)
        assert np.array_equal(result.crop, pixels_of(tmp_path / "out" / record.crop))
    told = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert told["settings"]["size"] == size


def test_a_size_in_another_form_goes_on(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 5)
    crop(tmp_path / "in", tmp_path / "out", size="24X48", limit=2)
    crop(tmp_path / "in", tmp_path / "out", size="24x48")
    assert {pixels_of(tmp_path / "out" / row["crop"]).shape for row in rows_of(tmp_path / "out")} == {
        (48, 24, 3)
    }
    with refused("other_settings", match="size was '24x48', now 'native'"):
        crop(tmp_path / "in", tmp_path / "out", size="native")
    crop(tmp_path / "in", tmp_path / "square", size=24)
    before = product(tmp_path / "square")
    assert crop(tmp_path / "in", tmp_path / "square", size="24x24").done == 0
    assert product(tmp_path / "square") == before


@pytest.mark.parametrize("size", ["native", "long:32"])
def test_what_is_not_enlarged_is_not_flagged(size: Size, tmp_path: Path) -> None:
    record = Record("a.jpg", "cropped", width=900, height=900, box=(0, 0, 20, 20), crop_box=(0, 0, 20, 20))
    assert "upscaled" in flags_of(record, CropConfig(size=32))
    assert "upscaled" in flags_of(record, CropConfig(size="21x21"))
    assert "upscaled" not in flags_of(record, CropConfig(size="20x60"))
    assert "upscaled" not in flags_of(record, CropConfig(size=size))


def test_a_crop_that_its_format_cannot_hold_is_a_failed_row(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "wide.png"), np.full((4, 16400, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "in" / "small.png"), picture(1))
    boxes = write_boxes(tmp_path / "boxes.csv", ["small.png"])
    expected: dict[Format, str] = {"webp": "crop_too_large", "png": "not_listed"}
    for format, reason in expected.items():
        out = tmp_path / format
        api.run(
            tmp_path / "in",
            out,
            model=f"boxes:{boxes}",
            size="native",
            format=format,
            quiet=True,
            device="cpu",
        )
        assert row_of(out, "wide.png")["reason"] == reason
        assert row_of(out, "small.png")["status"] in ("cropped", "resized")
    assert "at most 16383 px a side for webp, got 16400×4" in row_of(tmp_path / "webp", "wide.png")["error"]


def test_formats_say_what_they_hold() -> None:
    for format in get_args(Format):
        encode.check_sides((16383, 1), format)
    encode.check_sides((65500, 1), "jpg")
    too_large: tuple[Format, ...] = ("jpg", "webp")
    for format in too_large:
        with pytest.raises(PhotoError, match="pass size=long:8192, or another format=") as caught:
            encode.check_sides((1, 65501), format)
        assert caught.value.reason == "crop_too_large"


@pytest.mark.parametrize(
    ("size", "fit", "pixels"),
    [
        (32, "stretch", 32 * 32),
        ("24x48", "square", 24 * 48),
        ("native", "stretch", 60 * 40),
        ("native", "pad", 60 * 60),
        ("long:50", "stretch", 50 * 40),
        ("long:50", "pad", 50 * 50),
    ],
)
def test_memory_for_the_crop_is_borrowed_with_the_photos(
    size: Size, fit: Fit, pixels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    borrowed: list[int] = []
    borrow = MemoryBudget.borrow

    def noted(budget: MemoryBudget, size: int) -> Any:
        borrowed.append(size)
        return borrow(budget, size)

    monkeypatch.setattr(MemoryBudget, "borrow", noted)
    monkeypatch.setattr("detic_crop.images.decode.peak_bytes", lambda *_: 0)
    write_photos(tmp_path / "in", 1)
    crop(tmp_path / "in", tmp_path / "out", size=size, fit=fit)
    assert borrowed[0] == BYTES_PER_PIXEL_OF_CROP["jpg"] * pixels


def test_a_crop_that_needs_more_memory_than_there_is_is_a_failed_row(tmp_path: Path) -> None:
    """Padding a panorama to a square may take far more than the photo does."""
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "wide.png"), np.full((4, 16400, 3), 90, np.uint8))
    settings: dict[str, Any] = {"size": "native", "format": "png", "memory": "100MB"}
    found = detections(((0, 0, 16400, 4), 0.9, "Dolphin"))
    for fit, status in (("stretch", "cropped"), ("pad", "failed")):
        detector = FakeDetector()
        detector.detect = lambda image, key="": found  # type: ignore[method-assign]
        crop(tmp_path / "in", tmp_path / fit, fit=fit, detector=detector, **settings)
        assert row_of(tmp_path / fit, "wide.png")["status"] == status
    assert row_of(tmp_path / "pad", "wide.png")["reason"] == "out_of_memory"
