"""What a user of the library calls."""

from __future__ import annotations

import dataclasses
import getpass
import glob
import importlib.metadata
import logging
import os
import platform
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from detic_crop.audit.absent import Absent, absent_among
from detic_crop.audit.estimate import Estimate, estimate
from detic_crop.audit.report import write_report
from detic_crop.audit.review.verdicts import (
    VERDICTS,
    Verdict,
    VerdictLog,
    last_lines,
    not_understood,
    now,
    read_verdicts,
    standing_verdicts,
)
from detic_crop.audit.sample import Drawn, detected_records, draw, read_sample, write_sample
from detic_crop.audit.table import (
    BOX_COLUMNS,
    NUMBER_COLUMNS,
    Row,
    flagged,
    keep_labels,
    kept_labels,
    row_doubts,
    table_rows,
    write_table,
)
from detic_crop.audit.workbook import check_workbook, write_workbook
from detic_crop.boxes.choose import UNKNOWN_CLASS, Choice, choose_and_keep
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.geometry import Box, Fit, PixelBox, crop_rectangle, whole
from detic_crop.collecting import collector_paused
from detic_crop.config import ALGORITHM, CropConfig, RunOptions
from detic_crop.console import open_descriptors
from detic_crop.detectors import load_detector, resolve_model
from detic_crop.detectors.base import (
    ClassAwareDetector,
    Detector,
    DetectorInfo,
    LookupDetector,
    PolicyAwareDetector,
)
from detic_crop.detectors.devices import resolve_devices
from detic_crop.detectors.vocabulary import join_names, resolve_classes
from detic_crop.errors import DeticCropError, Interrupted, OutputError, Terminated, UsageError
from detic_crop.images.crop import cut_and_resize
from detic_crop.runs import places
from detic_crop.runs.apply import Change, apply_changes, changes_of, is_same_photo
from detic_crop.runs.decisions import Decision, decision_in
from detic_crop.runs.devices import Recipe, run_devices
from detic_crop.runs.discover import discover
from detic_crop.runs.discover_stores import looked_at
from detic_crop.runs.execute import (
    Execution,
    Executor,
    Plan,
    Stop,
    check_same_settings,
    execute,
    make_plan,
    paths_now,
    photo_paths,
    read_listing,
    stop_signals,
    write_listing,
)
from detic_crop.runs.folder import OutputFolder, output_errors
from detic_crop.runs.inputs import Given, arranged, check_same_data_set, parts_of, recorded_inputs, united
from detic_crop.runs.journal import Journal, Record, Recorded, recorded_config, replay, replay_finished
from detic_crop.runs.labels import Labels, match_labels, read_labels
from detic_crop.runs.machine import default_workers
from detic_crop.runs.merge import (
    Gap,
    Gathered,
    check_target,
    chosen_keys,
    fold,
    gaps,
    gather,
    know_earlier_merge,
    merged_part,
    merged_run_json,
    sources_of,
)
from detic_crop.runs.pipeline import Pipeline
from detic_crop.runs.progress import no_progress, progress_bar
from detic_crop.runs.ray import RayRun
from detic_crop.runs.ray_cluster import Cluster, connected, device_of, import_ray
from detic_crop.runs.recrop import KeptCandidates, carried_decisions, check_policy
from detic_crop.runs.shard_state import (
    Input,
    Merged,
    begin_shard,
    check_same_count,
    check_same_shards,
    crops_of,
    finished_records,
    folder_settings,
    known_records,
    write_part,
)
from detic_crop.runs.shards import resolve_shard
from detic_crop.runs.sources import Listing, Source
from detic_crop.runs.store_folder import copied_here, open_folder
from detic_crop.runs.stores import is_address, joined, path_of, public, store_of
from detic_crop.system_folders import system_folder_of
from detic_crop.wording import counted, either

if TYPE_CHECKING:
    import pandas as pd

_log = logging.getLogger(__name__)

# What a detector was asked; kept boxes cannot answer for anything else.
_DETECTOR_SETTINGS = {
    *("model", "weights", "vocabulary", "precision", "detector_size", "truncated", "algorithm"),
    *("weights_file", "names", "box_format"),
}

PathLike = str | os.PathLike[str]
_Result = TypeVar("_Result", bound="RunResult")


@dataclass(slots=True)
class RunResult:
    """What a run left behind.

    Attributes:
        folder: the output folder; of an address its paths are gone, and `folder.shown` is what it was.
        config: the settings as resolved.
        model_reason: why this model.
        counts: photos in audit.csv by status.
        failures: failed photos by reason.
        reviewed_whole: resized photos that a reviewer wanted whole.
        not_listed: resized photos that the boxes file does not name.
        flagged: cropped rows with at least one flag.
        done: photos finished by this call.
        skipped: photos finished by an earlier call.
        remaining: photos of this call still to do.
        seconds: wall time of the work.
        stopped: empty, ``time_limit``, ``SIGINT`` or ``SIGTERM``.
        notes: sentences a person should read.
        transitions: after `recrop`, (old status, new status) → photos whose status changed.
        profile: with ``profile=True``, a table of where the time went.
        estimate: what a reviewed random sample says of all crops; None where none was drawn.
    """

    folder: OutputFolder
    config: CropConfig
    model_reason: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    reviewed_whole: int = 0
    not_listed: int = 0
    flagged: int = 0
    done: int = 0
    skipped: int = 0
    remaining: int = 0
    seconds: float = 0.0
    stopped: str = ""
    notes: list[str] = field(default_factory=list)
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    profile: str = ""
    estimate: Estimate | None = None

    @property
    def photos_per_second(self) -> float:
        """Photos finished by this call per second of work."""
        return self.done / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class ApplyResult(RunResult):
    """What `apply` did, or with ``dry_run`` would do.

    Attributes:
        changes: photos whose crop or verdict did not follow the reviewer yet.
        problems: of these, key → why its row keeps its earlier state.
    """

    changes: list[Change] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CropResult:
    """One photo, cropped.

    Attributes:
        crop: (size, size, 3) uint8, channels in the photo's order.
        status: ``cropped`` or ``resized``.
        box: the chosen box, xyxy float, or None.
        crop_box: the pixels used.
        detections: all boxes, as kept.
        choice: the chosen index and the reason.
    """

    crop: NDArray[np.uint8]
    status: str
    box: Box | None
    crop_box: PixelBox
    detections: Detections
    choice: Choice


def crop_photo(
    image: NDArray[np.uint8],
    detector: Detector | Detections,
    *,
    classes: str | None = None,
    conf: float | None = None,
    scale: float = 1.2,
    size: int = 512,
    fit: Fit = "stretch",
) -> CropResult:
    """Crop one photo in memory, exactly as a run would.

    Args:
        image: upright (H, W, 3) uint8; BGR, as `cv2.imread` gives it, when a detector is to look at it.
        detector: from `load_detector`, or boxes you already have.
        classes: as ``--classes``; None takes the detector's default (marine life; any from a boxes file),
            any for given boxes.
        conf: lowest score; None takes the detector's default, 0 for given boxes.
        scale: enlargement of both sides about the centre.
        size: side of the crop, pixels.
        fit: ``stretch``, ``pad`` or ``square``.

    Raises:
        UsageError: a setting is out of range, or the array is no photo.
    """
    CropConfig(classes=classes, conf=conf, scale=scale, size=size, fit=fit)  # checks the values
    if not isinstance(image, np.ndarray):
        raise UsageError(f"expected a photo as an array, got {image!r}; does the file that was read exist?")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise UsageError(f"expected an (H, W, 3) uint8 photo, got {image.shape} {image.dtype}")
    if not isinstance(detector, Detector | Detections):
        raise UsageError(f"expected a detector from load_detector, or Detections, got {detector!r}")
    resolution_wh = (image.shape[1], image.shape[0])
    if isinstance(detector, Detections):
        names = tuple(dict.fromkeys(detector.class_names))
        found, info = detector, DetectorInfo("given", names, 0.0, default_classes="any")
    else:
        found, info = detector.detect(image), detector.info
    wanted = resolve_classes(classes or info.default_classes, info.class_names, info.name)
    threshold = info.default_conf if conf is None else conf
    kept, choice = choose_and_keep(found, wanted, threshold, resolution_wh)
    box = None if choice.index is None else kept.edges(choice.index)
    crop_box = whole(resolution_wh) if box is None else crop_rectangle(box, scale, fit, resolution_wh)
    crop = cut_and_resize(image, crop_box, size, fit)
    return CropResult(crop, "resized" if box is None else "cropped", box, crop_box, kept, choice)


def run(
    input: PathLike,
    output: PathLike,
    *,
    config: CropConfig | None = None,
    options: RunOptions | None = None,
    detector: Detector | None = None,
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
    config, options = _with_settings(config or CropConfig(), options or RunOptions(), settings)
    with open_folder(output, resolve_shard(options.shard), anew=options.overwrite) as folder:
        result = _run(input, folder, config, options, detector)
    return _unless_stopped(result)


def _run(
    input: PathLike,
    folder: OutputFolder,
    config: CropConfig,
    options: RunOptions,
    detector: Detector | None,
) -> RunResult:
    input = places.given(input)
    folder.check_apart(input)
    folder.check_usable()
    _check_alone(folder, options)
    begun_with = folder_settings(folder, options.overwrite)
    command = [] if detector is not None else _words(input, config, options)
    listing = discover(input, folder.shown)
    labels = None if options.labels is None else read_labels(options.labels, options.labels_key)
    folder.check_safe(places.files_of(source.where for source in listing.sources), (), listing.plain)
    inputs, sources = _inputs(input, listing, folder, options)
    everything = dataclasses.replace(listing, sources=sources)
    chosen, matches, notes = _choose_photos(listing, everything, labels, options.limit)
    if not options.overwrite:
        notes += _still_there(folder, everything)
    if folder.shard is not None:
        chosen = [source for source in chosen if folder.shard.owns(source.key)]
    detector, reason, spread = _detector_for(config, options, begun_with, detector)
    asked = config.classes
    config, classes = _resolve(config, detector.info, begun_with)
    if isinstance(detector, ClassAwareDetector):
        detector.ask_for(classes)
    if isinstance(detector, PolicyAwareDetector):
        assert config.conf is not None  # resolved
        # Earlier versions called it a class where a file names none.
        all_count = asked is None and classes == (UNKNOWN_CLASS,)
        detector.count_for(None if all_count else classes, config.conf)
    check_same_settings(begun_with, config, folder)
    if not options.overwrite and labels is None and folder.whole.labels.exists():
        notes.append("audit.csv follows no labels any more; pass --labels to have them back")
    if isinstance(detector, LookupDetector):
        _tell_photos(detector, listing)
    _log.info("model %s: %s", config.model, reason)
    result = RunResult(folder, config, reason, notes=notes)
    if options.dry_run:
        if isinstance(detector, LookupDetector):
            result.notes += detector.notes()
        return _dry_run(result, everything, chosen, folder, options)
    with _ready(spread) as executor_for, _held(folder, options, config) as stop:
        decisions = _decisions_to_keep(folder, chosen, notes)
        if folder.shard is None:
            write_listing(folder, sources, inputs)
        else:
            whole = Input.of(sources, labels, matches, options.limit)
            write_part(folder, sources, inputs, whole, command)
        keep_labels(folder, labels, matches)
        pipeline = Pipeline(
            detector, classes, config, folder.write_temporary, options.max_pixels, decisions=decisions
        )
        origin: dict[str, Any] = {
            "input": places.kept(places.absolute(os.fspath(input))),
            "inputs": [given.where for given in inputs],
        }
        executor = executor_for(pipeline, folder, options.workers) if executor_for else None
        _work(result, pipeline, everything, chosen, options, origin, stop, executor=executor)
    return result


@contextmanager
def _ready(spread: _Spread | _OnRay | None) -> Iterator[_ExecutorFor | None]:
    """What makes the executor. A cluster is connected before anything is written."""
    if isinstance(spread, _OnRay):
        with spread.connected() as ready:
            yield ready
    else:
        yield spread.executor if spread else None


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
    origin = OutputFolder(copied_here(source, "recrop"))
    origin.require_run()
    with open_folder(output, anew=options is not None and options.overwrite) as folder:
        result = _recrop(origin, folder, input, options, settings)
    return _unless_stopped(result)


def _recrop(
    origin: OutputFolder,
    folder: OutputFolder,
    input: PathLike | None,
    options: RunOptions | None,
    settings: dict[str, Any],
) -> RunResult:
    state = replay(origin.journal)
    if state.config is None or not state.records:
        raise UsageError(f"{origin.shown} has no finished photos yet; give its `run` command again first")
    fixed = _DETECTOR_SETTINGS.intersection(settings)
    if fixed:
        raise UsageError(f"recrop cannot change {', '.join(sorted(fixed))}; give `run` for that")
    settings = {name: value for name, value in settings.items() if value is not None}
    config, options = _with_settings(state.config, options or RunOptions(), settings)
    if options.dry_run or options.labels is not None or options.shard is not None:
        raise UsageError("recrop has no dry run and no shards, and takes its labels from the folder it reads")
    if options.executor != "local":
        raise UsageError("recrop needs no detector and works on this machine; leave executor out")
    classes = check_policy(state.config, config, origin.candidates)
    # The crops are made by this version, whichever found the boxes.
    config = dataclasses.replace(config, classes=_classes_text(classes), algorithm=ALGORITHM)
    if os.path.realpath(folder.root) == os.path.realpath(origin.root):
        raise UsageError(f"--out is {origin.shown} itself; pass another folder")
    folder.check_usable()
    _check_alone(folder, options)
    check_same_settings(folder_settings(folder, options.overwrite), config, folder)
    recorded = read_listing(origin)
    labels, matches = kept_labels(origin)
    listing = _recorded_photos(recorded, state.records, input)
    folder.check_apart(str(recorded["root"] if input is None else places.given(input)))
    folder.check_safe(places.files_of(source.where for source in listing.sources), (), listing.plain)
    inputs = parts_of(recorded_inputs(recorded), [source.key for source in listing.sources])
    if not options.overwrite:
        check_same_data_set(read_listing(folder), inputs, folder.shown)
    result = RunResult(folder, config, f"boxes kept in {origin.shown}")
    unfinished = set(recorded["keys"]).difference(state.records)
    if unfinished and labels is None:
        result.notes.append(f"photos that {origin.shown} had not finished, left out: {len(unfinished):,}")
    largest = max(record.width * record.height for record in state.records.values())
    with _held(folder, options) as stop:
        write_listing(folder, listing.sources, inputs)
        keep_labels(folder, labels, matches)
        same_classes = config.classes == state.config.classes
        sizes = {photo.key: photo.size for photo in listing.sources}
        kept = KeptCandidates(state.config, state.records, origin.candidates, sizes, same_classes)
        with closing(kept) as detector:
            said, lapsed = carried_decisions(
                _decisions(origin, state.records),
                state.records,
                origin.candidates,
                classes,
                detector.info.default_conf if config.conf is None else config.conf,
            )
            if lapsed:
                result.notes.append(
                    f"photos that were accepted with another box than these settings choose: {lapsed}; "
                    "they count as not reviewed"
                )
            max_pixels = max(options.max_pixels, largest)  # what the run accepted is accepted again
            pipeline = Pipeline(
                detector,
                classes,
                config,
                folder.write_temporary,
                max_pixels,
                "recrop",
                # What was said of the new data set itself goes before what was said of the old one.
                said | _decisions(folder, {}),
            )
            chosen = listing.sources[: options.limit]
            names = {key: record.crop for key, record in state.records.items() if record.crop}
            came_from: dict[str, Any] = {
                "recropped_from": os.path.abspath(origin.root),
                "inputs": [given.where for given in inputs],
            }
            _work(result, pipeline, listing, chosen, options, came_from, stop, names)
    new = replay(folder.journal).records
    for source_item in chosen:
        before, after = state.records[source_item.key].status, new.get(source_item.key)
        if after is not None and after.status != before:
            result.transitions[before, after.status] += 1
    return result


def review(
    output: PathLike,
    *,
    input: PathLike | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = True,
    reviewer: str | None = None,
    ready: Callable[[str], object] = print,
) -> int:
    """Serve a local page to judge crops, most suspicious first, until Ctrl-C; see `apply` for what follows.

    The photos are those of the journal now; a run may go on meanwhile.

    Args:
        output: the output folder of a run.
        input: where the photos are now, when they have moved.
        host: address to bind to; another than this machine's own lets others on the network try.
        port: 0 for any free one; None for 8377 or, if that is taken, any free one.
        open_browser: whether to open the page in a browser.
        reviewer: name to note with each verdict; None takes the login name.
        ready: told the address, which holds the key to the page, when it can be opened.

    Returns:
        The number of verdicts given.

    Raises:
        UsageError: the folder has no finished photos, none of them is in `input`, the address cannot be
            had, or the extra is missing.
    """
    try:
        from detic_crop.audit.review import page, server
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in ("starlette", "uvicorn"):
            raise
        raise UsageError(
            f"the review page needs {missing}, which is not installed: pip install 'detic-crop[review]'"
        ) from error
    opened = page.open_page(OutputFolder(copied_here(output, "review")), input, reviewer or _login_name())
    with closing(server.listen(host, port)) as listener, stop_signals():
        if warning := server.warning_of(host):
            _log.warning(warning)
        for sentence in opened.absent.sentences("of these only the crops can be judged"):
            _log.warning(sentence)
        server.serve(opened, listener, host, open_browser, ready)
    return opened.given


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
        state = replay(folder.journal)
        result = _apply_result(folder, state.config)
        decisions = _decisions(folder, state.records)
        result.changes = changes_of(state.records, decisions, folder)
        absent = _look_for_photos(folder, state.records, input).absent
        result.notes += absent.sentences("what needs its photo will stay as it is")
        result.notes += _passed_over(folder, state.records, decisions)
        return result
    _apply_result(folder, recorded_config(folder.journal))
    with (
        _held(folder, options) as stop,
        closing(Journal(folder.journal, folder.candidates, folder.inside)) as journal,
    ):
        records = journal.state.records
        result = _apply_result(folder, journal.state.config)
        decisions = _decisions(folder, records)
        result.changes = changes_of(records, decisions, folder)
        keys = [change.image for change in result.changes if change.pixels]
        found = _look_for_photos(folder, records, input)
        paths = {key: found.paths[key] for key in keys}
        folder.check_safe(places.files_of(paths.values()), ())
        progress = no_progress if quiet or not result.changes else progress_bar
        begun = time.monotonic()
        with progress(len(result.changes), 0) as report:
            applied = apply_changes(
                result.changes,
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
        _write_tables(result, records, found=found)
    return _unless_stopped(result)


def _passed_over(
    folder: OutputFolder, records: Mapping[str, Record], decisions: Mapping[str, Decision]
) -> list[str]:
    """Sentences about lines of review.csv that nothing was done with."""
    notes = []
    if unknown := sum(key not in records for key in decisions):
        notes.append(f"verdicts about photos that are not in the journal, passed over: {unknown}")
    if lines := not_understood(folder.review):
        notes.append(
            f"lines of {folder.review} that are no verdict, passed over: {lines}; "
            f"expected image,verdict,box,reviewer,time with one of {', '.join(VERDICTS)}"
        )
    return notes


def _apply_result(folder: OutputFolder, config: CropConfig | None) -> ApplyResult:
    if config is None:
        raise UsageError(f"{folder.shown} has no finished photos yet; give its `run` command again first")
    return ApplyResult(folder, config)


def _decisions(folder: OutputFolder, records: Mapping[str, Record]) -> dict[str, Decision]:
    """The reviewer's last word on every photo, applied already or not."""
    decisions = {key: decision_in(record) for key, record in records.items() if record.verdict}
    for image, last in last_lines(folder.review).items():
        undone = last.verdict == "undone"
        decisions[image] = Decision() if undone else Decision(last.verdict, last.box, last.reviewer)
    return decisions


def _decisions_to_keep(
    folder: OutputFolder, chosen: Sequence[Source], notes: list[str]
) -> dict[str, Decision]:
    """Applied decisions, which a run keeps where it must crop such a photo again.

    A verdict about a photo that has changed since says nothing of the new one: it is taken back, in writing,
    before the new one can be cropped.
    """
    verdicts = read_verdicts(folder.review)
    if not verdicts:
        return {}
    records = known_records(folder)
    were = photo_paths(read_listing(folder.whole)) | photo_paths(read_listing(folder))
    decisions, changed = {}, []
    for source in chosen:
        record = records.get(source.key)
        # Only of these may the bytes be read.
        reviewed = record is not None and (record.verdict or source.key in verdicts)
        if record is None or source.size < 0 or not reviewed:
            continue
        moved = were.get(source.key) != places.kept(places.absolute(source.where))
        if is_same_photo(record, source, moved):
            decisions[source.key] = decision_in(record)
        elif source.key in verdicts:
            changed.append(
                Verdict(source.key, "undone", None, "detic-crop run: the photo has changed", now())
            )
    if changed:
        VerdictLog(folder.review).append(*changed)
        notes.append(
            f"{counted(len(changed), 'reviewed photo has', 'reviewed photos have')} changed since; "
            f"{either(len(changed), 'its verdict no longer counts', 'their verdicts no longer count')}"
        )
    return decisions


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without users
        return "unknown"


def write_audit(
    output: PathLike,
    *,
    input: PathLike | None = None,
    sample: int | None = None,
    seed: int | None = None,
    xlsx: bool = False,
) -> RunResult:
    """Rebuild audit.csv and audit.html of a folder from its journal.

    Photos that are no longer where the run found them keep the pictures that audit.html has of them.

    Args:
        output: the output folder of a run, or its address.
        input: where the photos are now, when they have moved.
        sample: draw a stratified random sample of so many photos for review; a larger one adds to an
            earlier one, and no verdict is ever lost.
        seed: of the random numbers; None keeps that of an earlier sample, else takes 0.
        xlsx: write audit.xlsx, too.

    Raises:
        UsageError: the folder has no journal, none of its photos is in `input`, or a sample or workbook
            cannot be made of it.
        OutputError: it cannot be written or is in use.
    """
    if seed is not None and sample is None:
        raise UsageError("--seed belongs to --sample; pass --sample N, too, e.g. 200")
    with open_folder(output) as folder:
        return _write_audit(folder, input, sample, seed, xlsx)


def _write_audit(
    folder: OutputFolder,
    input: PathLike | None = None,
    sample: int | None = None,
    seed: int | None = None,
    xlsx: bool = False,
    takes_input: bool = True,
) -> RunResult:
    folder.require_run()
    with folder.locked(), output_errors(folder.shown):
        state = replay(folder.journal)
        if state.config is None:
            raise UsageError(f"{folder.shown} has no finished photos yet; give its `run` command again first")
        result = RunResult(folder, state.config)
        found = _look_for_photos(folder, state.records, input)
        if xlsx or sample is not None:  # whatever is to be refused is refused before anything is written
            rows, labels = _rows(folder, state.records)
            if xlsx:
                check_workbook(len(rows), labels)
            if sample is not None:
                _draw_sample(result, rows, sample, seed)
        _write_tables(result, state.records, xlsx, found if takes_input else None)
    return result


def merge(*folders: PathLike, output: PathLike | None = None, partial: bool = False) -> RunResult:
    """Join the shards of a run into one data set, as if one run had made it.

    The same call again changes nothing.

    Args:
        *folders: the output folders that the shards wrote to; or the one address.
        output: a new folder for the whole, to which crops are linked or copied; None joins the one folder's
            shards in place.
        partial: join what there is, though shards are not done; whoever runs next does the rest.

    Raises:
        UsageError: there is nothing to merge, it does not belong together, or photos were done twice and not
            alike; nothing was changed.
        DeticCropError: shards are not done; nothing was changed.
        OutputError: a shard is at work, or a folder cannot be written; what was done is kept.
    """
    if output is None and len(folders) == 1:
        with open_folder(folders[0]) as folder:
            return _merge_into([folder], folder, partial)
    sources = [OutputFolder(copied_here(folder, "merge")) for folder in folders]
    places = {os.path.realpath(source.root): source for source in sources}
    if not sources or len(places) < len(sources):
        raise UsageError("merge needs the --out folders of the shards, each once")
    if output is None and len(sources) > 1:
        raise UsageError("several folders are merged into a new one; pass --out FOLDER")
    assert output is not None
    folder = OutputFolder(copied_here(output, "merge"))
    folder = places.get(os.path.realpath(folder.root), folder)
    if len(sources) > 1 and folder in sources:
        raise UsageError(f"--out {folder.shown} is one of the folders to merge; pass a new one")
    return _merge_into(sources, folder, partial)


def _merge_into(sources: Sequence[OutputFolder], folder: OutputFolder, partial: bool) -> RunResult:
    bring = folder not in sources
    for source in sources:
        source.complete()
    for source in sources:
        if not source.shards():
            return _merged_before(source, bring)
        if bring and source.journal.exists():
            raise UsageError(f"{source.shown} was merged before; merge it by itself, without --out")
    folder.check_usable()
    with ExitStack() as held:
        for source in sources:
            held.enter_context(source.locked(merging=True))
        gathered = gather(sources)
        labels, matches = kept_labels(gathered.listed[0].folder)
        earlier = replay(folder.journal)
        records = earlier.records
        check_same_settings(earlier.config, gathered.config, folder)
        if bring:
            check_target(gathered, records, folder)
        know_earlier_merge(gathered, folder)
        chosen = chosen_keys(gathered, matches)
        missing = gaps(gathered, chosen, records)
        if missing and not partial:
            raise _not_done(missing, gathered, sources)
        if bring:
            held.enter_context(folder.locked())
        held.enter_context(output_errors(folder.shown))
        folder.create()
        result = RunResult(folder, gathered.config, notes=_merge_notes(gathered, missing))
        result.remaining = sum(gap.photos or 0 for gap in missing)
        _merge(result, gathered, chosen, labels, matches, bring)
        return result


def _merged_before(source: OutputFolder, bring: bool) -> RunResult:
    """There is nothing to merge: the tables once more, where it has been done."""
    if bring or not source.journal.exists():
        raise UsageError(f"{source.shown} holds no shards; pass the --out folder of `run --shard k/N`")
    result = _write_audit(source, takes_input=False)
    result.notes.append("no shards wait to be merged here")
    merged = Merged.of_listing(read_listing(source))
    if not merged.complete:
        result.notes.append(
            f"merged in part: the shards of {merged.photos - len(merged.places):,} of "
            f"{counted(merged.photos, 'photo')} "
            f"were not there; {_GO_ON}"
        )
    return result


def _merge(
    result: RunResult,
    gathered: Gathered,
    chosen: Sequence[str],
    labels: Labels | None,
    matches: Sequence[str | None],
    bring: bool,
) -> None:
    """Append, write the tables, and last drop the shards' states: until then the same call mends a kill."""
    folder = result.folder
    with closing(Journal(folder.journal, folder.candidates, folder.inside)) as journal:
        records = journal.state.records
        if journal.state.settings is None:
            journal.begin(gathered.config, gathered.version)
        fold(gathered, chosen, journal, folder, bring)
    write_listing(folder, *sources_of(gathered, folder), merged_part(gathered))
    keep_labels(folder, labels, matches)
    folder.remove_stale_rejected(records)
    _write_tables(result, records)
    inputs = [given.where for given in recorded_inputs(read_listing(folder))]
    summary = {
        "inputs": inputs,
        "counts": dict(result.counts),
        "flagged": result.flagged,
        "notes": result.notes,
    }
    folder.write_json(folder.run_json, {**merged_run_json(gathered), **summary, **_versions()})
    if not bring:
        folder.remove_shards()
    folder.clear_temporary()
    folder.carry_up()


def _merge_notes(gathered: Gathered, missing: Sequence[Gap]) -> list[str]:
    notes = [f"{gathered.unlike_before}; their shards have to be run again"] if gathered.unlike_before else []
    if gathered.damaged:
        notes.append(f"damaged journal lines of shards, passed over: {gathered.damaged}")
    if gathered.twice:
        notes.append(f"photos that two shards or folders did alike: {gathered.twice}")
    if missing:
        notes.append(
            f"merged in part: {'; '.join(map(str, missing[:5]))}{' …' if len(missing) > 5 else ''}; {_GO_ON}"
        )
    return notes


def _not_done(missing: Sequence[Gap], gathered: Gathered, sources: Sequence[OutputFolder]) -> DeticCropError:
    """What to do about shards that are not done: the first commands aloud, the sum in the error."""
    for gap in missing[:_MOST_COMMANDS]:
        command = gathered.command_of(gap.shard, sources[0])
        _log.warning("%s: %s", gap, command or f"give its command again, with --shard {gap.shard}")
    more = len(missing) - _MOST_COMMANDS
    rest = f" ({more} more are not shown)" if more > 0 else ""
    if gathered.unlike_before:
        rest += f": {gathered.unlike_before}"
    return DeticCropError(
        f"shards that are not done: {len(missing):,} of {gathered.count:,}{rest}; run them, then "
        "merge again, or take what there is with --partial; nothing was changed"
    )


def _draw_sample(result: RunResult, rows: Sequence[Row], size: int, seed: int | None) -> None:
    """Draw, and say what that did to an earlier sample."""
    folder = result.folder
    before = _sample_of(result)
    if seed is None:
        seed = before[0].seed if before else 0
    detected = detected_records(folder, {row.record.image for row in rows})
    sample = draw(detected, result.config, size, seed)
    write_sample(folder, sample)
    new = {drawn.image for drawn in sample}.difference(drawn.image for drawn in before)
    dropped = len(before) + len(new) - len(sample)
    result.notes.append(
        f"sample: {counted(len(sample), 'photo')} drawn with seed {seed}"
        + (f", {len(new)} new, {dropped} of the earlier sample not in it" if before else "")
        + "; every verdict is kept"
    )


def read_audit(output: PathLike) -> pd.DataFrame:
    """audit.csv as a pandas DataFrame: numbers, boxes as lists of four ints or None, all else as text.

    Args:
        output: the output folder of a run, or its address.

    Raises:
        UsageError: there is no audit.csv.
    """
    import pandas as pd

    # As text first: a photo named `NA` and an individual `007` must stay what they are.
    table = pd.read_csv(_audit_csv(output), dtype=str, keep_default_na=False)
    for column in NUMBER_COLUMNS:
        table[column] = pd.to_numeric(table[column].replace("", None))
    for column in BOX_COLUMNS:
        boxes = [list(map(int, text.split())) if text else None for text in table[column]]
        table[column] = pd.Series(boxes, index=table.index, dtype=object)
    return table


def _audit_csv(output: PathLike) -> Path | BytesIO:
    if not is_address(os.fspath(output)):
        path = Path(output) / "audit.csv"
        if path.is_file():
            return path
        raise UsageError(f"{path} does not exist; pass the --out folder of a detic-crop run")
    address = joined(os.fspath(output), "audit.csv")
    try:
        return BytesIO(store_of(address).read(address))
    except OSError as error:
        raise UsageError(
            f"{public(address)} cannot be read: {error.strerror}; pass the --out of a detic-crop run"
        ) from error


def _with_settings(
    config: CropConfig, options: RunOptions, settings: Mapping[str, Any]
) -> tuple[CropConfig, RunOptions]:
    for name, instead in (("weights", "pass weights_file=PATH"), ("algorithm", "leave it out")):
        if name in settings:
            raise UsageError(f"{name} is recorded by a run, not given to it; {instead}")
    ours = {f.name for f in dataclasses.fields(CropConfig)}
    theirs = {f.name for f in dataclasses.fields(RunOptions)}
    unknown = sorted(set(settings) - ours - theirs)
    if unknown:
        raise UsageError(
            f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(ours | theirs))}"
        )
    return (
        dataclasses.replace(config, **{k: v for k, v in settings.items() if k in ours}),
        dataclasses.replace(options, **{k: v for k, v in settings.items() if k in theirs}),
    )


_MOST_COMMANDS = 20
_GO_ON = "give `run` again, with or without --shard, then merge"
# What is said anew each time, or is the shard's own.
_NOT_REPEATED = {"overwrite", "discard_review", "dry_run", "quiet", "profile", "shard"}


def _words(input: PathLike, config: CropConfig, options: RunOptions) -> list[str]:
    """The words of a run's command, but for --out and --shard: what is not at its default, paths in full."""
    given = os.fspath(input)
    words = ["--in", places.kept(places.absolute(given))]
    for settings in (config, options):
        for setting in dataclasses.fields(settings):
            value = getattr(settings, setting.name)
            plain = setting.default_factory is dataclasses.MISSING and value != setting.default
            if plain and setting.name not in {"algorithm", *_NOT_REPEATED}:
                name = "weights" if setting.name == "weights_file" else setting.name
                words += [f"--{name.replace('_', '-')}", *([] if value is True else [_in_full(value)])]
    return words


def _in_full(value: Any) -> str:
    text = str(value)
    if text.startswith("boxes:"):
        return f"boxes:{os.path.abspath(os.path.expanduser(text.removeprefix('boxes:')))}"
    return os.path.abspath(text) if isinstance(value, Path) or text.endswith(".npy") else text


def _tell_photos(detector: LookupDetector, listing: Listing) -> None:
    """Tell the detector all photos of the input.

    Raises:
        UsageError: it knows none of them; says too what was strange about the input, which may be why.
    """
    try:
        detector.expect({source.key: source.where for source in listing.sources})
    except UsageError as error:
        raise UsageError("; ".join([str(error), *listing.notes[:2]])) from error


def _choose_photos(
    listing: Listing, everything: Listing, labels: Labels | None, limit: int | None
) -> tuple[list[Source], list[str | None], list[str]]:
    """The photos of this run in the audit's order, the photo of each label row, and what to say of it.

    Rows may also name photos of other inputs, which `everything` has as well.
    """
    notes = list(listing.notes)
    if listing.passed_over:
        notes.append(f"other files passed over: {listing.passed_over:,}")
    matches: list[str | None] = []
    if labels is None:
        chosen = listing.sources[:limit]
    else:
        sources = {source.key: source for source in everything.sources}
        keys = list(sources)
        matched = match_labels(labels.names(), {key: source.where for key, source in sources.items()})
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
        ours = {source.key for source in listing.sources}
        chosen = [sources[key] for key in labelled if key in ours][:limit]
    return chosen, matches, notes


def _root_of(input: PathLike) -> str:
    """The folder that most keys are relative to."""
    text = os.fspath(input)
    if is_address(text):
        below = PurePosixPath(path_of(text)).suffix or glob.has_magic(text)
        return places.kept(text.rpartition("/")[0] if below else text.rstrip("/"))
    root = os.path.abspath(text)
    return root if os.path.isdir(root) else os.path.dirname(root)


def _inputs(
    input: PathLike, listing: Listing, folder: OutputFolder, options: RunOptions
) -> tuple[list[Given], list[Source]]:
    """What the folder has been given, this call's input among it, and all of their photos in order.

    Raises:
        UsageError: these are other photos than it has, and are not to be added.
    """
    where = places.kept(places.absolute(os.fspath(input)))
    given = Given(where, _root_of(input), [source.key for source in listing.sources])
    if options.overwrite:
        return [given], listing.sources
    before = read_listing(folder.whole)
    were = photo_paths({**before, "keys": [*before["keys"], *before["paths"]]})
    same = _SamePhoto(folder.whole)
    inputs = arranged(before, were, given, listing.sources, same, options.add, folder.shown)
    inputs, sources = united(inputs, listing.sources, were)
    if folder.shard is not None:
        check_same_shards(folder, inputs, sources, options.add, _SamePhoto)
    return inputs, sources


def _still_there(folder: OutputFolder, everything: Listing) -> list[str]:
    """That photos of system folders, which earlier versions took, stay in the data set; nothing otherwise."""
    before = read_listing(folder.whole)
    left = {*before["keys"], *before["paths"]}.difference(source.key for source in everything.sources)
    old = sorted(key for key in left if system_folder_of(key))
    if not old:
        return []
    return [
        f"photos of system folders that came in earlier: {len(old):,} (first: {old[0]}); they keep rows and "
        "crops, as every photo that has left the input does; reject them in `detic-crop review`, or begin "
        "anew with --overwrite"
    ]


class _SamePhoto:
    """Whether a photo is the one that a folder has under its key; None where that is not known."""

    _READ = 20  # of so many the bytes are compared, where size and time leave it open

    def __init__(self, folder: OutputFolder) -> None:
        self._folder = folder
        self._records: dict[str, Record] | None = None
        self._left = self._READ

    def __call__(self, source: Source) -> bool | None:
        if self._records is None:
            self._records = replay(self._folder.journal).records
        record = self._records.get(source.key)
        if record is None or -1 in (record.file_size, source.size):
            return None
        if record.file_size != source.size:
            return False
        if record.file_time == source.mtime_ns or not places.is_path(source.where) or not self._left:
            return True
        self._left -= 1
        return is_same_photo(record, source, moved=True)


def _detector_for(
    config: CropConfig, options: RunOptions, begun_with: CropConfig | None, detector: Detector | None
) -> tuple[Detector, str, _Spread | _OnRay | None]:
    """The detector, why this one, and where it is to run when that is in several processes."""
    if options.executor == "ray":
        import_ray(options.ray_address)
        device_of(options.device, looks=True)
    if detector is not None:
        if config.box_format is not None:
            raise UsageError("--box-format goes with --model boxes:FILE only, not with your own detector")
        sent = _OnRay("", {}, detector, detector, options) if options.executor == "ray" else None
        return detector, "given by the caller", sent
    model, reason = resolve_model(config.model)
    if config.model == "auto" and begun_with is not None:
        model, reason = begun_with.model, "this folder was begun with it"
        if model.startswith(("boxes:", "detectron2:")):
            raise UsageError(f"this folder was made with --model {model}; pass --model and the file's path")
    settings: dict[str, Any] = {
        "vocabulary": config.vocabulary,
        "names": options.names,
        "weights_file": options.weights_file,
        "precision": config.precision,
        "detector_size": config.detector_size,
        "batch_size": options.batch_size,
        "box_format": config.box_format,
    }
    devices: list[str] = []
    if options.executor == "local":
        devices = [options.device] if model.startswith("boxes:") else resolve_devices(options.device)
    if len(devices) == 1:
        return load_detector(model, devices[0], **settings), reason, None
    # This process only asks what it is; to load it on the CPU costs no GPU memory.
    probe = load_detector(model, "cpu", **{**settings, "precision": "float32"})
    if devices:
        return probe, reason, _Spread(model, settings, tuple(devices))
    sent_along = probe if isinstance(probe, LookupDetector) else None  # the nodes need not have the file
    return probe, reason, _OnRay(model, settings, probe, sent_along, options)


def _recipe(
    model: str, detector_settings: dict[str, Any], pipeline: Pipeline, folder: OutputFolder, workers: int
) -> Recipe:
    """What another process needs to do a part of a run."""
    return Recipe(
        model,
        detector_settings,
        pipeline.classes,
        pipeline.config,
        pipeline.max_pixels,
        folder.root.absolute(),
        dict(pipeline.decisions),
        workers,
        shard=folder.shard,
    )


@dataclass(frozen=True, slots=True)
class _Spread:
    """Several devices, and what a process on one of them loads."""

    model: str
    detector_settings: dict[str, Any]
    devices: tuple[str, ...]

    def executor(self, pipeline: Pipeline, folder: OutputFolder, workers: int | None) -> Executor:
        """What does the jobs of a run there."""
        each = workers or default_workers(processes=len(self.devices))
        recipe = _recipe(self.model, self.detector_settings, pipeline, folder, each)
        do = partial(run_devices, recipe=recipe, devices=self.devices, times=pipeline.times)
        n = len(self.devices)
        return Executor(do, each * n, n, concurrent=set(self.devices) == {"cpu"})


@dataclass(frozen=True, slots=True)
class _OnRay:
    """A Ray cluster, and what a process on one of its nodes loads, or gets sent."""

    model: str
    detector_settings: dict[str, Any]
    detector: Detector
    sent: Detector | None
    options: RunOptions

    @contextmanager
    def connected(self) -> Iterator[_ExecutorFor]:
        """The cluster, connected."""
        info, options = self.detector.info, self.options
        # What was given has its device already, and pickle takes it to the processor of a node.
        device = device_of(options.device, info.looks and self.sent is None)
        with connected(
            options.ray_address, device, split=info.concurrent, workers=options.workers
        ) as cluster:
            yield partial(self._executor, cluster)

    def _executor(
        self, cluster: Cluster, pipeline: Pipeline, folder: OutputFolder, workers: int | None
    ) -> Executor:
        recipe = _recipe(self.model, self.detector_settings, pipeline, folder, workers or 1)
        ray_run = RayRun(cluster, recipe, self.sent, pipeline, folder.write_temporary)
        groups = cluster.new_groups()
        threads = sum(workers or group.cores for group in groups)
        concurrent = self.detector.info.concurrent and not cluster.on_gpus
        return Executor(partial(ray_run.do, groups), threads, len(groups), concurrent, ray_run.report)


_ExecutorFor = Callable[[Pipeline, OutputFolder, int | None], Executor]


def _resolve(
    config: CropConfig, info: DetectorInfo, begun_with: CropConfig | None
) -> tuple[CropConfig, tuple[str, ...] | None]:
    """Fill in what the model decides; a resume keeps the folder's default confidence.

    That of boxes from a file keeps its classes, too: earlier versions took only some of them by default.
    """
    same_model = begun_with is not None and begun_with.model == info.name
    wanted = config.classes
    if wanted is None and begun_with is not None and same_model and not info.looks:
        wanted = begun_with.classes
        if info.weights != begun_with.weights:  # another file: that is what will be refused, not its classes
            wanted = None
    classes = resolve_classes(wanted or info.default_classes, info.class_names, info.name)
    conf = config.conf
    if conf is None:
        conf = begun_with.conf if begun_with is not None and same_model else info.default_conf
    if conf is not None and conf < info.floor:
        raise UsageError(
            f"--conf {conf} is below {info.floor}, the lowest score that model {info.name} answers with; "
            f"pass {info.floor} or more"
        )
    return (
        dataclasses.replace(
            config,
            model=info.name,
            classes=_classes_text(classes),
            vocabulary=info.vocabulary or None,
            conf=conf,
            weights=dict(sorted(info.weights.items())),
        ),
        classes,
    )


def _classes_text(classes: tuple[str, ...] | None) -> str:
    """Resolved classes as a setting: the order in which they were named makes no difference."""
    return "any" if classes is None else join_names(sorted(classes))


def _dry_run(
    result: RunResult, listing: Listing, chosen: Sequence[Source], folder: OutputFolder, options: RunOptions
) -> RunResult:
    records = {} if options.overwrite else finished_records(folder)
    plan = _plan(listing, chosen, records, folder, result.config, options)
    result.skipped, result.remaining = plan.skipped, len(plan.jobs)
    result.notes += [f"{job.source.key} → {folder.shown_of(folder.root / job.crop)}" for job in plan.jobs[:5]]
    return result


def _plan(
    listing: Listing,
    chosen: Sequence[Source],
    records: Mapping[str, Recorded],
    folder: OutputFolder,
    config: CropConfig,
    options: RunOptions,
    earlier_names: Mapping[str, str] = MappingProxyType({}),
    decisions: Mapping[str, Decision] = MappingProxyType({}),
) -> Plan:
    keys = (source.key for source in listing.sources)
    per_tar = options.per_tar if config.out_format == "tar" else None
    return make_plan(keys, chosen, records, folder, config.format, earlier_names, decisions, per_tar)


def _check_alone(folder: OutputFolder, options: RunOptions) -> None:
    """Refuse a run beside shards, or a shard beside those of another number, before anything is begun."""
    if folder.shard is not None:
        check_same_count(folder)
        if options.overwrite and folder.whole.journal.exists():
            raise UsageError(
                f"{folder.shown} was merged before, and one shard cannot begin that anew; pass another --out"
            )
    elif not options.overwrite:
        folder.require_merged()


@contextmanager
def _held(folder: OutputFolder, options: RunOptions, config: CropConfig | None = None) -> Iterator[Stop]:
    """The output folder, ours alone (or a shard's part of it) and ready; signals ask for an orderly end."""

    def begin() -> None:
        if folder.shard is not None and config is not None:
            _check_alone(folder, options)
            check_same_settings(folder_settings(folder, overwrite=True), config, folder)
            if options.overwrite:
                _overwrite(folder, options)
            begin_shard(folder, config, _version("detic-crop"))

    open_descriptors()  # before the journal is opened
    with (
        folder.locked(begin, merging=options.overwrite),
        stop_signals() as stop,
        output_errors(folder.shown),
    ):
        if options.overwrite and folder.shard is None:
            _overwrite(folder, options)
        folder.create()
        yield stop


def _unless_stopped(result: _Result) -> _Result:
    """The signal that ended the work early takes its course, now that everything is recorded and closed."""
    if result.stopped == "SIGINT":
        raise Interrupted(result)
    if result.stopped in ("SIGTERM", "SIGBREAK"):
        number = signal.Signals[result.stopped]
        if signal.getsignal(number) in (signal.SIG_DFL, None):
            raise Terminated(result)
        signal.raise_signal(number)
    return result


def _overwrite(folder: OutputFolder, options: RunOptions) -> None:
    if folder.review.exists() and not options.discard_review:
        raise UsageError(
            f"--overwrite would remove the verdicts in {folder.shown_of(folder.review)}; "
            "add --discard-review to allow that"
        )
    folder.remove_run()


def _recorded_photos(
    recorded: Mapping[str, Any], records: Mapping[str, Record], input: PathLike | None
) -> Listing:
    """The photos of a kept listing that have records, where they were then or are now."""
    order = [key for key in recorded["keys"] if key in records]
    order += sorted(set(records).difference(order))
    paths = paths_now(recorded, order, input)
    listing = Listing(looked_at((key, paths[key]) for key in order))
    if all(source.size < 0 for source in listing.sources):
        raise UsageError(
            f"none of the photos is at {recorded['root'] if input is None else input}; pass --in FOLDER"
        )
    return listing


def _work(
    result: RunResult,
    pipeline: Pipeline,
    listing: Listing,
    chosen: Sequence[Source],
    options: RunOptions,
    origin: Mapping[str, Any],
    stop: Stop,
    earlier_names: Mapping[str, str] = MappingProxyType({}),
    executor: Executor | None = None,
) -> None:
    """Plan, execute, and write the tables whatever happened."""
    folder, config = result.folder, result.config
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    with closing(Journal(folder.journal, folder.candidates, folder.inside, slim=True)) as journal:
        check_same_settings(journal.state.config, config, folder)
        if journal.state.settings is None:
            journal.begin(config, importlib.metadata.version("detic-crop"))
        if folder.shard is not None:
            own, merged = journal.finished, replay_finished(folder.whole.journal)[1]
            folder.ours = crops_of(folder, own, merged)
            journal.finished = merged | own
        if config.out_format == "tar":
            folder.forget_unfinished(journal.finished)
        plan = _plan(
            listing, chosen, journal.finished, folder, config, options, earlier_names, pipeline.decisions
        )
        progress = no_progress if options.quiet else progress_bar
        try:
            execution = execute(plan, journal, pipeline, folder, options, progress, stop, executor)
        except OutputError:
            raise
        except (DeticCropError, KeyboardInterrupt):
            if folder.shard is None:
                _write_tables(result, replay(folder.journal).records)
            raise
    result.done, result.skipped = execution.done.total(), execution.skipped
    result.remaining = len(plan.jobs) - result.done
    result.seconds, result.stopped = execution.seconds, execution.stopped
    if isinstance(pipeline.detector, LookupDetector):
        result.notes += pipeline.detector.notes()
    if options.profile:
        result.profile = execution.usage.table()
    records = known_records(folder)
    if execution.ignored_lines:
        result.notes.append(
            f"damaged journal lines, whose photos were done again: {execution.ignored_lines:,}"
        )
    if folder.shard is None:
        folder.remove_stale_rejected(records)
        _write_tables(result, records)
    else:  # the tables need all shards
        _count(result, [records[source.key] for source in chosen if source.key in records])
    folder.write_json(folder.run_json, _run_json(result, options, execution, origin, started))
    folder.carry_up()


def _rows(folder: OutputFolder, records: Mapping[str, Record]) -> tuple[list[Row], Labels | None]:
    """The rows of audit.csv, and the labels that they follow."""
    labels, matches = kept_labels(folder)
    return table_rows(records, read_listing(folder)["keys"], labels, matches), labels


class _Found(NamedTuple):
    """Where the photos of a folder are: key → place, and which of them are not there."""

    paths: Mapping[str, str]
    absent: Absent


def _look_for_photos(
    folder: OutputFolder, records: Mapping[str, Record], input: PathLike | None = None
) -> _Found:
    """Where the photos were at the time of the run, or below `input`.

    Raises:
        UsageError: `input` has none of them.
    """
    listing = read_listing(folder)
    paths = paths_now(listing, list(records), input)
    if input is None:  # as far as they were found in this call
        paths |= {key: place for key, place in folder.secret_places.items() if key in paths}
    where = str(listing["root"]) if input is None else places.given(input)
    absent = absent_among(records, paths, where, given=input is not None)
    absent.refuse_all()
    return _Found(paths, absent)


def _write_tables(
    result: RunResult, records: Mapping[str, Record], xlsx: bool = False, found: _Found | None = None
) -> None:
    """Write the tables; `found` of commands that take ``--in`` for photos that have moved."""
    with collector_paused():
        todo = "pass" if found else "give `detic-crop audit` with"
        found = found or _look_for_photos(result.folder, records)
        so = "audit.html keeps the pictures that it has of them already"
        result.notes[:0] = found.absent.sentences(so, f"{todo} --in FOLDER, where they are now")
        _write_all_tables(result, records, xlsx, found)


def _write_all_tables(result: RunResult, records: Mapping[str, Record], xlsx: bool, found: _Found) -> None:
    folder = result.folder
    rows, labels = _rows(folder, records)
    photos = {row.record.image: row for row in rows}  # labels may have several rows for one
    verdicts = standing_verdicts(folder.review, records)
    if sample := _sample_of(result):
        result.estimate = estimate(sample, detected_records(folder, photos), records, verdicts)
    doubts = row_doubts(rows, result.config)
    write_table(folder, rows, labels, result.config, doubts)
    write_report(
        folder,
        rows,
        labels,
        result.config,
        verdicts,
        result.estimate,
        doubts,
        paths=found.paths,
        absent=found.absent,
    )
    if xlsx:
        result.notes += write_workbook(folder, rows, labels, result.config, found.paths)
    elif folder.has_workbook():
        result.notes.append(
            "audit.xlsx is older than this table; `detic-crop audit` with --xlsx writes it anew"
        )
    _count(result, [row.record for row in photos.values()])
    result.flagged = sum(1 for _ in flagged(list(photos.values()), result.config))
    if labels is not None and len(rows) < len(labels.rows):
        result.notes.append(
            f"audit.csv has {len(rows):,} of {counted(len(labels.rows), 'label row')} so far; "
            "it follows the table row by row once all are done"
        )


def _count(result: RunResult, records: Sequence[Record]) -> None:
    result.counts = Counter(record.status for record in records)
    result.failures = Counter(record.reason for record in records if record.status == "failed")
    result.reviewed_whole = sum(record.reason == "reviewed_whole" for record in records)
    result.not_listed = sum(record.reason == "not_listed" for record in records)


def _sample_of(result: RunResult) -> list[Drawn]:
    """The sample as drawn; a damaged file is worth a note, not the tables of a long run."""
    try:
        return read_sample(result.folder)
    except UsageError as error:
        result.notes.append(str(error))
        return []


def _run_json(
    result: RunResult, options: RunOptions, execution: Execution, origin: Mapping[str, Any], started: str
) -> dict[str, Any]:
    return {
        **origin,
        "settings": result.config.to_dict(),
        "fingerprint": result.config.fingerprint(),
        "model_reason": result.model_reason,
        **({} if result.folder.shard is None else {"shard": str(result.folder.shard)}),
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(options).items()},
        "counts": dict(result.counts),
        "flagged": result.flagged,
        "photos_done_now": result.done,
        "photos_done_before": result.skipped,
        "photos_remaining": result.remaining,
        "stopped": result.stopped,
        "notes": result.notes,
        "started": started,
        "seconds": round(execution.seconds, 3),
        "stage_seconds": {stage: round(s, 3) for stage, s in execution.usage.times.seconds.items()},
        "queue_seconds": {queue: round(s, 3) for queue, s in execution.usage.times.waited.items()},
        **({"ray": execution.where} if execution.where else {}),
        "busy": {who: round(share, 3) for who, share in execution.usage.busy().items()},
        **_versions(),
    }


def _versions() -> dict[str, Any]:
    packages = ("detic-crop", "torch", "torchvision", "timm", "opencv-python-headless", "pillow", "numpy")
    return {
        "versions": {"python": platform.python_version(), **{p: _version(p) for p in packages}},
        "platform": platform.platform(),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
