"""Trials, each in a child of its own: an empty folder, limits, and a watch over what it touches.

The package is imported once and a child is forked for each trial, so that hundreds of them take seconds.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from detic_crop.report.html.rendering import environment
from tests.attack.watch import Watch
from tests.kit.folders import files_of

CPU_SECONDS = 120
"""Of one trial; most take a tenth of one. Seconds of the clock depend on what else the machine does."""

PATIENCE = 900.0
"""Seconds after which a trial that waits for something counts as hanging."""


@dataclass(frozen=True)
class Trial:
    """One attempt.

    Attributes:
        number: from 0; the same number and seed make the same attempt.
        random: where all of its choices come from.
        base: what `Attack.prepare` made; it must not change.
        place: a folder of its own; nothing outside may be touched.
    """

    number: int
    random: random.Random
    base: Path
    place: Path


class Attack(Protocol):
    """A way to attack.

    Attributes:
        name: on the command line.
        usual: number of trials in the tests.
    """

    name: str
    usual: int

    def prepare(self, base: Path) -> None:
        """Make in `base`, an empty folder, what all trials need."""

    def attempt(self, trial: Trial) -> str:
        """Try once; return in a few words what came of it.

        Raises:
            AssertionError: something broke; any other exception counts as that, too.
        """


@dataclass
class Totals:
    """What came of all trials.

    Attributes:
        outcomes: number of trials by what came of them.
        broken: number of a trial → what was seen.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    broken: dict[int, str] = field(default_factory=dict)


@dataclass
class _Child:
    """A process that makes one attempt, and where it leaves what came of it."""

    pid: int
    place: Path
    begun: float

    def ended(self) -> str | None:
        """Return None while it works, then what broke; "" if nothing did."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            if time.monotonic() - self.begun < PATIENCE:
                return None
            os.killpg(self.pid, signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
            return f"hangs: {self._said()}"
        code = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGXCPU:
            return f"takes more than {CPU_SECONDS} seconds of a processor: {self._said()}"
        return f"exit {code}: {self._said()}" if code else ""

    def _said(self) -> str:
        return (self.place / "said").read_text(errors="replace")[-2000:]


def attempt_all(attack: Attack, numbers: Iterable[int], seed: int, work: Path, jobs: int) -> Totals:
    """Make the trials of these numbers in the folder `work`, which is empty.

    The folder of a trial that broke something stays there.
    """
    base = work / "base"
    base.mkdir()
    preparation = _fork(work / "prepared", lambda: _prepare(attack, base))
    while (fault := preparation.ended()) is None:
        time.sleep(0.01)
    assert not fault, fault
    _load((work / "prepared" / "outcome").read_text().split())
    before = files_of(base)
    totals = Totals()
    for number, child, fault in _outcomes(attack, numbers, seed, work, jobs):
        if fault:
            totals.broken[number] = fault
        else:
            totals.outcomes[(child.place / "outcome").read_text()] += 1
            shutil.rmtree(child.place)
    assert files_of(base) == before, "a trial changed the photos, or the folder that it took a copy of"
    return totals


def _prepare(attack: Attack, base: Path) -> str:
    attack.prepare(base)
    return "\n".join(name for name in sys.modules if not name.startswith("__"))


def _load(modules: Iterable[str]) -> None:
    """Load here once what every child would have to load."""
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    templates = environment()
    for name in templates.list_templates():
        templates.get_template(name)


def _outcomes(
    attack: Attack, numbers: Iterable[int], seed: int, work: Path, jobs: int
) -> Iterator[tuple[int, _Child, str]]:
    """Yield the number of each trial that has ended, its child and what broke, if something did."""
    waiting = iter(numbers)
    working: dict[int, _Child] = {}
    while True:
        while len(working) < jobs and (number := next(waiting, None)) is not None:
            place = work / str(number)
            trial = Trial(number, random.Random(f"{attack.name} {seed} {number}"), work / "base", place)
            working[number] = _fork(place, lambda trial=trial: attack.attempt(trial))  # type: ignore[misc]
        if not working:
            return
        for number, child in list(working.items()):
            if (fault := child.ended()) is not None:
                del working[number]
                yield number, child, fault
        time.sleep(0.002)


def _fork(place: Path, do: Callable[[], str]) -> _Child:
    """Run in a child; what it returns is in the file `outcome` of its place, what it prints in `said`."""
    place.mkdir()
    pid = os.fork()
    if pid:
        return _Child(pid, place, time.monotonic())
    code = 1
    try:
        os.setsid()
        os.fsync = lambda fd: None  # a killed process loses nothing that it wrote
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 10))
        said = os.open(place / "said", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        watch = Watch(str(place) if place.name != "prepared" else str(place.parent))
        sys.addaudithook(watch)
        (place / "outcome").write_text(do())
        assert not watch.outside, f"touched {watch.outside}"
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def in_child(do: Callable[[], int]) -> int:
    """Run in a child of a trial; return its exit code, negative if a signal ended it."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 99
    try:
        code = do()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.setprofile(None)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
