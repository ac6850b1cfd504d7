"""Commands that die or fail at the n-th operation on their folder, and scenes to try that in.

`python -m tests.kit.faults` imports the package once and forks a child for each attempt, so that hundreds of
attempts take seconds. Its children run the real command line.
"""

from __future__ import annotations

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, cast

from detic_crop.cli import main as cli
from detic_crop.folder import journal
from detic_crop.folder.journal import replay
from detic_crop.photos.keys import STATE
from tests.kit.folders import (
    TABLES,
    assert_same,
    crops_in,
    leftovers,
    product,
    product_and_state,
    records_of,
    rows_of,
)
from tests.kit.photos import write_boxes, write_photo, write_photos
from tests.kit.processes import ROOT
from tests.kit.verdicts import give_verdicts

RANDOM_KILLS = 60


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
            goal = size_of(lines) + chance.randint(0, 3000)
            ended, status = 0, 0
            while not ended and size_of(lines) <= goal:
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


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _assert_whole(out: Path, expected: Mapping[str, bytes]) -> None:
    """No half crop at its final place, and every line of the journal has its crop."""
    crops = {name: data for name, data in product(out).items() if name not in TABLES}
    assert {name for name, data in crops.items() if data != expected[name]} == set()
    recorded = {file.name for record in records_of(out).values() for file in crops_in(record)}
    assert recorded <= set(crops)


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
    content = product_and_state if whole else product
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
        [sys.executable, "-m", "tests.kit.faults", json.dumps(request, default=str)],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Counter(json.loads(done.stdout.splitlines()[-1]))


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
    listed = ["photo000.jpg", "day1/photo001.jpg", "day2/deep/photo002.jpg", "new.jpg"]
    boxes = write_boxes(folder / "boxes.csv", listed)
    base = folder / "base"
    assert cli.main([*scene.command, "--out", str(base)]) == 0
    write_photo(folder / "in" / "photo000.jpg", 77)
    write_photo(folder / "in" / "new.jpg", 78)
    (folder / "in" / "day1" / "photo001.jpg").write_bytes(b"broken since")
    # With --animals all the last of several crops; or crops are in tar files.
    cut = max((base / "day2" / "deep").glob("photo002*"), default=base / "crops-00001.tar")
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
    first = ("boxes", "whole", "rejected", "accepted", "unsure")
    give_verdicts(base, dict(zip(keys, first, strict=False)))
    assert cli.main(["apply", str(base), "--quiet"]) == 0
    later = ("undone", "rejected", "box", "note", "boxes", "rejected", "whole")
    give_verdicts(base, dict(zip(keys, later, strict=True)))
    return Scene(["apply", "OUT", "--quiet"], base, folder / "reference")


def reviewed_and_resumed(folder: Path) -> Scene:
    """The same, and before the second try somebody gives the run command again."""
    scene = reviewed(folder)
    keys = [row["image"] for row in rows_of(folder / "base")]
    run = cli_command(folder / "in", write_boxes(folder / "boxes.csv", keys))
    return Scene(scene.command, scene.base, scene.reference, between=run)


def many_photos(folder: Path) -> list[str]:
    """Photos that take a while."""
    keys = write_photos(folder, 40, width=320, height=240)
    for copy in range(4):
        shutil.copytree(folder / "day1", folder / f"copy{copy}")
    shutil.copytree(folder / "day2", folder / "copies")
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if keys)


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


def fail_nth(function: Callable[..., Any], n: int, code: int = errno.ENOSPC) -> Callable[..., Any]:
    """`function`, whose n-th call raises and which works again afterwards."""
    calls = itertools.count(1)

    def failing(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == n:
            raise OSError(code, os.strerror(code))
        return function(*args, **kwargs)

    return failing


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
