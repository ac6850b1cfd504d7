"""`detic-crop run`: from photos to crops and tables."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, Unpack

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.columns import Layers
from detic_crop.commands.carry_out import carry_out
from detic_crop.commands.choose_detector import choose_detector, resolve_config
from detic_crop.commands.command_line import command_words, whole_command
from detic_crop.commands.data_set import data_set_of
from detic_crop.commands.keyword_settings import RunSettings
from detic_crop.commands.result import RunResult, unless_stopped
from detic_crop.commands.scope import Scope, scope_of
from detic_crop.commands.settings import PathLike, with_settings
from detic_crop.commands.signature import RUN, takes_settings
from detic_crop.config import CropConfig, RunOptions
from detic_crop.detectors.base import Detector, DetectorLike, as_detector
from detic_crop.errors import UsageError
from detic_crop.folder.crop_paths import numbered
from detic_crop.folder.decisions import Decision, followed_by
from detic_crop.folder.folder import OutputFolder, open_folder
from detic_crop.folder.journal import Replay, replay
from detic_crop.folder.progress_file import told_progress
from detic_crop.folder.same_photo import is_same_photo
from detic_crop.folder.second_review import read_second_review, take_back_second
from detic_crop.folder.state import load_listing
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import VerdictLog, now, read_review
from detic_crop.photos.find import discover
from detic_crop.photos.location import locate
from detic_crop.photos.photo import Photo
from detic_crop.photos.table import Listing, OwnPaths
from detic_crop.report.meetings import check_encounter
from detic_crop.shards.resolve import resolve_shard
from detic_crop.wording import counted, either
from detic_crop.work.executors.open import open_executor
from detic_crop.work.plan import Task, make_plan
from detic_crop.work.recipe import Recipe

_log = logging.getLogger(__name__)


@takes_settings(RUN)
def run(
    input: PathLike,
    output: PathLike,
    *,
    config: CropConfig | None = None,
    options: RunOptions | None = None,
    detector: DetectorLike | None = None,
    **settings: Unpack[RunSettings],
) -> RunResult:
    """Crop every photo of `input` into the folder `output`; the same call again resumes.

    Args:
        input: folder, photo, glob, or ``.txt``/``.csv`` list of paths.
        output: folder for crops, audit.csv, audit.html and run.json; a path, or an address such as
            ``s3://bucket/cropped``.
        config: what the crops are like; see `CropConfig`.
        options: how the work is done; see `RunOptions`.
        detector: your own detector instead of ``config.model``.
        **settings: single fields of `CropConfig` and `RunOptions`, e.g. ``size=256, workers=2``; they are
            listed below.

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
    where = locate(input)
    with open_folder(output, resolve_shard(options.shard), config.out_format) as folder:
        # What is there: in the folder, and in the input.
        scope = scope_of(folder, options)
        folder.checks.apart(where)
        folder.check_usable()
        scope.check_alone()
        listing = discover(input, folder.shown)
        folder.checks.photos_outside((photo.location for photo in listing.photos), listing.links)
        data_set = data_set_of(where, listing, folder, options)
        check_encounter(options.encounter, data_set.labels)
        scope.check_photos(data_set.inputs, data_set.photos)
        for note in data_set.reported:
            _log.log(logging.WARNING if note in data_set.warnings else logging.INFO, "%s", note)

        # What is asked for, and whether that can be done here: until now nothing was written.
        command = [] if own is not None else command_words(where, config, options)
        begun_with = scope.begun_with()
        choice = choose_detector(config, options, begun_with, own)
        config = _prepared(choice.detector, config, begun_with, listing)
        scope.check_settings(begun_with, config)
        _log.info("model %s: %s", config.model, choice.reason)
        result = RunResult(
            folder,
            config,
            choice.reason,
            notes=data_set.notes,
            reported=data_set.reported,
            memory=options.memory,
        )
        task = Task(data_set.keys, scope.select(data_set.chosen), config, options.per_tar)
        if options.dry_run:
            result.notes += choice.detector.notes()
            return _described(task, scope, result)

        # The work.
        recipe = Recipe(
            config,
            options.max_pixels,
            "run",
            choice.model,
            choice.settings_elsewhere(),
            options.memory,
            photo_timeout=options.photo_timeout,
        )
        with (
            open_executor(recipe, choice.detector, choice.devices, options) as executor,
            scope.held(config) as stop,
            told_progress(folder, "run", whole_command(command, folder.layout.shard)) as progress,
        ):
            decisions = _decisions_to_keep(task.photos, scope, result.notes)
            task = dataclasses.replace(task, decisions=decisions)
            scope.save_input(data_set, command)
            origin: dict[str, Any] = {
                "input": str(where.absolute().redact()),
                "inputs": [given.where for given in data_set.inputs],
            }
            carry_out(task, scope, executor, choice.detector, stop, result, origin, progress)
    return unless_stopped(result)


def _prepared(
    detector: Detector, config: CropConfig, begun_with: CropConfig | None, listing: Listing
) -> CropConfig:
    """Tell the detector which classes and photos are asked for; return the settings as resolved.

    Raises:
        UsageError: the detector knows none of the classes or photos; names what was strange about the input.
    """
    resolved, classes = resolve_config(config, detector.info, begun_with)
    assert resolved.conf is not None
    # Earlier versions called it a class where a file names none.
    all_count = config.classes is None and classes == (UNKNOWN_CLASS,)
    detector.ask_for(None if all_count else classes, resolved.conf)
    detector.count_from(resolved.confs)
    try:
        detector.expect(OwnPaths(listing.photos))
    except UsageError as error:
        raise UsageError(error.code, "; ".join([error.message, *listing.notes[:2]])) from error
    return resolved


def _described(task: Task, scope: Scope, result: RunResult) -> RunResult:
    """Return what the run would do."""
    layout = scope.folder.layout
    finished = scope.finished((Replay() if scope.options.overwrite else replay(layout.journal)).entries)
    plan = make_plan(task, finished, scope.folder, scope)
    result.dry_run = True
    result.skipped, result.remaining = plan.skipped, len(plan.jobs)
    for job in plan.jobs[:5]:
        crop = numbered(job.crop, 1) if task.config.animals == "all" else job.crop
        result.notes.append(f"{job.photo.key} → {layout.shown_of(layout.root / crop)}")
    return result


def _decisions_to_keep(photos: Sequence[Photo], scope: Scope, notes: list[str]) -> dict[str, Decision]:
    """Return the applied decisions, which a run keeps where it must crop such a photo again.

    A verdict about a photo that has changed since says nothing about the new one: a line in review.csv takes
    it back before the new one can be cropped.
    """
    folder = scope.folder
    last = read_review(folder.layout.review).last
    verdicts = {image: verdict for image, verdict in last.items() if verdict.says_something}
    second = read_second_review(folder.layout.second_review)
    judged = verdicts.keys() | second.images
    if not judged:
        return {}
    records = scope.records()
    before = Layers(load_listing(folder).locations(), load_listing(folder.whole).locations())
    decisions, changed = {}, set[str]()
    for photo in photos:
        record = records.get(photo.key)
        # Only of these may the bytes be read.
        reviewed = record is not None and (record.says_something or photo.key in judged)
        if record is None or photo.size < 0 or not reviewed:
            continue
        moved = before.get(photo.key) != photo.location.absolute().redact()
        if is_same_photo(record, photo, moved):
            decisions[photo.key] = followed_by(record)
        elif photo.key in judged:
            changed.add(photo.key)
    if changed:
        _take_back(folder, sorted(changed & verdicts.keys()))
        take_back_second(folder.layout.second_review, second, changed)
        notes.append(
            f"{counted(len(changed), 'reviewed photo has', 'reviewed photos have')} changed since; "
            f"{either(len(changed), 'its verdict no longer counts', 'their verdicts no longer count')}"
        )
    return decisions


def _take_back(folder: OutputFolder, images: Sequence[str]) -> None:
    """Take back the verdicts on photos that have changed."""
    if images:
        why = "detic-crop run: the photo has changed"
        lines = [Verdict(image, "undone", (), why, now()) for image in images]
        VerdictLog(folder.layout.review).append(*lines)
