"""Which executor a run uses; chosen once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from detic_crop.config import RunOptions
from detic_crop.detectors.base import Detector
from detic_crop.work.executors.base import Executor
from detic_crop.work.executors.processes import Processes
from detic_crop.work.executors.ray_cluster import connected, device_of
from detic_crop.work.executors.ray_executor import RayExecutor
from detic_crop.work.executors.threads import Threads
from detic_crop.work.pipeline import Pipeline
from detic_crop.work.recipe import Recipe


@contextmanager
def open_executor(
    recipe: Recipe, detector: Detector, devices: Sequence[str], options: RunOptions
) -> Iterator[Executor]:
    """Yield the executor that the options ask for; a cluster is connected meanwhile.

    Args:
        recipe: what is wanted.
        detector: the detector of this process.
        devices: where detectors run on this machine; with several, each gets a process.
        options: how the work is done.

    Raises:
        UsageError: the cluster cannot be used.
    """
    info = detector.info
    if options.executor == "ray":
        # A detector that is sent has its device already, and pickle takes it to the processor of a node.
        device = device_of(options.device, bool(recipe.model) and info.needs_pixels)
        split, workers = info.thread_safe, options.workers
        with connected(options.ray_address, device, split=split, workers=workers) as cluster:
            yield RayExecutor(cluster, recipe, detector)
    elif len(devices) > 1:
        yield Processes(recipe, detector, devices, options.workers)
    else:
        yield Threads(Pipeline(recipe, detector), options.workers)
