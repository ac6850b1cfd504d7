"""One thread that asks the detector, between workers that decode before it and finish after it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType

from detic_crop.work.pipeline import DecodedPhoto, Detected, Pipeline
from detic_crop.work.recipe import Job, Outcome


@dataclass(slots=True, eq=False)
class _Flight:
    """A photo on its way."""

    decoding: Future[DecodedPhoto | Outcome]
    outcome: Future[Outcome] = field(default_factory=Future)
    decoded_at: float = 0.0

    def note_time(self, decoding: Future[DecodedPhoto | Outcome]) -> None:
        """Note when decoding was done."""
        self.decoded_at = time.perf_counter()

    def decoded(self) -> DecodedPhoto | Outcome | None:
        """Return the decoded photo, once it is; None if a stop came before it was begun."""
        try:
            return self.decoding.result()
        except CancelledError:
            return None


class DetectorThread:
    """Takes jobs in order and gives their outcomes as futures.

    Photos that are decoded by the time the detector is free are given to it together, up to its batch size:
    the oldest one and those of its group. The oldest one is waited for, unless memory is short: then it may
    itself be waiting for the memory of those that are decoded.

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
        self._waiting: deque[_Flight] = deque()  # those that the detector has not seen
        self._changed = threading.Condition()
        self._stopping = False
        self._closed = False  # the thread takes no more photos
        self._thread = threading.Thread(target=self._run, name="detic-crop-detector")
        self._ended = threading.Event()

    def __enter__(self) -> DetectorThread:
        self._pipeline.memory.when_short = self._look_again
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
        with self._changed:
            closed = self._closed
            if not closed:
                self._waiting.append(flight)
        if closed:
            _cancel([flight])
        else:
            flight.decoding.add_done_callback(flight.note_time)
            flight.decoding.add_done_callback(self._look_again)
        return flight.outcome

    def stop(self) -> None:
        """Give the detector no further photo; may be called twice."""
        self._stopping = True
        self._look_again()

    def _look_again(self, _: object = None) -> None:
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._ended.set()

    def _work(self) -> None:
        try:
            while not self._stopping:
                batch = self._next_batch()
                if self._stopping or self._should_stop():
                    self._stopping = True
                    _cancel(flight for flight, _ in batch)
                elif batch:
                    self._detect(batch)
                batch = []  # their memory was given back: it must not be held while the next ones are awaited
        finally:
            with self._changed:
                self._closed = True
            _cancel(self._waiting)  # nothing is added any more

    def _first(self) -> _Flight | None:
        """Return the flight that the detector is to take next; None if it has to wait."""
        if self._waiting and self._waiting[0].decoding.done():
            return self._waiting[0]
        if self._pipeline.memory.is_short:
            return next((flight for flight in self._waiting if flight.decoding.done()), None)
        return None

    def _next_batch(self) -> list[tuple[_Flight, DecodedPhoto]]:
        """Return the next photo and those of its group; settle failed ones on the way."""
        with self._changed, self._pipeline.times.idling("detector"):
            self._changed.wait_for(lambda: self._stopping or self._first())
            first = self._first()
            waiting = list(self._waiting)
        batch: list[tuple[_Flight, DecodedPhoto]] = []
        if first is None:
            return batch
        for flight in waiting[waiting.index(first) :]:
            if len(batch) == self._pipeline.batch_size or not flight.decoding.done():
                break
            try:
                photo = flight.decoded()
                if isinstance(photo, DecodedPhoto) and batch and not self._alike(photo, batch[0][1]):
                    continue
            except BaseException as error:  # somebody's own detector
                flight.outcome.set_exception(error)
            else:
                if photo is None:
                    flight.outcome.cancel()
                elif isinstance(photo, Outcome):
                    flight.outcome.set_result(photo)
                else:
                    batch.append((flight, photo))
            with self._changed:
                self._waiting.remove(flight)
        return batch

    def _alike(self, photo: DecodedPhoto, other: DecodedPhoto) -> bool:
        """Return whether two photos may be given to the detector together."""
        try:
            return self._pipeline.group_of(photo) == self._pipeline.group_of(other)
        except BaseException:
            photo.give_back()
            raise

    def _detect(self, batch: list[tuple[_Flight, DecodedPhoto]]) -> None:
        now = time.perf_counter()
        for flight, _ in batch:
            if flight.decoded_at:  # noted just after the photo could be taken
                self._pipeline.times.queued("decoded, waiting for the detector", now - flight.decoded_at)
        try:
            answers = self._pipeline.detect([photo for _, photo in batch])
        except BaseException as error:
            self._stopping = True
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
