"""The scheduler of workers elsewhere: what is held in memory while one photo takes long."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from detic_crop.config import CropConfig
from detic_crop.folder.records import Record
from detic_crop.photos.location import LocalFile
from detic_crop.photos.photo import Photo
from detic_crop.work.executors import dispatch
from detic_crop.work.executors.dispatch import Crew, Dispatcher, Ready, Worker
from detic_crop.work.pipeline import Pipeline
from detic_crop.work.recipe import Job, Outcome, Recipe
from detic_crop.work.timing import Totals
from tests.kit.detectors import FakeDetector

BYTES = 1000  # of each crop
LONG = "0.jpg"


class Desk(Worker):
    """Answers at once, but for `LONG`: that takes until the crew is tended with nothing else to do."""

    def __init__(self, crew: Desks) -> None:
        super().__init__("desk")
        self._crew = crew

    def give(self, job: Job) -> None:
        self._crew.given.append(job.photo.key)
        if job.photo.key != LONG:
            self._crew.answer(self, job.photo.key)

    def stop(self) -> None:
        pass

    def end(self) -> None:
        pass

    def totals(self) -> Totals | None:
        return None


class Desks(Crew):
    """Two desks."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[str] = []
        self.most_begun = 0
        self._seen = 0

    def start(self, jobs: Sequence[Job]) -> list[Worker]:
        desks: list[Worker] = [Desk(self), Desk(self)]
        for desk in desks:
            self.inbox.put((desk, Ready(4)))
        return desks

    def answer(self, worker: Worker, key: str) -> None:
        self.inbox.put((worker, Outcome(Record(key, "cropped"), None, (bytes(BYTES),))))

    def tend(self, workers: list[Worker]) -> None:
        busy = [worker for worker in workers if worker.in_hand]
        idle = [key for worker in busy for key in worker.in_hand] == [LONG] and self.inbox.empty()
        if idle and len(self.given) == self._seen:  # the last round gave nothing more
            self.most_begun = len(self.given)
            self.answer(busy[0], LONG)
        self._seen = len(self.given)


@pytest.mark.parametrize(("most_bytes", "most_begun"), [(3 * BYTES, 8), (1 << 30, 32)])
def test_crops_that_wait_for_a_slow_photo_are_bounded(
    most_bytes: int, most_begun: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "_MOST_BYTES", most_bytes)
    keys = [f"{number}.jpg" for number in range(100)]
    jobs = [Job(Photo(key, LocalFile(key)), key) for key in keys]
    crew = Desks()
    pipeline = Pipeline(Recipe(CropConfig(), 1 << 20), FakeDetector())
    outcomes = list(Dispatcher(crew, pipeline).run(jobs, lambda: False))
    assert [outcome.record.image for outcome in outcomes] == keys
    assert crew.most_begun == most_begun
