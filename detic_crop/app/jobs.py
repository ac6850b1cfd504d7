"""The jobs of the app: commands in processes of their own, in a queue that outlives the server.

Jobs of one folder are done one after the other, in the order in which they came; of different folders some
are at work at once. What a job is doing is judged by what is on disk alone, see `job_files`: so it makes no
difference whether the server that began it is the one that looks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import msgspec

from detic_crop.app.asked import Order
from detic_crop.app.child import TOKEN_VARIABLE
from detic_crop.app.job import Job, Outcome, outcome_of, read_job
from detic_crop.app.job_files import JobFiles, job_folders, read_json, write_json
from detic_crop.app.refusals import RefusedError
from detic_crop.errors import OutputError, UsageError, one_line

_log = logging.getLogger(__name__)
_LOOK = 0.25  # seconds between looks at the jobs at work
_LATE = 15.0  # seconds in which a process that was started takes hold of its job
_MOST_JOBS = 500
_MOST_WAITING = 100
_MOST_ENDED = 200
_LONGEST_STOP = 120.0  # seconds from the request to stop to the next, more urgent one, when the server ends


class Jobs:
    """All jobs, and the queue.

    Args:
        state: folder of the app's state; made if need be.
        at_once: jobs that are at work at once, of different folders.

    Raises:
        UsageError: another server keeps its jobs there.
        OutputError: the folder cannot be written.
    """

    def __init__(self, state: Path, at_once: int = 1) -> None:
        self._folder = state / "jobs"
        self._at_once = at_once
        self._changing = threading.RLock()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._ended = threading.Event()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None
        self._since = time.monotonic()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = filelock.FileLock(state / "lock")
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise UsageError(
                "app_is_running",
                f"another `detic-crop app` keeps its jobs in {state}; use that one, or pass --state FOLDER",
            ) from None
        except (OSError, NotImplementedError) as error:  # the latter: a file system without locks
            why = getattr(error, "strerror", None) or "it is on a file system without locks"
            raise OutputError("unwritable_state", f"{state} cannot be written: {why}") from error
        self._files = dict(job_folders(self._folder))
        found = {number: read_job(files.order) for number, files in self._files.items()}
        self._jobs = {number: job for number, job in found.items() if job is not None and job.id == number}

    # ------------------------------------------------------------ what people ask

    def all(self) -> list[Job]:
        """Return copies of all jobs, the newest first."""
        with self._changing:
            return [msgspec.structs.replace(job) for _, job in sorted(self._jobs.items(), reverse=True)]

    def get(self, number: int) -> Job:
        """Return a copy of a job.

        Raises:
            RefusedError: there is no such job.
        """
        with self._changing:
            return msgspec.structs.replace(self._job(number))

    def add(
        self,
        command: str,
        arguments: Sequence[str],
        folders: Iterable[str],
        input: str,
        output: str,
        settings: dict[str, Any],
    ) -> Job:
        """Put a command at the end of the queue; it is on disk before this returns.

        Raises:
            RefusedError: there are too many, or the disk does not take it.
        """
        with self._changing:
            if sum(job.order == "queued" for job in self._jobs.values()) >= _MOST_WAITING:
                raise RefusedError(503, "queue_full", f"{_MOST_WAITING} jobs are waiting; try later", 60)
            self._forget_old()
            number = max(self._files, default=0) + 1
            job = Job(
                id=number,
                command=command,
                arguments=list(arguments),
                folders=sorted({os.path.realpath(folder) for folder in folders}),
                input=input,
                output=output,
                settings=settings,
                created=time.time(),
            )
            files = JobFiles(self._folder / str(number))
            with _refused_where_full():
                files.make()
                self._files[number] = files
                self._save(job)
            self._woken.set()
            return msgspec.structs.replace(job)

    def add_order(self, order: Order) -> Job:
        """`add` what `order_of` made of a request."""
        return self.add(
            order.command, order.arguments, order.folders, order.input, order.output, order.settings
        )

    @property
    def is_open(self) -> bool:
        """Whether the queue is still worked on."""
        return not self._ended.is_set()

    def stop(self, number: int) -> Job:
        """Ask a job to stop; asked again, it ends at once. What it finished is kept.

        Raises:
            RefusedError: it is not at work and does not wait, or it waits and the disk does not take that.
        """
        with self._changing:
            self._look_at(self._job(number))
            job = self.get(number)
            if job.order == "ended":
                raise RefusedError(409, "not_running", f"job {number} has ended; there is nothing to stop")
            job.stop = time.time()
            if job.order == "queued":
                job.order, job.outcome, job.finished = "ended", "interrupted", time.time()
                job.said = "taken out of the queue; nothing was begun"
                with _refused_where_full():
                    self._save(job)
            else:
                self._signal(job)
                self._jobs[number] = job
                with contextlib.suppress(OSError):  # a full disk; how the command ends tells the same
                    self._save(job)
            return msgspec.structs.replace(job)

    def go_on(self, number: int) -> Job:
        """Put a job that ended into the queue again: the same command continues where it stopped.

        Raises:
            RefusedError: it has not ended, or is done, or the disk does not take it.
        """
        with self._changing:
            job = self.get(number)
            if job.order != "ended" or job.outcome == "done":
                raise RefusedError(409, "not_interrupted", f"job {number} is {job.state}; it needs no more")
            job.order, job.outcome, job.stop, job.said, job.finished = "queued", "", 0.0, "", 0.0
            with _refused_where_full():
                self._save(job)
            self._woken.set()
            return msgspec.structs.replace(job)

    def remove(self, number: int) -> None:
        """Take a job that ended off the list; its folders stay as they are.

        Raises:
            RefusedError: it has not ended.
        """
        with self._changing:
            job = self._job(number)
            if job.order != "ended":
                raise RefusedError(409, "not_ended", f"job {number} is {job.state}; stop it first")
            self._forget(number)

    def lines(self, number: int, most: int) -> list[str]:
        """Return the last lines that a job printed."""
        with self._changing:
            self._job(number)
            return self._files[number].lines(most)

    def place(self, job: Job) -> int:
        """Return how many jobs are before this one: at work, or in the queue."""
        with self._changing:
            others = self._jobs.values()
            return sum(o.order == "begun" or (o.order == "queued" and o.id < job.id) for o in others)

    def at_work_in(self, folder: str) -> list[Job]:
        """Return the jobs of a folder that wait or are at work."""
        path = os.path.realpath(folder)
        return [job for job in self.all() if job.order != "ended" and path in job.folders]

    def knows(self, folder: str) -> bool:
        """Return whether any job is about a folder."""
        path = os.path.realpath(folder)
        return any(path in job.folders for job in self.all())

    # ------------------------------------------------------------ the queue

    def start(self) -> None:
        """Begin to work on the queue, in a thread."""
        self._thread = threading.Thread(target=self._work, name="detic-crop-jobs", daemon=True)
        self._thread.start()

    def close(self, *, stop: bool = True) -> None:
        """End the thread; stop the jobs at work and wait for them, or leave them to the next server."""
        self._ended.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join()
        if stop:
            self._stop_all()
        self._lock.release()

    def _work(self) -> None:
        said = ""
        while not self._ended.is_set():
            try:
                self.step()
            except Exception as error:  # a full disk; the next time
                if (now := one_line(error, 200)) != said:
                    _log.error("the jobs of the app: %s", now)
                    said = now
            self._woken.wait(_LOOK)
            self._woken.clear()

    def step(self) -> None:
        """Look at what has ended, and begin what may begin."""
        with self._changing:
            for job in self._jobs.values():
                self._look_at(job)
            busy = [job for job in self._jobs.values() if job.order == "begun"]
            taken = {folder for job in busy for folder in job.folders}
            free = self._at_once - len(busy)
            for number in sorted(self._jobs):
                job = self._jobs[number]
                if job.order == "queued":
                    if free > 0 and not _overlap(taken, job.folders):
                        self._begin(job)
                        free -= 1
                    taken.update(job.folders)  # those of one folder keep their order

    def _begin(self, job: Job) -> None:
        files = self._files[job.id]
        files.forget_attempt()
        job = msgspec.structs.replace(
            job, order="begun", started=time.time(), attempts=job.attempts + 1, said="", exit_code=None
        )
        self._save(job)
        command = [sys.executable, "-P", "-m", "detic_crop.app.child", str(files.folder), *job.arguments]
        environment = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
        group: dict[str, Any] = {"start_new_session": True}
        if os.name == "nt":
            group = {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        try:
            self._processes[job.id] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=files.folder,
                env=environment,
                **group,
            )
        except (OSError, ValueError) as error:
            self._judge(job, "failed", f"its process could not be started: {one_line(error)}")

    def _look_at(self, job: Job) -> None:
        """Note what became of a job that was begun."""
        if job.order != "begun" or self._is_at_work(job):
            return
        files, process = self._files[job.id], self._processes.pop(job.id, None)
        ended = _document(files.ended)
        if process is not None and ended is not None:
            process.wait()  # it has nothing left to do
        if ended is None and process is None and not job.stop and not files.begun.exists():
            # The server before this one was killed before it had started the process.
            job.order, job.attempts = "queued", job.attempts - 1
            self._save(job)
            return
        code = (ended or {}).get("code")
        job.exit_code = code if isinstance(code, int) else None
        self._judge(job, *outcome_of(job, ended))

    def _is_at_work(self, job: Job) -> bool:
        """Return whether a job that was begun has not ended."""
        files, process = self._files[job.id], self._processes.get(job.id)
        if files.ended.exists():
            return False
        if (process is not None and process.poll() is None) or files.is_held():
            return True
        # The server before this one may have been killed just after it started the process.
        is_early = time.monotonic() - self._since < _LATE
        return process is None and is_early and not files.begun.exists()

    def _judge(self, job: Job, outcome: Outcome, said: str) -> None:
        job.order, job.outcome, job.said, job.finished = "ended", outcome, said, time.time()
        self._save(job)

    def _signal(self, job: Job) -> None:
        """Ask the processes of a job to end."""
        process = self._processes.get(job.id)
        if process is not None and process.poll() is None:
            pid = process.pid
        else:
            begun = _document(self._files[job.id].begun) or {}
            pid = begun.get("pid", 0)
            # Without its lock the number may be another's by now.
            if not isinstance(pid, int) or pid <= 1 or not self._files[job.id].is_held():
                return
        with contextlib.suppress(OSError):
            if os.name == "nt":
                os.kill(pid, signal.CTRL_BREAK_EVENT)  # type: ignore[attr-defined,unused-ignore]
            else:
                os.killpg(pid, signal.SIGTERM)

    def _stop_all(self) -> None:
        """Ask all jobs at work to stop, and wait; who does not hear is asked again."""
        for _ in range(3):
            with self._changing:
                for job in self._jobs.values():
                    self._look_at(job)
                    if job.order == "begun":
                        job.stop = time.time()
                        self._save(job)
                        self._signal(job)
            if self._wait_until(self._is_idle, _LONGEST_STOP):
                return

    def _is_idle(self) -> bool:
        with self._changing:
            for job in self._jobs.values():
                self._look_at(job)
            return all(job.order != "begun" for job in self._jobs.values())

    def _wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if condition():
                return True
            time.sleep(0.05)
        return condition()

    # ------------------------------------------------------------ on disk

    def _job(self, number: int) -> Job:
        if number not in self._jobs:
            raise RefusedError(404, "no_such_job", f"there is no job {number}")
        return self._jobs[number]

    def _save(self, job: Job) -> None:
        write_json(self._files[job.id].order, msgspec.to_builtins(job))
        self._jobs[job.id] = job

    def _forget_old(self) -> None:
        """Keep the list short: of the jobs that ended the oldest go."""
        ended = sorted(number for number, job in self._jobs.items() if job.order == "ended")
        for number in ended[: max(0, len(ended) - _MOST_ENDED)]:
            self._forget(number)
        if len(self._jobs) >= _MOST_JOBS:
            raise RefusedError(503, "queue_full", f"there are {_MOST_JOBS} jobs; remove some", 60)

    def _forget(self, number: int) -> None:
        del self._jobs[number]
        with contextlib.suppress(OSError):
            self._files[number].remove()


def _document(path: Path) -> dict[str, Any] | None:
    value = read_json(path)
    return value if isinstance(value, dict) else None


def _overlap(taken: Iterable[str], folders: Iterable[str]) -> bool:
    """Return whether one of some folders is, holds or lies in one of others."""
    taken = [folder.rstrip(os.sep) + os.sep for folder in taken]
    wanted = [folder.rstrip(os.sep) + os.sep for folder in folders]
    return any(a.startswith(b) or b.startswith(a) for a in taken for b in wanted)


@contextlib.contextmanager
def _refused_where_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RefusedError(507, "unwritable_state", f"the job cannot be saved: {error.strerror}") from error
