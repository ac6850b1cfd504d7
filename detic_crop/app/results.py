"""What an output folder has to show, and what is next."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from starlette.responses import Response

from detic_crop.app.folders import is_output, output_folder, query_of
from detic_crop.app.job import Job
from detic_crop.app.job_files import read_json
from detic_crop.app.jobs import Jobs
from detic_crop.app.refusals import RefusedError
from detic_crop.app.roots import Roots
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import replay
from detic_crop.folder.layout import Layout
from detic_crop.folder.state import load_labels
from detic_crop.folder.verdicts import count_waiting, read_review
from detic_crop.wording import counted

_MOST_KEPT = 32
# A page of one file: its style and pictures are inside, and nothing is loaded or run.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox allow-popups"
)
_FEW = 5
"""Verdicts without which `teach` learns nothing."""


class NextStep(msgspec.Struct):
    """Something that may be done next.

    Attributes:
        action: ``wait``, ``continue``, ``review``, ``apply``, ``export`` or ``teach``.
        why: in a line.
    """

    action: str
    why: str


class Results(msgspec.Struct):
    """What an output folder has to show.

    Attributes:
        path, query: the folder.
        counts: photos by status.
        flagged: crops with something to doubt, as the last run counted them.
        reviewed: photos with a verdict.
        waiting: verdicts that the crops do not follow yet.
        remaining: photos of the last run still to do.
        columns: label columns of its photos, without the one that names them.
        has_audit: whether audit.html is there.
        jobs: jobs of the folder that wait or are at work.
        next: what may be done next, the most urgent first.
    """

    path: str
    query: str
    counts: dict[str, int]
    flagged: int
    reviewed: int
    waiting: int
    remaining: int
    columns: list[str]
    has_audit: bool
    jobs: list[int]
    next: list[NextStep]


class _Judged(msgspec.Struct):
    """What the journal and the verdicts of a folder come to."""

    counts: dict[str, int]
    reviewed: int
    waiting: int
    columns: list[str]


_kept: dict[tuple[str, tuple[int, ...]], _Judged] = {}
_keeping = threading.Lock()


def results_of(roots: Roots, jobs: Jobs, given: str) -> Results:
    """Return what an output folder has to show.

    Raises:
        RefusedError: it is none.
        UsageError, OutputError: it is damaged, or cannot be read.
    """
    path = roots.path(given)
    at_work = jobs.at_work_in(path)
    if jobs.knows(path) and not is_output(path):  # its run has only begun, or was stopped before it made it
        judged = _Judged({}, 0, 0, [])
    else:
        path = output_folder(roots, given)
        judged = _judged(path)
    layout = Layout(path)
    told = read_json(layout.run_json)
    told = told if isinstance(told, dict) else {}
    found = Results(
        path=path,
        query=query_of(path),
        counts=judged.counts,
        flagged=_number(told.get("flagged")),
        reviewed=judged.reviewed,
        waiting=judged.waiting,
        remaining=_number(told.get("photos_remaining")),
        columns=judged.columns,
        has_audit=os.path.isfile(layout.audit_html),  # not Path's: it raises where a name is too long
        jobs=[job.id for job in at_work],
        next=[],
    )
    found.next = _next(found, at_work)
    return found


def audit_page(roots: Roots, given: str) -> Response:
    """Return audit.html of a folder; it may show its pictures, and load and run nothing.

    Raises:
        RefusedError: there is none.
    """
    path = output_folder(roots, given)
    try:
        data = Path(roots.file(str(Layout(path).audit_html))).read_bytes()
    except (OSError, RefusedError) as error:
        why = f"{path} has no audit.html that can be read; do audit first"
        raise RefusedError(404, "no_audit", why) from error
    headers = {"Content-Security-Policy": _POLICY}
    return Response(data, media_type="text/html; charset=utf-8", headers=headers)


def _judged(path: str) -> _Judged:
    """Return what the journal and the verdicts come to; read again only where they have changed."""
    layout = Layout(path)
    now = (*_state_of(layout.journal), *_state_of(layout.review), *_state_of(layout.labels))
    with _keeping:
        if (found := _kept.get((path, now))) is not None:
            return found
    records = replay(OutputFolder(path).layout.journal).records
    last = read_review(layout.review).last
    counts = Counter[str](record.status for record in records.values())
    reviewed = sum(image in records and verdict.verdict != "undone" for image, verdict in last.items())
    found = _Judged(dict(counts), reviewed, count_waiting(records, last), _columns(path))
    with _keeping:
        for key in [key for key in _kept if key[0] == path] + list(_kept)[: max(0, len(_kept) - _MOST_KEPT)]:
            _kept.pop(key, None)
        _kept[path, now] = found
    return found


def _columns(path: str) -> list[str]:
    labels, _ = load_labels(OutputFolder(path))
    return [] if labels is None else [name for name in labels.columns if name != labels.key_column]


def _state_of(path: os.PathLike[str]) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _next(found: Results, at_work: Sequence[Job]) -> list[NextStep]:
    if at_work:
        return [NextStep("wait", f"job {at_work[-1].id} ({at_work[-1].command}) is {at_work[-1].state}")]
    steps = []
    photos = sum(found.counts.values())
    if found.remaining or not photos:
        todo = f"{counted(found.remaining, 'photo is', 'photos are')} still to do"
        left = todo if found.remaining else "nothing is finished yet"
        steps.append(NextStep("continue", left))
    if found.waiting:
        steps.append(
            NextStep("apply", f"{counted(found.waiting, 'verdict waits', 'verdicts wait')} to be applied")
        )
    if photos:
        steps.append(
            NextStep("review", f"{counted(found.flagged, 'crop has', 'crops have')} something to doubt")
        )
        steps.append(NextStep("export", "hand the crops to the next program"))
    if found.reviewed >= _FEW:
        steps.append(NextStep("teach", f"{counted(found.reviewed, 'photo was', 'photos were')} reviewed"))
    return steps


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
