"""--csv-safe: no cell of audit.csv is a formula to a spreadsheet; off unless asked for, and remembered."""

from __future__ import annotations

import csv
import io
import subprocess
from pathlib import Path

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.config import CropConfig
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.records import Record
from detic_crop.photos.labels import Labels
from detic_crop.report.model import Audit
from detic_crop.report.photos import judge
from detic_crop.report.rows import Row
from detic_crop.report.table import guarded, table_cells
from tests.kit.folders import crop
from tests.kit.photos import write_photos
from tests.kit.programs import needed
from tests.kit.verdicts import give_verdict

CONFIG = CropConfig(model="lite", classes="any", conf=0.3, size=64)
# The characters of OWASP's page "CSV Injection", some behind what a spreadsheet skips.
FORMULAS = [
    *("=1+1", "+1+1", "-1+1", "@SUM(1)", "\tx", "\rx", "\nx", "=", "-x.jpg", "+49 30"),
    *("＝1+1", "＋1", "－1", "＠SUM(1)", " =1+1", "\u00a0=1+1", "\ufeff=1+1", "\u200b=1", "\x00=1"),
]
PLAIN = [
    *("", "x", "a=1", "IMG-1.jpg", "'=1", "x -1", "é", "1", "0.5", " x"),
    *("-1", "-12.5", "+3", "-0,5", "1e-5", "-1E+5", "-.5"),
]


def audit_of(cells: list[str]) -> Audit:
    """Rows whose label cells, names and errors are these texts."""
    labels = Labels(["id", "note"], [[f"{number}", cell] for number, cell in enumerate(cells)], "id")
    rows = [
        Row(Record(cell or "x", "failed", "unreadable", error=cell, class_name=cell), label)
        for cell, label in zip(cells, labels.rows, strict=True)
    ]
    return Audit(CONFIG, rows, judge(rows, CONFIG), labels)


@pytest.mark.parametrize("cell", FORMULAS)
def test_what_is_taken_for_a_formula_gets_a_mark_in_every_text(cell: str) -> None:
    audit = audit_of([cell])
    header, row = guarded(table_cells(audit), audit)
    named = dict(zip(header, row, strict=True))
    assert [named[name] for name in ("note", "image", "error", "class_name")] == [f"'{cell}"] * 4


@pytest.mark.parametrize("cell", PLAIN)
def test_all_else_stays_and_so_do_numbers(cell: str) -> None:
    audit = audit_of([cell])
    assert list(guarded(table_cells(audit), audit)) == list(table_cells(audit))


def test_negative_coordinates_stay() -> None:
    box = (-3.5, -1.0, 20.0, 30.0)
    record = Record("a.jpg", "cropped", "largest_box", "a.jpg", 600, 400, "Whale", 0.9, box=box)
    rows = [Row(record)]
    audit = Audit(CONFIG, rows, judge(rows, CONFIG))
    header, row = guarded(table_cells(audit), audit)
    assert row[header.index("box")] == "-4 -1 20 30"


def test_a_label_column_may_be_called_like_a_formula() -> None:
    rows = [Row(Record("a.jpg", "failed"), ["a.jpg", "x"])]
    audit = Audit(CONFIG, rows, judge(rows, CONFIG), Labels(["id", "=1+1"], [["a.jpg", "x"]], "id"))
    assert next(iter(guarded(table_cells(audit), audit)))[1] == "'=1+1"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with photos of odd names, made with --csv-safe."""
    [first, second, third] = write_photos(tmp_path / "in", 3)
    for key, name in ((first, "=1+1.jpg"), (second, "-x.jpg"), (third, "plain.jpg")):
        (tmp_path / "in" / key).rename(tmp_path / "in" / name)
    crop(tmp_path / "in", tmp_path / "out", csv_safe=True)
    return tmp_path / "out"


def images(out: Path) -> list[str]:
    with open(out / "audit.csv", encoding="utf-8", newline="") as file:
        return sorted(row["image"] for row in csv.DictReader(file))


SAFE = ["'-x.jpg", "'=1+1.jpg", "plain.jpg"]
AS_THEY_ARE = ["-x.jpg", "=1+1.jpg", "plain.jpg"]


def test_it_is_off_unless_asked_for(tmp_path: Path, out: Path) -> None:
    crop(tmp_path / "in", tmp_path / "usual")
    assert images(tmp_path / "usual") == AS_THEY_ARE
    assert not (tmp_path / "usual" / ".detic-crop" / "tables.json").exists()


def test_every_later_command_keeps_it_until_audit_ends_it(tmp_path: Path, out: Path) -> None:
    assert images(out) == SAFE
    crop(tmp_path / "in", out)
    assert images(out) == SAFE
    give_verdict(out, "=1+1.jpg", "rejected")
    api.apply(out, quiet=True)
    assert images(out) == SAFE
    api.write_audit(out)
    assert images(out) == SAFE
    assert cli.main(["audit", str(out), "--no-csv-safe"]) == 0
    assert images(out) == AS_THEY_ARE
    api.write_audit(out)
    assert images(out) == AS_THEY_ARE
    assert cli.main(["audit", str(out), "--csv-safe"]) == 0
    assert images(out) == SAFE


def test_shards_hand_it_on_to_merge(tmp_path: Path, out: Path) -> None:
    for shard in ("0/2", "1/2"):
        crop(tmp_path / "in", tmp_path / "shards", csv_safe=True, shard=shard)
    api.merge(tmp_path / "shards")
    assert images(tmp_path / "shards") == SAFE


def test_overwrite_forgets_it(tmp_path: Path, out: Path) -> None:
    crop(tmp_path / "in", out, overwrite=True)
    assert images(out) == AS_THEY_ARE


def test_where_it_cannot_be_read_the_careful_way_is_taken(out: Path) -> None:
    assert cli.main(["audit", str(out), "--no-csv-safe"]) == 0
    path = OutputFolder(out).layout.tables_json
    path.write_bytes(path.read_bytes().replace(b"false", b"falze"))
    api.write_audit(out)
    assert images(out) == SAFE


def test_our_own_reader_gives_the_numbers_as_before(out: Path) -> None:
    safe = api.read_audit(out)
    api.write_audit(out, csv_safe=False)
    usual = api.read_audit(out)
    texts = ["image", "crop", "duplicate_of"]
    assert safe.drop(columns=texts).equals(usual.drop(columns=texts))
    assert [name.removeprefix("'") for name in safe["image"]] == usual["image"].tolist()


@pytest.mark.outside
def test_libreoffice_finds_no_formula(tmp_path: Path) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    audit = audit_of([cell for cell in FORMULAS if "\x00" not in cell])
    writer.writerows(guarded(table_cells(audit), audit))
    (tmp_path / "audit.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
    command = [
        *(needed("LibreOffice Calc"), "--headless", f"-env:UserInstallation={(tmp_path / 'p').as_uri()}"),
        "--infilter=Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1,true",
        *("--convert-to", "fods", "--outdir", str(tmp_path), str(tmp_path / "audit.csv")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    sheet = tmp_path / "audit.fods"
    assert sheet.exists(), f"LibreOffice could not open the table: {done.stdout}{done.stderr}"
    assert "table:formula" not in sheet.read_text(encoding="utf-8")
