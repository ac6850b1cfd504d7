"""One table of labels as many programs save it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import openpyxl

Table = Sequence[Sequence[str]]


def separated(table: Table, separator: str = ",", encoding: str = "utf-8", **how: Any) -> bytes:
    """The table as a text."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, **how).writerows(table)
    return text.getvalue().encode(encoding)


def workbook(sheets: Mapping[str, Sequence[Sequence[Any]]], hidden: Sequence[str] = ()) -> bytes:
    """An Excel workbook; a cell may also be a (value, number format)."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for number, row in enumerate(rows, start=1):
            for column, value in enumerate(row, start=1):
                cell = sheet.cell(number, column)
                if isinstance(value, tuple):
                    cell.value, cell.number_format = value
                elif value is not None:
                    cell.value = value
        sheet.sheet_state = "hidden" if title in hidden else "visible"
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()
