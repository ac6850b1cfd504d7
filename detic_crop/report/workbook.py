"""audit.xlsx: the table of audit.csv for people who filter and sort in a spreadsheet.

Every text stays text: nothing in a name or label becomes a formula, a number, a date or an address. The
same table gives the same bytes.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import io
import math
import re
from collections.abc import Iterator
from typing import Any

from detic_crop.errors import UsageError
from detic_crop.folder.animals import main_crop
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.tars import Crops
from detic_crop.folder.write_errors import writing
from detic_crop.photos.location import NOWHERE
from detic_crop.report.metadata_columns import POSITION
from detic_crop.report.model import Audit, crop_link
from detic_crop.report.table import NUMBER_COLUMNS, our_columns, table_cells, table_header
from detic_crop.wording import utf8

# What Excel takes (support.microsoft.com, "Excel specifications and limits").
_MAX_ROWS = 1_048_576
_MAX_COLUMNS = 16_384
_MAX_TEXT = 32_767  # UTF-16 units of a cell
_MAX_LINKS = 65_530  # of a worksheet
_MAX_ADDRESS = 2_079

_MEASURED_ROWS = 1000  # by which the widths of columns are chosen
_MIN_WIDTH = 7  # characters
_MAX_WIDTH = 48
_WHOLE_NUMBERS = ("width", "height", "n_candidates", "n_crops", "fold")
_FORMATS = dict.fromkeys(_WHOLE_NUMBERS, "whole") | dict.fromkeys(POSITION, "degrees")
_NO_DATE = datetime.datetime(1980, 1, 1)
_MARKUP = re.compile(r"<r>.*</r>", re.DOTALL)


def check_workbook(audit: Audit) -> None:
    """Refuse what no workbook can hold, before anything is written.

    Raises:
        UsageError: the library is missing, or the table is too large.
    """
    _library()
    n_rows, n_columns = len(audit.rows), len(table_header(audit))
    if n_rows >= _MAX_ROWS or n_columns > _MAX_COLUMNS:
        raise UsageError(
            "workbook_too_large",
            f"--xlsx: a worksheet holds {_MAX_ROWS - 1:,} rows and {_MAX_COLUMNS:,} columns, the table has "
            f"{n_rows:,} and {n_columns:,}; leave --xlsx out and open audit.csv with pandas or a database",
        )


def write_workbook(folder: OutputFolder, audit: Audit) -> list[str]:
    """Write audit.xlsx in one piece.

    Returns:
        What a person should know: what was left out to keep to the limits of a worksheet.

    Raises:
        UsageError: the library is missing, or the table is too large.
        OutputError: the disk is full or the folder cannot be written.
    """
    check_workbook(audit)
    library = _library()
    temporary = folder.layout.temporary
    folder.inside.mkdir(temporary)
    file = io.BytesIO()
    # Row by row to a temporary file beside the crops: a million rows need no memory.
    settings = {"constant_memory": True, "tmpdir": str(temporary)}
    workbook = library.Workbook(file, settings)
    try:
        with writing(temporary), _errors_of_the_disk(library):
            workbook.set_properties({"title": "detic-crop audit", "created": _NO_DATE})
            notes = _fill(library, workbook, audit, folder.crops)
            workbook.close()
    except OSError:
        for sheet in workbook.worksheets():  # the library leaves its temporary files open, and there
            sheet.row_data_fh.close()
        folder.clear_temporary()
        raise
    folder.write(folder.layout.audit_xlsx, file.getvalue())
    return notes


@contextlib.contextmanager
def _errors_of_the_disk(library: Any) -> Iterator[None]:
    """Raise the errors of the disk that the library has wrapped in one of its own."""
    try:
        yield
    except library.exceptions.FileCreateError as error:
        cause = next((part for part in error.args if isinstance(part, OSError)), error.__context__)
        raise cause if isinstance(cause, OSError) else OSError(str(error)) from error


def _library() -> Any:
    try:
        importlib.import_module("xlsxwriter.url")  # not in old versions
        return importlib.import_module("xlsxwriter")
    except ImportError as error:
        raise UsageError(
            "missing_extra",
            f"--xlsx needs XlsxWriter, which cannot be imported ({error}); pip install 'detic-crop[xlsx]'",
        ) from error


def _fill(library: Any, workbook: Any, audit: Audit, crops: Crops) -> list[str]:
    """Write the one worksheet; return what was left out."""
    sheet = workbook.add_worksheet("audit")
    formats = {
        "header": workbook.add_format({"bold": True}),
        "number": workbook.add_format({"num_format": "0.00"}),
        "whole": workbook.add_format({"num_format": "0"}),
        "degrees": workbook.add_format({"num_format": "0.000000"}),
    }
    header, ours = table_header(audit), our_columns(audit)
    first = len(header) - len(ours)
    number_formats = {
        first + ours.index(name): formats[_FORMATS.get(name, "number")]
        for name in (*NUMBER_COLUMNS, *(name for more in audit.more for name in more.numbers))
    }
    photo_column = first + ours.index("image") if "image" in ours else header.index("image")
    crop_column = first + ours.index("crop")
    with_links = _most_suspicious(audit, _MAX_LINKS // 2)
    cut = 0
    widths = [len(name) + 3 for name in header]  # the filter's arrow takes some
    for number_of_row, cells in enumerate(table_cells(audit)):
        for column, cell in enumerate(cells):
            text = fitting(cell)
            cut += len(text) < len(cell)
            if number_of_row <= _MEASURED_ROWS:
                widths[column] = max(widths[column], len(text))
            if number_of_row == 0:
                sheet.write_string(0, column, text, formats["header"])
                continue
            if not cell:
                continue
            if column in number_formats and (value := number_in(cell)) is not None:
                sheet.write_number(number_of_row, column, value, number_formats[column])
                continue
            if column in (photo_column, crop_column) and number_of_row - 1 in with_links:
                record = audit.rows[number_of_row - 1].record
                location = audit.whereabouts.locations.get(record.image, NOWHERE)
                address = (
                    location.as_uri()
                    if column == photo_column
                    else crop_link(crops.path_of(main_crop(record)))
                )
                if 0 < len(address) <= _MAX_ADDRESS:
                    sheet.write_url(number_of_row, column, _link(library, address, text))
                    continue
            sheet.write_string(number_of_row, column, text)
    for column, width in enumerate(widths):
        sheet.set_column(column, column, min(max(width, _MIN_WIDTH), _MAX_WIDTH))
    sheet.freeze_panes(1, photo_column + 1 if photo_column == 0 else 0)
    sheet.autofilter(0, 0, len(audit.rows), len(header) - 1)
    notes = []
    if len(with_links) < len(audit.rows):
        notes.append(
            f"audit.xlsx: a worksheet holds {_MAX_LINKS:,} links; "
            f"the {len(with_links):,} most suspicious rows have theirs"
        )
    if cut:
        notes.append(
            f"audit.xlsx: texts of more than {_MAX_TEXT:,} characters were cut: {cut:,}; audit.csv has all"
        )
    return notes


def _most_suspicious(audit: Audit, n: int) -> set[int]:
    """Return the indices of the `n` most suspicious rows."""
    if len(audit.rows) <= n:
        return set(range(len(audit.rows)))
    suspicion = [audit.photos.doubts(row.record.image).suspicion for row in audit.rows]
    return set(sorted(range(len(audit.rows)), key=lambda i: -suspicion[i])[:n])


def fitting(text: str) -> str:
    """Return what a cell can hold of a text; the library escapes what XML cannot hold."""
    if text.isascii() and len(text) <= _MAX_TEXT and not text.startswith("<r>"):
        return text  # nearly all
    text = utf8(text).decode()
    if _MARKUP.fullmatch(text):
        text = f" {text}"  # the library would take it for markup of its own
    if len(text) > _MAX_TEXT // 2 and len(text.encode("utf-16-le")) > 2 * _MAX_TEXT:
        text = text.encode("utf-16-le")[: 2 * _MAX_TEXT - 2].decode("utf-16-le", "ignore") + "…"
    return text


def number_in(cell: str) -> float | None:
    """Return the number in a cell; None if a worksheet would not take it for one."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _link(library: Any, address: str, text: str) -> Any:
    """Return a link with exactly this address; the library itself spoils absolute paths that begin with /."""
    link = library.url.Url("external:link")
    link._relationship_link = address
    link.text = text
    return link
