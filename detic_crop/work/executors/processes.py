"""Several devices: one process for each, fed by this one, which alone records.

Processes and not threads, since each GPU is driven by Python code that holds the interpreter's lock. They are
started as programs of their own, so that a script that calls `detic_crop.run` needs no ``__main__`` guard.
"""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, NoReturn

from detic_crop.detectors.base import Detector
from detic_crop.errors import DeticCropError
from detic_crop.system.leaving import at_the_end
from detic_crop.system.machine import default_workers
from detic_crop.work.executors.base import ShouldStop
from detic_crop.work.executors.dispatch import Crew, Died, Dispatcher, Worker
from detic_crop.work.pipeline import Pipeline
from detic_crop.work.recipe import Job, Outcome, Recipe
from detic_crop.work.timing import Totals, Usage


class Processes:
    """An `Executor` with a process, and so a detector, for each of several devices.

    Args:
        recipe: what is wanted; names the model.
        detector: the same model in this process, which says what it is.
        devices: a process is started for each.
        workers: threads of each process; None takes what suits the machine.
    """

    def __init__(
        self, recipe: Recipe, detector: Detector, devices: Sequence[str], workers: int | None = None
    ) -> None:
        self._pipeline = Pipeline(recipe, detector)
        self._devices = devices
        self._workers = workers or default_workers(processes=len(devices))
        number, on_cpu = len(devices), set(devices) == {"cpu"}
        self._usage = Usage(self._pipeline.times, 0.0, self._workers * number, on_cpu, number)

    def run(self, jobs: Sequence[Job], should_stop: ShouldStop) -> Generator[Outcome]:
        """See `Executor.run`."""
        recipe = replace(self._pipeline.recipe, parts=len(self._devices))
        crew = _Devices(recipe, self._devices, self._workers)
        yield from Dispatcher(crew, self._pipeline).run(jobs, should_stop)

    def usage(self) -> Usage:
        """See `Executor.usage`."""
        return self._usage

    def report(self) -> dict[str, Any]:
        """See `Executor.report`."""
        return {}


class _Devices(Crew):
    """A process for each device; that one dies ends the run."""

    def __init__(self, recipe: Recipe, devices: Sequence[str], workers: int) -> None:
        super().__init__()
        self._recipe = recipe
        self._devices = devices
        self._workers = workers

    def start(self, jobs: Sequence[Job]) -> list[Worker]:
        return [_Process(self, (self._recipe, device, self._workers)) for device in self._devices]

    def replacement(self, worker: Worker, why: str) -> NoReturn:
        raise DeticCropError(
            "worker_died",
            f"the process of {worker.name} died ({why}; out of memory?); what was finished is kept: "
            "run the command again, perhaps with fewer --workers",
        )


class _Process(Worker):
    """A process of `device_process`, spoken to in pickles on its standard input and output."""

    def __init__(self, crew: _Devices, order: tuple[Recipe, str, int]) -> None:
        super().__init__(order[1])
        self._crew = crew
        self._totals: Future[Totals] = Future()
        command = [sys.executable, "-m", "detic_crop.work.executors.device_process"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._ended = contextlib.ExitStack()
        self._ended.enter_context(at_the_end(self._process.kill))
        self._send(order)
        threading.Thread(target=self._read, daemon=True).start()

    def give(self, job: Job) -> None:
        self._send(job)

    def stop(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def totals(self) -> Totals | None:
        self.stop()
        with contextlib.suppress(TimeoutError):
            return self._totals.result(timeout=10)
        return None

    def end(self) -> None:
        self.stop()
        if not self.most_in_flight:  # it is loading its model
            self._process.kill()
        self._process.wait()
        self._ended.close()

    def _send(self, message: Any) -> None:
        """Send a message; that the process is gone is noticed where its answers are read."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(message, self._process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()

    def _read(self) -> None:
        """Pass on what the process says, and that it is gone."""
        assert self._process.stdout is not None
        with self._process.stdout as answers, contextlib.suppress(EOFError, pickle.UnpicklingError, OSError):
            while True:
                message = pickle.load(answers)
                if isinstance(message, dict):
                    self._totals.set_result(message)
                else:
                    self._crew.inbox.put((self, message))
        self._crew.inbox.put((self, Died(f"exit code {self._process.wait()}")))
