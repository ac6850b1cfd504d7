"""Photos that come one at a time as bytes, and go as crops and rows: as a run would make them, on no disk."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.commands.choose_detector import choose_detector, resolve_config
from detic_crop.config import DEFAULT_MAX_PIXELS, CropConfig, RunOptions, Truncated
from detic_crop.detectors.base import Detector
from detic_crop.detectors.joined.several import Several
from detic_crop.folder.animals import crops_of, of_animal
from detic_crop.folder.records import Record
from detic_crop.images.decode import PhotoFile
from detic_crop.images.source import BytesSource
from detic_crop.photos.keys import normalise_key
from detic_crop.photos.location import NOWHERE
from detic_crop.photos.photo import Photo
from detic_crop.report.suspicion import doubts_of
from detic_crop.report.table import ANIMAL_COLUMNS, COLUMNS, row_cells
from detic_crop.system.machine import default_workers, threads_per_photo
from detic_crop.system.memory_budget import MemoryBudget
from detic_crop.work.executors.threads import few_threads_each
from detic_crop.work.pipeline import DecodedPhoto, Detected, Pipeline
from detic_crop.work.recipe import Job, Outcome, Recipe

_MOST_LOADED = 2
"""Detectors that stay in memory."""
_MOST_ASKED = 16
"""Settings that are kept ready for one detector."""

_LOADED_BY = ("model", "vocabulary", "tiles", "precision", "detector_size", "box_format", "onnx_input")
"""The settings with which a detector is loaded; others only change what is asked of it."""


@dataclass(frozen=True, slots=True)
class CroppedPhoto:
    """What became of one photo.

    Attributes:
        row: its row of audit.csv: column → text. Of nothing that compares it with others, such as copies.
        crop: bytes of its crop, of the largest animal if there are several; None: there is none.
        animals: with ``animals="all"`` for each animal its row of animals.csv, and its crop.
        reason: the word of what failed; empty if nothing did.
    """

    row: dict[str, str]
    crop: bytes | None
    animals: tuple[tuple[dict[str, str], bytes | None], ...] = ()
    reason: str = ""


class PhotoCropper:
    """Crops photos that are in memory; safe from many threads at once.

    A detector is loaded when it is first asked for, and has its threads, as many as suit it and the machine.

    Args:
        max_pixels: photos with more pixels fail.
    """

    def __init__(self, max_pixels: int = DEFAULT_MAX_PIXELS) -> None:
        self._max_pixels = max_pixels
        self._loaded: OrderedDict[tuple[object, ...], _Loaded] = OrderedDict()
        self._changing = threading.Lock()
        self._loading = threading.Lock()
        self._memory = MemoryBudget.of_machine()

    def submit(self, data: bytes, name: str, config: CropConfig) -> Future[CroppedPhoto]:
        """Begin to crop one photo; this may load a detector first, which takes seconds.

        Args:
            data: bytes of the file.
            name: what its row calls it.
            config: settings as asked for.

        Raises:
            UsageError, WeightsError: the model cannot be loaded, or does not know a class.
        """
        key = tuple(getattr(config, name) for name in _LOADED_BY)
        photo = _job_of(data, name, config)
        while True:
            loaded = self._loaded_for(key, config)
            pipeline = loaded.pipeline_of(config)
            with self._changing:  # others may have loaded so many that this one was closed meanwhile
                if self._loaded.get(key) is loaded:
                    return loaded.submit(pipeline, photo)

    def close(self) -> None:
        """End the threads, after the photos in hand."""
        with self._changing:
            for loaded in self._loaded.values():
                loaded.close()
            self._loaded.clear()

    def _loaded_for(self, key: tuple[object, ...], config: CropConfig) -> _Loaded:
        with self._changing:
            if key in self._loaded:
                self._loaded.move_to_end(key)
                return self._loaded[key]
        with self._loading:  # one after the other; who waited for the same finds it
            with self._changing:
                if key in self._loaded:
                    return self._loaded[key]
            loaded = _Loaded(config, self._max_pixels, self._memory)
            with self._changing:
                self._loaded[key] = loaded
                while len(self._loaded) > _MOST_LOADED:
                    self._loaded.popitem(last=False)[1].close()
        return loaded


class _Loaded:
    """One detector with its threads, and what was asked of it last."""

    def __init__(self, config: CropConfig, max_pixels: int, memory: MemoryBudget) -> None:
        choice = choose_detector(config, RunOptions(), None, None)
        self._detector = choice.detector
        self._max_pixels, self._memory = max_pixels, memory
        info = self._detector.info
        workers = default_workers(info.thread_safe, info.memory_per_photo)
        self._turn = None if info.thread_safe else threading.Lock()
        self._opened = ExitStack()
        inside = threads_per_photo(info.memory_per_photo) if info.thread_safe else None
        begin = self._opened.enter_context(few_threads_each(inside))
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="detic-crop-posted", initializer=begin)
        self._asked: OrderedDict[str, Pipeline] = OrderedDict()
        self._changing = threading.Lock()

    def submit(self, pipeline: Pipeline, job: Job) -> Future[CroppedPhoto]:
        """Begin to crop one photo; not after `close`."""
        return self._pool.submit(_cropped, pipeline, job)

    def close(self) -> None:
        """End the threads once their photos are done, without waiting for that."""
        self._pool.shutdown(wait=False)
        self._opened.close()

    def pipeline_of(self, config: CropConfig) -> Pipeline:
        """Return the steps for some settings.

        Raises:
            UsageError: the detector does not know a class.
        """
        key = config.fingerprint()
        with self._changing:
            if key in self._asked:
                self._asked.move_to_end(key)
                return self._asked[key]
        detector = _apart(self._detector)
        resolved, classes = resolve_config(config, detector.info, None)
        all_count = config.classes is None and classes == (UNKNOWN_CLASS,)
        detector.ask_for(None if all_count else classes, resolved.conf or 0.0)
        detector.count_from(resolved.confs)
        pipeline = _InTurn(Recipe(resolved, self._max_pixels), detector, self._memory, self._turn)
        with self._changing:
            self._asked[key] = pipeline
            while len(self._asked) > _MOST_ASKED:
                self._asked.popitem(last=False)
        return pipeline


class _InTurn(Pipeline):
    """The main path, with memory that all settings share; the detector is asked in turn if it must be."""

    def __init__(
        self, recipe: Recipe, detector: Detector, memory: MemoryBudget, turn: threading.Lock | None
    ) -> None:
        super().__init__(recipe, detector)
        self.memory = memory
        self._turn = turn

    def detect(self, photos: Sequence[DecodedPhoto]) -> list[Detected | Outcome]:
        """See `Pipeline.detect`."""
        with self._turn or contextlib.nullcontext():
            return super().detect(photos)


class PostedPhoto(Photo, frozen=True, gc=False):
    """A photo whose bytes are in memory."""

    data: bytes = b""

    def open(
        self,
        max_pixels: int,
        truncated: Truncated,
        memory: MemoryBudget | None = None,
        beside: Callable[[tuple[int, int]], int] | None = None,
        seconds: float = 0.0,
        with_exif: bool = False,
    ) -> PhotoFile:
        """See `Photo.open`."""
        return PhotoFile.open(
            BytesSource(self.data),
            memory or MemoryBudget.of_machine(),
            name=self.key,
            max_pixels=max_pixels,
            truncated=truncated,
            beside=beside,
            with_exif=with_exif,
        )


def _job_of(data: bytes, name: str, config: CropConfig) -> Job:
    key = normalise_key(name)
    stem = key.rpartition(".")[0] if "." in key else key
    return Job(PostedPhoto(key, NOWHERE, len(data), -1, data), f"{stem or 'photo'}.{config.format}")


def _cropped(pipeline: Pipeline, job: Job) -> CroppedPhoto:
    return _told(pipeline.process(job), pipeline.config)


def _apart(detector: Detector) -> Detector:
    """Return the detector as one that may be asked for something else; what takes memory is shared."""
    return detector.apart() if isinstance(detector, Several) else copy.copy(detector)


def _told(outcome: Outcome, config: CropConfig) -> CroppedPhoto:
    record = outcome.record
    row = {name: cell for name, cell in _cells(record, config).items() if name in COLUMNS}
    made = dict(zip((crop.name for crop in crops_of(record)), outcome.crops, strict=True))
    animals = []
    for animal in record.animals:
        each = of_animal(record, animal)
        cells = _cells(each, config) | {"animal": str(animal.number)}
        name = cells["crop"]
        animals.append(({column: cells[column] for column in ANIMAL_COLUMNS}, made.get(name)))
    reason = record.reason if record.status == "failed" else ""
    return CroppedPhoto(row, made.get(row["crop"]), tuple(animals), reason)


def _cells(record: Record, config: CropConfig) -> dict[str, str]:
    return row_cells(record, doubts_of(record, config))
