"""A run on a Ray cluster: a worker for each GPU, or group of cores, fed by this process, which alone records.

Photos are read, decoded and cropped on threads of the process that has the detector, as on one machine. Tasks
of their own for that would send every photo through the object store: 14 MB of pixels instead of 1 MB of file
for each (`python -m benchmarks.scale transfer`).

Ray places the workers, carries calls and results, and says which worker died. What Ray offers beyond that
falls short of what a run promises:

- Calls that Ray repeats (``max_task_retries``) repeat with the photo that kills a worker all those that were
  on their way beside it, and nobody knows which one it is.
- Ray Data (2.60) has one photo at a time in each worker, so nothing is decoded while the detector works; by
  default it gives a photo that kills its worker to one worker after another without end; told to give up, it
  drops the photo and says so in a log only. A stop kills what is on its way. Nothing at all runs when the
  workers hold all cores, and it requires pyarrow.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any

import numpy as np

from detic_crop.detectors.base import Detector
from detic_crop.errors import DeticCropError, PhotoError, UsageError, one_line
from detic_crop.photos.photo import Photo
from detic_crop.work.executors.base import ShouldStop
from detic_crop.work.executors.dispatch import Crew, Died, Dispatcher, Message, NotDone, Ready, Worker
from detic_crop.work.executors.ray_cluster import Cluster, Group
from detic_crop.work.executors.ray_worker import Node, Order, RayWorker, package_versions
from detic_crop.work.pipeline import Pipeline
from detic_crop.work.recipe import Job, Outcome, Recipe
from detic_crop.work.timing import Totals, Usage

_log = logging.getLogger(__name__)

_PROBES = 8
"""Photos that every node must see."""
_NODE_PATIENCE = 120.0
"""Seconds without any worker."""
_TOTALS_PATIENCE = 10.0
"""Seconds that a worker has to say where its time went."""


class RayExecutor:
    """An `Executor` on a Ray cluster.

    Args:
        cluster: the connected cluster.
        recipe: what is wanted.
        detector: detector of this process. The workers load theirs from the recipe; a detector that cannot be
            loaded by name, or looks answers up in a file that the nodes may lack, is sent to them.
    """

    def __init__(self, cluster: Cluster, recipe: Recipe, detector: Detector) -> None:
        self._pipeline = Pipeline(recipe, detector)
        self._sent = None if recipe.model and detector.info.needs_pixels else detector
        self._crew = _Actors(cluster, self._pipeline, self._sent)
        self._dispatcher = Dispatcher(self._crew, self._pipeline)
        self._cluster = cluster
        threads = sum(cluster.workers or group.cores for group in self._crew.groups)
        detects = detector.info.thread_safe and not cluster.on_gpus
        self._usage = Usage(self._pipeline.times, 0.0, threads, detects, len(self._crew.groups))

    def run(self, jobs: Sequence[Job], should_stop: ShouldStop) -> Generator[Outcome]:
        """See `Executor.run`."""
        for outcome in self._dispatcher.run(jobs, should_stop):
            self._note(outcome)
            yield outcome

    def usage(self) -> Usage:
        """See `Executor.usage`."""
        return self._usage

    def report(self) -> dict[str, Any]:
        """See `Executor.report`."""
        done: Counter[str] = Counter()
        for actor in self._crew.ready:
            done[actor.name] += actor.done
        return {
            "address": self._cluster.address,
            "ray": self._cluster.ray.__version__,
            "photos_by_node": {host: number for host, number in done.items() if number},
            "workers_begun_by_node": dict(Counter(actor.name for actor in self._crew.ready)),
            "workers_died": self._dispatcher.deaths,
        }

    def _note(self, outcome: Outcome) -> None:
        """Ask the detector of this process, too: its notes at the end are about what it was asked."""
        record = outcome.record
        if self._sent is not None and not self._sent.info.needs_pixels and record.width:
            with contextlib.suppress(PhotoError):
                nothing = np.broadcast_to(np.zeros(3, np.uint8), (record.height, record.width, 3))
                self._sent.detect(nothing, key=record.image)


class _Actors(Crew):
    """The Ray actors of a run, on the nodes that are there and on those that come.

    Attributes:
        groups: cores and GPUs for the first workers.
        ready: every worker that became ready.
    """

    def __init__(self, cluster: Cluster, pipeline: Pipeline, sent: Detector | None) -> None:
        super().__init__()
        self.groups = cluster.new_groups()
        self.ready: list[_Actor] = []
        self._cluster = cluster
        self._pipeline = pipeline
        self._sent = sent
        self._reference: Any = None
        self._probes: list[Photo] = []
        self._had_worker = monotonic()

    def start(self, jobs: Sequence[Job]) -> list[Worker]:
        self._probes = _some([job.photo for job in jobs[:: max(1, len(jobs) // (4 * _PROBES))]])
        try:
            # By reference: sent to each node once, not with each order.
            self._reference = None if self._sent is None else self._cluster.ray.put(self._sent)
        except TypeError as error:
            raise UsageError(
                "detector_not_sendable",
                f"the detector cannot be sent to other processes: {error}; --executor ray needs one that "
                "pickle can write",
            ) from error
        return [self._start(group) for group in self.groups]

    def replacement(self, worker: Worker, why: str) -> Worker | None:
        assert isinstance(worker, _Actor)
        return self._start(worker.group, after_crash=True) if self._cluster.has(worker.group.node) else None

    def tend(self, workers: list[Worker]) -> None:
        self._cluster.check_head()
        workers += [self._start(group) for group in self._cluster.new_groups()]
        for worker in list(workers):  # one that Ray could not place while its node went is not waited for
            assert isinstance(worker, _Actor)
            if not worker.most_in_flight and not self._cluster.has(worker.group.node):
                workers.remove(worker)
                worker.end()
        waited = monotonic() - self._had_worker
        if any(worker.most_in_flight for worker in workers):
            self._had_worker = monotonic()
        elif workers and waited > _NODE_PATIENCE:
            # They may be loading a large model, or queue behind what else runs there: no reason to give up.
            self._had_worker = monotonic()
            _log.warning(
                "no worker has begun for %.0f s; `ray status` says whether the cluster has free cores", waited
            )
        elif waited > _NODE_PATIENCE:
            raise DeticCropError(
                "no_nodes",
                f"the Ray cluster at {self._cluster.address} has had no node with free cores for "
                f"{_NODE_PATIENCE:.0f} s; what was finished is kept: run the command again",
            )

    def is_lost(self) -> bool:
        try:
            self._cluster.check_head()
        except DeticCropError:
            return True
        return False

    def check(self, node: Node) -> None:
        """Refuse a node that cannot do what this one can.

        Raises:
            DeticCropError: it does not see the photos, or has other weights or another version.
        """
        for photo in node.unseen:
            if photo.is_visible():
                raise DeticCropError(
                    "photos_not_on_node",
                    f"node {node.host} of the Ray cluster does not see "
                    f"{photo.location.absolute().describe()}, which is on this machine; put the photos on "
                    "a disk that every node has under that path",
                )
        if self._sent is None and node.weights != dict(self._pipeline.detector.info.weights):
            raise DeticCropError(
                "other_weights",
                f"node {node.host} of the Ray cluster has other weights of {self._pipeline.recipe.model} "
                "than this machine; pull the same ones on every node (detic-crop weights verify)",
            )
        ours = package_versions(self._pipeline.recipe.model)
        package = "detic-crop"
        if node.versions.get(package) != ours.get(package):
            raise DeticCropError(
                "other_version_on_node",
                f"node {node.host} of the Ray cluster has {package} {node.versions.get(package)}, "
                f"this machine {ours.get(package)}; install the same version on every node",
            )
        others = [
            f"{name} {node.versions.get(name)} ({ours.get(name)} here)"
            for name in {**ours, **node.versions}
            if node.versions.get(name) != ours.get(name)
        ]
        if others and node.host not in {actor.name for actor in self.ready}:
            _log.warning("node %s has other versions, crops may differ: %s", node.host, ", ".join(others))

    def _start(self, group: Group, after_crash: bool = False) -> _Actor:
        ray = self._cluster.ray
        near = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(group.node, soft=True)
        # A restart by Ray would only be another place where deaths are counted.
        options = {"num_cpus": group.cores, "num_gpus": group.gpus, "max_restarts": 0, "max_task_retries": 0}
        handle = ray.remote(**options, max_concurrency=1000, scheduling_strategy=near)(RayWorker).remote()
        order = Order(
            replace(self._pipeline.recipe, parts=group.on_node),
            "cuda" if group.gpus else "cpu",
            max(1, group.cores),
            self._cluster.workers,
            os.getcwd(),
            self._probes,
            after_crash,
        )
        return _Actor(self, ray, group, handle, handle.begin.remote(order, self._reference))


class _Actor(Worker):
    """A Ray actor; every answer of a call becomes a message."""

    def __init__(self, crew: _Actors, ray: Any, group: Group, handle: Any, begun: Any) -> None:
        super().__init__(f"node {group.node[:8]}")
        self.group = group
        self._crew = crew
        self._ray = ray
        self._handle = handle
        self._hear(begun, self._on_begun)

    def give(self, job: Job) -> None:
        key = job.photo.key
        self._hear(self._handle.do.remote(job), lambda outcome: outcome or NotDone(key), key)

    def stop(self) -> None:
        self._handle.stop.remote()

    def totals(self) -> Totals | None:
        with contextlib.suppress(self._ray.exceptions.RayError):
            totals: Totals = self._ray.get(self._handle.totals.remote(), timeout=_TOTALS_PATIENCE)
            return totals
        return None

    def end(self) -> None:
        with contextlib.suppress(Exception):  # it, or the whole cluster, is gone
            self._ray.kill(self._handle)

    def _on_begun(self, node: Node) -> Message:
        self._crew.check(node)
        self.name = node.host
        self._crew.ready.append(self)
        return Ready(node.most_in_flight)

    def _hear(self, reference: Any, message_of: Callable[[Any], Message], key: str = "") -> None:
        """Put what `message_of` makes of the answer of a call into the inbox, when it comes."""
        errors = self._ray.exceptions

        def hear(answer: Any) -> None:
            message: Message
            try:
                message = message_of(answer.result())
            except errors.RayTaskError as error:  # may be an instance of its cause's class, too
                message = _as_ours(error.cause if isinstance(error.cause, Exception) else error)
            except errors.RayActorError as error:
                message = Died(_why(error))
            except errors.ObjectLostError as error:  # it was done, for nothing
                message = NotDone(key) if key else _as_ours(error)
            except Exception as error:
                message = _as_ours(error)
            self._crew.inbox.put((self, message))

        reference.future().add_done_callback(hear)


def _some(photos: Sequence[Photo]) -> list[Photo]:
    """Return a few photos that this process sees."""
    seen = [photo for photo in photos if photo.size >= 0 and photo.is_visible()]
    return seen[:: max(1, len(seen) // _PROBES)][:_PROBES]


def _as_ours(error: Exception) -> DeticCropError:
    if isinstance(error, DeticCropError):
        return error
    text = one_line(error)
    if "No module named 'detic_crop'" in text:
        return DeticCropError(
            "other_version_on_node",
            "a node of the Ray cluster has no detic-crop; install the same version on every node",
        )
    return DeticCropError(
        "ray_failed",
        f"Ray could not continue, {type(error).__name__}: {text[-400:]}; what was finished is kept",
    )


def _why(error: Exception) -> str:
    """Return what Ray says of a death, without its advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if "exit" in line.lower() or "node" in line.lower()] or lines or ["?"]
    text = said[-1]
    _, _, detail = text.partition("Worker exit detail: ")
    return (detail or text).partition(". ")[0][:200]
