"""Links, pipes and strange things planted in an output folder: no command touches anything else by them.

What is planted in the place of each file and folder of ours: a link to a file, to a folder, to nothing, to
itself, a second name of somebody's file, a folder or a file, a pipe. What the links lead to is a copy of what
was there, so that every name is found. `python -m tests.faults.test_links` tries every place with every
command; the tests take each place and each kind with the commands in turn.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest

from detic_crop.cli import main as cli
from detic_crop.errors import DeticCropError
from detic_crop.folder import inside
from detic_crop.folder.folder import open_on_disk
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import VerdictLog
from detic_crop.photos.keys import STATE
from detic_crop.review_page.blind import open_blind_page
from detic_crop.review_page.page import open_page
from tests.kit.photos import write_boxes, write_photo, write_photos
from tests.kit.verdicts import verdict_log

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="links and pipes are POSIX")]

KINDS = ("link_to_file", "link_to_folder", "dangling", "loop", "hard_link", "other_kind", "pipe")
_SECONDS = 600  # after which a command is waiting for a pipe

# Places that are only there for a while, or in folders of another sort.
_SOMETIMES = (
    *("tmp", "pending", "pending/crops-00000.tar", "pending/crops-00001.tar/day1", "pending/mine"),
    *("tars", "tars/crops-00000.tar.json", "journal", "candidates", "rejected", "rejected/day1", "shards"),
    *("shards/0000-of-0002", "shards/0000-of-0002/tmp", "part.json", "journal.jsonl.copy", "review.csv.copy"),
    "second_review.csv",
    *(f"tmp/{os.getpid()}-{number}" for number in range(3)),
)


@dataclass(frozen=True)
class Ground:
    """Where attacks take place.

    Attributes:
        folder: with the photos in `in`, and an output folder for each of `sorts`.
        sorts: plain, tars and sharded.
    """

    folder: Path
    sorts: tuple[str, ...] = ("plain", "tars", "sharded")

    def run(self, out: Path, *more: str) -> list[str]:
        """A run without limit, which has something left to do."""
        photos, boxes = self.folder / "in", self.folder / "boxes.csv"
        given = ["--in", str(photos), "--model", f"boxes:{boxes}", "--size", "16", "--workers", "1"]
        form = ["--out-format", "tar", "--per-tar", "2"] if out.name.startswith("tars") else []
        return ["run", *given, *form, "--out", str(out), "--quiet", *more]


def make_ground(folder: Path) -> Ground:
    """Photos and an output folder of each sort: not finished, reviewed in part, applied in part."""
    ground = Ground(folder)
    keys = write_photos(folder / "in", 6)
    write_boxes(folder / "boxes.csv", keys)
    (folder / "labels.csv").write_text("\n".join(["image,id", *(f"{key},{n}" for n, key in enumerate(keys))]))
    for sort in ("plain", "tars"):
        out = folder / sort
        more = ["--labels", str(folder / "labels.csv")] if sort == "plain" else []
        assert cli.main(ground.run(out, "--limit", "5", *more)) == 0
        log = verdict_log(out)
        log.append(Verdict(keys[0], "rejected"), Verdict(keys[1], "rejected"), Verdict(keys[2], "accepted"))
        assert cli.main(["apply", str(out), "--quiet"]) == 0
        log.append(Verdict(keys[1], "undone"), Verdict(keys[3], "rejected"), Verdict(keys[4], "whole"))
        assert cli.main(["audit", str(out), "--sample", "10", "--xlsx"]) == 0
    for shard in ("0/2", "1/2"):
        assert cli.main(ground.run(folder / "sharded", "--shard", shard)) == 0
    for name in ("day1/photo001.jpg.wait", "day1/photo001.json", "photo000.jpg", "photo000.json"):
        waiting = folder / "tars" / STATE / "pending" / "crops-00000.tar" / name
        waiting.parent.mkdir(parents=True, exist_ok=True)
        waiting.write_bytes(b"{}" if name.endswith("json") else b"a crop")
    return ground


def commands(ground: Ground, out: Path) -> dict[str, Callable[[], int]]:
    """What can be asked of an output folder, each under a name; it answers with an exit code."""
    other = out.with_name("other")

    def review() -> int:
        try:
            with open_on_disk(out, "review") as folder:
                open_page(folder, None, "tester")
                verdict_log(out).append(Verdict("photo000.jpg", "whole"))
        except DeticCropError as error:
            return error.exit_code
        return 0

    def blind_review() -> int:
        try:
            with open_on_disk(out, "review") as folder:
                open_blind_page(folder, None, "tester")
                VerdictLog(folder.layout.second_review).append(Verdict("photo000.jpg", "whole"))
        except DeticCropError as error:
            return error.exit_code
        return 0

    def command(*words: str | Path) -> Callable[[], int]:
        return lambda: cli.main([str(word) for word in words])

    said = {
        "run": command(*ground.run(out)),
        "dry run": command(*ground.run(out, "--dry-run")),
        "overwrite": command(*ground.run(out, "--overwrite", "--discard-review")),
        "shard": command(*ground.run(out, "--shard", "0/2")),
        "merge": command("merge", out),
        "look at the shards": command("merge", out, "--partial"),
        "apply": command("apply", out, "--quiet"),
        "audit": command("audit", out, "--sample", "12", "--xlsx"),
        "verify": command("verify", out),
        "recrop": command("recrop", out, "--out", other, "--size", "8", "--quiet"),
        "review": review,
        "blind review": blind_review,
    }
    if out.name.startswith("plain"):
        said["recrop into it"] = command(
            *("recrop", ground.folder / "tars", "--out", out, "--size", "16", "--out-format", "files"),
            *("--overwrite", "--discard-review", "--quiet"),
        )
    return said


def places(out: Path) -> list[str]:
    """Every path of an output folder that somebody could plant something at."""
    found = {path.relative_to(out).as_posix() for path in out.rglob("*")}
    return sorted(found | {STATE} | {f"{STATE}/{name}" for name in _SOMETIMES})


def plant(kind: str, path: Path, victim: Path) -> bool:
    """Put something in the place of a file or folder, and what it leads to at `victim`.

    Args:
        kind: one of `KINDS`.
        path: the place.
        victim: an absent path, elsewhere.

    Returns:
        Whether it can be done there.
    """
    if not path.parent.is_dir():
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            path.parent.mkdir(parents=True)
    was_folder = path.is_dir()
    victim.mkdir(parents=True)
    content = path.read_bytes() if path.is_file() else b"precious\n"
    (victim / "file").write_bytes(content + b'{"image":"torn')
    if was_folder:
        shutil.copytree(path, victim / "folder", symlinks=True)
    for name in ("mine.jpg", "mine.json", "day1/photo001.jpg", "photo000.jpg", "0000-of-0002/journal.jsonl"):
        write_photo(victim / "folder" / name)
    if kind in ("hard_link", "link_to_file") and was_folder:
        return False
    if kind == "hard_link" and path.name in ("lock", "review.lock"):
        (victim / "file").write_bytes(b"precious")
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "link_to_file":
        path.symlink_to(victim / "file")
    elif kind == "link_to_folder":
        path.symlink_to(victim / "folder")
    elif kind == "dangling":
        path.symlink_to(victim / "nothing")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "hard_link":
        path.hardlink_to(victim / "file")
    elif kind == "pipe":
        os.mkfifo(path)
    elif was_folder:
        path.write_bytes(b"a file")
    else:
        (path / "mine").mkdir(parents=True)
    return True


def state_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Relative path → (mode, time, content or where a link leads to) of everything below a folder."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        if path.is_symlink():
            data = os.fsencode(os.readlink(path))
        else:
            data = path.read_bytes() if path.is_file() else b""
        found[path.relative_to(folder).as_posix()] = (status.st_mode, status.st_mtime_ns, data)
    return found


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Nothing may wait for a pipe."""

    def too_late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attack(ground: Ground, sort: str, place: str, kind: str, name: str, work: Path) -> int | None:
    """One attack, and one command; its exit code, or None where it cannot be made."""
    out, victim = work / sort, work / "victim"
    shutil.copytree(ground.folder / sort, out, symlinks=True)
    try:
        if not plant(kind, out / place, victim):
            return None
        before = state_of(victim), state_of(ground.folder)
        with in_time():
            code = commands(ground, out)[name]()
        where = f"{name} with {kind} at {sort}/{place}: exit {code}"
        assert code in (0, 1, 2, *([5] if name == "verify" else [])), where
        after = state_of(victim), state_of(ground.folder)
        assert after == before, where
        return code
    finally:
        for path in (out, victim, work / "other"):
            shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """The photos and three output folders; nothing writes to them."""
    return make_ground(tmp_path_factory.mktemp("links"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sort", Ground.sorts)
def test_nothing_elsewhere_is_touched(ground: Ground, sort: str, kind: str, tmp_path: Path) -> None:
    names = itertools.cycle(commands(ground, tmp_path / sort))
    for place in places(ground.folder / sort):
        attack(ground, sort, place, kind, next(names), tmp_path)


@pytest.mark.parametrize("sort", Ground.sorts)
def test_where_folders_cannot_be_held_open(
    ground: Ground, sort: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: each component is looked at instead."""
    monkeypatch.setattr(inside, "_DESCRIPTORS", False)
    kinds = itertools.cycle(KINDS)
    names = itertools.cycle(commands(ground, tmp_path / sort))
    for place in places(ground.folder / sort):
        attack(ground, sort, place, next(kinds), next(names), tmp_path)


@pytest.mark.parametrize("name", ["run", "apply", "overwrite", "audit", "merge"])
@pytest.mark.parametrize(
    "place", ["rejected", "pending", "tmp", "journal.jsonl", "candidates.jsonl", "review.csv"]
)
def test_a_link_in_the_state_folder_is_said(
    ground: Ground, place: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = attack(ground, "plain", f"{STATE}/{place}", "link_to_folder", name, tmp_path)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("detic-crop: ")]
    assert code == 2
    assert f"{STATE}/{place} is a link; inside --out" in line
    assert "remove the link" in line


def main() -> None:
    """Every place, kind and command, of the sorts that are named; counts go to stderr."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        ground = make_ground(Path(folder) / "ground")
        for sort in sys.argv[1:] or ground.sorts:
            for place in places(ground.folder / sort):
                for kind in KINDS:
                    for name in commands(ground, Path(folder) / sort):
                        try:
                            code = attack(ground, sort, place, kind, name, Path(folder))
                            result = "cannot be made" if code is None else f"exit {code}"
                        except BaseException as error:  # told, counted, and on with the next
                            result = type(error).__name__
                            text = f"{name} with {kind} at {sort}/{place}: {error!r}"
                            print("FOUND", text[:600], file=sys.stderr)
                            if isinstance(error, KeyboardInterrupt):
                                raise
                        counts[result] += 1
            print(sort, dict(counts), file=sys.stderr)


if __name__ == "__main__":
    main()
