"""LibreOffice opens audit.xlsx, and finds in it what was put in."""

from __future__ import annotations

import csv
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

from detic_crop.folder.folder import OutputFolder
from detic_crop.report.rows import Row
from tests.kit.programs import needed
from tests.kit.workbooks import NAMES, made, record

pytestmark = pytest.mark.outside


@pytest.fixture(scope="module")
def workbook(tmp_path_factory: pytest.TempPathFactory) -> OutputFolder:
    names = [*NAMES, "folder/plain.jpg"]
    return made(tmp_path_factory.mktemp("office"), [Row(record(name)) for name in names])[0]


def converted(workbook: OutputFolder, kind: str, into: Path) -> str:
    """What LibreOffice reads, in another format."""
    command = [
        *(needed("LibreOffice Calc"), "--headless", f"-env:UserInstallation={(into / 'profile').as_uri()}"),
        *("--convert-to", kind, "--outdir", str(into), str(workbook.layout.audit_xlsx)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    made_files = list(into.glob("audit.*"))
    assert len(made_files) == 1, f"LibreOffice could not open the workbook: {done.stdout}{done.stderr}"
    return made_files[0].read_text(encoding="utf-8")


def test_it_reads_the_cells_of_the_table(workbook: OutputFolder, tmp_path: Path) -> None:
    # Comma, quote, UTF-8, from line 1; cells as they are shown.
    text = converted(workbook, "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true", tmp_path)
    with open(workbook.layout.audit_csv, encoding="utf-8", newline="") as file:
        expected = list(csv.reader(file))
    got = list(csv.reader(text.splitlines(keepends=True)))
    assert len(got) == len(expected)
    numbers = {
        expected[0].index(name) for name in ("score", "presence", "area_frac", "suspicion", "best_score")
    }
    for row, cells in zip(expected, got, strict=True):
        for column, (value, cell) in enumerate(zip(row, cells, strict=True)):
            if column in numbers and value and row is not expected[0]:
                assert cell == f"{float(value):.2f}"
            elif not re.search(r"[\x00-\x09\x0b-\x1f]", value):  # these it spells otherwise
                assert cell == value


def test_links_lead_where_they_should(workbook: OutputFolder, tmp_path: Path) -> None:
    text = converted(workbook, "fods", tmp_path)
    links = [unquote(link) for link in re.findall(r'<text:a xlink:href="([^"]*)"', text)]
    root = workbook.root.resolve()
    places = {os.path.normpath(tmp_path / link.removeprefix("file://")) for link in links}
    assert str(root / "folder/plain.jpg") in places
    assert str(root.parent / "photos/folder/plain.jpg") in places
    assert "table:formula" not in text
