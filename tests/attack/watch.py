"""Notices what this process changes outside a folder."""

from __future__ import annotations

import os
from typing import Any

# Event → places of its paths that change, and of the folders' descriptors they go with, if they may have one;
# see the table of audit events in Python's manual.
_CHANGES: dict[str, tuple[tuple[int, int | None], ...]] = {
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.link": ((1, 3),),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
    "os.utime": ((0, 3),),
    "shutil.rmtree": ((0, 1),),
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_TRUNC | os.O_CREAT


class Watch:
    """An audit hook.

    What is opened by its name in a folder that is held open is not seen; that folder was opened by its path.

    Args:
        folder: where this process may do what it likes.

    Attributes:
        outside: changes elsewhere.
    """

    def __init__(self, folder: str) -> None:
        self.outside: list[str] = []
        self._allowed = (os.path.join(folder, ""), "/dev/", "/proc/self/")

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if isinstance(arguments[2], int) and arguments[2] & _WRITES:
                self._note(event, arguments[0], None)
        elif event in _CHANGES:
            for path, folder in _CHANGES[event]:
                self._note(event, arguments[path], None if folder is None else arguments[folder])

    def _note(self, event: str, path: Any, folder: Any) -> None:
        if not isinstance(path, str | bytes):
            return
        path = os.fsdecode(path)
        if not os.path.isabs(path):
            if not isinstance(folder, int) or folder < 0:
                return
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        if not os.path.join(os.path.abspath(path), "").startswith(self._allowed):
            self.outside.append(f"{event} {path}")
