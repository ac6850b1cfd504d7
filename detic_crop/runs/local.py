"""Where the work happens on one machine, and how it overlaps.

Worker threads decode ahead and encode behind (OpenCV and Pillow release the interpreter's lock); this thread
owns the detector. Outcomes come back in the order of the jobs, and at most a few photos are in memory.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import cv2

from detic_crop.images.decode import Decoded
from detic_crop.runs.pipeline import Job, Outcome, Pipeline


def default_workers() -> int:
    """Enough to keep one detector busy; more would only hold more photos in memory."""
    return max(1, min(4, _cpus()))


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
    remaining = iter(jobs)
    decoding: deque[tuple[Job, Future[Decoded | Outcome]]] = deque()
    finishing: deque[Future[Outcome]] = deque()
    threads_before = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the workers are the parallelism; more threads inside OpenCV only get in their way
    pool = ThreadPoolExecutor(workers, thread_name_prefix="detic-crop")
    try:
        while not should_stop():
            for job in islice(remaining, workers + 1 - len(decoding)):
                decoding.append((job, pool.submit(pipeline.decode, job)))
            if not decoding:
                break
            job, future = decoding.popleft()
            finishing.append(_detect_and_submit(job, future.result(), pipeline, pool))
            while finishing and (finishing[0].done() or len(finishing) > workers):
                yield finishing.popleft().result()
        while finishing:
            yield finishing.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(threads_before)


def _detect_and_submit(
    job: Job, decoded: Decoded | Outcome, pipeline: Pipeline, pool: ThreadPoolExecutor
) -> Future[Outcome]:
    detected = decoded if isinstance(decoded, Outcome) else pipeline.detect(job, decoded)
    if isinstance(detected, Outcome):
        done: Future[Outcome] = Future()
        done.set_result(detected)
        return done
    return pool.submit(pipeline.finish, detected)
