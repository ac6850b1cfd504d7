"""The sheets of an Excel workbook → rows of texts, each as a person would type it."""

from __future__ import annotations

import datetime
import importlib
import io
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from detic_crop.system.whole_files import check_whole, most_whole_bytes

_MOST_ROWS = 1_048_576  # of a sheet (support.microsoft.com, "Excel specifications and limits")
_DIGITS = 15  # that Excel keeps of a number, ibid.
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_QUOTED = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.')  # in a number format: words, conditions, single characters


class WorkbookError(ValueError):
    """A workbook cannot be read; the words say why."""


class LibraryMissingError(WorkbookError):
    """openpyxl is not installed."""


class Workbook:
    """The visible worksheets of a workbook.

    Args:
        data: bytes of the file.

    Raises:
        WorkbookError: it is damaged, or too large for the memory of this machine.
        LibraryMissingError: openpyxl is not installed.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        with closing(self._open()) as book:
            self.sheets: list[str] = [
                sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible"
            ]
        if not self.sheets:
            raise WorkbookError("it has no visible worksheet")

    def _open(self) -> Any:
        try:
            library = importlib.import_module("openpyxl")
        except ImportError as error:
            raise LibraryMissingError(str(error)) from error
        try:
            with zipfile.ZipFile(io.BytesIO(self._data)) as archive:
                check_whole(sum(file.file_size for file in archive.infolist()), most_whole_bytes())
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of styles and checks that it does not know
                return library.load_workbook(io.BytesIO(self._data), read_only=True, data_only=True)
        except MemoryError:
            raise
        except Exception as error:  # of a damaged file the library raises whatever befalls it
            raise WorkbookError(f"{type(error).__name__}: {error}") from error

    def rows(self, sheet: str) -> Iterator[tuple[int, list[str]]]:
        """Yield (number of the row, its cells) of a sheet; rows without content are left out.

        Raises:
            WorkbookError: the sheet is damaged.
        """
        with closing(self._open()) as book, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                worksheet = book[sheet]
                worksheet.reset_dimensions()  # some programs state them wrong
                for number, row in enumerate(worksheet.iter_rows(), start=1):
                    if number > _MOST_ROWS:
                        raise WorkbookError(f"expected at most {_MOST_ROWS:,} rows, got more")
                    cells = [text_of(cell) for cell in row]
                    while cells and not cells[-1]:
                        cells.pop()
                    if any(cell.strip() for cell in cells):
                        yield number, cells
            except (MemoryError, WorkbookError, GeneratorExit):
                raise
            except Exception as error:  # see above
                raise WorkbookError(f"sheet {sheet}: {type(error).__name__}: {error}") from error


def text_of(cell: Any) -> str:
    """Return what a cell says: text as it stands, a number without `.0`, a date as ``2019-07-04``.

    Args:
        cell: a cell of openpyxl; of a formula, the value that it had when the workbook was saved.
    """
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return _ESCAPED.sub(_unescaped, value)
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _number(value, cell.number_format)
    if isinstance(value, datetime.datetime) and _is_day(value, cell.number_format):
        return value.date().isoformat()
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    if isinstance(value, datetime.timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return value.isoformat() if isinstance(value, datetime.time | datetime.date) else str(value)


def _number(value: float, number_format: str) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 10**_DIGITS:
        value = int(value)
    if isinstance(value, int):
        is_padded = re.fullmatch("0{2,}", number_format) is not None and value >= 0
        return str(value).zfill(len(number_format)) if is_padded else str(value)
    return f"{value:.{_DIGITS}g}"


def _is_day(value: datetime.datetime, number_format: str) -> bool:
    """Return whether a date is shown without a time of the day."""
    return value.time() == datetime.time() and not set(_QUOTED.sub("", number_format).lower()) & set("hs")


def _unescaped(found: re.Match[str]) -> str:
    """Return the character that ``_x000D_`` stands for; half of a surrogate pair stays spelled."""
    character = chr(int(found[1], 16))
    return found[0] if "\ud800" <= character <= "\udfff" else character
