"""`--max-bytes`: which quality and how many pixels a crop keeps, by hand, on real encoders, in whole runs."""

from __future__ import annotations

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
from tests.kit.errors import refused
from tests.kit.folders import assert_same, crop, product, records_of, row_of, rows_of
from tests.kit.helpers import FITS, detections
from tests.kit.photos import write_photos

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
    with pytest.raises(PhotoError, match=r"at most 10,000 bytes, got .* size=long:1600$") as caught:
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


# --- whole runs


def write_noisy_photos(folder: Path) -> list[str]:
    """Three small photos, and one that no encoder makes small."""
    keys = write_photos(folder, 3)
    cv2.imwrite(str(folder / "noise.png"), noise())
    return sorted([*keys, "noise.png"])


@pytest.mark.parametrize("size", ["native", "long:500"])
@pytest.mark.parametrize("out_format", ["files", "tar"])
def test_a_run_keeps_to_the_limit(size: Size, out_format: str, tmp_path: Path) -> None:
    keys = write_noisy_photos(tmp_path / "in")
    detector = FakeDetector()
    detector.detect = lambda image, key="": detections()  # type: ignore[method-assign]
    settings: dict[str, Any] = {"size": size, "max_bytes": "30k", "out_format": out_format}
    crop(tmp_path / "in", tmp_path / "out", detector=detector, **settings)
    rows = {row["image"]: row for row in rows_of(tmp_path / "out")}
    assert sorted(rows) == keys
    for key in keys:
        record = records_of(tmp_path / "out")[key]
        assert 0 < record.crop_bytes <= 30_000
        assert ("shrunk" in rows[key]["flags"]) == record.is_shrunk == (key == "noise.png")
        assert rows[key]["quality"] == ("50" if key == "noise.png" else "95")
        assert record.quality == (50 if key == "noise.png" else 0)
    # As without the limit where it changes nothing, but for a column.
    crop(tmp_path / "in", tmp_path / "free", detector=detector, **{**settings, "max_bytes": None})
    free = {row["image"]: row for row in rows_of(tmp_path / "free")}
    for key in set(keys) - {"noise.png"}:
        assert rows[key] == {**free[key], "quality": "95"}
        assert "quality" not in free[key]


def test_a_fixed_size_that_does_not_fit_is_a_failed_row_until_it_does(tmp_path: Path) -> None:
    write_noisy_photos(tmp_path / "in")
    result = crop(tmp_path / "in", tmp_path / "out", size=400, max_bytes=30_000)
    row = row_of(tmp_path / "out", "noise.png")
    assert (row["status"], row["reason"], row["quality"]) == ("failed", "too_many_bytes", "")
    assert (row["width"], row["height"]) == (str(WIDTH), str(HEIGHT))
    assert result.failures == {"too_many_bytes": 1}
    api.recrop(tmp_path / "out", tmp_path / "again", size="long:400", quiet=True)
    assert row_of(tmp_path / "again", "noise.png")["status"] == "failed"  # it has no kept boxes
    crop(tmp_path / "in", tmp_path / "large", size=400)
    api.recrop(tmp_path / "large", tmp_path / "small", size="long:400", max_bytes="30kB", quiet=True)
    row = row_of(tmp_path / "small", "noise.png")
    assert (tmp_path / "small" / row["crop"]).stat().st_size <= 30_000


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    write_noisy_photos(tmp_path / "in")
    settings: dict[str, Any] = {"size": "native", "max_bytes": 20_000}
    crop(tmp_path / "in", tmp_path / "whole", **settings)
    crop(tmp_path / "in", tmp_path / "parts", limit=1, **settings)
    crop(tmp_path / "in", tmp_path / "parts", **settings)
    assert_same(tmp_path / "parts", product(tmp_path / "whole"))
    (tmp_path / "parts" / "noise.jpg").unlink()
    assert crop(tmp_path / "in", tmp_path / "parts", **settings).done == 1
    assert_same(tmp_path / "parts", product(tmp_path / "whole"))
    with refused("other_settings", match="max_bytes was 20000, now not given"):
        crop(tmp_path / "in", tmp_path / "parts", size="native")
