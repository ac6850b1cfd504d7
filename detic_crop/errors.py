"""The exceptions this package raises on purpose, and the exit code each one means."""

from __future__ import annotations

import errno
from typing import Any

from detic_crop.keywords import in_python
from detic_crop.wording import counted


class DeticCropError(Exception):
    """Something a person must know about: one clear line, never a traceback.

    As text it names options as keyword arguments, ``input=FOLDER``, for it is Python that shows an error so.

    Args:
        code: the cause in snake_case, e.g. ``other_settings``; it stays when the wording changes.
        message: the line: what was expected, what was there, what to do next; with options as the command
            line has them, ``--in FOLDER``.
        out: what ``--out`` is called in Python, where that is another argument than ``output``.
    """

    exit_code = 1

    def __init__(self, code: str, message: str, *, out: str = "output") -> None:
        super().__init__(code, message)  # both, so that pickle can make the error again
        self.code = code
        self.message = message
        self.out = out

    def __str__(self) -> str:
        return in_python(self.message, out=self.out)


class UsageError(DeticCropError, ValueError):
    """A setting, argument or input file is wrong; nothing was changed. Expected, got, what to do next."""

    exit_code = 2


class UnexpectedKeywordError(UsageError, TypeError):
    """A call has a keyword argument that it does not know."""


class OutputError(DeticCropError):
    """An output folder cannot be read or written, or is held by another run; what was finished is kept."""


class WeightsError(DeticCropError):
    """A weights file is missing, damaged or does not fit the model."""

    exit_code = 2


class PhotoError(DeticCropError):
    """One photo cannot be used. It becomes a `failed` row; the run goes on.

    Args:
        reason: the machine-readable word of the `reason` column, e.g. ``unreadable``.
        message: the sentence of the `error` column.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason


def is_disk_full(error: OSError) -> bool:
    """Return whether there is no room left, on the disk or in the user's quota."""
    return error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))


def one_line(said: object, most: int | None = None) -> str:
    """Return the words of an error or text on one line, cut after `most` characters.

    An error without words is named by its type; one of ours has options as the command line has them.
    """
    words = said.message if isinstance(said, DeticCropError) else str(said)
    return " ".join(words.split())[:most] or type(said).__name__


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or a notebook's stop button, ended the work early; what was finished is recorded.

    Attributes:
        result: what the call would have returned.
    """

    def __init__(self, result: Any) -> None:
        super().__init__(result)  # so that pickle can make the exception again
        self.result = result

    def __str__(self) -> str:
        return f"{counted(self.result.remaining, 'photo')} to do; make the same call to continue"


class Terminated(SystemExit):
    """SIGTERM ended the work early; not caught, this ends the program with exit code 143.

    Attributes:
        result: what the call would have returned.
    """

    def __init__(self, result: Any) -> None:
        super().__init__(143)
        self.result = result

    def __reduce__(self) -> tuple[type[Terminated], tuple[Any]]:
        return Terminated, (self.result,)
