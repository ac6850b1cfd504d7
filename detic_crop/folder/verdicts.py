"""review.csv: what reviewers said, one line per verdict, only added to; the last line of a photo counts.

Several pages, tabs and processes may write at once. A line is on disk before `VerdictLog.append` returns.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import filelock

from detic_crop.boxes.geometry import Box
from detic_crop.errors import OutputError
from detic_crop.folder.decisions import Decision, followed_by
from detic_crop.folder.inside import Inside, write_all
from detic_crop.folder.records import Record

VERDICTS = ("accepted", "whole", "box", "rejected", "undone")
"""Keep the detector's crop, take the whole photo, take another box, reject the photo, undo the last one."""

HEADER = ("image", "verdict", "box", "reviewer", "time")

_LOCK_SECONDS = 10.0
_TORN = b"," * len(HEADER) + b"torn\n"


class Verdict(NamedTuple):
    """One line of the file.

    Attributes:
        image: key of the photo.
        verdict: one of `VERDICTS`.
        box: xyxy in pixels of the upright photo; None unless the verdict is ``box``.
        reviewer: name of the person.
        time: time of the verdict, ISO 8601 with the offset from UTC.
    """

    image: str
    verdict: str
    box: Box | None = None
    reviewer: str = ""
    time: str = ""


class Review(NamedTuple):
    """What the file says.

    Attributes:
        last: key → the last line of that photo, whether a verdict or one taken back.
        not_understood: number of lines that are damaged or not verdicts.
    """

    last: dict[str, Verdict]
    not_understood: int


def read_review(path: Path) -> Review:
    """Read the file; an absent file holds nothing."""
    log = VerdictLog(path)
    return Review({verdict.image: verdict for verdict in log.refresh()}, log.not_understood)


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
    decisions = {key: followed_by(record) for key, record in records.items() if record.verdict}
    for key, last in last_verdicts.items():
        undone = last.verdict == "undone"
        decisions[key] = Decision() if undone else Decision(last.verdict, last.box, last.reviewer)
    return decisions


def standing_verdicts(path: Path, records: Mapping[str, Record]) -> dict[str, Verdict]:
    """Return the verdict that holds for each photo: the last one here, else the one that its record follows.

    A folder that was recropped from a reviewed one has records that follow verdicts, and no file of its own.

    Args:
        path: the file.
        records: last record of each photo, by key.
    """
    standing = {
        image: Verdict(image, *followed_by(record)) for image, record in records.items() if record.verdict
    } | read_review(path).last
    return {image: verdict for image, verdict in standing.items() if verdict.verdict != "undone"}


def now() -> str:
    """Return the time of a verdict that is given now."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


class VerdictLog:
    """Reads what is new in the file, and appends to it. Safe from several threads and processes.

    Args:
        path: the file, in the state folder of an output folder; the first verdict makes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end = 0  # bytes read so far, up to the end of a whole line
        self._torn = b""  # what follows it
        self.not_understood = 0  # lines so far that are damaged or not verdicts
        self._thread_lock = threading.Lock()
        self._file_lock = filelock.FileLock(
            path.with_name("review.lock"), timeout=_LOCK_SECONDS, thread_local=False
        )

    def refresh(self) -> list[Verdict]:
        """Return the verdicts that any process added since the last call; damaged lines are ignored."""
        with self._thread_lock:
            return self._read_new()

    def append(self, *verdicts: Verdict) -> list[Verdict]:
        """Write verdicts, and wait until they are on the disk.

        Returns:
            All verdicts added since the last call, these included.

        Raises:
            OutputError: they may not be on the disk.
        """
        lines = b"".join(map(_line, verdicts))
        with self._thread_lock, self._locked():
            new = self._read_new()
            if self._torn:
                lines = _ended(self._torn) + lines
            elif not self._end:
                lines = _csv_line(HEADER) + lines
            # No link is followed, neither in its place nor in that of the state folder.
            with Inside(self.path.parent.parent).open_grown(self.path) as file:
                file.seek(0, os.SEEK_END)
                write_all(file, lines)  # one write, unless the disk takes it in pieces
                os.fsync(file.fileno())
            return new + self._read_new()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
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
        try:
            with open(self.path, "rb") as file:
                if file.seek(0, os.SEEK_END) < self._end:  # the file was replaced
                    self._end = 0
                file.seek(self._end)
                data = file.read()
        except FileNotFoundError:
            self._end, self._torn = 0, b""
            return []
        found = []
        before = self._end
        for line in _whole_lines(data):
            self._end += len(line)
            verdict = _parse(line)
            if verdict is not None:
                found.append(verdict)
            elif line not in (_csv_line(HEADER), b"\n") and not line.endswith(_TORN):
                self.not_understood += 1
        self._torn = data[self._end - before :]
        return found


def _whole_lines(data: bytes) -> Iterator[bytes]:
    """Yield CSV lines with their ends, without a torn last one; a quoted cell may span several lines."""
    line = b""
    for part in data.split(b"\n")[:-1]:
        line += part + b"\n"
        if line.count(b'"') % 2 == 0:
            yield line
            line = b""


def _ended(torn: bytes) -> bytes:
    """Return what completes a torn line so that it has too many cells to be a verdict; nothing is removed."""
    return (b'"' if torn.count(b'"') % 2 else b"") + _TORN


def _line(verdict: Verdict) -> bytes:
    box = "" if verdict.box is None else " ".join(f"{edge:.12g}" for edge in verdict.box)
    return _csv_line((verdict.image, verdict.verdict, box, verdict.reviewer, verdict.time))


def _csv_line(cells: tuple[str, ...]) -> bytes:
    text = io.StringIO(newline="")
    # Before Python 3.13 a lone carriage return, which a file name may hold, is not quoted of itself.
    quote_all = any("\r" in cell for cell in cells)
    quoting: Literal[0, 1] = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    csv.writer(text, lineterminator="\n", quoting=quoting).writerow(cells)
    return text.getvalue().encode(errors="backslashreplace")


def _parse(line: bytes) -> Verdict | None:
    """Return the verdict of a line; None for the header and for damaged lines."""
    try:
        (cells,) = csv.reader(io.StringIO(line.decode(), newline=""), strict=True)
        image, verdict, box, reviewer, when = cells
        edges = tuple(float(edge) for edge in box.split())
    except (ValueError, csv.Error):
        return None
    if verdict not in VERDICTS or (verdict == "box") != (len(edges) == 4):
        return None
    xyxy = (edges[0], edges[1], edges[2], edges[3]) if verdict == "box" else None
    return Verdict(image, verdict, xyxy, reviewer, when)
