"""`detic-crop merge --partial`, and going on after it: only the shards that were not there are run."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.errors import DeticCropError, OutputError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import Journal, replay
from detic_crop.folder.records import Record
from detic_crop.folder.shard import owner
from detic_crop.photos.keys import STATE
from detic_crop.wording import counted
from tests.kit.detectors import FakeDetector
from tests.kit.faults import Scene, cli_command, difficult_run, disturb
from tests.kit.folders import crop, leftovers, product_and_state
from tests.kit.photos import write_boxes, write_damaged, write_photo, write_photos
from tests.kit.processes import posix

pytestmark = pytest.mark.slow

COUNT = 4
SUBSETS = [set(some) for size in range(1, COUNT) for some in itertools.combinations(range(COUNT), size)]


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


def assert_unsharded(out: Path, reference: Path) -> None:
    """All is that of an unsharded run, byte for byte; in the journal but for the order of the lines."""
    made, expected = product_and_state(out), product_and_state(reference)
    in_order = {f"{STATE}/journal.jsonl", f"{STATE}/candidates.jsonl"}
    assert made.keys() == expected.keys()
    assert {name for name in made if made[name] != expected[name]} <= in_order
    assert remembered(out) == remembered(reference)


def remembered(out: Path) -> dict[str, tuple[Record, bytes]]:
    """Of each photo the record and the line with its boxes."""
    boxes = (out / STATE / "candidates.jsonl").read_bytes()
    found = {}
    for key, record in replay(out / STATE / "journal.jsonl").records.items():
        assert record.candidates is not None
        begin, length = record.candidates
        found[key] = replace(record, candidates=None), boxes[begin : begin + length]
    return found


def listing_of(out: Path) -> dict[str, Any]:
    listing: dict[str, Any] = json.loads((out / STATE / "listing.json").read_bytes())
    return listing


# ---------------------------------------------------------------- one whole in the end


@pytest.mark.parametrize("first", SUBSETS, ids=str)
@pytest.mark.parametrize("way", ["all", "limit", "labels", "both"])
def test_the_rest_alone_makes_an_unsharded_run(
    photos: tuple[Path, list[str]], ways: dict[str, dict[str, Any]], tmp_path: Path, way: str, first: set[int]
) -> None:
    folder, keys = photos
    settings, out = ways[way]["settings"], tmp_path / "out"
    run_shards(folder, out, first, **settings)
    result = api.merge(out, partial=True)
    absent = sorted(set(range(COUNT)) - first)
    assert [note for note in result.notes if "merged in part" in note] == [
        f"merged in part: {'; '.join(f'shard {index}/{COUNT} was never run' for index in absent)}; "
        "give `run` again, with or without --shard, then merge"
    ]
    listed = [key for key in keys if owner(key, COUNT) in first]
    assert listing_of(out)["keys"] == listed
    detector = FakeDetector()
    run_shards(folder, out, set(absent), detector=detector, **settings)
    assert all(owner(key, COUNT) in absent for key in detector.calls)
    result = api.merge(out)
    assert result.remaining == 0
    assert not any("merge" in note for note in result.notes)
    assert_unsharded(out, ways[way]["reference"])
    lines = [
        (each / STATE / "journal.jsonl").read_bytes().count(b"\n") for each in (out, ways[way]["reference"])
    ]
    assert lines[0] == lines[1]


def test_one_shard_after_another_is_merged_in_part(
    photos: tuple[Path, list[str]], ways: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    folder, _ = photos
    out = tmp_path / "out"
    for done, index in enumerate((3, 1, 0, 2)):
        run_shards(folder, out, {index})
        result = api.merge(out, partial=True)
        assert len(listing_of(out).get("merged", {}).get("shards", ())) == (done + 1) % COUNT
    assert result.notes == []
    assert_unsharded(out, ways["all"]["reference"])


def test_several_numbers_of_shards_make_up_the_input(
    photos: tuple[Path, list[str]], ways: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Shard 1/2 has the photos of 1/4 and 3/4."""
    folder, _ = photos
    out = tmp_path / "out"
    run_shards(folder, out, {0, 2})
    api.merge(out, partial=True)
    run_shards(folder, out, {1}, 2)
    assert api.merge(out).notes == []
    assert_unsharded(out, ways["all"]["reference"])


def test_shards_of_another_number_that_leave_a_gap(
    photos: tuple[Path, list[str]], ways: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    folder, _ = photos
    out = tmp_path / "out"
    run_shards(folder, out, {0})
    api.merge(out, partial=True)
    run_shards(folder, out, {0, 2}, 3)
    with pytest.raises(DeticCropError, match="shards that are not done: 1 of 3"):
        api.merge(out)
    api.merge(out, partial=True)
    run_shards(folder, out, {1, 2, 3})
    api.merge(out)
    assert_unsharded(out, ways["all"]["reference"])


@pytest.mark.parametrize("there", [True, False])
def test_folders_of_their_own(
    photos: tuple[Path, list[str]], ways: dict[str, dict[str, Any]], tmp_path: Path, there: bool
) -> None:
    """Some are joined in part; the rest is run in folders of their own, too, or where these are joined."""
    folder, _ = photos
    out, outs = tmp_path / "out", [tmp_path / f"out-{index}" for index in range(COUNT)]
    for index in (0, 3):
        run_shards(folder, outs[index], {index})
    api.merge(outs[0], outs[3], output=out, partial=True)
    for index in (1, 2):
        run_shards(folder, out if there else outs[index], {index})
    if there:
        api.merge(out)
    else:
        api.merge(*outs, output=out)
    assert_unsharded(out, ways["all"]["reference"])


@pytest.mark.parametrize("way", ["all", "limit", "labels"])
def test_an_unsharded_run_does_the_rest(
    photos: tuple[Path, list[str]], ways: dict[str, dict[str, Any]], tmp_path: Path, way: str
) -> None:
    folder, _ = photos
    out, settings = tmp_path / "out", ways[way]["settings"]
    run_shards(folder, out, {1, 2}, **settings)
    api.merge(out, partial=True)
    detector = FakeDetector()
    crop(folder, out, detector=detector, **settings)
    assert not any(owner(key, COUNT) in (1, 2) for key in detector.calls)
    assert_unsharded(out, ways[way]["reference"])


def test_a_limit_that_the_earlier_merge_did_not_have_names_the_photos_to_do(
    photos: tuple[Path, list[str]],
    ways: dict[str, dict[str, Any]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same photos, of which more are asked for now."""
    folder, keys = photos
    out = tmp_path / "out"
    run_shards(folder, out, {0, 1}, limit=3)
    api.merge(out, partial=True)
    run_shards(folder, out, {2, 3})
    left = {index: sum(owner(key, COUNT) == index for key in keys[3:]) for index in (0, 1)}
    with (
        caplog.at_level("INFO", logger="detic_crop"),
        pytest.raises(DeticCropError, match="not done: 2 of 4"),
    ):
        api.merge(out)
    for index, photos_left in left.items():
        assert any(
            f"shard {index}/4 has {counted(photos_left, 'photo')} to do" in line for line in caplog.messages
        )
    run_shards(folder, out, {0, 1})
    api.merge(out)
    assert_unsharded(out, ways["all"]["reference"])


def test_overwrite_forgets_the_merge_in_part(
    photos: tuple[Path, list[str]], ways: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    folder, _ = photos
    out = tmp_path / "out"
    run_shards(folder, out, {0})
    api.merge(out, partial=True)
    OutputFolder(out).remove_run()
    run_shards(folder, out, {1, 2, 3})
    with pytest.raises(DeticCropError, match="not done: 1 of 4"):
        api.merge(out)
    crop(folder, out, overwrite=True)
    assert product_and_state(out) == product_and_state(ways["all"]["reference"])


# ---------------------------------------------------------------- what is said


def test_only_shards_that_were_never_there_are_asked_for(
    photos: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, keys = photos
    out = tmp_path / "out"
    run = [*cli_command(folder, write_boxes(tmp_path / "boxes.csv", keys)), "--out", str(out)]
    assert cli.main([*run, "--shard", "0/4"]) == 0
    cli.main(["merge", str(out), "--partial"])
    capsys.readouterr()
    cli.main(["merge", str(out)])
    absent = sum(owner(key, 4) != 0 for key in keys)
    assert f"merged in part: the shards of {absent} of {len(keys)} photos were not there" in "".join(
        capsys.readouterr()
    )
    assert cli.main([*run, "--shard", "2/4"]) == 0
    capsys.readouterr()
    assert cli.main(["merge", str(out)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said[:-1]] == [
        "shard 1/4 was never run",
        "shard 3/4 was never run",
    ]
    for line in said[:-1]:
        assert cli.main([*shlex.split(line.partition(": ")[2])[1:], "--quiet"]) == 0
    assert cli.main(["merge", str(out)]) == 0
    assert cli.main([*run[:-1], str(tmp_path / "reference")]) == 0
    assert_unsharded(out, tmp_path / "reference")


def test_photos_that_came_after_a_merge_in_part_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    keys = write_photos(folder, 9)
    run_shards(folder, out, {0, 1})
    api.merge(out, partial=True)
    write_photo(folder / "zz.jpg", 50)
    run_shards(folder, out, {2, 3})
    other = (
        rf"what was merged before were other photos \({len(keys)}, not {len(keys) + 1}, or of other names\)"
    )
    with pytest.raises(
        DeticCropError, match=f"shards that are not done: 2 of 4: {other}; run them"
    ) as caught:
        api.merge(out)
    assert "\n" not in str(caught.value)
    for index in (0, 1):
        said = f"shard {index}/4 was merged with other photos: give its command again"
        assert any(said in line for line in caplog.messages)
    assert any(other.replace("\\", "") in note for note in api.merge(out, partial=True).notes)
    run_shards(folder, out, {0, 1})
    api.merge(out)
    crop(folder, tmp_path / "reference")
    assert_unsharded(out, tmp_path / "reference")


def test_photos_that_went_keep_their_rows_and_the_rest_is_enough(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    keys = write_photos(folder, 9)
    gone = next(key for key in keys if owner(key, COUNT) == 0)
    for target in (out, tmp_path / "reference"):
        crop(folder, target)
    (folder / gone).unlink()
    crop(folder, tmp_path / "reference")
    run_shards(folder, out, {0, 1})
    api.merge(out, partial=True)
    run_shards(folder, out, {2, 3})
    api.merge(out)
    assert_unsharded(out, tmp_path / "reference")


@pytest.mark.parametrize("damage", ["keys", "merged"])
def test_a_damaged_memory_of_the_merge_is_mended_by_all_shards(
    photos: tuple[Path, list[str]], ways: dict[str, dict[str, Any]], tmp_path: Path, damage: str
) -> None:
    folder, _ = photos
    out = tmp_path / "out"
    run_shards(folder, out, {0, 1})
    api.merge(out, partial=True)
    listing = listing_of(out)
    if damage == "keys":
        listing["keys"][:2] = reversed(listing["keys"][:2])
    else:
        del listing["merged"]["digest"]
    (out / STATE / "listing.json").write_text(json.dumps(listing), encoding="utf-8")
    run_shards(folder, out, {2, 3})
    with pytest.raises(DeticCropError, match="give the commands of all"):
        api.merge(out)
    run_shards(folder, out, {0, 1})
    api.merge(out)
    assert_unsharded(out, ways["all"]["reference"])


# ---------------------------------------------------------------- ended early


def in_part(folder: Path) -> Scene:
    """Two of four shards to be merged."""
    run = difficult_run(folder, 9)
    base = folder / "base"
    for index in (0, 2):
        assert cli.main([*run, "--out", str(base), "--shard", f"{index}/4"]) == 0
    assert cli.main([*run, "--out", str(folder / "unsharded")]) == 0
    return Scene(["merge", "OUT", "--partial"], base, folder / "reference", whole=True)


def the_rest(folder: Path) -> Scene:
    """These are merged, and the other two are to be."""
    scene = in_part(folder)
    assert scene.base
    assert cli.main(["merge", str(scene.base), "--partial"]) == 0
    run = cli_command(folder / "in", folder / "boxes.csv")
    for index in (1, 3):
        assert cli.main([*run, "--out", str(scene.base), "--shard", f"{index}/4"]) == 0
    return Scene(["merge", "OUT"], scene.base, scene.reference, whole=True)


@posix
@pytest.mark.parametrize("make", [in_part, the_rest])
@pytest.mark.parametrize(("kind", "lasting", "step"), [("kill", False, 2), ("ENOSPC", True, 7)])
def test_a_disturbed_merge_is_mended_by_giving_it_again(
    make: Callable[[Path], Scene], kind: str, lasting: bool, step: int, tmp_path: Path
) -> None:
    counts = disturb(make(tmp_path), tmp_path, kind, lasting=lasting, step=step)
    assert counts[f"exit {-signal.SIGKILL}" if kind == "kill" else "exit 1"] > 30 // step
    if make is the_rest:
        assert_unsharded(tmp_path / "reference", tmp_path / "unsharded")


@pytest.mark.parametrize("first", [{0}, {1, 3}, {0, 1, 2}], ids=str)
@pytest.mark.parametrize(
    ("place", "name"),
    [
        (Journal, "append"),
        (api, "write_listing"),
        (api, "save_labels"),
        (api, "_write_tables"),
        (OutputFolder, "remove_shards"),
    ],
)
def test_a_killed_merge_in_part_takes_the_rest(
    photos: tuple[Path, list[str]],
    ways: dict[str, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    name: str,
    first: set[int],
) -> None:
    """It is not given again: the other shards are run beside what it left, and all is merged."""
    folder, _ = photos
    out = tmp_path / "out"
    run_shards(folder, out, first)

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(place, name, full)
        with pytest.raises(OutputError, match="disk"):
            api.merge(out, partial=True)
    run_shards(folder, out, set(range(COUNT)) - first)
    api.merge(out)
    assert leftovers(out) == []
    assert_unsharded(out, ways["all"]["reference"])
