"""`detic-crop run`: from photos to crops and tables."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.commands.choose_detector import choose_detector, resolve_config
from detic_crop.commands.command_line import command_words
from detic_crop.commands.given_input import given_inputs
from detic_crop.commands.holding import check_alone, hold
from detic_crop.commands.result import RunResult, unless_stopped
from detic_crop.commands.reviewed import decisions_to_keep
from detic_crop.commands.settings import PathLike, with_settings
from detic_crop.commands.working import do_work
from detic_crop.config import CropConfig, RunOptions
from detic_crop.detectors.base import Detector, DetectorLike, as_detector
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder, open_folder
from detic_crop.folder.state import load_listing, save_labels, save_listing
from detic_crop.photos.find import discover
from detic_crop.photos.labels import Labels, match_labels, read_labels
from detic_crop.photos.location import local_files, locate
from detic_crop.photos.photo import Listing, Photo
from detic_crop.shards.resolve import resolve_shard
from detic_crop.shards.state import finished_records, folder_settings, whole_input, write_part
from detic_crop.system.system_folders import system_folder_of
from detic_crop.wording import counted
from detic_crop.work.execute import check_same_settings
from detic_crop.work.executors.open import open_executor
from detic_crop.work.plan import Task, make_plan
from detic_crop.work.recipe import Recipe

_log = logging.getLogger(__name__)


def run(
    input: PathLike,
    output: PathLike,
    *,
    config: CropConfig | None = None,
    options: RunOptions | None = None,
    detector: DetectorLike | None = None,
    **settings: Any,
) -> RunResult:
    """Crop every photo of `input` into the folder `output`; the same call again resumes.

    Args:
        input: folder, photo, glob, or ``.txt``/``.csv`` list of paths.
        output: folder for crops, audit.csv, audit.html and run.json; a path, or an address such as
            ``s3://bucket/cropped``.
        config: what the crops are like; see `CropConfig`.
        options: how the work is done; see `RunOptions`.
        detector: your own detector instead of ``config.model``.
        **settings: single fields of `CropConfig` and `RunOptions`, e.g. ``size=256, workers=2``.

    Raises:
        UsageError: something asked for is wrong; nothing was changed.
        OutputError: the output cannot be written or is in use; what was finished is kept.
        WeightsError: the model's weights are missing or damaged.
        Interrupted: after Ctrl-C; a KeyboardInterrupt, once what was finished is recorded and the tables are
            written. So whatever was to follow does not go on with half of the photos.
        Terminated: after SIGTERM, likewise; a SystemExit. A handler of your own is called instead.
    """
    config, options = with_settings(config or CropConfig(), options or RunOptions(), settings)
    own = None if detector is None else as_detector(detector)
    with open_folder(output, resolve_shard(options.shard), config.out_format) as folder:
        result = _run(input, folder, config, options, own)
    return unless_stopped(result)


def _run(
    input: PathLike,
    folder: OutputFolder,
    config: CropConfig,
    options: RunOptions,
    detector: Detector | None,
) -> RunResult:
    where = locate(input)
    folder.checks.apart(where)
    folder.check_usable()
    check_alone(folder, options)
    begun_with = folder_settings(folder, options.overwrite)
    command = [] if detector is not None else command_words(where, config, options)
    listing = discover(input, folder.shown)
    labels = None if options.labels is None else read_labels(options.labels, options.labels_key)
    folder.checks.photos_outside(local_files(photo.location for photo in listing.photos), listing.plain)
    inputs, photos = given_inputs(where, listing, folder, options)
    everything = dataclasses.replace(listing, photos=photos)
    chosen, matches, notes = _choose_photos(listing, everything, labels, options.limit)
    if not options.overwrite:
        notes += _still_there(folder, everything)
    if folder.shard is not None:
        chosen = [photo for photo in chosen if folder.shard.owns(photo.key)]
    chosen_detector = choose_detector(config, options, begun_with, detector)
    detector = chosen_detector.detector
    asked = config.classes
    config, classes = resolve_config(config, detector.info, begun_with)
    assert config.conf is not None  # resolved
    # Earlier versions called it a class where a file names none.
    all_count = asked is None and classes == (UNKNOWN_CLASS,)
    detector.ask_for(None if all_count else classes, config.conf)
    check_same_settings(begun_with, config, folder)
    if not options.overwrite and labels is None and folder.whole.layout.labels.exists():
        notes.append("audit.csv follows no labels any more; pass --labels to have them back")
    _tell_photos(detector, listing)
    _log.info("model %s: %s", config.model, chosen_detector.reason)
    result = RunResult(folder, config, chosen_detector.reason, notes=notes)
    task = Task([photo.key for photo in photos], chosen, config, options.per_tar)
    if options.dry_run:
        result.notes += detector.notes()
        return _dry_run(result, task, folder, options)
    model, model_settings = chosen_detector.model, chosen_detector.settings
    recipe = Recipe(config, options.max_pixels, "run", model, model_settings)
    with (
        open_executor(recipe, detector, chosen_detector.devices, options) as executor,
        hold(folder, options, config) as stop,
    ):
        decisions = decisions_to_keep(folder, chosen, notes)
        if folder.shard is None:
            save_listing(folder, photos, inputs)
        else:
            whole = whole_input(photos, labels, matches, options.limit)
            write_part(folder, photos, inputs, whole, command)
        save_labels(folder, labels, matches)
        origin: dict[str, Any] = {
            "input": str(where.absolute().redact()),
            "inputs": [given.where for given in inputs],
        }
        task = dataclasses.replace(task, decisions=decisions)
        do_work(result, task, executor, detector, options, origin, stop)
    return result


def _tell_photos(detector: Detector, listing: Listing) -> None:
    """Tell the detector all photos of the input.

    Raises:
        UsageError: it knows none of them; says too what was strange about the input, which may be why.
    """
    try:
        detector.expect({photo.key: photo.location.own_path for photo in listing.photos})
    except UsageError as error:
        raise UsageError("; ".join([str(error), *listing.notes[:2]])) from error


def _choose_photos(
    listing: Listing, everything: Listing, labels: Labels | None, limit: int | None
) -> tuple[list[Photo], list[str | None], list[str]]:
    """The photos of this run in the audit's order, the photo of each label row, and what to say of it.

    Rows may also name photos of other inputs, which `everything` has as well.
    """
    notes = list(listing.notes)
    if listing.passed_over:
        notes.append(f"other files passed over: {listing.passed_over:,}")
    matches: list[str | None] = []
    if labels is None:
        chosen = listing.photos[:limit]
    else:
        photos = {photo.key: photo for photo in everything.photos}
        keys = list(photos)
        matched = match_labels(
            labels.names(), {key: photo.location.own_path for key, photo in photos.items()}
        )
        matches = matched.keys
        labelled = list(dict.fromkeys(key for key in matches if key is not None))
        missing, left_out = matches.count(None), len(keys) - len(labelled)
        notes.append(
            f"labels: {counted(len(matches), 'row')}, {counted(len(labelled), 'photo')} matched, "
            f"{counted(missing, 'row')} without a photo, {counted(left_out, 'photo')} without a row left out"
        )
        notes += matched.notes
        if not labelled:
            raise UsageError(
                f"--labels: no row of {len(matches):,} names a photo of --in "
                f"(first row: {labels.names()[0]!r}, first photo: {keys[0]!r}); pass --labels-key COLUMN"
                + "".join(f"; {note}" for note in matched.notes)
            )
        ours = {photo.key for photo in listing.photos}
        chosen = [photos[key] for key in labelled if key in ours][:limit]
    return chosen, matches, notes


def _still_there(folder: OutputFolder, everything: Listing) -> list[str]:
    """That photos of system folders, which earlier versions took, stay in the data set; nothing otherwise."""
    before = load_listing(folder.whole)
    left = set(before.known_keys).difference(photo.key for photo in everything.photos)
    old = sorted(key for key in left if system_folder_of(key))
    if not old:
        return []
    return [
        f"photos of system folders that came in earlier: {len(old):,} (first: {old[0]}); they keep rows and "
        "crops, as every photo that has left the input does; reject them in `detic-crop review`, or begin "
        "anew with --overwrite"
    ]


def _dry_run(result: RunResult, task: Task, folder: OutputFolder, options: RunOptions) -> RunResult:
    plan = make_plan(task, {} if options.overwrite else finished_records(folder), folder)
    result.skipped, result.remaining = plan.skipped, len(plan.jobs)
    result.notes += [
        f"{job.photo.key} → {folder.layout.shown_of(folder.root / job.crop)}" for job in plan.jobs[:5]
    ]
    return result
