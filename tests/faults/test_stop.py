"""Runs that end early: killed, interrupted, out of time, out of disk; and runs that meet another.

What is left must be whole, and the same command again must end with the very files of a run that nothing
disturbed.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, cast

import pytest

import detic_crop
from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.errors import OutputError, UsageError
from detic_crop.folder import journal
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inside import Inside
from detic_crop.folder.journal import replay
from detic_crop.folder.verdicts import Verdict, VerdictLog
from detic_crop.photos.keys import STATE
from detic_crop.system.signals import Stop, stop_signals
from detic_crop.wording import counted
from detic_crop.work import changes as apply_module
from detic_crop.work import execute as execute_module
from tests.kit.fakes import (
    FakeDetector,
    assert_one_row_each,
    assert_same,
    crop,
    files_of,
    leftovers,
    product,
    rows_of,
    untouched,
    write_boxes,
    write_damaged,
    write_photo,
    write_photos,
)

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(os.name != "posix", reason="fork, SIGKILL and SIGTERM are POSIX")

RANDOM_KILLS = 60
ROOT = Path(__file__).resolve().parents[2]


# ---------------------------------------------------------------- processes that are made to die
#
# `python -m tests.faults.test_stop` imports the package once and forks a child per attempt, so that
# hundreds of attempts take seconds. Its children run the real command line.


@dataclass
class Faults:
    """Dies or fails at the n-th operation on a folder.

    Operations are every file opened for writing, rename, removal and new folder below it, and every line
    appended to the journal or the candidates: once before and once half-way.

    Attributes:
        folder: where operations count.
        at: which one, from 1.
        kind: ``kill``, or the name of an errno.
        lasting: whether those after it fail as well.
    """

    folder: str
    at: int
    kind: str
    lasting: bool
    count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def install(self) -> None:
        """In this process, for good."""
        sys.addaudithook(self._on_event)
        append = journal._append

        def faulty_append(file: Any, line: bytes) -> int:
            self._meet(needs_room=True)
            half = len(line) // 2
            try:
                self._meet(needs_room=True, prepare=lambda: file.write(line[:half]))
            except OSError as error:
                return append(cast(FileIO, _FullFile(file, error, half)), line)
            return append(file, line)

        journal._append = faulty_append

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        path = arguments[0] if arguments else None
        if not isinstance(path, str):
            return
        if os.sep not in path:  # a name in a folder that is held open
            if not self._is_inside(event, arguments):
                return
        elif not path.startswith(self.folder):
            return
        if event == "open":
            if isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
                self._meet(needs_room=bool(arguments[2] & os.O_CREAT))
        elif event in ("os.rename", "os.mkdir"):
            self._meet(needs_room=True)
        elif event in ("os.remove", "os.rmdir") or (event == "shutil.rmtree" and self.kind == "kill"):
            self._meet(needs_room=False)

    def _is_inside(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":  # the folder is not told; nobody else opens so
            return isinstance(arguments[2], int) and bool(arguments[2] & os.O_NOFOLLOW)
        if event not in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"):
            return False
        fd = arguments[-1]
        if not isinstance(fd, int) or fd < 0:
            return False
        held = Path(f"/proc/self/fd/{fd}")
        return not held.exists() or os.readlink(held).startswith(self.folder)

    def _meet(self, needs_room: bool, prepare: Callable[[], object] = lambda: None) -> None:
        with self.lock:
            self.count += 1
            due = self.count == self.at or (self.lasting and self.count > self.at)
        if not due or (self.kind == "ENOSPC" and not needs_room):
            return
        if self.kind == "kill":
            prepare()
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)  # the signal is on its way; nothing else may happen
        code = getattr(errno, self.kind)
        raise OSError(code, os.strerror(code))


class _FullFile:
    """Takes the first so many bytes, then raises."""

    def __init__(self, file: Any, error: OSError, room: int) -> None:
        self._file, self._error, self._room = file, error, room

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        if not self._room:
            raise self._error
        written: int = self._file.write(data[: self._room])
        self._room -= written
        return written


def _fork(command: list[str], said: Path, faults: Faults | None = None) -> int:
    """Run the command line in a child that prints to the file `said`; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        if faults:
            faults.install()
        code = cli.main(command)
        sys.stdout.flush()
        if faults:
            said.with_name("count").write_text(str(faults.count))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _on(command: list[str], out: Path, *options: str) -> list[str]:
    """`command` on an output folder, which stands where it says OUT, or else after --out."""
    if "OUT" in command:
        return [str(out) if word == "OUT" else word for word in (*command, *options)]
    return [*command, "--out", str(out), *options]


def _exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def serve_random_kills(work: Path, command: list[str], reference: Path, seed: int) -> Counter[str]:
    """Kill children at random moments while photos are in flight, go on until done, compare; repeat."""
    chance = random.Random(seed)
    expected = product(reference)
    total = len(replay(reference / STATE / "journal.jsonl").records)
    counts: Counter[str] = Counter()
    while counts["kills in flight"] < RANDOM_KILLS:
        counts["series"] += 1
        out = work / f"out{counts['series']}"
        lines = out / STATE / "journal.jsonl"
        full = [*command, "--out", str(out), "--workers", str(chance.choice((1, 2, 4)))]
        while True:
            pid = _fork(full, work / "said")
            goal = _size(lines) + chance.randint(0, 3000)
            ended, status = 0, 0
            while not ended and _size(lines) <= goal:
                time.sleep(0.0002)
                ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                time.sleep(chance.random() * 0.003)
                os.kill(pid, signal.SIGKILL)
                status = os.waitpid(pid, 0)[1]
            code = os.waitstatus_to_exitcode(status)
            if code == 0:
                break
            assert code == -signal.SIGKILL, (code, (work / "said").read_text())
            in_flight = len(replay(lines).records) < total
            counts["kills in flight" if in_flight else "later kills"] += 1
            counts["temporary files left"] += len(leftovers(out))
            _assert_whole(out, expected)
        assert leftovers(out) == []
        assert_same(out, expected)
        shutil.rmtree(out)
    return counts


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _assert_whole(out: Path, expected: Mapping[str, bytes]) -> None:
    """No half crop at its final place, and every line of the journal has its crop."""
    crops = {name: data for name, data in product(out).items() if not name.startswith("audit.")}
    assert {name for name, data in crops.items() if data != expected[name]} == set()
    recorded = {record.crop for record in replay(out / STATE / "journal.jsonl").records.values()}
    assert recorded - {""} <= set(crops)


def serve_faults(
    work: Path,
    command: list[str],
    base: Path | None,
    reference: Path,
    between: list[str] | None,
    kind: str,
    lasting: bool,
    step: int,
    after: list[str] | None = None,
    whole: bool = False,
) -> Counter[str]:
    """One run after another, each disturbed `step` operations later; then the command again; compare.

    With `between`, that command comes first; with `after`, that one before they are compared; with `whole`,
    what is kept for later is compared, too.
    """
    content = memory if whole else product
    expected = content(reference)
    counts: Counter[str] = Counter()
    for at in itertools.count(1, step):
        out = work / "out"
        if base:
            shutil.copytree(base, out)
        full = _on(command, out, *([] if command[0] == "merge" else ["--workers", "1"]))
        (work / "count").write_text("0")
        code = _exit_code(_fork(full, work / "said", Faults(str(out), at, kind, lasting)))
        said = (work / "said").read_text()
        where = f"operation {at}, {kind}, exit {code}: {said}"
        if kind != "kill":
            complaints = [line for line in said.splitlines() if line.startswith("detic-crop: ")]
            assert code == len(complaints) <= 1, where
            assert "Traceback" not in said, where
        elif code:
            assert code == -signal.SIGKILL, where
        counts[f"exit {code}"] += 1
        if between:
            assert _exit_code(_fork(_on(between, out), work / "said")) == 0, where
        again = _exit_code(_fork(full, work / "said"))
        assert again == 0, f"{where}; then {again}: {(work / 'said').read_text()}"
        assert leftovers(out) == [], where
        if after:
            assert _exit_code(_fork(_on(after, out), work / "said")) == 0, where
        made = content(out)
        differing = sorted(n for n in {*made, *expected} if made.get(n) != expected.get(n))
        assert differing == [], where
        shutil.rmtree(out)
        if code == 0 and int((work / "count").read_text()) < at:
            return counts
    raise AssertionError


def memory(out: Path) -> dict[str, bytes]:
    """All that a run leaves, what later commands go by, too; but for run.json, which has times, and locks."""
    return {
        name: data
        for name, data in files_of(out).items()
        if name != "run.json" and not name.endswith("/lock")
    }


def serve(request: dict[str, Any]) -> None:
    """What `ask` asks for; a path is a text with its name in `paths`."""
    arguments = {
        name: Path(value) if name in ("work", "base", "reference") and value else value
        for name, value in request.items()
        if name != "function"
    }
    # A killed process loses nothing that it wrote; waiting for the disk itself would only take time.
    os.fsync = lambda fd: None
    counts = globals()[request["function"]](**arguments)
    print(json.dumps(counts))


def ask(function: Callable[..., Counter[str]], **arguments: Any) -> Counter[str]:
    """Call one of the functions above in a fresh interpreter."""
    request = {"function": function.__name__, **arguments}
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.test_stop", json.dumps(request, default=str)],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Counter(json.loads(done.stdout.splitlines()[-1]))


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


def cli_command(photos: Path, boxes: Path, size: int = 32) -> list[str]:
    """A run without --out."""
    return ["run", "--in", str(photos), "--model", f"boxes:{boxes}", "--size", str(size), "--quiet"]


@dataclass
class Scene:
    """A command, what its output folder holds beforehand (or None), and what it must hold in the end.

    `between` and `after` are given before and after the command is given again; `whole`: compare it all.
    """

    command: list[str]
    base: Path | None
    reference: Path
    between: list[str] | None = None
    after: list[str] | None = None
    whole: bool = False


def difficult_run(folder: Path, photos: int) -> list[str]:
    """The command of a run in which one photo is broken, and two would have the same name."""
    keys = write_photos(folder / "in", photos)
    keys += [write_photo(folder / "in" / "photo000.png", 9).name, "text.jpg"]
    (folder / "in" / "text.jpg").write_bytes(b"no photo")
    return cli_command(folder / "in", write_boxes(folder / "boxes.csv", keys))


def fresh(folder: Path) -> Scene:
    """A first run."""
    return Scene(difficult_run(folder, 3), None, folder / "reference")


def resumed(folder: Path) -> Scene:
    """A second run after one photo changed, one broke, one came, and one crop was cut."""
    scene = fresh(folder)
    boxes = write_boxes(folder / "boxes.csv", ["photo000.jpg", "day1/photo001.jpg", "new.jpg"])
    base = folder / "base"
    assert cli.main([*scene.command, "--out", str(base)]) == 0
    write_photo(folder / "in" / "photo000.jpg", 77)
    write_photo(folder / "in" / "new.jpg", 78)
    (folder / "in" / "day1" / "photo001.jpg").write_bytes(b"broken since")
    cut = base / "day2" / "deep" / "photo002.jpg"
    if not cut.exists():  # crops are in tar files
        cut = base / "crops-00001.tar"
    cut.write_bytes(cut.read_bytes()[: -5 if cut.suffix == ".jpg" else 700])
    assert boxes.exists()
    return Scene(scene.command, base, scene.reference)


def overwritten(folder: Path) -> Scene:
    """A folder made with other settings, made anew beside somebody's own file."""
    scene = fresh(folder)
    base = folder / "base"
    assert cli.main([*scene.command, "--scale", "2", "--out", str(base)]) == 0
    (base / "mine.txt").write_text("mine")
    return Scene([*scene.command, "--overwrite"], base, scene.reference)


def recropped(folder: Path) -> Scene:
    """Another policy from kept boxes."""
    scene = fresh(folder)
    assert cli.main([*scene.command, "--out", str(folder / "origin")]) == 0
    return Scene(["recrop", str(folder / "origin"), "--scale", "1.5", "--quiet"], None, scene.reference)


def reviewed(folder: Path) -> Scene:
    """Verdicts of every kind on a finished run, and some taken back after they were applied."""
    keys = write_photos(folder / "in", 7)
    run = cli_command(folder / "in", write_boxes(folder / "boxes.csv", keys))
    base = folder / "base"
    assert cli.main([*run, "--out", str(base)]) == 0
    log = VerdictLog(base / STATE / "review.csv")

    def say(*words: str) -> None:
        boxes = {"box": (5.0, 5.0, 31.0, 28.0)}
        log.append(*(Verdict(key, word, boxes.get(word)) for key, word in zip(keys, words, strict=False)))

    say("box", "whole", "rejected", "accepted")
    assert cli.main(["apply", str(base), "--quiet"]) == 0
    say("undone", "rejected", "box", "undone", "rejected", "box", "whole")
    return Scene(["apply", "OUT", "--quiet"], base, folder / "reference")


def reviewed_and_resumed(folder: Path) -> Scene:
    """The same, and before the second try somebody gives the run command again."""
    scene = reviewed(folder)
    keys = [row["image"] for row in rows_of(folder / "base")]
    run = cli_command(folder / "in", write_boxes(folder / "boxes.csv", keys))
    return Scene(scene.command, scene.base, scene.reference, between=run)


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


def disturb(scene: Scene, work: Path, kind: str, *, lasting: bool = False, step: int) -> Counter[str]:
    """`serve_faults` on a scene."""
    if scene.base:
        shutil.copytree(scene.base, scene.reference)
    assert cli.main(_on(scene.command, scene.reference)) == 0
    if scene.after:
        assert cli.main(_on(scene.after, scene.reference)) == 0
    arguments = {
        "command": scene.command,
        "base": scene.base,
        "reference": scene.reference,
        "between": scene.between,
        "after": scene.after,
        "whole": scene.whole,
    }
    counts = ask(serve_faults, work=work, kind=kind, lasting=lasting, step=step, **arguments)
    print(dict(counts))
    return counts


# ---------------------------------------------------------------- disk full, on every system


def fail_nth(function: Callable[..., Any], n: int, code: int = errno.ENOSPC) -> Callable[..., Any]:
    """`function`, whose n-th call raises and which works again afterwards."""
    calls = itertools.count(1)

    def failing(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == n:
            raise OSError(code, os.strerror(code))
        return function(*args, **kwargs)

    return failing


@pytest.mark.parametrize("n", [1, 2, 9])
@pytest.mark.parametrize("name", ["journal._append", "os.replace", "Inside.create"])
def test_disk_full_at_the_nth_write(
    name: str, n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path / "in", 8)
    crop(tmp_path / "in", tmp_path / "reference")
    with monkeypatch.context() as patch:
        if name == "journal._append":
            patch.setattr(journal, "_append", fail_nth(journal._append, n))
        elif name == "os.replace":
            patch.setattr(os, "replace", fail_nth(os.replace, n))
        else:
            patch.setattr(Inside, "create", fail_nth(Inside.create, n))
        with pytest.raises(OutputError, match=r"disk of .* is full") as caught:
            crop(tmp_path / "in", tmp_path / "out")
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
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
        with pytest.raises(OutputError, match=r"disk of .* is full"):
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
    (line,) = [line for line in said.err.splitlines() if not line.startswith("model ")]
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
    while _size(lines) < 4000 and process.poll() is None:
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


def many_photos(folder: Path) -> list[str]:
    """Photos that take a while."""
    keys = write_photos(folder, 40, width=320, height=240)
    for copy in range(4):
        shutil.copytree(folder / "day1", folder / f"copy{copy}")
    shutil.copytree(folder / "day2", folder / "copies")
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if keys)


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Stop]]:
    """What the runs of a test watch to know that they should stop. SIGUSR1 only wakes the main thread."""
    seen: list[Stop] = []

    @contextlib.contextmanager
    def spied() -> Iterator[Stop]:
        with stop_signals() as stop:
            seen.append(stop)
            yield stop

    monkeypatch.setattr(api, "stop_signals", spied)
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


def test_a_second_ctrl_c_ends_at_once(
    tmp_path: Path, stops: list[Stop], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = write_photos(tmp_path / "in", 20)
    insisted = threading.Event()
    monkeypatch.setattr(execute_module, "insist", insisted.set)

    class Interrupted(FakeDetector):
        def detect(self, image: Any, key: str = "") -> Any:
            if key == keys[7]:
                press_ctrl_c(stops[-1])
                send(signal.SIGINT, insisted.is_set)
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
        patch.setattr(api, "load_detector", lambda name, device, **given: FakeDetector(delay=0.02, name=name))
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
    with pytest.raises(UsageError, match="--time-limit"):
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
        with pytest.raises(OutputError, match=f"process {os.getpid()} "):
            crop(tmp_path / "in", tmp_path / "out")
        with pytest.raises(OutputError, match=f"process {os.getpid()} "):
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


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
