"""A text with a row on each line, whose cells are parted by one character."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator

SEPARATORS = (",", ";", "\t", "|")
"""What people's tables are separated by, the likeliest first."""

_STATED = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


class SplitError(ValueError):
    """A row cannot be split into cells; the words say where, and the likely reason."""


def numbered_rows(lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (first line of the row in the file, its cells); rows without content are left out.

    Strict, because a quotation mark left open would otherwise swallow all further rows without a word.

    Args:
        lines: lines with their ends as they stand in the file.
        separator: character between two cells.

    Raises:
        SplitError: a row cannot be split.
    """
    reader = csv.reader(lines, delimiter=separator, strict=True)
    line = 1
    try:
        for cells in reader:
            if "".join(cells).strip():
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise SplitError(
            f"a row that cannot be split at line {line} ({error}); is a quotation mark left open?"
        ) from error


def stated_separator(line: str) -> str:
    """Return the separator that a first line ``sep=;`` states, Excel's own way; empty without one."""
    found = _STATED.fullmatch(line)
    return "" if found is None else found[1]


def spoken(separator: str) -> str:
    """Return what messages call a separator."""
    return "tabs" if separator == "\t" else f"`{separator}`"
