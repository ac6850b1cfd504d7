"""audit.xlsx: the cells of audit.csv, text as text, within the limits of a worksheet, always the same."""

from __future__ import annotations

import csv
import io
import re
import sys
import zipfile
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.records import Record
from detic_crop.photos.labels import Labels
from detic_crop.report import workbook
from detic_crop.report.rows import Row
from detic_crop.report.table import COLUMNS, NUMBER_COLUMNS
from detic_crop.report.workbook import write_workbook
from tests.kit.errors import complained, refused
from tests.kit.folders import crop
from tests.kit.photos import write_photos
from tests.kit.workbooks import NAMES, audit_of, made, record


def sheet(folder: OutputFolder) -> Worksheet:
    found = openpyxl.load_workbook(folder.layout.audit_xlsx)["audit"]
    assert isinstance(found, Worksheet)
    return found


def plain(value: object) -> str:
    """What a cell holds, with the file format's own escapes undone."""
    text = "" if value is None else str(value)
    return re.sub("_x([0-9A-F]{4})_", lambda found: chr(int(found[1], 16)), text)


def test_cells_are_those_of_the_table(tmp_path: Path) -> None:
    rows = [Row(record(name)) for name in NAMES]
    rows += [Row(Record("bad.jpg", "failed", "unreadable", error="=1+1")), Row(record("", crop=""))]
    folder, notes = made(tmp_path, rows)
    assert notes == []
    table = list(csv.reader(io.StringIO(folder.layout.audit_csv.read_bytes().decode(), newline="")))
    cells = list(sheet(folder).iter_rows())
    assert [[cell.value for cell in cells[0]]] == [list(COLUMNS)] == [table[0]]
    assert len(cells) == len(table) == len(rows) + 1
    for expected, got in zip(table[1:], cells[1:], strict=True):
        for name, text, cell in zip(table[0], expected, got, strict=True):
            if name in NUMBER_COLUMNS and text:
                assert cell.data_type == "n"
                assert cell.value == float(text)
            else:
                assert cell.data_type in ("s", "inlineStr") or cell.value is None
                assert plain(cell.value) == text


def test_nothing_is_a_formula(tmp_path: Path) -> None:
    labels = Labels(["image", "=1+1"], [[name, f"={name}"] for name in NAMES], "image")
    folder, _ = made(tmp_path, [Row(record(row[0]), row) for row in labels.rows], labels)
    with zipfile.ZipFile(folder.layout.audit_xlsx) as archive:
        for name in archive.namelist():
            ElementTree.fromstring(archive.read(name))  # well-formed, whatever the names hold
        root = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml"))
    kinds = {element.tag.rsplit("}", 1)[1] for element in root.iter()}
    assert "f" not in kinds
    values = [row[1].value for row in sheet(folder).iter_rows(min_row=2)]
    assert [plain(value) for value in values] == [row[1] for row in labels.rows]


def test_the_library_s_own_markup_stays_text(tmp_path: Path) -> None:
    folder, _ = made(tmp_path, [Row(record("<r><t>bold</t></r>")), Row(record("<r>\n</r>"))])
    assert sheet(folder)["A2"].value == " <r><t>bold</t></r>"
    assert sheet(folder)["A3"].value == " <r>\n</r>"


def test_header_is_frozen_and_filters_cover_the_table(tmp_path: Path) -> None:
    folder, _ = made(tmp_path, [Row(record("a.jpg")), Row(record("a much longer name than the header.jpg"))])
    found = sheet(folder)
    assert found.freeze_panes == "B2"
    assert found.auto_filter.ref == "A1:W3"
    assert found["A1"].font.b
    widths = {name: found.column_dimensions[name].width for name in "AE"}
    assert 38 <= widths["A"] <= 50
    assert 7 <= widths["E"] <= 12


def test_links_lead_to_photo_and_crop(tmp_path: Path) -> None:
    names = ["a/b c/ü#1 %41.jpg", "plain.jpg", "javascript:alert(1).jpg"]
    folder, _ = made(tmp_path, [Row(record(name)) for name in names])
    for number, name in enumerate(names, start=2):
        photo, cropped = sheet(folder)[f"A{number}"].hyperlink, sheet(folder)[f"B{number}"].hyperlink
        assert photo is not None
        assert cropped is not None
        assert photo.target == (tmp_path / "photos" / name).as_uri()
        assert cropped.target is not None
        assert re.fullmatch(r"[\w%./-]+", cropped.target, re.ASCII)
        assert unquote(cropped.target) == name
    assert sheet(folder)["B4"].hyperlink.target == "javascript%3Aalert%281%29.jpg"


def test_label_columns_come_first_and_stay_text(tmp_path: Path) -> None:
    labels = Labels(["id", "image", "score"], [["007", "a.jpg", "1.5"]], "image")
    folder, _ = made(tmp_path, [Row(record("a.jpg"), labels.rows[0])], labels)
    found = sheet(folder)
    assert [cell.value for cell in found[1]][:5] == ["id", "image", "label_score", "crop", "status"]
    assert [cell.value for cell in found[2]][:4] == ["007", "a.jpg", "1.5", "a.jpg"]
    assert found["B2"].hyperlink is not None
    assert found["D2"].hyperlink is not None
    assert found.freeze_panes == "A2"


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = [Row(record(name)) for name in NAMES]
    folder, _ = made(tmp_path, rows)
    first = folder.layout.audit_xlsx.read_bytes()
    write_workbook(folder, audit_of(folder, rows))
    assert folder.layout.audit_xlsx.read_bytes() == first


def test_what_is_no_number_and_a_crop_elsewhere_stay_text(tmp_path: Path) -> None:
    """As in a journal that came from somebody else."""
    rows = [Row(record("a.jpg", n_candidates="<b>")), Row(record("b.jpg", presence=float("nan")))]
    rows += [Row(record(f"{n}.jpg", crop=name)) for n, name in enumerate(("//evil/x.jpg", "../x.jpg"))]
    found = sheet(made(tmp_path, rows)[0])
    columns = {str(cell.value): place for place, cell in enumerate(found[1])}
    assert found[2][columns["n_candidates"]].value == "<b>"
    assert found[3][columns["presence"]].value == "nan"
    for row in (4, 5):
        assert found[row][columns["crop"]].hyperlink is None


# ---------------------------------------------------------------- limits


def test_links_go_to_the_most_suspicious_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "_MAX_LINKS", 7)
    rows = [Row(record(f"{i}.jpg", score=0.4 + i / 20)) for i in range(8)]
    folder, notes = made(tmp_path, rows)
    assert notes == ["audit.xlsx: a worksheet holds 7 links; the 3 most suspicious rows have theirs"]
    linked = [cell.value for row in sheet(folder).iter_rows(min_row=2) for cell in row if cell.hyperlink]
    assert linked == [name for i in range(3) for name in (f"{i}.jpg", f"{i}.jpg")]


def test_long_texts_are_cut_and_long_addresses_left_out(tmp_path: Path) -> None:
    rows = [Row(record("a.jpg", error="🐋" * 20_000)), Row(record("x" * 3000))]
    folder, notes = made(tmp_path, rows)
    assert notes == ["audit.xlsx: texts of more than 32,767 characters were cut: 1; audit.csv has all"]
    found = sheet(folder)
    assert found["W2"].value == "🐋" * 16_383 + "…"
    assert found["A3"].value == "x" * 3000
    assert found["A3"].hyperlink is None


def test_too_many_rows_or_columns_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_photos(tmp_path / "in", 12)
    folder = crop(tmp_path / "in", tmp_path / "out").folder
    before = folder.layout.audit_csv.stat().st_mtime_ns
    monkeypatch.setattr(workbook, "_MAX_ROWS", 12)
    assert cli.main(["audit", str(folder.root), "--xlsx", "--sample", "10"]) == 2
    line = complained("workbook_too_large", capsys.readouterr().err)
    assert "11 rows and 16,384 columns, the table has 12 and 23" in line
    assert not folder.layout.audit_xlsx.exists()
    assert not folder.layout.sample.exists()
    assert folder.layout.audit_csv.stat().st_mtime_ns == before
    monkeypatch.setattr(workbook, "_MAX_ROWS", 13)
    monkeypatch.setattr(workbook, "_MAX_COLUMNS", 21)
    with refused("workbook_too_large"):
        api.write_audit(folder.root, xlsx=True)


# ---------------------------------------------------------------- from the command line


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = write_photos(tmp_path / "in", 12)
    folder = crop(tmp_path / "in", tmp_path / "out").folder
    assert cli.main(["audit", str(folder.root), "--xlsx"]) == 0
    assert f"spreadsheet: {folder.layout.audit_xlsx}" in capsys.readouterr().out
    assert [row[0].value for row in sheet(folder).iter_rows(min_row=2)] == keys
    assert cli.main(["audit", str(folder.root)]) == 0
    assert "audit.xlsx is older than this table" in capsys.readouterr().out
    again = crop(tmp_path / "in", tmp_path / "out", overwrite=True)
    assert not again.folder.layout.audit_xlsx.exists()


def test_a_label_row_without_a_photo_has_no_link(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 12)
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(["image", keys[0], "gone.jpg"]) + "\n", encoding="utf-8")
    folder = crop(tmp_path / "in", tmp_path / "out", labels=labels).folder
    api.write_audit(folder.root, xlsx=True)
    found, gone = list(sheet(folder).iter_rows(min_row=2))
    assert (found[0].value, gone[0].value) == (keys[0], "gone.jpg")
    assert found[0].hyperlink is not None
    assert gone[0].hyperlink is None


def test_without_the_library_the_message_is_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_photos(tmp_path / "in", 12)
    folder = crop(tmp_path / "in", tmp_path / "out").folder
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    monkeypatch.setitem(sys.modules, "xlsxwriter.url", None)
    assert cli.main(["audit", str(folder.root), "--xlsx"]) == 2
    assert "pip install 'detic-crop[xlsx]'" in capsys.readouterr().err
