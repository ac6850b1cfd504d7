"""One detector and threads around it, in one process.

Threads are enough: OpenCV, Pillow and torch release the interpreter's lock.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from types import TracebackType
from typing import Any

import cv2

from detic_crop.system.leaving import end_pool
from detic_crop.system.machine import default_workers, threads_per_photo
from detic_crop.work.executors.base import ShouldStop
from detic_crop.work.executors.detector_thread import DetectorThread
from detic_crop.work.pipeline import Pipeline
from detic_crop.work.recipe import Job, Outcome
from detic_crop.work.timing import Usage


class Threads:
    """An `Executor` on threads of this process.

    Args:
        pipeline: the steps of the main path, with the detector.
        workers: number of threads; None takes what suits the detector and the machine.
    """

    def __init__(self, pipeline: Pipeline, workers: int | None = None) -> None:
        info = pipeline.detector.info
        self._pipeline = pipeline
        self._workers = workers or default_workers(info.thread_safe, info.memory_per_photo)
        self._usage = Usage(pipeline.times, 0.0, self._workers, info.thread_safe)

    def run(self, jobs: Sequence[Job], should_stop: ShouldStop) -> Generator[Outcome]:
        """See `Executor.run`."""
        left = iter(jobs)
        in_flight: deque[Future[Outcome]] = deque()
        with WorkerThreads(self._pipeline, self._workers, should_stop) as threads:
            while not should_stop():
                for job in islice(left, threads.most_in_flight - len(in_flight)):
                    in_flight.append(threads.submit(job))
                if not in_flight:
                    return
                yield from _unless_cancelled(in_flight.popleft())
            threads.stop()
            for future in in_flight:
                yield from _unless_cancelled(future)

    def usage(self) -> Usage:
        """See `Executor.usage`."""
        return self._usage

    def report(self) -> dict[str, Any]:
        """See `Executor.report`."""
        return {}


def _unless_cancelled(future: Future[Outcome]) -> Iterator[Outcome]:
    """Yield the outcome, or nothing if a stop came before the photo was begun."""
    with suppress(CancelledError):
        yield future.result()


class WorkerThreads:
    """Threads that take jobs and give their outcomes as futures.

    Each takes a photo through every step if the detector is thread-safe. Else they decode before and encode
    after one thread that asks the detector, which so waits for no codec and no disk.

    Args:
        pipeline: the steps of the main path, with the detector.
        workers: number of threads.
        should_stop: asked before one thread asks the detector.
    """

    def __init__(self, pipeline: Pipeline, workers: int, should_stop: ShouldStop) -> None:
        self._pipeline = pipeline
        self._workers = workers
        self._should_stop = should_stop
        self._opened = ExitStack()

    def __enter__(self) -> WorkerThreads:
        info = self._pipeline.detector.info
        inside = threads_per_photo(info.memory_per_photo) if info.thread_safe else None
        begin = self._opened.enter_context(few_threads_each(inside))
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="detic-crop", initializer=begin)
        self._opened.callback(end_pool, pool)
        memory = self._pipeline.memory
        self._opened.callback(memory.close)  # who waits for memory would never end
        self.submit: Callable[[Job], Future[Outcome]]
        """Begin a photo; its future is cancelled if a stop comes first."""
        self.stop: Callable[[], None]
        """Begin nothing more, and finish what the detector has seen; may be called twice."""
        if info.thread_safe:
            self.submit = lambda job: pool.submit(self._pipeline.process, job)

            def stop() -> None:
                memory.close()
                pool.shutdown(wait=False, cancel_futures=True)

        else:
            # Others than those that decode: these may all be waiting for memory, which finishing gives back.
            finishing = ThreadPoolExecutor(
                self._workers, thread_name_prefix="detic-crop-finish", initializer=begin
            )
            self._opened.callback(end_pool, finishing)
            detector = self._opened.enter_context(
                DetectorThread(self._pipeline, pool, finishing, self._should_stop)
            )
            self.submit = detector.submit

            def stop() -> None:
                memory.close()
                detector.stop()

        self.stop = stop
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._opened.close()

    @property
    def most_in_flight(self) -> int:
        """Photos that may be submitted before the first of them is finished."""
        if self._pipeline.detector.info.thread_safe:
            return 2 * self._workers  # twice: a slow photo must not starve the others
        return 2 * self._workers + 2 * self._pipeline.batch_size  # a batch in the detector, the next decoded


@contextmanager
def few_threads_each(torch_threads: int | None) -> Iterator[Callable[[], None]]:
    """Limit the threads inside OpenCV and torch: the workers already use all cores.

    Args:
        torch_threads: number of threads inside one operator of torch; None leaves torch as it is.

    Yields:
        What each worker thread has to call first: torch counts its threads for each thread by itself.
    """
    torch = sys.modules.get("torch") if torch_threads else None  # a detector that needs it has loaded it
    cv2_threads = cv2.getNumThreads()
    before = torch.get_num_threads() if torch else 0
    cv2.setNumThreads(1)

    def begin_worker() -> None:
        if torch:
            torch.set_num_threads(torch_threads)

    begin_worker()
    try:
        yield begin_worker
    finally:
        cv2.setNumThreads(cv2_threads)
        if torch:
            torch.set_num_threads(before)
