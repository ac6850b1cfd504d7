"""`detic-crop merge --partial`: tables of what the shards have; the shards stay, and are merged later."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.commands import merge as merge_command
from detic_crop.errors import OutputError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import Journal
from detic_crop.folder.shard import Shard, owner
from detic_crop.photos.keys import STATE
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.faults import Scene, cli_command, difficult_run, disturb
from tests.kit.folders import (
    crop,
    files_of,
    leftovers,
    product,
    product_and_state,
    rows_of,
)
from tests.kit.photos import write_boxes, write_damaged, write_photo, write_photos
from tests.kit.processes import posix

pytestmark = pytest.mark.slow

COUNT = 3
SUBSETS = [set(some) for size in range(1, COUNT + 1) for some in itertools.combinations(range(COUNT), size)]
TABLES = {"audit.csv", "audit.html"}
# What a row says of the photo itself; the other columns weigh it against the rest.
OWN_COLUMNS = ("image", "crop", "status", "reason", "class", "score", "box", "crop_box", "width", "height")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Photos, some damaged, two with names that collide; and their keys in order."""
    folder = tmp_path_factory.mktemp("photos")
    keys = write_photos(folder, 13)
    keys += write_damaged(folder)
    keys.append(write_photo(folder / "photo000.png", 9).name)
    return folder, sorted(keys)


@pytest.fixture(scope="module")
def ways(
    photos: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What a run may be told, and where an unsharded run with that is."""
    folder, keys = photos
    base = tmp_path_factory.mktemp("ways")
    rows = [*reversed(keys[3:]), "gone.jpg", keys[7]]
    (base / "labels.csv").write_text(
        "image,species\n" + "".join(f"{key},s\n" for key in rows), encoding="utf-8"
    )
    ways: dict[str, dict[str, Any]] = {
        "all": {},
        "limit": {"limit": 7},
        "labels": {"labels": base / "labels.csv"},
        "both": {"labels": base / "labels.csv", "limit": 5},
    }
    for name, settings in ways.items():
        crop(folder, base / name, **settings)
    return {name: {"settings": settings, "reference": base / name} for name, settings in ways.items()}


def run_shards(folder: Path, out: Path, indices: set[int], count: int = COUNT, **settings: Any) -> None:
    for index in sorted(indices):
        crop(folder, out, shard=f"{index}/{count}", **settings)


def without_tables(out: Path) -> dict[str, bytes]:
    """Return the files but for the tables, and for what is known of them."""
    left_out = {*TABLES, f"{STATE}/written.json"}
    return {name: data for name, data in files_of(out).items() if name not in left_out}


def own_columns(rows: list[dict[str, str]]) -> list[list[str]]:
    return [[row[name] for name in OWN_COLUMNS if name in row] for row in rows]


# ---------------------------------------------------------------- a look, then the ordinary merge


@pytest.mark.parametrize("first", SUBSETS, ids=str)
@pytest.mark.parametrize("way", ["all", "limit", "labels", "both"])
def test_a_preview_has_the_rows_there_are_and_changes_nothing_else(
    photos: tuple[Path, list[str]], ways: dict[str, dict[str, Any]], tmp_path: Path, way: str, first: set[int]
) -> None:
    folder, _ = photos
    settings, reference, out = ways[way]["settings"], ways[way]["reference"], tmp_path / "out"
    run_shards(folder, out, first, **settings)
    before = without_tables(out)
    results = [api.merge(out, partial=True) for _ in range(2)]
    assert without_tables(out) == before
    assert leftovers(out) == []
    there = [
        row
        for row in rows_of(reference)
        if row["reason"] == "missing_file" or owner(row["image"], COUNT) in first  # labels without a photo
    ]
    assert own_columns(rows_of(out)) == own_columns(there)
    for result in results:
        assert result.counts.total() == len({row["image"] for row in there})
        (note,) = [note for note in result.notes if "preview" in note]
        absent = [f"shard {index}/{COUNT} was not run" for index in range(COUNT) if index not in first]
        assert "; ".join(absent) in note
        assert result.folder.layout.journal == OutputFolder(out).layout.journal
    run_shards(folder, out, set(range(COUNT)) - first, **settings)
    result = api.merge(out)
    assert result.remaining == 0
    assert not any("preview" in note for note in result.notes)
    assert product_and_state(out) == product_and_state(reference)


def test_a_preview_of_all_shards_says_that_they_can_be_merged(
    photos: tuple[Path, list[str]], ways: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    folder, _ = photos
    out, reference = tmp_path / "out", ways["all"]["reference"]
    run_shards(folder, out, set(range(COUNT)))
    result = api.merge(out, partial=True)
    assert any("all shards are done; merge without --partial" in note for note in result.notes)
    made, expected = product(out), product(reference)
    assert {name: made[name] for name in TABLES} == {name: expected[name] for name in TABLES}
    assert OutputFolder(out).shards()


def test_a_shard_that_was_stopped_has_so_many_photos_to_do(
    photos: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, keys = photos
    out = tmp_path / "out"
    run_shards(folder, out, {0, 1}, 2)
    journal = OutputFolder(out, Shard(0, 2)).layout.journal
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:4]))
    result = api.merge(out, partial=True)
    left = sum(owner(key, 2) == 0 for key in keys) - 3
    assert result.remaining == left
    assert any(f"shard 0/2 has {left} photos to do" in note for note in result.notes)
    assert len(rows_of(out)) == len(keys) - left


def test_a_preview_after_a_merge_has_the_earlier_photos_too(tmp_path: Path) -> None:
    """Photos were added, and only one of the shards has seen them."""
    folder, out = tmp_path / "in", tmp_path / "out"
    keys = write_photos(folder, 9)
    run_shards(folder, out, {0, 1}, 2)
    api.merge(out)
    new = [write_photo(folder / f"new{number}.jpg", 50 + number).name for number in range(8)]
    run_shards(folder, out, {1}, 2)
    before = without_tables(out)
    api.merge(out, partial=True)
    assert without_tables(out) == before
    seen = {key for key in new if owner(key, 2) == 1}
    assert {row["image"] for row in rows_of(out)} == {*keys, *seen}
    with refused("shards_not_done"):
        api.merge(out)
    run_shards(folder, out, {0}, 2)
    api.merge(out)
    crop(folder, tmp_path / "reference")
    assert product(out) == product(tmp_path / "reference")


def test_the_command_line_says_that_it_is_a_preview(
    photos: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, keys = photos
    out = tmp_path / "out"
    run = [*cli_command(folder, write_boxes(tmp_path / "boxes.csv", keys)), "--out", str(out)]
    assert cli.main([*run, "--shard", "0/3"]) == 0
    capsys.readouterr()
    assert cli.main(["merge", str(out), "--partial"]) == 0
    said = capsys.readouterr().out
    assert (
        "preview, the shards stay as they are: shard 1/3 was not run; shard 2/3 was not run; run these, "
        "then merge without --partial" in said
    )
    assert f"{out}/audit.html" in said
    assert cli.main(["merge", str(out)]) == 1
    for line in capsys.readouterr().err.splitlines()[:-1]:
        assert cli.main([*shlex.split(line.partition(": ")[2])[1:], "--quiet"]) == 0
    assert cli.main(["merge", str(out)]) == 0
    assert cli.main([*run[:-1], str(tmp_path / "reference")]) == 0
    assert product_and_state(out) == product_and_state(tmp_path / "reference")


# ---------------------------------------------------------------- ended early


def two_of_four(folder: Path) -> Scene:
    """Half of the shards, to be looked at."""
    run = difficult_run(folder, 9)
    base = folder / "base"
    for index in (0, 2):
        assert cli.main([*run, "--out", str(base), "--shard", f"{index}/4"]) == 0
    return Scene(["merge", "OUT", "--partial"], base, folder / "reference", whole=True)


@posix
@pytest.mark.parametrize(("kind", "lasting", "step"), [("kill", False, 2), ("ENOSPC", True, 7)])
def test_a_disturbed_preview_is_completed_by_the_same_command(
    kind: str, lasting: bool, step: int, tmp_path: Path
) -> None:
    counts = disturb(two_of_four(tmp_path), tmp_path, kind, lasting=lasting, step=step)
    assert counts[f"exit {-signal.SIGKILL}" if kind == "kill" else "exit 1"] > 30 // step


@pytest.mark.parametrize("first", [{0}, {1, 2}], ids=str)
@pytest.mark.parametrize(
    "place", [(Journal, "append"), (merge_command, "write_tables")], ids=["journal", "tables"]
)
def test_shards_go_on_beside_what_a_broken_preview_left(
    photos: tuple[Path, list[str]],
    ways: dict[str, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: tuple[Any, str],
    first: set[int],
) -> None:
    folder, _ = photos
    out = tmp_path / "out"
    run_shards(folder, out, first)

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(*place, full)
        with refused("disk_full", OutputError):
            api.merge(out, partial=True)
    assert leftovers(out) == []
    run_shards(folder, out, set(range(COUNT)) - first)
    api.merge(out)
    assert leftovers(out) == []
    assert product_and_state(out) == product_and_state(ways["all"]["reference"])


# ---------------------------------------------------------------- folders of earlier versions


@pytest.fixture
def merged_in_part(
    photos: tuple[Path, list[str]], ways: dict[str, dict[str, Any]], tmp_path: Path
) -> tuple[Path, set[str]]:
    """What ``merge --partial`` of earlier versions left of shards 0 and 2 of 3; and their photos."""
    folder, keys = photos
    out = tmp_path / "out"
    crop(folder, out)
    state = out / STATE
    there = {key for key in keys if owner(key, COUNT) != 1}
    settings, *lines = (state / "journal.jsonl").read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["image"] in there]
    (state / "journal.jsonl").write_bytes(b"".join([settings, *kept]))
    for row in rows_of(out):
        if row["image"] not in there and row["crop"]:
            (out / row["crop"]).unlink()
    listing = json.loads((state / "listing.json").read_bytes())
    positions = [place for place, key in enumerate(listing["keys"]) if key in there]
    listing["keys"] = [key for key in listing["keys"] if key in there]
    listing["merged"] = {"photos": len(keys), "digest": "0", "shards": ["0/3", "2/3"], "places": positions}
    (state / "listing.json").write_text(json.dumps(listing), encoding="utf-8")
    for name in TABLES:
        (out / name).unlink()
    return out, there


@pytest.mark.parametrize("way", ["unsharded", "all shards", "the shard that was not there"])
def test_a_folder_that_an_earlier_version_merged_in_part_goes_on(
    photos: tuple[Path, list[str]],
    ways: dict[str, dict[str, Any]],
    merged_in_part: tuple[Path, set[str]],
    way: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, keys = photos
    out, there = merged_in_part
    result = api.merge(out)
    assert any("merged in part by an earlier version" in note for note in result.notes)
    assert {row["image"] for row in rows_of(out)} == there
    detector = FakeDetector()
    if way == "unsharded":
        crop(folder, out, detector=detector)
    elif way == "all shards":
        run_shards(folder, out, {0, 1, 2}, detector=detector)
        api.merge(out)
    else:
        run_shards(folder, out, {1}, detector=detector)
        with caplog.at_level("INFO", logger="detic_crop"), refused("shards_not_done"):
            api.merge(out)
        assert [line.split(":")[0] for line in caplog.messages if "was not run" in line] == [
            "shard 0/3 was not run",
            "shard 2/3 was not run",
        ]
        run_shards(folder, out, {0, 2}, detector=detector)
        api.merge(out)
    assert set(detector.calls) == {key for key in keys if key not in there and not key.startswith("bad/")}
    assert product(out) == product(ways["all"]["reference"])
    assert not any("in part" in note for note in api.merge(out).notes)
