"""Jobs as the API shows them: what is on the list, and how far each is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from detic_crop.app.folders import query_of
from detic_crop.app.job import Job, State
from detic_crop.app.jobs import Jobs
from detic_crop.folder.layout import Layout
from detic_crop.folder.progress_file import read_progress
from detic_crop.wording import visible


class Progress(msgspec.Struct):
    """How far a job is.

    Attributes:
        phase: what it is doing, in words.
        done: photos that are done, those of earlier attempts included.
        total: photos that were asked for; 0 where that is not known yet.
        failed: those of this attempt that failed.
        photos_per_second: over the last minute; null where that is not known.
        seconds_left: until the last photo is done; null where that is not known.
    """

    phase: str
    done: int
    total: int
    failed: int = 0
    photos_per_second: float | None = None
    seconds_left: float | None = None


class JobView(msgspec.Struct):
    """A job on the list.

    Attributes:
        id: its number.
        command: ``run``, ``recrop``, ``audit``, ``apply``, ``teach`` or ``export``.
        state: ``queued``, ``running``, ``stopping``, ``done``, ``failed`` or ``interrupted``.
        message: the line of the error, or the last one that it printed.
        exit_code: of the command, as the terminal gets it: 4 where `teach` does not help; null while it is
            not over, or where it was killed.
        input, output: paths, as in the request; `output` is empty where the command has none.
        input_query: the input as part of an address.
        folder: the output folder that it is about: that of the crops.
        folder_query: the same as part of an address.
        settings: as they were asked for.
        created, started, finished: when, in UTC; null where that has not come yet.
        attempts: how often it was begun.
        waits_for: while it is queued: jobs before it, at work or in the queue.
        progress: how far it is; null where nothing is known.
        may: what may be asked of it now: ``stop``, ``continue``, ``remove``.
    """

    id: int
    command: str
    state: State
    message: str
    exit_code: int | None
    input: str
    output: str
    input_query: str
    folder: str
    folder_query: str
    settings: dict[str, Any]
    created: str
    started: str | None
    finished: str | None
    attempts: int
    waits_for: int
    progress: Progress | None
    may: list[str]


def job_view(jobs: Jobs, job: Job) -> JobView:
    """Return a job as the API shows it."""
    folder = job.output if job.command in ("run", "recrop") else job.input
    state = job.state
    may = {"queued": ["stop"], "running": ["stop"], "stopping": ["stop"], "done": ["remove"]}
    return JobView(
        id=job.id,
        command=job.command,
        state=state,
        message=visible(job.said),
        exit_code=job.exit_code,
        input=job.input,
        output=job.output,
        input_query=query_of(job.input),
        folder=folder,
        folder_query=query_of(folder),
        settings=job.settings,
        created=_utc(job.created) or "",
        started=_utc(job.started),
        finished=_utc(job.finished),
        attempts=job.attempts,
        waits_for=jobs.place(job) if state == "queued" else 0,
        progress=_progress(job, folder) if job.started else None,
        may=may.get(state, ["continue", "remove"]),
    )


def _progress(job: Job, folder: str) -> Progress | None:
    """Return what progress.json of its folder says, if this attempt wrote it."""
    told = read_progress(Layout(folder).progress)
    if told is None or told.command != job.command:
        return None
    try:
        began = datetime.fromisoformat(told.began).timestamp()
    except ValueError:
        return None
    if began < int(job.started):
        return None
    done = told.skipped + told.done
    return Progress(told.phase, done, told.total, told.failed, told.photos_per_second, told.seconds_left)


def _utc(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None
