"""`detic-crop recrop`: another data set from the boxes that a run kept."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Unpack

from detic_crop.commands.carry_out import carry_out
from detic_crop.commands.choose_detector import classes_text
from detic_crop.commands.command_line import recrop_words
from detic_crop.commands.data_set import DataSet
from detic_crop.commands.keyword_settings import RecropSettings
from detic_crop.commands.result import RunResult, unless_stopped
from detic_crop.commands.scope import WholeRun
from detic_crop.commands.settings import PathLike, require_finished, with_settings
from detic_crop.commands.signature import RECROP, takes_settings
from detic_crop.config import ALGORITHM, SETTINGS, CropConfig, RunOptions
from detic_crop.errors import UsageError
from detic_crop.folder.decisions import Decision
from detic_crop.folder.folder import OutputFolder, open_folder, open_on_disk
from detic_crop.folder.inputs import check_same_data_set, parts_of
from detic_crop.folder.journal import replay
from detic_crop.folder.progress_file import told_progress
from detic_crop.folder.records import Record
from detic_crop.folder.state import (
    SavedListing,
    load_labels,
    load_listing,
    load_table_settings,
    save_table_settings,
)
from detic_crop.folder.there import is_there
from detic_crop.folder.verdicts import latest_decisions, read_review
from detic_crop.folder.whereabouts import locations_now
from detic_crop.photos.location import file_or_object, locate
from detic_crop.photos.photo import Photo
from detic_crop.photos.table import Photos, Sizes, stat_all
from detic_crop.report.meetings import check_encounter
from detic_crop.report.rows import recorded_in_order
from detic_crop.work.executors.threads import Threads
from detic_crop.work.kept_boxes import KeptCandidates, carried_decisions, check_policy
from detic_crop.work.pipeline import Pipeline
from detic_crop.work.plan import Task
from detic_crop.work.recipe import Recipe

# What a detector was asked; kept boxes cannot answer for anything else.
_DETECTOR_SETTINGS = {
    *(name for name, setting in SETTINGS[CropConfig].items() if setting.of_detector),
    *("weights", "algorithm", "confs", "weights_file", "names"),
}


@takes_settings(RECROP, changes=True)
def recrop(
    source: PathLike,
    output: PathLike,
    *,
    input: PathLike | None = None,
    options: RunOptions | None = None,
    **settings: Unpack[RecropSettings],
) -> RunResult:
    """Make another data set from the candidates a run kept, without its detector.

    Args:
        source: the output folder of a finished or stopped run.
        output: folder for the new data set.
        input: where the photos are now, if they have moved.
        options: how the work is done; labels are taken from `source`.
        **settings: what of `CropConfig` is to change, such as ``scale=1.4``, and single fields of
            `RunOptions`; they are listed below.

    Raises:
        UsageError: `source` is not a run, or its boxes cannot answer for these settings.
        OutputError: `source` cannot be read, or the output cannot be written or is in use; what was
            finished is kept.
        Interrupted, Terminated: see `run`.
    """
    with open_on_disk(source, "recrop") as origin:
        return unless_stopped(_recrop(origin, output, input, options or RunOptions(), settings))


def _recrop(
    origin: OutputFolder,
    output: PathLike,
    input: PathLike | None,
    options: RunOptions,
    settings: Mapping[str, Any],
) -> RunResult:
    origin.require_run()
    # What the run left, and what is asked for.
    state = replay(origin.layout.journal)
    begun_with = require_finished(state.config if state.records else None, origin.shown)
    config, options, classes = _settings(begun_with, options, settings, origin)
    with open_folder(output, out_format=config.out_format) as folder:
        recorded = load_listing(origin)
        labels, matches = load_labels(origin)
        photos = _recorded_photos(recorded, state.records, input)
        inputs = parts_of(recorded.inputs, photos.keys)

        # Whether that can be done here: until now nothing was written.
        scope = WholeRun(folder, options)
        if os.path.realpath(folder.root) == os.path.realpath(origin.root):
            raise UsageError("out_is_source", f"--out is {origin.shown} itself; pass another folder")
        folder.check_usable()
        scope.check_alone()
        begun_here = scope.begun_with()
        scope.check_settings(begun_here, config)
        check_encounter(options.encounter, labels)
        folder.checks.apart(file_or_object(recorded.root) if input is None else locate(input))
        folder.checks.photos_outside(photo.location for photo in photos)
        if not options.overwrite:
            check_same_data_set(load_listing(folder), inputs, folder.shown)
        result = RunResult(folder, config, f"boxes kept in {origin.shown}", memory=options.memory)
        unfinished = sum(key not in state.records for key in recorded.keys)
        if unfinished and labels is None:
            result.notes.append(f"photos that {origin.shown} had not finished, left out: {unfinished:,}")

        # The work.
        same_classes = config.classes == begun_with.classes
        with (
            scope.held() as stop,
            told_progress(folder, "recrop", recrop_words(origin.root, input, settings)) as progress,
            closing(
                KeptCandidates(
                    begun_with, state.records, origin.layout.candidates, Sizes(photos), same_classes
                )
            ) as detector,
        ):
            decisions = _decisions(state.records, origin, folder, config, classes, result)
            data_set = DataSet(inputs, photos, photos[: options.limit], labels, matches)
            scope.save_input(data_set, ())
            if begun_here is None:
                _take_over_columns(origin, folder)
            task = Task(data_set.keys, data_set.chosen, config, options.per_tar, decisions, state.records)
            # What the run accepted is accepted again.
            largest = max(record.width * record.height for record in state.records.values())
            recipe = Recipe(
                config,
                max(options.max_pixels, largest),
                "recrop",
                memory=options.memory,
                photo_timeout=options.photo_timeout,
            )
            executor = Threads(Pipeline(recipe, detector), options.workers)
            came_from: dict[str, Any] = {
                "recropped_from": os.path.abspath(origin.root),
                "inputs": [given.where for given in inputs],
            }
            carry_out(task, scope, executor, detector, stop, result, came_from, progress)
        result.transitions = _transitions(state.records, scope.records(), data_set.chosen)
    return result


def _take_over_columns(origin: OutputFolder, folder: OutputFolder) -> None:
    """Let a new folder have the encounters, times and folds of the one that it is made from."""
    encounter = load_table_settings(origin).encounter
    save_table_settings(folder, load_table_settings(folder).changed(encounter=encounter))
    for theirs, ours in (
        (origin.layout.times, folder.layout.times),
        (origin.layout.folds, folder.layout.folds),
    ):
        if is_there(theirs):
            folder.write(ours, theirs.read_bytes())


def _settings(
    recorded: CropConfig, options: RunOptions, settings: Mapping[str, Any], origin: OutputFolder
) -> tuple[CropConfig, RunOptions, tuple[str, ...] | None]:
    """Return the settings of the new data set, and its classes; what is not given stays as it was.

    Raises:
        UsageError: the boxes of the run cannot answer for these settings.
    """
    if fixed := _DETECTOR_SETTINGS.intersection(settings):
        raise UsageError(
            "needs_detector",
            f"recrop cannot change {', '.join(sorted(fixed))}; use `detic-crop run` for that",
        )
    given = {name: value for name, value in settings.items() if value is not None}
    if given.get("animals") == "largest":
        given = {"max_animals": None, **given}
    config, options = with_settings(recorded, options, given)
    if options.dry_run or options.labels is not None or options.shard is not None:
        raise UsageError(
            "option_not_applicable",
            "recrop has no dry run and no shards, and takes its labels from the folder it reads",
        )
    if options.executor != "local":
        raise UsageError(
            "option_not_applicable",
            "recrop needs no detector and works on this machine; leave executor out",
        )
    classes = check_policy(recorded, config, origin.layout.candidates)
    confs = recorded.confs if "conf" not in given else dict.fromkeys(recorded.confs, given["conf"])
    # The crops are made by this version, whichever found the boxes.
    config = dataclasses.replace(config, classes=classes_text(classes), confs=confs, algorithm=ALGORITHM)
    return config, options, classes


def _decisions(
    records: Mapping[str, Record],
    origin: OutputFolder,
    folder: OutputFolder,
    config: CropConfig,
    classes: tuple[str, ...] | None,
    result: RunResult,
) -> dict[str, Decision]:
    """Return what reviewers decided; verdicts about the new data set come before those about the old one."""
    review = read_review(origin.layout.review)
    result.notes += review.sentences(str(origin.layout.review))
    decided, lapsed = carried_decisions(
        latest_decisions(records, review.last),
        records,
        origin.layout.candidates,
        config,
        classes,
    )
    if lapsed:
        result.notes.append(
            f"photos that were accepted with another box than these settings choose: {lapsed}; "
            "they count as not reviewed"
        )
    return decided | latest_decisions({}, read_review(folder.layout.review).last)


def _transitions(
    before: Mapping[str, Record], after: Mapping[str, Record], photos: Sequence[Photo]
) -> Counter[tuple[str, str]]:
    """Return (old status, new status) → number of photos whose status changed."""
    now = ((photo.key, after.get(photo.key)) for photo in photos)
    both = ((before[key].status, record.status) for key, record in now if record is not None)
    return Counter((old, new) for old, new in both if old != new)


def _recorded_photos(recorded: SavedListing, records: Mapping[str, Record], input: PathLike | None) -> Photos:
    """Return the photos of a saved listing that have records, where they were then or are now."""
    order = recorded_in_order(records, recorded.keys)
    locations = locations_now(recorded, order, input)
    photos = stat_all((key, locations[key]) for key in order)
    if all(photo.size < 0 for photo in photos):
        raise UsageError(
            "photos_gone",
            f"none of the photos is at {recorded.root if input is None else input}; pass --in FOLDER",
        )
    return photos
