"""`detic-crop recrop`: another data set from the boxes that a run kept."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from detic_crop.commands.choose_detector import classes_text
from detic_crop.commands.holding import check_alone, hold
from detic_crop.commands.result import RunResult, unless_stopped
from detic_crop.commands.settings import PathLike, with_settings
from detic_crop.commands.working import do_work
from detic_crop.config import ALGORITHM, RunOptions
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder, open_folder, open_on_disk
from detic_crop.folder.inputs import check_same_data_set, parts_of
from detic_crop.folder.journal import recorded_config, replay
from detic_crop.folder.records import Record
from detic_crop.folder.state import SavedListing, load_labels, load_listing, save_labels, save_listing
from detic_crop.folder.verdicts import latest_decisions, read_review
from detic_crop.folder.whereabouts import locations_now
from detic_crop.photos.location import file_or_object, local_files, locate
from detic_crop.photos.photo import Listing, stat_all
from detic_crop.shards.state import folder_settings
from detic_crop.work.execute import check_same_settings
from detic_crop.work.executors.threads import Threads
from detic_crop.work.kept_boxes import KeptCandidates, carried_decisions, check_policy
from detic_crop.work.pipeline import Pipeline
from detic_crop.work.plan import Task
from detic_crop.work.recipe import Recipe

# What a detector was asked; kept boxes cannot answer for anything else.
_DETECTOR_SETTINGS = {
    *("model", "weights", "vocabulary", "precision", "detector_size", "truncated", "algorithm"),
    *("weights_file", "names", "box_format"),
}


def recrop(
    source: PathLike,
    output: PathLike,
    *,
    input: PathLike | None = None,
    options: RunOptions | None = None,
    **settings: Any,
) -> RunResult:
    """Make another data set from the candidates a run kept, without its detector.

    Args:
        source: the output folder of a finished or stopped run.
        output: folder for the new data set.
        input: where the photos are now, when they have moved.
        options: how the work is done; labels are taken from `source`.
        **settings: fields of `CropConfig` to change (``scale``, ``size``, ``conf``, ``classes``, ``fit``,
            ``format``, ``quality``) and of `RunOptions`; the others stay as they were.

    Raises:
        UsageError: `source` is no run, or its candidates cannot answer for these settings.
        OutputError: the output cannot be written or is in use.
        Interrupted, Terminated: see `run`.
    """
    origin = open_on_disk(source, "recrop")
    origin.require_run()
    begun = recorded_config(origin.layout.journal)
    out_format = settings.get("out_format") or (begun.out_format if begun else "files")
    with open_folder(output, out_format=out_format) as folder:
        result = _recrop(origin, folder, input, options, settings)
    return unless_stopped(result)


def _recrop(
    origin: OutputFolder,
    folder: OutputFolder,
    input: PathLike | None,
    options: RunOptions | None,
    settings: dict[str, Any],
) -> RunResult:
    state = replay(origin.layout.journal)
    if state.config is None or not state.records:
        raise UsageError(f"{origin.shown} has no finished photos yet; give its `run` command again first")
    fixed = _DETECTOR_SETTINGS.intersection(settings)
    if fixed:
        raise UsageError(f"recrop cannot change {', '.join(sorted(fixed))}; give `run` for that")
    settings = {name: value for name, value in settings.items() if value is not None}
    config, options = with_settings(state.config, options or RunOptions(), settings)
    if options.dry_run or options.labels is not None or options.shard is not None:
        raise UsageError("recrop has no dry run and no shards, and takes its labels from the folder it reads")
    if options.executor != "local":
        raise UsageError("recrop needs no detector and works on this machine; leave executor out")
    classes = check_policy(state.config, config, origin.layout.candidates)
    # The crops are made by this version, whichever found the boxes.
    config = dataclasses.replace(config, classes=classes_text(classes), algorithm=ALGORITHM)
    if os.path.realpath(folder.root) == os.path.realpath(origin.root):
        raise UsageError(f"--out is {origin.shown} itself; pass another folder")
    folder.check_usable()
    check_alone(folder, options)
    check_same_settings(folder_settings(folder, options.overwrite), config, folder)
    recorded = load_listing(origin)
    labels, matches = load_labels(origin)
    listing = _recorded_photos(recorded, state.records, input)
    folder.checks.apart(file_or_object(recorded.root) if input is None else locate(input))
    folder.checks.photos_outside(local_files(photo.location for photo in listing.photos), listing.plain)
    inputs = parts_of(recorded.inputs, [photo.key for photo in listing.photos])
    if not options.overwrite:
        check_same_data_set(load_listing(folder), inputs, folder.shown)
    result = RunResult(folder, config, f"boxes kept in {origin.shown}")
    unfinished = set(recorded.keys).difference(state.records)
    if unfinished and labels is None:
        result.notes.append(f"photos that {origin.shown} had not finished, left out: {len(unfinished):,}")
    largest = max(record.width * record.height for record in state.records.values())
    with hold(folder, options) as stop:
        save_listing(folder, listing.photos, inputs)
        save_labels(folder, labels, matches)
        same_classes = config.classes == state.config.classes
        sizes = {photo.key: photo.size for photo in listing.photos}
        kept = KeptCandidates(state.config, state.records, origin.layout.candidates, sizes, same_classes)
        with closing(kept) as detector:
            said, lapsed = carried_decisions(
                latest_decisions(state.records, read_review(origin.layout.review).last),
                state.records,
                origin.layout.candidates,
                classes,
                detector.info.default_conf if config.conf is None else config.conf,
            )
            if lapsed:
                result.notes.append(
                    f"photos that were accepted with another box than these settings choose: {lapsed}; "
                    "they count as not reviewed"
                )
            max_pixels = max(options.max_pixels, largest)  # what the run accepted is accepted again
            chosen = listing.photos[: options.limit]
            task = Task(
                [photo.key for photo in listing.photos],
                chosen,
                config,
                options.per_tar,
                # What was said of the new data set itself goes before what was said of the old one.
                said | latest_decisions({}, read_review(folder.layout.review).last),
                state.records,
            )
            executor = Threads(Pipeline(Recipe(config, max_pixels, "recrop"), detector), options.workers)
            came_from: dict[str, Any] = {
                "recropped_from": os.path.abspath(origin.root),
                "inputs": [given.where for given in inputs],
            }
            do_work(result, task, executor, detector, options, came_from, stop)
    new = replay(folder.layout.journal).records
    for source_item in chosen:
        before, after = state.records[source_item.key].status, new.get(source_item.key)
        if after is not None and after.status != before:
            result.transitions[before, after.status] += 1
    return result


def _recorded_photos(
    recorded: SavedListing, records: Mapping[str, Record], input: PathLike | None
) -> Listing:
    """The photos of a kept listing that have records, where they were then or are now."""
    order = [key for key in recorded.keys if key in records]
    order += sorted(set(records).difference(order))
    locations = locations_now(recorded, order, input)
    listing = Listing(stat_all((key, locations[key]) for key in order))
    if all(photo.size < 0 for photo in listing.photos):
        raise UsageError(
            f"none of the photos is at {recorded.root if input is None else input}; pass --in FOLDER"
        )
    return listing
