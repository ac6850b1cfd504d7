"""The process that looks at photos for a run on a Ray cluster: one detector, threads around it.

It is the same as a run on one machine but for its two ends: jobs come as calls from the process that records,
and crops go back there as bytes. Nothing is written on its node.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import numpy as np

from detic_crop.detectors.base import Detector
from detic_crop.errors import DeticCropError
from detic_crop.photos.photo import Photo
from detic_crop.system.machine import threads_per_photo
from detic_crop.work.executors.detector_thread import DetectorThread
from detic_crop.work.executors.threads import few_threads_each
from detic_crop.work.pipeline import Pipeline
from detic_crop.work.recipe import Job, Outcome, Recipe
from detic_crop.work.timing import Totals

PACKAGES = ("detic-crop", "torch", "torchvision", "opencv-python-headless", "pillow", "numpy")
"""Of which another version may give other bytes."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told before its first photo.

    Attributes:
        recipe: what is wanted.
        device: of the detector.
        cores: of this worker.
        threads: that work on photos; None takes what fits the cores and the node's memory.
        cwd: what relative paths are relative to.
        probes: some photos that must be there.
        again: the one before it died: a detector that dies of any photo shall do so before it is given one.
    """

    recipe: Recipe
    device: str
    cores: int
    threads: int | None
    cwd: str
    probes: Sequence[Photo]
    again: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """The detector is loaded.

    Attributes:
        ahead: so many photos may be on their way to this worker.
        threads: that work on photos.
        thread_safe: they ask the detector themselves.
        host: name of the node.
        device: of the detector.
        weights: file name → sha256 of what its answers depend on.
        unseen: those of `Order.probes` that are not there, or another file.
        versions: of `PACKAGES`.
    """

    ahead: int
    threads: int
    thread_safe: bool
    host: str
    device: str
    weights: dict[str, str]
    unseen: list[Photo]
    versions: dict[str, str]


class Worker:
    """A Ray actor. Its methods are coroutines, so any number of photos may be on their way in it."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        self._stopped = False

    async def begin(self, order: Order, detector: Detector | None) -> Ready:
        """Load the detector, unless it came along.

        Raises:
            DeticCropError: it cannot be loaded here.
        """
        return await asyncio.to_thread(self._begin, order, detector)

    def _begin(self, order: Order, detector: Detector | None) -> Ready:
        with suppress(OSError):
            os.chdir(order.cwd)
        recipe = order.recipe
        unseen = [photo for photo in order.probes if not photo.is_visible()]
        if detector is None:
            detector = self._load(order)
        if order.again:
            with suppress(Exception):
                detector.detect(np.full((64, 96, 3), 128, np.uint8))
        info = detector.info
        pipeline = Pipeline(recipe, detector)
        few = max(1, order.cores // threads_per_photo(info.memory_per_photo)) if info.thread_safe else 4
        threads = order.threads or min(few, order.cores)
        self._serve(pipeline, threads)
        return Ready(
            2 * threads + 2 * pipeline.batch_size,
            threads,
            info.thread_safe,
            socket.gethostname(),
            order.device,
            dict(info.weights),
            unseen,
            package_versions(),
        )

    def _load(self, order: Order) -> Detector:
        try:
            return order.recipe.load_detector(order.device)
        except DeticCropError as error:
            raise type(error)(f"on node {socket.gethostname()}: {error}") from error

    def _serve(self, pipeline: Pipeline, threads: int) -> None:
        """Begin the threads; `_submit` gives them a job."""
        info = pipeline.detector.info
        inside = threads_per_photo(info.memory_per_photo) if info.thread_safe else None
        begin = self._opened.enter_context(few_threads_each(inside))
        pool = ThreadPoolExecutor(threads, thread_name_prefix="detic-crop", initializer=begin)
        self._pipeline = pipeline
        self._submit: Callable[[Job], Future[Outcome]]
        self._detector: DetectorThread | None = None
        self._flying: set[Future[Outcome]] = set()
        if info.thread_safe:
            self._submit = lambda job: pool.submit(pipeline.process, job)
        else:
            self._detector = DetectorThread(pipeline, pool, lambda: self._stopped)
            self._submit = self._opened.enter_context(self._detector).submit

    async def do(self, job: Job) -> Outcome | None:
        """One photo; None when a stop came before it was begun.

        Raises:
            DeticCropError: the detector is broken.
        """
        if self._stopped:
            return None
        future = self._submit(job)
        self._flying.add(future)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            return None
        finally:
            self._flying.discard(future)

    async def stop(self) -> None:
        """Begin nothing more; what the detector has seen is finished."""
        self._stopped = True
        if self._detector is not None:
            self._detector.stop()
            return
        for future in list(self._flying):
            future.cancel()

    async def totals(self) -> Totals:
        """Where the time went."""
        return self._pipeline.times.totals()


def package_versions() -> dict[str, str]:
    """Versions of `PACKAGES` here."""
    found = {}
    for package in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
