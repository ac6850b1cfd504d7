"""One process for each of several devices; two of the CPU stand in for GPUs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.config import CropConfig
from detic_crop.detectors import devices as device_names
from detic_crop.errors import UsageError
from detic_crop.photos.keys import STATE
from detic_crop.photos.location import LocalFile
from detic_crop.photos.photo import Photo
from detic_crop.work.executors.processes import Processes
from detic_crop.work.recipe import Job, Recipe
from tests.kit.detectors import FakeDetector
from tests.kit.errors import complained, refused
from tests.kit.folders import assert_one_row_each, assert_same, leftovers, product
from tests.kit.photos import write_damaged, write_photos

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos in ``in`` and what one process makes of them in ``reference``."""
    folder = tmp_path_factory.mktemp("devices")
    write_photos(folder / "in", 24, width=320, height=240)
    write_damaged(folder / "in")
    api.run(folder / "in", folder / "reference", model="lite", device="cpu", quiet=True)
    return folder


def test_two_processes_make_what_one_makes(place: Path, tmp_path: Path) -> None:
    result = api.run(
        place / "in", tmp_path / "out", model="lite", device="cpu,cpu", workers=1, quiet=True, profile=True
    )
    assert_same(tmp_path / "out", product(place / "reference"))
    assert leftovers(tmp_path / "out") == []
    assert result.done == 28
    assert {"decode", "detect", "encode", "journal"} <= {
        line.split()[0] for line in result.profile.split("\n")
    }


def test_processes_end_quietly(place: Path, tmp_path: Path) -> None:
    process = start(place, tmp_path / "out")
    out, err = process.communicate()
    assert (process.returncode, out, err) == (0, "", "")
    assert_same(tmp_path / "out", product(place / "reference"))


def start(place: Path, out: Path) -> subprocess.Popen[str]:
    """A run in two processes, which has recorded a few photos."""
    command = [sys.executable, "-m", "detic_crop", "run", "--in", str(place / "in"), "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--model", "lite", "--device", "cpu,cpu", "--workers", "1", "--quiet"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    journal = out / STATE / "journal.jsonl"
    while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 4):
        time.sleep(0.005)
    return process


def finish(place: Path, out: Path) -> None:
    """The same command again completes it."""
    assert cli.main(["run", "--in", str(place / "in"), "--out", str(out), "--model", "lite", "--quiet"]) == 0
    assert_one_row_each(out, _keys(place))
    assert_same(out, product(place / "reference"))


def _keys(place: Path) -> list[str]:
    return [path.relative_to(place / "in").as_posix() for path in (place / "in").rglob("*.*")]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_whole_group_ends_in_order(
    place: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """As a terminal, `timeout` and job managers send it."""
    process = start(place, tmp_path / "out")
    os.killpg(process.pid, number)
    _, err = process.communicate()
    assert process.returncode == code, err
    assert "photos to do; run the same command to continue" in err
    assert leftovers(tmp_path / "out") == []
    finish(place, tmp_path / "out")


def test_a_process_that_dies_ends_the_run_and_loses_nothing(place: Path, tmp_path: Path) -> None:
    process = start(place, tmp_path / "out")
    psutil.Process(process.pid).children()[0].kill()
    _, err = process.communicate()
    assert process.returncode == 1, err
    assert "the process of cpu died (exit code -9" in complained("worker_died", err)
    finish(place, tmp_path / "out")


def test_processes_do_not_outlive_the_run(place: Path, tmp_path: Path) -> None:
    process = start(place, tmp_path / "out")
    children = psutil.Process(process.pid).children()
    assert len(children) == 2
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    finish(place, tmp_path / "out")


def test_what_a_process_cannot_load_is_said() -> None:
    recipe = Recipe(CropConfig(), 1000, model="no-such-model")
    job = Job(Photo("a.jpg", LocalFile("a.jpg")), "a.jpg")
    with refused("unknown_model", UsageError, names=["no-such-model"]):
        list(Processes(recipe, FakeDetector(), ["cpu"], workers=1).run([job], lambda: False))


def test_names_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    assert device_names.resolve_devices("cpu,cpu") == ["cpu", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_names.resolve_devices("auto") == ["cuda:0", "cuda:1"]
    assert device_names.resolve_devices("cuda:1") == ["cuda:1"]
    with refused("missing_device", UsageError, names=["cuda:2"]):
        device_names.resolve_devices("cuda:0,cuda:2")


@pytest.mark.parametrize("device", ["gpu", "cpu,", "cuda:x", "cuda:0 cuda:1", ""])
def test_bad_devices(device: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"device": device, "quiet": True}
    with refused("bad_value", UsageError, names=["--device"]):
        api.run(tmp_path, tmp_path / "out", **settings)
