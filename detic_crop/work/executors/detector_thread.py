"""One thread that asks the detector, between workers that decode before it and finish after it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from types import TracebackType

from detic_crop.work.pipeline import DecodedPhoto, Detected, Pipeline
from detic_crop.work.recipe import Job, Outcome


@dataclass(slots=True, eq=False)
class _Flight:
    """A photo on its way."""

    decoding: Future[DecodedPhoto | Outcome]
    outcome: Future[Outcome] = field(default_factory=Future)
    decoded_at: float = 0.0

    def decoded(self) -> DecodedPhoto | Outcome | None:
        """Return the decoded photo, once it is; None if a stop came before it was begun."""
        try:
            return self.decoding.result()
        except CancelledError:
            return None


class DetectorThread:
    """Takes jobs and gives their outcomes as futures.

    Photos that are decoded by the time the detector is free are given to it together, up to its batch size:
    the one that was decoded first and those of its group. None is waited for while others are decoded: it may
    be waiting for the memory that they hold.

    Args:
        pipeline: the steps of the main path, with the detector.
        decoding: threads that decode.
        finishing: threads that finish.
        should_stop: asked before the detector is given anything.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        decoding: ThreadPoolExecutor,
        finishing: ThreadPoolExecutor,
        should_stop: Callable[[], bool],
    ) -> None:
        self._pipeline = pipeline
        self._decoding = decoding
        self._finishing = finishing
        self._should_stop = should_stop
        self._inbox: SimpleQueue[_Flight | None] = SimpleQueue()  # of those that are decoded
        self._begun: set[_Flight] = set()  # those that the detector has not seen
        self._stopping = threading.Event()
        self._closing = threading.Lock()
        self._closed = False  # the thread takes no more photos
        self._thread = threading.Thread(target=self._run, name="detic-crop-detector")
        self._ended = threading.Event()

    def __enter__(self) -> DetectorThread:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._ended.wait()  # not `join`, see `leaving.end_pool`

    def submit(self, job: Job) -> Future[Outcome]:
        """Begin a photo. Its future is cancelled if a stop comes before the detector has seen it.

        The future raises DeticCropError if the detector is broken.
        """
        flight = _Flight(self._decoding.submit(self._pipeline.decode, job))
        with self._closing:
            if self._closed:
                _cancel([flight])
                return flight.outcome
            self._begun.add(flight)

        def receive(_: Future[DecodedPhoto | Outcome]) -> None:
            flight.decoded_at = time.perf_counter()
            self._inbox.put(flight)

        flight.decoding.add_done_callback(receive)
        return flight.outcome

    def stop(self) -> None:
        """Give the detector no further photo; may be called twice."""
        self._stopping.set()
        self._inbox.put(None)

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._ended.set()

    def _work(self) -> None:
        waiting: deque[_Flight] = deque()
        try:
            while not self._stopping.is_set():
                if not waiting and not self._receive(waiting):
                    break
                while not self._inbox.empty() and self._receive(waiting):
                    pass
                batch = self._next_batch(waiting)
                if self._stopping.is_set() or self._should_stop():
                    self._stopping.set()
                    _cancel(flight for flight, _ in batch)
                elif batch:
                    self._detect(batch)
        finally:
            with self._closing:
                self._closed = True
            _cancel(self._begun)  # nothing is added any more

    def _receive(self, waiting: deque[_Flight]) -> bool:
        """Take one more decoded photo; return False at the end."""
        with self._pipeline.times.idling("detector"):
            flight = self._inbox.get()
        if flight is not None:
            waiting.append(flight)
        return flight is not None

    def _next_batch(self, waiting: deque[_Flight]) -> list[tuple[_Flight, DecodedPhoto]]:
        """Return the first photo and those of its group; settle failed ones on the way."""
        batch: list[tuple[_Flight, DecodedPhoto]] = []
        for flight in list(waiting):
            if len(batch) == self._pipeline.batch_size:
                break
            photo = flight.decoded()
            if isinstance(photo, DecodedPhoto):
                try:
                    fits = not batch or self._pipeline.group_of(photo) == self._pipeline.group_of(batch[0][1])
                except Exception as error:  # somebody's own detector
                    flight.outcome.set_exception(error)
                    fits = True
                else:
                    batch += [(flight, photo)] if fits else []
                if not fits:
                    continue
            elif photo is None:
                flight.outcome.cancel()
            else:
                flight.outcome.set_result(photo)
            waiting.remove(flight)
            with self._closing:
                self._begun.discard(flight)
        return batch

    def _detect(self, batch: list[tuple[_Flight, DecodedPhoto]]) -> None:
        now = time.perf_counter()
        for flight, _ in batch:
            if flight.decoded_at:  # noted just after the photo could be taken
                self._pipeline.times.queued("decoded, waiting for the detector", now - flight.decoded_at)
        try:
            answers = self._pipeline.detect([photo for _, photo in batch])
        except BaseException as error:
            self._stopping.set()
            for flight, _ in batch:
                flight.outcome.set_exception(error)
            return
        for (flight, _), answer in zip(batch, answers, strict=True):
            if isinstance(answer, Outcome):
                flight.outcome.set_result(answer)
            else:
                self._finishing.submit(self._finish, flight, answer, time.perf_counter())

    def _finish(self, flight: _Flight, detected: Detected, since: float) -> None:
        self._pipeline.times.queued("detected, waiting for a worker", time.perf_counter() - since)
        try:
            flight.outcome.set_result(self._pipeline.finish(detected))
        except BaseException as error:
            flight.outcome.set_exception(error)


def _cancel(flights: Iterable[_Flight]) -> None:
    for flight in flights:
        flight.decoding.cancel()
        flight.outcome.cancel()
