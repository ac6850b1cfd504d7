"""`detic-crop apply` beside a page: the same work in a thread of the process that serves it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from detic_crop.commands.apply import apply_in
from detic_crop.commands.in_words import counts_in_words, stop_in_words, verdicts_in_words
from detic_crop.commands.result import ApplyResult
from detic_crop.commands.settings import PathLike
from detic_crop.config import RunOptions
from detic_crop.errors import DeticCropError, one_line
from detic_crop.folder.folder import open_on_disk
from detic_crop.folder.records import Record
from detic_crop.photos.keys import printable
from detic_crop.review_page.applying import ApplyState, CannotApplyError
from detic_crop.system.signals import Stop
from detic_crop.wording import visible
from detic_crop.work.progress import Report

_log = logging.getLogger(__name__)

_SOONEST = 2.0  # seconds of work before the time that is left is told


class ApplyBeside:
    """Makes the crops follow in a thread; see `Applying`.

    Only the main thread hears signals: whoever serves the page calls `end` when it is told to stop.

    Args:
        output: the output folder.
        input: where the photos are now, if they have moved.
    """

    may = True
    instead = ""

    def __init__(self, output: PathLike, input: PathLike | None) -> None:
        self._output = output
        self._input = input
        self._state = ApplyState()
        self._changing = threading.Lock()
        self._stop: Stop | None = None
        self._is_ending = False
        self._over = threading.Event()
        self._over.set()
        self._unfinished = ""

    def start(self, then: Callable[[], object]) -> None:
        """Begin in a thread; see `Applying`."""
        with self._changing:
            if self._is_ending or not self._over.is_set():
                raise CannotApplyError("the verdicts are being applied already")
            self._over.clear()
            self._stop = None
            self._state = ApplyState("starting")
        threading.Thread(target=self._work, args=(then,), name="detic-crop-apply").start()

    def state(self) -> ApplyState:
        """Return how far it is; see `Applying`."""
        return self._state

    def end(self) -> str:
        """Stop after the photos in hand, and return once the tables are written.

        Returns:
            What is left to do, in a sentence; empty if nothing was cut short.
        """
        with self._changing:
            self._is_ending = True
            if self._stop is not None:
                self._stop.reason = "SIGINT"
        self._over.wait()  # not `Thread.join`, which an interrupt would leave in disorder: see `end_pool`
        return self._unfinished

    # ------------------------------------------------------------ in the thread

    def _work(self, then: Callable[[], object]) -> None:
        state = ApplyState("failed", error="this is a fault of detic-crop; the terminal says more")
        try:
            state = self._applied()
        except Exception:
            _log.exception("the verdicts could not be applied")
        finally:
            try:
                then()
            finally:
                self._state = state
                self._over.set()

    def _applied(self) -> ApplyState:
        options = RunOptions(quiet=True)
        try:
            with open_on_disk(self._output, "apply") as folder:
                result = apply_in(folder, self._input, options, self._watch)
        except DeticCropError as error:
            return ApplyState("failed", error=_sentence_for_page(error))
        self._unfinished = stop_in_words(result, f"run `detic-crop apply {folder.layout.quoted}`")
        return replace(
            ApplyState("done", result.done, len(result.changes)),
            lines=tuple(map(_shown, _lines_of(result))),
            problems=tuple((key, _shown(one_line(why))) for key, why in result.problems.items()),
        )

    @contextmanager
    def _watch(self, total: int, stop: Stop) -> Iterator[Report]:
        with self._changing:
            self._stop = stop
            if self._is_ending:
                stop.reason = "SIGINT"
        begun, done = time.monotonic(), 0
        self._state = ApplyState("cropping", 0, total)

        def report(record: Record) -> None:
            nonlocal done
            done += 1
            took = time.monotonic() - begun
            left = took / done * (total - done) if took > _SOONEST else None
            self._state = ApplyState("cropping", done, total, left)

        yield report
        self._state = ApplyState("tables", done, total)


def _lines_of(result: ApplyResult) -> list[str]:
    """Return what the command would print of the result, but for its problems."""
    which = "the other" if result.problems or result.remaining else "the"
    estimated = () if result.estimate is None else result.estimate.sentences
    return [
        verdicts_in_words(result),
        counts_in_words(result),
        *estimated,
        *(agreement.sentence for agreement in result.agreements),
        *result.notes,
        *filter(None, [stop_in_words(result, "apply again")]),
        f"{which} crops in {result.folder.shown} follow what you said; go on, or end the page with "
        "Ctrl-C in its terminal",
    ]


def _sentence_for_page(error: DeticCropError) -> str:
    """Return what is wrong; of a folder in use without the options of a command that wait for nobody."""
    if error.code == "in_use":
        return f"{_shown(error.message.partition('; ')[0])}: wait until it has ended, then apply again"
    return _shown(one_line(error))


def _shown(line: str) -> str:
    return visible(printable(line))
