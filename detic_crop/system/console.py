"""Standard streams that may be closed, full, gone or None: what cannot be said ends no work.

What a command prints holds names and words of others: on the way out control characters are spelled, so that
none moves the cursor or changes the terminal.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TextIO, cast

from detic_crop.wording import visible_lines

_SLOW_READER = 5.0  # seconds that a terminal or pipe which takes nothing more for the moment is waited for


class Forgiving:
    """A text stream that drops what its stream does not take.

    Args:
        stream: to write to; None, as in programs without a console, drops everything.
        own: whether the file descriptor below is this process's to replace. After a failure it leads nowhere
            then, so that what is still buffered does not fail once more when the interpreter ends.
        spell: whether control characters are spelled, but for line feeds, tabs, and the carriage return that
            a progress bar begins with.

    Attributes:
        failure: the first error; from then on everything is dropped. Who reads has gone (EPIPE) counts, too.
    """

    def __init__(self, stream: TextIO | None, own: bool = False, spell: bool = False) -> None:
        self._stream, self._own, self._spell = stream, own, spell
        self._around: Callable[[str], AbstractContextManager[None]] = _as_it_is
        self.failure: Exception | None = None
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"

    @property
    def usable(self) -> bool:
        """True while what is written may arrive."""
        return (
            self._stream is not None and self.failure is None and not getattr(self._stream, "closed", False)
        )

    def write(self, text: str) -> int:
        if not isinstance(text, str):  # click asks by b"" what kind of stream this is
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        with self._around(text):
            self._try("write", self._spelled(text) if self._spell else text)
        return len(text)

    def write_codes(self, text: str) -> None:
        """Write a text whose control characters are meant: colours around what was spelled before."""
        with self._around(text):
            self._try("write", text)

    @contextlib.contextmanager
    def enclosed(self, around: Callable[[str], AbstractContextManager[None]]) -> Iterator[None]:
        """Let `around` enclose whatever is written meanwhile, as a bar does that stands below all text."""
        before, self._around = self._around, around
        try:
            yield
        finally:
            self._around = before

    def beside(self) -> Forgiving:
        """Return another one for the same stream, whose writing nothing encloses."""
        return Forgiving(self._stream, spell=self._spell)

    def _spelled(self, text: str) -> str:
        start = "\r" if text.startswith("\r") else ""
        return start + visible_lines(text.removeprefix(start))

    def flush(self) -> None:
        if hasattr(self._stream, "flush"):
            self._try("flush")

    def isatty(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except Exception:  # as below
            return False

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # whoever wrote there would go round this
            raise AttributeError(name)
        return getattr(self._stream, name)

    def _try(self, what: str, *arguments: str) -> None:
        if not self.usable:
            return
        try:
            getattr(self._stream, what)(*arguments)
        except BlockingIOError:  # a terminal that another program left non-blocking
            self._wait()
        except UnicodeEncodeError:
            with contextlib.suppress(Exception):
                text = arguments[0].encode(self.encoding, "backslashreplace").decode(self.encoding)
                getattr(self._stream, what)(text)
        except Exception as error:  # somebody's own stream may raise anything
            self._give_up(error)

    def _wait(self) -> None:
        """Bring out what is buffered, as far as the reader takes it in time."""
        assert self._stream is not None
        try:
            while select.select([], [self._stream.fileno()], [], _SLOW_READER)[1]:
                try:
                    self._stream.flush()
                    return
                except BlockingIOError:
                    continue
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.failure = error
        if self._own and self._stream is not None:
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)


def _as_it_is(text: str) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


def open_descriptors() -> None:
    """Open closed standard descriptors, leading nowhere.

    The next files that are opened would get their numbers, and whatever C code prints to 1 or 2 would go into
    a photo or the journal.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)


@contextlib.contextmanager
def forgiving_streams() -> Iterator[tuple[Forgiving, Forgiving]]:
    """Make `sys.stdout` and `sys.stderr` streams that cannot fail; flush them at the end."""
    open_descriptors()
    before = sys.stdout, sys.stderr
    for stream in before:
        with contextlib.suppress(Exception):  # a terminal of few characters must not end a run
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    out, err = (Forgiving(stream, own=True, spell=True) for stream in before)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, err)
    try:
        yield out, err
    finally:
        out.flush()
        if (
            out.failure is not None and getattr(out.failure, "errno", None) != errno.EPIPE
        ):  # `| head` is not a failure
            why = getattr(out.failure, "strerror", None) or out.failure
            err.write(f"detic-crop: what was to be printed could not be written: {why}\n")
        err.flush()
        sys.stdout, sys.stderr = before
