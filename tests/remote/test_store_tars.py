"""Crops in tar files of an object store: the same as on a disk, whatever happens on the way."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.errors import UsageError
from detic_crop.folder import mirror
from detic_crop.folder.folder import open_folder
from detic_crop.folder.shard import Shard
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.photos.keys import STATE
from detic_crop.stores.addresses import join
from detic_crop.stores.store import store_of
from tests.kit.errors import refused
from tests.kit.folders import assert_same, assert_samples, crop, product, rows_of
from tests.kit.photos import write_damaged, write_photo, write_photos
from tests.kit.servers import s3_server
from tests.kit.stores import Death, Killed, as_folder, copy_down, copy_up, objects, put_before, set_objects
from tests.kit.verdicts import verdict_log

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("memory")]

OUT = "memory://bucket/out"
TARS = {"out_format": "tar", "per_tar": 3}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "BATCH", 2)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photos(tmp_path / "in", 10)
    write_damaged(tmp_path / "in")
    return tmp_path / "in"


def tars(photos: Path, out: Path | str, **settings: Any) -> api.RunResult:
    return crop(photos, out, **{**TARS, **settings})


def down(folder: Path, address: str = OUT) -> Path:
    """A fresh copy on the disk, with its journal put together."""
    shutil.rmtree(folder, ignore_errors=True)
    return copy_down(address, folder)


def test_as_on_a_disk(photos: Path, tmp_path: Path) -> None:
    tars(photos, tmp_path / "local")
    tars(photos, OUT)
    copy = down(tmp_path / "copy")
    assert_samples(copy)
    assert_same(copy, product(tmp_path / "local"))
    held = as_folder(objects(OUT))
    for name in ("journal.jsonl", "candidates.jsonl"):
        assert held[f"{STATE}/{name}"] == (tmp_path / "local" / STATE / name).read_bytes()
    again = tars(photos, OUT)
    assert (again.done, again.counts["failed"]) == (4, 4)
    assert_same(down(tmp_path / "copy"), product(tmp_path / "local"))


def test_a_resume_reads_no_crops(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tars(photos, OUT)
    (photos / "bad").rename(photos / ".bad")
    asked: list[str] = []

    def watch(method: str, path: str) -> None:
        if method == "cat_file":
            asked.append(path)

    monkeypatch.setattr("detic_crop.commands.scope.write_tables", lambda *a, **k: None)  # they show crops
    put_before(monkeypatch, watch)
    assert tars(photos, OUT).done == 0
    assert asked
    assert [path for path in asked if path.endswith(".tar")] == []


def test_bit_by_bit(photos: Path, tmp_path: Path) -> None:
    tars(photos, tmp_path / "local")
    for limit in (1, 2, 5, 9, None):
        tars(photos, OUT, limit=limit, workers=3)
        assert_samples(down(tmp_path / "copy"))
    assert_same(tmp_path / "copy", product(tmp_path / "local"))


@pytest.mark.parametrize("late", [False, True])
def test_killed_at_every_change(
    photos: Path, tmp_path: Path, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First a part, then photos change and break, then the rest; killed in that."""
    tars(photos, OUT, limit=9)
    write_photo(photos / "photo000.jpg", 77)
    (photos / "day1" / "photo001.jpg").write_bytes(b"broken since")
    start = objects(OUT)
    tars(photos, OUT)
    expected = product(down(tmp_path / "copy"))
    for number in range(1, 1000):
        set_objects(OUT, start)
        death = Death(number, late)
        with monkeypatch.context() as patch:
            put_before(patch, death.before, death.after)
            with contextlib.suppress(Killed):
                tars(photos, OUT)
        assert_no_crop_but_recorded(tmp_path)
        tars(photos, OUT)
        assert_samples(down(tmp_path / "copy"))
        assert_same(tmp_path / "copy", expected)
        if not death.dead:
            break
    assert number > 10


def assert_no_crop_but_recorded(tmp_path: Path) -> None:
    """What a resume takes for finished has its crop."""
    with open_folder(OUT) as folder:
        lines = map(json.loads, folder.layout.journal.read_bytes().splitlines()[1:])
        last = {values["image"]: values for values in lines}
        for values in last.values():
            if values.get("crop") and folder.crops.size(values["crop"]) == values["crop_bytes"]:
                assert len(folder.crops.read(values["crop"])) == values["crop_bytes"]


def test_shards(photos: Path, tmp_path: Path) -> None:
    for index in range(3):
        tars(photos, tmp_path / "local", shard=f"{index}/3")
        tars(photos, OUT, shard=f"{index}/3")
    api.merge(tmp_path / "local")
    api.merge(OUT)
    copy = down(tmp_path / "copy")
    assert_samples(copy)
    assert_same(copy, product(tmp_path / "local"))
    changed = next(row["image"] for row in rows_of(copy) if row["status"] != "failed")
    write_photo(photos / changed, 99)
    index = next(index for index in range(2) if Shard(index, 2).owns(changed))
    with refused("other_shards_tar", UsageError):
        tars(photos, OUT, shard=f"{index}/2")


def test_overwrite_leaves_what_is_not_ours(photos: Path) -> None:
    tars(photos, OUT)
    store_of(OUT).write(f"{OUT}/crops-mine.tar", b"mine")
    crop(photos, OUT, overwrite=True)
    held = objects(OUT)
    assert [name for name in held if name.endswith((".tar", ".tar.json"))] == ["crops-mine.tar"]


@pytest.mark.parametrize("damage", [None, b"", b"{}", b'{"size":1,"members":{}}', b'{"size":"x"', b"[]"])
def test_without_its_index_a_tar_file_is_read(photos: Path, tmp_path: Path, damage: bytes | None) -> None:
    tars(photos, OUT)
    for name in [name for name in objects(OUT) if name.endswith(".tar.json")]:
        if damage is None:
            store_of(OUT).remove([join(OUT, name)])
        else:
            store_of(OUT).write(join(OUT, name), damage)
    assert tars(photos, OUT).done == 4
    assert_samples(down(tmp_path / "copy"))


def test_a_copy_is_reviewed_and_goes_up_again(photos: Path, tmp_path: Path) -> None:
    tars(photos, OUT)
    copy = down(tmp_path / "copy")
    keys = [row["image"] for row in rows_of(copy) if row["status"] == "cropped"][:2]
    verdict_log(copy).append(*(Verdict(key, "rejected", ()) for key in keys))
    assert api.apply(copy, quiet=True).counts["rejected"] == 2
    assert_samples(copy)
    set_objects(OUT, {})
    copy_up(copy, OUT)
    assert tars(photos, OUT).counts["rejected"] == 2
    assert_samples(down(tmp_path / "again"))


def test_on_s3(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tars(photos, tmp_path / "local")
    with s3_server(monkeypatch, "bucket"):
        tars(photos, "s3://bucket/out", limit=5)
        tars(photos, "s3://bucket/out")
        copy = down(tmp_path / "copy", "s3://bucket/out")
    assert_samples(copy)
    assert_same(copy, product(tmp_path / "local"))
