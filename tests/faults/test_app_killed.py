"""The server of the app killed, alone or with its job, or ended by Ctrl-C: nothing is lost."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import detic_crop
from detic_crop.app.child import TOKEN_VARIABLE
from detic_crop.app.job_files import JobFiles
from detic_crop.app.jobs import Jobs
from detic_crop.photos.keys import STATE
from tests.kit.app import PATIENCE
from tests.kit.folders import assert_same, product
from tests.kit.photos import write_photo
from tests.kit.processes import ROOT, posix

pytestmark = [posix, pytest.mark.slow]

TOKEN = "a-token-that-is-long-enough"
PHOTOS = 150


@dataclass(frozen=True)
class Scene:
    """Photos, and where the app keeps its jobs."""

    root: Path
    state: Path

    @property
    def job(self) -> JobFiles:
        """The files of the first job."""
        return JobFiles(self.state / "jobs" / "1")

    @property
    def group(self) -> int:
        """The processes of the first job."""
        return int(json.loads(self.job.begun.read_text())["pid"])

    @property
    def recorded(self) -> int:
        """Photos in the journal of the first job's folder."""
        with contextlib.suppress(OSError):
            return (self.root / "cropped" / STATE / "journal.jsonl").read_bytes().count(b"\n")
        return 0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    root = tmp_path / "data"
    first = write_photo(root / "photos" / "photo000.jpg", width=600, height=400)
    for number in range(1, PHOTOS):
        shutil.copy(first, root / "photos" / f"photo{number:03}.jpg")
    rows = [f"photo{number:03}.jpg,{number},20,{number + 90},90" for number in range(PHOTOS)]
    (root / "boxes.csv").write_text("\n".join(["image,xmin,ymin,xmax,ymax", *rows, ""]))
    (root / "few").mkdir()
    shutil.copy(first, root / "few")
    scene = Scene(root, tmp_path / "state")
    yield scene
    with contextlib.suppress(OSError, ValueError):
        os.killpg(scene.group, signal.SIGKILL)


@contextlib.contextmanager
def app(scene: Scene) -> Iterator[tuple[subprocess.Popen[bytes], Callable[..., Any]]]:
    """The command, and what asks its API; killed at the end unless it has ended."""
    command = [sys.executable, "-m", "detic_crop", "app", "--root", str(scene.root), "--port", "0"]
    command += ["--no-browser", "--state", str(scene.state)]
    environment = {**os.environ, TOKEN_VARIABLE: TOKEN}
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment) as process:
        try:
            assert process.stdout is not None
            found = re.search(rb"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
            assert found
            yield process, asking(int(found[1]))
        finally:
            process.kill()


def asking(port: int) -> Callable[..., Any]:
    def ask(method: str, path: str, value: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        with contextlib.closing(connection):
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            connection.request(method, f"/api/v1{path}", json.dumps(value) if value else None, headers)
            answer = connection.getresponse()
            assert answer.status in (200, 201), answer.status
            return json.loads(answer.read())

    return ask


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def begin(ask: Callable[..., Any]) -> None:
    """Two runs, of which the second waits."""
    settings = {"model": "boxes:boxes.csv", "size": 64, "workers": 1}
    for photos, output in (("photos", "cropped"), ("few", "cropped_few")):
        ask("POST", "/jobs", {"command": "run", "input": photos, "output": output, "settings": settings})


def held_on_the_way(scene: Scene) -> None:
    """Stand the first job still between its first photo and its last."""
    until(lambda: scene.recorded > 2)
    os.killpg(scene.group, signal.SIGSTOP)
    assert scene.recorded < PHOTOS
    assert not scene.job.ended.exists()


def state_of(ask: Callable[..., Any], number: int) -> str:
    return str(ask("GET", f"/jobs/{number}")["state"])


def as_undisturbed(scene: Scene, tmp_path: Path) -> None:
    """The folder is that of a run that nothing disturbed, and the second job came to its end, too."""
    detic_crop.run(
        scene.root / "photos",
        tmp_path / "reference" / "cropped",
        model=f"boxes:{scene.root / 'boxes.csv'}",
        size=64,
        quiet=True,
    )
    assert_same(scene.root / "cropped", product(tmp_path / "reference" / "cropped"))
    assert (scene.root / "cropped_few" / "audit.csv").is_file()


def test_a_job_outlives_its_server(scene: Scene, tmp_path: Path) -> None:
    with app(scene) as (server, ask):
        begin(ask)
        held_on_the_way(scene)
        server.kill()
        server.wait()
    with app(scene) as (_, ask):
        assert [job["state"] for job in ask("GET", "/jobs")] == ["queued", "running"]
        os.killpg(scene.group, signal.SIGCONT)
        until(lambda: state_of(ask, 1) == "done")
        until(lambda: state_of(ask, 2) == "done")
        assert ask("GET", "/jobs/1")["attempts"] == 1
    as_undisturbed(scene, tmp_path)


def test_a_job_that_ended_without_a_server(scene: Scene, tmp_path: Path) -> None:
    with app(scene) as (server, ask):
        begin(ask)
        held_on_the_way(scene)
        server.kill()
        server.wait()
    os.killpg(scene.group, signal.SIGCONT)
    until(scene.job.ended.exists)
    with app(scene) as (_, ask):
        until(lambda: state_of(ask, 2) == "done")
        assert state_of(ask, 1) == "done"
    as_undisturbed(scene, tmp_path)


def test_all_is_killed_at_once(scene: Scene, tmp_path: Path) -> None:
    with app(scene) as (server, ask):
        begin(ask)
        held_on_the_way(scene)
        server.kill()
        os.killpg(scene.group, signal.SIGKILL)
        server.wait()
    until(lambda: not scene.job.is_held())
    with app(scene) as (_, ask):
        until(lambda: state_of(ask, 1) == "interrupted")
        until(lambda: state_of(ask, 2) == "done")
        assert ask("POST", "/jobs/1/continue")["state"] in ("queued", "running")
        until(lambda: state_of(ask, 1) == "done")
        assert ask("GET", "/jobs/1")["attempts"] == 2
    as_undisturbed(scene, tmp_path)


def test_ctrl_c_stops_the_job_in_good_order(scene: Scene, tmp_path: Path) -> None:
    with app(scene) as (server, ask):
        begin(ask)
        held_on_the_way(scene)
        server.send_signal(signal.SIGINT)
        until(lambda: json.loads(scene.job.order.read_text())["stop"])
        os.killpg(scene.group, signal.SIGCONT)
        assert server.wait(PATIENCE) == 0
    assert scene.job.ended.exists()
    assert scene.recorded > 2
    with app(scene) as (_, ask):
        until(lambda: state_of(ask, 2) == "done")
        job = ask("GET", "/jobs/1")
        if job["state"] != "done":  # it may have been at its last photo
            assert (job["state"], job["may"]) == ("interrupted", ["continue", "remove"])
            ask("POST", "/jobs/1/continue")
        until(lambda: state_of(ask, 1) == "done")
    as_undisturbed(scene, tmp_path)


def test_stop_and_go_on(scene: Scene, tmp_path: Path) -> None:
    with app(scene) as (_, ask):
        begin(ask)
        held_on_the_way(scene)
        assert ask("POST", "/jobs/1/stop")["state"] == "stopping"
        os.killpg(scene.group, signal.SIGCONT)
        until(lambda: state_of(ask, 1) == "interrupted")
        assert scene.recorded < PHOTOS + 2
        ask("POST", "/jobs/1/continue")
        until(lambda: state_of(ask, 1) == "done")
        until(lambda: state_of(ask, 2) == "done")
    as_undisturbed(scene, tmp_path)


def test_a_job_lives_as_long_as_its_command(scene: Scene, tmp_path: Path) -> None:
    """The process around the command is killed: the command goes on, and can be stopped."""
    with app(scene) as (_, ask):
        begin(ask)
        held_on_the_way(scene)
        os.kill(scene.group, signal.SIGKILL)
        recorded = scene.recorded
        os.killpg(scene.group, signal.SIGCONT)
        until(lambda: scene.recorded > recorded)
        assert ask("POST", "/jobs/1/stop")["state"] == "stopping"
        until(lambda: state_of(ask, 1) == "interrupted")
        ask("POST", "/jobs/1/continue")
        until(lambda: state_of(ask, 1) == "done")
        until(lambda: state_of(ask, 2) == "done")
    as_undisturbed(scene, tmp_path)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"id": "x"}', b"\xff" * 100, b'"\\ud800"'])
def test_a_damaged_order_is_left_out(tmp_path: Path, damage: bytes) -> None:
    jobs = Jobs(tmp_path)
    for number in range(2):
        jobs.add("run", ["run"], [], f"photos{number}", "out", {})
    jobs.close()
    (tmp_path / "jobs" / "1" / "order.json").write_bytes(damage)
    jobs = Jobs(tmp_path)
    assert [job.input for job in jobs.all()] == ["photos1"]
    assert jobs.add("run", ["run"], [], "new", "out", {}).id == 3
    jobs.close()
