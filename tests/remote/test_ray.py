"""Runs on a Ray cluster: two nodes on this machine, whose processes are killed in mid-run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.config import RunOptions
from detic_crop.errors import Terminated, UsageError
from detic_crop.photos.keys import STATE
from detic_crop.work.executors import ray_executor
from detic_crop.work.executors.ray_cluster import import_ray
from detic_crop.work.executors.ray_worker import package_versions
from tests.kit.detectors import PairDetector, SentDetector
from tests.kit.errors import complained, refused
from tests.kit.folders import assert_one_row_each, assert_same, leftovers, product, rows_of
from tests.kit.model_makers import HEIGHT, MAKERS, WIDTH
from tests.kit.photos import write_boxes, write_damaged, write_photos

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STORE = 100_000_000  # bytes
MARK, OURS = "DETIC_CROP_TEST_RAY", uuid.uuid4().hex  # in the environment of every process that is begun here


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without cores and two nodes of one core, on the loopback interface; nothing of it is left."""
    started: Any
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, OURS)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # as `ray_cluster` sets it
        import_ray("local")
        from ray.cluster_utils import Cluster

        started = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False},
        )
        try:
            for _ in range(2):
                started.add_node(num_cpus=1, object_store_memory=STORE)
            # The node that is held here would end this process at SIGTERM; a program has no handler.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            yield started
        finally:
            started.shutdown()
            for process in ray_processes():
                with suppress(psutil.NoSuchProcess):
                    process.kill()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos in ``in`` and what one process makes of them in ``reference``."""
    folder = tmp_path_factory.mktemp("ray")
    write_photos(folder / "in", 40)
    write_damaged(folder / "in")
    run(folder, folder / "reference", SentDetector())
    return folder


def run(place: Path, out: Path, detector: SentDetector | None, **settings: Any) -> api.RunResult:
    return api.run(place / "in", out, detector=detector, **{"size": 32, "quiet": True, **settings})


def keys_of(place: Path) -> list[str]:
    return [path.relative_to(place / "in").as_posix() for path in (place / "in").rglob("*.*")]


def ray_processes(mark: str = OURS) -> list[psutil.Process]:
    """Every process of a Ray that was begun with this mark; others on this machine are no matter of ours."""
    found = []
    for process in psutil.process_iter(["name", "cmdline", "environ"]):
        if (process.info["environ"] or {}).get(MARK) != mark:
            continue
        line = " ".join(process.info["cmdline"] or [])
        if (
            process.info["name"] in ("raylet", "gcs_server")
            or line.startswith("ray::")
            or "/ray/_private/" in line
        ):
            found.append(process)
    return found


def workers() -> list[psutil.Process]:
    """The processes that have a detector."""
    return [p for p in ray_processes() if " ".join(p.info["cmdline"]).startswith("ray::RayWorker")]


def once_begun(
    out: Path, act: Callable[[], object], photos: int = 6, runs: Callable[[], bool] = lambda: True
) -> threading.Thread:
    """Do something when a run has recorded some photos, as long as it runs."""
    journal = out / STATE / "journal.jsonl"

    def wait() -> None:
        while not journal.exists() or journal.read_bytes().count(b"\n") <= photos:
            if not runs():
                return
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("detector", [SentDetector(), SentDetector(thread_safe=False), PairDetector(False)])
def test_two_nodes_make_what_one_process_makes(
    cluster: Any, place: Path, tmp_path: Path, detector: SentDetector
) -> None:
    (tmp_path / "meeting").mkdir()
    detector = replace(detector, meeting=tmp_path / "meeting")  # else one of them may do all
    result = run(place, tmp_path / "out", detector, executor="ray", ray_address=cluster.address, profile=True)
    assert_same(tmp_path / "out", product(place / "reference"))
    assert leftovers(tmp_path / "out") == []
    assert result.done == 44
    stages = {line.split()[0] for line in result.profile.split("\n")}
    assert {"decode", "detect", "encode", "journal"} <= stages
    told = json.loads((tmp_path / "out" / "run.json").read_text())["ray"]
    assert sum(told["workers_begun_by_node"].values()) == 2
    assert sum(told["photos_by_node"].values()) == 44
    again = run(place, tmp_path / "out", detector, executor="ray", ray_address=cluster.address)
    assert (again.done, again.skipped) == (4, 40)  # the failed ones
    if detector.thread_safe:
        shutil.rmtree(place / "in" / "bad")
        done = run(place, tmp_path / "out", detector, executor="ray", ray_address=cluster.address)
        write_damaged(place / "in")
        assert (done.done, done.remaining) == (0, 0)


@pytest.mark.parametrize("decode", ["full", "scaled"])
def test_boxes_are_sent_along(cluster: Any, tmp_path: Path, decode: str) -> None:
    keys = write_photos(tmp_path / "in", 8, width=1500, height=1000)
    boxes = write_boxes(tmp_path / "boxes.csv", keys[:-2], width=1500, height=1000)
    settings: dict[str, Any] = {"model": f"boxes:{boxes}", "decode": decode, "classes": "any"}
    here = run(tmp_path, tmp_path / "here", None, **settings)
    there = run(tmp_path, tmp_path / "there", None, executor="ray", ray_address=cluster.address, **settings)
    assert_same(tmp_path / "there", product(tmp_path / "here"))
    assert here.notes == there.notes
    assert any("2 of 8 photos are not in" in note for note in there.notes)


@pytest.mark.parametrize("kind", ["torchvision", "onnx", "hf"])
def test_a_model_is_loaded_on_the_nodes(
    cluster: Any,
    tmp_path: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Relative paths mean on a node what they mean here; versions that only this kind needs are compared."""
    keys = write_photos(tmp_path / "in", 6, width=WIDTH, height=HEIGHT)
    made = MAKERS[kind](tmp_path, keys, 0)
    settings: dict[str, Any] = {"model": made.model, "classes": "any", **made.settings}
    monkeypatch.chdir(tmp_path)
    run(tmp_path, tmp_path / "here", None, **settings)
    other = dict.fromkeys(made.packages, "0.1")
    monkeypatch.setattr(ray_executor, "package_versions", lambda model: {**package_versions(model), **other})
    run(tmp_path, tmp_path / "there", None, executor="ray", ray_address=cluster.address, **settings)
    assert_same(tmp_path / "there", product(tmp_path / "here"))
    for package in made.packages:
        assert f"has other versions, crops may differ: {package} " in caplog.text


def test_a_killed_worker_loses_nothing(cluster: Any, place: Path, tmp_path: Path) -> None:
    earlier = {worker.pid for worker in workers()}  # of the test before, still on their way out

    def kill_one() -> None:
        next(worker for worker in workers() if worker.pid not in earlier).kill()

    killer = once_begun(tmp_path / "out", kill_one)
    run(place, tmp_path / "out", SentDetector(delay=0.1), executor="ray", ray_address=cluster.address)
    killer.join()
    assert_same(tmp_path / "out", product(place / "reference"))
    assert json.loads((tmp_path / "out" / "run.json").read_text())["ray"]["workers_died"] == 1


def test_a_photo_that_kills_is_a_failed_row(cluster: Any, place: Path, tmp_path: Path) -> None:
    deadly = "day1/photo010.jpg"
    run(place, tmp_path / "out", SentDetector(deadly=deadly), executor="ray", ray_address=cluster.address)
    rows = {row["image"]: row for row in rows_of(tmp_path / "out")}
    assert (rows[deadly]["status"], rows[deadly]["reason"]) == ("failed", "worker_died")
    assert "3 processes died" in rows[deadly]["error"]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["ray"]["workers_died"] == 3
    assert_one_row_each(tmp_path / "out", keys_of(place))
    run(place, tmp_path / "out", SentDetector())  # the detector was at fault
    assert_same(tmp_path / "out", product(place / "reference"))


def test_a_broken_detector_ends_the_run(cluster: Any, tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 60)  # of two workers one has 25 and more
    detector = SentDetector(broken=True)
    with refused("broken_detector") as caught:
        run(tmp_path, tmp_path / "out", detector, executor="ray", ray_address=cluster.address)
    assert "ValueError" in caught.value.message


def test_photos_in_flight_are_bounded(cluster: Any, tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 60)
    marks = tmp_path / "marks"
    marks.mkdir()
    detector = SentDetector(slow=keys[0], marks=marks)
    asked = []

    def look() -> None:
        seen = -1
        while (now := len(list(marks.iterdir()))) != seen or now < 8:  # until it rests
            seen = now
            time.sleep(1)
        asked.append(seen)
        (marks / "go").touch()

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    result = run(tmp_path, tmp_path / "out", detector, executor="ray", ray_address=cluster.address)
    watcher.join()
    assert result.done == 60
    assert 8 <= asked[0] <= 4 * 2 * (2 * 1 + 2 * 1)


@pytest.mark.parametrize("thread_safe", [True, False])
def test_a_signal_ends_in_order(cluster: Any, place: Path, tmp_path: Path, thread_safe: bool) -> None:
    before = signal.getsignal(signal.SIGTERM)
    detector = SentDetector(thread_safe, delay=0.1)
    stopper = once_begun(tmp_path / "out", lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Terminated) as terminated:
        run(place, tmp_path / "out", detector, executor="ray", ray_address=cluster.address)
    stopper.join()
    result = terminated.value.result
    assert result.stopped == "SIGTERM"
    assert 6 <= result.done < 40
    assert signal.getsignal(signal.SIGTERM) is before
    assert leftovers(tmp_path / "out") == []
    run(place, tmp_path / "out", SentDetector())
    assert_same(tmp_path / "out", product(place / "reference"))


def test_a_node_that_sees_no_photos_is_said(cluster: Any, place: Path, tmp_path: Path) -> None:
    """A path that is another file in every process."""
    photo = (place / "in" / "photo000.jpg").read_bytes()
    with open(tmp_path / "photo.jpg", "w+b") as file:
        file.write(photo)
        file.flush()
        (tmp_path / "list.txt").write_text(f"/proc/self/fd/{file.fileno()}\n")
        with refused("photos_not_on_node"):
            api.run(
                tmp_path / "list.txt",
                tmp_path / "out",
                detector=SentDetector(),
                executor="ray",
                ray_address=cluster.address,
                quiet=True,
            )


def test_a_lost_node_and_a_new_one(cluster: Any, place: Path, tmp_path: Path) -> None:
    node = next(iter(cluster.worker_nodes))

    def lose() -> None:
        node.all_processes["raylet"][0].process.kill()

    killer = once_begun(tmp_path / "out", lose)
    run(place, tmp_path / "out", SentDetector(delay=0.1), executor="ray", ray_address=cluster.address)
    killer.join()
    assert_same(tmp_path / "out", product(place / "reference"))


def test_a_lost_head_ends_the_run_with_one_line(cluster: Any, place: Path, tmp_path: Path) -> None:
    """The last test of the cluster."""
    head = cluster.head_node.all_processes["gcs_server"][0].process
    killer = once_begun(tmp_path / "out", head.kill)
    with refused("head_lost"):
        run(place, tmp_path / "out", SentDetector(delay=1), executor="ray", ray_address=cluster.address)
    killer.join()
    assert len(rows_of(tmp_path / "out")) >= 6
    run(place, tmp_path / "out", SentDetector())
    assert_same(tmp_path / "out", product(place / "reference"))


def test_a_ray_of_its_own_ends_with_the_run(place: Path, tmp_path: Path) -> None:
    """As job managers send a signal: to the whole group, Ray's processes too."""
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "detic_crop", "run", "--in", "in", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--model", "lite", "--size", "32", "--executor", "ray", "--workers", "1", "--quiet"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), MARK: mark},  # Ray writes to HOME
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    once_begun(
        tmp_path / "out",
        lambda: os.killpg(process.pid, signal.SIGTERM),
        photos=2,
        runs=lambda: process.poll() is None,
    ).join()
    out, err = process.communicate()
    assert process.returncode == 143, err
    assert out == ""
    lines = [
        line for line in err.splitlines() if not line.startswith("no worker has begun for ")
    ]  # yet, if busy
    assert len(lines) == 1, err
    assert " to do; run the same command to continue" in lines[0]
    psutil.wait_procs(ray_processes(mark), timeout=300)  # they are on their way
    assert ray_processes(mark) == []


def test_without_ray_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = ["run", "--in", str(place / "in"), "--out", str(tmp_path / "out"), "--executor", "ray"]
    assert cli.main(arguments) == 2
    complained("missing_extra", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"device": "cuda:1"}, "single_device_on_ray"),
        ({"device": "cpu,cpu"}, "single_device_on_ray"),
        ({"ray_address": "ray://head:10001"}, "ray_client"),
        ({"ray_address": "127.0.0.1:1"}, "no_ray_cluster"),
    ],
)
def test_what_does_not_go_with_ray(place: Path, tmp_path: Path, settings: dict[str, Any], code: str) -> None:
    with refused(code, UsageError):
        run(place, tmp_path / "out", SentDetector(), executor="ray", **settings)
    assert not (tmp_path / "out").exists()


def test_an_address_needs_the_executor() -> None:
    with refused("option_not_applicable", UsageError, names=["--ray-address"]):
        RunOptions(ray_address="auto")
    with refused("bad_value", UsageError, names=["--executor", "local or ray"]):
        RunOptions(executor="spark")  # type: ignore[arg-type]
