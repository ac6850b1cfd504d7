"""The loop of a run: jobs to an executor, outcomes into the folder, one by one."""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from detic_crop.config import RunOptions
from detic_crop.errors import PhotoError, UsageError
from detic_crop.folder.animals import crops_of
from detic_crop.folder.aside import place_for
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import Journal
from detic_crop.folder.progress_file import ProgressFile
from detic_crop.folder.records import Record, names_of
from detic_crop.folder.write_errors import as_output_error, is_fatal
from detic_crop.system.signals import Stop
from detic_crop.work.executors.base import Executor
from detic_crop.work.plan import Plan
from detic_crop.work.progress import progress_bar
from detic_crop.work.recipe import Outcome
from detic_crop.work.timing import StageTimes, Usage

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Execution:
    """What one call of `execute` did.

    Attributes:
        done: photos finished by this call, by status.
        unplaced: key → why the new crop of a photo could not be put in place; it keeps its earlier one.
        skipped: photos that were finished before.
        seconds: wall time of the work.
        stopped: why it ended early: ``time_limit``, a signal name, or empty.
        usage: where the time went.
        where: what the executor reports about where the work was done.
    """

    done: Counter[str] = field(default_factory=Counter)
    unplaced: dict[str, str] = field(default_factory=dict)
    skipped: int = 0
    seconds: float = 0.0
    stopped: str = ""
    usage: Usage = field(default_factory=Usage)
    where: dict[str, Any] = field(default_factory=dict)


def execute(
    plan: Plan,
    executor: Executor,
    journal: Journal,
    folder: OutputFolder,
    options: RunOptions,
    stop: Stop,
    progress: ProgressFile,
) -> Execution:
    """Do the jobs of a plan and record each photo as it is finished, until `stop` has a reason.

    Args:
        plan: jobs to do.
        executor: does the jobs.
        journal: journal that records the photos.
        folder: folder that takes the crops.
        options: time limit, progress bar.
        stop: request to end early.
        progress: tells those who look on.

    Raises:
        OutputError: the output cannot be written; what was finished is recorded.
        DeticCropError: the detector is broken.
    """
    result = Execution(skipped=plan.skipped)
    times = executor.usage().times
    begun = time.monotonic()

    def should_stop() -> bool:
        if not stop.reason and options.time_limit and time.monotonic() - begun >= options.time_limit:
            stop.reason = "time_limit"
        if stop.reason and not stop.announced:
            stop.announced = True
            _log.info("stopping (%s) when the photos at work are finished", stop.reason)
        return bool(stop.reason)

    progress.enter("cropping", plan.skipped + len(plan.jobs), plan.skipped)
    with progress_bar(len(plan.jobs), plan.skipped, options.quiet) as report:
        try:
            with contextlib.closing(executor.run(plan.jobs, should_stop)) as outcomes:
                for outcome in outcomes:
                    key = outcome.record.image
                    try:
                        replaced, unfinished = plan.replaced.get(key, ()), plan.unfinished.get(key, ())
                        record = commit(outcome, journal, folder, times, replaced, unfinished)
                    except NotPlacedError as error:
                        result.unplaced[key] = error.message
                        report(outcome.record)
                        continue
                    result.done[record.status] += 1
                    report(record)
                    progress.count(failed=record.status == "failed")
        finally:
            folder.clear_temporary()
            with times.measure("journal"):
                folder.flush()
    result.seconds = time.monotonic() - begun
    result.stopped = progress.stopped = stop.reason if result.done.total() < len(plan.jobs) else ""
    result.usage = executor.usage()
    result.usage.seconds = result.seconds
    result.where = executor.report()
    return result


class NotPlacedError(PhotoError):
    """A new crop could not be put in place; the photo keeps its earlier crop and record."""


def commit(
    outcome: Outcome,
    journal: Journal,
    folder: OutputFolder,
    times: StageTimes,
    replaced: Collection[str] = (),
    unfinished: Collection[str] = (),
) -> Record:
    """Put a finished photo in place: its boxes, then its crops, then its journal line.

    Killed in between, the boxes tell the next run that the crops without a line are its own.

    Args:
        outcome: result of the photo.
        journal: journal that records it.
        folder: folder that takes the crops.
        replaced: crops that the folder has of this photo so far; removed unless new ones replace them.
        unfinished: crops of this photo that a killed run may have left; the same happens to them.

    Raises:
        NotPlacedError: a crop cannot be put in its place, and there were some before. What they are recorded
            as has not changed: the same command again does the photo again.
        OutputError: the output cannot be written.
    """
    record = outcome.record
    crops = crops_of(record)
    try:
        if outcome.candidates is not None:
            with times.measure("journal", photos=0):
                numbers = [crop.record.animals[0].number for crop in crops if crop.record.animals]
                span = journal.append_candidates(record.image, record.crop, outcome.candidates, numbers)
            record = replace(record, candidates=span)
            try:
                with times.measure("write"):
                    _put(outcome, folder, replaced)
            except OSError as error:
                if is_fatal(error):
                    raise
                # The disk refuses the name, or somebody's file is where a folder must be, or a network disk
                # failed once: only this photo fails.
                if replaced:
                    raise not_placed(record, error) from error
                record = _unplaced(record, error)
        with times.measure("journal"):
            named = names_of(record) if record.status != "rejected" else ()
            for name in dict.fromkeys((*replaced, *unfinished)):
                if name not in named:
                    # A crop that no row names would be a lie. First the crop, then the line: killed in
                    # between, the crop is missing and the photo is done again.
                    _discard(name, folder, is_ours=name in replaced)
            if record.status == "failed":
                record = replace(record, candidates=(journal.candidates_end(), 0))
            record_in(journal, record, bool(replaced))
    except OSError as error:
        for name, _ in crops:
            with contextlib.suppress(OSError):  # what is not recorded must not get into a tar file
                folder.crops.forget(name)
        raise as_output_error(error, folder.shown) from error
    with times.measure("journal", photos=0):
        folder.on_commit()
    return record


def _put(outcome: Outcome, folder: OutputFolder, replaced: Collection[str]) -> None:
    """Put the crops of a photo in place: all of them, or none.

    Raises:
        OSError: one cannot be put there; the others are as they were.
    """
    put: list[tuple[str, bytes | None, Record]] = []
    several = len(outcome.crops) > 1
    try:
        for (name, record), data in zip(crops_of(outcome.record), outcome.crops, strict=True):
            place = place_for(outcome.record, name)
            before = _read(place, folder) if several and place in replaced else None
            folder.crops.put(place, data, record)
            put.append((place, before, record))
    except OSError:
        for place, before, record in put:
            with contextlib.suppress(OSError):
                if before is None:
                    folder.crops.discard(place)
                else:
                    folder.crops.put(place, before, record)
        raise


def _discard(name: str, folder: OutputFolder, *, is_ours: bool) -> None:
    """Remove a crop; in the place of one that may never have been written somebody's folder may be."""
    try:
        folder.crops.discard(name)
    except (IsADirectoryError, PermissionError, UsageError):
        if is_ours:
            raise


def _read(name: str, folder: OutputFolder) -> bytes | None:
    """Return the bytes of a crop; None where it is gone."""
    try:
        return folder.crops.read(name)
    except FileNotFoundError:
        return None


def record_in(journal: Journal, record: Record, is_replaced: bool) -> None:
    """Write the line of a photo whose crop is in its place.

    Args:
        journal: journal that records it.
        record: the record.
        is_replaced: the folder had crops of this photo. They are gone, and what the journal says of them is
            wrong until there is a new line: a disk that fails is asked once more.

    Raises:
        OSError: it cannot be written.
    """
    try:
        journal.append(record)
    except OSError:
        if not is_replaced:
            raise
        journal.append(record)


def not_placed(record: Record, error: OSError) -> NotPlacedError:
    """Return the error of a photo whose crop the disk does not take."""
    return NotPlacedError("write_error", _why_unplaced(record, error))


def _why_unplaced(record: Record, error: OSError) -> str:
    blocked = error.errno in (errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY)
    what_to_do = "move what is in its place" if blocked else "run the same command again"
    return f"{record.crop} cannot be written: {error.strerror or error}; {what_to_do}"


def _unplaced(record: Record, error: OSError) -> Record:
    return replace(
        record,
        status="failed",
        reason="write_error",
        stage="write",
        error=_why_unplaced(record, error),
        crop="",
        crop_box=None,
        crop_bytes=0,
        candidates=None,
        animals=(),
    )
