"""A run on a Ray cluster: a worker for each GPU, or group of cores, fed by this process, which alone records.

Photos are read, decoded and cropped on threads of the process that has the detector, as on one machine. Tasks
of their own for that would send every photo through the object store: 14 MB of pixels instead of 1 MB of file
for each (`python -m benchmarks.scale transfer`).

Ray places the workers, carries calls and results, and says which worker died. It could also repeat the calls
(``max_task_retries``); but with the photo that kills a worker all those that were on their way beside it
would be repeated, again and again, and nobody would know which one it is. So what was on its way in a worker
that died is done once more, one photo at a time, and one that `_DEATHS` workers died of becomes a failed row.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

import numpy as np

from detic_crop.detectors.base import Detector
from detic_crop.errors import DeticCropError, PhotoError, UsageError, one_line
from detic_crop.photos.photo import Photo
from detic_crop.work.executors.ray_cluster import Cluster, Group
from detic_crop.work.executors.ray_worker import Order, Ready, Worker, package_versions
from detic_crop.work.pipeline import MAX_DETECTOR_CRASHES, Pipeline
from detic_crop.work.recipe import Job, Outcome, Recipe
from detic_crop.work.timing import Usage

_log = logging.getLogger(__name__)

_DEATHS = 3  # of workers that had a photo in hand, the last ones that photo alone
_BARREN = 3  # workers in a row that die before they are ready
_MOST_WAITING = 4  # photos begun and not yet yielded, in multiples of what the workers may have in hand
_PROBES = 8
_POLL = 0.2  # seconds between looks at the clock and for a Ctrl-C
_NODE_PATIENCE = 120.0  # seconds without any worker


@dataclass(slots=True, eq=False)
class _Ticket:
    """A photo to do: its place in the run, and how many workers died with it in hand."""

    number: int
    job: Job
    deaths: int = 0


@dataclass(slots=True, eq=False)
class _Slot:
    """A worker, and what it has in hand."""

    group: Group
    actor: Any
    ready: Ready | None = None
    flying: set[_Ticket] = field(default_factory=set)
    alone: bool = False  # what it has in hand may kill it
    dead: bool = False


class RayExecutor:
    """An `Executor` on a Ray cluster.

    Args:
        cluster: where.
        recipe: what is wanted.
        detector: of this process. The workers load theirs from the recipe; one that cannot be loaded by
            name, or that looks answers up in a file which the nodes need not have, is sent to them.
    """

    def __init__(self, cluster: Cluster, recipe: Recipe, detector: Detector) -> None:
        self._cluster = cluster
        self._recipe = recipe
        self._given = None if recipe.model and detector.info.needs_pixels else detector
        self._pipeline = Pipeline(recipe, detector)
        self._groups = cluster.new_groups()
        threads = sum(cluster.workers or group.cores for group in self._groups)
        detects = detector.info.thread_safe and not cluster.on_gpus
        self._usage = Usage(self._pipeline.times, 0.0, threads, detects, len(self._groups))
        self._slots: list[_Slot] = []
        self._inbox: SimpleQueue[tuple[_Slot, _Ticket | None, Any]] = SimpleQueue()
        self._again: deque[_Ticket] = deque()  # began in a worker that is no more
        self._probes: list[Photo] = []
        self._left = 0  # photos that were never given to a worker
        self._barren = 0
        self._lost_in_a_row = 0
        self._deaths = 0
        self._done: Counter[str] = Counter()
        self._begun: Counter[str] = Counter()
        self._hosts: dict[str, Ready] = {}
        self._workers_since = monotonic()
        self._sent: Any = None

    def usage(self) -> Usage:
        """See `Executor.usage`."""
        return self._usage

    def run(self, jobs: Sequence[Job], should_stop: Callable[[], bool]) -> Generator[Outcome]:
        """See `Executor.run`.

        Raises:
            DeticCropError: the detector is broken or cannot be loaded, a node cannot see the photos, or the
                cluster is gone; what was yielded stays done.
        """
        self._probes = _some([job.photo for job in jobs[:: max(1, len(jobs) // (4 * _PROBES))]])
        try:
            # By reference: sent to each node once, not with each order.
            self._sent = None if self._given is None else self._cluster.ray.put(self._given)
        except TypeError as error:
            raise UsageError(
                f"the detector cannot be sent to other processes: {error}; --executor ray needs one that "
                "pickle can write"
            ) from error
        tickets = (_Ticket(number, job) for number, job in enumerate(jobs))
        self._left = len(jobs)
        try:
            for group in self._groups if jobs else ():
                self._begin(group)
            yield from self._feed(tickets, should_stop)
            self._add_times()
        finally:
            for slot in list(self._slots):
                self._end(slot)

    def report(self) -> dict[str, Any]:
        """What was done where, for run.json."""
        return {
            "address": self._cluster.address,
            "ray": self._cluster.ray.__version__,
            "photos_by_node": dict(self._done),
            "workers_begun_by_node": dict(self._begun),
            "workers_died": self._deaths,
        }

    def _feed(self, tickets: Iterator[_Ticket], should_stop: Callable[[], bool]) -> Generator[Outcome]:
        waiting: deque[int] = deque()  # numbers in order
        arrived: dict[int, Outcome] = {}
        told = False
        while True:
            stopping = should_stop()
            try:
                self._cluster.check_head()
            except DeticCropError:
                if not stopping:
                    raise
                break  # whoever told us to stop told the head, too: what is in flight does not come any more
            if stopping and not told:
                told = True
                self._stop()
            if not stopping:
                self._look_after_workers()
                self._hand_out(tickets, waiting)
            flying = any(slot.flying for slot in self._slots)
            if not flying and (stopping or not (self._left or self._again)):
                break
            for slot, ticket, answer in self._messages():
                self._take(slot, ticket, answer, arrived, should_stop())  # by now
            while waiting and waiting[0] in arrived:
                yield arrived.pop(waiting.popleft())
        # After a stop some were never begun: the others are in order still.
        yield from (arrived[number] for number in waiting if number in arrived)

    def _messages(self) -> Iterator[tuple[_Slot, _Ticket | None, Any]]:
        """What has come, waited for a moment."""
        with contextlib.suppress(Empty):
            yield self._inbox.get(timeout=_POLL)
            while True:
                yield self._inbox.get_nowait()

    # --- workers

    def _look_after_workers(self) -> None:
        """Begin workers on new nodes; what the first ones cannot do is said before anything is done."""
        for group in self._cluster.new_groups():
            self._begin(group)
        # A worker that Ray could not place while its node went is not waited for.
        for slot in [
            slot for slot in self._slots if not slot.ready and not self._cluster.has(slot.group.node)
        ]:
            self._end(slot)
        waited = monotonic() - self._workers_since
        if any(slot.ready for slot in self._slots):
            self._workers_since = monotonic()
        elif self._slots and waited > _NODE_PATIENCE:
            # They may be loading a large model, or queue behind what else runs there: no reason to give up.
            self._workers_since = monotonic()
            _log.warning(
                "no worker has begun for %.0f s; `ray status` says whether the cluster has free cores", waited
            )
        elif waited > _NODE_PATIENCE:
            raise DeticCropError(
                f"the Ray cluster at {self._cluster.address} has had no node with free cores for "
                f"{_NODE_PATIENCE:.0f} s; what was finished is kept: give the same command again"
            )

    def _begin(self, group: Group, again: bool = False) -> None:
        ray = self._cluster.ray
        near = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(group.node, soft=True)
        # A restart by Ray would only be another place where deaths are counted, see the top of this file.
        options = {"num_cpus": group.cores, "num_gpus": group.gpus, "max_restarts": 0, "max_task_retries": 0}
        actor = ray.remote(**options, max_concurrency=1000, scheduling_strategy=near)(Worker).remote()
        slot = _Slot(group, actor)
        self._slots.append(slot)
        device = "cuda" if group.gpus else "cpu"
        order = Order(
            self._recipe, device, max(1, group.cores), self._cluster.workers, os.getcwd(), self._probes, again
        )
        self._call(slot, None, actor.begin.remote(order, self._sent))

    def _call(self, slot: _Slot, ticket: _Ticket | None, reference: Any) -> None:
        reference.future().add_done_callback(lambda answer: self._inbox.put((slot, ticket, answer)))

    def _end(self, slot: _Slot) -> None:
        """Give the worker's cores back; what it had in hand is no longer expected of it."""
        slot.dead = True
        if slot in self._slots:
            self._slots.remove(slot)
        with contextlib.suppress(Exception):  # it, or the whole cluster, is gone
            self._cluster.ray.kill(slot.actor)

    def _stop(self) -> None:
        for slot in list(self._slots):
            if slot.ready:
                slot.actor.stop.remote()
            else:
                self._end(slot)

    # --- photos

    def _hand_out(self, tickets: Iterator[_Ticket], waiting: deque[int]) -> None:
        """Give photos to the workers that have the fewest."""
        ready = [slot for slot in self._slots if slot.ready]
        self._hand_out_suspects(ready)
        most = _MOST_WAITING * sum(slot.ready.ahead for slot in ready if slot.ready)
        while True:
            free = [
                slot
                for slot in ready
                if not slot.alone and slot.ready and len(slot.flying) < slot.ready.ahead
            ]
            if not free:
                return
            slot = min(free, key=lambda slot: len(slot.flying))
            if self._again and not self._again[0].deaths:
                ticket = self._again.popleft()
            # One slow worker must not let the others run ahead for ever.
            elif len(waiting) >= most or (new := next(tickets, None)) is None:
                return
            else:
                ticket = new
                self._left -= 1
                waiting.append(ticket.number)
            self._give(slot, ticket)

    def _hand_out_suspects(self, ready: Sequence[_Slot]) -> None:
        """Photos that may have killed a worker go to one that has nothing else, and gets nothing else."""
        for slot in ready:
            slot.alone = slot.alone and bool(slot.flying)
        suspects = [ticket for ticket in self._again if ticket.deaths]
        if not suspects or not ready or any(slot.alone for slot in ready):
            return
        slot = min(ready, key=lambda slot: len(slot.flying))
        slot.alone = True  # it runs empty first
        if not slot.flying:
            self._again.remove(suspects[0])
            self._give(slot, suspects[0])

    def _give(self, slot: _Slot, ticket: _Ticket) -> None:
        slot.flying.add(ticket)
        self._call(slot, ticket, slot.actor.do.remote(ticket.job))

    def _take(
        self, slot: _Slot, ticket: _Ticket | None, answer: Any, arrived: dict[int, Outcome], stopping: bool
    ) -> None:
        errors = self._cluster.ray.exceptions
        if ticket is not None:
            slot.flying.discard(ticket)
        elif slot.dead:
            return
        error = answer.exception()
        if error is None and ticket is None:
            self._welcome(slot, answer.result())
        elif error is None and ticket is not None:
            outcome = answer.result()
            if outcome is not None:
                self._lost_in_a_row = 0
                self._done[slot.ready.host if slot.ready else ""] += 1
                self._note(outcome)
                arrived[ticket.number] = outcome
            elif not stopping:  # the worker's detector is broken, which another answer says
                self._again.append(ticket)
        elif isinstance(error, errors.RayTaskError):
            raise _as_ours(error.cause if isinstance(error.cause, Exception) else error)
        elif isinstance(error, errors.RayActorError):
            self._mourn(slot, error, stopping)
            if ticket is not None and not stopping:
                self._blame(ticket, error, arrived)
        elif isinstance(error, errors.ObjectLostError) and ticket is not None:  # it was done, for nothing
            self._again.append(ticket)
        elif stopping:
            _log.debug("ray, while it ends: %s", error)
        else:
            raise _as_ours(error)

    def _welcome(self, slot: _Slot, ready: Ready) -> None:
        """A worker is ready.

        Raises:
            DeticCropError: its node cannot do what this one can.
        """
        for photo in ready.unseen:
            if photo.is_visible():
                raise DeticCropError(
                    f"node {ready.host} of the Ray cluster does not see "
                    f"{photo.location.absolute().describe()}, which is on this machine; put the photos on "
                    "a disk that every node has under that path"
                )
        if self._given is None and ready.weights != dict(self._pipeline.detector.info.weights):
            raise DeticCropError(
                f"node {ready.host} of the Ray cluster has other weights of {self._recipe.model} than this "
                "machine; pull the same ones on every node (detic-crop weights verify)"
            )
        ours = package_versions()
        package = "detic-crop"
        if ready.versions.get(package) != ours.get(package):
            raise DeticCropError(
                f"node {ready.host} of the Ray cluster has {package} {ready.versions.get(package)}, "
                f"this machine {ours.get(package)}; install the same version on every node"
            )
        if ready.host not in self._hosts:
            self._hosts[ready.host] = ready
            others = [
                f"{name} {there} ({ours.get(name)} here)"
                for name, there in ready.versions.items()
                if there != ours.get(name)
            ]
            if others:
                _log.warning(
                    "node %s has other versions, crops may differ: %s", ready.host, ", ".join(others)
                )
        self._barren = 0
        self._begun[ready.host] += 1
        slot.ready = ready

    def _mourn(self, slot: _Slot, error: Exception, stopping: bool) -> None:
        """A worker has died: another takes its place, where its node is still there."""
        if slot.dead:
            return
        self._end(slot)
        self._deaths += 1
        if stopping:
            return
        self._barren += slot.ready is None
        if self._barren >= _BARREN:
            raise DeticCropError(
                f"{self._barren} Ray workers in a row died before they could look at a photo "
                f"({_why(error)}); what was finished is kept: is there memory enough? Ray's logs say more"
            )
        _log.warning("a worker on %s died (%s); its photos are done again", _host(slot), _why(error))
        if self._cluster.has(slot.group.node):
            self._begin(slot.group, again=True)

    def _blame(self, ticket: _Ticket, error: Exception, arrived: dict[int, Outcome]) -> None:
        ticket.deaths += 1
        if ticket.deaths < _DEATHS:
            self._again.append(ticket)
            return
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= MAX_DETECTOR_CRASHES:
            raise DeticCropError(
                f"Ray workers died of {self._lost_in_a_row} photos in a row, lastly {_why(error)}; "
                "mend that and give the same command again"
            )
        arrived[ticket.number] = self._pipeline.failed_for(
            ticket.job, "worker_died", f"{_DEATHS} processes died while they worked on it: {_why(error)}"
        )

    def _note(self, outcome: Outcome) -> None:
        """Ask the detector of this process, too, where its notes at the end tell what it was asked."""
        record = outcome.record
        if self._given is not None and not self._given.info.needs_pixels and record.width:
            with contextlib.suppress(PhotoError):
                nothing = np.broadcast_to(np.zeros(3, np.uint8), (record.height, record.width, 3))
                self._given.detect(nothing, key=record.image)

    def _add_times(self) -> None:
        """What the workers that are left say of where their time went."""
        asked = [slot.actor.totals.remote() for slot in self._slots if slot.ready]
        ray = self._cluster.ray
        ready, _ = ray.wait(asked, num_returns=len(asked), timeout=10) if asked else ([], [])
        for reference in ready:
            with contextlib.suppress(ray.exceptions.RayError):
                self._pipeline.times.add(ray.get(reference))


def _some(photos: Sequence[Photo]) -> list[Photo]:
    """A few photos that are there for this process."""
    seen = [photo for photo in photos if photo.is_visible()]
    return seen[:: max(1, len(seen) // _PROBES)][:_PROBES]


def _as_ours(error: Exception) -> DeticCropError:
    if isinstance(error, DeticCropError):
        return error
    text = one_line(error)
    if "No module named 'detic_crop'" in text:
        return DeticCropError(
            "a node of the Ray cluster has no detic-crop; install the same version on every node"
        )
    return DeticCropError(
        f"Ray could not go on, {type(error).__name__}: {text[-400:]}; what was finished is kept"
    )


def _why(error: Exception) -> str:
    """What Ray says of a death, without its advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if "exit" in line.lower() or "node" in line.lower()] or lines or ["?"]
    text = said[-1]
    _, _, detail = text.partition("Worker exit detail: ")
    return (detail or text).partition(". ")[0][:200]


def _host(slot: _Slot) -> str:
    return slot.ready.host if slot.ready else f"node {slot.group.node[:8]}"
