"""A run: the listing, minus what the journal has, executed, recorded and counted."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from detic_crop.config import CropConfig, Format, RunOptions
from detic_crop.errors import UsageError
from detic_crop.folder.aside import place_for
from detic_crop.folder.decisions import Decision, is_followed
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import Journal, unfinished_crops
from detic_crop.folder.names import crop_names, crop_names_of
from detic_crop.folder.records import Record, ResumeEntry
from detic_crop.folder.tars import within
from detic_crop.folder.write_errors import as_output_error, is_fatal
from detic_crop.images.encode import EXTENSIONS
from detic_crop.photos.photo import Photo
from detic_crop.system.collecting import collector_paused
from detic_crop.system.machine import default_workers
from detic_crop.system.signals import Stop
from detic_crop.work.executors.threads import run_local
from detic_crop.work.pipeline import Job, Outcome, Pipeline
from detic_crop.work.timing import Usage

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], contextlib.AbstractContextManager[Callable[[Record], None]]]


@dataclass(frozen=True, slots=True)
class Executor:
    """Where jobs are done, other than on threads of this process.

    Attributes:
        do: jobs and when to stop → their outcomes in order; begins none once it is told to stop.
        workers: threads that work on photos, all together.
        detectors: processes with a detector each.
        concurrent: the workers ask the detector themselves.
        report: what was done where, for run.json.
    """

    do: Callable[[Iterable[Job], Callable[[], bool]], Generator[Outcome]]
    workers: int
    detectors: int
    concurrent: bool
    report: Callable[[], dict[str, Any]] = dict


@dataclass(slots=True)
class Execution:
    """What one call of `execute` did.

    Attributes:
        done: photos finished now, by status.
        skipped: photos that were finished before.
        seconds: wall time of the work.
        stopped: why it ended early: ``time_limit``, a signal name, or empty.
        usage: where the time went.
        where: what the executor says of where the work was done.
    """

    done: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    seconds: float = 0.0
    stopped: str = ""
    usage: Usage = field(default_factory=Usage)
    where: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    Attributes:
        jobs: photos to do now, in input order.
        skipped: number of photos whose crop is there and whose file has not changed.
        earlier: key → crop that the folder has of a photo that is done again.
    """

    jobs: list[Job]
    skipped: int
    earlier: Mapping[str, str]


def make_plan(
    all_keys: Iterable[str],
    wanted: Sequence[Photo],
    records: Mapping[str, ResumeEntry],
    folder: OutputFolder,
    format: Format,
    earlier_names: Mapping[str, str] = MappingProxyType({}),
    decisions: Mapping[str, Decision] = MappingProxyType({}),
    per_tar: int = 5000,
) -> Plan:
    """Name every crop and find out which photos still need one.

    Args:
        all_keys: the keys of the whole input, from which names are computed.
        wanted: the photos of this run, in input order.
        records: what the journal has.
        folder: the output folder.
        format: file format of the crops.
        earlier_names: key → crop in the folder that is cropped anew; kept but for the extension.
        decisions: what a reviewer decided; a crop that does not follow it is not finished.
        per_tar: most photos in a tar file of crops.

    Raises:
        UsageError: a crop could reach a photo; nothing was changed.
    """
    with collector_paused():
        return _plan(all_keys, wanted, records, folder, format, earlier_names, decisions, per_tar)


def _plan(
    all_keys: Iterable[str],
    wanted: Sequence[Photo],
    records: Mapping[str, ResumeEntry],
    folder: OutputFolder,
    format: Format,
    earlier_names: Mapping[str, str],
    decisions: Mapping[str, Decision],
    per_tar: int,
) -> Plan:
    # What else lies there is no matter of a shard's names: others put crops there at any time.
    files = folder.mirror.files() if folder.shard is None else {}
    foreign: Set[str] = set()
    ours: set[str] = set()
    if files:
        ours = {record.crop for record in records.values() if record.crop}
        ours |= unfinished_crops(folder.layout.candidates, records)
        foreign = files.keys() - ours
    suffix = EXTENSIONS[format]
    settled = {key: os.path.splitext(within(name))[0] + suffix for key, name in earlier_names.items()}
    rules = folder.crops.rules
    settled = {key: name for key, name in settled.items() if name not in foreign and rules.allow(name)}
    recorded = {key: record.crop for key, record in records.items() if record.crop}
    settled |= {key: within(crop) for key, crop in recorded.items()}
    if folder.shard is None:
        names = crop_names(all_keys, suffix, settled, taken=foreign, rules=rules)
    else:
        names = crop_names_of((photo.key for photo in wanted), all_keys, suffix, settled, rules)
    names = folder.crops.arrange(names, [photo.key for photo in wanted], recorded, per_tar)
    folder.crops.refuse_foreign(names.values(), ours, files)
    crops = [names[photo.key] for photo in wanted]
    plain = {name for name, size in files.items() if size >= 0}
    # Where the photos are was checked before the lock was taken.
    folder.checks.crops_inside(crops, plain)
    todo = [
        Job(photo, crop)
        for photo, crop in zip(wanted, crops, strict=True)
        if not _is_finished(photo, records.get(photo.key), folder, files, decisions)
    ]
    earlier = {job.photo.key: recorded[job.photo.key] for job in todo if job.photo.key in recorded}
    return Plan(todo, len(crops) - len(todo), earlier)


def _is_finished(
    photo: Photo,
    record: ResumeEntry | None,
    folder: OutputFolder,
    files: Mapping[str, int],
    decisions: Mapping[str, Decision],
) -> bool:
    if record is None or record.status == "failed":
        return False
    decision = decisions.get(photo.key)
    if decision is not None and not is_followed(decision, record):
        return False
    if (record.file_size, record.file_time) != (photo.size, photo.version):
        return False
    if record.status == "rejected":
        return True
    size = files.get(record.crop)
    if size is None or size < 0:  # a link, a shard's or in a tar file
        size = folder.crops.size(record.crop)
    return size == record.crop_bytes


def check_same_settings(recorded: CropConfig | None, config: CropConfig, folder: OutputFolder) -> None:
    """Refuse to mix crops of two settings in one folder.

    Raises:
        UsageError: names what differs.
    """
    if recorded is not None and recorded.fingerprint() != config.fingerprint():
        instead = "another --out, or --overwrite" if folder.shard is None else "or another --out"
        if recorded.algorithm != config.algorithm:
            other = "an earlier" if recorded.algorithm < config.algorithm else "a later"
            raise UsageError(
                f"{folder.shown} was made by {other} version of detic-crop, which gives other boxes or "
                f"pixels for some photos (algorithm {recorded.algorithm}, here {config.algorithm}); finish "
                f"it with that version, pass {instead}"
            )
        raise UsageError(
            f"{folder.shown} was made with other settings ({'; '.join(config.differences(recorded))}); "
            f"give the same settings to go on, {instead}"
        )


def execute(
    plan: Plan,
    journal: Journal,
    pipeline: Pipeline,
    folder: OutputFolder,
    options: RunOptions,
    progress: Progress,
    stop: Stop,
    executor: Executor | None = None,
) -> Execution:
    """Do the jobs of a plan, recording each photo as it is finished, until `stop` has a reason not to.

    Args:
        plan: what to do.
        journal: where it is recorded.
        pipeline: the steps; its `times` are added to.
        folder: where crops go.
        options: workers, time limit.
        progress: makes a progress bar.
        stop: why to end early.
        executor: does the jobs elsewhere than on threads of this process.

    Raises:
        OutputError: the output cannot be written; what was finished is recorded.
        DeticCropError: the detector is broken.
    """
    result = Execution(skipped=plan.skipped)
    begun = time.monotonic()
    with progress(len(plan.jobs), plan.skipped) as report:

        def should_stop() -> bool:
            if not stop.reason and options.time_limit and time.monotonic() - begun >= options.time_limit:
                stop.reason = "time_limit"
            if stop.reason and not stop.announced:
                stop.announced = True
                _log.info("stopping (%s) when the photos in flight are finished", stop.reason)
            return bool(stop.reason)

        info = pipeline.detector.info
        workers = options.workers or default_workers(info.thread_safe, info.memory_per_photo)
        outcomes = (
            run_local(plan.jobs, pipeline, workers, should_stop)
            if executor is None
            else executor.do(plan.jobs, should_stop)
        )
        try:
            with contextlib.closing(outcomes):
                for outcome in outcomes:
                    with pipeline.times.measure("journal"):
                        record = commit(outcome, journal, folder, plan.earlier.get(outcome.record.image, ""))
                        folder.on_commit()
                    result.done[record.status] += 1
                    report(record)
        finally:
            folder.clear_temporary()
            with pipeline.times.measure("journal"):
                folder.flush()
    result.seconds = time.monotonic() - begun
    result.stopped = stop.reason if result.done.total() < len(plan.jobs) else ""
    result.usage = Usage(pipeline.times, result.seconds, workers, info.thread_safe)
    if executor is not None:
        how = executor.workers, executor.concurrent, executor.detectors
        result.usage = Usage(pipeline.times, result.seconds, *how)
        result.where = executor.report()
    return result


def commit(outcome: Outcome, journal: Journal, folder: OutputFolder, earlier: str = "") -> Record:
    """Put a finished photo in place: its boxes, then its crop, then its journal line.

    Killed in between, the boxes tell the next run that the crop without a line is its own.

    Args:
        outcome: the photo's.
        journal: where it is recorded.
        folder: where the crop goes.
        earlier: the crop that the folder has of this photo so far; removed unless the new one replaces it.

    Raises:
        OutputError: the output cannot be written.
    """
    record = outcome.record
    try:
        if outcome.temporary is not None and outcome.candidates is not None:
            span = journal.append_candidates(record.image, record.crop, outcome.candidates)
            record = replace(record, candidates=span)
            try:
                folder.crops.put(place_for(record), outcome.temporary.read_bytes(), record)
                folder.remove(outcome.temporary)
            except OSError as error:
                if is_fatal(error):
                    raise
                # A name the disk refuses, or somebody's file where a folder must be: this photo's trouble.
                folder.remove(outcome.temporary)
                record = _unplaced(record, error, folder)
        gone = record.crop if record.status != "rejected" else ""
        if earlier and earlier != gone:
            # A crop that no row names would be a lie. First the crop, then the line: killed in between, the
            # crop is missing and the photo is done again.
            folder.crops.discard(earlier)
        if record.status == "failed":
            record = replace(record, candidates=(journal.candidates_end(), 0))
        journal.append(record)
    except OSError as error:
        with contextlib.suppress(OSError):  # what is not recorded must not get into a tar file
            folder.crops.forget(record.crop)
        raise as_output_error(error, folder.shown) from error
    return record


def _unplaced(record: Record, error: OSError, folder: OutputFolder) -> Record:
    # After a merge, names keep clear of what lies there.
    instead = "" if folder.shard is None else ", or merge and give `run` again"
    return replace(
        record,
        status="failed",
        reason="write_error",
        stage="write",
        error=f"{record.crop} cannot be written: {error.strerror}; move what is in its place{instead}",
        crop="",
        crop_box=None,
        crop_bytes=0,
        candidates=None,
    )
