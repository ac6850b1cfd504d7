"""Exports in flat memory: what a photo costs while they are written."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from detic_crop.config import CropConfig
from detic_crop.exports.base import Asked
from detic_crop.exports.formats import export_named
from detic_crop.exports.job import Job
from detic_crop.exports.picture import Picture
from detic_crop.exports.pictures import StoredPicture
from detic_crop.exports.target import Target
from detic_crop.folder.folder import OutputFolder
from detic_crop.report.model import Audit
from detic_crop.report.paper import Origin
from detic_crop.report.photos import judge
from detic_crop.report.rows import table_rows
from tests.kit.made_records import MadeRecords

CONFIG = CropConfig(model="lite", classes="any", conf=0.3, size=64)
MOST_BYTES = 40
"""Of memory that a further photo may take beyond the audit: 8 of them for the names that must not collide."""

MOST_BYTES_OF_FILES = 100
"""The same where each photo gets one of several files, and tables are written a thousand rows at a time."""


@contextlib.contextmanager
def no_progress(total: int, doing: str) -> Iterator[Callable[[], None]]:
    yield lambda: None


class Unread(Job):
    """A job whose pictures all have the same few bytes."""

    def read(self, picture: Picture, extension: str = ".jpg") -> StoredPicture:
        return StoredPicture(b"jpeg", (64, 64))


def write(folder: Path, to: str, count: int) -> int:
    """Write an export of that many photos, without pictures; return the most memory that it took."""
    records = MadeRecords(count)
    output = OutputFolder(folder / "cropped")
    output.inside.mkdir(output.layout.temporary)
    rows = table_rows(records, records.keys_in_order, None, [])
    audit = Audit(CONFIG, rows, judge(rows, CONFIG, {}, rows.images))
    (folder / "out").mkdir()
    export = export_named(to)
    target = Target(folder / "out", "out")
    origin = Origin((), {}, {}, "0")
    asked = Asked(
        pictures="none" if "pictures" in export.takes else None,
        part="test" if "part" in export.takes else None,  # needs no individuals
    )
    tracemalloc.start()
    with contextlib.closing(Unread(export, asked, output, audit, target, origin, no_progress)) as job:
        export.write(job)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("to", ["coco", "megadetector", "label-studio", "voc", "yolo"])
def test_a_photo_takes_hardly_any_memory(tmp_path: Path, to: str) -> None:
    write(tmp_path / "first", to, 200)  # what is imported and kept for all
    some, more = (write(tmp_path / str(count), to, count) for count in (1000, 3000))
    assert (more - some) / 2000 < MOST_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("to", ["boxes-fullbody", "boxes-yolo", "kaggle", "pyseter", "tfrecord", "wildlife"])
def test_rows_and_records_take_hardly_any_memory(tmp_path: Path, to: str) -> None:
    write(tmp_path / "first", to, 200)
    some, more = (write(tmp_path / str(count), to, count) for count in (2000, 10_000))
    assert (more - some) / 8000 < MOST_BYTES_OF_FILES


def test_all_of_them_are_there(tmp_path: Path) -> None:
    write(tmp_path, "coco", 1000)
    content = json.loads((tmp_path / "out" / "annotations" / "all.json").read_text())
    assert len(content["images"]) == 900
    assert len(content["annotations"]) == 700
