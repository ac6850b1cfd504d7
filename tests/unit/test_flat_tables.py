"""Tables in flat memory: what a row costs while they are made; rows and photos come when they are read."""

from __future__ import annotations

import csv
import tracemalloc
from pathlib import Path

import pytest

from detic_crop.commands.result import RunResult
from detic_crop.commands.tables import write_report
from detic_crop.config import CropConfig
from detic_crop.folder.crops import FileCrops
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.state import Drawn
from detic_crop.folder.whereabouts import PASS_INPUT
from detic_crop.photos.labels import Labels
from detic_crop.report.manifest import write_manifest
from detic_crop.report.model import Audit
from detic_crop.report.photos import judge
from detic_crop.report.rows import Row, missing_record, table_rows
from detic_crop.report.sample import draw
from tests.kit.made_records import MadeRecords

CONFIG = CropConfig(model="lite", classes="any", conf=0.3, size=64)
MOST_BYTES = 350
"""Of memory that a further row may take, its name of 20 bytes included; as objects it took 3,000."""

MOST_BYTES_OF_MANIFEST = 40
"""The same while manifest.csv is made of an audit; the table in which keys are found is a part of it."""


def tables_of(folder: Path, count: int) -> RunResult:
    """Write the tables of a run of that many photos, none of which is there any more."""
    records = MadeRecords(count)
    output = OutputFolder(folder)
    output.inside.mkdir(output.layout.temporary)
    rows = table_rows(records, records.keys_in_order, None, [])
    audit = Audit(CONFIG, rows, judge(rows, CONFIG, {}, rows.images))
    result = RunResult(output, CONFIG)
    write_report(result, audit, PASS_INPUT)
    return result


def peak_of(folder: Path, count: int) -> int:
    tracemalloc.start()
    tables_of(folder, count)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_a_row_takes_little_memory_while_the_tables_are_made(tmp_path: Path) -> None:
    tables_of(tmp_path / "first", 2000)  # what is imported and kept for all rows
    some, more = (peak_of(tmp_path / str(count), count) for count in (8000, 16000))
    assert (more - some) / 8000 < MOST_BYTES


@pytest.mark.slow
def test_a_manifest_takes_no_memory_for_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(crops: FileCrops, name: str) -> bytes:
        raise FileNotFoundError(name)  # as it is; but a Path of each name would make Python's own table grow

    monkeypatch.setattr(FileCrops, "read", read)

    def peak(count: int) -> int:
        records = MadeRecords(count)
        output = OutputFolder(tmp_path / str(count))
        output.inside.mkdir(output.layout.temporary)
        rows = table_rows(records, records.keys_in_order, None, [])
        audit = Audit(CONFIG, rows, judge(rows, CONFIG, {}, rows.images))
        tracemalloc.start()
        notes = write_manifest(output, audit, records, lambda: None)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert f"manifest.csv: {count:,} photos" in notes[-1]
        return found

    peak(500)
    some, more = map(peak, (20_000, 30_000))  # files of more than the megabyte that is read of one at a time
    assert (more - some) / 10_000 < MOST_BYTES_OF_MANIFEST


def test_all_rows_are_there_and_counted(tmp_path: Path) -> None:
    result = tables_of(tmp_path, 2500)
    with open(tmp_path / "audit.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [f"survey/IMG_{number:08}.jpg" for number in range(2500)]
    assert result.counts == {"failed": 250, "resized": 500, "cropped": 1750}
    assert result.failures == {"unreadable": 250}
    flags = [row["flags"] for row in rows]
    assert result.flagged == sum(
        bool(flag) and row["status"] == "cropped" for flag, row in zip(flags, rows, strict=True)
    )
    assert "2,500" in (tmp_path / "audit.html").read_text("utf-8")


def test_rows_are_a_sequence_of_what_the_records_say() -> None:
    records = MadeRecords(40)
    rows = table_rows(records, records.keys_in_order, None, [])
    expected = [Row(records[key]) for key in records]
    assert rows == expected
    assert (rows[3], rows[-1], rows[5:7]) == (expected[3], expected[-1], expected[5:7])
    with pytest.raises(IndexError):
        rows[40]


def test_photos_are_found_by_key_and_come_in_the_order_of_the_rows() -> None:
    records = MadeRecords(30)
    keys = list(records)
    labels = Labels(["image", "species"], [[key, "orca"] for key in [*keys[::-1], "gone", keys[4]]], "image")
    rows = table_rows(records, keys, labels, [*keys[::-1], None, keys[4]])
    photos = judge(rows, CONFIG, {}, rows.images)
    assert list(photos) == [*keys[::-1], "gone"]
    assert [photo.record for photo in photos.in_order()] == [
        *(records[key] for key in keys[::-1]),
        missing_record("gone"),
    ]
    assert photos[keys[4]].labels == ([keys[4], "orca"], [keys[4], "orca"])
    assert photos[keys[5]].labels == ([keys[5], "orca"],)
    assert dict(photos.records()) == {key: photo.record for key, photo in photos.items()}
    assert "elsewhere" not in photos
    with pytest.raises(KeyError):
        photos["elsewhere"]
    with pytest.raises(KeyError):
        photos.records()["elsewhere"]


def test_a_sample_is_drawn_from_records_that_are_made_when_read() -> None:
    records = MadeRecords(300)
    drawn = draw(records, CONFIG, 40, 3)
    assert drawn == draw(dict(records), CONFIG, 40, 3)
    assert all(isinstance(photo, Drawn) for photo in drawn)
    assert len(drawn) == 40
