"""Progress for who sits in front of it: a bar on a terminal or in a notebook, else one line a minute."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, MutableMapping
from time import monotonic
from typing import Any, Protocol, TextIO, cast

from detic_crop.folder.records import Record
from detic_crop.system.console import Forgiving
from detic_crop.wording import span

_log = logging.getLogger(__name__)

Report = Callable[[Record], None]

LINE_EACH = 60.0
"""Seconds between two lines where there is no terminal."""


class Bar(Protocol):
    """What is told of every photo."""

    def update(self) -> object:
        """Count a photo."""
        ...

    def failed(self, number: int) -> None:
        """Say how many have failed so far."""
        ...


@contextlib.contextmanager
def progress_bar(total: int, skipped: int, quiet: bool) -> Iterator[Report]:
    """Show a bar over `total` photos and yield what it is to be told after each.

    Args:
        total: photos to do.
        skipped: photos done before; they do not count into the rate.
        quiet: show nothing.
    """
    description = f"cropping ({skipped:,} done before)" if skipped else "cropping"
    failed = 0
    with _bar(total, description, quiet) as bar:

        def report(record: Record) -> None:
            nonlocal failed
            if record.status == "failed":
                failed += 1
                bar.failed(failed)
            bar.update()

        yield report


@contextlib.contextmanager
def counting_bar(total: int, doing: str, quiet: bool) -> Iterator[Callable[[], None]]:
    """Show a bar over `total` photos and yield what is to be called after each.

    Args:
        total: photos to do.
        doing: what is done with them, in one word.
        quiet: show nothing.
    """
    with _bar(total, doing, quiet) as bar:

        def report() -> None:
            bar.update()

        yield report


@contextlib.contextmanager
def _bar(total: int, description: str, quiet: bool) -> Iterator[Bar]:
    """Show and yield the bar that suits where this runs."""
    stream = sys.stderr if isinstance(sys.stderr, Forgiving) else Forgiving(sys.stderr)
    if quiet or not stream.usable:
        yield _Nothing()
        return
    from tqdm.auto import tqdm  # picks the notebook's own bar where there is one

    is_in_notebook = "tqdm_notebook" in (kind.__name__ for kind in tqdm.__mro__)
    if is_in_notebook:
        with tqdm(total=total, desc=description, unit=" photos", dynamic_ncols=True) as bar:
            yield _Drawn(bar)
    elif stream.isatty():
        with _drawn_below(stream, total, description) as bar:
            yield _Drawn(bar)
    else:
        yield _Lines(total, description, cast(TextIO, stream))


class _Nothing:
    """Shows nothing."""

    def update(self) -> None:
        pass

    def failed(self, number: int) -> None:
        pass


class _Drawn:
    """A bar of tqdm."""

    def __init__(self, bar: Any) -> None:
        self.update = bar.update
        self._bar = bar

    def failed(self, number: int) -> None:
        self._bar.set_postfix(failed=number, refresh=False)


class _Lines:
    """One line a minute, for logs and files, in which a bar would be one line without end.

    Args:
        total: photos to do.
        description: what is done with them.
        stream: takes the lines where the log of this package goes nowhere, as in a script.
    """

    def __init__(self, total: int, description: str, stream: TextIO) -> None:
        self._total, self._description, self._stream = total, description, stream
        self._done = self._failed = 0
        self._last = monotonic(), 0  # of the last line: when, and how many were done

    def update(self) -> None:
        self._done += 1
        now, (then, done) = monotonic(), self._last
        if now - then >= LINE_EACH:
            self._last = now, self._done
            self._say(self._line((self._done - done) / (now - then)))

    def failed(self, number: int) -> None:
        self._failed = number

    def _line(self, rate: float) -> str:
        share = f" ({100 * self._done // self._total} %)" if self._total else ""
        failed = f", {self._failed:,} failed" if self._failed else ""
        left = f", {span((self._total - self._done) / rate)} left" if self._total > self._done else ""
        of = f"{self._done:,} of {self._total:,}"
        return f"{self._description}: {of}{share}, {rate:.3g} photos/s{left}{failed}"

    def _say(self, line: str) -> None:
        if _log.isEnabledFor(logging.INFO) and _log.hasHandlers():
            _log.info("%s", line)
        else:
            self._stream.write(f"{line}\n")
            self._stream.flush()


_TYPED = 3
"""Columns right of a bar for what a terminal shows of a key: ``^C``."""
_NARROWEST = 20
"""Columns of a terminal from which on a bar is made to fit."""


@contextlib.contextmanager
def _drawn_below(stream: Forgiving, total: int, description: str) -> Iterator[Any]:
    """Show a bar that stands below whatever is printed or logged meanwhile, and is not typed into."""
    from tqdm.std import tqdm

    class Narrow(tqdm):  # type: ignore[type-arg] # generic in its stubs only
        """A bar that leaves room at its right."""

        @property
        def format_dict(self) -> MutableMapping[str, Any]:
            given = dict(super().format_dict)
            columns = given["ncols"] or 0  # a terminal may say 0, which is no number of columns
            given["ncols"] = columns - _TYPED if columns > _NARROWEST else None
            return given

    with Narrow(
        total=total, desc=description, unit=" photos", file=stream.beside(), dynamic_ncols=True
    ) as bar:
        drawn: Any = bar
        is_away = False

        def columns() -> int:
            fitting = drawn.format_dict["ncols"]
            return int(fitting) + _TYPED if fitting else 80

        @contextlib.contextmanager
        def away(text: str) -> Iterator[None]:
            nonlocal is_away
            with drawn.get_lock():
                for written in () if is_away else (f"\r{' ' * (columns() - 1)}", "\r"):
                    drawn.fp.write(written)
                yield
                is_away = not text.endswith("\n")  # the rest of the line comes
                if not is_away:
                    drawn.refresh(nolock=True)

        with stream.enclosed(away), _logging_through(stream):
            yield drawn


@contextlib.contextmanager
def _logging_through(stream: Forgiving) -> Iterator[None]:
    """Let what somebody's own log handlers write to the terminal go through a stream."""
    changed: list[tuple[logging.StreamHandler[Any], Any]] = []
    for logger in (logging.getLogger(), logging.getLogger("detic_crop")):
        for handler in logger.handlers:
            if not isinstance(handler, logging.StreamHandler) or handler.stream is not sys.stderr:
                continue
            if handler.stream is not stream:
                changed.append((handler, handler.stream))
                handler.setStream(stream)
    try:
        yield
    finally:
        for handler, before in changed:
            handler.setStream(before)
