"""Label tables that LibreOffice has saved: .xlsx and `;` in Windows-1252 are read, others refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from detic_crop.photos.labels import read_labels
from tests.kit.errors import refused
from tests.kit.label_tables import separated
from tests.kit.programs import needed

pytestmark = pytest.mark.outside

TABLE = [
    ["Image", "naam", "note", "id"],
    ["a.jpg", "Zoë", "two\nlines; and, more", "0012"],
    ["day1/b.jpg", "€ “x”", 'say "hi"', "1e5"],
    ["c.jpg", "", "12,5", "2019-07-04"],
]


def saved(folder: Path, kind: str) -> Path:
    """The table as LibreOffice saves it; all its columns are text."""
    source = folder / "table.csv"
    source.write_bytes(separated(TABLE))
    text_only = "--infilter=CSV:44,34,76,1,1/2/2/2/3/2/4/2"
    command = [
        *(needed("LibreOffice Calc"), "--headless", f"-env:UserInstallation={(folder / 'profile').as_uri()}"),
        *(text_only, "--convert-to", kind, "--outdir", str(folder / "saved"), str(source)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    files = list((folder / "saved").glob("table.*"))
    assert len(files) == 1, f"LibreOffice saved nothing: {done.stdout}{done.stderr}"
    return files[0]


@pytest.mark.parametrize("kind", ["xlsx", "csv:Text - txt - csv (StarCalc):59,34,1,1"])
def test_it_saves_tables_that_are_read(tmp_path: Path, kind: str) -> None:
    labels = read_labels(saved(tmp_path, kind), "image")
    assert [labels.columns, *labels.rows] == TABLE


@pytest.mark.parametrize("kind", ["xls", "ods"])
def test_what_is_not_read_says_so(tmp_path: Path, kind: str) -> None:
    with refused("labels_not_table", names=[f"(.{kind})", "save it as .xlsx, or as CSV in UTF-8"]):
        read_labels(saved(tmp_path, kind), "image")
