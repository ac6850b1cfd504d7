"""Where the work happens on one machine, and how it overlaps.

Threads are enough: OpenCV, Pillow and torch release the interpreter's lock. Outcomes come back in the order
of the jobs, and a bounded number of photos is in memory.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice

import cv2

from detic_crop.system.leaving import end_pool
from detic_crop.system.machine import threads_per_photo
from detic_crop.work.executors.detector_thread import DetectorThread
from detic_crop.work.pipeline import Job, Outcome, Pipeline


def run_local(
    jobs: Iterable[Job], pipeline: Pipeline, workers: int, should_stop: Callable[[], bool]
) -> Generator[Outcome]:
    """Do `jobs`, yielding each outcome in order.

    When `should_stop` turns true no further photo is begun; what the detector has seen is finished.
    """
    info = pipeline.detector.info
    run = _whole_photos if info.thread_safe else _one_detector
    threads = threads_per_photo(info.memory_per_photo) if info.thread_safe else None
    with few_threads_each(threads) as begin_worker:
        pool = ThreadPoolExecutor(workers, thread_name_prefix="detic-crop", initializer=begin_worker)
        try:
            yield from run(iter(jobs), pipeline, pool, workers, should_stop)
        finally:
            end_pool(pool)


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


def _whole_photos(
    jobs: Iterator[Job],
    pipeline: Pipeline,
    pool: ThreadPoolExecutor,
    workers: int,
    should_stop: Callable[[], bool],
) -> Iterator[Outcome]:
    """Each worker takes a photo through every step."""
    flying: deque[Future[Outcome]] = deque()
    while not should_stop():
        # Twice: a slow photo must not starve the others. Not more: `devices` gives a process no more before
        # the first of them is answered.
        for job in islice(jobs, 2 * workers - len(flying)):
            flying.append(pool.submit(pipeline.process, job))
        if not flying:
            return
        yield flying.popleft().result()
    begun = [future for future in flying if not future.cancel()]  # all at once: idle workers would begin more
    yield from (future.result() for future in begun)


def _one_detector(
    jobs: Iterator[Job],
    pipeline: Pipeline,
    pool: ThreadPoolExecutor,
    workers: int,
    should_stop: Callable[[], bool],
) -> Iterator[Outcome]:
    """Workers decode ahead and encode behind; one thread asks the detector; the caller records.

    So the detector waits for no codec and no disk as long as the workers keep up.
    """
    ahead = 2 * workers + 2 * pipeline.batch_size  # a batch in the detector, the next one decoded
    flying: deque[Future[Outcome]] = deque()
    with DetectorThread(pipeline, pool, should_stop) as detector:
        while not should_stop():
            for job in islice(jobs, ahead - len(flying)):
                flying.append(detector.submit(job))
            if not flying:
                return
            yield from _unless_cancelled(flying.popleft())
        detector.stop()
        for future in flying:
            yield from _unless_cancelled(future)


def _unless_cancelled(future: Future[Outcome]) -> Iterator[Outcome]:
    """The outcome, or nothing when the detector has not seen the photo before the stop."""
    with suppress(CancelledError):
        yield future.result()
