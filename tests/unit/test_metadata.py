"""When, with what and where a photo was taken: formats, odd and wrong EXIF, Pillow as a second opinion."""

from __future__ import annotations

import datetime
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from detic_crop.images.exif import read_exif
from detic_crop.images.metadata import UNKNOWN, Metadata, read_metadata
from detic_crop.images.source import BytesSource, Window
from tests.kit.exif import (
    DATE_TIME,
    DIGITIZED,
    FOCAL,
    LENS,
    MAKE,
    MODEL,
    ORIGINAL,
    RATIONAL,
    SOUTH_EAST,
    block_of,
    camera_exif,
    exif,
    photo_with,
)

EXPECTED = Metadata(
    "2019-07-04T12:31:05.25+10:00", "Canon EOS 7D", "EF400mm f/5.6L USM", 400.0, -23.441500, 151.91
)


def read(*directories: Any) -> Metadata:
    return read_metadata(photo_with(exif(*directories)))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "MPO"])
def test_formats(format: str) -> None:
    data = photo_with(camera_exif(), format)
    assert read_metadata(data) == EXPECTED
    assert read_metadata(Window(BytesSource(data))) == EXPECTED


def test_heic() -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    assert read_metadata(photo_with(camera_exif(), "HEIF")) == EXPECTED


def test_a_photo_without_exif() -> None:
    for format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"):
        assert read_metadata(photo_with(exif(), format)) == UNKNOWN
    assert read_metadata(b"") == read_metadata(b"no photo") == UNKNOWN


def test_only_the_beginning_of_a_jpeg_is_read() -> None:
    class Counting(BytesSource):
        read = 0

        def part(self, start: int, size: int) -> bytes:
            type(self).read += size
            return super().part(start, size)

    data = photo_with(camera_exif(), width=1200, height=900)
    assert read_metadata(Window(Counting(data + bytes(1 << 22)))) == EXPECTED
    assert Counting.read <= 1 << 17


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("2019:07:04 12:31:05", {}, "2019-07-04T12:31:05"),
        ("2019:07:04 12:31:05", {"subsec": "25"}, "2019-07-04T12:31:05.25"),
        ("2019:07:04 12:31:05", {"subsec": "007   "}, "2019-07-04T12:31:05.007"),
        ("2019:07:04 12:31:05", {"subsec": "two"}, "2019-07-04T12:31:05"),
        ("2019:07:04 12:31:05", {"subsec": "1" * 40}, "2019-07-04T12:31:05." + "1" * 9),
        ("2019:07:04 12:31:05", {"offset": "+02:00"}, "2019-07-04T12:31:05+02:00"),
        ("2019:07:04 12:31:05", {"offset": "-0330", "subsec": "5"}, "2019-07-04T12:31:05.5-03:30"),
        ("2019:07:04 12:31:05", {"offset": "Z"}, "2019-07-04T12:31:05+00:00"),
        ("2019:07:04 12:31:05", {"offset": "   :  "}, "2019-07-04T12:31:05"),
        ("2019:07:04 12:31:05", {"offset": "+25:00"}, "2019-07-04T12:31:05"),
        ("2019:07:04 12:31:05", {"offset": "+01:75"}, "2019-07-04T12:31:05"),
        ("2019-07-04T12:31:05", {}, "2019-07-04T12:31:05"),
        ("2019/07/04 12:31:05", {}, "2019-07-04T12:31:05"),
        ("2019.07.04 12.31.05", {}, "2019-07-04T12:31:05"),
        ("2019: 7: 4  9: 1: 5", {}, "2019-07-04T09:01:05"),
        ("2019:07:04 12:31:05.5Z", {"subsec": "9"}, "2019-07-04T12:31:05.5+00:00"),
        ("  2019:07:04 12:31:05 ", {}, "2019-07-04T12:31:05"),
        ("2020:02:29 00:00:00", {}, "2020-02-29T00:00:00"),
        ("0000:00:00 00:00:00", {"offset": "+02:00", "subsec": "1"}, ""),
        ("    :  :     :  :  ", {}, ""),
        ("2019-07-04", {}, ""),
        ("2019:07:04 12:31", {}, ""),
        ("2019:07:04 25:00:00", {}, ""),
        ("2019:07:04 24:00:00", {}, ""),
        ("2019:02:30 12:00:00", {}, ""),
        ("2019:13:01 12:00:00", {}, ""),
        ("0001:01:01 00:00:00", {}, ""),
        ("20190704123105", {}, ""),
        ("٢٠١٩:07:04 12:31:05", {}, ""),
        ("yesterday", {}, ""),
        ("", {}, ""),
    ],
)
def test_times(text: str, more: dict[str, str], expected: str) -> None:
    entries = {ORIGINAL: text, **{{"subsec": 0x9291, "offset": 0x9011}[k]: v for k, v in more.items()}}
    values = [(tag, 2, len(data), data) for tag, value in entries.items() if (data := value.encode() + b"\0")]
    found = read_metadata(photo_with(block_of("<", [], values))).taken
    assert found == expected
    if expected:
        datetime.datetime.fromisoformat(found)


def test_the_first_time_that_is_one_counts() -> None:
    assert read(
        {DATE_TIME: "2001:01:01 01:01:01"}, {DIGITIZED: "2002:02:02 02:02:02", 0x9292: "7"}
    ).taken == ("2002-02-02T02:02:02.7")
    wrong = {ORIGINAL: "0000:00:00 00:00:00", DIGITIZED: "    ", 0x9290: "5", 0x9010: "-04:00", 0x9011: "Z"}
    assert read({DATE_TIME: "2001:01:01 01:01:01"}, wrong).taken == "2001-01-01T01:01:01.5-04:00"


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 7D", "Canon EOS 7D"),
        ("NIKON CORPORATION", "NIKON D850", "NIKON D850"),
        ("EASTMAN KODAK COMPANY", "KODAK EASYSHARE", "KODAK EASYSHARE"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("Canon  ", " EOS\n7D\x07 ", "Canon EOS 7D"),
        ("Canon", "", "Canon"),
        ("", "EOS 7D", "EOS 7D"),
        ("", "", ""),
        ("Canonball", "Canon X", "Canonball Canon X"),
        ("M" * 500, "X" * 500, "M" * 100),
        ("a\u202eb", "\ufeffc\u200b", "ab c"),
        ("=cmd|' /C calc'!A0", "", "=cmd|' /C calc'!A0"),  # `--csv-safe` is for that
    ],
)
def test_cameras(make: str, model: str, camera: str) -> None:
    values = [
        (tag, 2, len(text.encode()), text.encode()) for tag, text in ((MAKE, make), (MODEL, model)) if text
    ]
    assert read_metadata(photo_with(block_of(">", values))).camera == camera


def test_texts_of_any_encoding() -> None:
    for data, text in (
        ("Leitz Ø".encode(), "Leitz Ø"),
        ("Leitz Ø".encode("cp1252"), "Leitz Ø"),
        (b"Leitz\0\xff\xfe rubbish", "Leitz"),
        (b"\0Leitz", ""),
    ):
        assert read_metadata(photo_with(block_of("<", [], [(LENS, 2, len(data), data)]))).lens == text


@pytest.mark.parametrize(
    ("kind", "data", "focal"),
    [
        (5, struct.pack("<LL", 400, 1), 400.0),
        (5, struct.pack("<LL", 415, 100), 4.15),
        (5, struct.pack("<LL", 2**32 - 1, 3), None),
        (5, struct.pack("<LL", 400, 0), None),
        (5, struct.pack("<LL", 0, 0), None),
        (5, struct.pack("<LL", 0, 1), None),
        (5, struct.pack("<LL", 1, 2**32 - 1), None),
        (10, struct.pack("<ll", -50, 1), None),
        (3, struct.pack("<H", 50), 50.0),
        (12, struct.pack("<d", float("nan")), None),
        (12, struct.pack("<d", float("inf")), None),
        (2, b"400 mm", None),
        (7, b"\1\2\3\4", None),
    ],
)
def test_focal_lengths(kind: int, data: bytes, focal: float | None) -> None:
    size = {5: 8, 10: 8, 3: 2, 12: 8}.get(kind, 1)
    block = block_of("<", [], [(FOCAL, kind, len(data) // size, data)])
    assert read_metadata(photo_with(block)).focal_mm == focal


ZERO = RATIONAL(0, 0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, (-23.4415, 151.91)),
        ({1: "N", 3: "W"}, (23.4415, -151.91)),
        ({1: "n"}, (23.4415, 151.91)),
        ({2: (RATIONAL(23), RATIONAL(26490, 1000), RATIONAL(0))}, (-23.4415, 151.91)),
        ({2: (RATIONAL(90), RATIONAL(0), RATIONAL(0))}, (-90.0, 151.91)),
        ({2: (RATIONAL(90), RATIONAL(0), RATIONAL(1))}, None),
        ({2: (RATIONAL(91), RATIONAL(0), RATIONAL(0))}, None),
        ({4: (RATIONAL(181), RATIONAL(0), RATIONAL(0))}, None),
        ({2: (RATIONAL(23), RATIONAL(61), RATIONAL(0))}, None),
        ({2: (ZERO, ZERO, ZERO)}, None),
        ({4: (RATIONAL(151), RATIONAL(54), ZERO)}, None),
        ({1: None}, None),
        ({3: ""}, None),
        ({3: "X"}, None),
        ({4: None}, None),
        ({0x12: "TOKYO"}, None),
        ({0x12: "WGS 84  "}, (-23.4415, 151.91)),
        ({0x12: None}, (-23.4415, 151.91)),
        ({2: (RATIONAL(0), RATIONAL(0), RATIONAL(0)), 4: (RATIONAL(0), RATIONAL(0), RATIONAL(0))}, None),
        ({2: (RATIONAL(0), RATIONAL(0), RATIONAL(0))}, (0.0, 151.91)),
    ],
)
def test_positions(change: dict[int, Any], expected: tuple[float, float] | None) -> None:
    values = {tag: value for tag, value in (SOUTH_EAST | change).items() if value is not None}
    found = read({}, {}, values)
    assert (found.latitude, found.longitude) == (expected or (None, None))


@pytest.mark.parametrize("order", ["<", ">"])
def test_values_of_other_types(order: str) -> None:
    """Each tag with each type: at worst it is unknown."""
    for tag in (MAKE, MODEL, DATE_TIME, ORIGINAL, FOCAL, LENS, 1, 2, 3, 4, 0x12):
        for kind in range(20):
            for count in (0, 1, 3, 60000, 2**32 - 1):
                entries = [(tag, kind, count, b"\xff\0 12:zzz\x1b[2J" * 3)]
                found = read_metadata(photo_with(block_of(order, entries, entries, entries)))
                assert found.taken == ""
                assert found.camera.isprintable()
                assert found.latitude is None


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(block: bytes) -> None:
    for data in (block, b"II*\0\x08\0\0\0" + block, b"\xff\xd8\xff\xe1\0\xffExif\0\0MM\0*\0\0\0\x08" + block):
        assert isinstance(read_metadata(data), Metadata)
        assert isinstance(read_metadata(Window(BytesSource(data))), Metadata)


@settings(deadline=None)
@given(st.data())
def test_damaged_exif(data: st.DataObject) -> None:
    block = bytearray(camera_exif())
    for _ in range(data.draw(st.integers(1, 8))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    photo = photo_with(bytes(block[: data.draw(st.integers(8, len(block)))]))
    found = read_metadata(photo)
    assert found.camera.isprintable()
    assert found.lens.isprintable()
    assert (found.latitude is None) == (found.longitude is None)
    assert found.latitude is None or -90 <= found.latitude <= 90
    assert found.longitude is None or -180 <= found.longitude <= 180
    assert found.focal_mm is None or 0 < found.focal_mm < 1e6
    if found.taken:
        datetime.datetime.fromisoformat(found.taken)
    if (read_back := read_exif(photo)) is not None:
        crop = read_back.of_crop(10, 20, gps=True)
        assert len(crop) <= 65_527


def test_pillow_reads_the_same() -> None:
    block = camera_exif()
    theirs = Image.Exif()
    theirs.load(b"Exif\0\0" + block)
    ours = read_exif(photo_with(block))
    assert ours is not None
    again = Image.Exif()
    again.load(ours.of_crop(60, 40, gps=True))
    for pointer, dropped in ((0x8769, {0x927C, 0xA431, 0xA002, 0xA003}), (0x8825, set())):
        expected = {tag: value for tag, value in theirs.get_ifd(pointer).items() if tag not in dropped}
        found = {tag: value for tag, value in again.get_ifd(pointer).items() if tag not in (0xA002, 0xA003)}
        assert found == expected
    assert again.get_ifd(0x8769)[0xA002] == 60
    assert again.get_ifd(0x8769)[0xA003] == 40
