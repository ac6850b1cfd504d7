"""What `status` returns, and how it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from detic_crop.commands.told import Told
from detic_crop.folder.holder import Holder
from detic_crop.folder.progress_file import Progress
from detic_crop.wording import counted, span

State: TypeAlias = Literal["running", "silent", "interrupted", "stopped", "failed", "done", "not run"]

SILENT_AFTER = 600.0
"""Seconds without a sign of life after which a process elsewhere may be gone."""
MOST_SHARDS = 40
"""Shards that are told one by one, and commands of shards that are printed."""


_OF_SHARDS: dict[State, str] = {
    "running": "at work",
    "silent": "without a sign of life",
    "failed": "ended by an error",
}


@dataclass(slots=True)
class PartStatus:
    """How far the work on a folder, or on one of its shards, is.

    Attributes:
        shard: which shard, ``3/16``; empty of a folder.
        state: ``running``; ``silent``: it is held by a process elsewhere that has given no sign of life;
            ``interrupted``: killed; ``stopped`` in good order, with photos to do; ``failed``: ended by an
            error; ``done``; ``not run``.
        total: photos that were asked for; None where that is not known.
        done: those that are done.
        failed: those of them that failed.
        progress: what the last command said of itself; None where none did.
        holder: the process that holds it; None if nobody does.
        seconds_since: since its last sign of life; None where there was none.
        photos_per_second: over the last minute; None unless it is at work.
        seconds_left: until it is done at that rate; None unless it is at work.
    """

    shard: str = ""
    state: State = "not run"
    total: int | None = None
    done: int = 0
    failed: int = 0
    progress: Progress | None = None
    holder: Holder | None = None
    seconds_since: float | None = None
    photos_per_second: float | None = None
    seconds_left: float | None = None

    @property
    def doing(self) -> str:
        """What it is doing, or why it is not, in words."""
        progress = self.progress
        match self.state:
            case "running":
                if progress is None:
                    return "a command is at work"
                return (
                    progress.phase if progress.command == "run" else f"{progress.command}: {progress.phase}"
                )
            case "silent":
                return f"no sign of life for {span(self.seconds_since or 0)}"
            case "interrupted":
                return f"interrupted while {progress.phase}" if progress else "interrupted"
            case "stopped":
                why = progress.stopped.replace("_", " ") if progress and progress.stopped else ""
                return f"stopped ({why})" if why else "stopped"
            case "failed":
                return "ended by an error"
        return self.state

    @property
    def amount(self) -> str:
        """How many photos are done, how fast, and for how long."""
        if self.total is None:
            return counted(self.done, "photo")
        share = f" ({_percent(self.done, self.total)})" if self.total else ""
        rate = f", {self.photos_per_second:.3g} photos/s" if self.photos_per_second else ""
        left = "" if self.seconds_left is None else f", {span(self.seconds_left)} left"
        return f"{self.done:,} of {counted(self.total, 'photo')}{share}{rate}{left}"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        progress = self.progress
        return {
            "shard": self.shard,
            "state": self.state,
            "command": progress.command if progress else "",
            "phase": progress.phase if progress else "",
            "total": self.total,
            "done": self.done,
            "failed": self.failed,
            "photos_per_second": self.photos_per_second,
            "seconds_left": None if self.seconds_left is None else round(self.seconds_left),
            "began": progress.began if progress else "",
            "last": progress.last if progress else "",
            "stopped": progress.stopped if progress else "",
            "error": progress.error if progress else "",
            "holder": None if self.holder is None else msgspec.to_builtins(self.holder),
        }


@dataclass(slots=True, repr=False)
class StatusResult(Told):
    """How far the work on a folder is, and what comes next.

    Attributes:
        shown: the folder, as messages call it.
        whole: the folder, or all its shards together.
        shards: each of its shards; none once they are merged.
        statuses: number of photos by what was done with them.
        failures: number of failed photos by reason.
        flagged: number of flagged crops, as the last run counted them; None where that is not known.
        verdicts: number of photos with a verdict.
        verdicts_waiting: those that `apply` has not followed yet.
        next: commands to give now, each whole; none while the work goes on.
        notes: sentences that a person should read.
    """

    shown: str
    whole: PartStatus
    shards: Sequence[PartStatus] = ()
    statuses: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    flagged: int | None = None
    verdicts: int = 0
    verdicts_waiting: int = 0
    next: Sequence[str] = ()
    notes: Sequence[str] = ()

    def lines(self, *, quiet: bool = False) -> list[str]:
        """Return what the command prints; the last line says what to do next."""
        said = [f"{self.shown}: {self._doing()}: {self.whole.amount}"]
        if error := self.whole.progress.error if self.whole.progress and self.whole.state == "failed" else "":
            said.append(f"error: {error}")
        said += [f"shard {part.shard}: {part.doing}: {part.amount}" for part in self.shards[:MOST_SHARDS]]
        if len(self.shards) > MOST_SHARDS:
            said.append(f"… and {counted(len(self.shards) - MOST_SHARDS, 'more shard')}; --json has all")
        said += filter(None, [self._kinds(), self._verdicts(), *map(_life, (self.whole, *self.shards))])
        said += self.notes
        said += [f"next: {command}" for command in self.next]
        return said

    def _doing(self) -> str:
        if not self.shards or self.whole.holder is not None:
            return self.whole.doing
        states = Counter(part.state for part in self.shards)
        told = (f"{number:,} {_OF_SHARDS.get(state, state)}" for state, number in states.most_common())
        return f"{counted(len(self.shards), 'shard')}: {', '.join(told)}"

    def _kinds(self) -> str:
        parts = [
            f"{number:,} {status}" for status, number in self.statuses.most_common() if status != "failed"
        ]
        if not self.statuses:
            return ""
        reasons = ", ".join(f"{reason or '?'} {number:,}" for reason, number in self.failures.most_common(8))
        parts.append(f"{self.statuses['failed']:,} failed" + (f" ({reasons})" if reasons else ""))
        if self.flagged is not None:
            parts.append(f"{counted(self.flagged, 'crop')} flagged")
        return "photos: " + ", ".join(parts)

    def _verdicts(self) -> str:
        if not self.verdicts and not self.verdicts_waiting:
            return ""
        waiting = f"; {self.verdicts_waiting:,} not applied yet" if self.verdicts_waiting else "; all applied"
        return f"review: {counted(self.verdicts, 'verdict')} given{waiting}"

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, as ``--json`` prints them."""
        return {
            "folder": self.shown,
            **self.whole.as_json(),
            "shards": [part.as_json() for part in self.shards],
            "statuses": dict(self.statuses),
            "failures": dict(self.failures),
            "flagged": self.flagged,
            "verdicts": self.verdicts,
            "verdicts_waiting": self.verdicts_waiting,
            "next": list(self.next),
            "notes": list(self.notes),
        }


def _life(part: PartStatus) -> str:
    """Return who is or was at work, and its last sign of life; empty where that matters no more."""
    of = f"shard {part.shard}: " if part.shard else ""
    last = "" if part.seconds_since is None else f"last sign of life {span(part.seconds_since)} ago"
    if part.state == "interrupted":
        return last and of + last
    if part.holder is None or part.state not in ("running", "silent"):
        return ""
    since = f" since {part.holder.since}" if part.holder.since else ""
    return of + "; ".join(filter(None, [f"{part.holder}{since}", last]))


def _percent(done: int, total: int) -> str:
    return f"{100 * done // total} %"  # never 100 before the last one
