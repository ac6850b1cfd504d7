"""Finding photos: folders with every oddity a disk can hold, globs, lists; one photo per photo."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from detic_crop.errors import UsageError
from detic_crop.photos.find import discover
from detic_crop.photos.location import LocalFile
from detic_crop.photos.photo import Photo
from detic_crop.photos.table import Listing
from tests.kit.errors import refused
from tests.kit.folders import crop
from tests.kit.helpers import write
from tests.kit.photos import write_photos

linux = pytest.mark.skipif(sys.platform != "linux", reason="only here may a name be any bytes")


def keys(where: str | Path, output: Path | None = None) -> list[str]:
    return [photo.key for photo in discover(where, output).photos]


def by_key(listing: Listing) -> dict[str, Photo]:
    assert len({photo.key for photo in listing.photos}) == len(listing.photos)
    return {photo.key: photo for photo in listing.photos}


# --- folders


def test_a_folder_of_folders(tmp_path: Path) -> None:
    for name in ("b.jpg", "a/2.png", "a/10.jpg", "a/deep/er/x.tif", "Z.webp", "a.jpg"):
        write(tmp_path / name)
    assert keys(tmp_path) == ["Z.webp", "a.jpg", "a/10.jpg", "a/2.png", "a/deep/er/x.tif", "b.jpg"]
    assert keys(f"{tmp_path}/") == keys(tmp_path)


def test_a_source_knows_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "d" / "a.jpg", b"12345")
    os.utime(path, ns=(0, 1_600_000_000_000_000_007))
    assert discover(tmp_path).photos == [Photo("d/a.jpg", LocalFile(str(path)), 5, 1_600_000_000_000_000_007)]


def test_the_folder_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "photos" / "d" / "a.jpg")
    monkeypatch.chdir(tmp_path / "photos" / "d")
    assert keys(".") == ["a.jpg"]
    assert keys("..") == ["d/a.jpg"]
    assert keys("../d/../d") == ["a.jpg"]


def test_hidden_files_are_left_out_and_others_counted(tmp_path: Path) -> None:
    for name in (
        "a.jpg",
        "._a.jpg",
        ".hidden.jpg",
        ".thumbs/b.jpg",
        "readme.txt",
        "d/Thumbs.db",
        "jpg",
        "x.jpg.tmp",
    ):
        write(tmp_path / name)
    listing = discover(tmp_path)
    assert list(by_key(listing)) == ["a.jpg"]
    assert listing.ignored == 4
    assert listing.notes == []


def test_extensions_of_any_case(tmp_path: Path) -> None:
    names = ["a.JPG", "b.Jpeg", "c.PNG", "d.TIFF", "e.HEIC", "f.CR2"]
    for name in names:
        write(tmp_path / name)
    assert keys(tmp_path) == names


@linux
def test_names_with_everything_in_them(tmp_path: Path) -> None:
    names = [
        "a\nb.jpg",
        '"q",\'.jpg',
        "=1+1.jpg",
        "é.jpg",
        "e\u0301.jpg",
        "🐋.jpg",
        " lead.jpg",
        "a\\b.jpg",
        "%41.jpg",
    ]
    for name in names:
        write(tmp_path / name)
    assert keys(tmp_path) == sorted(names)


@linux
def test_names_that_are_no_text(tmp_path: Path) -> None:
    for raw in (b"\xff.jpg", b"caf\xe9.jpg", b"caf\xc3\xa9.jpg"):
        write(tmp_path / os.fsdecode(raw), raw)
    write(tmp_path / "%FF.jpg", b"taken")  # the spelling that the first would get
    found = by_key(discover(tmp_path))
    contents = {key: Path(photo.location.own_path).read_bytes() for key, photo in found.items()}
    assert contents == {
        "%FF.jpg": b"taken",
        "%FF~2.jpg": b"\xff.jpg",
        "caf%E9.jpg": b"caf\xe9.jpg",
        "café.jpg": b"caf\xc3\xa9.jpg",
    }
    assert list(found) == sorted(found)
    for key in found:
        key.encode()


@linux
def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    write(tmp_path / os.fsdecode(b"d\xff") / "a.jpg", b"1")
    assert keys(tmp_path) == ["d%FF/a.jpg"]
    assert keys(tmp_path / os.fsdecode(b"d\xff")) == ["a.jpg"]


def test_a_large_folder(tmp_path: Path) -> None:
    for i in range(2000):
        os.close(os.open(tmp_path / f"{i}.jpg", os.O_CREAT))
    assert list(by_key(discover(tmp_path))) == sorted(f"{i}.jpg" for i in range(2000))


def test_a_folder_of_the_name_of_a_photo_is_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg" / "b.jpg")
    assert keys(tmp_path) == ["a.jpg/b.jpg"]
    assert keys(str(tmp_path / "*.jpg")) == ["a.jpg/b.jpg"]


def test_a_folder_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.jpg")
    write(tmp_path / "locked" / "b.jpg")
    scandir = os.scandir

    def refuse(path: Path) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    listing = discover(tmp_path)
    assert [photo.key for photo in listing.photos] == ["a.jpg"]
    assert listing.notes == [f"folder {tmp_path / 'locked'} could not be read: Permission denied"]


# --- links


def test_links_are_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "d" / "a.jpg", b"123")
    write(tmp_path / "in" / "own.jpg")
    (tmp_path / "in" / "file.jpg").symlink_to(tmp_path / "elsewhere" / "d" / "a.jpg")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "elsewhere")
    found = by_key(discover(tmp_path / "in"))
    assert list(found) == ["file.jpg", "folder/d/a.jpg", "own.jpg"]
    assert [photo.size for photo in found.values()] == [3, 3, 1]
    (tmp_path / "link").symlink_to(tmp_path / "in")
    assert keys(tmp_path / "link") == list(found)


def test_a_link_that_leads_back_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.jpg")
    write(tmp_path / "y.jpg")
    (tmp_path / "a" / "loop").symlink_to("..")
    (tmp_path / "a" / "self").symlink_to(".")
    (tmp_path / "top").symlink_to(tmp_path)
    assert keys(tmp_path) == ["a/x.jpg", "y.jpg"]


def test_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1.jpg")
    write(tmp_path / "b" / "2.jpg")
    (tmp_path / "a" / "to_b").symlink_to("../b")
    (tmp_path / "b" / "to_a").symlink_to("../a")
    assert keys(tmp_path) == ["a/1.jpg", "a/to_b/2.jpg", "b/2.jpg", "b/to_a/1.jpg"]


def test_broken_links_are_sources_that_decoding_will_fail(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    (tmp_path / "gone_folder").symlink_to("nowhere")
    listing = discover(tmp_path)
    assert [(photo.key, photo.size, photo.version) for photo in listing.photos] == [
        ("gone.jpg", -1, -1),
        ("self.jpg", -1, -1),
    ]
    assert listing.ignored == 1


@linux
def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert [(photo.key, photo.size) for photo in discover(tmp_path).photos] == [("pipe.jpg", -1)]
    assert [photo.size for photo in discover(tmp_path / "pipe.jpg").photos] == [-1]


# --- output folders


@pytest.fixture
def with_output(tmp_path: Path) -> Path:
    """Photos, with this run's output folder and an earlier run's below them."""
    write(tmp_path / "in" / "a.jpg")
    write(tmp_path / "in" / "d" / "b.jpg")
    write(tmp_path / "in" / "out" / "d" / "crop.jpg")
    write(tmp_path / "in" / "d" / "earlier" / "sub" / "crop.jpg")
    write(tmp_path / "in" / "d" / "earlier" / ".detic-crop" / "journal.jsonl")
    return tmp_path / "in"


def test_output_folders_inside_the_input_are_no_input(with_output: Path) -> None:
    listing = discover(with_output, with_output / "out")
    assert list(by_key(listing)) == ["a.jpg", "d/b.jpg"]
    [note] = listing.notes
    assert note == f"folder {with_output / 'd' / 'earlier'} holds crops of an earlier run and was ignored"


def test_the_output_folder_is_known_by_any_of_its_names(
    with_output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (with_output.parent / "alias").symlink_to(with_output / "out")
    (with_output / "d" / "link").symlink_to(with_output / "out")
    monkeypatch.chdir(with_output)
    for output in (Path("out"), Path("d/../out"), with_output.parent / "alias", with_output / "out"):
        assert keys(with_output, output) == ["a.jpg", "d/b.jpg"]


@pytest.mark.parametrize("pattern", ["*", "**/*.jpg", "**", "[ado]*", "*/*"])
def test_a_glob_does_not_read_output_folders_either(with_output: Path, pattern: str) -> None:
    expected = ["d/b.jpg"] if pattern == "*/*" else ["a.jpg", "d/b.jpg"]
    listing = discover(str(with_output / pattern), with_output / "out")
    assert list(by_key(listing)) == expected


# --- globs


@pytest.fixture
def days(tmp_path: Path) -> Path:
    for name in (
        "day1/a.jpg",
        "day1/b.PNG",
        "day2/a.jpg",
        "day2/sub/c.jpg",
        "night/n.jpg",
        "day1/notes.txt",
        "day1/x.dat",
    ):
        write(tmp_path / name)
    write(tmp_path / "day1" / ".hidden.jpg")
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("day*/*.jpg", ["day1/a.jpg", "day2/a.jpg"]),
        ("day1/*", ["a.jpg", "b.PNG"]),  # keys begin where the pattern does
        ("day*", ["day1/a.jpg", "day1/b.PNG", "day2/a.jpg", "day2/sub/c.jpg"]),  # folders are searched
        ("**/*.jpg", ["day1/a.jpg", "day2/a.jpg", "day2/sub/c.jpg", "night/n.jpg"]),
        ("day2/**", ["a.jpg", "sub/c.jpg"]),
        ("**", ["day1/a.jpg", "day1/b.PNG", "day2/a.jpg", "day2/sub/c.jpg", "night/n.jpg"]),
        ("day?/[ab].*", ["day1/a.jpg", "day1/b.PNG", "day2/a.jpg"]),
        ("day1/*.dat", ["x.dat"]),  # an extension that is spelled out is meant
        ("*/sub", ["day2/sub/c.jpg"]),
    ],
)
def test_patterns(days: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, expected: list[str]) -> None:
    assert keys(f"{days}/{pattern}") == expected
    monkeypatch.chdir(days)
    assert keys(pattern) == expected


def test_a_pattern_with_folders_anywhere_searches_them(days: Path) -> None:
    assert keys(f"{days}/**/sub") == ["day2/sub/c.jpg"]


def test_a_pattern_does_not_run_in_circles(days: Path) -> None:
    (days / "day2" / "sub" / "loop").symlink_to(days)
    assert keys(f"{days}/**/*.jpg") == ["day1/a.jpg", "day2/a.jpg", "day2/sub/c.jpg", "night/n.jpg"]


def test_a_folder_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    write(tmp_path / "day[1]" / "a.jpg")
    assert keys(tmp_path / "day[1]") == ["a.jpg"]
    assert keys(tmp_path / "day[1]" / "a.jpg") == ["a.jpg"]


def test_a_pattern_through_a_parent_stays_below_its_root(days: Path) -> None:
    for key in keys(f"{days}/day1/../*/a.jpg"):
        assert ".." not in key.split("/")


# --- lists


def listed(folder: Path, data: bytes, name: str = "list.txt") -> Listing:
    return discover(write(folder / name, data))


def test_a_list_keeps_its_order(tmp_path: Path) -> None:
    for name in ("a.jpg", "d/b.jpg", "c.odd"):
        write(tmp_path / name, name.encode())
    listing = listed(tmp_path, b"d/b.jpg\na.jpg\n\nc.odd\ngone.jpg\n")
    assert [photo.key for photo in listing.photos] == ["d/b.jpg", "a.jpg", "c.odd", "gone.jpg"]
    assert [photo.size for photo in listing.photos] == [7, 5, 5, -1]
    assert listing.notes == []


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfa.jpg\nd/b.jpg\n",
        b"a.jpg\r\nd/b.jpg\r\n",
        b"  a.jpg\t\n\n\n d/b.jpg",
        b"a.jpg\r\nd\\b.jpg\r\n",
        "a.jpg\r\nd\\b.jpg\r\n".encode("utf-16"),  # PowerShell's `>`
    ],
)
@pytest.mark.parametrize("name", ["list.txt", "LIST.TXT", "photos.lst"])
def test_what_programs_make_of_one_list(tmp_path: Path, data: bytes, name: str) -> None:
    write(tmp_path / "d" / "b.jpg", b"12")
    assert [(photo.key, photo.size) for photo in listed(tmp_path, data, name).photos] == [
        ("a.jpg", -1),
        ("d/b.jpg", 2),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"id,path\n1,a.jpg\n2,d/b.jpg\n",
        b"\xef\xbb\xbfFile_Name\r\na.jpg\r\nd/b.jpg\r\n",
        b'species,Image\n"grey, old",a.jpg\n\nminke,"d/b.jpg"\n',
        b" image_path ,x\na.jpg,1\nd\\b.jpg,2\n",
        b"path,image\na.jpg,9\nd/b.jpg,8\n",  # `path` before `image`
    ],
)
def test_a_table_is_a_list_too(tmp_path: Path, data: bytes) -> None:
    assert [photo.key for photo in listed(tmp_path, data, "list.csv").photos] == ["a.jpg", "d/b.jpg"]


def test_absolute_paths_and_paths_above(tmp_path: Path) -> None:
    far = write(tmp_path / "far" / "f.jpg", b"123")
    write(tmp_path / "near" / "n.jpg", b"12")
    listing = listed(tmp_path / "lists", f"{far}\n../near/n.jpg\n".encode())
    assert [photo.size for photo in listing.photos] == [3, 2]
    absolute, above = (photo.key for photo in listing.photos)
    assert absolute == str(far).lstrip("/")
    assert above == "near/n.jpg"


def test_twenty_thousand_lines(tmp_path: Path) -> None:
    write(tmp_path / "7" / "19999.jpg", b"123")
    names = [f"{i % 8}/{i}.jpg" for i in range(20_000)]
    found = by_key(listed(tmp_path, "\r\n".join(names).encode()))
    assert list(found) == names
    assert {key: photo.size for key, photo in found.items() if photo.size >= 0} == {"7/19999.jpg": 3}


def test_different_photos_never_share_a_key(tmp_path: Path) -> None:
    write(tmp_path / "x.jpg", b"1")
    write(tmp_path / "lists" / "x.jpg", b"12")
    listing = listed(tmp_path / "lists", b"../x.jpg\nx.jpg\n")
    assert {key: photo.size for key, photo in by_key(listing).items()} == {"x.jpg": 1, "x~2.jpg": 2}


def test_repeated_lines_are_one_photo_and_said(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg")
    listing = listed(tmp_path, f"a.jpg\nb.jpg\n./a.jpg\nd/../a.jpg\na.jpg\n{tmp_path}/b.jpg\n".encode())
    assert [photo.key for photo in listing.photos] == ["a.jpg", "b.jpg"]
    assert listing.notes == ["lines of list.txt that repeat a photo: 4"]


@linux
def test_a_file_that_has_a_backslash_goes_before_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "d\\b.jpg", b"123")
    assert [(s.key, s.size) for s in listed(tmp_path, b"d\\b.jpg\n").photos] == [("d\\b.jpg", 3)]


@linux
def test_a_list_of_names_that_are_no_text(tmp_path: Path) -> None:
    write(tmp_path / os.fsdecode(b"caf\xe9.jpg"), b"123")
    listing = listed(tmp_path, b"caf\xe9.jpg\n")
    assert [(photo.key, photo.size) for photo in listing.photos] == [("caf%E9.jpg", 3)]


@pytest.mark.parametrize("name", ["a\u2028b.jpg", "a\x85b.jpg", "a\x0cb.jpg", "a\x1cb.jpg"])
@pytest.mark.parametrize("form", ["list.txt", "list.csv"])
def test_only_line_ends_end_a_line(tmp_path: Path, name: str, form: str) -> None:
    header = "path\n" if form == "list.csv" else ""
    listing = listed(tmp_path, f"{header}{name}\nz.jpg\n".encode(), form)
    assert [photo.key for photo in listing.photos] == [name, "z.jpg"]


def test_a_quoted_name_in_a_table_may_hold_a_line_end(tmp_path: Path) -> None:
    listing = listed(tmp_path, b'path\n"a\nb.jpg"\nz.jpg\n', "list.csv")
    assert [photo.key for photo in listing.photos] == ["a\nb.jpg", "z.jpg"]


@pytest.mark.parametrize("line", [b"a\x00b.jpg", b"x" * 5000 + b".jpg", b"a\\" + b"x" * 300 + b".jpg"])
def test_a_line_that_no_disk_can_hold_is_a_source_all_the_same(tmp_path: Path, line: bytes) -> None:
    assert [photo.size for photo in listed(tmp_path, line + b"\n").photos] == [-1]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "no_photo_column"),
        (b"id,species\n1,2\n", "no_photo_column"),
        (b"path\n", "no_photos"),
        (b"path\n" + b"x" * 200_000 + b"\n", "not_csv"),
    ],
)
def test_a_table_without_photos_is_refused_in_one_line(tmp_path: Path, data: bytes, code: str) -> None:
    with refused(code) as caught:
        listed(tmp_path, data, "list.csv")
    assert len(caught.value.message.splitlines()) == 1


# --- one photo, and nothing


@pytest.mark.parametrize("name", ["a.jpg", "odd.dat", "no_extension", ".hidden", "a\nb.jpg"])
def test_one_photo_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, b"12")
    [photo] = discover(path).photos
    assert (photo.key, photo.location, photo.size) == (name, LocalFile(str(path)), 2)


@linux
def test_one_photo_whose_name_is_no_text(tmp_path: Path) -> None:
    assert keys(write(tmp_path / os.fsdecode(b"\xff.jpg"))) == ["%FF.jpg"]


@pytest.mark.parametrize("where", ["absent", "absent.jpg", "absent.txt", "absent/", "x" * 300, "a\x00b"])
def test_nothing_there_is_refused(tmp_path: Path, where: str) -> None:
    with refused("missing_input"):
        discover(f"{tmp_path}/{where}")


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--in "$PHOTOS"`` with PHOTOS unset."""
    monkeypatch.chdir(write(tmp_path / "a.jpg").parent)
    with refused("empty_input"):
        discover("")


@pytest.mark.parametrize("pattern", ["*.jpg", "no*/where*", "[x]"])
def test_a_pattern_that_fits_nothing_is_refused(tmp_path: Path, pattern: str) -> None:
    with refused("no_photos"):
        discover(f"{tmp_path}/{pattern}")


def test_a_folder_without_photos_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    with refused("no_photos"):
        discover(tmp_path)
    write(tmp_path / "a.txt")
    write(tmp_path / "d" / "b.pdf")
    write(tmp_path / ".c.jpg")
    with refused("no_photos") as caught:
        discover(tmp_path)
    message = caught.value.message
    assert "(2 other files)" in message
    assert len(message.splitlines()) == 1
    for extension in (".jpg", ".png", ".tif"):  # what people have; not the first of the alphabet
        assert extension in message


def test_an_empty_list_is_refused(tmp_path: Path) -> None:
    with refused("no_photos"):
        listed(tmp_path, b"\n \n")


def test_a_file_address_is_a_path(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 3)
    listing = discover(f"file://{tmp_path}/in")
    assert listing.photos == discover(tmp_path / "in").photos
    path = tmp_path / "list.txt"
    path.write_text("".join(f"file://{photo.location}\n" for photo in listing.photos))
    assert [photo.location for photo in discover(path).photos] == [s.location for s in listing.photos]
    crop(tmp_path / "in", tmp_path / "plain")
    crop(f"file://{tmp_path}/in", tmp_path / "out")
    for name in (".detic-crop/listing.json", "audit.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    with refused("out_is_input", UsageError):
        crop(f"file://{tmp_path}/in", tmp_path / "in")
