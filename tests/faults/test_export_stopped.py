"""An export that is killed, interrupted or meets a full disk leaves nothing, and the next one is whole."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from detic_crop import api
from detic_crop.exports.target import Target
from tests.kit.errors import refused
from tests.kit.folders import crop, files_of, untouched
from tests.kit.photos import write_photos
from tests.kit.processes import posix

TO = "imagefolder"


@pytest.fixture
def cropped(tmp_path: Path) -> Path:
    write_photos(tmp_path / "in", 9)
    crop(tmp_path / "in", tmp_path / "cropped")
    return tmp_path / "cropped"


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> None:
    """Let the n-th file of an export raise."""
    path_of, count = Target.path, 0

    def failing(self: Target, name: str) -> str:
        nonlocal count
        count += 1
        if count == number:
            raise error
        return path_of(self, name)

    monkeypatch.setattr(Target, "path", failing)


@pytest.mark.parametrize("number", [1, 4, 7])
def test_a_full_disk_leaves_nothing(
    cropped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fail_at(monkeypatch, number, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with untouched(cropped), refused("disk_full", match="nothing of the export is left"):
        api.export(cropped, TO, tmp_path / "out", label="folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cropped", "in"]


@pytest.mark.parametrize("number", [1, 4, 7])
def test_ctrl_c_leaves_nothing(
    cropped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    fail_at(monkeypatch, number, KeyboardInterrupt())
    with untouched(cropped), pytest.raises(KeyboardInterrupt):
        api.export(cropped, TO, tmp_path / "out", label="folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cropped", "in"]


@posix
@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 4, 7])
def test_after_a_kill_the_next_one_is_whole(cropped: Path, tmp_path: Path, number: int) -> None:
    api.export(cropped, TO, tmp_path / "reference", label="folder")
    program = f"""
import os, signal
from detic_crop import api
from detic_crop.exports.target import Target
path_of, count = Target.path, 0
def dying(self, name):
    global count
    count += 1
    if count == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    return path_of(self, name)
Target.path = dying
api.export({str(cropped)!r}, {TO!r}, {str(tmp_path / "out")!r}, label="folder")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.partial").exists()
    api.export(cropped, TO, tmp_path / "out", label="folder")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "reference")
    assert not (tmp_path / ".out.partial").exists()


def test_two_at_once_are_not_mixed(cropped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one into the same place, while the first one is at work."""
    path_of = Target.path
    asked: list[str] = []

    def asking(self: Target, name: str) -> str:
        if not asked:
            asked.append(name)
            with refused("in_use", match="another export is at work"):
                api.export(cropped, TO, tmp_path / "out", label="folder")
        return path_of(self, name)

    monkeypatch.setattr(Target, "path", asking)
    result = api.export(cropped, TO, tmp_path / "out", label="folder")
    assert asked
    assert len(files_of(tmp_path / "out")) == result.count + 1
