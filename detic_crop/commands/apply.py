"""`detic-crop apply`: crops and tables follow the reviewer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing

from detic_crop.commands.holding import hold
from detic_crop.commands.result import ApplyResult, unless_stopped
from detic_crop.commands.reviewed import read_decisions
from detic_crop.commands.settings import PathLike
from detic_crop.commands.tables import write_tables
from detic_crop.config import CropConfig, RunOptions
from detic_crop.errors import UsageError
from detic_crop.folder.decisions import Decision
from detic_crop.folder.folder import OutputFolder, copied_here
from detic_crop.folder.journal import Journal, recorded_config, replay
from detic_crop.folder.records import Record
from detic_crop.folder.verdicts import VERDICTS, not_understood
from detic_crop.folder.whereabouts import look_for_photos
from detic_crop.photos import location as places
from detic_crop.work.changes import apply_changes, changes_of
from detic_crop.work.progress import no_progress, progress_bar


def apply(
    output: PathLike,
    *,
    input: PathLike | None = None,
    dry_run: bool = False,
    workers: int | None = None,
    quiet: bool = False,
) -> ApplyResult:
    """Make crops and tables follow the reviewer's verdicts; the same call again changes nothing.

    Accepted photos get their verdict. Another or drawn box, or the whole photo, is cropped anew from the
    photo, without the detector. Rejected crops move to ``.detic-crop/rejected``. A verdict that was taken
    back brings the detector's own crop back. A photo that cannot be read, or has changed since the run,
    keeps its row and crop and is named in `ApplyResult.problems`.

    Args:
        output: the output folder of a run.
        input: where the photos are now, when they have moved.
        dry_run: only say what would change.
        workers: threads that work on photos; None takes a number that fits.
        quiet: no progress bar.

    Raises:
        UsageError: the folder has no finished photos.
        OutputError: it cannot be written or is in use; what was finished is kept.
        Interrupted, Terminated: see `run`.
    """
    folder = OutputFolder(copied_here(output, "apply"))
    folder.require_run()
    options = RunOptions(workers=workers, quiet=quiet)
    if dry_run:
        state = replay(folder.layout.journal)
        result = _apply_result(folder, state.config)
        decisions = read_decisions(folder, state.records)
        result.changes = changes_of(state.records, decisions, folder)
        whereabouts = look_for_photos(folder, state.records, input)
        result.notes += whereabouts.sentences("what needs its photo will stay as it is")
        result.notes += _passed_over(folder, state.records, decisions)
        return result
    _apply_result(folder, recorded_config(folder.layout.journal))
    with (
        hold(folder, options) as stop,
        closing(Journal(folder.layout.journal, folder.layout.candidates, folder.inside)) as journal,
    ):
        state = replay(folder.layout.journal)
        records = state.records
        result = _apply_result(folder, state.config)
        decisions = read_decisions(folder, records)
        result.changes = changes_of(records, decisions, folder)
        keys = [change.image for change in result.changes if change.pixels]
        whereabouts = look_for_photos(folder, records, input)
        paths = {key: whereabouts.locations[key] for key in keys}
        folder.checks.photos_outside(places.files_of(paths.values()))
        progress = no_progress if quiet or not result.changes else progress_bar
        begun = time.monotonic()
        with progress(len(result.changes), 0) as report:
            applied = apply_changes(
                result.changes,
                records,
                journal,
                folder,
                result.config,
                paths,
                moved=input is not None,
                max_pixels=max(
                    [options.max_pixels, *(records[key].width * records[key].height for key in keys)]
                ),
                workers=workers,
                should_stop=lambda: bool(stop.reason),
                report=report,
            )
        folder.clear_temporary()
        result.done, result.seconds = len(applied.done), time.monotonic() - begun
        result.problems = applied.problems
        result.remaining = len(result.changes) - result.done - len(result.problems)
        result.stopped = stop.reason if result.remaining else ""
        result.notes += _passed_over(folder, records, decisions)
        write_tables(result, records, whereabouts)
    return unless_stopped(result)


def _passed_over(
    folder: OutputFolder, records: Mapping[str, Record], decisions: Mapping[str, Decision]
) -> list[str]:
    """Sentences about lines of review.csv that nothing was done with."""
    notes = []
    if unknown := sum(key not in records for key in decisions):
        notes.append(f"verdicts about photos that are not in the journal, passed over: {unknown}")
    if lines := not_understood(folder.layout.review):
        notes.append(
            f"lines of {folder.layout.review} that are no verdict, passed over: {lines}; "
            f"expected image,verdict,box,reviewer,time with one of {', '.join(VERDICTS)}"
        )
    return notes


def _apply_result(folder: OutputFolder, config: CropConfig | None) -> ApplyResult:
    if config is None:
        raise UsageError(f"{folder.shown} has no finished photos yet; give its `run` command again first")
    return ApplyResult(folder, config)
