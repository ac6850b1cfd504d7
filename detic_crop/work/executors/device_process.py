"""The process that owns one device, started by `processes` as a module of its own (``python -m``).

It is told what to do on its standard input and answers on its standard output, one pickle after another.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any, BinaryIO

from detic_crop.errors import DeticCropError
from detic_crop.work.executors.processes import Failed, Finished, Ready
from detic_crop.work.executors.threads import Threads
from detic_crop.work.pipeline import Pipeline
from detic_crop.work.recipe import Job


def main() -> int:
    """Serve one run, until its parent closes the pipe."""
    # Ctrl-C, `timeout` and job managers signal the whole group; the parent says when to stop.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not get between answers
    requests = sys.stdin.buffer
    try:
        _serve(requests, answers)
    except DeticCropError as error:
        _send(answers, Failed(error))
    except BrokenPipeError:  # the parent is gone
        return 1
    return 0


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    recipe, device, workers = pickle.load(requests)
    pipeline = Pipeline(recipe, recipe.load_detector(device))
    threads = Threads(pipeline, workers)
    _send(answers, Ready(ahead=threads.most_in_flight))
    inbox: SimpleQueue[Job | None] = SimpleQueue()
    stop = threading.Event()
    threading.Thread(target=_receive, args=(requests, inbox, stop), daemon=True).start()
    for outcome in threads.run(_jobs(inbox), stop.is_set):
        _send(answers, outcome)
    _send(answers, Finished(pipeline.times.totals()))


def _receive(requests: BinaryIO, inbox: SimpleQueue[Job | None], stop: threading.Event) -> None:
    """Jobs, None at the end of the list; that the pipe is closed is the stop."""
    try:
        while True:
            inbox.put(pickle.load(requests))
    except (EOFError, OSError):
        stop.set()
        inbox.put(None)


def _jobs(inbox: SimpleQueue[Job | None]) -> Iterator[Job]:
    while (job := inbox.get()) is not None:
        yield job


def _send(answers: BinaryIO, message: Any) -> None:
    pickle.dump(message, answers, protocol=pickle.HIGHEST_PROTOCOL)
    answers.flush()


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # at an ordinary exit Python would complain of the thread that still listens to the parent
