"""Carry out the task of a run or a recrop in its folder: plan, work, record; then tables and run.json."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from detic_crop.commands.result import RunResult
from detic_crop.commands.run_json import packages, run_json, version_of
from detic_crop.commands.scope import Scope
from detic_crop.config import CropConfig
from detic_crop.detectors.base import Detector
from detic_crop.errors import DeticCropError, OutputError
from detic_crop.folder.crop_paths import place_of
from detic_crop.folder.journal import Journal, Replay, replay
from detic_crop.folder.progress_file import ProgressFile
from detic_crop.folder.state import load_table_settings, save_table_settings
from detic_crop.system.signals import Stop
from detic_crop.work.execute import execute
from detic_crop.work.executors.base import Executor
from detic_crop.work.plan import Task, make_plan


def carry_out(
    task: Task,
    scope: Scope,
    executor: Executor,
    detector: Detector,
    stop: Stop,
    result: RunResult,
    origin: Mapping[str, Any],
    progress: ProgressFile,
) -> None:
    """Make the crops of a task that are missing, and write the tables whatever happened.

    Args:
        task: the photos and what is wanted of them.
        scope: the folder, held, and the run's part of it.
        executor: does the work.
        detector: the detector, which may have notes afterwards.
        stop: when to end early.
        result: gets counts, notes and times.
        origin: fields of run.json that say where the photos came from.
        progress: tells those who look on.

    Raises:
        OutputError: the folder cannot be written; what was finished is recorded.
        DeticCropError: the work cannot go on; what was finished is recorded, and the tables are written.
    """
    folder, options = scope.folder, scope.options
    layout = folder.layout
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    state = replay(layout.journal)
    scope.check_settings(_recorded_settings(state, task.config), task.config)
    tables = load_table_settings(folder)
    save_table_settings(folder, tables.changed(options.csv_safe or None, options.encounter))
    with closing(Journal(layout.journal, layout.candidates, folder.inside)) as journal:
        if state.settings is None:
            journal.begin(task.config, version_of("detic-crop"))
        finished = scope.finished(state.entries)
        folder.crops.recover(finished)
        plan = make_plan(task, finished, folder, scope)
        del finished  # the work begins
        try:
            execution = execute(plan, executor, journal, folder, options, stop, progress)
        except OutputError:
            raise
        except (DeticCropError, KeyboardInterrupt):
            progress.enter("writing tables")
            scope.finish(result, task.photos)
            raise
    progress.enter("writing tables")
    result.done, result.skipped = execution.done.total(), execution.skipped
    result.remaining, result.unplaced = len(plan.jobs) - result.done, execution.unplaced
    result.seconds, result.stopped = execution.seconds, execution.stopped
    result.notes += detector.notes()
    if state.ignored:
        result.notes.append(f"damaged journal lines, whose photos were done again: {state.ignored:,}")
    if state.settings is None and state.entries:
        result.notes.append(
            "the settings of this folder were damaged, and are now those of this command; if the earlier "
            "ones differed, run the same command again with --overwrite"
        )
    if options.profile:
        result.profile = execution.usage.table()
    result.versions, result.started = packages(task.config.model), started
    scope.finish(result, task.photos)
    told = run_json(result, options, execution, {**origin, **scope.describe()})
    folder.write_json(layout.run_json, told)
    folder.flush()


def _recorded_settings(state: Replay, config: CropConfig) -> CropConfig | None:
    """Return the settings of a journal; where they are damaged, this call's, but the format of the crops."""
    crop = next((entry.crop for entry in state.entries.values() if entry.crop), None)
    if state.settings is not None or crop is None:
        return state.config
    return dataclasses.replace(config, out_format="files" if place_of(crop) is None else "tar")
