"""One detector and threads around it, in this process.

Threads are enough: OpenCV, Pillow and torch release the interpreter's lock.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

import cv2

from detic_crop.system.leaving import end_pool
from detic_crop.system.machine import default_workers, threads_per_photo
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

    @property
    def most_in_flight(self) -> int:
        """Photos that are begun before the first of them is finished."""
        if self._pipeline.detector.info.thread_safe:
            return 2 * self._workers  # twice: a slow photo must not starve the others
        return 2 * self._workers + 2 * self._pipeline.batch_size  # a batch in the detector, the next decoded

    def run(self, jobs: Iterable[Job], should_stop: Callable[[], bool]) -> Generator[Outcome]:
        """See `Executor.run`."""
        info = self._pipeline.detector.info
        run = self._whole_photos if info.thread_safe else self._around_one_detector
        threads = threads_per_photo(info.memory_per_photo) if info.thread_safe else None
        with few_threads_each(threads) as begin_worker:
            pool = ThreadPoolExecutor(
                self._workers, thread_name_prefix="detic-crop", initializer=begin_worker
            )
            try:
                yield from run(iter(jobs), pool, should_stop)
            finally:
                end_pool(pool)

    def usage(self) -> Usage:
        """See `Executor.usage`."""
        return self._usage

    def report(self) -> dict[str, Any]:
        """See `Executor.report`."""
        return {}

    def _whole_photos(
        self, jobs: Iterator[Job], pool: ThreadPoolExecutor, should_stop: Callable[[], bool]
    ) -> Iterator[Outcome]:
        """Let each worker take a photo through every step."""
        flying: deque[Future[Outcome]] = deque()
        while not should_stop():
            for job in islice(jobs, self.most_in_flight - len(flying)):
                flying.append(pool.submit(self._pipeline.process, job))
            if not flying:
                return
            yield flying.popleft().result()
        # Cancelled before the first is waited for: idle workers would begin more.
        begun = [future for future in flying if not future.cancel()]
        yield from (future.result() for future in begun)

    def _around_one_detector(
        self, jobs: Iterator[Job], pool: ThreadPoolExecutor, should_stop: Callable[[], bool]
    ) -> Iterator[Outcome]:
        """Let workers decode before and encode after the one thread that asks the detector.

        So the detector does not wait for a codec or a disk as long as the workers keep up.
        """
        flying: deque[Future[Outcome]] = deque()
        with DetectorThread(self._pipeline, pool, should_stop) as detector:
            while not should_stop():
                for job in islice(jobs, self.most_in_flight - len(flying)):
                    flying.append(detector.submit(job))
                if not flying:
                    return
                yield from _unless_cancelled(flying.popleft())
            detector.stop()
            for future in flying:
                yield from _unless_cancelled(future)


@contextmanager
def few_threads_each(torch_threads: int | None) -> Iterator[Callable[[], None]]:
    """The workers are the parallelism; more threads inside OpenCV or torch only get in their way.

    Args:
        torch_threads: inside one operator, for workers that use torch; None leaves torch as it is.

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


def _unless_cancelled(future: Future[Outcome]) -> Iterator[Outcome]:
    """The outcome, or nothing when the detector has not seen the photo before the stop."""
    with suppress(CancelledError):
        yield future.result()
