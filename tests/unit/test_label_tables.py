"""Label tables as people have them: separators, encodings, workbooks; what is unclear is refused."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import pickle
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop.columns import CellRows, Optionals
from detic_crop.photos.labels import Labels, parse_labels, plain_labels
from tests.kit.errors import refused
from tests.kit.label_tables import separated, workbook

TABLE = [
    ["image", "naam", "note", "weight"],
    ["a.jpg", "Zoë", "line 1\nline 2, and; more\t|", "0012"],
    ["day1/b.jpg", "€ “x”", 'say "hi"', "12,5"],
    ["c.jpg", "", " blanks ", "1e5"],
]


def parse(data: bytes, key: str = "image", photos: tuple[str, ...] = ()) -> Labels:
    return parse_labels(data, key, "labels.csv", photos)


# --- one table in many files


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "utf-16-le+", "utf-16-be+"]
)
def test_separators_and_encodings(separator: str, encoding: str) -> None:
    mark = "\ufeff".encode(encoding[:-1]) if encoding.endswith("+") else b""
    labels = parse(mark + separated(TABLE, separator, encoding.rstrip("+")))
    assert [labels.columns, *labels.rows] == TABLE
    guessed = [note for note in labels.notes if "Windows-1252" in note]
    assert len(guessed) == (encoding == "cp1252")
    # What the folder keeps is read again without a guess.
    assert plain_labels(labels.data, labels.key_column) == labels


def test_a_workbook_of_texts_is_the_table() -> None:
    labels = parse(workbook({"Sheet1": TABLE}))
    assert [labels.columns, *labels.rows] == TABLE
    assert labels.notes == []
    assert plain_labels(labels.data, labels.key_column) == labels


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)


@given(
    st.lists(st.lists(cells, min_size=2, max_size=2), min_size=1, max_size=5),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8-sig", "utf-16"]),
)
def test_any_cells_survive_any_separator(rows: list[list[str]], separator: str, encoding: str) -> None:
    table = [[f"{number}.jpg", *row] for number, row in enumerate(rows)]
    data = separated([["IMAGE", "b", "c"], *table], separator, encoding, quoting=csv.QUOTE_ALL)
    labels = parse(data)
    assert labels.rows == table
    assert plain_labels(labels.data, "IMAGE") == labels


def test_what_excel_says_of_its_separator() -> None:
    labels = parse(b"sep=;\r\nimage;x\r\na.jpg;1,5\r\n")
    assert (labels.columns, labels.rows) == (["image", "x"], [["a.jpg", "1,5"]])
    with refused("labels_uneven_row", names=["line 3 has 3 cells"]):
        parse(b"sep=;\r\nimage;x\r\na.jpg;1;5\r\n")


# --- columns


@pytest.mark.parametrize("name", ["Image", "IMAGE", " image ", "ımage".replace("ı", "i").title()])
def test_the_key_column_in_any_case(name: str) -> None:
    labels = parse(separated([[name, "x"], ["a.jpg", "1"]]))
    assert (labels.columns, labels.key_column, list(labels.names())) == ([name, "x"], name, ["a.jpg"])


def test_the_exact_name_comes_first() -> None:
    labels = parse(b"Image,image\na.jpg,b.jpg\n")
    assert labels.names() == ["b.jpg"]


def test_columns_alike_but_for_case_are_refused_unless_they_agree() -> None:
    with refused("labels_unclear_column", names=["'Image', 'IMAGE '"]):
        parse(b"Image,IMAGE \na.jpg,b.jpg\n")
    with refused("labels_unclear_column"):
        parse(b"image,image\na.jpg,b.jpg\n")
    assert parse(b"Image,IMAGE\na.jpg,a.jpg\n").names() == ["a.jpg"]
    assert parse(b"image,image\na.jpg,a.jpg\n").names() == ["a.jpg"]


def test_other_columns_may_have_one_name() -> None:
    labels = parse(b"image,x,x\na.jpg,1,2\n")
    assert (labels.columns, labels.rows) == (["image", "x", "x"], [["a.jpg", "1", "2"]])
    assert labels.notes == ["labels: several columns of labels.csv have the same name: x"]


def test_empty_columns_behind_the_header_are_left_out() -> None:
    labels = parse(b"image;x;;\na.jpg;1;;\nb.jpg;2\n;;;\n")
    assert (labels.columns, labels.rows) == (["image", "x"], [["a.jpg", "1"], ["b.jpg", "2"]])
    with refused("labels_uneven_row", names=["line 2 has 4 cells, the header 2"]):
        parse(b"image;x;;\na.jpg;1;;3\n")


def test_rows_that_lack_their_last_cells_are_filled_and_said() -> None:
    labels = parse(b"image,x,y\na.jpg,1,2\nb.jpg\n\nc.jpg,3\n")
    assert labels.rows == [["a.jpg", "1", "2"], ["b.jpg", "", ""], ["c.jpg", "3", ""]]
    (note,) = labels.notes
    assert note.endswith("whose last ones were taken for empty: 2 (first: line 3)")


def test_the_column_that_names_photos_is_proposed() -> None:
    data = b"id,file\n1,a.JPG\n2,day1/b.jpg\n3,gone.jpg\n"
    with refused("labels_no_column", names=["pass --labels-key 'file'", "2 of the first 3 rows"]):
        parse(data, photos=("a.jpg", "b.jpg", "c.jpg"))
    with refused("labels_no_column", match="pass --labels-key COLUMN$"):
        parse(data, photos=("x.jpg",))


def test_two_separators_are_equally_likely() -> None:
    with refused("labels_unclear_separator", names=["separated by `,` or separated by `;`"]):
        parse(b"foto;soort,naam\na.jpg;orca,x\n")


# --- workbooks


@pytest.mark.parametrize(
    ("value", "number_format", "text"),
    [
        ("0012", "General", "0012"),
        (12, "0000", "0012"),
        (12, "General", "12"),
        (12.0, "General", "12"),
        (-3, "000", "-3"),
        (12345678901234, "General", "12345678901234"),
        (0.1 + 0.2, "General", "0.3"),
        (1234.5, "#,##0.00", "1234.5"),
        (True, "General", "TRUE"),
        ("=1+1", "General", ""),  # never calculated: openpyxl wrote it
        ("#N/A", "General", "#N/A"),
        (datetime.datetime(2019, 7, 4), "dd/mm/yyyy", "2019-07-04"),
        (datetime.datetime(2019, 7, 4), "[$-413]d mmmm yyyy;@", "2019-07-04"),
        (datetime.datetime(2019, 7, 4), "yyyy-mm-dd hh:mm", "2019-07-04 00:00:00"),
        (datetime.datetime(2019, 7, 4, 12, 31, 5), "dd/mm/yyyy", "2019-07-04 12:31:05"),
        (datetime.time(12, 31), "hh:mm", "12:31:00"),
        (datetime.timedelta(hours=30, minutes=5), "[h]:mm:ss", "30:05:00"),
        ("a_x000D_b_x005F_x0041_", "General", "a\rb_x0041_"),
    ],
)
def test_cells_are_texts_as_people_would_type_them(value: object, number_format: str, text: str) -> None:
    labels = parse(workbook({"S": [["image", "x"], ["a.jpg", (value, number_format)], ["b.jpg", "y"]]}))
    assert labels.rows == [["a.jpg", text], ["b.jpg", "y"]]


def test_a_number_may_name_a_photo() -> None:
    assert parse(workbook({"S": [["id"], [17.0], [18]]}), "ID").names() == ["17", "18"]


def test_blank_rows_and_columns_of_a_sheet_are_left_out() -> None:
    rows: list[list[object]] = [
        [None],
        ["image", "x", None, None],
        [None, " "],
        ["a.jpg", 1],
        [],
        ["b.jpg"],
        [None] * 9,
    ]
    labels = parse(workbook({"S": rows}))
    assert (labels.columns, labels.rows[0], labels.rows[-1]) == (
        ["image", "x"],
        ["a.jpg", "1"],
        ["b.jpg", ""],
    )
    with refused("labels_uneven_row", names=["row 2 has 4 cells", "'stray' stands under no name"]):
        parse(workbook({"S": [["image", "x"], ["a.jpg", 1, None, "stray"]]}))


def test_the_sheet_with_the_column_is_taken() -> None:
    other, ours = [["about", "this"], ["x", "y"]], [["Image", "x"], ["a.jpg", "1"]]
    labels = parse(workbook({"Read me": other, "Empty": [], "Photos": ours}))
    assert labels.rows == [["a.jpg", "1"]]
    assert labels.notes == ["labels: sheet 'Photos' of labels.csv was taken, which has the column 'Image'"]
    with refused("labels_unclear_sheet", names=["'Photos', sheet 'Old'"]):
        parse(workbook({"Photos": ours, "Old": ours}))
    assert parse(workbook({"Photos": ours, "Old": ours}, hidden=["Old"])).rows == [["a.jpg", "1"]]
    with refused("labels_no_column", names=["sheet 'A': about, this; sheet 'B': about, this"]):
        parse(workbook({"A": other, "B": other}))


def test_a_workbook_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    data = workbook({"S": TABLE})
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with refused("missing_extra", match=r"pip install 'detic-crop\[xlsx\]', or save the table as CSV"):
        parse(data)


def damaged() -> list[bytes]:
    data = workbook({"S": TABLE})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    found = []
    sheet = "xl/worksheets/sheet1.xml"
    begin = b"<worksheet xmlns='http://schemas.openxmlformats.org/spreadsheetml/2006/main'><sheetData>"
    for changed, content in [
        (sheet, begin + b"<row r='x'>"),
        (sheet, begin + b"<row r='1'><c t='s'><v>99</v></c></row></sheetData></worksheet>"),
        ("xl/styles.xml", b"no xml"),
        ("xl/workbook.xml", b"<workbook/>"),
    ]:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, part in {**parts, changed: content}.items():
                archive.writestr(name, part)
        found.append(file.getvalue())
    return found


@pytest.mark.parametrize("data", damaged())
def test_a_damaged_workbook_is_refused(data: bytes) -> None:
    with refused("labels_not_workbook"):
        parse(data)


def test_a_workbook_that_would_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detic_crop.table_files.workbook.most_whole_bytes", lambda: 1000)
    with refused("labels_not_workbook", names=["expected at most 1,000 bytes"]):
        parse(workbook({"S": TABLE}))


# --- other files


def archive(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in names:
            made.writestr(name, "x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (archive("a.csv"), "a zip archive; unpack it, and pass the table in it"),
        (archive("mimetype", "content.xml"), "an OpenDocument table (.ods); save it as .xlsx"),
        (archive("xl/workbook.bin"), "a binary Excel workbook (.xlsb); save it as .xlsx"),
        (archive("word/document.xml"), "a Word document"),
        (b"PK\x03\x04 and no more", "a zip archive"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            "an old Excel workbook (.xls), or one with a password; save it",
        ),
        (b"PAR1\x15\x04", "a Parquet file; save it as CSV: pandas.read_parquet"),
        (gzip.compress(b"image\n"), "a gzip archive; unpack it"),
        (pickle.dumps([1]), "a Python pickle"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a photo; pass the table"),
        (b"\x89PNG\r\n", "a photo"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"<html><table><tr><td>image", "a web page; save it as .xlsx"),
        (b'<?xml version="1.0"?><Workbook>', "XML; save it"),
        (b'\xef\xbb\xbf[{"image": "a.jpg"}]', "JSON; save its table as CSV"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",  # the data of some differ from second to second
)
def test_a_file_that_is_no_table_says_what_to_save_it_as(data: bytes, what: str) -> None:
    with refused("labels_not_table", names=[what]) as caught:
        parse(data)
    assert len(caught.value.message.splitlines()) == 1


def test_cp1252_says_what_it_took_for_letters() -> None:
    labels = parse(b"image;naam\r\na.jpg;Zo\xeb\r\n")
    assert labels.rows == [["a.jpg", "Zoë"]]
    (note,) = labels.notes
    assert "labels.csv is not UTF-8 and was read as Windows-1252 (…a.jpg;Zoë…); if a letter is wrong" in note


# --- memory


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_row_takes_little_more_than_its_bytes(separator: str) -> None:
    def peak(count: int) -> int:
        rows = ([f"survey/IMG_{n:08}.jpg", "orca", f"id{n:06}"] for n in range(count))
        data = separated([["image", "species", "individual_id"], *rows], separator)
        tracemalloc.start()
        parse(data).names()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1000)
    # 8 bytes a cell and its text, which also grows elsewhere; and once more as a file. As lists: 400.
    assert (peak(30_000) - peak(10_000)) / 20_000 < 250


def test_rows_of_cells_are_a_sequence() -> None:
    rows = CellRows(2)
    rows.extend([["a", "b"], ["c", ""]])
    rows.extend([["é", "\ud800"]])
    expected = [["a", "b"], ["c", ""], ["é", "\ud800"]]
    assert rows == expected
    assert (rows[0], rows[-1], rows[1:]) == (expected[0], expected[-1], expected[1:])
    assert rows != expected[:2]
    with pytest.raises(IndexError):
        rows[3]
    some = Optionals(["a", None, "b"])
    assert some == ["a", None, "b"]
    assert (some[1], some[-1], some[:2], some.count(None)) == (None, "b", ["a", None], 1)


def test_real_programs(tmp_path: Path) -> None:
    pandas: Any = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"Image": ["a.jpg", "b.jpg"], "n": [1, 2], "id": ["0012", "x"]})
    frame.to_excel(tmp_path / "labels.xlsx", index=False)
    frame.to_csv(tmp_path / "labels.csv", index=False, sep=";", encoding="cp1252")
    for name in ("labels.xlsx", "labels.csv"):
        labels = parse((tmp_path / name).read_bytes())
        assert [labels.columns, *labels.rows] == [
            ["Image", "n", "id"],
            ["a.jpg", "1", "0012"],
            ["b.jpg", "2", "x"],
        ]
