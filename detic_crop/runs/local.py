"""Where the work happens on one machine, and how it overlaps.

Threads are enough: OpenCV, Pillow and torch release the interpreter's lock. Outcomes come back in the order
of the jobs, and at most a few photos are in memory.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice

import cv2

from detic_crop.images.decode import Decoded
from detic_crop.runs.pipeline import Job, Outcome, Pipeline


def default_workers(concurrent: bool = False) -> int:
    """A thread per core where each does whole photos; else enough to keep one detector busy.

    More would only hold more photos in memory.
    """
    return max(1, min(_cpus(), 32 if concurrent else 4))


def _cpus() -> int:
    if hasattr(os, "sched_getaffinity"):  # a container or job may own fewer than the machine has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_local(
    jobs: Iterable[Job], pipeline: Pipeline, workers: int, should_stop: Callable[[], bool]
) -> Generator[Outcome]:
    """Do `jobs`, yielding each outcome in order.

    When `should_stop` turns true no further photo is begun; what the detector has seen is finished.
    """
    run = _whole_photos if pipeline.detector.info.concurrent else _one_detector
    with _one_core_each(pipeline.detector.info.concurrent):
        pool = ThreadPoolExecutor(workers, thread_name_prefix="detic-crop")
        try:
            yield from run(iter(jobs), pipeline, pool, workers, should_stop)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_core_each(concurrent: bool) -> Iterator[None]:
    """The workers are the parallelism; more threads inside OpenCV or torch only get in their way."""
    torch = sys.modules.get("torch") if concurrent else None  # a detector that needs it has loaded it
    cv2_threads = cv2.getNumThreads()
    torch_threads = torch.get_num_threads() if torch else 0
    cv2.setNumThreads(1)
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(cv2_threads)
        if torch:
            torch.set_num_threads(torch_threads)


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
        for job in islice(jobs, 2 * workers - len(flying)):  # twice: a slow photo must not starve the others
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
    """Workers decode ahead and encode behind; the detector is asked from this thread alone."""
    decoding: deque[tuple[Job, Future[Decoded | Outcome]]] = deque()
    finishing: deque[Future[Outcome]] = deque()
    while not should_stop():
        for job in islice(jobs, workers + 1 - len(decoding)):
            decoding.append((job, pool.submit(pipeline.decode, job)))
        if not decoding:
            break
        job, future = decoding.popleft()
        finishing.append(_detect_and_submit(job, future.result(), pipeline, pool))
        while finishing and (finishing[0].done() or len(finishing) > workers):
            yield finishing.popleft().result()
    while finishing:
        yield finishing.popleft().result()


def _detect_and_submit(
    job: Job, decoded: Decoded | Outcome, pipeline: Pipeline, pool: ThreadPoolExecutor
) -> Future[Outcome]:
    detected = decoded if isinstance(decoded, Outcome) else pipeline.detect(job, decoded)
    if isinstance(detected, Outcome):
        done: Future[Outcome] = Future()
        done.set_result(detected)
        return done
    return pool.submit(pipeline.finish, detected)
