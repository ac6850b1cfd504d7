"""Runs that end early: killed, interrupted, out of time, out of disk; and runs that meet another.

What is left must be whole, and the same command again must end with the very files of a run that nothing
disturbed.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import detic_crop
from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.commands import apply as apply_module
from detic_crop.commands import choose_detector
from detic_crop.errors import OutputError, UsageError
from detic_crop.folder import journal
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inside import Inside
from detic_crop.folder.journal import replay
from detic_crop.folder.progress_file import ProgressFile
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import VerdictLog
from detic_crop.photos.keys import STATE
from detic_crop.system import signals
from detic_crop.system.signals import Stop
from detic_crop.wording import counted
from detic_crop.work import execute as execute_module
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.faults import (
    Scene,
    ask,
    cli_command,
    disturb,
    fail_nth,
    fresh,
    many_photos,
    overwritten,
    recropped,
    resumed,
    reviewed,
    reviewed_and_resumed,
    serve_random_kills,
    size_of,
)
from tests.kit.folders import (
    assert_one_row_each,
    assert_same,
    crop,
    leftovers,
    product,
    rows_of,
    untouched,
)
from tests.kit.photos import write_boxes, write_damaged, write_photo, write_photos
from tests.kit.processes import ROOT, posix

pytestmark = pytest.mark.slow


# ---------------------------------------------------------------- killed


@posix
def test_killed_at_random_moments(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 57)
    keys += write_damaged(tmp_path / "in")
    command = cli_command(tmp_path / "in", write_boxes(tmp_path / "boxes.csv", keys), size=96)
    assert cli.main([*command, "--out", str(tmp_path / "reference")]) == 0
    assert_one_row_each(tmp_path / "reference", keys)
    with untouched(tmp_path / "in"):
        counts = ask(
            serve_random_kills,
            work=tmp_path,
            command=command,
            reference=tmp_path / "reference",
            seed=20220416,
        )
    print(dict(counts))
    assert counts["kills in flight"] >= 50
    assert counts["temporary files left"] > 0  # else the moments were not what they should be


@posix
@pytest.mark.parametrize(
    ("make", "step"),
    [
        (fresh, 1),
        (resumed, 2),
        (overwritten, 3),
        (recropped, 4),
        (reviewed, 1),
        (reviewed_and_resumed, 3),
    ],
)
def test_killed_at_every_operation(make: Callable[[Path], Scene], step: int, tmp_path: Path) -> None:
    counts = disturb(make(tmp_path), tmp_path, "kill", step=step)
    assert counts[f"exit {-signal.SIGKILL}"] > 40 // step


@posix
@pytest.mark.parametrize(
    ("make", "step"), [(fresh, 3), (resumed, 5), (overwritten, 7), (recropped, 6), (reviewed, 5)]
)
def test_disk_full_from_some_operation_on(make: Callable[[Path], Scene], step: int, tmp_path: Path) -> None:
    assert disturb(make(tmp_path), tmp_path, "ENOSPC", lasting=True, step=step)["exit 1"] > 40 // step


@posix
def test_disk_full_for_one_operation(tmp_path: Path) -> None:
    assert disturb(fresh(tmp_path), tmp_path, "ENOSPC", step=4)["exit 1"] > 10


@posix
@pytest.mark.parametrize("kind", ["EROFS", "EACCES"])
def test_output_not_writable_from_some_operation_on(kind: str, tmp_path: Path) -> None:
    assert disturb(resumed(tmp_path), tmp_path, kind, lasting=True, step=7)["exit 1"] > 5


# ---------------------------------------------------------------- disk full, on every system


@pytest.mark.parametrize("n", [1, 2, 9])
@pytest.mark.parametrize("name", ["journal._append", "os.replace", "Inside.create"])
def test_disk_full_at_the_nth_write(
    name: str, n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path / "in", 8)
    crop(tmp_path / "in", tmp_path / "reference")
    with monkeypatch.context() as patch:
        patch.setattr(
            ProgressFile, "_write", lambda *given, **named: None
        )  # that it may fail is another test
        if name == "journal._append":
            patch.setattr(journal, "_append", fail_nth(journal._append, n))
        elif name == "os.replace":
            patch.setattr(os, "replace", fail_nth(os.replace, n))
        else:
            patch.setattr(Inside, "create", fail_nth(Inside.create, n))
        with refused("disk_full", OutputError) as caught:
            crop(tmp_path / "in", tmp_path / "out")
    assert caught.value.exit_code == 1
    assert "\n" not in caught.value.message
    assert leftovers(tmp_path / "out") == []
    crop(tmp_path / "in", tmp_path / "out")
    assert_same(tmp_path / "out", product(tmp_path / "reference"))


@pytest.mark.parametrize("table", ["audit.csv", "audit.html", "run.json", "listing.json", "lock-owner.json"])
def test_disk_full_at_a_table(table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(tmp_path / "in", 4)
    crop(tmp_path / "in", tmp_path / "reference")
    replace = os.replace

    def full(source: str, target: str, **folders: Any) -> None:
        if Path(target).name == table:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target, **folders)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with refused("disk_full", OutputError):
            crop(tmp_path / "in", tmp_path / "out")
    assert not [path for path in tmp_path.glob("out/**/*") if path.name == table]
    crop(tmp_path / "in", tmp_path / "out")
    assert_same(tmp_path / "out", product(tmp_path / "reference"))


def test_an_output_that_cannot_be_made_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = write_photos(tmp_path / "in", 2)
    (tmp_path / "file").write_text("a file")
    command = cli_command(tmp_path / "in", write_boxes(tmp_path / "boxes.csv", keys))
    assert cli.main([*command, "--out", str(tmp_path / "file" / "below")]) in (1, 2)
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = [line for line in said.err.splitlines() if not line.startswith(("model ", "cropping "))]
    assert "file" in line


# ---------------------------------------------------------------- signals and limits


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_in_good_order(number: signal.Signals, code: int, tmp_path: Path) -> None:
    keys = many_photos(tmp_path / "in")
    command = cli_command(
        tmp_path / "in", write_boxes(tmp_path / "boxes.csv", keys, width=320, height=240), 256
    )
    full = [sys.executable, "-m", "detic_crop", *command, "--out", str(tmp_path / "out"), "--workers", "1"]
    process = subprocess.Popen(full, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = tmp_path / "out" / STATE / "journal.jsonl"
    while size_of(lines) < 4000 and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == code, err
    assert out == ""
    recorded = replay(lines).records
    rows = rows_of(tmp_path / "out")
    assert 0 < len(rows) < len(keys)
    assert [row["image"] for row in rows] == keys[: len(rows)] == list(recorded)
    to_do = counted(len(keys) - len(rows), "photo")
    assert f"{to_do} to do; run the same command to continue" in err.splitlines()[-1]
    assert leftovers(tmp_path / "out") == []
    assert json.loads((tmp_path / "out" / "run.json").read_text())["stopped"] == number.name
    assert cli.main([*command, "--out", str(tmp_path / "out")]) == 0
    assert cli.main([*command, "--out", str(tmp_path / "reference")]) == 0
    assert_same(tmp_path / "out", product(tmp_path / "reference"))


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Stop]]:
    """What the runs of a test watch to know that they should stop. SIGUSR1 only wakes the main thread."""
    seen: list[Stop] = []

    def spied() -> Stop:
        seen.append(Stop())
        return seen[-1]

    monkeypatch.setattr(signals, "Stop", spied)
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None) if os.name == "posix" else None
    yield seen
    if os.name == "posix":
        signal.signal(signal.SIGUSR1, before)


def press_ctrl_c(stop: Stop) -> None:
    """As a terminal does it, from any thread; comes back when the main thread has taken notice."""
    send(signal.SIGINT, lambda: bool(stop.reason))


def send(number: signal.Signals, noticed: Callable[[], bool]) -> None:
    """A signal to this process, from any thread; comes back when the main thread has taken notice.

    Python runs handlers between two instructions of the main thread. Where that waits for a lock, it
    is woken only by a signal that arrives during the wait, and to it: so it is nudged until it has run them.
    """
    os.kill(os.getpid(), number)
    while not noticed():
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        time.sleep(0.001)


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path, stops: list[Stop]) -> None:
    keys = write_photos(tmp_path / "in", 20)

    class Interrupted(FakeDetector):
        def detect(self, image: Any, key: str = "") -> Any:
            if key == keys[7]:
                press_ctrl_c(stops[-1])
                send(signal.SIGINT, lambda: stops[-1].insisted)
            return super().detect(image, key)

    with pytest.raises(KeyboardInterrupt):
        crop(tmp_path / "in", tmp_path / "out", detector=Interrupted(), workers=1)
    assert 0 < len(rows_of(tmp_path / "out")) <= 7
    crop(tmp_path / "in", tmp_path / "reference")
    crop(tmp_path / "in", tmp_path / "out")
    assert_same(tmp_path / "out", product(tmp_path / "reference"))


def test_ctrl_c_finishes_what_the_detector_has_seen(tmp_path: Path, stops: list[Stop]) -> None:
    keys = write_photos(tmp_path / "in", 20)
    detector = FakeDetector()
    handler = signal.getsignal(signal.SIGINT)

    class Interrupted(FakeDetector):
        def detect(self, image: Any, key: str = "") -> Any:
            if key == keys[7]:
                press_ctrl_c(stops[-1])
            return detector.detect(image, key)

    with pytest.raises(detic_crop.Interrupted) as interrupted:
        crop(tmp_path / "in", tmp_path / "out", detector=Interrupted())
    result = interrupted.value.result
    assert (result.stopped, result.done, result.remaining) == ("SIGINT", 8, 12)
    assert isinstance(interrupted.value, KeyboardInterrupt)
    assert set(detector.calls) == {row["image"] for row in rows_of(tmp_path / "out")}
    assert signal.getsignal(signal.SIGINT) is handler


@posix
def test_sigterm_ends_the_program_but_not_past_its_own_handler(tmp_path: Path, stops: list[Stop]) -> None:
    keys = write_photos(tmp_path / "in", 20)

    class Told(FakeDetector):
        last = 4

        def detect(self, image: Any, key: str = "") -> Any:
            if key == keys[self.last]:
                send(signal.SIGTERM, lambda: bool(stops[-1].reason))
            return super().detect(image, key)

    detector = Told()
    with pytest.raises(detic_crop.Terminated) as terminated:
        crop(tmp_path / "in", tmp_path / "out", detector=detector, workers=1)
    assert isinstance(terminated.value, SystemExit)
    assert terminated.value.code == 143
    result = terminated.value.result
    assert (result.stopped, result.done) == ("SIGTERM", len(rows_of(tmp_path / "out")))

    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.append(len(rows_of(tmp_path / "out"))))
    try:
        detector.last = 12
        second = crop(tmp_path / "in", tmp_path / "out", detector=detector, workers=1)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert second.stopped == "SIGTERM"
    assert second.skipped == result.done
    assert told == [second.done + second.skipped]  # once, when the tables were written


def test_an_interrupted_recrop_and_apply_do_not_go_on(
    tmp_path: Path, stops: list[Stop], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path / "in", 20)
    crop(tmp_path / "in", tmp_path / "out")
    commit = execute_module.commit

    def interrupting(*given: Any) -> Any:
        if not stops[-1].reason:
            press_ctrl_c(stops[-1])
        return commit(*given)

    for module in (execute_module, apply_module):
        monkeypatch.setattr(module, "commit", interrupting)
    with pytest.raises(detic_crop.Interrupted) as interrupted:
        api.recrop(tmp_path / "out", tmp_path / "other", size=16, quiet=True)
    assert interrupted.value.result.remaining > 0
    assert len(rows_of(tmp_path / "other")) == interrupted.value.result.done > 0

    folder = OutputFolder(tmp_path / "out")
    VerdictLog(folder.layout.review).append(*(Verdict(row["image"], "whole") for row in rows_of(folder.root)))
    with pytest.raises(detic_crop.Interrupted) as interrupted:
        api.apply(folder.root, quiet=True)
    assert interrupted.value.result.remaining > 0
    wholes = [row for row in rows_of(folder.root) if row["verdict"] == "whole"]
    assert len(wholes) == interrupted.value.result.done > 0


def test_a_signal_during_the_last_photo_is_no_interruption(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 3)

    class Interrupted(FakeDetector):
        def detect(self, image: Any, key: str = "") -> Any:
            if key == keys[-1]:
                signal.raise_signal(signal.SIGINT)
            return super().detect(image, key)

    result = crop(tmp_path / "in", tmp_path / "out", detector=Interrupted())
    assert (result.stopped, result.remaining) == ("", 0)


def test_time_limit_stops_cleanly_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = write_photos(tmp_path / "in", 40)
    command = ["run", "--in", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--size", "32", "--quiet"]
    with monkeypatch.context() as patch:
        patch.setattr(
            choose_detector,
            "load_detector",
            lambda name, device, **given: FakeDetector(delay=0.02, name=name),
        )
        assert cli.main([*command, "--time-limit", "0.2s"]) == 0
    done = rows_of(tmp_path / "out")
    assert 0 < len(done) < len(keys)
    last = capsys.readouterr().err.splitlines()[-1]
    to_do = counted(len(keys) - len(done), "photo")
    assert last == f"the time limit was reached: {to_do} to do; run the same command to continue"
    lite = FakeDetector(name="lite")
    result = crop(tmp_path / "in", tmp_path / "out", detector=lite)
    assert (result.skipped, sum(lite.calls.values())) == (len(done), len(keys) - len(done))
    crop(tmp_path / "in", tmp_path / "reference", detector=FakeDetector(name="lite"))
    assert_same(tmp_path / "out", product(tmp_path / "reference"))


def test_a_time_limit_of_nothing_is_refused(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 1)
    with refused("bad_value", UsageError, names=["--time-limit"]):
        crop(tmp_path / "in", tmp_path / "out", time_limit=0)


def test_limit_then_all(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 12)
    write_photo(tmp_path / "in" / "photo000.png", 5)  # sorted after photo000.jpg, so it takes the longer name
    result = crop(tmp_path / "in", tmp_path / "out", limit=5)
    assert (result.done, len(rows_of(tmp_path / "out"))) == (5, 5)
    result = crop(tmp_path / "in", tmp_path / "out")
    assert (result.done, result.skipped) == (len(keys) + 1 - 5, 5)
    crop(tmp_path / "in", tmp_path / "reference")
    assert_same(tmp_path / "out", product(tmp_path / "reference"))


# ---------------------------------------------------------------- two at once


HOLD = """
import sys
from detic_crop.folder.folder import OutputFolder
with OutputFolder(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_names_the_first_and_a_dead_ones_lock_is_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = write_photos(tmp_path / "in", 3)
    command = cli_command(tmp_path / "in", write_boxes(tmp_path / "boxes.csv", keys))
    command += ["--out", str(tmp_path / "out")]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "out")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline().strip() == b"held"
        for attempt in (command, ["audit", str(tmp_path / "out")]):
            if attempt is not command:
                (tmp_path / "out" / STATE / "journal.jsonl").touch()
            assert cli.main(attempt) == 1
            said = capsys.readouterr()
            assert said.out == ""
            (line,) = [line for line in said.err.splitlines() if line.startswith("detic-crop: ")]
            assert f"process {holder.pid} " in line
            assert str(tmp_path / "out") in line
        holder.kill()
    assert cli.main(command) == 0
    assert_one_row_each(tmp_path / "out", keys)


def test_two_threads_on_one_folder(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 6)
    inside, go_on = threading.Event(), threading.Event()

    class Waiting(FakeDetector):
        def detect(self, image: Any, key: str = "") -> Any:
            inside.set()
            go_on.wait(600)
            return super().detect(image, key)

    first = threading.Thread(
        target=crop, args=(tmp_path / "in", tmp_path / "out"), kwargs={"detector": Waiting()}
    )
    first.start()
    try:
        assert inside.wait(600)
        with refused("in_use", OutputError, match=f"process {os.getpid()} "):
            crop(tmp_path / "in", tmp_path / "out")
        with refused("in_use", OutputError, match=f"process {os.getpid()} "):
            api.write_audit(tmp_path / "out")
        crop(tmp_path / "in", tmp_path / "other")
    finally:
        go_on.set()
        first.join()
    assert_one_row_each(tmp_path / "out", keys)
    assert_same(tmp_path / "out", product(tmp_path / "other"))


def test_leftovers_of_a_dead_run_with_the_same_process_number(tmp_path: Path) -> None:
    """In a container every run is process 1."""
    write_photos(tmp_path / "in", 3)
    crop(tmp_path / "in", tmp_path / "out")
    before = product(tmp_path / "out")
    for again in (lambda out: crop(tmp_path / "in", out), api.write_audit):
        temporary = OutputFolder(tmp_path / "out").layout.temporary
        temporary.mkdir(exist_ok=True)
        for number in range(5):
            (temporary / f"{os.getpid()}-{number}").write_bytes(b"half")
        again(tmp_path / "out")
        assert leftovers(tmp_path / "out") == []
        assert product(tmp_path / "out") == before
