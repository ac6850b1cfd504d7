"""progress.json: what it says at every step, and that it never stands in the way of the work."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.errors import OutputError
from detic_crop.folder import journal, progress_file
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.progress_file import Progress, ProgressFile, read_progress, seconds_since, utc_now
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import VerdictLog
from detic_crop.photos.keys import STATE
from tests.kit.errors import refused
from tests.kit.faults import fail_nth
from tests.kit.folders import assert_same, crop, leftovers, product, rows_of
from tests.kit.photos import write_photos
from tests.kit.processes import posix


class Clock:
    """A clock that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress_file, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Progress]:
    """Every progress that is written, in order."""
    seen: list[Progress] = []
    write = ProgressFile._write

    def spied(self: ProgressFile, is_due: bool = False) -> None:
        write(self, is_due)
        seen.append(self._now)

    monkeypatch.setattr(ProgressFile, "_write", spied)
    return seen


def on(folder: Path) -> ProgressFile:
    return ProgressFile(OutputFolder(folder), "run")


def now_in(folder: Path) -> Progress:
    found = read_progress(folder / STATE / "progress.json")
    assert found is not None
    return found


# ---------------------------------------------------------------- what is written, and when


def test_it_is_written_seldom_and_at_every_change_of_phase(tmp_path: Path, clock: Clock) -> None:
    progress = on(tmp_path)
    progress.enter("cropping", total=100, skipped=10)
    assert (now_in(tmp_path).total, now_in(tmp_path).skipped, now_in(tmp_path).done) == (100, 10, 0)
    for _ in range(7):
        progress.count(failed=False)
    assert now_in(tmp_path).done == 0  # two seconds are not over
    clock.now += progress_file.EACH
    progress.count(failed=True)
    assert (now_in(tmp_path).done, now_in(tmp_path).failed, now_in(tmp_path).left) == (8, 1, 82)
    progress.count(failed=False)
    progress.enter("writing tables")
    assert (now_in(tmp_path).phase, now_in(tmp_path).done) == ("writing tables", 9)
    progress.end()
    ended = now_in(tmp_path)
    assert (ended.phase, ended.total, ended.stopped, ended.error) == ("ended", 100, "", "")
    assert ended.pid == os.getpid()


def test_the_rate_is_that_of_the_last_minute(tmp_path: Path, clock: Clock) -> None:
    progress = on(tmp_path)
    progress.enter("cropping", total=1000)
    assert now_in(tmp_path).seconds_left is None
    for _ in range(100):  # one photo each second, then four
        clock.now += 1
        progress.count(failed=False)
    assert now_in(tmp_path).photos_per_second == pytest.approx(1, rel=0.02)
    for _ in range(400):
        clock.now += 0.25
        progress.count(failed=False)
    found = now_in(tmp_path)
    assert found.photos_per_second == pytest.approx(4, rel=0.02)
    assert found.seconds_left == pytest.approx(found.left / 4, rel=0.02)


def test_a_rate_of_less_than_a_photo_a_minute_is_known(tmp_path: Path, clock: Clock) -> None:
    progress = on(tmp_path)
    progress.enter("cropping", total=10)
    for _ in range(3):
        clock.now += 200
        progress.count(failed=False)
    assert now_in(tmp_path).photos_per_second == pytest.approx(1 / 200)


def test_its_text_is_json_with_plain_names(tmp_path: Path) -> None:
    on(tmp_path).enter("cropping", total=3)
    found = json.loads((tmp_path / STATE / "progress.json").read_text())
    assert found["phase"] == "cropping"
    assert seconds_since(found["began"]) == pytest.approx(0, abs=100)
    assert found["last"].endswith("Z")
    assert found["host"]


# ---------------------------------------------------------------- the commands


def test_run_recrop_and_apply_say_their_steps(tmp_path: Path, told: list[Progress]) -> None:
    keys = write_photos(tmp_path / "in", 5)
    (tmp_path / "in" / "text.jpg").write_bytes(b"no photo")
    crop(tmp_path / "in", tmp_path / "out")
    assert [seen.phase for seen in told] == ["getting ready", "cropping", "writing tables", "ended"]
    ended = now_in(tmp_path / "out")
    assert (ended.command, ended.total, ended.done, ended.failed) == ("run", 6, 6, 1)
    crop(tmp_path / "in", tmp_path / "out")
    again = now_in(tmp_path / "out")
    assert (again.total, again.skipped + again.done, again.left) == (6, 6, 0)

    told.clear()
    api.recrop(tmp_path / "out", tmp_path / "other", size=16, quiet=True)
    assert {seen.command for seen in told} == {"recrop"}
    assert now_in(tmp_path / "other").phase == "ended"

    VerdictLog(OutputFolder(tmp_path / "out").layout.review).append(Verdict(keys[0], "whole"))
    api.apply(tmp_path / "out", quiet=True)
    applied = now_in(tmp_path / "out")
    assert (applied.command, applied.total, applied.done, applied.phase) == ("apply", 1, 1, "ended")


def test_every_shard_has_its_own_and_merge_that_of_the_folder(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 6)
    out = tmp_path / "out"
    for shard in ("0/2", "1/2"):
        crop(tmp_path / "in", out, shard=shard)
    found = [read_progress(path) for path in sorted(out.glob(f"{STATE}/shards/*/progress.json"))]
    assert sum(one.done for one in found if one is not None) == 6
    assert len(found) == 2
    api.merge(out)
    merged = now_in(out)
    assert (merged.command, merged.phase, merged.total) == ("merge", "ended", 6)
    assert not (out / STATE / "shards").exists()


def test_an_early_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(tmp_path / "in", 40)
    crop(tmp_path / "in", tmp_path / "out", time_limit=0.001, workers=1)
    stopped = now_in(tmp_path / "out")
    assert (stopped.phase, stopped.stopped, stopped.error) == ("ended", "time_limit", "")
    assert stopped.left > 0

    with monkeypatch.context() as patch:
        patch.setattr(journal, "_append", fail_nth(journal._append, 20))
        with refused("disk_full", OutputError) as caught:
            crop(tmp_path / "in", tmp_path / "other")
    failed = now_in(tmp_path / "other")
    assert (failed.phase, failed.error) == ("ended", caught.value.message)


# ---------------------------------------------------------------- it disturbs nothing


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_disk_that_does_not_take_it_stops_nothing_and_is_told_once(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_photos(tmp_path / "in", 5)
    crop(tmp_path / "in", tmp_path / "reference")
    replace = os.replace

    def full(source: str, target: str, **folders: Any) -> None:
        if Path(target).name == "progress.json":
            raise OSError(code, os.strerror(code))
        replace(source, target, **folders)

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(progress_file, "EACH", 0.0)
    with caplog.at_level(logging.INFO, "detic_crop"):
        result = crop(tmp_path / "in", tmp_path / "out")
    assert result.done == 5
    assert sum("progress.json" in line for line in caplog.messages) == 1
    assert not (tmp_path / "out" / STATE / "progress.json").exists()
    assert leftovers(tmp_path / "out") == []
    assert_same(tmp_path / "out", product(tmp_path / "reference"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"{"),
        lambda path: path.write_text('{"phase": "dancing"}'),
        lambda path: path.write_bytes(b"[" * 100_000),
        lambda path: path.unlink(),
        lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), "done": "x"})),
    ],
)
def test_a_damaged_one_says_nothing_and_harms_nobody(
    damage: Callable[[Path], object], tmp_path: Path
) -> None:
    write_photos(tmp_path / "in", 3)
    crop(tmp_path / "in", tmp_path / "out")
    path = tmp_path / "out" / STATE / "progress.json"
    damage(path)
    assert read_progress(path) is None
    assert api.verify(tmp_path / "out", quiet=True).is_as_made
    crop(tmp_path / "in", tmp_path / "out")
    assert now_in(tmp_path / "out").phase == "ended"
    assert len(rows_of(tmp_path / "out")) == 3


@posix
def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "progress.json")
    assert read_progress(tmp_path / "progress.json") is None


def test_a_link_in_its_place_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 2)
    crop(tmp_path / "in", tmp_path / "out")
    path = tmp_path / "out" / STATE / "progress.json"
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with refused("link_in_output"):
        crop(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "elsewhere").exists()


def test_overwrite_removes_it_with_the_rest(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 2)
    crop(tmp_path / "in", tmp_path / "out")
    crop(tmp_path / "in", tmp_path / "out", overwrite=True, size=16)
    assert (now_in(tmp_path / "out").skipped, now_in(tmp_path / "out").done) == (0, 2)


def test_moments() -> None:
    assert seconds_since(utc_now()) == pytest.approx(0, abs=100)
    assert seconds_since("yesterday") is None
    assert seconds_since("2026-05-04T11:12:13") is None  # without a zone
