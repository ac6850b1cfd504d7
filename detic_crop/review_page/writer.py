"""Writes what is said on the page: one word at a time, or several at once where nobody was faster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from detic_crop.folder.verdict_lines import Verdict
from detic_crop.review_page.rows import ReviewRows
from detic_crop.review_page.said import Said, stamp_of


class Verdicts(Protocol):
    """Where verdicts go; see `VerdictLog`."""

    def refresh(self) -> list[Verdict]:
        """Return the verdicts that came since the last call."""

    def append_decided(self, decide: Callable[[list[Verdict]], Sequence[Verdict]]) -> list[Verdict]:
        """Write what is decided on the verdicts that came since the last call; return these and those."""


class Asked(NamedTuple):
    """What is to be said of a photo, unless somebody else has said something meanwhile.

    Attributes:
        rank: rank of the photo.
        said: what is said.
        seen: `stamp_of` the last word on it that the person saw.
    """

    rank: int
    said: Said
    seen: str


class Desk:
    """What verdicts are written at; it outlives that the page is opened anew.

    Attributes:
        writing: held while verdicts are written and noted.
        given: number of verdicts and notes so far.
    """

    def __init__(self) -> None:
        self.writing = threading.Lock()
        self.given = 0


class VerdictWriter:
    """Writes verdicts, and keeps the rows informed of all that are written, by whomever.

    Args:
        rows: the photos.
        log: where the verdicts go.
        reviewer: name of the person who judges.

    Attributes:
        desk: what they are written at; pages of one folder share it.
    """

    def __init__(self, rows: ReviewRows, log: Verdicts, reviewer: str) -> None:
        self.desk = Desk()
        self._rows = rows
        self._log = log
        self._reviewer = reviewer

    def refresh(self) -> None:
        """Take in what others have written."""
        with self.desk.writing:
            self._rows.note(self._log.refresh())

    def write(self, rank: int, said: Said) -> None:
        """Write a verdict or a note; whatever was said before, the last word counts.

        Raises:
            ValueError: its note, joined with that of somebody else, is too long.
            OutputError: it may not be on the disk.
        """

        def decide(new: list[Verdict]) -> list[Verdict]:
            self._rows.note(new)
            return [self._line(rank, said)]

        with self.desk.writing:
            self._rows.note(self._log.append_decided(decide))
            self.desk.given += 1

    def write_unless_judged(self, asked: Sequence[Asked]) -> list[int]:
        """Write verdicts in one piece, without those on photos that somebody has judged meanwhile.

        Returns:
            The ranks of the photos whose verdicts were left out.

        Raises:
            OutputError: they may not be on the disk.
        """
        if not asked:
            return []
        late: list[int] = []

        def decide(new: list[Verdict]) -> list[Verdict]:
            self._rows.note(new)
            verdicts = []
            for rank, said, seen in asked:
                if stamp_of(self._rows.last(rank)) != seen:
                    late.append(rank)
                else:
                    verdicts.append(self._line(rank, said))
            return verdicts

        with self.desk.writing:
            self._rows.note(self._log.append_decided(decide))
            self.desk.given += len(asked) - len(late)
        return late

    def _line(self, rank: int, said: Said) -> Verdict:
        """Return the line that says it after all that the rows know."""
        return said.after(self._rows.photos[rank].record.image, self._rows.last(rank), self._reviewer)
