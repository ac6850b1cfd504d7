"""`detic-crop apply`: crops and tables follow the reviewer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress

from detic_crop.commands.command_line import moved_words
from detic_crop.commands.result import ApplyResult, unless_stopped
from detic_crop.commands.scope import WholeRun
from detic_crop.commands.settings import PathLike, require_finished
from detic_crop.commands.tables import write_tables
from detic_crop.config import DEFAULT_MAX_PIXELS, RunOptions
from detic_crop.errors import UsageError
from detic_crop.folder.aside import place_for
from detic_crop.folder.folder import OutputFolder, open_on_disk
from detic_crop.folder.journal import Journal, recorded_config, replay, unfinished_of_each
from detic_crop.folder.known import Both, Known
from detic_crop.folder.progress_file import told_progress
from detic_crop.folder.records import Record, names_of
from detic_crop.folder.there import is_there
from detic_crop.folder.verdicts import Review, latest_decisions, read_review
from detic_crop.folder.whereabouts import Whereabouts, look_for_photos
from detic_crop.folder.write_errors import as_output_error, is_fatal
from detic_crop.photos.photo import Photo
from detic_crop.system.signals import Stop
from detic_crop.work.changes import Change, changes_of, why_not_croppable
from detic_crop.work.execute import NotPlacedError, commit, not_placed, record_in
from detic_crop.work.executors.threads import Threads
from detic_crop.work.kept_boxes import KeptCandidates
from detic_crop.work.pipeline import Pipeline
from detic_crop.work.progress import Report, progress_bar
from detic_crop.work.recipe import Job, Outcome, Recipe
from detic_crop.work.timing import StageTimes

Watch = Callable[[int, Stop], AbstractContextManager[Report]]
"""Watches the work: is told how many photos there are to do, and what ends it early; yields what is told of
each photo that is done; its block ends before the tables are written."""


def apply(
    output: PathLike,
    *,
    input: PathLike | None = None,
    dry_run: bool = False,
    workers: int | None = None,
    memory: int | None = None,
    quiet: bool = False,
) -> ApplyResult:
    """Make crops and tables follow the reviewer's verdicts; the same call again changes nothing.

    Accepted photos get their verdict. For another box or the whole photo, the photo is cropped again, without
    the detector. Rejected crops move to ``.detic-crop/rejected``. A verdict that was taken back brings the
    detector's own crop back. A photo that cannot be read, or has changed since the run, keeps its row and
    crop and is named in `ApplyResult.problems`; so is one whose new crop cannot be put in place. Their
    verdicts wait for the next call.

    Killed at any moment, it leaves a folder that the next call completes: a crop is in place before its
    journal line is written, and what has no line yet is done again.

    Args:
        output: the output folder of a run.
        input: where the photos are now, if they have moved.
        dry_run: only return what would change.
        workers: number of threads that work on photos; None takes a number that fits the machine.
        memory: see `RunOptions`.
        quiet: no progress bar.

    Raises:
        UsageError: the folder has no finished photos.
        OutputError: it cannot be read or written, or is in use; what was finished is kept.
        Interrupted, Terminated: see `run`.
    """
    options = RunOptions(workers=workers, memory=memory, quiet=quiet)
    with open_on_disk(output, "apply") as folder:
        if dry_run:
            return _only_look(folder, input)

        def bar(total: int, stop: Stop) -> AbstractContextManager[Report]:
            return progress_bar(total, 0, quiet or not total)

        return unless_stopped(apply_in(folder, input, options, bar))


def _only_look(folder: OutputFolder, input: PathLike | None) -> ApplyResult:
    _check_run(folder)
    result, _, whereabouts = _look(folder, input)
    result.dry_run = True
    result.notes[:0] = whereabouts.sentences("what needs its photo will stay as it is")
    return result


def _check_run(folder: OutputFolder) -> None:
    folder.require_run()
    require_finished(recorded_config(folder.layout.journal), folder.shown)


def apply_in(folder: OutputFolder, input: PathLike | None, options: RunOptions, watch: Watch) -> ApplyResult:
    """Hold a folder and make its crops and tables follow; see `apply`.

    What was stopped says so in `ApplyResult.stopped`; no exception does.
    """
    _check_run(folder)
    with (
        WholeRun(folder).held() as stop,
        closing(Journal(folder.layout.journal, folder.layout.candidates, folder.inside)) as journal,
    ):
        result, before, whereabouts = _look(folder, input)
        folder.crops.recover(before)
        result.memory = options.memory
        changed: dict[str, Record] = {}
        records = Both(before, changed)
        jobs, result.problems = _jobs(result.changes, records, whereabouts, folder)
        begun = time.monotonic()
        with told_progress(folder, "apply", ["apply", *moved_words(input)]) as progress:
            progress.enter("cropping", len(result.changes))
            with watch(len(result.changes), stop) as report:

                def done(record: Record) -> None:
                    changed[record.image] = record
                    result.done += 1
                    report(record)
                    progress.count(failed=False)

                _follow(result, jobs, records, journal, options, stop, done)
            folder.clear_temporary()
            result.seconds = time.monotonic() - begun
            result.remaining = len(result.changes) - result.done - len(result.problems)
            result.stopped = progress.stopped = stop.reason if result.remaining else ""
            progress.enter("writing tables")
            write_tables(result, records, whereabouts)
    return result


def _follow(
    result: ApplyResult,
    jobs: Sequence[Job],
    records: Known[Record],
    journal: Journal,
    options: RunOptions,
    stop: Stop,
    done: Callable[[Record], None],
) -> None:
    """Make the crops and records follow; `done` is told of each photo that is recorded."""
    folder, times = result.folder, StageTimes()
    unfinished = unfinished_of_each(folder.layout.candidates, records)

    def should_stop() -> bool:
        return bool(stop.reason)

    for change in result.changes:
        if not change.needs_recrop and not should_stop():
            with _noting_what_is_not_placed(change.image, result):
                done(_record(change, records[change.image], journal, folder))
    for outcome in _recrop(jobs, result, records, options, should_stop) if jobs else ():
        key = outcome.record.image
        if outcome.record.status == "failed":
            result.problems[key] = outcome.record.error
            continue
        with _noting_what_is_not_placed(key, result):
            ours = names_of(records[key]), unfinished.get(key, ())
            done(commit(outcome, journal, folder, times, *ours))
    folder.aside.remove_stale(records)
    folder.flush()


def _look(folder: OutputFolder, input: PathLike | None) -> tuple[ApplyResult, Known[Record], Whereabouts]:
    """Return what is to change, the records, and where the photos are."""
    state = replay(folder.layout.journal)
    records, review = state.records, read_review(folder.layout.review)
    result = ApplyResult(folder, require_finished(state.config, folder.shown))
    result.changes = changes_of(records, latest_decisions(records, review.last), folder)
    result.notes = [*state.sentences(), *_ignored_verdict_notes(review, records, folder)]
    return result, records, look_for_photos(folder, records, input)


def _ignored_verdict_notes(review: Review, records: Mapping[str, Record], folder: OutputFolder) -> list[str]:
    notes = []
    if unknown := [key for key in review.last if key not in records]:
        notes.append(
            f"verdicts about photos that this folder does not have, ignored: {len(unknown):,} "
            f"(the first: {unknown[0]})"
        )
    return [*notes, *review.sentences(folder.layout.shown_of(folder.layout.review))]


def _jobs(
    changes: Sequence[Change], records: Mapping[str, Record], whereabouts: Whereabouts, folder: OutputFolder
) -> tuple[list[Job], dict[str, str]]:
    """Return the photos to crop again, and key → why it cannot be done.

    Raises:
        UsageError: boxes are needed and `candidates.jsonl` is gone; or a photo lies in the output folder.
    """
    jobs, problems = [], {}
    decisions = {change.image: change.after for change in changes if change.needs_recrop}
    locations = {key: whereabouts.locations[key] for key in decisions}
    folder.checks.photos_outside(locations.values())
    for key, location in locations.items():
        record = records[key]
        if why_not := why_not_croppable(record, location, moved=whereabouts.given):
            problems[key] = why_not
        else:
            # Size and time of the run: they tell a later run that the photo has not changed.
            photo = Photo(key, location, record.file_size, record.file_time)
            jobs.append(Job(photo, record.crop, decisions[key], record))
    if jobs and not is_there(folder.layout.candidates):
        raise UsageError(
            "no_candidates",
            f"{folder.layout.candidates} is gone: nothing can be cropped; run `detic-crop run` again",
        )
    return jobs, problems


def _record(change: Change, record: Record, journal: Journal, folder: OutputFolder) -> Record:
    """Move the crop aside or back, and record it.

    Raises:
        NotPlacedError: it cannot be moved; it is where it was.
        OutputError: the output cannot be written.
    """
    new = change.after.record_of_same_crop(record)
    try:
        folder.aside.move(record, new)
    except OSError as error:
        for name in names_of(new):
            with suppress(OSError):  # what is not recorded must not get into a tar file
                folder.crops.forget(place_for(new, name))
        if is_fatal(error):
            raise as_output_error(error, folder.shown) from error
        raise not_placed(record, error) from error
    try:
        record_in(journal, new, bool(record.crop))
    except OSError as error:
        with suppress(OSError):
            folder.aside.move(new, record)
        raise as_output_error(error, folder.shown) from error
    return new


@contextmanager
def _noting_what_is_not_placed(key: str, result: ApplyResult) -> Iterator[None]:
    """Let a photo whose crop cannot be put in place keep its earlier one, and its verdict wait."""
    try:
        yield
    except NotPlacedError as error:
        result.problems[key] = result.unplaced[key] = error.message


def _recrop(
    jobs: Sequence[Job],
    result: ApplyResult,
    records: Mapping[str, Record],
    options: RunOptions,
    should_stop: Callable[[], bool],
) -> Iterator[Outcome]:
    """Crop photos again as decided, from the boxes that the run kept."""
    folder, config = result.folder, result.config
    sizes = {job.photo.key: job.photo.size for job in jobs}
    # What the run accepted is accepted again.
    pixels = (records[job.photo.key].width * records[job.photo.key].height for job in jobs)
    max_pixels = max(DEFAULT_MAX_PIXELS, *pixels)
    with closing(KeptCandidates(config, records, folder.layout.candidates, sizes, True)) as detector:
        recipe = Recipe(config, max_pixels, "review", memory=options.memory)
        executor = Threads(Pipeline(recipe, detector), options.workers)
        with closing(executor.run(jobs, should_stop)) as outcomes:
            yield from outcomes
