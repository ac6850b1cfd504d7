"""The process that owns one device, started by `processes` as a module of its own (``python -m``).

It is told what to do on its standard input and answers on its standard output, one pickle after another.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any, BinaryIO

from detic_crop.errors import DeticCropError
from detic_crop.work.executors.dispatch import NotDone, Ready
from detic_crop.work.executors.threads import WorkerThreads
from detic_crop.work.pipeline import Pipeline
from detic_crop.work.recipe import Job, Outcome

Send = Callable[[Any], None]


def main() -> int:
    """Serve one run, until the parent closes the pipe."""
    # Ctrl-C, `timeout` and job managers signal the whole group; the parent says when to stop.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not get between answers
    lock = threading.Lock()

    def send(message: Any) -> None:
        with lock:
            pickle.dump(message, answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()

    try:
        _serve(sys.stdin.buffer, send)
    except DeticCropError as error:
        send(error)
    except BrokenPipeError:  # the parent is gone
        return 1
    return 0


def _serve(requests: BinaryIO, send: Send) -> None:
    recipe, device, workers = pickle.load(requests)
    pipeline = Pipeline(recipe, recipe.load_detector(device))
    stop, answered = threading.Event(), threading.Semaphore(0)
    with WorkerThreads(pipeline, workers, stop.is_set) as threads:
        send(Ready(threads.most_in_flight))
        given = 0
        for job in _jobs(requests):
            given += 1
            threads.submit(job).add_done_callback(_answer(job, send, answered))
        stop.set()
        threads.stop()
        for _ in range(given):
            answered.acquire()
    send(pipeline.times.totals())


def _jobs(requests: BinaryIO) -> Iterator[Job]:
    """Yield jobs until the parent closes the pipe."""
    try:
        while True:
            yield pickle.load(requests)
    except (EOFError, OSError):
        return


def _answer(job: Job, send: Send, answered: threading.Semaphore) -> Callable[[Future[Outcome]], None]:
    """Return the callback that sends the answer for a photo."""

    def answer(future: Future[Outcome]) -> None:
        message: Any
        try:
            message = future.result()
        except CancelledError:
            message = NotDone(job.photo.key)
        except DeticCropError as error:
            message = error
        with contextlib.suppress(BrokenPipeError):  # the parent is gone, and will give nothing more
            send(message)
        answered.release()

    return answer


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # at an ordinary exit Python would wait for threads that wait for the parent
