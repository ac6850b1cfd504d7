"""The process that works on photos for a run on a Ray cluster: one detector, threads around it.

Jobs come as calls from the process that records; outcomes go back there. Nothing is written on its node.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from detic_crop.detectors.base import Detector
from detic_crop.detectors.families import packages_of
from detic_crop.errors import DeticCropError
from detic_crop.photos.photo import Photo
from detic_crop.system.machine import threads_per_photo
from detic_crop.work.executors.threads import WorkerThreads
from detic_crop.work.pipeline import Pipeline
from detic_crop.work.recipe import Job, Outcome, Recipe
from detic_crop.work.timing import Totals

PACKAGES = ("detic-crop", "torch", "torchvision", "timm", "opencv-python-headless", "pillow", "numpy")
"""Packages whose versions may change the bytes of a crop."""

_ON_THE_WAY = 2
"""Photos more than the threads take, so that none waits for the network."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told before its first photo.

    Attributes:
        recipe: what is wanted.
        device: where its detector runs.
        cores: cores of this worker.
        threads: threads that work on photos; None takes what suits the cores and the memory of the node.
        cwd: what relative paths are relative to.
        probes: some photos that must be visible.
        after_crash: replace a crashed worker: run the detector once on a blank image, so that a detector that
            dies of any photo does so before it is given one.
    """

    recipe: Recipe
    device: str
    cores: int
    threads: int | None
    cwd: str
    probes: Sequence[Photo]
    after_crash: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """What a worker says of itself once its detector is loaded.

    Attributes:
        host: name of the node.
        most_in_flight: photos that may be on their way to it.
        weights: file name → sha256 of what its answers depend on.
        unseen: those of `Order.probes` that are not there, or are another file.
        versions: package → version, see `package_versions`.
    """

    host: str
    most_in_flight: int
    weights: dict[str, str]
    unseen: list[Photo]
    versions: dict[str, str]


class RayWorker:
    """A Ray actor. Its methods are coroutines, so any number of photos may be on their way in it."""

    def __init__(self) -> None:
        self._stopped = False

    async def begin(self, order: Order, detector: Detector | None) -> Node:
        """Load the detector, unless it came along.

        Raises:
            DeticCropError: it cannot be loaded here.
        """
        return await asyncio.to_thread(self._begin, order, detector)

    def _begin(self, order: Order, detector: Detector | None) -> Node:
        with suppress(OSError):
            os.chdir(order.cwd)
        unseen = [photo for photo in order.probes if not photo.is_visible()]
        if detector is None:
            detector = self._load(order)
        if order.after_crash:
            with suppress(Exception):
                detector.detect(np.full((64, 96, 3), 128, np.uint8))
        info = detector.info
        few = max(1, order.cores // threads_per_photo(info.memory_per_photo)) if info.thread_safe else 4
        threads = order.threads or min(few, order.cores)
        self._pipeline = Pipeline(order.recipe, detector)
        self._threads = WorkerThreads(self._pipeline, threads, lambda: self._stopped).__enter__()
        most = self._threads.most_in_flight + _ON_THE_WAY
        return Node(
            socket.gethostname(), most, dict(info.weights), unseen, package_versions(order.recipe.model)
        )

    def _load(self, order: Order) -> Detector:
        try:
            return order.recipe.load_detector(order.device)
        except DeticCropError as error:
            raise type(error)(error.code, f"on node {socket.gethostname()}: {error.message}") from error

    async def do(self, job: Job) -> Outcome | None:
        """Work on one photo; None if a stop came before it was begun.

        Raises:
            DeticCropError: the detector is broken.
        """
        if self._stopped:
            return None
        try:
            return await asyncio.wrap_future(self._threads.submit(job))
        except asyncio.CancelledError:
            return None

    async def stop(self) -> None:
        """Begin nothing more; what the detector has seen is finished."""
        self._stopped = True
        self._threads.stop()

    async def totals(self) -> Totals:
        """Return where the time went."""
        return self._pipeline.times.totals()


def package_versions(model: str) -> dict[str, str]:
    """Return the versions in this environment of `PACKAGES`, and of those that a model needs besides."""
    found = {}
    for package in (*PACKAGES, *packages_of(model)):
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
