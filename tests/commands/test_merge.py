"""`detic-crop merge`: the shards of a run become what one run leaves, or it says what is missing."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import detic_crop
from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.commands import choose_detector
from detic_crop.errors import DeticCropError, OutputError, UsageError
from detic_crop.folder.aside import Aside
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import read_candidates, replay
from detic_crop.folder.shard import Shard, owner
from detic_crop.photos.keys import STATE
from tests.kit.detectors import FakeDetector
from tests.kit.errors import complained, refused
from tests.kit.faults import Scene, cli_command, difficult_run, disturb
from tests.kit.folders import (
    assert_one_row_each,
    crop,
    files_of,
    leftovers,
    product,
    product_and_state,
    rows_of,
    untouched,
)
from tests.kit.photos import write_boxes, write_difficult_photos, write_photo
from tests.kit.processes import posix
from tests.kit.verdicts import give_verdicts

pytestmark = pytest.mark.slow


@pytest.fixture
def photos(tmp_path: Path) -> tuple[Path, list[str]]:
    return tmp_path / "in", write_difficult_photos(tmp_path / "in", 17)


def crop_shards(folder: Path, out: Path, count: int, **settings: object) -> None:
    for index in reversed(range(count)):  # in any order
        crop(folder, out, shard=f"{index}/{count}", **settings)


def state_of(out: Path, shard: str) -> OutputFolder:
    index, count = map(int, shard.split("/"))
    return OutputFolder(out, Shard(index, count))


# ---------------------------------------------------------------- one whole


@pytest.mark.parametrize("count", [1, 2, 5, 40])
@pytest.mark.parametrize("settings", [{}, {"limit": 9}, {"fit": "pad", "format": "png", "workers": 3}])
def test_merged_shards_are_an_unsharded_run(
    photos: tuple[Path, list[str]], tmp_path: Path, count: int, settings: dict[str, object]
) -> None:
    folder, _ = photos
    crop(folder, tmp_path / "reference", **settings)
    crop_shards(folder, tmp_path / "out", count, **settings)
    with untouched(folder):
        result = api.merge(tmp_path / "out")
    assert product_and_state(tmp_path / "out") == product_and_state(tmp_path / "reference")
    assert leftovers(tmp_path / "out") == []
    rows = rows_of(tmp_path / "out")
    assert (result.counts.total(), result.remaining, result.notes) == (len(rows), 0, [])


@pytest.mark.parametrize("limit", [None, 5])
def test_merged_shards_follow_the_labels(
    photos: tuple[Path, list[str]], tmp_path: Path, limit: int | None
) -> None:
    folder, keys = photos
    labels = tmp_path / "labels.csv"
    rows = [*reversed(keys[3:]), "gone.jpg", keys[7]]
    labels.write_text("image,species\n" + "".join(f"{key},s{len(key)}\n" for key in rows), encoding="utf-8")
    crop(folder, tmp_path / "reference", labels=labels, limit=limit)
    crop_shards(folder, tmp_path / "out", 3, labels=labels, limit=limit)
    api.merge(tmp_path / "out")
    assert product_and_state(tmp_path / "out") == product_and_state(tmp_path / "reference")


def test_a_shard_on_several_devices(
    photos: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes, as of two GPUs."""
    folder, keys = photos
    model = f"boxes:{write_boxes(tmp_path / 'boxes.csv', keys)}"
    crop(folder, tmp_path / "reference", model=model, detector=None)
    one_device = choose_detector.choose_detector

    def two_devices(*given: Any) -> Any:
        return replace(one_device(*given), devices=("cpu", "cpu"))

    monkeypatch.setattr("detic_crop.commands.run.choose_detector", two_devices)
    for index in range(2):
        crop(folder, tmp_path / "out", shard=f"{index}/2", model=model, detector=None, workers=1)
        assert not list((tmp_path / "out" / STATE / "tmp").glob("*"))
    api.merge(tmp_path / "out")
    assert product_and_state(tmp_path / "out") == product_and_state(tmp_path / "reference")


def test_to_merge_again_changes_nothing(
    photos: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crop_shards(photos[0], tmp_path / "out", 2)
    api.merge(tmp_path / "out")
    before = files_of(tmp_path / "out")
    assert cli.main(["merge", str(tmp_path / "out")]) == 0
    assert "no shards wait to be merged here" in capsys.readouterr().out
    assert files_of(tmp_path / "out") == before


@pytest.mark.parametrize("damage", ['{"seconds": "x"}', '{"stage_seconds": [1]}', "[]", "5", "{", "\0"])
def test_a_damaged_run_json_of_a_shard_is_left_out_of_the_sums(
    damage: str, photos: tuple[Path, list[str]], tmp_path: Path
) -> None:
    crop_shards(photos[0], tmp_path / "out", 2)
    parts = [state_of(tmp_path / "out", f"{k}/2").layout.run_json for k in range(2)]
    left = json.loads(parts[1].read_bytes())
    parts[0].write_text(damage)
    api.merge(tmp_path / "out")
    told = json.loads((tmp_path / "out" / "run.json").read_bytes())
    assert told["photos_done_now"] == left["photos_done_now"]


def test_run_json_has_sums_and_every_shard(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, keys = photos
    crop_shards(folder, tmp_path / "out", 3)
    each = [json.loads(state_of(tmp_path / "out", f"{k}/3").layout.run_json.read_bytes()) for k in range(3)]
    api.merge(tmp_path / "out")
    told = json.loads((tmp_path / "out" / "run.json").read_bytes())
    assert [shard["shard"] for shard in told["shards"]] == ["0/3", "1/3", "2/3"]
    assert told["photos_done_now"] == len(keys) == sum(shard["photos_done_now"] for shard in told["shards"])
    assert told["seconds"] == pytest.approx(sum(shard["seconds"] for shard in each), abs=0.002)
    decoding = sum(shard["stage_seconds"]["decode"] for shard in each)
    assert told["stage_seconds"]["decode"] == pytest.approx(decoding, abs=0.002)
    assert sum(told["counts"].values()) == len(keys)
    assert told["settings"]["size"] == 32
    assert (told["stopped"], told["started"]) == ("", min(shard["started"] for shard in each))


def test_the_command_tells_what_an_unsharded_run_tells(
    photos: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, keys = photos
    command = cli_command(folder, write_boxes(tmp_path / "boxes.csv", keys))[:-1]
    assert cli.main([*command, "--out", str(tmp_path / "reference")]) == 0
    told, where = capsys.readouterr().out.replace("reference", "out").splitlines()[-2:]
    for index in range(2):
        assert cli.main([*command, "--out", str(tmp_path / "out"), "--shard", f"{index}/2"]) == 0
    capsys.readouterr()
    assert cli.main(["merge", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines() == [told.rpartition(";")[0], where]


# ---------------------------------------------------------------- what is missing


def test_gaps_are_named_with_the_commands_that_fill_them(
    photos: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, keys = photos
    boxes = write_boxes(tmp_path / "my boxes.csv", keys)
    out = tmp_path / "my crops"
    run = [*cli_command(folder, boxes), "--out", str(out), "--conf", "0.4", "--max-pixels", "100000"]
    for index in (0, 2):
        assert cli.main([*run, "--shard", f"{index}/4"]) == 0
    lines = state_of(out, "2/4").layout.journal.read_bytes().splitlines(keepends=True)
    state_of(out, "2/4").layout.journal.write_bytes(b"".join([*lines[:2], b"damaged\n", *lines[3:]]))
    before = files_of(out)
    capsys.readouterr()
    assert cli.main(["merge", str(out)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == [
        "shard 1/4 was not run",
        "shard 2/4 has 1 photo to do",
        "shard 3/4 was not run",
        "detic-crop",
    ]
    assert "shards that are not done: 3 of 4" in complained("shards_not_done", said[-1])
    assert files_of(out) == before
    for line in said[:-1]:
        words = shlex.split(line.partition(": ")[2])
        assert words[0] == "detic-crop"
        assert cli.main([*words[1:], "--quiet"]) == 0
    assert cli.main(["merge", str(out)]) == 0
    assert cli.main([*run[:-6], "--out", str(tmp_path / "reference"), *run[-4:]]) == 0
    assert product_and_state(out) == product_and_state(tmp_path / "reference")


def test_a_gap_of_a_run_from_python(
    photos: tuple[Path, list[str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crop(photos[0], tmp_path / "out", shard="1/2")
    with (
        caplog.at_level("INFO", logger="detic_crop"),
        refused("shards_not_done") as caught,
    ):
        api.merge(tmp_path / "out")
    assert "1 of 2" in caught.value.message
    assert caught.value.exit_code == 1
    assert "shard 0/2 was not run: run its command again, with --shard 0/2" in caplog.messages


def test_a_shard_that_was_stopped_before_it_knew_its_photos_is_a_gap(
    photos: tuple[Path, list[str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crop_shards(photos[0], tmp_path / "out", 3)
    state_of(tmp_path / "out", "1/3").layout.part.unlink()
    with (
        caplog.at_level("INFO", logger="detic_crop"),
        refused("shards_not_done") as caught,
    ):
        api.merge(tmp_path / "out")
    assert "not done: 1 of 3" in caught.value.message
    assert any("shard 1/3 was stopped before it listed photos" in line for line in caplog.messages)
    for index in (0, 2):
        state_of(tmp_path / "out", f"{index}/3").layout.part.write_bytes(b"{")
    with refused("shards_not_listed", UsageError):
        api.merge(tmp_path / "out")


def test_photos_that_came_between_shards_are_named(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, keys = photos
    crop(folder, tmp_path / "out", shard="0/2")
    write_photo(folder / "zz.jpg", 50)
    crop(folder, tmp_path / "out", shard="1/2")
    with refused("other_input", UsageError) as caught:
        api.merge(tmp_path / "out")
    assert f"other photos ({len(keys) + 1}, not {len(keys)}, or of other names)" in caught.value.message
    crop_shards(folder, tmp_path / "out", 2)
    api.merge(tmp_path / "out")
    crop(folder, tmp_path / "reference")
    assert product(tmp_path / "out") == product(tmp_path / "reference")


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"limit": 3}, "--limit 3 instead of (none)"), ({"labels": "labels.csv"}, "other --labels")],
)
def test_other_photos_asked_for_are_named(
    photos: tuple[Path, list[str]], tmp_path: Path, settings: dict[str, str], named: str
) -> None:
    folder, keys = photos
    (tmp_path / "labels.csv").write_text("image\n" + "\n".join(keys), encoding="utf-8")
    if "labels" in settings:
        settings = {"labels": str(tmp_path / settings["labels"])}
    crop(folder, tmp_path / "out", shard="0/2")
    crop(folder, tmp_path / "out", shard="1/2", **settings)
    with refused("other_input", UsageError) as caught:
        api.merge(tmp_path / "out")
    assert named in caught.value.message


# ---------------------------------------------------------------- after a merge


def test_more_photos_after_a_merge_are_only_theirs(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, _ = photos
    crop_shards(folder, tmp_path / "out", 2)
    api.merge(tmp_path / "out")
    new = [write_photo(folder / name, 60 + n).name for n, name in enumerate(("aa.jpg", "aa.png", "zz.jpg"))]
    detector = FakeDetector()
    crop_shards(folder, tmp_path / "out", 3, detector=detector)
    assert sorted(detector.calls) == new
    api.merge(tmp_path / "out")
    crop(folder, tmp_path / "reference")
    assert product(tmp_path / "out") == product(tmp_path / "reference")
    again = FakeDetector()
    crop(folder, tmp_path / "out", detector=again)
    assert not again.calls


def test_one_shard_alone_after_a_merge_is_enough_when_nothing_else_changed(
    photos: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, keys = photos
    crop_shards(folder, tmp_path / "out", 2)
    api.merge(tmp_path / "out")
    changed = next(key for key in keys if owner(key, 2) == 1 and key.startswith("day1"))
    write_photo(folder / changed, 99)
    assert crop(folder, tmp_path / "out", shard="1/2").done == 1 + sum(
        key.startswith("bad/") and owner(key, 2) == 1 for key in keys
    )
    api.merge(tmp_path / "out")
    crop(folder, tmp_path / "reference")
    assert product(tmp_path / "out") == product(tmp_path / "reference")


def test_one_shard_alone_is_not_enough_when_another_photo_took_the_place_of_one(
    photos: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """As many photos as before, but the other shard has not seen the new one."""
    folder, _ = photos
    crop_shards(folder, tmp_path / "out", 2)
    api.merge(tmp_path / "out")
    new = next(name for name in map("new{}.jpg".format, range(99)) if owner(name, 2) == 0)
    write_photo(folder / new, 70)
    gone = next(
        path for path in folder.glob("day*/**/*.jpg") if owner(path.relative_to(folder).as_posix(), 2) == 0
    )
    gone.unlink()
    crop(folder, tmp_path / "out", shard="1/2")
    with refused("shards_not_done") as caught:
        api.merge(tmp_path / "out")
    assert "not done: 1 of 2" in caught.value.message
    crop(folder, tmp_path / "out", shard="0/2")
    api.merge(tmp_path / "out")
    assert new in {row["image"] for row in rows_of(tmp_path / "out")}


def test_review_goes_on_over_merges(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    """What unsharded runs make of verdicts, shards and merges make of them, too."""
    folder, keys = photos
    good = [key for key in keys if not key.startswith("bad/")]
    outs = [tmp_path / "out", tmp_path / "reference"]
    verdicts = dict(zip(good, ("box", "whole", "rejected", "accepted", "box", "rejected"), strict=False))
    for out in outs:
        if out.name == "out":
            crop_shards(folder, out, 2)
            api.merge(out)
        else:
            crop(folder, out)
        give_verdicts(out, verdicts)
        api.apply(out)
    # Crops of reviewed photos are lost, one reviewed photo and one rejected one have changed.
    lost = {row["image"]: row["crop"] for row in rows_of(outs[0])}
    for out in outs:
        (out / lost[good[0]]).unlink()
        (out / lost[good[1]]).unlink()
    write_photo(folder / good[4], 70)
    write_photo(folder / good[5], 71)
    crop_shards(folder, outs[0], 3)
    api.merge(outs[0])
    crop(folder, outs[1])
    assert product(outs[0]) == product(outs[1])
    rows = {row["image"]: row["verdict"] for row in rows_of(outs[0])}
    assert [rows[key] for key in good[:6]] == ["box", "whole", "rejected", "accepted", "", ""]
    aside = [files_of(out / STATE / "rejected") for out in outs]
    assert aside[0] == aside[1]
    assert list(aside[0])
    give_verdicts(outs[0], {good[0]: "undone", good[2]: "undone"})
    assert len(api.apply(outs[0]).changes) == 2
    crop(folder, tmp_path / "new")
    fresh = product(tmp_path / "new")
    for key in (good[0], good[2]):
        assert (
            product(outs[0])[lost[key] or fresh_crop(tmp_path / "new", key)]
            == fresh[lost[key] or fresh_crop(tmp_path / "new", key)]
        )


def fresh_crop(out: Path, key: str) -> str:
    return next(row["crop"] for row in rows_of(out) if row["image"] == key)


def test_merged_folders_can_be_recropped(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, _ = photos
    crop_shards(folder, tmp_path / "out", 2)
    api.merge(tmp_path / "out")
    crop(folder, tmp_path / "reference")
    for name in ("out", "reference"):
        api.recrop(tmp_path / name, tmp_path / f"{name} 2", scale=1.5, quiet=True)
    assert product(tmp_path / "out 2") == product(tmp_path / "reference 2")


# ---------------------------------------------------------------- several folders


@pytest.fixture
def apart(photos: tuple[Path, list[str]], tmp_path: Path) -> list[Path]:
    """Three shards, each in a folder of its own."""
    outs = [tmp_path / f"out-{index}" for index in range(3)]
    for index, out in enumerate(outs):
        crop(photos[0], out, shard=f"{index}/3")
    return outs


def together(folders: list[Path], out: Path) -> Path:
    """A new folder with what several have, as `merge` says to make it."""
    for folder in folders:
        subprocess.run(["cp", "-a", f"{folder}/.", f"{out}/"], check=True)
    return out


@posix
def test_several_folders_become_one_by_the_command_that_is_told(
    photos: tuple[Path, list[str]],
    apart: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the line says gives the very files of an unsharded run, and leaves the folders as they are."""
    before = [files_of(out) for out in apart]
    crop(photos[0], tmp_path / "reference")
    monkeypatch.chdir(tmp_path)  # names as short as people give them
    given = [f"./{out.name}" for out in apart]
    assert cli.main(["merge", *given, "--out", "all crops"]) == 2
    line = complained("merge_takes_one_folder", capsys.readouterr().err)
    told = "cp -a " + line.partition("cp -a ")[2]
    assert told.endswith("cp -a ./out-2/. 'all crops'/ && detic-crop merge 'all crops'")
    command = told.replace("detic-crop", f"{shlex.quote(sys.executable)} -m detic_crop")
    with_package = {**os.environ, "PYTHONPATH": str(Path(detic_crop.__file__).parents[1])}
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, env=with_package)
    assert ended.returncode == 0, ended.stderr
    assert product_and_state(tmp_path / "all crops") == product_and_state(tmp_path / "reference")
    assert leftovers(tmp_path / "all crops") == []
    assert [files_of(out) for out in apart] == before


@posix
def test_more_shards_are_merged_than_files_may_be_open(
    photos: tuple[Path, list[str]], tmp_path: Path
) -> None:
    crop_shards(photos[0], tmp_path / "out", 24)
    crop(photos[0], tmp_path / "reference")
    command = shlex.join([sys.executable, "-m", "detic_crop", "merge", str(tmp_path / "out")])
    with_package = {**os.environ, "PYTHONPATH": str(Path(detic_crop.__file__).parents[1])}
    limited = ["sh", "-c", f"ulimit -n 36; {command}"]
    ended = subprocess.run(limited, capture_output=True, text=True, env=with_package)
    assert ended.returncode == 0, ended.stderr
    assert product_and_state(tmp_path / "out") == product_and_state(tmp_path / "reference")


def test_merge_takes_one_folder(apart: list[Path], tmp_path: Path) -> None:
    calls: list[Callable[[], object]] = [
        lambda: api.merge(*apart),
        lambda: api.merge(*apart, output=tmp_path / "new"),
        lambda: api.merge(apart[0], output=tmp_path / "new"),
        lambda: api.merge(apart[0], output=apart[0]),
    ]
    before = files_of(tmp_path)
    for call in calls:
        with refused("merge_takes_one_folder", UsageError):
            call()
    assert files_of(tmp_path) == before


@posix
def test_what_killed_runs_left_is_copied_without_harm(
    photos: tuple[Path, list[str]], apart: list[Path], tmp_path: Path
) -> None:
    """Locks, their owners and half files of runs that are long dead; and what shards were about to write."""
    crop(photos[0], tmp_path / "reference")
    for folder in apart:
        for state in (folder / STATE, next((folder / STATE / "shards").iterdir())):
            (state / "lock-owner.json").write_text('{"pid": 1, "host": "gone", "since": "then"}')
            (state / "tmp").mkdir(exist_ok=True)
            (state / "tmp" / "123-0").write_bytes(b"half a crop")
    api.merge(together(apart, tmp_path / "out"))
    assert product_and_state(tmp_path / "out") == product_and_state(tmp_path / "reference")
    assert leftovers(tmp_path / "out") == []


@posix
def test_verdicts_of_a_folder_that_was_merged_and_reviewed_come_along(
    photos: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """New photos were done by a shard elsewhere; the verdicts are those of the reviewed folder."""
    folder, keys = photos
    out, other = tmp_path / "out", tmp_path / "other"
    crop_shards(folder, out, 2)
    api.merge(out)
    good = [key for key in keys if not key.startswith("bad/")]
    give_verdicts(out, {good[0]: "rejected", good[1]: "whole"})
    api.apply(out)
    verdicts = (out / STATE / "review.csv").read_bytes()
    new = next(name for name in map("new{}.jpg".format, range(99)) if owner(name, 2) == 1)
    write_photo(folder / new, 70)
    crop(folder, out, shard="0/2")
    shutil.copytree(out, other)
    crop(folder, other, shard="1/2")
    api.merge(together([other, out], tmp_path / "whole"))
    assert (tmp_path / "whole" / STATE / "review.csv").read_bytes() == verdicts
    rows = {row["image"]: row["verdict"] for row in rows_of(tmp_path / "whole")}
    assert (rows[good[0]], rows[good[1]], rows[new]) == ("rejected", "whole", "")
    crop(folder, out, shard="1/2")
    api.merge(out)
    assert product(tmp_path / "whole") == product(out)


@posix
def test_two_photos_never_share_a_crop(tmp_path: Path) -> None:
    """A photo that was added between the shards' commands gets a name that another folder has given away."""
    photos, folders = tmp_path / "in", [tmp_path / "0", tmp_path / "1"]
    keys = [f"photo{number}.{ending}" for number in range(20) for ending in ("JPG", "jpg")]
    early, late = next(
        (jpg, upper)
        for upper, jpg in zip(keys[::2], keys[1::2], strict=True)
        if (owner(jpg, 2), owner(upper, 2)) == (1, 0)
    )
    write_photo(photos / early, 1)
    for number in range(4):  # something for both
        write_photo(photos / f"other{number}.png", number)
    for number, folder in enumerate(folders):
        crop(photos, folder, shard=f"{number}/2")
    write_photo(photos / late, 2)
    for number, folder in enumerate(folders):
        crop(photos, folder, shard=f"{number}/2")
    out = together(folders, tmp_path / "out")
    for _ in range(2):
        with refused("crop_name_taken", UsageError):
            api.merge(out)
    for number, folder in enumerate(folders):
        crop(photos, folder, shard=f"{number}/2", overwrite=True)
    crop(photos, tmp_path / "reference")
    api.merge(together(folders, tmp_path / "new"))
    assert product_and_state(tmp_path / "new") == product_and_state(tmp_path / "reference")


@posix
def test_what_does_not_belong_together_is_refused(
    photos: tuple[Path, list[str]], apart: list[Path], tmp_path: Path
) -> None:
    folder, _ = photos
    crop(folder, tmp_path / "others", shard="0/2")
    crop(folder, tmp_path / "larger", shard="0/3", size=64)
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "a.txt").write_text("mine")
    cases: list[tuple[Path, str]] = [
        (together([*apart, tmp_path / "others"], tmp_path / "1"), "other_shard_count"),
        (together([*apart, tmp_path / "larger"], tmp_path / "2"), "other_settings"),
        (tmp_path / "strange", "no_shards"),
    ]
    for out, code in cases:
        before = files_of(out)
        with refused(code, UsageError):
            api.merge(out)
        assert files_of(out) == before


def test_photos_may_be_elsewhere_on_each_machine(photos: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, keys = photos
    shutil.copytree(folder, tmp_path / "mounted")
    crop(folder, tmp_path / "out", shard="0/2")
    crop(tmp_path / "mounted", tmp_path / "out", shard="1/2")
    api.merge(tmp_path / "out")
    shutil.rmtree(tmp_path / "mounted" / "bad")
    good = [key for key in keys if not key.startswith("bad/")]
    give_verdicts(tmp_path / "out", dict.fromkeys(good, "whole"))
    assert api.apply(tmp_path / "out").problems == {}
    crop(folder, tmp_path / "reference")
    give_verdicts(tmp_path / "reference", dict.fromkeys(good, "whole"))
    api.apply(tmp_path / "reference")
    assert product(tmp_path / "out") == product(tmp_path / "reference")


def test_names_that_changed_between_shards_are_mended_by_the_next_run(tmp_path: Path) -> None:
    """One shard has given a name away that another photo, come since, would have had."""
    keys = [f"{name}{end}" for name in "abcdefgh" for end in (".png", ".jpg")]
    png = next(key for key in keys[::2] if owner(key, 2) == 0 and owner(f"{key[0]}.jpg", 2) == 1)
    jpg = f"{png[0]}.jpg"
    write_photo(tmp_path / "in" / png, 1)
    crop(tmp_path / "in", tmp_path / "out", shard="0/2")
    before = (tmp_path / "out" / jpg).read_bytes()
    write_photo(tmp_path / "in" / jpg, 2)
    crop_shards(tmp_path / "in", tmp_path / "out", 2)
    api.merge(tmp_path / "out")
    rows = {row["image"]: row for row in rows_of(tmp_path / "out")}
    assert (rows[png]["crop"], rows[jpg]["reason"]) == (jpg, "write_error")
    assert "(merge, then run again)" in rows[jpg]["error"]
    crop(tmp_path / "in", tmp_path / "out")
    assert {row["crop"] for row in rows_of(tmp_path / "out")} == {jpg, f"{jpg}.jpg"}
    assert (tmp_path / "out" / jpg).read_bytes() == before


# ---------------------------------------------------------------- damage


def test_a_journal_without_its_settings_is_mended_by_its_shard(
    photos: tuple[Path, list[str]], tmp_path: Path
) -> None:
    crop_shards(photos[0], tmp_path / "out", 2)
    path = state_of(tmp_path / "out", "1/2").layout.journal
    path.write_bytes(b"damaged\n" + b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    with refused("damaged_journal", UsageError):
        api.merge(tmp_path / "out")
    crop(photos[0], tmp_path / "out", shard="1/2")
    api.merge(tmp_path / "out")
    crop(photos[0], tmp_path / "reference")
    assert product_and_state(tmp_path / "out") == product_and_state(tmp_path / "reference")


def test_boxes_that_a_power_cut_took_are_no_other_photos(
    photos: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, _keys = photos
    crop_shards(folder, tmp_path / "out", 2)
    candidates = state_of(tmp_path / "out", "0/2").layout.candidates
    candidates.write_bytes(candidates.read_bytes()[:100])
    api.merge(tmp_path / "out")
    whole = OutputFolder(tmp_path / "out")
    crop(folder, tmp_path / "reference")
    made, expected = product(tmp_path / "out"), product(tmp_path / "reference")
    assert {name for name in expected if made[name] != expected[name]} == {"audit.html"}  # it shows all boxes
    with open(whole.layout.candidates, "rb") as file:
        for key, record in replay(whole.layout.journal).records.items():
            if record.status == "failed":
                continue
            if owner(key, 2) == 0:
                with pytest.raises(ValueError, match=r"candidates|Expecting"):
                    read_candidates(file, record)
            else:
                read_candidates(file, record)


@pytest.mark.parametrize("name", ["listing.json", "part.json", "journal.jsonl"])
def test_a_damaged_state_is_mended_by_its_shard(
    photos: tuple[Path, list[str]], tmp_path: Path, name: str
) -> None:
    folder, _ = photos
    crop_shards(folder, tmp_path / "out", 2)
    path = state_of(tmp_path / "out", "1/2").layout.own_state / name
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DeticCropError):
        api.merge(tmp_path / "out")
    if name == "listing.json":
        path.unlink()
    crop(folder, tmp_path / "out", shard="1/2")
    api.merge(tmp_path / "out")
    crop(folder, tmp_path / "reference")
    assert product(tmp_path / "out") == product(tmp_path / "reference")


# ---------------------------------------------------------------- ended early


def merged(folder: Path) -> Scene:
    """Two shards to be merged in place."""
    run = difficult_run(folder, 6)
    base = folder / "base"
    for index in range(2):
        assert cli.main([*run, "--out", str(base), "--shard", f"{index}/2"]) == 0
    assert cli.main([*run, "--out", str(folder / "unsharded")]) == 0
    return Scene(["merge", "OUT"], base, folder / "reference", whole=True)


@posix
@pytest.mark.parametrize(("kind", "lasting", "step"), [("kill", False, 2), ("ENOSPC", True, 7)])
def test_a_disturbed_merge_is_mended_by_giving_it_again(
    kind: str, lasting: bool, step: int, tmp_path: Path
) -> None:
    counts = disturb(merged(tmp_path), tmp_path, kind, lasting=lasting, step=step)
    assert counts[f"exit {-signal.SIGKILL}" if kind == "kill" else "exit 1"] > 40 // step
    assert product_and_state(tmp_path / "reference") == product_and_state(tmp_path / "unsharded")


def test_a_half_merged_folder_takes_shards_but_no_whole_run(
    photos: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, keys = photos
    crop_shards(folder, tmp_path / "out", 2)

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(Aside, "remove_stale", full)
        with refused("disk_full", OutputError):
            api.merge(tmp_path / "out")
    with refused("not_merged", UsageError):
        crop(folder, tmp_path / "out")
    write_photo(folder / keys[-1], 98)
    for index in range(2):
        crop(folder, tmp_path / "out", shard=f"{index}/2")
    api.merge(tmp_path / "out")
    assert_one_row_each(tmp_path / "out", keys)
    crop(folder, tmp_path / "reference")
    assert product(tmp_path / "out") == product(tmp_path / "reference")
    shutil.rmtree(tmp_path / "out")
