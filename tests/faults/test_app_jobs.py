"""Jobs of the app where a disk is full, a signal comes at a bad moment, or a server was killed on the way."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import msgspec
import pytest

from detic_crop.app import child, jobs
from detic_crop.app.job import Job, outcome_of
from detic_crop.app.job_files import JobFiles, write_json
from detic_crop.app.jobs import Jobs
from detic_crop.app.refusals import RefusedError
from detic_crop.folder.layout import Layout
from detic_crop.folder.progress_file import Progress, utc_now
from tests.kit.app import PATIENCE
from tests.kit.processes import posix

QUICK = ["--version"]  # a command that is over at once


@contextlib.contextmanager
def open_jobs(state: Path) -> Iterator[Jobs]:
    opened = Jobs(state)
    try:
        yield opened
    finally:
        opened.close()


def until_ended(opened: Jobs, number: int) -> Job:
    end = time.monotonic() + PATIENCE
    while (job := opened.get(number)).order != "ended":
        assert time.monotonic() < end
        opened.step()
        time.sleep(0.01)
    return job


def add(opened: Jobs, command: str = "audit", arguments: list[str] = QUICK) -> int:
    return opened.add(command, arguments, [], "photos", "out", {}).id


def test_a_job_whose_process_was_never_started_waits_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_jobs(tmp_path) as before:
        number = add(before)
    order = JobFiles(tmp_path / "jobs" / str(number)).order
    begun = json.loads(order.read_text()) | {"order": "begun", "attempts": 1, "started": time.time() + 9e9}
    order.write_text(json.dumps(begun))
    with open_jobs(tmp_path) as after:
        after.step()
        assert after.get(number).state == "running"  # its process may still come
        monkeypatch.setattr(jobs, "_LATE", 0.0)
        job = until_ended(after, number)
    assert (job.outcome, job.attempts) == ("done", 1)


def test_who_waits_is_told_of_the_job_at_work(tmp_path: Path) -> None:
    """And not that it begins, as long as the other takes."""
    with open_jobs(tmp_path) as opened:
        first, second = add(opened), add(opened)
        with filelock.FileLock(JobFiles(tmp_path / "jobs" / str(first)).lock):
            opened.step()
            opened.step()
            assert [opened.get(number).order for number in (first, second)] == ["begun", "queued"]
            assert opened.place(opened.get(second)) == 1


def test_one_that_was_to_be_stopped_does_not_wait_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_jobs(tmp_path) as before:
        number = add(before)
    order = JobFiles(tmp_path / "jobs" / str(number)).order
    order.write_text(json.dumps(json.loads(order.read_text()) | {"order": "begun", "stop": 1.0}))
    monkeypatch.setattr(jobs, "_LATE", 0.0)
    with open_jobs(tmp_path) as after:
        assert until_ended(after, number).said == "stopped; what was finished is kept"


def test_a_full_disk_loses_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, value: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with open_jobs(tmp_path) as opened:
        waiting, stopped = add(opened), add(opened)
        opened.stop(stopped)
        monkeypatch.setattr(jobs, "write_json", full)
        for asked in (lambda: add(opened), lambda: opened.stop(waiting), lambda: opened.go_on(stopped)):
            with pytest.raises(RefusedError) as refusal:
                asked()
            assert (refusal.value.status, refusal.value.code) == (507, "unwritable_state")
        with pytest.raises(OSError, match="space"):
            opened.step()
        assert [(job.state, job.attempts) for job in opened.all()] == [("interrupted", 0), ("queued", 0)]
        monkeypatch.setattr(jobs, "write_json", write_json)
        assert until_ended(opened, waiting).outcome == "done"


def test_a_job_at_work_is_stopped_on_a_full_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, value: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with open_jobs(tmp_path) as before:
        number = add(before)
    files = JobFiles(tmp_path / "jobs" / str(number))
    files.order.write_text(json.dumps(json.loads(files.order.read_text()) | {"order": "begun"}))
    with filelock.FileLock(files.lock), open_jobs(tmp_path) as after:
        asked: list[int] = []
        monkeypatch.setattr(after, "_signal", lambda job: asked.append(job.id))
        monkeypatch.setattr(jobs, "write_json", full)
        assert after.stop(number).state == after.get(number).state == "stopping"
        assert asked == [number]
        monkeypatch.undo()
        write_json(files.ended, {"code": 130})
        assert until_ended(after, number).said == "stopped; what was finished is kept"


def test_an_order_that_was_copied_is_left_out(tmp_path: Path) -> None:
    with open_jobs(tmp_path) as before:
        add(before)
    order = JobFiles(tmp_path / "jobs" / "1").order
    (tmp_path / "jobs" / "7").mkdir()
    (tmp_path / "jobs" / "7" / "order.json").write_bytes(order.read_bytes())
    with open_jobs(tmp_path) as after:
        assert [job.id for job in after.all()] == [1]
        assert until_ended(after, 1).outcome == "done"


@pytest.fixture
def files(tmp_path: Path) -> Iterator[JobFiles]:
    """Files of a job, for the process around the command; signals are as before afterwards."""
    found = JobFiles(tmp_path / "job")
    found.make()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


@posix
def test_a_request_to_stop_before_there_is_a_command(
    files: JobFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written_while_asked(path: Path, value: Any) -> None:
        write_json(path, value)
        if path == files.begun:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(child, "write_json", written_while_asked)
    assert child.main([str(files.folder), *QUICK]) == 0
    assert json.loads(files.ended.read_text())["code"] == -signal.SIGTERM


def test_a_log_that_cannot_be_written_is_no_matter_of_the_command(files: JobFiles) -> None:
    files.log.mkdir()
    assert child.main([str(files.folder), *QUICK]) == 0
    ended = json.loads(files.ended.read_text())
    assert ended["code"] == 0
    assert "detic-crop" in ended["said"]


def job_of(output: str = "", command: str = "run", stop: float = 0.0) -> Job:
    return Job(
        id=1,
        command=command,
        arguments=[],
        folders=[],
        input="",
        output=output,
        settings={},
        created=0.0,
        stop=stop,
    )


@pytest.mark.parametrize(
    ("ended", "stop", "outcome", "said"),
    [
        ({"code": 0, "said": "all done"}, 0.0, "done", "all done"),
        ({"code": 0, "said": "all done"}, 1.0, "done", "all done"),
        ({"code": 2, "said": "no photos"}, 0.0, "failed", "no photos"),
        ({"code": 2, "said": ""}, 0.0, "failed", "exit code 2"),
        ({"code": -9, "said": "cropping: 3 of 9"}, 0.0, "failed", "memory"),
        ({"code": -11, "said": ""}, 0.0, "failed", "signal 11"),
        ({"code": -9, "said": ""}, 1.0, "interrupted", "stopped"),
        ({"code": -15, "said": ""}, 0.0, "interrupted", "stopped"),
        ({}, 0.0, "failed", "exit code None"),
        (None, 0.0, "interrupted", "killed"),
        (None, 1.0, "interrupted", "stopped"),
    ],
)
def test_how_a_job_came_out(ended: dict[str, Any] | None, stop: float, outcome: str, said: str) -> None:
    found = outcome_of(job_of(stop=stop), ended)
    assert found[0] == outcome
    assert said in found[1]


@pytest.mark.parametrize(
    ("stopped", "command", "outcome"),
    [("time_limit", "run", "interrupted"), ("", "run", "done"), ("time_limit", "audit", "done")],
)
def test_a_time_limit_leaves_something_to_go_on_with(
    stopped: str, command: str, outcome: str, tmp_path: Path
) -> None:
    told = Progress(command="run", phase="ended", began=utc_now(), last=utc_now(), stopped=stopped)
    path = Layout(tmp_path).progress
    path.parent.mkdir()
    path.write_bytes(msgspec.json.encode(told))
    assert outcome_of(job_of(str(tmp_path), command), {"code": 0, "said": "x"}) == (outcome, "x")
