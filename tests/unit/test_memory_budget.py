"""The budget of memory that photos share: never too much is lent, nobody is overtaken or waits for ever."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from detic_crop.config import FORMATS
from detic_crop.errors import PhotoError
from detic_crop.images import decode as decoding
from detic_crop.images.crop import cut_and_resize
from detic_crop.images.decode import PhotoFile
from detic_crop.images.source import BytesSource
from detic_crop.system import memory_budget
from detic_crop.system.memory_budget import Loan, MemoryBudget
from detic_crop.work import pipeline
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.folders import crop, product, rows_of
from tests.kit.photos import write_photos

PATIENCE = 60  # seconds; more than enough for any machine


class Borrower:
    """A thread that borrows, and waits until it is told to give back."""

    def __init__(self, budget: MemoryBudget, size: int) -> None:
        self.got = threading.Event()
        self.gone = threading.Event()
        self.error: BaseException | None = None
        self._give_back = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(budget, size), daemon=True)
        waiting = len(budget._queue)
        self._thread.start()
        wait_until(lambda: self.got.is_set() or len(budget._queue) > waiting)

    def _run(self, budget: MemoryBudget, size: int) -> None:
        try:
            with budget.borrow(size):
                self.got.set()
                self._give_back.wait(PATIENCE)
        except CancelledError as error:
            self.error = error
        self.gone.set()

    def give_back(self) -> None:
        self._give_back.set()
        assert self.gone.wait(PATIENCE)


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not condition():
        pause.wait(0.001)


def test_what_fits_is_lent_at_once() -> None:
    budget = MemoryBudget(10)
    first, second = budget.borrow(4), budget.borrow(6)
    assert not budget.is_short
    third = Borrower(budget, 1)
    assert budget.is_short
    assert not third.got.is_set()
    first.give_back()
    assert third.got.wait(PATIENCE)
    second.give_back()
    third.give_back()
    assert budget._lent == 0


def test_one_who_needs_much_is_not_overtaken() -> None:
    budget = MemoryBudget(10)
    first = budget.borrow(5)
    large = Borrower(budget, 9)
    small = Borrower(budget, 1)  # it would fit beside the first
    assert not small.got.is_set()
    first.give_back()
    assert large.got.wait(PATIENCE)
    assert small.got.wait(PATIENCE)
    large.give_back()
    small.give_back()


def test_several_who_fit_are_let_in_together() -> None:
    budget = MemoryBudget(10)
    first = budget.borrow(10)
    others = [Borrower(budget, 3) for _ in range(3)]
    first.give_back()
    for other in others:
        assert other.got.wait(PATIENCE)
        other.give_back()


def test_one_who_needs_more_than_there_is_for_all_is_alone() -> None:
    budget = MemoryBudget(10, alone=15)
    assert budget.most == 15
    first = budget.borrow(1)
    large = Borrower(budget, 15)
    assert not large.got.is_set()
    first.give_back()
    assert large.got.wait(PATIENCE)
    small = Borrower(budget, 1)
    assert not small.got.is_set()
    large.give_back()
    assert small.got.wait(PATIENCE)
    small.give_back()


def test_a_loan_can_become_smaller_and_is_given_back_once() -> None:
    budget = MemoryBudget(10)
    loan = budget.borrow(8)
    waiting = Borrower(budget, 5)
    loan.keep(5)
    assert waiting.got.wait(PATIENCE)
    loan.keep(7)  # not more again
    assert (loan.size, budget._lent) == (5, 10)
    loan.give_back()
    loan.give_back()
    assert budget._lent == 5
    waiting.give_back()


def test_an_error_gives_back() -> None:
    budget = MemoryBudget(10)
    with pytest.raises(ValueError, match="no"), budget.borrow(10):
        raise ValueError("no")
    assert budget._lent == 0


def test_who_waits_when_it_is_closed_is_told() -> None:
    budget = MemoryBudget(10)
    first = budget.borrow(10)
    waiting = [Borrower(budget, 1) for _ in range(3)]
    budget.close()
    for each in waiting:
        assert each.gone.wait(PATIENCE)
        assert isinstance(each.error, CancelledError)
    first.give_back()
    with pytest.raises(CancelledError):
        budget.borrow(1)


def test_many_at_once() -> None:
    """However much they want in whatever order: never too much is lent, and all get theirs."""
    budget, lock = MemoryBudget(100, alone=130), threading.Lock()
    lent: list[int] = []
    most: list[list[int]] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(50):
            size = chance.choice([1, 5, 30, 60, 100, 130])
            with budget.borrow(size) as loan:
                with lock:
                    lent.append(size)
                    most.append(list(lent))
                if size > 50 and chance.random() < 0.5:
                    with lock:
                        lent.remove(size)
                        lent.append(size // 2)
                    size //= 2
                    loan.keep(size)
                with lock:
                    lent.remove(size)

    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(work, seed) for seed in range(16)]:
            done.result(PATIENCE)
    assert len(most) == 16 * 50
    assert all(sum(together) <= 100 or len(together) == 1 for together in most)
    assert budget._lent == 0


@pytest.mark.parametrize(
    ("given", "parts", "expected"),
    [(None, 1, (500, 750)), (None, 4, (125, 188)), (300, 1, (300, 300)), (300, 3, (100, 100))],
)
def test_what_a_process_of_this_machine_may_lend(
    given: int | None, parts: int, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_budget, "usable_bytes", lambda: 1000)
    budget = MemoryBudget.of_machine(given, parts)
    assert (budget.limit, budget.most) == expected


# ---------------------------------------------------------------- in a run


@pytest.fixture
def lendings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[MemoryBudget, int]]:
    """Each loan of the budgets that pipelines make, with what was lent right after it."""
    found: list[tuple[MemoryBudget, int]] = []
    borrow = MemoryBudget.borrow

    def noted(budget: MemoryBudget, size: int) -> Loan:
        loan = borrow(budget, size)
        found.append((budget, budget._lent))
        return loan

    monkeypatch.setattr(MemoryBudget, "borrow", noted)
    return found


def one_photo_at_a_time(monkeypatch: pytest.MonkeyPatch) -> int:
    """Make every photo take 100 bytes, and crops none; return a limit below two."""
    monkeypatch.setattr(decoding, "peak_bytes", lambda *_: 100)
    monkeypatch.setattr(pipeline, "BYTES_PER_PIXEL_OF_CROP", dict.fromkeys(FORMATS, 0))
    return 150


@pytest.mark.parametrize("thread_safe", [True, False])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_run_takes_its_turn(
    thread_safe: bool,
    batch: int,
    tmp_path: Path,
    lendings: list[tuple[MemoryBudget, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With memory for one photo at a time eight workers do the same as two that have plenty."""
    write_photos(tmp_path / "in", 30)
    crop(tmp_path / "in", tmp_path / "plenty", detector=FakeDetector(), workers=2)
    lendings.clear()
    limit = one_photo_at_a_time(monkeypatch)
    detector = FakeDetector(thread_safe=thread_safe)
    detector.preferred_batch = batch
    crop(tmp_path / "in", tmp_path / "out", detector=detector, workers=8, memory=limit)
    assert product(tmp_path / "out") == product(tmp_path / "plenty")
    of_run = [lent for budget, lent in lendings if budget.limit == limit]
    assert len(of_run) >= 30
    assert max(of_run) == 100
    assert all(budget._lent == 0 for budget, _ in lendings)


@pytest.mark.parametrize("thread_safe", [True, False])
def test_what_fails_gives_back(
    thread_safe: bool,
    tmp_path: Path,
    lendings: list[tuple[MemoryBudget, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In whatever step: else the photos behind it would wait for ever."""
    keys = write_photos(tmp_path / "in", 24)
    (tmp_path / "in" / keys[0]).write_bytes((tmp_path / "in" / keys[0]).read_bytes()[:300])
    limit = one_photo_at_a_time(monkeypatch)
    failing: dict[str, Exception] = dict.fromkeys(keys[1::4], RuntimeError("odd"))
    failing |= dict.fromkeys(keys[2::4], MemoryError())
    detector = FakeDetector(thread_safe=thread_safe, failing=failing)
    crops = iter(range(100))

    def stumbling(*given: Any) -> Any:
        if next(crops) % 3 == 0:
            raise MemoryError
        return cut_and_resize(*given)

    monkeypatch.setattr(pipeline, "cut_and_resize", stumbling)
    result = crop(tmp_path / "in", tmp_path / "out", detector=detector, workers=4, memory=limit)
    assert result.counts.total() == 24
    assert result.counts["failed"] > 12
    assert all(budget._lent == 0 for budget, _ in lendings)


@pytest.mark.parametrize("thread_safe", [True, False])
def test_a_stop_does_not_wait_for_memory(
    thread_safe: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos that still wait are not begun."""
    keys = write_photos(tmp_path / "in", 40)
    limit = one_photo_at_a_time(monkeypatch)
    detector = FakeDetector(thread_safe=thread_safe, delay=0.02)
    result = crop(
        tmp_path / "in", tmp_path / "out", detector=detector, workers=4, memory=limit, time_limit=0.2
    )
    assert result.done < len(keys)
    crop(tmp_path / "in", tmp_path / "out", detector=FakeDetector())
    assert [row["image"] for row in rows_of(tmp_path / "out")] == keys


@pytest.mark.parametrize("thread_safe", [True, False])
def test_a_broken_detector_frees_those_who_wait(
    thread_safe: bool,
    tmp_path: Path,
    lendings: list[tuple[MemoryBudget, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = write_photos(tmp_path / "in", pipeline.MAX_DETECTOR_CRASHES + 10)
    limit = one_photo_at_a_time(monkeypatch)
    failing: dict[str, Exception] = dict.fromkeys([*keys, ""], RuntimeError("no GPU"))
    with refused("broken_detector"):
        crop(
            tmp_path / "in",
            tmp_path / "out",
            detector=FakeDetector(failing=failing, thread_safe=thread_safe),
            workers=4,
            memory=limit,
        )
    # With one thread that asks the detector, those that it will not see keep theirs until the end.
    assert not thread_safe or all(budget._lent == 0 for budget, _ in lendings)


def test_a_photo_that_never_fits_is_a_row_that_says_what_to_pass(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 4)
    crop(tmp_path / "in", tmp_path / "out", detector=FakeDetector(), memory="1MB")
    rows = rows_of(tmp_path / "out")
    assert [row["image"] for row in rows] == keys
    assert {row["reason"] for row in rows} == {"out_of_memory"}
    assert "at most 1MB of memory" in rows[0]["error"]
    needed = [re.search(r"pass --memory (\d+MB) ", row["error"]) for row in rows]
    enough = max((found[1] for found in needed if found), key=lambda text: int(text[:-2]))
    crop(tmp_path / "in", tmp_path / "out", detector=FakeDetector(), memory=enough)
    assert "out_of_memory" not in {row["reason"] for row in rows_of(tmp_path / "out")}


def test_a_photo_is_not_read_before_there_is_memory_for_it(tmp_path: Path) -> None:
    """Only its header is."""
    write_photos(tmp_path / "in", 1)
    [path] = (tmp_path / "in").rglob("*.jpg")
    budget, events = MemoryBudget(1 << 40), list[str]()

    class Told(BytesSource):
        def whole(self) -> bytes:
            events.append(f"read, {budget._lent > 0}")
            return super().whole()

    with pytest.raises(PhotoError):
        PhotoFile.open(Told(path.read_bytes()), MemoryBudget(10))
    assert events == []
    file = PhotoFile.open(Told(path.read_bytes()), budget)
    assert events == ["read, True"]
    file.give_back()
    assert budget._lent == 0
    with pytest.raises(PhotoError):  # found out when all of it is there
        PhotoFile.open(Told(path.read_bytes()[:400]), budget, truncated="fail")
    assert budget._lent == 0
