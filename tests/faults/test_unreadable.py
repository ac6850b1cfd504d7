"""A folder that cannot be read, a full disk, overlong paths, a working folder that is gone: one line each."""

from __future__ import annotations

import builtins
import errno
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

import pytest

from detic_crop.cli import main as cli
from detic_crop.cli import messages
from detic_crop.folder import journal
from detic_crop.photos.keys import STATE
from tests.kit.errnos import Errno
from tests.kit.errors import complained
from tests.kit.faults import cli_command
from tests.kit.folders import assert_same, product
from tests.kit.photos import write_boxes, write_photos
from tests.kit.processes import ROOT, posix
from tests.kit.verdicts import give_verdicts


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos in ``in``; a run, with a verdict, in ``out``; a shard in ``shard``."""
    folder = tmp_path_factory.mktemp("unreadable")
    write_boxes(folder / "boxes.csv", write_photos(folder / "in", 3))
    run = cli_command(folder / "in", folder / "boxes.csv")
    assert cli.main([*run, "--out", str(folder / "out")]) == 0
    assert cli.main([*run, "--out", str(folder / "shard"), "--shard", "0/1"]) == 0
    give_verdicts(folder / "out", {"photo000.jpg": "box"})
    return folder


def commands(place: Path, out: Path, shard: Path) -> dict[str, list[str]]:
    run = cli_command(place / "in", place / "boxes.csv")
    return {
        "run": [*run, "--out", str(out)],
        "dry run": [*run, "--out", str(out), "--dry-run"],
        "shard": [*run, "--out", str(shard), "--shard", "0/1"],
        "recrop": ["recrop", str(out), "--out", str(place / "other"), "--size", "16", "--quiet"],
        "audit": ["audit", str(out)],
        "sample": ["audit", str(out), "--sample", "10"],
        "xlsx": ["audit", str(out), "--xlsx"],
        "review": ["review", str(out), "--no-browser", "--port", "0"],
        "apply": ["apply", str(out)],
        "apply dry run": ["apply", str(out), "--dry-run"],
        "merge": ["merge", str(shard)],
        "merge partial": ["merge", str(shard), "--partial"],
    }


NAMES = sorted(commands(Path(), Path(), Path()))


@pytest.fixture
def folders(place: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of the run and of the shard."""
    for name in ("out", "shard"):
        shutil.copytree(place / name, tmp_path / name)
    return tmp_path / "out", tmp_path / "shard"


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command complained in."""
    said = capsys.readouterr().err
    assert "Traceback" not in said, said
    (line,) = [line for line in said.splitlines() if line.startswith("detic-crop: ")]
    return line


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
@pytest.mark.parametrize("name", NAMES)
def test_a_journal_that_cannot_be_read(
    place: Path,
    folders: tuple[Path, Path],
    name: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As in the folder of somebody else, or on a disk that fails."""
    before = [product(folder) for folder in folders]

    def refusing(opened: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *given: Any, **options: Any) -> Any:
            if str(path).endswith("journal.jsonl"):
                raise OSError(code, os.strerror(code), str(path))
            return opened(path, *given, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", refusing(open))
        patch.setattr(journal, "FileIO", refusing(FileIO))
        assert cli.main(commands(place, *folders)[name]) == 1
    line = one_line(capsys)
    assert complained("cannot_read_output", line)
    assert "journal.jsonl" in line
    assert os.strerror(code) in line
    assert [product(folder) for folder in folders] == before


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EIO])
@pytest.mark.parametrize("failing", ["journal.jsonl", "candidates.jsonl"])
@pytest.mark.parametrize("command", ["apply", "recrop"])
def test_what_a_run_kept_cannot_be_read_while_a_photo_is_worked_on(
    tmp_path: Path,
    command: str,
    failing: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A disk that fails for a moment: no fault of the photo, and not an end as if all were well."""
    out, failed = tmp_path / "out", []

    class Failing(FileIO):
        """Cannot be read by those who work on photos."""

        def meet(self) -> None:
            if threading.current_thread() is not threading.main_thread():
                failed.append(self.name)
                raise OSError(code, os.strerror(code))

        def readinto(self, buffer: Any, /) -> int:
            self.meet()
            return super().readinto(buffer)

        def read(self, size: int | None = -1, /) -> bytes:
            self.meet()
            return super().read(-1 if size is None else size)

    def journal_of(path: Path) -> FileIO:
        return (Failing if failing == "journal.jsonl" else FileIO)(path)

    opened = open

    def open_as_well(path: Any, mode: str = "r", *given: Any, **options: Any) -> Any:
        if mode == "rb" and str(path).endswith(failing):
            return BufferedReader(Failing(path))
        return opened(path, mode, *given, **options)

    # Of one photo alone, whoever asks for its record reads it.
    keys = write_photos(tmp_path / "in", 1)
    run = cli_command(tmp_path / "in", write_boxes(tmp_path / "boxes.csv", keys))
    for folder in (out, tmp_path / "undisturbed"):
        assert cli.main([*run, "--out", str(folder)]) == 0
        give_verdicts(folder, {keys[0]: "whole"})

    def given(folder: Path) -> tuple[list[str], Path]:
        """The command, and the folder that it makes or changes."""
        if command == "apply":
            return ["apply", str(folder), "--quiet"], folder
        other = folder.with_name(f"{folder.name} small")
        return ["recrop", str(folder), "--out", str(other), "--size", "16", "--quiet"], other

    before = product(out)
    words, made = given(out)
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", open_as_well)
        patch.setattr(journal, "FileIO", journal_of)
        capsys.readouterr()
        assert cli.main(words) == 1
    assert failed == [out / STATE / failing]
    line = one_line(capsys)
    assert complained("cannot_read_output", line)
    assert str(out / STATE / failing) in line
    assert os.strerror(code) in line
    assert product(out) == before
    assert cli.main(words) == 0
    words, expected = given(tmp_path / "undisturbed")
    assert cli.main(words) == 0
    assert_same(made, product(expected))


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs another user")
@pytest.mark.slow
@pytest.mark.parametrize("hidden", [f"{STATE}/journal.jsonl", f"{STATE}/review.csv", STATE, "."])
def test_the_folder_of_another_user(place: Path, folders: tuple[Path, Path], hidden: str) -> None:
    for folder in folders:
        for path in (place, *place.rglob("*"), folder, *folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        if (folder / hidden).exists():
            (folder / hidden).chmod(0o600)
    code = (
        "import os, sys\n"
        "from detic_crop.cli import main as cli\n"
        "import detic_crop.api, detic_crop.review_page.page, detic_crop.web.server, xlsxwriter\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    for name, command in commands(place, *folders).items():
        done = subprocess.run(
            [sys.executable, "-c", code, *command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        lines = [line for line in done.stderr.splitlines() if line.startswith("detic-crop: ")]
        assert "Traceback" not in done.stderr, (name, done.stderr)
        assert (done.returncode in (1, 2), len(lines)) == (True, 1) or done.returncode == 0, (name, done)
        assert "fault of detic-crop" not in done.stderr, (name, done.stderr)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "review"])  # which waits for a browser
def test_a_disk_that_is_full_from_some_call_on(
    place: Path, folders: tuple[Path, Path], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = commands(place, *folders)[name]
    chance = random.Random(name)
    for at in (1, *chance.sample(range(2, 60), 4)):
        capsys.readouterr()
        with Errno(at, errno.ENOSPC, lasting=True).injected() as fault:
            code = cli.main(command)
        if fault.failed:
            assert code == 1, (at, fault.failed)
            assert complained("disk_full", one_line(capsys))


@pytest.mark.parametrize("name", NAMES)
def test_a_path_that_is_too_long(place: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (Path("x" * 300), Path(*["x" * 200] * 30)):
        long = place / path
        assert cli.main(commands(place, long, long)[name]) == 2
        assert complained("path_too_long", one_line(capsys))
    command = ["recrop", str(place / "out"), "--out", str(place / ("x" * 300)), "--quiet"]
    assert cli.main(command) == 2
    assert complained("path_too_long", one_line(capsys))


@posix
def test_a_working_folder_that_is_gone(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    run = cli_command(place / "in", place / "boxes.csv")
    for command in (
        [*run, "--out", "out"],
        [*cli_command(Path("in"), place / "boxes.csv"), "--out", str(tmp_path / "out")],
        [*cli_command(Path("in"), place / "boxes.csv"), "--out", "out"],
        ["recrop", str(place / "out"), "--out", "out"],
        ["recrop", "out", "--out", "other"],
        *([verb, "out"] for verb in ("audit", "apply", "merge", "review")),
    ):
        assert cli.main(command) in (1, 2), command
        one_line(capsys)
    assert cli.main([*run, "--out", str(tmp_path / "out")]) == 0


def test_a_workbook_on_a_full_disk_leaves_nothing_behind(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    xlsxwriter = pytest.importorskip("xlsxwriter")
    out, _ = folders

    def full(workbook: Any) -> None:
        raise xlsxwriter.exceptions.FileCreateError(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    monkeypatch.setattr(xlsxwriter.Workbook, "_store_workbook", full)
    assert cli.main(["audit", str(out), "--xlsx"]) == 1
    assert complained("disk_full", one_line(capsys))
    assert list((out / STATE / "tmp").rglob("*")) == []
    assert not (out / "audit.xlsx").exists()


def test_an_error_that_nobody_foresaw_is_called_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(result: Any, **given: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("detic_crop.api.write_audit", fail)
    with pytest.raises(OSError, match="Input/output error") as caught:
        cli.main(["audit", "folder"])
    assert capsys.readouterr().err == f"detic-crop: {messages.fault(caught.value)}\n"
