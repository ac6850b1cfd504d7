"""To apply the verdicts from the page: what its server hands over, and what the page shows of it.

The page knows nothing of the work. Whoever serves it gives `LivePage` an `Applying`: `detic-crop review` one
that works in a thread of its own process (`commands.apply_beside`), a blind review `NothingToApply`.

What the browser sees:

- ``GET api/apply``: `ApplyState` as JSON, its fields under their names; with ``is_running``, ``may``,
  ``instead``, and ``edition``, how often the page was opened anew. Each of ``problems`` ends with the page's
  id of the photo.
- ``POST api/apply``, ``{}``: begins, and answers with the same. 409 in one line if it cannot begin.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Phase = Literal["idle", "starting", "cropping", "tables", "done", "failed"]


class CannotApplyError(Exception):
    """It does not begin; the words say why, in a line."""


@dataclass(frozen=True, slots=True)
class ApplyState:
    """How far it is.

    Attributes:
        phase: ``idle`` before the first time; then ``starting``, ``cropping``, ``tables``; at last ``done``,
            or ``failed`` if it could not be carried out, for instance since a run is at work in the folder.
        done: photos that follow their verdict now.
        total: photos whose verdict is to be applied; 0 as long as that is not known.
        seconds_left: of ``cropping``, as far as that can be told; else None.
        lines: once it is over, what the command prints: what became of the verdicts, counts, notes.
        problems: key of each photo that keeps its earlier crop, and the reason.
        error: why it failed, in a line.
    """

    phase: Phase = "idle"
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    lines: tuple[str, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()
    error: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it is at work."""
        return self.phase in ("starting", "cropping", "tables")

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**dataclasses.asdict(self), "is_running": self.is_running}


class Applying(Protocol):
    """Makes the crops of one folder follow the verdicts, beside the page and once at a time.

    Its methods are called from several threads.

    Attributes:
        may: whether the page offers it.
        instead: where it does not, the command to give instead; else empty.
    """

    @property
    def may(self) -> bool: ...

    @property
    def instead(self) -> str: ...

    def start(self, then: Callable[[], object]) -> None:
        """Begin, and return at once.

        Args:
            then: called when the work is over, whatever became of it, and before `state` says so: the page
                reads the folder anew, so that whoever hears of the end sees what it made.

        Raises:
            CannotApplyError: it is at work already, or it is not offered.
        """
        ...

    def state(self) -> ApplyState:
        """Return how far it is, or what the last time came to."""
        ...

    def end(self) -> str:
        """Cut the work short in good order, since the server ends; what was finished is kept.

        Returns:
            What is left to do, in a sentence; empty if nothing was cut short.
        """
        ...


class NothingToApply:
    """Of a page whose verdicts change no crop.

    Args:
        instead: the command that makes something of them.
    """

    may = False

    def __init__(self, instead: str) -> None:
        self.instead = instead

    def start(self, then: Callable[[], object]) -> None:
        raise CannotApplyError(f"these verdicts change no crop; give: {self.instead}")

    def state(self) -> ApplyState:
        return ApplyState()

    def end(self) -> str:
        return ""
