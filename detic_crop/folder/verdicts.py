"""review.csv: what reviewers said, one line per verdict, only added to; the last line of a photo counts.

Several pages, tabs and processes may write at once. A line is on disk before `VerdictLog.append` returns.
What a line means is in `verdict_lines`.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import filelock

from detic_crop.errors import OutputError
from detic_crop.folder.decisions import Decision, followed_by
from detic_crop.folder.held import Held, identity
from detic_crop.folder.inside import Inside, write_all
from detic_crop.folder.records import Record
from detic_crop.folder.verdict_lines import CHECKSUM, HEADER, VERDICTS, Verdict, VerdictLines

_LOCK_SECONDS = 10.0
_OVERLAP = 64  # bytes before what is new that are read again: by them a file that was replaced is known


class Review(NamedTuple):
    """What the file says.

    Attributes:
        last: key → the last line of that photo, whether a verdict or one taken back.
        damaged: number of lines that are not verdicts, or are not as they were written.
        first_damaged: number of the first of them in the file, from 1; 0 without one.
    """

    last: dict[str, Verdict]
    damaged: int = 0
    first_damaged: int = 0

    def sentences(self, shown: str) -> list[str]:
        """Return what a person should know of a file called `shown`; nothing if all is well."""
        if not self.damaged:
            return []
        return [
            f"lines of {shown} that are not verdicts, or have changed since they were written, ignored: "
            f"{self.damaged:,} (the first is line {self.first_damaged:,}); expected {','.join(HEADER)} with "
            f"one of {', '.join(VERDICTS)}: correct them and clear their {CHECKSUM} cell, or delete them"
        ]


def read_review(path: Path) -> Review:
    """Read the file; an absent file holds nothing."""
    log = VerdictLog(path)
    last = {verdict.image: verdict for verdict in log.read_all()}
    return Review(last, log.damaged, log.first_damaged)


def read_verdicts(path: Path) -> dict[str, Verdict]:
    """Return the last verdict of every photo, without those that were taken back."""
    return {image: last for image, last in read_review(path).last.items() if last.verdict != "undone"}


def latest_decisions(
    records: Mapping[str, Record], last_verdicts: Mapping[str, Verdict]
) -> dict[str, Decision]:
    """Return the reviewer's last word on every photo, applied already or not.

    Args:
        records: last record of each photo, by key.
        last_verdicts: last line of review.csv of each photo, by key.
    """
    decisions = {key: followed_by(record) for key, record in records.items() if record.says_something}
    for key, last in last_verdicts.items():
        decisions[key] = decision_of(last)
    return decisions


def count_waiting(records: Mapping[str, Record], last_verdicts: Mapping[str, Verdict]) -> int:
    """Return of how many photos the crops and remarks do not follow the last word yet."""
    return sum(
        not decision_of(last).is_followed_by(record)
        for key, last in last_verdicts.items()
        if (record := records.get(key)) is not None
    )


def decision_of(verdict: Verdict) -> Decision:
    """Return what a line of review.csv asks for."""
    if verdict.verdict == "undone":
        reviewer = verdict.reviewer if verdict.has_remarks else ""
        return Decision("", (), reviewer, verdict.note, verdict.viewpoint)
    return Decision(verdict.verdict, verdict.boxes, verdict.reviewer, verdict.note, verdict.viewpoint)


def standing_verdicts(
    records: Mapping[str, Record], last_verdicts: Mapping[str, Verdict]
) -> dict[str, Verdict]:
    """Return the verdict that holds for each photo: the last one here, else the one that its record follows.

    A folder that was recropped from a reviewed one has records that follow verdicts, and no file of its own.

    Args:
        records: last record of each photo, by key.
        last_verdicts: last line of review.csv of each photo, by key.
    """
    standing = {
        image: verdict_followed_by(record) for image, record in records.items() if record.verdict
    } | dict(last_verdicts)
    return {image: verdict for image, verdict in standing.items() if verdict.verdict != "undone"}


def verdict_followed_by(record: Record) -> Verdict:
    """Return the verdict that the crops of a record follow; `undone` if there is none."""
    verdict, boxes, reviewer, note, viewpoint = followed_by(record)
    return Verdict(record.image, verdict or "undone", boxes, reviewer, "", note, viewpoint)


def now() -> str:
    """Return the time of a verdict that is given now."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


class VerdictLog:
    """Reads what is new in the file, and appends to it. Safe from several threads and processes.

    Args:
        path: the file, in the state folder of an output folder; the first verdict makes it.

    Attributes:
        damaged, first_damaged: what was found so far; see `Review`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        state = path.parent
        self._held = Held(str(state.parent), ((folder, identity(folder)) for folder in (state.parent, state)))
        self._begin()
        self._thread_lock = threading.Lock()
        self._file_lock = filelock.FileLock(
            path.with_name("review.lock"), timeout=_LOCK_SECONDS, thread_local=False
        )

    def _begin(self) -> None:
        """Know nothing of the file yet."""
        self.damaged = self.first_damaged = 0
        self._lines = VerdictLines()
        self._count = 0  # lines that were read
        self._end = 0  # bytes that were read
        self._overlap = b""  # the last of these
        self._rest = b""  # what follows: a line that is being written, or is torn

    def read_all(self) -> list[Verdict]:
        """Return what `refresh` does and the verdict of a last line without an end, to be called once."""
        with self._thread_lock:
            found = self._read_new()
            if self._rest:
                last = self._lines.read(self._rest)
                if last.verdict is not None:
                    found.append(last.verdict)
                elif last.is_damaged:
                    self._note_damage()
            return found

    def refresh(self) -> list[Verdict]:
        """Return the verdicts that any process added since the last call; damaged lines are ignored.

        Of a file that was replaced all are returned; in a folder that was replaced there is nothing new.
        """
        with self._thread_lock:
            return self._read_new() if self._held.holds() else []

    def append(self, *verdicts: Verdict) -> list[Verdict]:
        """Write verdicts, and wait until they are on the disk.

        Returns:
            All verdicts added since the last call, these included.

        Raises:
            OutputError: they may not be on the disk, or the folder is another one than at the beginning.
        """
        return self.append_decided(lambda new: verdicts)

    def append_decided(self, decide: Callable[[list[Verdict]], Sequence[Verdict]]) -> list[Verdict]:
        """Write verdicts that depend on what was written so far, as `append` does; nobody writes meanwhile.

        Args:
            decide: the verdicts added since the last call → those to write. One that a person wrote into a
                last line without an end is among them: it is about to get its end.
        """
        with self._thread_lock, self._locked():
            new = self._read_new()
            unended = self._lines.read(self._rest).verdict
            verdicts = decide(new if unended is None else [*new, unended])
            before = b""
            if self._rest:
                before = self._lines.end_of(self._rest)
            if not (self._rest or self._end) or not all(map(self._lines.take, verdicts)):
                before += self._lines.header()
            addition = before + b"".join(map(self._lines.line, verdicts))
            # No link is followed, neither in its place nor in that of the state folder.
            with Inside(self.path.parent.parent).open_grown(self.path) as file:
                file.seek(0, os.SEEK_END)
                write_all(file, addition)  # one write, unless the disk takes it in pieces
                file.sync()
            return new + self._read_new()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._held.check()  # before a lock is made in another folder
            with self._file_lock:
                yield
        except filelock.Timeout as error:  # before OSError, which it is one of
            raise OutputError(
                "review_in_use",
                f"{self.path} is being written by another process for {_LOCK_SECONDS:.0f} s; try again",
            ) from error
        except NotImplementedError as error:
            raise OutputError(
                "no_locks", f"{self.path} is on a file system without locks; copy the folder"
            ) from error
        except OSError as error:
            raise OutputError(
                "review_not_saved", f"cannot write {self.path}: {error.strerror or error}"
            ) from error

    def _read_new(self) -> list[Verdict]:
        data = self._new_data()
        lines = data.splitlines(keepends=True)  # of bytes, at CR and LF only
        whole = lines[:-1] if lines and not lines[-1].endswith((b"\n", b"\r")) else lines
        verdicts = []
        first = self._count
        for found in self._lines.read_all(whole):
            if found.is_damaged:
                self._note_damage()
            if found.verdict is not None:
                verdicts.append(found.verdict)
            self._count += found.lines
        rest = b"".join(lines[self._count - first :])
        read = data[: len(data) - len(rest)]
        self._end += len(read)
        self._overlap = (self._overlap + read)[-_OVERLAP:]
        self._rest = rest
        return verdicts

    def _note_damage(self) -> None:
        """Count the line that is read now."""
        self.damaged += 1
        self.first_damaged = self.first_damaged or self._count + 1

    def _new_data(self) -> bytes:
        """Return what follows the bytes that were read; all of a file that is not the same any more."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._end - len(self._overlap))
                data = file.read()
                if data.startswith(self._overlap):
                    return data[len(self._overlap) :]
                self._begin()
                file.seek(0)
                return file.read()
        except FileNotFoundError:
            self._begin()
            return b""
