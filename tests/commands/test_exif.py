"""EXIF of photos: in crops, journal and tables only what was asked for, and a position only with --gps."""

from __future__ import annotations

import csv
import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl
import pytest
from PIL import Image

from detic_crop import api
from detic_crop.folder.records import files_of as files_of_record
from detic_crop.images.exif import read_exif
from detic_crop.images.metadata import metadata_of, read_metadata
from detic_crop.photos.keys import STATE
from detic_crop.report.metadata_columns import NUMBERS
from detic_crop.report.table import COLUMNS
from tests.kit.errors import refused
from tests.kit.exif import (
    GPS,
    MAKE,
    ORIENTATION,
    ORIGINAL,
    PHOTO,
    block_of,
    camera_exif,
    photo_with,
)
from tests.kit.folders import assert_same, crop, files_of, product, records_of, row_of, rows_of, samples
from tests.kit.photos import write_photos
from tests.kit.verdicts import give_verdicts

SIDE = 32
TAKEN = "2019-07-04T12:31:05.25+10:00"
ALL_OF_PLACE = (
    *(b"Heron", b"reef", b"23.44", b"151.9", b"serial", b"WGS"),
    struct.pack(">L", 151),
    struct.pack("<LL", 151, 1),
    struct.pack(">LL", 151, 1),
)
"""What of `camera_exif` would tell where the photo was taken, or with whose camera."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos with all that a camera writes, in every format, and some without EXIF."""
    folder = tmp_path / "in"
    write_photos(folder, 3)
    for number, (format, suffix) in enumerate(
        [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")]
    ):
        data = photo_with(camera_exif(), format, seed=number + 20)
        (folder / f"{format.lower()}.{suffix}").write_bytes(data)
    return folder


WITH_EXIF = ("jpeg.jpg", "png.png", "webp.webp", "tiff.tif")


def crops_of(out: Path) -> dict[str, bytes]:
    """Key → bytes of the crop."""
    with_crop = {key: record for key, record in records_of(out).items() if record.status != "rejected"}
    return {key: (out / record.crop).read_bytes() for key, record in with_crop.items() if record.crop}


def directories(data: bytes) -> tuple[dict[int, Any], dict[int, Any], dict[int, Any]]:
    """What Pillow reads of a crop's EXIF: IFD0, Exif IFD, GPS IFD."""
    with Image.open(io.BytesIO(data)) as opened:
        exif = opened.getexif()
    return dict(exif), dict(exif.get_ifd(PHOTO)), dict(exif.get_ifd(GPS))


def hold_position(out: Path) -> list[str]:
    """Names of the files below an output folder that tell something of a position."""
    return [name for name, data in files_of(out).items() if any(said in data for said in ALL_OF_PLACE)]


@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_a_crop_keeps_what_is_true_of_it(photos: Path, tmp_path: Path, format: str) -> None:
    crop(photos, tmp_path / "out", exif="keep", format=format, out_format="files")
    crops = crops_of(tmp_path / "out")
    for key in WITH_EXIF:
        image, photo, gps = directories(crops[key])
        assert (image[MAKE], image[ORIENTATION], image[0x013B]) == ("Canon", 1, "A. Diver")
        assert (photo[ORIGINAL], photo[0xA002], photo[0xA003]) == ("2019:07:04 12:31:05", SIDE, SIDE)
        assert photo.keys().isdisjoint({0x927C, 0x9286, 0xA431})
        assert gps == {}
    for key in crops.keys() - set(WITH_EXIF):
        assert directories(crops[key]) == ({}, {}, {})
    assert hold_position(tmp_path / "out") == []


@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_the_pixels_are_those_without_exif(photos: Path, tmp_path: Path, format: str) -> None:
    crop(photos, tmp_path / "kept", exif="keep", format=format)
    crop(photos, tmp_path / "plain", format=format)
    kept, plain = crops_of(tmp_path / "kept"), crops_of(tmp_path / "plain")
    assert kept.keys() == plain.keys()
    for key, data in kept.items():
        assert (data == plain[key]) == (key not in WITH_EXIF)
        assert read_exif(plain[key]) is None
        for decoded in (_with_cv2, _with_pillow):
            assert np.array_equal(decoded(data), decoded(plain[key]))
    assert records_of(tmp_path / "kept")["jpeg.jpg"].crop_bytes == len(kept["jpeg.jpg"])


def _with_cv2(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def _with_pillow(data: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_the_position_is_kept_if_asked_for(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out", exif="keep", gps=True)
    for key in WITH_EXIF:
        data = crops_of(tmp_path / "out")[key]
        found = read_metadata(data)
        assert (found.latitude, found.longitude) == (-23.4415, 151.91)
        image, photo, _ = directories(data)
        assert image[0x010E] == "off Heron Island"
        assert photo[0x9286].endswith(b"near the reef")
        assert photo.keys().isdisjoint({0x927C, 0xA431})


def test_records_have_what_was_asked_for(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out", metadata=True)
    for key, record in records_of(tmp_path / "out").items():
        known = key in WITH_EXIF
        assert record.taken == (TAKEN if known else "")
        assert record.camera == ("Canon EOS 7D" if known else "")
        assert record.lens == ("EF400mm f/5.6L USM" if known else "")
        assert record.focal_mm == (400.0 if known else None)
        assert record.latitude is record.longitude is None
    assert hold_position(tmp_path / "out") == []
    assert crops_of(tmp_path / "out") == crops_of_plain(photos, tmp_path / "plain")
    crop(photos, tmp_path / "with_gps", metadata=True, gps=True)
    record = records_of(tmp_path / "with_gps")["jpeg.jpg"]
    assert (record.taken, record.latitude, record.longitude) == (TAKEN, -23.4415, 151.91)


def crops_of_plain(photos: Path, out: Path) -> dict[str, bytes]:
    crop(photos, out)
    return crops_of(out)


def test_nothing_is_read_unless_asked(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_exif(data: object) -> None:
        raise AssertionError("read without being asked")

    monkeypatch.setattr("detic_crop.images.decode.read_exif", read_exif)
    crop(photos, tmp_path / "out")
    journal = (tmp_path / "out" / STATE / "journal.jsonl").read_bytes()
    for name in (b"taken", b"camera", b"lens", b"focal", b"latitude", b"exif", b"metadata", b"gps"):
        assert name not in journal
    assert {record.status for record in records_of(tmp_path / "out").values()} <= {"cropped", "resized"}


@pytest.mark.parametrize(
    "change",
    [{"exif": "keep"}, {"metadata": True}, {"metadata": True, "gps": True}],
    ids=str,
)
def test_a_resume_must_ask_for_the_same(photos: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    crop(photos, tmp_path / "out")
    with refused("other_settings") as caught:
        crop(photos, tmp_path / "out", **change)
    assert all(name in caught.value.message for name in change)


EXPECTED_CELLS = {
    "taken": TAKEN,
    "camera": "Canon EOS 7D",
    "lens": "EF400mm f/5.6L USM",
    "focal_mm": "400",
    "latitude": "-23.441500",
    "longitude": "151.910000",
}


@pytest.mark.parametrize("gps", [False, True])
@pytest.mark.parametrize("animals", ["largest", "all"])
def test_the_tables_have_its_columns(photos: Path, tmp_path: Path, gps: bool, animals: str) -> None:
    out = tmp_path / "out"
    (tmp_path / "labels.csv").write_text("image,taken,latitude\njpeg.jpg,then,here\nphoto000.jpg,,\n")
    crop(photos, out, metadata=True, gps=gps, animals=animals, labels=tmp_path / "labels.csv")
    expected = EXPECTED_CELLS if gps else dict(list(EXPECTED_CELLS.items())[:4])
    for name in ("audit.csv", "animals.csv") if animals == "all" else ("audit.csv",):
        with open(out / name, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file, strict=True) if row["image"] == "jpeg.jpg"]
        assert rows
        for row in rows:
            assert {column: row[column] for column in expected} == expected
            assert row["label_taken"] == "then"
            assert row["label_latitude" if gps else "latitude"] == "here"
    empty = row_of(out, "photo000.jpg")
    assert not any(empty[column] for column in expected)
    table = api.read_audit(out)
    assert table.focal_mm[0] == 400.0
    assert table.latitude[0] == (-23.4415 if gps else "here")


def test_a_workbook_has_its_columns(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out", metadata=True, gps=True)
    api.write_audit(tmp_path / "out", xlsx=True)
    header, *rows = openpyxl.load_workbook(tmp_path / "out" / "audit.xlsx")["audit"].iter_rows(
        values_only=True
    )
    cells = {row[0]: dict(zip(header, row, strict=True)) for row in rows}["jpeg.jpg"]
    for column, text in EXPECTED_CELLS.items():
        assert cells[column] == (float(text) if column in NUMBERS else text)


def test_without_it_the_tables_have_no_such_column(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out", exif="keep", gps=True)
    assert set(rows_of(tmp_path / "out")[0]) == set(COLUMNS)


@pytest.mark.slow
def test_shards_make_what_a_run_does(photos: Path, tmp_path: Path) -> None:
    everything: dict[str, Any] = {"exif": "keep", "metadata": True, "gps": True, "animals": "all"}
    crop(photos, tmp_path / "one", **everything)
    for shard in ("0/2", "1/2"):
        crop(photos, tmp_path / "parts", shard=shard, **everything)
    api.merge(tmp_path / "parts")
    assert_same(tmp_path / "parts", product(tmp_path / "one"))


@pytest.mark.slow
def test_every_animal_keeps_it(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out", exif="keep", animals="all", size="native", conf=0.01)
    several = 0
    for key in WITH_EXIF:
        record = records_of(tmp_path / "out")[key]
        for path, size in files_of_record(record):
            data = (tmp_path / "out" / path).read_bytes()
            assert len(data) == size
            _, photo, gps = directories(data)
            with Image.open(io.BytesIO(data)) as opened:
                assert (photo[0xA002], photo[0xA003]) == opened.size
            assert (photo[ORIGINAL], gps) == ("2019:07:04 12:31:05", {})
            several += 1
    assert several > len(WITH_EXIF)


@pytest.mark.slow
@pytest.mark.parametrize("out_format", ["files", "tar"])
def test_recrop_adds_and_removes_it(photos: Path, tmp_path: Path, out_format: str) -> None:
    everything: dict[str, Any] = {"exif": "keep", "metadata": True, "gps": True}
    crop(photos, tmp_path / "plain", out_format=out_format)
    crop(photos, tmp_path / "full", out_format=out_format, **everything)
    api.recrop(tmp_path / "plain", tmp_path / "added", quiet=True, **everything)
    assert_same(tmp_path / "added", product(tmp_path / "full"))
    api.recrop(tmp_path / "full", tmp_path / "removed", quiet=True, exif="strip", metadata=False, gps=False)
    assert_same(tmp_path / "removed", product(tmp_path / "plain"))
    assert hold_position(tmp_path / "removed") == []
    api.recrop(tmp_path / "full", tmp_path / "same", quiet=True)
    assert_same(tmp_path / "same", product(tmp_path / "full"))


@pytest.mark.slow
def test_apply_leaves_it(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    crop(photos, out, exif="keep", metadata=True)
    verdicts = {"jpeg.jpg": "box", "png.png": "accepted", "webp.webp": "whole", "tiff.tif": "rejected"}
    give_verdicts(out, verdicts)
    api.apply(out, quiet=True)
    for key, record in records_of(out).items():
        if key in verdicts:
            assert (record.verdict, record.taken) == (verdicts[key], TAKEN)
    for key in ("jpeg.jpg", "png.png", "webp.webp"):
        assert directories(crops_of(out)[key])[0][MAKE] == "Canon"
    assert hold_position(out) == []
    give_verdicts(out, dict.fromkeys(verdicts, "undone"))
    api.apply(out, quiet=True)
    crop(photos, tmp_path / "again", exif="keep", metadata=True)
    assert crops_of(out) == crops_of(tmp_path / "again")


@pytest.mark.slow
def test_samples_in_tar_files_have_it(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "out", out_format="tar", metadata=True)
    texts = {values["image"]: values for _, values in samples(tmp_path / "out").values()}
    assert (texts["jpeg.jpg"]["taken"], texts["jpeg.jpg"]["focal_mm"]) == (TAKEN, 400.0)
    assert "taken" not in texts["photo000.jpg"]
    assert not any("latitude" in values for values in texts.values())
    assert hold_position(tmp_path / "out") == []


def test_gps_alone_is_refused(photos: Path, tmp_path: Path) -> None:
    with refused("option_not_applicable"):
        crop(photos, tmp_path / "out", gps=True)
    assert not (tmp_path / "out").exists()


LARGE = b"\xe9" * 60_000


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"rubbish",
        b"II*\0\x08\0\0\0",
        b"II*\0\xff\xff\xff\xff",
        block_of("<", [(MAKE, 2, 60_000, LARGE)]),
        block_of(">", [(MAKE, 2, 6, b"Canon\0")], [(ORIGINAL, 4, 2, bytes(8)), (0x927C, 7, 60_000, LARGE)]),
        block_of("<", [(MAKE, 2, 6, b"Canon\0")], [(ORIGINAL, 2, 2**31, b"2019")], [(1, 2, 2, b"S\0")]),
        block_of("<", [(PHOTO, 4, 1, struct.pack("<L", 8)), (GPS, 4, 1, struct.pack("<L", 8))]),
        camera_exif()[:-70],
    ],
    ids=range(9),
)
@pytest.mark.parametrize("format", ["jpg", "png", "webp"])
def test_odd_exif_costs_no_crop(tmp_path: Path, block: bytes, format: str) -> None:
    (tmp_path / "in").mkdir()
    file = photo_with(b"MM*", "JPEG")
    at = file.index(b"Exif\0\0") + 6
    # By hand: Pillow would refuse some of them.
    size = len(block) + 8
    (tmp_path / "in" / "a.jpg").write_bytes(
        file[: at - 8] + size.to_bytes(2, "big") + b"Exif\0\0" + block + file[at + 3 :]
    )
    crop(tmp_path / "in", tmp_path / "out", exif="keep", metadata=True, gps=True, format=format)
    (record,) = records_of(tmp_path / "out").values()
    assert record.status in ("cropped", "resized")
    (data,) = crops_of(tmp_path / "out").values()
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        opened.getexif()


def test_more_exif_than_a_jpeg_holds() -> None:
    """PNG has no limit; of what is too much for a JPEG the rest is kept."""
    copyright, artist = b"c" * 40_000, b"a" * 40_000
    values = [(0x013B, 2, 40_000, artist), (0x8298, 2, 40_000, copyright)]
    exif = read_exif(photo_with(block_of(">", values, [(ORIGINAL, 2, 20, b"2019:07:04 12:31:05\0")]), "PNG"))
    assert exif is not None
    block = exif.of_crop(5, 6)
    assert len(block) <= 65_527
    again = read_exif(block)
    assert again is not None
    assert again.image.keys() == {0x013B}
    assert metadata_of(again).taken == "2019-07-04T12:31:05"


def test_much_exif_leaves_room_for_a_small_crop(tmp_path: Path) -> None:
    image = [(MAKE, 2, 6, b"Canon\0"), (0x8298, 2, 40_000, b"c" * 40_000)]
    block = block_of(">", image, [(ORIGINAL, 2, 20, b"2019:07:04 12:31:05\0")])
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(photo_with(block, width=400, height=300))
    crop(tmp_path / "in", tmp_path / "out", exif="keep", size="long:300", max_bytes=30_000)
    (data,) = crops_of(tmp_path / "out").values()
    assert len(data) <= 30_000
    image_tags, photo_tags, _ = directories(data)
    assert (image_tags[MAKE], photo_tags[ORIGINAL]) == ("Canon", "2019:07:04 12:31:05")
    assert 0x8298 not in image_tags
