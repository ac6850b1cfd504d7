"""One file call of a command fails: a photo keeps its earlier crop and row, or has the new ones."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from detic_crop.cli import main as cli
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.records import Record
from tests.kit.errnos import Errno, code_of
from tests.kit.faults import Scene, fresh, recropped, resumed, reviewed
from tests.kit.folders import assert_same, leftovers, product, records_of
from tests.kit.processes import posix

ERRNOS = ["ETIMEDOUT", "ENOMEM", "EBUSY", "EINVAL", "ENOTCONN", "EIO", "ENOSPC", "EACCES"]
"""Of network disks, FUSE, and disks that are full or broken."""
SOME = 12
"""Calls of a scene that fail in the quick test."""
MANY = 60
"""Calls of a scene that fail in the slow test, unless DETIC_CROP_TEST_EVERY_CALL asks for each of them."""
SCENES = {"fresh": fresh, "resumed": resumed, "reviewed": reviewed, "recropped": recropped}
TARS = {"DETIC_CROP_OUT_FORMAT": "tar", "DETIC_CROP_PER_TAR": "2"}

pytestmark = posix


class Stage:
    """A scene, and what it looks like before and after."""

    def __init__(self, scene: Scene, work: Path) -> None:
        self.scene, self.out = scene, work / "out"
        self._begin()
        self.before = states(self.out)
        with Errno(0, 0).injected() as counting:
            assert self.run() == 0
        self.calls = counting.count
        self.after = states(self.out)
        self.product = product(self.out)

    def _begin(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        if self.scene.base:
            shutil.copytree(self.scene.base, self.out)

    def run(self) -> int:
        where = ["OUT"] if "OUT" in self.scene.command else ["--out", "OUT"]
        command = [*self.scene.command, *(where if where[0] == "--out" else [])]
        return cli.main([str(self.out) if word == "OUT" else word for word in command] + ["--workers", "1"])

    def fail(self, at: int, errno_name: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Let one call fail, look at every photo, give the command again, and compare."""
        self._begin()
        capsys.readouterr()
        with Errno(at, code_of(errno_name)).injected() as fault:
            code = self.run()
        said = capsys.readouterr().err
        where = f"call {at} of {self.calls}, {errno_name}, {fault.failed}, exit {code}: {said}"
        assert "Traceback" not in said, where
        assert code in (0, 1, 2), where
        now = states(self.out)
        lost = {
            key: (state, self.before.get(key), self.after.get(key))
            for key, state in now.items()
            if state not in (self.before.get(key), self.after.get(key)) and state[0].reason != "write_error"
        }
        assert lost == {}, where
        assert now.keys() >= self.before.keys(), where
        if code == 0 and now != self.after:
            unlike = [key for key in self.after if now.get(key) != self.after[key]]
            assert self.scene.command[0] != "apply", where
            assert all(key in said or now[key][0].status == "failed" for key in unlike), where
        if code:
            assert said.count("detic-crop: ") + said.count(" keeps its ") >= 1, where
        assert self.run() == 0, f"{where}; then {capsys.readouterr().err}"
        assert states(self.out) == self.after, where
        assert leftovers(self.out) == [], where
        try:
            assert_same(self.out, self.product)
        except AssertionError as error:
            raise AssertionError(f"{where}; then {error}") from error


def states(out: Path) -> dict[str, tuple[Record, bytes | None]]:
    """Key → record, without where its boxes are, and bytes of the crop."""
    folder = OutputFolder(out)
    if not folder.layout.journal.exists():
        return {}
    found: dict[str, tuple[Record, bytes | None]] = {}
    for key, record in records_of(out).items():
        place = folder.aside.find(record, record.crop)
        data = folder.crops.read(place) if place and folder.crops.size(place) is not None else None
        found[key] = msgspec.structs.replace(record, candidates=None), data
    return found


@pytest.fixture(params=["files", "tars"])
def stage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Stage]:
    """Builds a scene whose crops are files, or in tar files."""
    for name, value in TARS.items() if request.param == "tars" else ():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    return lambda name: Stage(SCENES[name](tmp_path), tmp_path)


@pytest.mark.parametrize("name", SCENES)
def test_some_calls_fail(
    stage: Callable[[str], Stage], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(name)
    built = stage(name)
    for at in sorted(chance.sample(range(1, built.calls + 1), SOME)):
        built.fail(at, chance.choice(ERRNOS), capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_many_calls_fail(
    stage: Callable[[str], Stage], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    built = stage(name)
    calls: Sequence[int] = range(1, built.calls + 1)
    if not os.environ.get("DETIC_CROP_TEST_EVERY_CALL"):
        calls = sorted(random.Random(f"many {name}").sample(calls, min(MANY, len(calls))))
    for number, at in enumerate(calls):
        built.fail(at, ERRNOS[number % len(ERRNOS)], capsys)
