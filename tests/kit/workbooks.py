"""Workbooks with difficult names, for what reads them."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from detic_crop.config import CropConfig
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.records import Record
from detic_crop.folder.state import Given, load_listing, save_listing
from detic_crop.folder.whereabouts import Whereabouts
from detic_crop.photos.labels import Labels
from detic_crop.photos.location import LocalFile
from detic_crop.photos.photo import Photo
from detic_crop.report.model import Audit
from detic_crop.report.photos import judge
from detic_crop.report.rows import Row
from detic_crop.report.table import write_table
from detic_crop.report.workbook import write_workbook

CONFIG = CropConfig(model="fake", classes="Dolphin", conf=0.3, size=32)
NAMES = [
    "=cmd()|'/c calc'!A1.jpg",
    "+1.jpg",
    "-2.jpg",
    "@SUM(1).jpg",
    "007",
    "1e5",
    "2024-01-02",
    "TRUE",
    "#N/A",
    " leading and trailing ",
    "https://example.org/a.jpg",
    "mailto:x@example.org",
    "internal:Sheet1!A1",
    "{=1+1}",
    "a/b c/ü#1 %41?&<b>\"'.jpg",
    "_x0041_.jpg",
    "tab\tnew\nline",
    "bell\x07esc\x1b\x00",
    "emoji 🐋",
    "x" * 255,
]


def record(key: str, **values: object) -> Record:
    base = Record(
        key,
        "cropped",
        "largest_box",
        key,
        60,
        40,
        "Dolphin",
        0.9,
        0.9,
        (10.0, 10.0, 40.0, 30.0),
        (7, 8, 43, 32),
        1,
    )
    return replace(base, **values)


def made(base: Path, rows: list[Row], labels: Labels | None = None) -> tuple[OutputFolder, list[str]]:
    """A folder with both tables, and what was said."""
    folder = OutputFolder(base / "out")
    folder.inside.mkdir(folder.layout.temporary)
    photos = str(base / "photos")
    found = [Photo(row.record.image, LocalFile(f"{photos}/{row.record.image}")) for row in rows]
    save_listing(folder, found, [Given(photos, photos, [photo.key for photo in found])])
    audit = audit_of(folder, rows, labels)
    write_table(folder, audit)
    return folder, write_workbook(folder, audit)


def audit_of(folder: OutputFolder, rows: list[Row], labels: Labels | None = None) -> Audit:
    where = Whereabouts(load_listing(folder).locations())
    return Audit(CONFIG, rows, judge(rows, CONFIG), labels, where)
