"""What the loop of a run asks of the place where photos are worked on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol, TypeAlias

from detic_crop.work.recipe import Job, Outcome
from detic_crop.work.timing import Usage

ShouldStop: TypeAlias = Callable[[], bool]
"""Returns True once no further photo is to be begun; called often, from several threads."""


class Executor(Protocol):
    """Where jobs become outcomes: threads of this process, several processes, or a Ray cluster."""

    def run(self, jobs: Sequence[Job], should_stop: ShouldStop) -> Generator[Outcome]:
        """Do `jobs` and yield their outcomes in the same order; called once.

        The jobs are read as they are begun: a bounded number of photos is in memory. Once `should_stop`
        returns true, no further photo is begun; what a detector has seen is finished and yielded.

        Raises:
            DeticCropError: the work cannot go on; what was yielded is good.
        """
        ...

    def usage(self) -> Usage:
        """Return how busy it is kept; the same object in every call, complete when `run` has ended."""
        ...

    def report(self) -> dict[str, Any]:
        """Return what was done where, for run.json."""
        ...
