"""Several GPUs: one process for each, fed by this one, which alone records.

Processes and not threads, since each GPU is driven by Python code that holds the interpreter's lock. They are
started as programs of their own, so that a script that calls `detic_crop.run` needs no ``__main__`` guard.
"""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from detic_crop.errors import DeticCropError
from detic_crop.system.machine import default_workers
from detic_crop.work.recipe import Job, Outcome, Recipe
from detic_crop.work.timing import StageTimes, Totals, Usage

_MOST_WAITING = 4  # photos begun and not yet yielded, in multiples of what the processes have in hand
_POLL = 0.2  # seconds between looks at the clock and for a Ctrl-C


@dataclass(frozen=True, slots=True)
class Ready:
    """The detector is loaded; so many photos may be on their way in the process."""

    ahead: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The process cannot go on."""

    error: DeticCropError


@dataclass(frozen=True, slots=True)
class Finished:
    """Every photo that was begun is answered."""

    totals: Totals


@dataclass(slots=True, eq=False)
class _Child:
    """One process and what it has in hand."""

    device: str
    process: subprocess.Popen[bytes]
    ahead: int = 0  # 0 until it is ready
    tickets: deque[int] = field(default_factory=deque)
    told_end: bool = False
    finished: bool = False

    def send(self, message: Any) -> None:
        """A message to the process; one that is gone is noticed when reading from it."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(message, self.process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            self.process.stdin.flush()

    def end(self) -> None:
        """No more jobs; those that were sent are still done."""
        if not self.told_end:
            self.told_end = True
            self.send(None)

    def stop(self) -> None:
        """Do not begin what the detector has not seen; may be called twice."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


class Processes:
    """An `Executor` with a process, and so a detector, for each of several devices.

    Args:
        recipe: what is wanted; names the model.
        devices: a process is started for each.
        workers: threads of each process; None takes what suits the machine.
    """

    def __init__(self, recipe: Recipe, devices: Sequence[str], workers: int | None = None) -> None:
        self._recipe = recipe
        self._devices = devices
        self._workers = workers or default_workers(processes=len(devices))
        number = len(devices)
        self._usage = Usage(StageTimes(), 0.0, self._workers * number, set(devices) == {"cpu"}, number)

    def run(self, jobs: Sequence[Job], should_stop: Callable[[], bool]) -> Generator[Outcome]:
        """See `Executor.run`."""
        yield from run_devices(
            jobs,
            should_stop,
            recipe=self._recipe,
            devices=self._devices,
            workers=self._workers,
            times=self._usage.times,
        )

    def usage(self) -> Usage:
        """See `Executor.usage`."""
        return self._usage

    def report(self) -> dict[str, Any]:
        """See `Executor.report`."""
        return {}


def run_devices(
    jobs: Iterable[Job],
    should_stop: Callable[[], bool],
    *,
    recipe: Recipe,
    devices: Sequence[str],
    workers: int,
    times: StageTimes,
) -> Generator[Outcome]:
    """Do `jobs` in one process for each device, yielding each outcome in order; see `Executor.run`.

    Raises:
        DeticCropError: what a process raised, or that it died; what was yielded stays done.
    """
    inbox: SimpleQueue[tuple[_Child, Any]] = SimpleQueue()
    children: list[_Child] = []
    try:
        for device in devices:
            children.append(_start(recipe, device, workers, inbox))
        yield from _feed(iter(enumerate(jobs)), children, inbox, should_stop, times)
    finally:
        for child in children:
            child.stop()
        for child in children:
            child.process.wait()


def _start(recipe: Recipe, device: str, workers: int, inbox: SimpleQueue[tuple[_Child, Any]]) -> _Child:
    command = [sys.executable, "-m", "detic_crop.work.executors.device_process"]
    child = _Child(device, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    child.send((recipe, device, workers))
    threading.Thread(target=_read, args=(child, inbox), daemon=True).start()
    return child


def _read(child: _Child, inbox: SimpleQueue[tuple[_Child, Any]]) -> None:
    """Pass on what a process says; None at its end."""
    assert child.process.stdout is not None
    with child.process.stdout as answers:
        try:
            while True:
                inbox.put((child, pickle.load(answers)))
        except (EOFError, pickle.UnpicklingError, OSError):
            inbox.put((child, None))


def _feed(
    jobs: Iterator[tuple[int, Job]],
    children: Sequence[_Child],
    inbox: SimpleQueue[tuple[_Child, Any]],
    should_stop: Callable[[], bool],
    times: StageTimes,
) -> Generator[Outcome]:
    """Keep every process busy until the jobs are done or a stop comes."""
    waiting: deque[int] = deque()  # tickets in order
    arrived: dict[int, Outcome] = {}
    more = True
    while not all(child.finished for child in children):
        stopping = should_stop()
        if stopping:
            for child in children:
                child.stop()
        elif more:
            more = _hand_out(jobs, children, waiting)
        if not (more or stopping):
            for child in children:
                child.end()
        try:
            child, message = inbox.get(timeout=_POLL)
        except Empty:
            continue
        _take(child, message, arrived, stopping, times)
        while waiting and waiting[0] in arrived:
            yield arrived.pop(waiting.popleft())
    # After a stop some were never begun: the others are in order still.
    yield from (arrived[ticket] for ticket in waiting if ticket in arrived)


def _hand_out(jobs: Iterator[tuple[int, Job]], children: Sequence[_Child], waiting: deque[int]) -> bool:
    """Give jobs to the processes that have the fewest; False when there are none left."""
    while True:
        free = [child for child in children if len(child.tickets) < child.ahead]
        # One slow device must not let the others run ahead for ever: what they finish waits for its turn.
        if not free or len(waiting) >= _MOST_WAITING * sum(child.ahead for child in children):
            return True
        child = min(free, key=lambda child: len(child.tickets))
        try:
            ticket, job = next(jobs)
        except StopIteration:
            return False
        waiting.append(ticket)
        child.tickets.append(ticket)
        child.send(job)


def _take(
    child: _Child, message: Any, arrived: dict[int, Outcome], stopping: bool, times: StageTimes
) -> None:
    if isinstance(message, Outcome):
        arrived[child.tickets.popleft()] = message
    elif isinstance(message, Ready):
        child.ahead = message.ahead
    elif isinstance(message, Finished):
        times.add(message.totals)
        child.finished = True
    elif isinstance(message, Failed):
        raise message.error
    elif not child.finished:
        code = child.process.wait()
        if stopping and not child.ahead:  # it was still loading
            child.finished = True
            return
        raise DeticCropError(
            f"the process of {child.device} died (exit code {code}; out of memory?); "
            "what was finished is kept: give the same command again, with fewer --workers perhaps"
        )
