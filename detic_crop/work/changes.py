"""Make the crops follow a reviewer's decisions, through the journal.

Every step leaves a folder that the next call can go on from: a crop is renamed into place before its journal
line is written, and what has no line yet is simply done again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec.structs import replace

from detic_crop.config import CropConfig
from detic_crop.detectors.vocabulary import wanted_classes
from detic_crop.errors import UsageError
from detic_crop.folder.decisions import Decision, decision_in, not_rejected
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import Journal
from detic_crop.folder.records import Record
from detic_crop.folder.same_photo import is_same_photo
from detic_crop.folder.write_errors import output_errors
from detic_crop.photos.location import shown
from detic_crop.photos.photo import Photo
from detic_crop.system.machine import default_workers
from detic_crop.work.execute import commit
from detic_crop.work.executors.threads import run_local
from detic_crop.work.kept_boxes import KeptCandidates
from detic_crop.work.pipeline import Job, Pipeline

_OWN = ("", "accepted")  # with these a crop is the detector's own


class Change(NamedTuple):
    """A photo whose crop does not follow the reviewer's last word yet.

    Attributes:
        image: its key.
        before: what the crop follows now.
        after: what it is to follow.
        pixels: whether a crop must be cut from the photo; else a line in the journal, or moving it, will do.
    """

    image: str
    before: Decision
    after: Decision
    pixels: bool


@dataclass(slots=True)
class Applied:
    """What one call of `apply_changes` did.

    Attributes:
        done: keys that follow the reviewer now.
        problems: key → why its row keeps its earlier state.
    """

    done: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def changes_of(
    records: Mapping[str, Record], decisions: Mapping[str, Decision], folder: OutputFolder
) -> list[Change]:
    """The photos whose decision is not applied yet, in the order of `decisions`.

    Args:
        records: of the journal.
        decisions: the reviewer's last word by key; keys without a record are passed over.
        folder: says where crops are.
    """
    changes = []
    for key, decision in decisions.items():
        record = records.get(key)
        if record is None:
            continue
        if not decision.is_followed_by(record):
            pixels = not _is_line_enough(record, decision, folder)
            changes.append(Change(key, decision_in(record), decision, pixels))
    return changes


def _is_line_enough(record: Record, after: Decision, folder: OutputFolder) -> bool:
    if record.status == "failed":
        return False
    if decision_in(record).verdict in _OWN:
        return after.verdict in (*_OWN, "rejected")
    return record.verdict == "rejected" and after.verdict in _OWN and _is_set_aside(record, folder)


def _is_set_aside(record: Record, folder: OutputFolder) -> bool:
    """Whether the crop of a rejected record is there: set aside or, after a kill, back already."""
    sizes = (folder.crops.size(place) for place in (folder.aside.find(record), record.crop))
    return record.crop_bytes > 0 and record.crop_bytes in sizes


def apply_changes(
    changes: list[Change],
    records: dict[str, Record],
    journal: Journal,
    folder: OutputFolder,
    config: CropConfig,
    paths: Mapping[str, str],
    moved: bool,
    max_pixels: int,
    workers: int | None,
    should_stop: Callable[[], bool],
    report: Callable[[Record], None],
) -> Applied:
    """Carry out `changes`.

    Args:
        changes: from `changes_of`.
        records: what the journal has, by key; kept up to date.
        journal: open, of the same folder.
        folder: the output folder, held by the caller.
        config: the settings as resolved.
        paths: where the photos are now.
        moved: they are elsewhere than at the time of the run: copies may have new times.
        max_pixels: larger photos are not read.
        workers: threads; None takes a number that fits.
        should_stop: asked before every photo.
        report: told every record written.

    Raises:
        OutputError: the output cannot be written; what was finished is recorded.
        UsageError: boxes are needed and `candidates.jsonl` is gone.
    """
    applied = Applied()

    def done(record: Record) -> None:
        records[record.image] = record
        applied.done.append(record.image)
        report(record)

    with output_errors(folder.shown):
        for change in changes:
            if not change.pixels and not should_stop():
                record = _move(records[change.image], change.after, folder)
                journal.append(record)
                done(record)
    jobs = []
    for change in changes:
        if change.pixels:
            record = records[change.image]
            problem = _why_not(record, paths[change.image], moved)
            if problem:
                applied.problems[change.image] = problem
            else:
                # Size and time of the run: they tell a later run that the photo has not changed.
                photo = Photo(change.image, paths[change.image], record.file_size, record.file_time)
                jobs.append(Job(photo, record.crop))
    if jobs:
        if not folder.layout.candidates.exists():
            raise UsageError(
                f"{folder.layout.candidates} is gone, so nothing can be cropped anew; give `run` again"
            )
        sizes = {job.photo.key: job.photo.size for job in jobs}
        decisions = {change.image: change.after for change in changes}
        classes = wanted_classes(config.classes)
        with closing(KeptCandidates(config, records, folder.layout.candidates, sizes, True)) as detector:
            pipeline = Pipeline(
                detector, classes, config, folder.write_temporary, max_pixels, "review", decisions, records
            )
            with closing(
                run_local(jobs, pipeline, workers or default_workers(True), should_stop)
            ) as outcomes:
                for outcome in outcomes:
                    if outcome.record.status == "failed":
                        applied.problems[outcome.record.image] = outcome.record.error
                    else:
                        done(commit(outcome, journal, folder, records[outcome.record.image].crop))
    folder.aside.remove_stale(records)
    folder.flush()
    return applied


def _move(record: Record, decision: Decision, folder: OutputFolder) -> Record:
    """Put the detector's own crop aside or back, where it is not there already; returns the new record."""
    new = replace(record, verdict=decision.verdict, reviewer=decision.reviewer, source="review")
    if decision.verdict == "rejected":
        new = replace(new, status="rejected", reason="reviewed_rejected")
    elif record.status == "rejected":
        new = not_rejected(new)
    folder.aside.move(record, new)
    return new


def _why_not(record: Record, place: str, moved: bool) -> str:
    """Why the photo cannot be cropped anew; empty when it can."""
    if record.status == "failed":
        return "the run could not read this photo; give `run` again"
    photo = Photo.at(record.image, place)
    if photo.size < 0:
        return f"expected the photo at {shown(place)}, found none; pass --in FOLDER where it is now"
    if not is_same_photo(record, photo, moved):
        return "the photo has changed since the run; give `run` again, then review it"
    return ""
