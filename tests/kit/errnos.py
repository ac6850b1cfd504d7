"""One file call of a command fails with an errno of choice, in this process."""

from __future__ import annotations

import builtins
import contextlib
import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from io import BufferedReader, FileIO
from types import FrameType
from typing import Any

import pytest

from detic_crop.folder import inside, journal, reread
from detic_crop.shards import merge

CALLS = ("open", "replace", "mkdir", "rmdir", "unlink", "stat", "lstat", "scandir", "listdir", "fsync", "dup")
ROOMS = tuple(f"detic_crop.{room}." for room in ("folder", "commands", "report", "shards", "work"))


class Errno:
    """Counts the calls by which the package touches an output folder, and lets one of them fail.

    Counted are the functions of `os` in `CALLS`, `open`, every read of a file that is opened for bytes, and
    every write of a file that `folder.inside`, the journal or a merge has opened; those that are about
    photos, packages and the system are not.

    Args:
        at: which call fails, from 1; 0 only counts.
        code: its errno.
        lasting: whether those after it fail as well.

    Attributes:
        count: calls so far.
        failed: the call that failed, and who made it.
    """

    def __init__(self, at: int, code: int, lasting: bool = False) -> None:
        self.at, self.code, self.lasting = at, code, lasting
        self.count = 0
        self.failed = ""
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def injected(self) -> Iterator[Errno]:
        """Be in the way meanwhile."""
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, self._faulty(name, getattr(os, name)))
            faulty = self._faulty_file()
            patch.setattr(builtins, "open", self._faulty("open", _opening(open, faulty)))
            for name in ("write", "truncate", "sync"):
                patch.setattr(inside.Written, name, self._faulty(name, getattr(inside.Written, name)))
            for module in (inside, journal, reread, merge):
                patch.setattr(module, "FileIO", faulty)
            yield self

    def _faulty(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self._meet(name, sys._getframe(1))
            return function(*arguments, **options)

        return call

    def _faulty_file(self) -> type[FileIO]:
        meet = self._meet

        class Faulty(FileIO):
            def readinto(self, buffer: Any, /) -> int:
                meet("readinto", sys._getframe(1))
                return super().readinto(buffer)

            def read(self, size: int | None = -1, /) -> bytes:
                meet("read", sys._getframe(1))
                return super().read(-1 if size is None else size)

            def readall(self) -> bytes:
                meet("readall", sys._getframe(1))
                return super().readall()

        return Faulty

    def _meet(self, name: str, frame: FrameType | None) -> None:
        who = _caller(frame)
        if not who:
            return
        with self._lock:
            self.count += 1
            due = self.at and (self.count == self.at or (self.lasting and self.count > self.at))
        if due:
            self.failed = self.failed or f"{name} in {who}"
            raise OSError(self.code, os.strerror(self.code))


def _opening(opened: Callable[..., Any], raw: type[FileIO]) -> Callable[..., Any]:
    """Return `open`, which reads bytes by files of that class."""

    def opening(file: Any, mode: str = "r", *given: Any, **options: Any) -> Any:
        if mode == "rb" and not given and not options:
            return BufferedReader(raw(file))
        return opened(file, mode, *given, **options)

    return opening


def _caller(frame: FrameType | None) -> str:
    """Return which function of a room that touches output folders made a call, directly or by a library."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("detic_crop."):
            return f"{module}.{frame.f_code.co_name}" if module.startswith(ROOMS) else ""
        if module.startswith(("importlib", "tests.", "torch", "cv2")):
            return ""
        frame = frame.f_back
    return ""


def code_of(name: str) -> int:
    """The number of an errno: ``ETIMEDOUT``."""
    number: int = getattr(errno, name)
    return number
