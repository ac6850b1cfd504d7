"""The one scheduler: hands jobs to workers elsewhere, in order and bounded, and survives their deaths.

A worker is a process or a Ray actor with a detector of its own. Photos that were in the hand of a worker that
died are done once more, one at a time: that shows which of them it was, and one that `_MOST_DEATHS` workers
died of becomes a failed row.
"""

from __future__ import annotations

import contextlib
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeAlias

from detic_crop.errors import DeticCropError
from detic_crop.work.executors.base import ShouldStop
from detic_crop.work.pipeline import MAX_DETECTOR_CRASHES, Pipeline
from detic_crop.work.recipe import Job, Outcome
from detic_crop.work.timing import Totals

_log = logging.getLogger(__name__)

_MOST_DEATHS = 3
"""Of workers that had a photo in hand, the last ones that photo alone."""
_MOST_UNREADY_DEATHS = 3
"""Of workers in a row that never became ready."""
_MOST_WAITING = 4
"""Photos begun and not yet yielded, in multiples of what the workers may have in hand."""
_MOST_BYTES = 512 << 20
"""Of crops that wait for an earlier photo; with more of them no further photo is begun."""
_POLL = 0.2
"""Seconds between looks at the clock and for a Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has loaded its detector, and can take photos."""

    most_in_flight: int


@dataclass(frozen=True, slots=True)
class NotDone:
    """A worker has not done a photo: a stop came first, or its answer was lost."""

    key: str


@dataclass(frozen=True, slots=True)
class Died:
    """A worker is gone.

    Attributes:
        why: the reason in a few words.
    """

    why: str


Message: TypeAlias = Ready | Outcome | NotDone | Died | DeticCropError
"""What a worker says; an error ends the run."""


@dataclass(slots=True, eq=False)
class _Ticket:
    """A photo to do, and how many workers died with it in hand."""

    job: Job
    deaths: int = 0


class Worker(ABC):
    """The near end of a worker. What the far end says comes into the inbox of its `Crew`.

    Attributes:
        name: name of the worker in messages.
        most_in_flight: photos it may have in hand; 0 until it is ready.
        in_hand: photos it was given and has not answered, by key.
        alone: the photo in its hand may kill it, so it is given no other.
        done: photos it has answered.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.most_in_flight = 0
        self.in_hand: dict[str, _Ticket] = {}
        self.alone = False
        self.done = 0

    @abstractmethod
    def give(self, job: Job) -> None:
        """Send a photo."""

    @abstractmethod
    def stop(self) -> None:
        """Tell it to begin nothing more; it answers each photo in its hand with an outcome or `NotDone`."""

    @abstractmethod
    def totals(self) -> Totals | None:
        """Ask where its time went, when it has nothing in hand; None if it does not answer."""

    @abstractmethod
    def end(self) -> None:
        """End it, whatever it is doing; may be called twice."""


class Crew:
    """The workers of one run: how they are started and replaced.

    Attributes:
        inbox: messages of the workers.
    """

    def __init__(self) -> None:
        self.inbox: SimpleQueue[tuple[Worker, Message]] = SimpleQueue()

    def start(self, jobs: Sequence[Job]) -> list[Worker]:
        """Start the first workers."""
        raise NotImplementedError

    def replacement(self, worker: Worker, why: str) -> Worker | None:
        """Start a worker in the place of one that died; None where that is not possible.

        Raises:
            DeticCropError: the run is to end.
        """
        raise NotImplementedError

    def tend(self, workers: list[Worker]) -> None:
        """Add workers and take lost ones out; called a few times a second.

        Raises:
            DeticCropError: there is nowhere left to work.
        """

    def is_lost(self) -> bool:
        """Return whether nothing more can be heard of any worker."""
        return False


class Dispatcher:
    """Does the jobs of one run by a crew.

    Args:
        crew: the workers.
        pipeline: pipeline of this process; it makes the rows of photos that kill workers, and adds up times.

    Attributes:
        deaths: workers that died.
    """

    def __init__(self, crew: Crew, pipeline: Pipeline) -> None:
        self.deaths = 0
        self._crew = crew
        self._pipeline = pipeline
        self._workers: list[Worker] = []
        self._jobs: Sequence[Job] = ()
        self._begun = 0  # of the jobs, the first so many
        self._again: deque[_Ticket] = deque()  # were in the hand of a worker that is gone
        self._waiting: deque[str] = deque()  # keys of photos begun and not yet yielded, in order
        self._arrived: dict[str, Outcome] = {}
        self._arrived_bytes = 0  # of their crops
        self._stopped = False
        self._unready_deaths = 0
        self._given_up_in_a_row = 0

    def run(self, jobs: Sequence[Job], should_stop: ShouldStop) -> Generator[Outcome]:
        """Yield the outcome of each job, in order; see `Executor.run`."""
        self._jobs = jobs
        try:
            self._workers = self._crew.start(jobs) if jobs else []
            yield from self._work(should_stop)
            for worker in self._workers:
                if worker.most_in_flight and (totals := worker.totals()) is not None:
                    self._pipeline.times.add(totals)
        finally:
            for worker in self._workers:
                worker.end()

    def _work(self, should_stop: ShouldStop) -> Iterator[Outcome]:
        while True:
            if should_stop() and not self._stopped:
                self._stop()
            if self._stopped:
                if self._crew.is_lost():  # whoever told us to stop told it, too
                    break
            else:
                self._crew.tend(self._workers)
                self._hand_out()
            if not any(worker.in_hand for worker in self._workers) and (
                self._stopped or not (self._has_new() or self._again)
            ):
                break
            for worker, message in self._messages():
                self._take(worker, message)
            while self._waiting and self._waiting[0] in self._arrived:
                outcome = self._arrived.pop(self._waiting.popleft())
                self._arrived_bytes -= outcome.nbytes
                yield outcome
        # After a stop some were never begun: the others are in order still.
        yield from (self._arrived[key] for key in self._waiting if key in self._arrived)

    def _stop(self) -> None:
        self._stopped = True
        for worker in list(self._workers):
            if worker.most_in_flight:
                worker.stop()
            else:
                self._drop(worker)

    def _drop(self, worker: Worker) -> None:
        """End a worker; what it says from now on is not listened to."""
        if worker in self._workers:
            self._workers.remove(worker)
        worker.end()

    def _messages(self) -> Iterator[tuple[Worker, Message]]:
        """Wait a moment for messages and yield those that have come."""
        with contextlib.suppress(Empty):
            yield self._crew.inbox.get(timeout=_POLL)
            while True:
                yield self._crew.inbox.get_nowait()

    # --- photos to workers

    def _hand_out(self) -> None:
        """Give photos to the workers that have the fewest."""
        ready = [worker for worker in self._workers if worker.most_in_flight]
        self._hand_out_suspects(ready)
        most_waiting = _MOST_WAITING * sum(worker.most_in_flight for worker in ready)
        while True:
            free = [w for w in ready if not w.alone and len(w.in_hand) < w.most_in_flight]
            if not free:
                return
            if self._again and not self._again[0].deaths:
                ticket = self._again.popleft()
            # A slow worker must not let the others run ahead for ever: what they do waits for its turn.
            elif self._has_new() and len(self._waiting) < most_waiting and self._arrived_bytes < _MOST_BYTES:
                ticket = _Ticket(self._jobs[self._begun])
                self._begun += 1
                self._waiting.append(ticket.job.photo.key)
            else:
                return
            _give(min(free, key=lambda worker: len(worker.in_hand)), ticket)

    def _has_new(self) -> bool:
        """Return whether a photo is left that was not begun."""
        return self._begun < len(self._jobs)

    def _hand_out_suspects(self, ready: Sequence[Worker]) -> None:
        """Give a photo that may have killed a worker to one that has nothing else, and gets nothing else."""
        for worker in ready:
            worker.alone = worker.alone and bool(worker.in_hand)
        suspects = [ticket for ticket in self._again if ticket.deaths]
        if not suspects or not ready or any(worker.alone for worker in ready):
            return
        worker = min(ready, key=lambda worker: len(worker.in_hand))
        worker.alone = True  # it runs empty first
        if not worker.in_hand:
            self._again.remove(suspects[0])
            _give(worker, suspects[0])

    # --- messages of workers

    def _take(self, worker: Worker, message: Message) -> None:
        if worker not in self._workers:
            return
        if isinstance(message, Ready):
            self._unready_deaths = 0
            worker.most_in_flight = message.most_in_flight
        elif isinstance(message, Outcome):
            del worker.in_hand[message.record.image]
            worker.done += 1
            self._given_up_in_a_row = 0
            self._arrived[message.record.image] = message
            self._arrived_bytes += message.nbytes
        elif isinstance(message, NotDone):
            ticket = worker.in_hand.pop(message.key)
            if not self._stopped:
                self._again.append(ticket)
        elif isinstance(message, Died):
            self._on_death(worker, message.why)
        elif self._stopped:
            _log.debug("%s, while it ends: %s", worker.name, message)
            self._drop(worker)
        else:
            raise message

    def _on_death(self, worker: Worker, why: str) -> None:
        self._drop(worker)
        self.deaths += 1
        if self._stopped:
            return
        self._unready_deaths += not worker.most_in_flight
        if self._unready_deaths >= _MOST_UNREADY_DEATHS:
            raise DeticCropError(
                "workers_die",
                f"{self._unready_deaths} workers in a row died before they could look at a photo ({why}); "
                "what was finished is kept: is there enough memory?",
            )
        other = self._crew.replacement(worker, why)
        _log.warning("a worker on %s died (%s); its photos are done again", worker.name, why)
        self._workers += [] if other is None else [other]
        for ticket in worker.in_hand.values():
            self._count_death(ticket, why)

    def _count_death(self, ticket: _Ticket, why: str) -> None:
        ticket.deaths += 1
        if ticket.deaths < _MOST_DEATHS:
            self._again.append(ticket)
            return
        self._given_up_in_a_row += 1
        if self._given_up_in_a_row >= MAX_DETECTOR_CRASHES:
            raise DeticCropError(
                "workers_die",
                f"workers died of {self._given_up_in_a_row} photos in a row, the last one: {why}; "
                "fix that and run the command again",
            )
        told = f"{_MOST_DEATHS} processes died while they worked on it: {why}"
        self._arrived[ticket.job.photo.key] = self._pipeline.failed_for(ticket.job, "worker_died", told)


def _give(worker: Worker, ticket: _Ticket) -> None:
    worker.in_hand[ticket.job.photo.key] = ticket
    worker.give(ticket.job)
