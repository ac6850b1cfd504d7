"""Comparisons in flat memory: what a photo costs, of two output folders and a truth."""

from __future__ import annotations

import tracemalloc
from collections import deque

from detic_crop.config import CropConfig
from detic_crop.report.compare.comparison import SideName, compare_sides
from detic_crop.report.compare.photos import read_sides
from detic_crop.report.compare.sides import FolderSide, ReviewedSide
from detic_crop.report.compare.table import table_cells
from detic_crop.report.compare.worst import worst_photos
from tests.kit.made_records import MadeRecords

CONFIG = CropConfig(model="boxes:b.csv", classes="any", conf=0.3, size=64)
MOST_BYTES = 1000
"""Of memory that a further photo may take, three times the records' own keys included."""


def compare(count: int) -> int:
    """Compare that many photos; return the most memory that it took."""
    tracemalloc.start()
    a, b, truth = (
        kind("x", records, records.keys_in_order, CONFIG, {}, None, {})
        for kind, records in ((kind, MadeRecords(count)) for kind in (FolderSide, FolderSide, ReviewedSide))
    )
    name = SideName("x", "")
    compared = compare_sides((name, name, name), read_sides(a, b, truth), False, None, [])
    assert compared.numbers.counts.agree == 7 * count // 10
    worst_photos(compared.sides, compared.rows, compared.against, 60)
    deque(table_cells(compared.sides, compared.rows, compared.against, None), 0)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_a_photo_takes_little_memory() -> None:
    compare(1000)  # what is made once
    assert (compare(12_000) - compare(4_000)) / 8_000 < MOST_BYTES
