"""`detic-crop status`: what it says of every state of a folder, and that it only reads."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.commands.status_result import StatusResult
from detic_crop.errors import UsageError
from detic_crop.folder import journal, progress_file
from detic_crop.folder.journal import replay
from detic_crop.folder.progress_file import read_progress
from detic_crop.folder.tally import tally
from detic_crop.photos.keys import STATE
from detic_crop.system.processes import process_space
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.faults import cli_command, fail_nth, many_photos, size_of
from tests.kit.folders import crop, rows_of, untouched
from tests.kit.photos import write_boxes, write_photos
from tests.kit.processes import ROOT, posix
from tests.kit.verdicts import give_verdicts


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished folder of six photos, one of which failed."""
    write_photos(tmp_path / "in", 5)
    (tmp_path / "in" / "text.jpg").write_bytes(b"no photo")
    crop(tmp_path / "in", tmp_path / "out")
    return tmp_path / "out"


def pretend(out: Path, *, owner: dict[str, Any] | None = None, **fields: Any) -> None:
    """Let progress.json say something else, and somebody hold the folder."""
    path = out / STATE / "progress.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    if owner is not None:
        (out / STATE / "lock-owner.json").write_text(json.dumps(owner))


def ago(**time: float) -> str:
    return (datetime.now(UTC) - timedelta(**time)).strftime("%Y-%m-%dT%H:%M:%SZ")


ELSEWHERE = {"pid": 7, "host": "node7", "since": "2026-05-04 11:12:13"}


# ---------------------------------------------------------------- a folder that nobody works on


def test_done(out: Path) -> None:
    with untouched(out):
        found = api.status(out)
    assert (found.whole.state, found.whole.done, found.whole.total) == ("done", 6, 6)
    assert found.statuses == Counter(row["status"] for row in rows_of(out))
    assert found.failures == Counter(row["reason"] for row in rows_of(out) if row["status"] == "failed")
    assert found.flagged == sum(bool(row["flags"]) for row in rows_of(out) if row["status"] == "cropped")
    first, *_, last = found.lines()
    assert first == f"{out}: done: 6 of 6 photos (100 %)"
    assert last == f"next: detic-crop review {out}"


def test_stopped_and_the_command_that_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = write_photos(tmp_path / "in", 40)
    folder = tmp_path / "has blanks"
    command = cli_command(tmp_path / "in", write_boxes(tmp_path / "boxes.csv", keys))
    assert cli.main([*command, "--out", str(folder), "--workers", "1", "--time-limit", "0.001"]) == 0
    found = api.status(folder)
    assert (found.whole.state, found.whole.total) == ("stopped", 40)
    assert found.whole.done == len(rows_of(folder)) < 40
    assert "stopped (time limit)" in found.lines()[0]
    (following,) = found.next
    words = shlex.split(following)
    assert words[:2] == ["detic-crop", "run"]
    assert words[-2:] == ["--out", str(folder)]
    words.remove("--time-limit")
    assert cli.main([word for word in words[1:] if word != "0.001"]) == 0
    assert api.status(folder).whole.state == "done"


def test_an_error_is_told_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = write_photos(tmp_path / "in", 20)
    command = cli_command(tmp_path / "in", write_boxes(tmp_path / "boxes.csv", keys))
    with monkeypatch.context() as patch:
        patch.setattr(journal, "_append", fail_nth(journal._append, 20))
        assert cli.main([*command, "--out", str(tmp_path / "out")]) == 1
    found = api.status(tmp_path / "out")
    assert found.whole.state == "failed"
    assert any(line.startswith("error: ") and "disk" in line for line in found.lines())
    assert found.next[0].startswith("detic-crop run --in ")


def test_of_a_call_in_python_with_an_own_detector_no_command_is_made_up(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 40)
    crop(tmp_path / "in", tmp_path / "out", workers=1, time_limit=0.001)
    found = api.status(tmp_path / "out")
    assert (found.whole.state, found.next) == ("stopped", [])
    assert "the call that made this folder" in found.lines()[-1]


def test_verdicts_that_wait(out: Path) -> None:
    cropped = [row["image"] for row in rows_of(out) if row["status"] == "cropped"][:3]
    give_verdicts(out, dict(zip(cropped, ("accepted", "whole", "rejected"), strict=True)))
    waiting = api.status(out)
    assert (waiting.verdicts, waiting.verdicts_waiting) == (3, 3)
    assert waiting.next == [f"detic-crop apply {out}"]
    api.apply(out, quiet=True)
    applied = api.status(out)
    assert (applied.verdicts, applied.verdicts_waiting, applied.whole.state) == (3, 0, "done")
    assert (applied.whole.done, applied.whole.total) == (6, 6)
    assert applied.next[0].startswith(f"detic-crop export {out}")
    give_verdicts(out, {cropped[0]: "undone"})
    assert (api.status(out).verdicts, api.status(out).verdicts_waiting) == (2, 1)


def test_an_apply_does_not_hide_what_a_run_left(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 40)
    command = cli_command(tmp_path / "in", write_boxes(tmp_path / "boxes.csv", keys))
    out = tmp_path / "out"
    assert cli.main([*command, "--out", str(out), "--workers", "1", "--time-limit", "0.001"]) == 0
    assert cli.main([*command, "--out", str(out), "--limit", "3"]) == 0
    assert api.status(out).whole.total == 3
    assert cli.main([*command, "--out", str(out), "--workers", "1", "--time-limit", "0.001"]) == 0
    done = len(rows_of(out))
    give_verdicts(out, {rows_of(out)[0]["image"]: "accepted"})
    api.apply(out, quiet=True)
    found = api.status(out)
    assert (found.whole.state, found.whole.done, found.whole.total) == ("stopped", done, 40)
    assert found.next[0].startswith("detic-crop run --in ")


def test_a_recrop_that_stopped_names_its_command(out: Path, tmp_path: Path) -> None:
    api.recrop(out, tmp_path / "other", size=16, scale=1.5, csv_safe=True, quiet=True)
    found = read_progress(tmp_path / "other" / STATE / "progress.json")
    assert found is not None
    assert found.words == [
        *("recrop", str(out), "--size", "16", "--scale", "1.5", "--csv-safe"),
        "--out",
    ]
    assert cli.main([*found.words, str(tmp_path / "third"), "--quiet"]) == 0


# ---------------------------------------------------------------- at work, silent, gone


def test_running_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = write_photos(tmp_path / "in", 12)
    monkeypatch.setattr(progress_file, "EACH", 0.0)
    seen: list[StatusResult] = []

    class Looking(FakeDetector):
        def detect(self, image: Any, key: str = "") -> Any:
            if key == keys[-1]:
                seen.append(api.status(tmp_path / "out"))
            return super().detect(image, key)

    crop(tmp_path / "in", tmp_path / "out", detector=Looking(), workers=1)
    (found,) = seen
    assert (found.whole.state, found.whole.total, found.next) == ("running", 12, [])
    assert found.whole.holder is not None
    assert (found.whole.holder.pid, found.whole.holder.alive) == (os.getpid(), "yes")
    assert found.whole.done == found.statuses.total() < 12


@posix
@pytest.mark.slow
def test_killed(tmp_path: Path) -> None:
    keys = many_photos(tmp_path / "in")
    boxes = write_boxes(tmp_path / "boxes.csv", keys, width=320, height=240)
    command = [*cli_command(tmp_path / "in", boxes, 256), "--out", str(tmp_path / "out"), "--workers", "1"]
    process = subprocess.Popen([sys.executable, "-m", "detic_crop", *command], cwd=ROOT)
    lines = tmp_path / "out" / STATE / "journal.jsonl"
    while size_of(lines) < 4000 and process.poll() is None:
        time.sleep(0.001)
    at_work = api.status(tmp_path / "out")
    process.send_signal(signal.SIGKILL)
    process.wait()
    recorded = len(replay(lines).records)
    assert at_work.whole.state == "running"
    assert 0 < at_work.whole.done <= recorded < len(keys)
    found = api.status(tmp_path / "out")
    assert (found.whole.state, found.whole.done, found.whole.total) == ("interrupted", recorded, len(keys))
    assert "last sign of life" in "\n".join(found.lines())
    (following,) = found.next
    assert cli.main(shlex.split(following)[1:]) == 0
    assert api.status(tmp_path / "out").whole.state == "done"


@pytest.mark.parametrize(
    ("minutes", "state"), [(0.1, "running"), (8, "running"), (14, "silent"), (600, "silent")]
)
def test_at_work_on_another_machine(minutes: float, state: str, out: Path) -> None:
    pretend(out, owner=ELSEWHERE, phase="cropping", last=ago(minutes=minutes), total=100, done=6)
    found = api.status(out)
    assert (found.whole.state, found.whole.done, found.whole.total) == (state, 6, 100)
    assert any("process 7 on node7 since 2026-05-04 11:12:13" in line for line in found.lines())
    assert bool(found.next) == (
        state == "silent" and bool(found.whole.progress and found.whole.progress.words)
    )


def test_the_number_of_a_dead_process_that_another_one_got(out: Path) -> None:
    here = {"host": socket.gethostname(), "processes": process_space(), "since": "then"}
    pretend(out, owner={**here, "pid": os.getpid(), "birth": "1"}, phase="cropping")
    if not process_space():
        pytest.skip("this system does not say when a process began")
    assert api.status(out).whole.state == "interrupted"
    pretend(out, owner={**here, "pid": os.getpid()})
    assert api.status(out).whole.state == "running"


@pytest.mark.parametrize("owner", [b"", b"{", b"[]", b'{"pid": "x", "host": 3}', b"[" * 99_999])
def test_a_damaged_owner_is_no_error(owner: bytes, out: Path) -> None:
    (out / STATE / "lock-owner.json").write_bytes(owner)
    assert api.status(out).whole.state in ("done", "running", "silent")


def test_folders_of_earlier_versions_have_no_progress(out: Path) -> None:
    (out / STATE / "progress.json").unlink()
    found = api.status(out)
    assert (found.whole.state, found.whole.done, found.whole.total) == ("done", 6, 6)
    lines = (out / STATE / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (out / STATE / "journal.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:20])
    found = api.status(out)
    assert (found.whole.state, found.whole.done, found.whole.total) == ("stopped", 3, 6)


# ---------------------------------------------------------------- shards


def test_shards_one_line_each_and_the_missing_ones(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 12)
    command = cli_command(tmp_path / "in", write_boxes(tmp_path / "boxes.csv", keys))
    out = tmp_path / "out"
    assert cli.main([*command, "--out", str(out), "--shard", "0/3"]) == 0
    assert (
        cli.main([*command, "--out", str(out), "--shard", "2/3", "--workers", "1", "--time-limit", "0.001"])
        == 0
    )
    with untouched(out):
        found = api.status(out)
    assert [(part.shard, part.state) for part in found.shards][:2] == [("0/3", "done"), ("1/3", "not run")]
    assert found.whole.total == 12
    assert found.whole.done == sum(part.done for part in found.shards) == found.statuses.total()
    lines = found.lines()
    assert "3 shards" in lines[0]
    assert [line.partition(":")[0] for line in lines[1:4]] == ["shard 0/3", "shard 1/3", "shard 2/3"]
    for following in found.next:
        words = shlex.split(following)[1:]
        assert "--shard" in words
        if "--time-limit" in words:
            del words[words.index("--time-limit") :][:2]
        assert cli.main([word for word in words if word not in ("--time-limit", "0.001")]) == 0
    ready = api.status(out)
    assert (ready.whole.state, ready.whole.done, ready.next) == ("done", 12, [f"detic-crop merge {out}"])
    api.merge(out)
    merged = api.status(out)
    assert (merged.shards, merged.whole.done, merged.whole.total) == ((), 12, 12)


def test_the_rates_of_shards_add_up(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 12)
    out = tmp_path / "out"
    for number in range(2):
        crop(tmp_path / "in", out, shard=f"{number}/2")
        state = out / STATE / "shards" / f"000{number}-of-0002"
        path = state / "progress.json"
        told = json.loads(path.read_text())
        now = {"phase": "cropping", "last": ago(seconds=1), "done": 1, "photos_per_second": 0.5 + number}
        path.write_text(json.dumps(told | now | {"total": 10, "journal_bytes": 10**9}))
        (state / "lock-owner.json").write_text(json.dumps(ELSEWHERE))
    found = api.status(out)
    assert found.whole.photos_per_second == 2.0
    assert found.whole.seconds_left == 18
    assert (found.whole.done, found.next) == (2, [])


# ---------------------------------------------------------------- the command


def test_json_says_all_of_it(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["done"], found["total"], found["command"]) == ("done", 6, 6, "run")
    assert found["next"] == [f"detic-crop review {out}"]
    assert found["shards"] == []


@pytest.mark.parametrize(
    "make", [lambda path: None, lambda path: path.mkdir(), lambda path: write_photos(path, 1)]
)
def test_what_is_no_folder_of_ours_is_one_line(
    make: Callable[[Path], object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "other")
    assert cli.main(["status", str(tmp_path / "other")]) == 2
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    with refused("no_run", UsageError):
        api.status(tmp_path / "other")


def test_a_result_shows_itself(out: Path) -> None:
    found = api.status(out)
    assert "next: " in repr(found)
    html = found._repr_html_()
    assert html is not None
    assert "6 of 6 photos" in html


# ---------------------------------------------------------------- adding up


def test_a_tally_is_what_a_replay_says(out: Path) -> None:
    path = out / STATE / "journal.jsonl"
    records = replay(path).records
    found = tally(path, {next(iter(records))}, ["nobody.jpg", *records], behind=path.stat().st_size)
    assert found.photos == len(records)
    assert found.statuses == {s: sum(r.status == s for r in records.values()) for s in found.statuses}
    assert list(found.records.values()) == [next(iter(records.values()))]
    assert (found.missing, found.newer) == (1, 0)


@pytest.mark.parametrize("lines", range(6))
def test_lines_behind_a_byte_are_newer(lines: int, out: Path) -> None:
    path = out / STATE / "journal.jsonl"
    data = path.read_bytes().splitlines(keepends=True)
    assert tally(path, behind=sum(map(len, data[:-lines] if lines else data))).newer == lines


def test_damaged_and_torn_lines_count_for_nothing(out: Path) -> None:
    path = out / STATE / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"{broken\n", *lines[1:3], b'{"image": 3}\n', lines[4][:9]]))
    assert tally(path).photos == 2
    assert tally(path.with_name("absent")).photos == 0


@pytest.mark.parametrize("lost", ["a line", "all lines", "the file"])
def test_photos_whose_lines_were_lost_are_to_do(lost: str, out: Path) -> None:
    path = out / STATE / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    total = api.status(out).whole.total
    assert total == api.status(out).whole.done
    if lost == "the file":
        path.unlink()
    else:
        path.write_bytes(b"".join(lines[:-1]) if lost == "a line" else b"")
    result = api.status(out)
    assert result.whole.state == "stopped"
    assert (result.whole.total, result.whole.done) == (total, sum(result.statuses.values()))
    assert result.whole.done < total
    assert not result.next
    assert "goes on where it stopped" in " ".join(result.notes)
