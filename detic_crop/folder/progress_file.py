"""progress.json: what a command is doing in its folder now, for whoever looks on from outside.

It is news, not memory: what is finished stands in the journal. So it is written seldom, never waited for, and
a disk or store that does not take it disturbs nothing. A killed command leaves it as it was; whether anybody
is still at work, the lock tells.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final, Literal, TypeAlias

import msgspec

from detic_crop.errors import DeticCropError, one_line
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.typed_json import decode

_log = logging.getLogger(__name__)

Phase: TypeAlias = Literal["getting ready", "cropping", "joining shards", "writing tables", "ended"]

OF_PHOTOS: Final = ("run", "recrop")
"""Commands that make a folder; their photos are all that it is to have."""

EACH: Final = 2.0  # seconds between two writes while photos are finished
_RECENT: Final = 60.0  # seconds over which the rate is taken
_MOST_BYTES: Final = 1 << 16  # of the file; a longer one is none of ours


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """progress.json.

    Attributes:
        command: ``run``, ``recrop``, ``apply`` or ``merge``.
        phase: what it is doing.
        began: when it took hold of the folder, in UTC: ``2026-05-04T11:12:13Z``.
        last: when this was written; while photos are finished, at most some seconds after the last one.
        total: photos that were asked for; 0 where that is not known yet.
        skipped: those of them that were done before.
        done: photos that this command has finished, with those that failed.
        failed: those of them that failed.
        journal_bytes: size of the journal then: a line behind that is of a photo that was finished since.
        photos_per_second: over the last minute; None where nothing is known.
        pid, host: the process at work; who holds the lock says whether it still is.
        words: of the command after `detic-crop`, up to the name of the folder, which comes last; empty if it
            was begun in Python with a detector of its own.
        made_by: `words` of the last run or recrop of this folder before.
        made_total, made_done: photos that were asked for then, and done; 0 where that is not known.
        stopped: once it has ended, why it ended early: ``time_limit``, a signal, or empty.
        error: the error that it ended with, as one line; empty without one.
        version: version of this package.
    """

    command: str
    phase: Phase
    began: str
    last: str
    total: int = 0
    skipped: int = 0
    done: int = 0
    failed: int = 0
    journal_bytes: int = 0
    photos_per_second: float | None = None
    pid: int = 0
    host: str = ""
    words: list[str] = []
    made_by: list[str] = []
    made_total: int = 0
    made_done: int = 0
    stopped: str = ""
    error: str = ""
    version: str = ""

    @property
    def photos(self) -> tuple[int, int] | None:
        """Photos that the folder was asked for, and that are done; None where that is not known."""
        if self.command in OF_PHOTOS:
            return (self.total, self.skipped + self.done) if self.total else None
        if (
            self.command == "merge" and self.phase == "ended" and not self.error
        ):  # it refuses what is not whole
            return self.total, self.total
        return (self.made_total, self.made_done) if self.made_total else None

    @property
    def left(self) -> int:
        """Photos that are still to do."""
        return max(0, self.total - self.skipped - self.done)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the last photo is done, at the present rate; None where that is not known."""
        if self.phase != "cropping" or not self.photos_per_second:
            return None
        return self.left / self.photos_per_second


_decoder = msgspec.json.Decoder(Progress)


def read_progress(path: Path) -> Progress | None:
    """Return what a progress.json says; None where there is none, or one that is damaged or not ours."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
        return decode(data, _decoder) if len(data) <= _MOST_BYTES else None
    except (OSError, ValueError):
        return None


class ProgressFile:
    """Writes the progress.json of a folder, or of a shard's part of it, which the caller holds.

    Args:
        folder: the folder as the command sees it.
        command: name of the command.
        words: see `Progress`.

    Attributes:
        stopped: why the command is about to end early; empty if it is not.
    """

    def __init__(self, folder: OutputFolder, command: str, words: Sequence[str] = ()) -> None:
        self.stopped = ""
        self._folder = folder
        self._now = Progress(
            command=command,
            phase="getting ready",
            began=utc_now(),
            last="",
            pid=os.getpid(),
            host=socket.gethostname(),
            words=list(words),
            **_made(read_progress(folder.layout.progress)),
            version=importlib.metadata.version("detic-crop"),
        )
        self._done = self._failed = 0
        self._written = -EACH
        self._recent: deque[tuple[float, int]] = deque()  # (moment, photos done) of each write while cropping
        self._is_failing = False

    def enter(self, phase: Phase, total: int = 0, skipped: int = 0) -> None:
        """Say what is done from now on.

        Args:
            phase: what is done.
            total: photos that are asked for; 0 leaves the number as it was.
            skipped: those of them that were done before.
        """
        if total:
            self._now = msgspec.structs.replace(self._now, total=total, skipped=skipped)
        self._now = msgspec.structs.replace(self._now, phase=phase)
        self._recent.clear()
        self._write(is_due=True)

    def count(self, *, failed: bool) -> None:
        """Count a photo that is recorded."""
        self._done += 1
        self._failed += failed
        if monotonic() - self._written >= EACH:
            self._write()

    def end(self, error: str = "") -> None:
        """Say that the command has ended, and why if it was early."""
        self._now = msgspec.structs.replace(
            self._now, stopped=self.stopped, error=one_line(error) if error else ""
        )
        self.enter("ended")

    def _write(self, is_due: bool = False) -> None:
        now = monotonic()
        self._written = now
        self._now = msgspec.structs.replace(
            self._now,
            last=utc_now(),
            done=self._done,
            failed=self._failed,
            journal_bytes=_size(self._folder.layout.journal),
            photos_per_second=self._rate(now) if self._now.phase == "cropping" else None,
        )
        path = self._folder.layout.progress
        try:
            self._folder.write(path, msgspec.json.format(msgspec.json.encode(self._now), indent=2) + b"\n")
            self._folder.mirror.tell(path, is_due=is_due)
        except (DeticCropError, OSError, UnicodeEncodeError) as error:
            # Of a folder that was replaced the work itself says so, and does not go on.
            is_ours = getattr(error, "code", "") != "folder_replaced"
            if is_ours and not self._is_failing:
                _log.info("%s cannot be written: %s; the work goes on", path, one_line(error))
            self._is_failing = True

    def _rate(self, now: float) -> float | None:
        """Return photos per second since the oldest moment that is recent."""
        while len(self._recent) > 1 and now - self._recent[0][0] > _RECENT:
            self._recent.popleft()
        then, done = self._recent[0] if self._recent else (now, self._done)
        self._recent.append((now, self._done))
        return round((self._done - done) / (now - then), 4) if now > then else None


def _made(before: Progress | None) -> dict[str, Any]:
    """Return what is kept of an earlier progress.json: what the folder was made by, and how far that came."""
    if before is None:
        return {}
    made_by = before.words if before.command in OF_PHOTOS else before.made_by
    total, done = before.photos or (0, 0)
    return {"made_by": made_by, "made_total": total, "made_done": done}


class SilentProgress(ProgressFile):
    """Progress of work that leaves what the folder says of itself as it is: nothing is written."""

    def _write(self, is_due: bool = False) -> None:
        """Write nothing."""


@contextlib.contextmanager
def told_progress(folder: OutputFolder, command: str, words: Sequence[str] = ()) -> Iterator[ProgressFile]:
    """Say in progress.json what a command is doing until it is left, and then how it ended.

    Args:
        folder: the folder as the command sees it, held by the caller.
        command: name of the command.
        words: see `Progress`.
    """
    progress = ProgressFile(folder, command, words)
    progress.enter("getting ready")
    try:
        yield progress
    except KeyboardInterrupt:
        progress.stopped = progress.stopped or "SIGINT"
        progress.end()
        raise
    except BaseException as error:
        progress.end(one_line(error))
        raise
    progress.end()


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def utc_now() -> str:
    """Return the time in UTC, to the second: ``2026-05-04T11:12:13Z``."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_since(moment: str, now: datetime | None = None) -> float | None:
    """Return the seconds since a moment that `utc_now` gave; None where it is none."""
    try:
        return ((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds()
    except (ValueError, TypeError):
        return None
