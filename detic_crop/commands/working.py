"""Plan, execute, and write the tables whatever happened."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from detic_crop.commands.result import RunResult, count_statuses
from detic_crop.commands.run_json import run_json
from detic_crop.commands.tables import write_tables
from detic_crop.config import RunOptions
from detic_crop.detectors.base import Detector
from detic_crop.errors import DeticCropError, OutputError
from detic_crop.folder.journal import Journal, replay, replay_entries
from detic_crop.shards.state import crops_of, known_records
from detic_crop.system.signals import Stop
from detic_crop.work.execute import check_same_settings, execute
from detic_crop.work.executors.base import Executor
from detic_crop.work.plan import Task, make_plan


def do_work(
    result: RunResult,
    task: Task,
    executor: Executor,
    detector: Detector,
    options: RunOptions,
    origin: Mapping[str, Any],
    stop: Stop,
) -> None:
    """Plan, execute, and write the tables whatever happened."""
    folder, config = result.folder, result.config
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    state = replay_entries(folder.layout.journal)
    check_same_settings(state.config, config, folder)
    with closing(Journal(folder.layout.journal, folder.layout.candidates, folder.inside)) as journal:
        if state.settings is None:
            journal.begin(config, importlib.metadata.version("detic-crop"))
        finished = state.records
        if folder.shard is not None:
            merged = replay_entries(folder.whole.layout.journal).records
            folder.crops.replace_only(crops_of(folder, finished, merged))
            finished = merged | finished
        folder.crops.recover(finished)
        plan = make_plan(task, finished, folder)
        del finished, state.records  # the work begins, and its memory is not to grow with the photos
        try:
            execution = execute(plan, executor, journal, folder, options, stop)
        except OutputError:
            raise
        except (DeticCropError, KeyboardInterrupt):
            if folder.shard is None:
                write_tables(result, replay(folder.layout.journal).records)
            raise
    result.done, result.skipped = execution.done.total(), execution.skipped
    result.remaining = len(plan.jobs) - result.done
    result.seconds, result.stopped = execution.seconds, execution.stopped
    result.notes += detector.notes()
    if options.profile:
        result.profile = execution.usage.table()
    records = known_records(folder)
    if state.ignored:
        result.notes.append(f"damaged journal lines, whose photos were done again: {state.ignored:,}")
    if folder.shard is None:
        folder.aside.remove_stale(records)
        write_tables(result, records)
    else:  # the tables need all shards
        count_statuses(result, [records[photo.key] for photo in task.photos if photo.key in records])
    folder.write_json(folder.layout.run_json, run_json(result, options, execution, origin, started))
    folder.flush()
