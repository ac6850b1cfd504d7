"""Plan, execute, and write the tables whatever happened."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from types import MappingProxyType
from typing import Any

from detic_crop.commands.result import RunResult, count_statuses
from detic_crop.commands.run_json import run_json
from detic_crop.commands.tables import write_tables
from detic_crop.config import CropConfig, RunOptions
from detic_crop.errors import DeticCropError, OutputError
from detic_crop.folder.decisions import Decision
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import Journal, replay, replay_entries
from detic_crop.folder.records import ResumeEntry
from detic_crop.photos.photo import Listing, Photo
from detic_crop.shards.state import crops_of, known_records
from detic_crop.system.signals import Stop
from detic_crop.work.execute import Executor, Plan, check_same_settings, execute, make_plan
from detic_crop.work.pipeline import Pipeline
from detic_crop.work.progress import no_progress, progress_bar


def plan_of(
    listing: Listing,
    chosen: Sequence[Photo],
    records: Mapping[str, ResumeEntry],
    folder: OutputFolder,
    config: CropConfig,
    options: RunOptions,
    earlier_names: Mapping[str, str] = MappingProxyType({}),
    decisions: Mapping[str, Decision] = MappingProxyType({}),
) -> Plan:
    keys = (photo.key for photo in listing.photos)
    return make_plan(keys, chosen, records, folder, config.format, earlier_names, decisions, options.per_tar)


def do_work(
    result: RunResult,
    pipeline: Pipeline,
    listing: Listing,
    chosen: Sequence[Photo],
    options: RunOptions,
    origin: Mapping[str, Any],
    stop: Stop,
    earlier_names: Mapping[str, str] = MappingProxyType({}),
    executor: Executor | None = None,
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
        plan = plan_of(listing, chosen, finished, folder, config, options, earlier_names, pipeline.decisions)
        del finished, state.records  # the work begins, and its memory is not to grow with the photos
        progress = no_progress if options.quiet else progress_bar
        try:
            execution = execute(plan, journal, pipeline, folder, options, progress, stop, executor)
        except OutputError:
            raise
        except (DeticCropError, KeyboardInterrupt):
            if folder.shard is None:
                write_tables(result, replay(folder.layout.journal).records)
            raise
    result.done, result.skipped = execution.done.total(), execution.skipped
    result.remaining = len(plan.jobs) - result.done
    result.seconds, result.stopped = execution.seconds, execution.stopped
    result.notes += pipeline.detector.notes()
    if options.profile:
        result.profile = execution.usage.table()
    records = known_records(folder)
    if state.ignored:
        result.notes.append(f"damaged journal lines, whose photos were done again: {state.ignored:,}")
    if folder.shard is None:
        folder.aside.remove_stale(records)
        write_tables(result, records)
    else:  # the tables need all shards
        count_statuses(result, [records[photo.key] for photo in chosen if photo.key in records])
    folder.write_json(folder.layout.run_json, run_json(result, options, execution, origin, started))
    folder.flush()
