"""Photos are read no further than they have to be: first the header, and never more than was stated."""

from __future__ import annotations

import io
import os
import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.memory_photos import PHOTOS
from detic_crop.config import DEFAULT_MAX_PIXELS
from detic_crop.errors import PhotoError
from detic_crop.folder.records import Record
from detic_crop.folder.same_photo import is_same_photo
from detic_crop.images import file_bytes
from detic_crop.images.decode import PhotoFile
from detic_crop.images.file_bytes import open_photo
from detic_crop.images.headers.read import read_extent, read_header
from detic_crop.images.memory_use import peak_bytes
from detic_crop.images.source import AT_ONCE, BytesSource, RangeSource, Window
from detic_crop.photos.find import discover
from detic_crop.photos.location import LocalFile, StoreObject
from detic_crop.photos.photo import Photo
from detic_crop.report.html.thumbnails import photo_thumbnail
from detic_crop.stores import store as stores
from detic_crop.stores.store import Store
from detic_crop.system.memory_budget import MemoryBudget
from tests.kit.helpers import counting_file
from tests.kit.photos import photo_bytes, write_photo, write_tar
from tests.kit.servers import endless_server, memory_store, web_server

FEW = 1 << 20
"""Bytes that judging a header may take."""
HUGE = 3_300_000_000


@pytest.fixture
def read_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each reading of a photo in a file has given."""
    sizes: list[int] = []
    monkeypatch.setattr(file_bytes, "FileIO", counting_file(sizes))
    return sizes


def saved(format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((40, 30), 50).convert("RGB").save(file, format, **options)
    return file.getvalue()


def sparse(path: Path, start: bytes = b"", size: int = HUGE, end: bytes = b"") -> Path:
    with open(path, "wb") as file:
        file.write(start)
        file.truncate(size)
        file.seek(0, os.SEEK_END)
        file.write(end)
    return path


def reason_of(read: Callable[[], object]) -> str:
    with pytest.raises(PhotoError) as caught:
        read()
    return caught.value.reason


def open_it(path: Path) -> PhotoFile:
    return Photo.at(path.name, LocalFile(str(path))).open(DEFAULT_MAX_PIXELS, "keep")


def png_head(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def tiff_at_the_end(width: int, at: int) -> tuple[bytes, bytes]:
    """First and last bytes of a TIFF whose directory lies behind its data."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in ((256, width), (257, width)))
    return b"II*\0" + struct.pack("<I", at), struct.pack("<H", 2) + entries + bytes(4)


STARTS = {
    "nothing": (b"", b"", "not_an_image"),
    "jpeg": (saved("JPEG"), b"", "too_many_pixels"),
    "jpeg without a picture": (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(9), b"", "unreadable"),
    "jpeg of marks only": (b"\xff\xd8\xff" + b"\xff" * 4_000_000, b"", "unreadable"),
    "png": (saved("PNG"), b"", "too_many_pixels"),
    "png of many pixels": (png_head(1 << 20, 1 << 20), b"", "too_many_pixels"),
    "png that leads far away": (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 3 << 30, b"tEXt"),
        b"",
        "unreadable",
    ),
    "webp": (saved("WEBP"), b"", "too_many_pixels"),
    "bmp": (saved("BMP"), b"", "too_many_pixels"),
    "tiff": (*tiff_at_the_end(1 << 20, HUGE), "too_many_pixels"),
    "gif": (saved("GIF"), b"", "unsupported_format"),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_huge_file_is_judged_by_its_header(name: str, tmp_path: Path, read_bytes: list[int]) -> None:
    """It takes neither memory nor time; a header of few pixels cannot have so many bytes behind it."""
    start, end, reason = STARTS[name]
    path = sparse(tmp_path / "photo.jpg", start, end=end)
    assert reason_of(lambda: open_it(path)) == reason
    assert sum(read_bytes) <= 8 * FEW


def test_a_file_that_has_grown_since_it_was_listed_is_not_read(tmp_path: Path, read_bytes: list[int]) -> None:
    path = write_photo(tmp_path / "a.jpg")
    [photo] = discover(path).photos
    with path.open("ab") as file:
        file.write(b"\0")
    assert reason_of(lambda: photo.open(DEFAULT_MAX_PIXELS, "keep")) == "photo_changed"
    assert read_bytes == []
    [photo] = discover(path).photos
    assert photo.open(DEFAULT_MAX_PIXELS, "keep").decode().image.size


def test_what_is_appended_while_a_file_is_read_is_not_read(tmp_path: Path) -> None:
    path = write_photo(tmp_path / "a.jpg")
    data = path.read_bytes()
    with open_photo(path, len(data)) as source:
        with path.open("ab") as file:
            file.write(bytes(FEW))
        assert source.whole() == data
        assert source.part(len(data) - 3, FEW) == data[-3:]


def test_a_member_of_a_tar_file_is_not_read_beyond_its_size(tmp_path: Path, read_bytes: list[int]) -> None:
    tar = write_tar(tmp_path / "p.tar", {"a.jpg": photo_bytes(1), "b.jpg": photo_bytes(2)})
    [photo, _] = discover(tar).photos
    read_bytes.clear()
    assert photo.location.read(FEW) == photo_bytes(1)
    assert sum(read_bytes) == photo.size + 512  # with its header


def test_an_object_that_has_grown_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_store() as store:
        store.write("memory://p/a.jpg", photo_bytes(1))
        [photo] = discover("memory://p").photos
        store.write("memory://p/a.jpg", photo_bytes(1) + bytes(FEW))
        sizes: list[int] = []
        read = type(store.fs).cat_file

        def counted(fs: Any, *given: Any, **how: Any) -> bytes:
            data: bytes = read(fs, *given, **how)
            sizes.append(len(data))
            return data

        monkeypatch.setattr(type(store.fs), "cat_file", counted)
        assert reason_of(lambda: photo.open(DEFAULT_MAX_PIXELS, "keep")) == "photo_changed"
        assert sum(sizes) == photo.size + 1


def test_a_large_object_is_judged_before_it_is_read() -> None:
    asked: list[int] = []

    def read(start: int, size: int) -> bytes:
        asked.append(size)
        return (png_head(1 << 20, 1 << 20) + bytes(size))[start : start + size]

    with pytest.raises(PhotoError, match="pixels"):
        PhotoFile.open(RangeSource(AT_ONCE + 1, read), MemoryBudget(1 << 40))
    assert sum(asked) <= FEW


@contextmanager
def counted_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many bytes of web servers' answers were taken at a time."""
    sizes: list[int] = []
    fill = stores.Answer._fill

    def counted(answer: stores.Answer, store: Store, size: int) -> None:
        before = answer._data.tell()
        fill(answer, store, size)
        sizes.append(answer._data.tell() - before)

    monkeypatch.setattr(stores.Answer, "_fill", counted)
    yield sizes


@pytest.mark.parametrize(
    ("start", "size", "reason", "most"),
    [
        (b"", None, "not_an_image", AT_ONCE),
        (b"", 1 << 40, "too_many_pixels", AT_ONCE),  # by what the server says
        (b"", 1 << 30, "not_an_image", AT_ONCE),
        (saved("GIF"), None, "unsupported_format", AT_ONCE),
        (png_head(1 << 20, 1 << 20), None, "too_many_pixels", AT_ONCE),
        (saved("JPEG"), 1 << 30, "too_many_pixels", AT_ONCE),
    ],
)
def test_an_endless_answer_is_cut(
    start: bytes, size: int | None, reason: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with endless_server(start, size) as address, counted_answers(monkeypatch) as sizes:
        photo = Photo("a", StoreObject(f"{address}/a.jpg"), 0, 0)
        assert reason_of(lambda: photo.open(DEFAULT_MAX_PIXELS, "keep")) == reason
    assert sum(sizes) <= most


def test_an_endless_photo_is_cut_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, not twice: what was read is kept in one piece."""
    monkeypatch.setattr(file_bytes, "_METADATA_BYTES", 2 * AT_ONCE)
    most = file_bytes.most_bytes(1_000)
    with endless_server(saved("TIFF")) as address, counted_answers(monkeypatch) as sizes:
        location = StoreObject(f"{address}/a.tif")
        assert reason_of(lambda: location.read(most)) == "too_many_pixels"
    assert sum(sizes) == most + 1


def test_an_answer_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved("PNG")
    with web_server({"/a.png": data}) as web:
        photo = Photo("a", StoreObject(f"{web.address}/a.png"), 0, 0)
        assert photo.open(DEFAULT_MAX_PIXELS, "keep").decode().resolution_wh == (40, 30)
        assert web.asked["/a.png"] == 1


def test_a_large_answer_is_asked_for_once_too() -> None:
    data = saved("TIFF") + bytes(AT_ONCE)
    with web_server({"/a.tif": data}) as web:
        photo = Photo("a", StoreObject(f"{web.address}/a.tif"), 0, 0)
        assert photo.open(DEFAULT_MAX_PIXELS, "keep").decode().resolution_wh == (40, 30)
        assert web.asked["/a.tif"] == 1


def test_the_pages_do_not_read_a_photo_that_has_grown(tmp_path: Path, read_bytes: list[int]) -> None:
    path = write_photo(tmp_path / "a.jpg")
    photo = Photo.at("a.jpg", LocalFile(str(path)))
    width, height = open_it(path).resolution_wh or (0, 0)
    record = Record("a.jpg", "cropped", width=width, height=height, file_size=photo.size)
    budget = MemoryBudget(1 << 30)
    assert photo_thumbnail(record, photo.location, 20, 75, budget)
    read_bytes.clear()
    os.truncate(path, HUGE)
    assert reason_of(lambda: photo_thumbnail(record, photo.location, 20, 75, budget)) == "changed"
    assert read_bytes == []
    assert not is_same_photo(record, Photo.at("a.jpg", photo.location), moved=False)
    assert read_bytes == []


def test_bytes_are_compared_a_few_at_a_time(
    tmp_path: Path, read_bytes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_photo(tmp_path / "a.jpg")
    photo = Photo.at("a.jpg", LocalFile(str(path)))
    checksum = zlib.crc32(path.read_bytes())
    record = Record("a.jpg", "cropped", file_size=photo.size, file_time=1, checksum=checksum)
    monkeypatch.setattr("detic_crop.images.source.AT_ONCE", 100)
    assert is_same_photo(record, photo, moved=False)
    assert max(read_bytes) <= 100
    assert sum(read_bytes) == photo.size


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize("name", PHOTOS)
def test_the_beginning_tells_what_all_of_it_tells(name: str, tmp_path: Path) -> None:
    path = tmp_path / "photo"
    PHOTOS[name](path, 130)
    with open_photo(path) as source:
        extent = read_extent(Window(source))
    header = read_header(path.read_bytes())
    assert extent.format == header.format
    assert (extent.width, extent.height) == (130, 130)
    assert peak_bytes(extent, path.stat().st_size, DEFAULT_MAX_PIXELS) > 3 * 130 * 130
    assert PhotoFile(path.read_bytes()).decode().resolution_wh == (130, 130)


def tiff_of(*entries: tuple[int, int]) -> bytes:
    """A TIFF of 10 × 10 grey pixels, with some numbers in place of what stands there or besides."""
    usual = {256: 10, 257: 10, 258: 8, 259: 1, 262: 1, 273: 200, 278: 10, 279: 100}
    rows = sorted({**usual, **dict(entries)}.items())
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in rows)
    return b"II*\0" + struct.pack("<IH", 8, len(rows)) + directory + bytes(400)


def nested_heic(depth: int) -> bytes:
    """A HEIC of 1 MB whose boxes lie in each other."""
    size = 1 << 20
    boxes = b"".join(struct.pack(">I4s", size - 8 * level, b"ipco") for level in range(depth))
    boxes = boxes.ljust(size, b"\0")
    start = struct.pack(">I4s4sI4s", 20, b"ftyp", b"heic", 0, b"mif1")
    return start + struct.pack(">I4sI", 12 + size, b"meta", 0) + boxes


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff_of((277, 10_000_000)), "unsupported_format"),
        (tiff_of((256, 0)), "unreadable"),
        (tiff_of((50706, 1)), "unsupported_format"),  # camera RAW
        (tiff_of((322, 1 << 20), (323, 1 << 20)), "unreadable"),
        (nested_heic(200), "out_of_memory"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1", "truncated"),
    ],
)
def test_a_header_is_judged_with_little_memory(data: bytes, reason: str) -> None:
    """Before any is borrowed, whatever numbers it states."""
    tracemalloc.start()
    try:
        assert reason_of(lambda: PhotoFile.open(BytesSource(data), MemoryBudget(10))) == reason
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 << 20


@pytest.mark.parametrize("start", [0, 1, 65535, 65536, 131071, 200_000, 524_288])
@pytest.mark.parametrize("size", [0, 1, 2, 4, 65536, 65537, 300_000])
def test_a_window_is_like_bytes(start: int, size: int) -> None:
    data = random.Random(1).randbytes(1000) * 400  # by chance some have what is looked for in vain below
    window = Window(BytesSource(data))
    assert window[start : start + size] == data[start : start + size]
    assert len(window) == len(data)
    end = start + size
    assert window.find(data[-7:] + b"?", start, end) == -1
    assert window.find(data[65533:65540], start, end) == data.find(data[65533:65540], start, end)
    if start < len(data):
        assert window[start] == data[start]
    assert window.startswith((b"no", data[:3]))
