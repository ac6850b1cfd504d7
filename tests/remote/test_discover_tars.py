"""Photos in tar files: which are found, what they are called, and where their bytes are read."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from detic_crop import api
from detic_crop.errors import PhotoError, UsageError
from detic_crop.photos.find import discover
from detic_crop.photos.in_tars import expanded
from detic_crop.photos.location import parse
from detic_crop.photos.photo import Photo
from detic_crop.wording import counted
from tests.kit.errors import refused
from tests.kit.folders import crop, product, rows_of
from tests.kit.helpers import write
from tests.kit.photos import photo_bytes, write_photos, write_tar

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def contents(where: str | Path) -> dict[str, bytes]:
    """Key → bytes as a run would read them."""
    return {photo.key: photo.location.read(10**6) for photo in discover(where).photos}


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_each_photo_is_read_from_its_place(tmp_path: Path, format: int) -> None:
    files = {
        "b.jpg": b"B" * 700,
        "a/a.PNG": b"A",
        "a/empty.jpg": b"",
        "ü" * 40 + ".jpg": b"U",
        "n.json": b"{}",
    }
    if format != tarfile.USTAR_FORMAT:
        files["d/" * 150 + "long.jpg"] = b"L" * 512
    path = write_tar(tmp_path / "p.tar", files, format, 1_700_000_000.75)
    del files["n.json"]
    listing = discover(path)
    assert [photo.key for photo in listing.photos] == list(files)  # as they stand there, not sorted
    assert contents(path) == files
    assert [photo.size for photo in listing.photos] == [len(data) for data in files.values()]
    assert {photo.version for photo in listing.photos} == {1_700_000_000 * 10**9}
    assert listing.ignored == 1
    assert listing.notes == []
    for photo in listing.photos:  # found again without reading the whole file
        assert Photo.at(photo.key, photo.location) == photo


def test_several_tar_files(tmp_path: Path) -> None:
    write_tar(tmp_path / "p-08.tar", {"a.jpg": b"1", "same.jpg": b"2"})
    write_tar(tmp_path / "p-09.tar", {"b.jpg": b"3", "same.jpg": b"4"})
    write_tar(tmp_path / "p-10.tar", {"c.jpg": b"5"})
    expected = {"a.jpg": b"1", "p-08/same.jpg": b"2", "b.jpg": b"3", "p-09/same.jpg": b"4", "c.jpg": b"5"}
    assert contents(tmp_path / "p-{08..10}.tar") == expected
    assert contents(tmp_path / "p-*.tar") == expected
    assert list(contents(tmp_path / "p-*.tar")) == list(expected)
    assert contents(tmp_path / "p-{09..10}.tar").keys() == {"b.jpg", "same.jpg", "c.jpg"}


def test_a_list_of_tar_files(tmp_path: Path) -> None:
    write_tar(tmp_path / "t" / "p-0.tar", {"a.jpg": b"1", "same.jpg": b"2"})
    write_tar(tmp_path / "t" / "p-1.TAR", {"b.jpg": b"3", "same.jpg": b"4"})
    path = write(tmp_path / "list.txt", b"t/p-1.TAR\nfile://" + bytes(tmp_path) + b"/t/p-0.tar\nt/p-1.TAR\n")
    assert contents(path) == {"b.jpg": b"3", "p-1/same.jpg": b"4", "a.jpg": b"1", "p-0/same.jpg": b"2"}
    assert discover(path).notes == ["lines of list.txt that repeat a photo: 1"]
    write(path, b"t/p-0.tar\nt/none.tar\n")
    with refused("unreadable_input"):
        discover(path)


def test_ranges() -> None:
    assert expanded("a.tar") == ["a.tar"]
    assert expanded("a-{8..10}.tar") == ["a-8.tar", "a-9.tar", "a-10.tar"]
    assert expanded("{0..1}-{00..01}") == ["0-00", "0-01", "1-00", "1-01"]
    assert len(expanded("s3://b/p-{000..099}.tar")) == 100
    with refused("backward_range"):
        expanded("a-{9..1}.tar")


def test_what_is_no_photo_of_its_own_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "p.tar"
    with tarfile.open(path, "w") as opened:
        for name, kind in (
            ("link.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
            ("d.jpg", tarfile.DIRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "real.jpg"
            opened.addfile(info)
        for name in (
            "real.jpg",
            "._real.jpg",
            ".hidden/x.jpg",
            "./here.jpg",
            "../../out.jpg",
            "/etc/abs.jpg",
        ):
            info = tarfile.TarInfo(name)
            info.size = 1
            opened.addfile(info, io.BytesIO(b"x"))
    listing = discover(path)
    assert [photo.key for photo in listing.photos] == ["real.jpg", "here.jpg", "out.jpg", "etc/abs.jpg"]
    assert listing.ignored == 2


def test_what_was_added_again_later_counts(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "p.tar", {"a.jpg": b"old", "b.jpg": b"b"})
    with tarfile.open(path, "a") as opened:
        info = tarfile.TarInfo("a.jpg")
        info.size = 3
        opened.addfile(info, io.BytesIO(b"new"))
    assert contents(path) == {"a.jpg": b"new", "b.jpg": b"b"}
    assert discover(path).notes == ["photos that are in p.tar several times, of which the last is taken: 1"]


@pytest.mark.parametrize("cut", [-10240, -9216, 1030, 1500, 2048, 2100])
def test_one_that_was_cut_short(tmp_path: Path, cut: int) -> None:
    path = write_tar(tmp_path / "p.tar", {"a.jpg": b"a" * 100, "b.jpg": b"b" * 400, "c.jpg": b"c" * 600})
    data = path.read_bytes()
    # Headers at 0, 1024 and 2048; photos at 512, 1536 and 2560.
    path.write_bytes(data[: cut if cut > 0 else 3584])
    listing = discover(path)
    found = [photo.key for photo in listing.photos]
    assert found == ["a.jpg", "b.jpg", "c.jpg"][: 3 if cut < 0 else 1 if cut < 1536 else 2]
    assert listing.notes == [
        f"p.tar is cut short or damaged after {counted(len(found), 'file')}; what is before that is taken"
    ]
    assert listing.photos[0].location.read(1000) == b"a" * 100


def test_garbage_in_the_middle(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "p.tar", {"a.jpg": b"a", "b.jpg": b"b"})
    data = bytearray(path.read_bytes())
    data[1024:1536] = b"\x55" * 512
    path.write_bytes(data)
    listing = discover(path)
    assert [photo.key for photo in listing.photos] == ["a.jpg"]
    assert "damaged after 1 file;" in listing.notes[0]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("p.tar", b"", "not_a_tar"),
        ("p.tar", b"\x1f\x8b" + b"x" * 2000, "not_a_tar"),
        ("p.tar", b"\0" * 10240, "no_photos"),
        ("p.tar.gz", b"x", "compressed_input"),
        ("p.tgz", b"x", "compressed_input"),
        ("p.zip", b"x", "compressed_input"),
    ],
)
def test_what_is_no_tar_file(tmp_path: Path, name: str, data: bytes, code: str) -> None:
    with refused(code):
        discover(write(tmp_path / name, data))


def test_missing_ones_are_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "p-0.tar", {"a.jpg": b"1"})
    with refused("missing_input") as caught:
        discover(tmp_path / "p-{0..2}.tar")
    assert "p-1.tar does not exist (2 of 3 tar files are missing)" in caught.value.message
    for name in ("q-*.tar", "none.tar"):
        with refused("missing_input"):
            discover(tmp_path / name)


def test_a_folder_of_tar_files_says_how(tmp_path: Path) -> None:
    write_tar(tmp_path / "p-0.tar", {"a.jpg": b"1"})
    with refused("no_photos") as caught:
        discover(tmp_path)
    assert "tar files are given as 'FOLDER/*.tar'" in caught.value.message


def test_a_member_that_is_not_there_any_more(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "p.tar", {"a.jpg": b"a" * 1000, "b.jpg": b"b"})
    first, second = discover(path).photos
    write_tar(path, {"z.jpg": b"z" * 5})
    assert Photo.at("a.jpg", first.location).size == -1
    assert Photo.at("b.jpg", second.location).size == -1
    path.unlink()
    assert Photo.at("a.jpg", first.location).size == -1
    with refused("missing_file", PhotoError):
        first.location.read(10**6)


def test_a_tar_file_that_changes_after_it_was_listed(tmp_path: Path) -> None:
    """Its bytes are not taken for the photo that stood there."""
    path = write_tar(tmp_path / "p.tar", {"a.jpg": b"a" * 1000, "b.jpg": b"b" * 2000})
    found = discover(path).photos
    write_tar(path, {"a.jpg": b"A" * 1000, "z.jpg": b"z" * 9000})
    assert found[0].location.read(10**6) == b"A" * 1000  # the same time and size: it may be the same
    with refused("missing_file", PhotoError):
        found[1].location.read(10**6)


def test_a_member_may_not_be_too_large(tmp_path: Path) -> None:
    [photo] = discover(write_tar(tmp_path / "p.tar", {"a.jpg": b"a" * 1000})).photos
    with refused("too_many_pixels", PhotoError):
        photo.location.read(999)


def test_a_run_over_tar_files(tmp_path: Path) -> None:
    names = write_photos(tmp_path / "photos", 9)
    crop(tmp_path / "photos", tmp_path / "plain")
    for number in (0, 1):
        write_tar(
            tmp_path / f"p-{number}.tar",
            {n: (tmp_path / "photos" / n).read_bytes() for n in names[number::2]},
        )
    crop(tmp_path / "p-{0..1}.tar", tmp_path / "out", workers=3)
    made, expected = product(tmp_path / "out"), product(tmp_path / "plain")
    assert {n: made[n] for n in made if n.endswith(".jpg")} == {
        n: expected[n] for n in made if n.endswith(".jpg")
    }
    assert [row["image"] for row in rows_of(tmp_path / "out")] == names[0::2] + names[1::2]
    assert "cannot be shown" not in (tmp_path / "out" / "audit.html").read_text()
    assert crop(tmp_path / "p-*.tar", tmp_path / "out").done == 0
    # One that was packed anew, with the same photos elsewhere in it, changes nothing; another photo does.
    repacked = {n: (tmp_path / "photos" / n).read_bytes() for n in reversed(names[1::2])}
    write_tar(tmp_path / "p-1.tar", repacked)
    assert crop(tmp_path / "p-*.tar", tmp_path / "out").done == 0
    write_tar(tmp_path / "p-1.tar", repacked | {names[1]: photo_bytes(77)})
    assert crop(tmp_path / "p-*.tar", tmp_path / "out").done == 1
    for number in (0, 1):
        (tmp_path / f"p-{number}.tar").rename(write(tmp_path / "moved" / f"p-{number}.tar"))
    with refused("photos_gone", UsageError):
        api.recrop(tmp_path / "out", tmp_path / "small", size=16, quiet=True)
    found = api.recrop(
        tmp_path / "out", tmp_path / "small", size=16, quiet=True, input=tmp_path / "moved" / "p-*.tar"
    )
    assert found.counts["failed"] == 0
    assert found.counts.total() == 9


def test_a_tar_file_with_the_name_of_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_tar(tmp_path / "tar:512+5@0:x.tar", {"a.jpg": b"right"})
    [photo] = discover("tar:512+5@0:x.tar").photos
    location = photo.location
    for same in (location, location.absolute(), location.redact(), parse(str(location))):
        assert same.read(100) == b"right"


def test_a_folder_with_the_name_of_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "tar:0+5@0:x" / "a.jpg", b"right")
    write(tmp_path / "x", b"wrong")
    assert contents("tar:0+5@0:x") == {"a.jpg": b"right"}
