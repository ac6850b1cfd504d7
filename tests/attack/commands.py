"""Commands of detic-crop in this process, and what every end of one must be like."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from detic_crop.cli import main as cli
from tests.kit.errors import codes_in
from tests.kit.folders import crops_in, product, records_of, rows_of, samples


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: exit code.
        said: all that it printed.
        error: code of the error that it told; empty when it did its work.
    """

    code: int
    said: str
    error: str = ""


def give(*words: str | Path) -> Ended:
    """Run a command; what it prints must go to a file.

    Raises:
        AssertionError: it did not end as commands end: with its work, or one line with a known error.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    start = os.fstat(2).st_size
    code = cli.main([str(word) for word in words])
    sys.stdout.flush()
    sys.stderr.flush()
    said = os.pread(2, 1 << 24, start).decode(errors="replace")
    return _judged(code, said, f"{' '.join(map(str, words))}: exit {code}: {said}")


def _judged(code: int, said: str, where: str) -> Ended:
    assert "Traceback" not in said, where
    if code in (0, 5):  # `verify` found something
        return Ended(code, said)
    assert code in (1, 2), where
    complaints = [line[12:] for line in said.splitlines() if line.startswith("detic-crop: ")]
    assert len(complaints) == 1, where
    errors = codes_in(complaints[0])
    assert errors, f"no known error: {where}"
    return Ended(code, said, errors[0])


@contextlib.contextmanager
def memory_within(most: int) -> Iterator[None]:
    """Assert that this process needs at most so many bytes more than before, at any time."""
    before = _peak()
    yield
    assert _peak() - before <= most, f"{(_peak() - before) >> 20} MiB"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def assert_whole(out: Path, keys: list[str]) -> None:
    """Every photo has one row, and every row its crops."""
    rows = rows_of(out)
    images = sorted(row["image"] for row in rows)
    assert images == sorted(keys), f"rows of {images}"
    records = records_of(out)
    crops = [file.name for key in keys for file in crops_in(records[key])]
    assert len(set(crops)) == len(crops), f"two photos have one crop: {crops}"
    without = [
        row["image"]
        for row in rows
        if row["crop"] not in crops and row["status"] not in ("failed", "rejected", "skipped")
    ]
    assert not without, f"no crop of {without}"
    made = product(out)
    there = samples(out).keys() if any(name.endswith(".tar") for name in made) else made.keys()
    assert set(crops) <= there, f"gone: {sorted(set(crops) - there)}"
