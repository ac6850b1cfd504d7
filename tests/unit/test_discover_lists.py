"""Lists as programs and people make them: quoted, without a header, beside the folder of their photos."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from detic_crop.errors import UsageError
from detic_crop.photos.find import discover
from detic_crop.photos.location import LocalFile
from detic_crop.photos.table import Listing
from tests.kit.errors import refused
from tests.kit.folders import crop, rows_of
from tests.kit.helpers import write
from tests.kit.photos import write_photos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos a.jpg, d/b c.jpg and a list beside them."""
    write(tmp_path / "a.jpg", b"1")
    write(tmp_path / "d" / "b c.jpg", b"22")
    return tmp_path


def listed(folder: Path, text: str, name: str = "list.txt") -> Listing:
    return discover(write(folder / name, text.encode()))


def sizes(listing: Listing) -> dict[str, int]:
    return {photo.key: photo.size for photo in listing.photos}


BOTH = {"a.jpg": 1, "d/b c.jpg": 2}


@pytest.mark.parametrize(
    "text",
    [
        '"a.jpg"\r\n"d\\b c.jpg"\r\n',  # "Copy as path"
        "'a.jpg'\n'd/b c.jpg'\n",
        "\u201ca.jpg\u201d\n\u2018d/b c.jpg\u2019\n",
        '  "a.jpg" \n" d/b c.jpg "\n',
        "a.jpg\n./d//b c.jpg  \n",
    ],
)
def test_quoted_lines(folder: Path, text: str) -> None:
    assert sizes(listed(folder, text)) == BOTH


def test_quoted_full_paths_and_addresses_of_files(folder: Path) -> None:
    spaced = f"{folder}/d/b%20c.jpg"
    for line in (
        f'"{folder}/d/b c.jpg"',
        f"file://{spaced}",
        f"file://localhost{spaced}",
        f'"file://{spaced}"',
    ):
        (photo,) = listed(folder, f"{line}\n").photos
        assert (photo.location, photo.size) == (LocalFile(f"{folder}/d/b c.jpg"), 2)
    write(folder / "d" / "b%20c.jpg", b"333")  # a name that really is so goes first
    assert [photo.size for photo in listed(folder, f"file://{spaced}\n").photos] == [3]
    (photo,) = listed(folder, '"C:\\Users\\me\\Fotos\\a.jpg"\n').photos
    assert (photo.key, photo.size) == ("Users/me/Fotos/a.jpg", -1)


def test_a_name_that_has_quotation_marks_goes_first(folder: Path) -> None:
    write(folder / "'a.jpg'", b"333")
    assert sizes(listed(folder, "'a.jpg'\n")) == {"'a.jpg'": 3}


def test_a_quoted_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for where in (f'"{folder}"', f"'{folder}'", f"file://{folder}"):
        assert sizes(discover(where)) == BOTH
    (photo,) = discover(f'"{folder}/d/b c.jpg"').photos
    assert photo.size == 2


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("species;image\nminke;a.jpg\ngrey;d/b c.jpg\n", "list.csv"),
        ("species\timage\nminke\ta.jpg\ngrey\td/b c.jpg\n", "list.csv"),
        ("species\timage\nminke\ta.jpg\ngrey\td/b c.jpg\n", "list.tsv"),
        ("image_id,individual\na,1\nd/b c,2\n", "list.csv"),
        ("Image_ID,x\r\na.jpg,1\r\nd\\b c.jpg,2\r\n", "list.csv"),
        ('image,note\n"""a.jpg""",1\n"""d/b c.jpg""",2\n', "list.csv"),
        ("a.jpg,minke\nd/b c.jpg,grey\n", "list.csv"),  # without a header
        ("1;a.jpg\n2;d/b c.jpg\n", "list.csv"),
        ('"a.jpg"\n"d/b c.jpg"\n', "list.csv"),
        ("A.JPG\nD/B C.jpeg\n".replace("D/B", "d/B"), "list.txt"),  # spelled otherwise, where that is clear
        ("path\na\nd/b c\n", "list.csv"),
    ],
)
def test_tables_and_spellings(folder: Path, text: str, name: str) -> None:
    assert sizes(listed(folder, text, name)) == BOTH


def test_a_table_without_a_header_says_so(folder: Path) -> None:
    assert listed(folder, "1,a.jpg\n2,d/b c.jpg\n", "list.csv").notes == [
        "list.csv has no header: column 2 was taken, which names photos"
    ]


def test_a_decomposed_file_is_found_by_a_composed_name(tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", "\u00e5.jpg")
    write(tmp_path / unicodedata.normalize("NFD", composed), b"1")
    (photo,) = listed(tmp_path, f"{composed}\n").photos
    assert photo.size == 1


def test_a_name_takes_no_photo_that_another_line_names(folder: Path) -> None:
    write(folder / "e" / "x.jpg", b"1")
    assert sizes(listed(folder, "e/x.jpg\ne/X.jpg\n")) == {"e/x.jpg": 1, "e/X.jpg": -1}
    write(folder / "e" / "x.png", b"2")
    assert sizes(listed(folder, "e/x\n")) == {"e/x": -1}  # fits two


# --- a table beside the folder of its photos


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    for name in ("00021adfb725ed", "000562241d384d", "0007c33415ce37"):
        write(tmp_path / "train_images" / f"{name}.jpg", name.encode())
    write(tmp_path / "test_images" / "000110707af0ba.jpg")
    return tmp_path


@pytest.mark.parametrize("column", ["image", "image_id"])
@pytest.mark.parametrize("extension", [".jpg", ""])
def test_a_table_beside_its_photos(kaggle: Path, column: str, extension: str) -> None:
    names = ["0007c33415ce37", "00021adfb725ed", "gone"]
    rows = "".join(f"{name}{extension},minke\n" for name in names)
    listing = listed(kaggle, f"{column},species\n{rows}", "train.csv")
    # Called as by --in train_images, so that one goes on with the other.
    assert sizes(listing) == {"0007c33415ce37.jpg": 14, "00021adfb725ed.jpg": 14, f"gone{extension}": -1}
    assert listing.notes == ["the photos of train.csv are in the folder train_images next to it"]


def test_a_run_goes_on_by_the_table(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "train_images", 6)
    crop(tmp_path / "train_images", tmp_path / "out")
    (tmp_path / "train.csv").write_text("image\n" + "\n".join(keys) + "\n")
    result = crop(tmp_path / "train.csv", tmp_path / "out")
    assert (result.done, result.skipped) == (0, 6)
    assert [row["image"] for row in rows_of(tmp_path / "out")] == keys


def test_photos_in_several_folders_beside_it(kaggle: Path) -> None:
    for name in ("00021adfb725ed.jpg", "000562241d384d.jpg"):
        write(kaggle / "small" / name)
    text = "image\n00021adfb725ed.jpg\n000562241d384d.jpg\n"
    with refused("unclear_folder") as caught:
        listed(kaggle, text, "train.csv")
    assert f"in small and in train_images; say which: --in {kaggle / 'small'}" in caught.value.message
    # One has more of them.
    listing = listed(kaggle, text + "0007c33415ce37.jpg\n", "train.csv")
    assert list(sizes(listing).values()) == [14, 14, 14]


def test_photos_beside_the_list_go_first(kaggle: Path) -> None:
    write(kaggle / "00021adfb725ed.jpg", b"here")
    listing = listed(kaggle, "image\n00021adfb725ed.jpg\n000562241d384d.jpg\n", "train.csv")
    assert list(sizes(listing).values()) == [4, -1]


def test_a_list_of_photos_that_are_nowhere_says_where_it_looked(tmp_path: Path) -> None:
    listing = listed(tmp_path, "image\nx.jpg\ny.jpg\n", "train.csv")
    assert sizes(listing) == {"x.jpg": -1, "y.jpg": -1}
    assert listing.notes == [
        f"no photo of train.csv is there: its names are relative to its own folder ({tmp_path}); its photos "
        "may also be given as --in FOLDER --labels train.csv"
    ]


def test_a_list_of_photos_that_are_nowhere_says_so_with_a_boxes_file_too(tmp_path: Path) -> None:
    """Else the boxes file seems to be the wrong one."""
    write(tmp_path / "boxes.csv", b"image,box\na.jpg,1 2 30 40\n")
    write(tmp_path / "train.csv", b"image\nx.jpg\n")
    with refused(
        "boxes_match_no_photo",
        UsageError,
        match=r"the one photo is not in boxes\.csv .*; no photo of train\.csv is there",
    ):
        crop(tmp_path / "train.csv", tmp_path / "out", model=f"boxes:{tmp_path / 'boxes.csv'}", detector=None)


def test_a_list_of_ids_that_have_become_floats(tmp_path: Path) -> None:
    write(tmp_path / "in" / "1.jpg", b"1")
    write(tmp_path / "in" / "17.jpg", b"22")
    assert sizes(listed(tmp_path, "image_id\n1.0\n17.0\n", "train.csv")) == {"1.jpg": 1, "17.jpg": 2}


# --- what is passed by mistake


@pytest.mark.parametrize(
    ("name", "code", "advice"),
    [
        ("boxes.json", "not_photos", "pass their folder as --in, and boxes as --model boxes:FILE"),
        ("data.YAML", "not_photos", "pass their folder"),
        ("notes.xlsx", "not_photos", "save it as CSV (UTF-8)"),
        ("table.parquet", "not_photos", "save it as CSV"),
        ("clip.MP4", "not_photos", "extract pictures from it first"),
        ("page.html", "not_photos", "pass a photo"),
        ("photo.zip", "compressed_input", "unpack it"),
        ("photo.7z", "compressed_input", "unpack it"),
    ],
)
def test_files_that_are_no_photos(tmp_path: Path, name: str, code: str, advice: str) -> None:
    with refused(code) as caught:
        discover(write(tmp_path / name, b"{}"))
    assert advice in caught.value.message
    assert name in caught.value.message
    assert len(caught.value.message.splitlines()) == 1


def test_the_table_of_a_run_is_no_list(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 4)
    crop(tmp_path / "in", tmp_path / "out")
    table = tmp_path / "out" / "audit.csv"
    with refused("table_of_run") as caught:
        discover(table)
    said = caught.value.message
    assert f"--in {tmp_path / 'in'}, and for the boxes in it --model boxes:{table}" in said
    assert json.loads((tmp_path / "out" / "run.json").read_bytes())["input"] == str(tmp_path / "in")
    copied = write(tmp_path / "in" / "audit.csv", table.read_bytes())  # beside the photos it is one
    assert [photo.key for photo in discover(copied).photos] == keys
