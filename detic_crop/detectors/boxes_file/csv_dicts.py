"""CSV as tools write it, with commas and known columns; tables that people make are `csv_table`'s."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from detic_crop.detectors.boxes_file.table import FormatError


def header_of(text: str) -> list[str]:
    """Return the names in the first row, without blanks and a # in front; none if it is not CSV."""
    try:
        return [name.strip(" #") for name in next(csv.reader(io.StringIO(text, newline=""), strict=True), [])]
    except csv.Error:
        return []


def rows_of(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (place, column → cell) of each row below the header; missing cells are empty.

    Raises:
        FormatError: a row cannot be split.
    """
    header = header_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        next(reader, None)
        for cells in reader:
            if cells:
                cells += [""] * (len(header) - len(cells))
                yield f"line {reader.line_num}", dict(zip(header, cells, strict=False))
    except csv.Error as error:
        raise FormatError(
            f"expected CSV, got a row that cannot be split at line {reader.line_num} ({error})"
        ) from error
