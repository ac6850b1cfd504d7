"""The progress bar: photos per second and time left, on stderr or in a notebook."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

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
    stream = Forgiving(sys.stderr)
    if quiet or not stream.usable:
        yield lambda record: None
        return
    from tqdm.auto import tqdm  # picks the notebook's own bar where there is one

    description = f"cropping ({skipped} done before)" if skipped else "cropping"
    failed = 0
    with tqdm(total=total, desc=description, unit=" photos", file=stream, dynamic_ncols=True) as bar:

        def report(record: Record) -> None:
            nonlocal failed
            if record.status == "failed":
                failed += 1
                bar.set_postfix(failed=failed, refresh=False)
            bar.update()

        yield report
