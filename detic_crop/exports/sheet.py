"""A small workbook of one sheet."""

from __future__ import annotations

import datetime
import importlib
import io
from collections.abc import Collection, Sequence
from typing import Any

from detic_crop.report.workbook import fitting, number_in

_NO_DATE = datetime.datetime(1980, 1, 1)


def workbook_bytes(table: Sequence[Sequence[str]], numbers: Collection[str]) -> bytes | None:
    """Return a workbook, the same bytes for the same table; None without the library that writes it.

    Args:
        table: rows of cells, the header first.
        numbers: columns whose cells become numbers; all others stay text.
    """
    try:
        library: Any = importlib.import_module("xlsxwriter")
    except ImportError:
        return None
    file = io.BytesIO()
    workbook = library.Workbook(file, {"in_memory": True})
    workbook.set_properties({"created": _NO_DATE})
    sheet = workbook.add_worksheet()
    header = table[0]
    for row, cells in enumerate(table):
        for column, cell in enumerate(cells):
            number = number_in(cell) if row and header[column] in numbers else None
            if number is not None:
                sheet.write_number(row, column, number)
            elif cell:
                sheet.write_string(row, column, fitting(cell))
    workbook.close()
    return file.getvalue()
