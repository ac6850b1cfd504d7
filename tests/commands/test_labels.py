"""The label table: read as it stands, matched to photos by path, name or stem, and never by guessing."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop.photos.labels import Labels, match_labels, parse_labels, read_labels
from tests.kit.errors import refused
from tests.kit.helpers import write

HEADER = b"image,species\n"


def matched(names: list[str], keys: list[str]) -> Sequence[str | None]:
    return match_labels(names, keys).keys


def parse(data: bytes, key: str = "image") -> Labels:
    return parse_labels(data, key, "labels.csv")


# --- reading


def test_a_table_as_it_stands() -> None:
    labels = parse(b"id,image,species\n007,a.jpg,minke \n8,b.jpg,\n")
    assert labels.columns == ["id", "image", "species"]
    assert labels.rows == [["007", "a.jpg", "minke "], ["8", "b.jpg", ""]]
    assert labels.names() == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfimage,species\na.jpg,minke\n",  # Excel's byte order mark
        b"image,species\r\na.jpg,minke\r\n",
        b"image,species\ra.jpg,minke\r",
        b"image,species\na.jpg,minke",
        b'"image","species"\n"a.jpg","minke"\n',
        b"image,species\n\na.jpg,minke\n\n\n",
    ],
)
def test_what_programs_make_of_one_table(data: bytes) -> None:
    labels = parse(data)
    assert (labels.columns, labels.rows) == (["image", "species"], [["a.jpg", "minke"]])


def test_quoted_cells_may_hold_anything() -> None:
    labels = parse('image,note\n"a,b.jpg","line 1\nline 2 ""quoted"""\r\n"c\r\n.jpg",🐋\n'.encode())
    assert labels.rows == [["a,b.jpg", 'line 1\nline 2 "quoted"'], ["c\r\n.jpg", "🐋"]]


def test_the_key_column_may_have_any_name() -> None:
    labels = parse(b"image,Photo file\n1,x.jpg\n", "Photo file")
    assert labels.names() == ["x.jpg"]


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)


@given(st.lists(st.lists(cells, min_size=3, max_size=3), min_size=1, max_size=5))
def test_any_cells_survive(rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([["image", "b", "c"], *rows])
    assert parse(text.getvalue().encode()).rows == rows


@pytest.mark.parametrize(
    ("data", "code", "detail"),
    [
        (b"", "labels_no_column", "'image'; it has (none)"),
        (b"\n", "labels_no_column", "'image'"),
        (b"picture,file\na,b\n", "labels_no_column", "'image'; it has picture, file"),
        (b"image,species\n", "labels_without_rows", ""),
        (b"image,species\n\n\n", "labels_without_rows", ""),
        (b"image,species\na.jpg,minke,grey\n", "labels_uneven_row", "line 2 has 3 cells, the header 2"),
        (b'image,s\n"a\n.jpg",x\nb.jpg,1,5\n', "labels_uneven_row", "line 4 has 3 cells, the header 2"),
        (b"image,species\ncaf\x81.jpg,minke\n", "labels_not_utf8", "byte 17"),
        (b"image,species\ncaf\xe9.jpg,\0\n", "labels_not_utf8", "byte 17"),
        ("image,species\na,b\n".encode("utf-16")[:-1], "labels_not_utf8", "byte 36"),
        ("image,species\na,b\n".encode("utf-16-le"), "labels_not_utf8", "NUL"),
        (b'image,species\n"a.jpg,minke\n', "labels_not_csv", ""),
        (b'image,species\n"a.jpg"x,minke\n', "labels_not_csv", ""),
        (b"image,species\n" + b"x" * 200_000 + b",minke\n", "labels_not_csv", ""),
    ],
)
def test_what_is_no_label_table_is_refused_in_one_line(data: bytes, code: str, detail: str) -> None:
    with refused(code) as caught:
        parse(data)
    assert detail in caught.value.message
    assert caught.value.message.startswith("--labels labels.csv")
    assert len(caught.value.message.splitlines()) == 1


def test_a_label_file_on_disk(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.csv", HEADER + b"a.jpg,minke\n")
    assert read_labels(path, "image") == Labels(
        ["image", "species"], [["a.jpg", "minke"]], "image", path.read_bytes()
    )
    for absent in (tmp_path / "absent.csv", tmp_path):
        with refused("labels_unreadable"):
            read_labels(absent, "image")


# --- matching


def test_no_rows_or_no_photos() -> None:
    assert matched([], ["a.jpg"]) == []
    assert matched(["a.jpg"], []) == [None]


@pytest.mark.parametrize(
    ("names", "keys", "matches"),
    [
        (["day1/a.jpg"], ["day1/a.jpg", "day2/a.jpg"], ["day1/a.jpg"]),  # by path
        (["a.jpg"], ["day1/a.jpg", "day1/b.jpg"], ["day1/a.jpg"]),  # by name
        (["a.jpg"], ["a.jpg", "day1/a.jpg"], ["a.jpg"]),  # an exact path before a name
        (["a"], ["day1/a.jpg", "b.jpg"], ["day1/a.jpg"]),  # by stem
        (["a.b"], ["a.b.jpg", "a.jpg"], ["a.b.jpg"]),
        (["a.jpg"], ["x/a.jpg", "y/a.jpg.png"], ["x/a.jpg"]),  # a name before a stem
        (["./a.jpg", " a.jpg ", "a.jpg"], ["a.jpg"], ["a.jpg"] * 3),
        (["day1\\a.jpg"], ["day1/a.jpg"], ["day1/a.jpg"]),
        (["/data/photos/a.jpg"], ["a.jpg"], ["a.jpg"]),
        (["c.jpg", "a.jpg"], ["a.jpg", "b.jpg"], [None, "a.jpg"]),
        (["", ".", "..", "/", " "], ["a.jpg", ".jpg"], [None] * 5),
        (["b.jpg", "a.jpg", "b.jpg"], ["a.jpg", "b.jpg"], ["b.jpg", "a.jpg", "b.jpg"]),  # in label order
        (["day1/1.jpg", "day2/1.jpg"], ["day1/1.jpg"], ["day1/1.jpg", None]),  # a missing one is missing
        (["A.jpg"], ["a.jpg"], ["a.jpg"]),  # but for case, where that is clear
        (["A.jpg", "a.jpg"], ["a.jpg"], [None, "a.jpg"]),  # a photo that a row names exactly is that row's
        (["other/a.jpg"], ["day1/a.jpg", "day2/a.jpg"], [None]),  # folders must agree
        (["caf%E9.jpg"], ["caf%E9.jpg"], ["caf%E9.jpg"]),
    ],
)
def test_matches_by_hand(names: list[str], keys: list[str], matches: list[str | None]) -> None:
    assert matched(names, keys) == matches


@pytest.mark.parametrize("key", ["odd\\name.jpg", " a.jpg", "a.jpg ", "./x/a.jpg"[2:], "a\n.jpg"])
def test_a_row_that_is_exactly_a_key_names_that_photo(key: str) -> None:
    assert matched([key], ["name.jpg", key]) == [key]


@given(
    st.lists(
        st.sampled_from(["a.jpg", "a.png", "d/a.jpg", "d/e/a.jpg", "b.tif", "d/b.tif", "a"]), unique=True
    )
)
def test_every_key_matches_itself_whatever_else_there_is(keys: list[str]) -> None:
    assert matched(keys, keys) == keys
    assert matched(keys[::-1], keys) == keys[::-1]


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["a.jpg"], ["day1/a.jpg", "day2/a.jpg"]),
        (["a"], ["a.jpg", "a.png"]),
        (["b.jpg", "a"], ["b.jpg", "x/a.jpg", "y/a.jpg"]),
    ],
)
def test_a_name_that_fits_several_photos_is_refused(names: list[str], keys: list[str]) -> None:
    with refused("label_fits_several"):
        match_labels(names, keys)


def test_differing_paths_to_one_photo_are_refused() -> None:
    with refused("labels_fit_one"):
        match_labels(["day1/a.jpg", "day2/a.jpg"], ["a.jpg"])
    assert matched(["day1/a.jpg", "day1/a.jpg"], ["a.jpg"]) == ["a.jpg"] * 2


def test_a_row_of_another_folder_is_none_of_these_photos() -> None:
    names = ["d1/a.jpg", "train/d2/b.jpg", "c.jpg", "gone.jpg"]
    found = match_labels(names, {key: f"/data/new/{key}" for key in ("d2/a.jpg", "d2/b.jpg", "d3/c.jpg")})
    assert found.keys == [None, "d2/b.jpg", "d3/c.jpg", None]
    assert found.notes == [
        "labels: 1 photo was matched by the end of the path alone: there the folder is train, here it has "
        "another name (train/d2/b.jpg → d2/b.jpg)"
    ]
    other = match_labels(["CAM2/1.jpg"], {"1.jpg": "/survey/CAM1/1.jpg"})
    assert other.keys == [None]
    assert "CAM2/1.jpg was not taken for 1.jpg because their folders differ" in other.notes[0]


def test_ids_that_have_become_floats() -> None:
    assert matched(["1.0", "17.0", "3.0"], ["1.jpg", "d/17.jpg"]) == ["1.jpg", "d/17.jpg", None]


def test_a_row_that_lost_its_photo_to_a_better_one_is_said() -> None:
    found = match_labels(["a.jpg", "a", "b.jpg"], ["a.jpg", "b.jpg"])
    assert found.keys == ["a.jpg", None, "b.jpg"]
    assert found.notes == [
        "labels: rows without a photo, because another row fits it better: 1 (first: a, since a.jpg fits "
        "a.jpg better)"
    ]


def test_a_composed_label_finds_a_decomposed_file_name() -> None:
    """Tables are mostly NFC; file names from a Mac are NFD."""
    assert matched(["d\u00e9/\u00e9.jpg", "\u00f1.jpg"], ["de\u0301/e\u0301.jpg", "n\u0303.jpg"]) == [
        "de\u0301/e\u0301.jpg",
        "n\u0303.jpg",
    ]
