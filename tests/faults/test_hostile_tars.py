"""Tar files as no honest program writes them: a listing ends, soon, and every photo is a row."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest

from detic_crop.errors import PhotoError, UsageError
from detic_crop.photos.find import discover
from detic_crop.photos.in_tars import expanded
from detic_crop.photos.location import parse
from detic_crop.photos.tar_headers import MemberHeader, TarHeaders
from tests.kit.errors import refused
from tests.kit.folders import crop, rows_of, samples
from tests.kit.helpers import write
from tests.kit.photos import photo_bytes, write_photos, write_tar
from tests.kit.processes import posix
from tests.kit.servers import memory_store
from tests.kit.tars import END, base_256, header, hostile_tars, member, mutated_tars, pax

PHOTO = photo_bytes(1)
HOSTILE = hostile_tars(PHOTO)
MB = 1 << 20


class Counted(io.BytesIO):
    """A file that says how often it was read, and refuses to be read too often."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.left = 2 * len(data) // 512 + 3

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 <= size <= MB
        self.left -= 1
        assert self.left >= 0
        return super().read(size)


def listed(where: Path | str) -> list[str] | None:
    """The keys of a listing; None of a tar file that is refused."""
    try:
        return [photo.key for photo in discover(where).photos]
    except UsageError as error:
        if error.code in ("not_a_tar", "no_photos"):
            return None
        raise


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_tar_file(tmp_path: Path, name: str) -> None:
    data, expected = HOSTILE[name]
    path = write(tmp_path / "t.tar", data)
    if not expected:
        with refused("not_a_tar" if expected is None else "no_photos"):
            discover(path)
        return
    photos = discover(path).photos
    assert [photo.key for photo in photos] == expected
    assert photos[0].location.read(len(PHOTO)) == PHOTO


@pytest.mark.parametrize("name", HOSTILE)
def test_the_same_in_a_store(name: str) -> None:
    data, expected = HOSTILE[name]
    with memory_store() as store:
        store.write("memory://b/t.tar", data)
        assert listed("memory://b/t.tar") == (expected or None)


def test_every_photo_of_them_is_a_row(tmp_path: Path) -> None:
    for number, (data, _) in enumerate(HOSTILE.values()):
        write(tmp_path / "t" / f"{number}.tar", data)
    usable = [path for path in sorted((tmp_path / "t").iterdir()) if listed(path)]
    keys = [key for path in usable for key in listed(path) or []]
    write(tmp_path / "all.txt", "\n".join(f"t/{path.name}" for path in usable).encode())
    result = crop(tmp_path / "all.txt", tmp_path / "out")
    assert result.counts.total() == len(rows_of(tmp_path / "out")) == len(keys)
    assert set(result.failures) <= {"too_many_pixels", "empty_file", "truncated", "not_an_image"}


def test_headers_are_read_once_and_take_little_memory() -> None:
    for name, (data, _) in HOSTILE.items():
        tracemalloc.start()
        list_headers(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4 * MB, name


def test_a_huge_header_in_a_sparse_file(tmp_path: Path) -> None:
    for kind in (b"x", b"g", b"L", b"K"):
        path = write(tmp_path / "t.tar", member(b"a.jpg", PHOTO) + header(b"h", 2 << 30, kind))
        with open(path, "r+b") as file:
            file.truncate((2 << 30) + 4096)
        tracemalloc.start()
        assert listed(path) == ["a.jpg"]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * MB


def test_damage_is_said_and_no_server_is_blamed(tmp_path: Path) -> None:
    for name in ("negative size", "size beyond counting", "wrong checksum", "cut in a header", "no end"):
        notes = discover(write(tmp_path / "t.tar", HOSTILE[name][0])).notes
        assert len(notes) == 1, name
        assert "t.tar is cut short or damaged after " in notes[0]
        assert "server" not in notes[0]


def test_honest_tar_files_are_listed_as_tarfile_does(tmp_path: Path) -> None:
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        files = {f"{'d/' * number}ü{number}.jpg": b"x" * (number * 37) for number in range(40)}
        if form != tarfile.USTAR_FORMAT:
            files["ö" * 120 + "/" + "é" * 100 + ".jpg"] = b"long"
        path = write_tar(tmp_path / "t.tar", files, form, 1_234_567_890.75)
        with tarfile.open(path) as opened:
            expected = [
                MemberHeader(info.name, info.offset_data, info.size, int(info.mtime), True, False)
                for info in opened
            ]
        with open(path, "rb") as file:
            headers = TarHeaders(file)
            assert list(headers) == expected
        assert headers.is_whole


def test_fields_for_all_that_follow() -> None:
    files = [member(name, b"1") for name in (b"a.jpg", b"b.jpg", b"c.jpg")]
    blocks = (pax({b"mtime": b"1"}, b"g"), files[0], pax({b"mtime": b"0.5"}), *files[1:], END)
    found = [(header.name, header.time) for header in TarHeaders(io.BytesIO(b"".join(blocks)))]
    assert found == [("a.jpg", 1), ("b.jpg", 0), ("c.jpg", 1)]


@posix
def test_a_pipe_is_no_tar_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.tar")
    with refused("unreadable_input"):
        discover(tmp_path / "t.tar")


def test_numbers_that_cannot_be_counted(tmp_path: Path) -> None:
    for text in (f"tar:{'9' * 5000}+1@1:t.tar", f"tar:{'9' * 25}+1@1:t.tar", f"tar:1+{'9' * 400}@1:t.tar"):
        assert parse(text).stat() is None
        with pytest.raises(PhotoError):
            parse(text).read(100)
    for digits in (7, 18):
        with refused("large_range"):
            expanded(f"a-{{0..{'9' * digits}}}.tar")


@pytest.mark.parametrize("kind", ["local", "store"])
def test_mutated_tar_files(tmp_path: Path, kind: str) -> None:
    read = 0
    with memory_store() as store:
        for data in islice(mutated_tars(20, PHOTO), 400):
            list_headers(data)
            where = str(write(tmp_path / "t.tar", data)) if kind == "local" else "memory://b/t.tar"
            if kind == "store":
                store.write(where, data)
            if listed(where) is None:
                continue
            for photo in discover(where).photos:
                assert 0 <= photo.size <= 1 << 60
                assert 0 <= photo.version < 1 << 63
                try:
                    photo.location.read(MB)
                    read += 1
                except PhotoError as error:
                    if error.reason not in ("missing_file", "too_many_pixels"):
                        raise
    assert read > 100


def list_headers(data: bytes) -> None:
    """List a tar file, counting what is read."""
    with contextlib.suppress(tarfile.ReadError):
        list(TarHeaders(Counted(data)))


# ---------------------------------------------------------------- crops in tar files


@pytest.mark.parametrize(
    "name",
    ["negative size that leads back", "3,000 pax headers", "long name of 2 GB", "links in a circle", "text"],
)
def test_a_hostile_tar_file_in_place_of_ours(tmp_path: Path, name: str) -> None:
    write_photos(tmp_path / "in", 3)
    crop(tmp_path / "in", tmp_path / "out", out_format="tar")
    write(tmp_path / "out" / "crops-00000.tar", HOSTILE[name][0])
    crop(tmp_path / "in", tmp_path / "out", out_format="tar")
    assert len(samples(tmp_path / "out")) == 3


def test_a_header_of_ours_that_was_changed(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 3)
    crop(tmp_path / "in", tmp_path / "out", out_format="tar")
    path = tmp_path / "out" / "crops-00000.tar"
    whole = path.read_bytes()
    for raw in (base_256(-512), base_256(1 << 79), b"77777777777\0"):
        for start in range(0, len(whole), 512):
            if whole[start + 257 : start + 262] == b"ustar":
                block = header(whole[start : start + 100].rstrip(b"\0"), raw_size=raw)
                path.write_bytes(whole[:start] + block + whole[start + 512 :])
                result = crop(tmp_path / "in", tmp_path / "out", out_format="tar")
                assert result.counts.total() == len(keys)
                assert samples(tmp_path / "out").keys() == samples_of(whole, tmp_path).keys()


def samples_of(data: bytes, folder: Path) -> dict[str, object]:
    """The samples of one tar file."""
    write(folder / "one" / "crops-00000.tar", data)
    return dict(samples(folder / "one"))
