"""Image checks: pixels whose numbers are known beforehand, and what must not change them."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields, replace
from numpy.typing import NDArray

from detic_crop import api
from detic_crop.boxes.detections import Detections
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import replay
from detic_crop.folder.records import Record
from detic_crop.images.checks import Checks, check_crop, perceptual_hash
from detic_crop.images.decode import PhotoFile
from tests.kit.detectors import FakeDetector
from tests.kit.folders import crop, rows_of
from tests.kit.photos import photo_bytes, picture, write_photo, write_photos

Image = NDArray[np.uint8]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "train_images"


def grey(values: NDArray[np.integer]) -> Image:
    return np.repeat(np.asarray(values, np.uint8)[:, :, None], 3, axis=2)


def bits_apart(a: str, b: str) -> int:
    return (int(a, 16) ^ int(b, 16)).bit_count()


def example(name: str) -> Image:
    image = cv2.imread(str(EXAMPLES / name))
    assert image is not None
    return np.asarray(image, np.uint8)


PHOTOS = ["dolphin_breach.jpg", "humpback_fluke.jpg", "boat_only.jpg", "dolphin_underwater.png"]


# --- blur, brightness, entropy


def test_one_level_has_no_detail_and_no_information() -> None:
    assert check_crop(grey(np.full((64, 64), 200))) == Checks(1.0, 200.0, 0.0, "0" * 16)
    assert check_crop(grey(np.full((1, 1), 7))) == Checks(1.0, 7.0, 0.0, "0" * 16)


def test_a_black_crop() -> None:
    assert check_crop(grey(np.zeros((64, 64), int))) == Checks(1.0, 0.0, 0.0, "")


def test_brightness_and_entropy_by_hand() -> None:
    half = np.full((64, 64), 100)
    half[:, 32:] = 50
    assert check_crop(grey(half))[1:3] == (75.0, 1.0)  # two levels equally often: one bit
    quarters = np.repeat(np.repeat([[10, 20], [30, 40]], 32, axis=0), 32, axis=1)
    assert check_crop(grey(quarters))[1:3] == (25.0, 2.0)
    every_level = np.arange(256).repeat(16).reshape(64, 64)
    assert check_crop(grey(every_level))[1:3] == (127.5, 8.0)


def test_the_blur_of_a_checkerboard_by_hand() -> None:
    """Neighbours differ by 90. The mean of nine is 4 or 5 bright ones, so smoothed neighbours differ by 10:
    of 90 are lost 80, and 1 − 80/90 = 1/9; nearly, since the filter mirrors the picture at its edges."""
    board = (np.indices((512, 512)).sum(axis=0) % 2) * 90 + 80
    assert check_crop(grey(board)).blur == pytest.approx(1 / 9, abs=0.002)


def test_a_smooth_slope_loses_nothing() -> None:
    slope = np.tile(np.arange(128) * 2, (128, 1))
    assert check_crop(grey(slope)).blur == pytest.approx(1, abs=0.04)  # but at the mirrored edges
    assert check_crop(grey(slope.T)).blur == check_crop(grey(slope)).blur


def test_steps_of_one_level_are_no_detail() -> None:
    """A soft shade is stored in steps; each would be lost in smoothing, as real detail is."""
    board = np.indices((64, 64)).sum(axis=0) % 2
    assert check_crop(grey(board + 80)).blur == 1
    assert check_crop(grey(2 * board + 80)).blur < 0.2


@pytest.mark.parametrize("name", PHOTOS)
def test_more_blur_is_more_blur(name: str) -> None:
    crop = cv2.resize(example(name), (256, 256), interpolation=cv2.INTER_AREA)
    blurred = [cv2.GaussianBlur(crop, (0, 0), sigma) for sigma in (1, 2, 3)]
    ladder = [check_crop(np.asarray(image, np.uint8)).blur for image in (crop, *blurred)]
    assert ladder == sorted(ladder)
    assert ladder[0] < 0.55 < ladder[-1]


def test_a_sharp_photo_stretched_along_one_axis_is_not_blurry() -> None:
    image = example("dolphin_breach.jpg")
    wide = cv2.resize(image[300:500], (512, 512), interpolation=cv2.INTER_CUBIC)  # 2.5 times too high
    assert check_crop(np.asarray(wide, np.uint8)).blur < 0.55


def test_black_bars_do_not_count() -> None:
    inner = picture(3, 200, 80)
    inner = np.maximum(inner, 1)
    padded = np.zeros((200, 200, 3), np.uint8)
    padded[60:140] = inner
    assert check_crop(padded)[1:] == check_crop(inner)[1:]


@pytest.mark.parametrize("name", PHOTOS)
def test_a_larger_size_gives_nearly_the_same_numbers(name: str) -> None:
    small, large = (
        check_crop(
            np.asarray(cv2.resize(example(name), (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        )
        for side in (512, 800)
    )
    assert abs(small.blur - large.blur) < 0.1
    assert abs(small.brightness - large.brightness) < 1
    assert abs(small.entropy - large.entropy) < 0.1


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_numbers_stay_in_their_ranges(width: int, height: int, top: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    blur, brightness, entropy, _ = check_crop(random.integers(0, top + 1, (height, width, 3), dtype=np.uint8))
    assert 0 <= blur <= 1
    assert 0 <= brightness <= 255
    assert 0 <= entropy <= 8


# --- the perceptual hash


@pytest.mark.parametrize("name", PHOTOS)
def test_a_copy_has_nearly_the_same_hash(name: str) -> None:
    """Scaled by half, recompressed, decoded at a reduced scale, a little brighter: what copies are."""
    image = example(name)
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    changed = [
        cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        cv2.imdecode(encoded, cv2.IMREAD_COLOR),
        cv2.imdecode(encoded, cv2.IMREAD_REDUCED_COLOR_2),
        cv2.convertScaleAbs(image, alpha=1.05, beta=3),
    ]
    hashes = [perceptual_hash(np.asarray(other, np.uint8)) for other in changed]
    assert max(bits_apart(perceptual_hash(image), other) for other in hashes) <= 3


def test_other_photos_have_other_hashes() -> None:
    hashes = [perceptual_hash(example(path.name)) for path in sorted(EXAMPLES.glob("*.jpg"))]
    pairs = [bits_apart(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(pairs) > 3 + 6


def test_a_hash_by_hand() -> None:
    """A slope from dark to bright, left to right: all the picture there is lies in the first row of
    coefficients, where a cosine that begins bright is against it; even ones vanish by symmetry."""
    slope = grey(np.tile(np.arange(32) * 8, (32, 1)))
    assert perceptual_hash(slope) == "0" * 16
    back = perceptual_hash(np.ascontiguousarray(slope[:, ::-1]))
    # Of 64 coefficients sorted by row + column and then row, (0, 1), (0, 3) … (0, 9) lead their diagonals.
    places = [(row + column, row, column) for row in range(32) for column in range(32)]
    order = [place[1:] for place in sorted(places)[1:65]]
    expected = "".join("1" if row == 0 and column % 2 else "0" for row, column in order)
    assert back == f"{int(expected, 2):016x}"


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (31, 33), (2000, 300)])
def test_any_shape_has_a_hash(shape: tuple[int, int]) -> None:
    image = picture(1, shape[1], shape[0])
    assert len(perceptual_hash(image)) == 16
    assert perceptual_hash(np.full((*shape, 3), 90, np.uint8)) == "0" * 16


# --- in a run


def test_equal_files_have_equal_checksums() -> None:
    data = photo_bytes(1)
    assert PhotoFile(data).checksum == PhotoFile(bytes(data)).checksum
    assert PhotoFile(data).checksum != PhotoFile(photo_bytes(2)).checksum


class MiddleBox(FakeDetector):
    """Finds the middle of every photo."""

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        height, width = image.shape[:2]
        box = np.array([[width / 8, height / 8, width * 7 / 8, height * 7 / 8]], np.float32)
        return Detections(box, np.ones(1, np.float32), ("Dolphin",))


def test_a_run_finds_copies_and_bad_pictures(tmp_path: Path) -> None:
    photos = tmp_path / "in"
    shutil.copytree(EXAMPLES, photos)
    shutil.copy(photos / "dolphin_breach.jpg", photos / "same file.jpg")
    image = example("dolphin_breach.jpg")
    small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(photos / "smaller.jpg"), small)
    dark = cv2.convertScaleAbs(example("boat_only.jpg"), alpha=0.1)
    cv2.imwrite(str(photos / "dark.png"), dark)
    cv2.imwrite(str(photos / "soft.png"), cv2.GaussianBlur(example("far_fin.jpg"), (0, 0), 12))
    cv2.imwrite(str(photos / "fog.png"), np.full((400, 600, 3), 180, np.uint8))
    in_the_middle = MiddleBox()  # a copy is cropped as its original is
    result = crop(photos, tmp_path / "out", size=256, detector=in_the_middle)
    rows = {row["image"]: row for row in rows_of(tmp_path / "out")}
    flags = {key: set(row["flags"].split(";")) for key, row in rows.items()}
    assert "duplicate" in flags["same file.jpg"]
    assert rows["same file.jpg"]["duplicate_of"] == "dolphin_breach.jpg"
    assert "near_duplicate" in flags["smaller.jpg"]
    assert rows["smaller.jpg"]["duplicate_of"] == "dolphin_breach.jpg"
    assert not flags["dolphin_breach.jpg"] & {"duplicate", "near_duplicate"}
    assert "dark" in flags["dark.png"]
    assert "blurry" in flags["soft.png"]
    assert {"low_information", "blurry"} <= flags["fog.png"]
    # dark.png is a copy of boat_only.jpg, too, and soft.png one of far_fin.jpg.
    copied = {key for key, row in rows.items() if row["duplicate_of"]} - {"soft.png", "dark.png"}
    assert copied == {"same file.jpg", "smaller.jpg"}
    assert api.write_audit(tmp_path / "out").flagged == result.flagged


def test_a_folder_made_before_the_checks_goes_on(tmp_path: Path) -> None:
    """Its records have no numbers: no flag, no crash; photos done now have them."""
    write_photos(tmp_path / "in", 6)
    crop(tmp_path / "in", tmp_path / "out")
    folder = OutputFolder(tmp_path / "out")
    new = ("blur", "brightness", "entropy", "crop_hash", "checksum", "larger_score")
    defaults = {field.name: field.default for field in fields(Record) if field.name in new}
    lines = folder.layout.journal.read_bytes().splitlines(keepends=True)
    records = replay(folder.layout.journal).records.values()
    old = [replace(record, **defaults).to_line() for record in records]
    assert not any(name.encode() in line for name in new for line in old)
    folder.layout.journal.write_bytes(b"".join([lines[0], *old]))
    checks = {"blurry", "dark", "low_information", "duplicate", "near_duplicate"}
    api.write_audit(tmp_path / "out")
    assert not any(checks & set(row["flags"].split(";")) for row in rows_of(tmp_path / "out"))
    write_photo(tmp_path / "in" / "new.jpg", 0)
    result = crop(tmp_path / "in", tmp_path / "out")
    assert (result.done, result.skipped) == (1, 6)
    assert replay(folder.layout.journal).records["new.jpg"].blur is not None
    api.recrop(tmp_path / "out", tmp_path / "again", size=16, quiet=True)
    assert all(
        record.crop_hash
        for record in replay(OutputFolder(tmp_path / "again").layout.journal).records.values()
    )
