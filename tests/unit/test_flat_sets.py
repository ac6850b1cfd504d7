"""What commands keep of every photo to look it up: a few bytes each, and the same answers as a set."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import replay
from detic_crop.folder.names import aside_name
from detic_crop.folder.records import Record
from detic_crop.folder.shard import Shard
from detic_crop.photos.location import LocalFile
from detic_crop.photos.photo import Photo
from detic_crop.photos.table import Photos, Sizes
from detic_crop.report.rows import recorded_in_order
from detic_crop.shards.state import replaceable_crops

COUNT = 20_000
MOST_BYTES = 150
"""Of memory for a photo; a text of its own takes as much, beside its place in a set or dict."""


@pytest.fixture
def folder(tmp_path: Path) -> OutputFolder:
    """An output folder with a long journal."""
    folder = OutputFolder(tmp_path / "out")
    folder.layout.own_state.mkdir(parents=True)
    with open(folder.layout.journal, "wb") as file:
        for number in range(COUNT):
            key = f"survey/day {number % 9}/IMG_{number:08}.jpg"
            file.write(Record(key, "cropped", crop=key, width=9, height=9, crop_bytes=1).to_line())
    return folder


@contextmanager
def few_bytes() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < COUNT * MOST_BYTES, f"{peak / COUNT:.0f} bytes a photo"


def test_crops_that_a_shard_may_replace(folder: OutputFolder) -> None:
    entries = replay(folder.layout.journal).entries
    shard = Shard(0, 2)
    with few_bytes():
        crops = replaceable_crops(folder, shard, entries, entries)
    assert set(crops) == {entry.crop for entry in entries.values()}
    none = replay(folder.layout.candidates).entries
    assert set(replaceable_crops(folder, shard, none, entries)) == set(filter(shard.owns, entries))


def test_crops_that_were_set_aside(folder: OutputFolder) -> None:
    records = replay(folder.layout.journal).records
    last, foreign = list(records)[-1], "of others.txt"
    for name in (aside_name(last), foreign):
        path = folder.layout.rejected / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    with few_bytes():
        folder.aside.remove_stale(records)
    assert (folder.root / last).read_bytes() == b"1"  # it goes back
    assert [path.name for path in folder.inside.files(folder.layout.rejected)] == [foreign]


def test_sizes_and_the_order_of_photos(folder: OutputFolder) -> None:
    records = replay(folder.layout.journal).records
    photos = Photos(Photo(key, LocalFile(f"/in/{key}"), number) for number, key in enumerate(records))
    known: list[Callable[[], Container[str]]] = [
        lambda: Sizes(photos),
        lambda: recorded_in_order(records, photos.keys[: COUNT // 2]),
    ]
    for make in known:
        with few_bytes():
            found = make()
            assert photos[7].key in found
    assert dict(Sizes(photos)) == {photo.key: photo.size for photo in photos}
    keys = photos.keys
    assert list(recorded_in_order(records, keys[5:2:-1])) == [*keys[5:2:-1], *sorted({*keys} - {*keys[3:6]})]
