"""Progress bars: photos per second and time left, on stderr or in a notebook."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from detic_crop.folder.records import Record
from detic_crop.system.console import Forgiving

Report = Callable[[Record], None]


@contextlib.contextmanager
def progress_bar(total: int, skipped: int, quiet: bool) -> Iterator[Report]:
    """Show a bar over `total` photos and yield what it is to be told after each.

    Args:
        total: photos to do.
        skipped: photos done before; they do not count into the rate.
        quiet: show nothing.
    """
    description = f"cropping ({skipped} done before)" if skipped else "cropping"
    failed = 0
    with _bar(total, description, quiet) as bar:
        if bar is None:
            yield lambda record: None
            return

        def report(record: Record) -> None:
            nonlocal failed
            if record.status == "failed":
                failed += 1
                bar.set_postfix(failed=failed, refresh=False)
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
            if bar is not None:
                bar.update()

        yield report


@contextlib.contextmanager
def _bar(total: int, description: str, quiet: bool) -> Iterator[Any]:
    """Show and yield a bar; None where nothing is to be shown."""
    stream = Forgiving(sys.stderr)
    if quiet or not stream.usable:
        yield None
        return
    from tqdm.auto import tqdm  # picks the notebook's own bar where there is one

    with tqdm(total=total, desc=description, unit=" photos", file=stream, dynamic_ncols=True) as bar:
        yield bar
