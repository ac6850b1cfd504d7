"""One job of the app: what was asked for, and how it came out."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from detic_crop.app.job_files import read_json
from detic_crop.folder.layout import Layout
from detic_crop.folder.progress_file import OF_PHOTOS, read_progress

State: TypeAlias = Literal["queued", "running", "stopping", "done", "failed", "interrupted"]
Outcome: TypeAlias = Literal["done", "failed", "interrupted"]
Stage: TypeAlias = Literal["queued", "begun", "ended"]

_KILL = 9
_STOPPED = (130, 143, -signal.SIGINT, -signal.SIGTERM)


class Job(msgspec.Struct, kw_only=True):
    """One command, as its order.json has it.

    Attributes:
        id: number of the job.
        command: ``run``, ``export`` and so on.
        arguments: the command line after ``detic-crop``.
        folders: folders that it reads or writes as output folders, without links: one job at a time in each.
        input: the folder of photos, or the output folder that it begins with.
        output: the output folder that it is about, or what it makes.
        settings: what was asked for.
        created: when it was asked for, seconds since 1970.
        order: what the server made of it last.
        started: when it was last begun.
        finished: when it was seen to have ended.
        stop: when it was asked to stop; 0: it was not.
        outcome: how it ended.
        said: the line of the error, or the last one.
        attempts: how often it was begun.
        exit_code: of its command; None: it has not ended, or was killed.
    """

    id: int
    command: str
    arguments: list[str]
    folders: list[str]
    input: str
    output: str
    settings: dict[str, Any]
    created: float
    order: Stage = "queued"
    started: float = 0.0
    finished: float = 0.0
    stop: float = 0.0
    outcome: Literal["", "done", "failed", "interrupted"] = ""
    said: str = ""
    attempts: int = 0
    exit_code: int | None = None

    @property
    def state(self) -> State:
        """What people call it."""
        if self.order == "begun":
            return "stopping" if self.stop else "running"
        if self.order == "ended" and self.outcome:
            return self.outcome
        return "queued"


def read_job(order: Path) -> Job | None:
    """Return the job of an order.json; None where there is none, or it is damaged."""
    try:
        return msgspec.convert(read_json(order), Job)
    except (msgspec.ValidationError, UnicodeError):
        return None


def outcome_of(job: Job, ended: Mapping[str, Any] | None) -> tuple[Outcome, str]:
    """Return how a job ended, and the line that says so.

    Args:
        job: the job.
        ended: its ended.json; None: there is none.
    """
    if ended is None:
        was = "stopped" if job.stop else "its process was killed"
        return "interrupted", f"{was}; what was finished is kept"
    code, said = ended.get("code"), str(ended.get("said", ""))
    if code == 0:
        return ("interrupted" if _ended_early(job) else "done"), said
    if code in _STOPPED or job.stop:
        return "interrupted", "stopped; what was finished is kept"
    if isinstance(code, int) and code < 0:
        why = " (as where memory runs out)" if -code == _KILL else ""
        return "failed", f"its command was killed by signal {-code}{why}; what was finished is kept"
    return "failed", said or f"it ended with exit code {code}"


def _ended_early(job: Job) -> bool:
    """Return whether a command that ended well has left photos to the next time, as with a time limit."""
    told = read_progress(Layout(job.output).progress) if job.command in OF_PHOTOS else None
    return told is not None and told.phase == "ended" and bool(told.stopped)
