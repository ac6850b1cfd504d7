"""audit.xlsx: the table of audit.csv for people who filter and sort in a spreadsheet.

Every text stays text: nothing in a name or label becomes a formula, a number, a date or an address. The
same table gives the same bytes.
"""

from __future__ import annotations

import datetime
import importlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detic_crop.config import CropConfig
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.listing import photo_paths, read_listing
from detic_crop.folder.records import Record
from detic_crop.photos.labels import Labels
from detic_crop.photos.location import is_path
from detic_crop.report.html.gallery import crop_address
from detic_crop.report.table import NUMBER_COLUMNS, Row, our_columns, row_doubts, table_cells
from detic_crop.stores.store import is_address

# What Excel takes (support.microsoft.com, "Excel specifications and limits").
_MAX_ROWS = 1_048_576
_MAX_COLUMNS = 16_384
_MAX_TEXT = 32_767  # UTF-16 units of a cell
_MAX_LINKS = 65_530  # of a worksheet
_MAX_ADDRESS = 2_079

_MEASURED_ROWS = 1000  # by which the widths of columns are chosen
_WIDTHS = (7, 48)  # characters
_NO_DATE = datetime.datetime(1980, 1, 1)
_MARKUP = re.compile(r"<r>.*</r>", re.DOTALL)


def check_workbook(n_rows: int, labels: Labels | None) -> None:
    """Refuse what no workbook can hold, before anything is written.

    Raises:
        UsageError: the library is missing, or the table is too large.
    """
    _library()
    n_columns = len(our_columns(labels)) + (len(labels.columns) if labels else 0)
    if n_rows >= _MAX_ROWS or n_columns > _MAX_COLUMNS:
        raise UsageError(
            f"--xlsx: a worksheet holds {_MAX_ROWS - 1:,} rows and {_MAX_COLUMNS:,} columns, the table has "
            f"{n_rows:,} and {n_columns:,}; leave --xlsx out and open audit.csv with pandas or a database"
        )


def write_workbook(
    folder: OutputFolder,
    rows: Sequence[Row],
    labels: Labels | None,
    config: CropConfig,
    paths: Mapping[str, str] | None = None,
) -> list[str]:
    """Write audit.xlsx in one piece.

    Args:
        folder: the output folder.
        rows: of audit.csv, in its order.
        labels: the label table, or None.
        config: the settings as resolved.
        paths: where the photos are, by key; None: where the run found them.

    Returns:
        What a person should know: what was left out to keep to the limits of a worksheet.

    Raises:
        UsageError: the library is missing, or the table is too large.
        OutputError: the disk is full or the folder cannot be written.
    """
    check_workbook(len(rows), labels)
    library = _library()
    if paths is None:
        paths = photo_paths(read_listing(folder))
    folder.inside.mkdir(folder.layout.temporary)
    file = io.BytesIO()
    # Row by row to a temporary file beside the crops: a million rows need no memory.
    settings = {"constant_memory": True, "tmpdir": str(folder.layout.temporary)}
    with library.Workbook(file, settings) as workbook:
        workbook.set_properties({"title": "detic-crop audit", "created": _NO_DATE})
        notes = _fill(library, workbook, rows, labels, config, paths)
    folder.write(folder.layout.audit_xlsx, file.getvalue())
    return notes


def _library() -> Any:
    try:
        importlib.import_module("xlsxwriter.url")  # not in old versions
        return importlib.import_module("xlsxwriter")
    except ImportError as error:
        raise UsageError(
            f"--xlsx needs XlsxWriter, which cannot be imported ({error}); pip install 'detic-crop[xlsx]'"
        ) from error


def _fill(
    library: Any,
    workbook: Any,
    rows: Sequence[Row],
    labels: Labels | None,
    config: CropConfig,
    paths: Mapping[str, str],
) -> list[str]:
    """The one worksheet; returns what was left out."""
    sheet = workbook.add_worksheet("audit")
    bold, number = workbook.add_format({"bold": True}), workbook.add_format({"num_format": "0.00"})
    whole = workbook.add_format({"num_format": "0"})
    ours = our_columns(labels)
    header, *_ = table_cells((), labels, config)
    first = len(header) - len(ours)
    formats = {
        first + ours.index(name): whole if name in ("width", "height", "n_candidates") else number
        for name in NUMBER_COLUMNS
    }
    photo_column = first + ours.index("image") if "image" in ours else header.index("image")
    linked = {photo_column: _photo_address, first + ours.index("crop"): _crop_address}
    with_links = _most_suspicious(rows, config, _MAX_LINKS // len(linked))
    cut = 0
    widths = [len(name) + 3 for name in header]  # the filter's arrow takes some
    for number_of_row, cells in enumerate(table_cells(rows, labels, config)):
        for column, cell in enumerate(cells):
            text = _fitting(cell)
            cut += len(text) < len(cell)
            if number_of_row <= _MEASURED_ROWS:
                widths[column] = max(widths[column], len(text))
            if number_of_row == 0:
                sheet.write_string(0, column, text, bold)
                continue
            if not cell:
                continue
            if column in formats and (value := _number(cell)) is not None:
                sheet.write_number(number_of_row, column, value, formats[column])
                continue
            if column in linked and number_of_row - 1 in with_links:
                address = linked[column](rows[number_of_row - 1].record, paths)
                if 0 < len(address) <= _MAX_ADDRESS:
                    sheet.write_url(number_of_row, column, _link(library, address, text))
                    continue
            sheet.write_string(number_of_row, column, text)
    for column, width in enumerate(widths):
        sheet.set_column(column, column, min(max(width, _WIDTHS[0]), _WIDTHS[1]))
    sheet.freeze_panes(1, photo_column + 1 if photo_column == 0 else 0)
    sheet.autofilter(0, 0, len(rows), len(header) - 1)
    notes = []
    if len(with_links) < len(rows):
        notes.append(
            f"audit.xlsx: a worksheet holds {_MAX_LINKS:,} links; "
            f"the {len(with_links):,} most suspicious rows have theirs"
        )
    if cut:
        notes.append(
            f"audit.xlsx: texts of more than {_MAX_TEXT:,} characters were cut: {cut:,}; audit.csv has all"
        )
    return notes


def _most_suspicious(rows: Sequence[Row], config: CropConfig, n: int) -> set[int]:
    """Places of the `n` most suspicious rows."""
    if len(rows) <= n:
        return set(range(len(rows)))
    doubts = row_doubts(rows, config)
    suspicion = [doubts[row.record.image].suspicion for row in rows]
    return set(sorted(range(len(rows)), key=lambda i: -suspicion[i])[:n])


def _fitting(text: str) -> str:
    """What a cell can hold of a text; the library escapes what XML cannot."""
    if text.isascii() and len(text) <= _MAX_TEXT and not text.startswith("<r>"):
        return text  # nearly all
    text = text.encode("utf-8", "backslashreplace").decode()
    if _MARKUP.fullmatch(text):
        text = f" {text}"  # the library would take it for markup of its own
    if len(text) > _MAX_TEXT // 2 and len(text.encode("utf-16-le")) > 2 * _MAX_TEXT:
        text = text.encode("utf-16-le")[: 2 * _MAX_TEXT - 2].decode("utf-16-le", "ignore") + "…"
    return text


def _photo_address(record: Record, paths: Mapping[str, str]) -> str:
    """file://…, or the address where the run found the photo; empty when it never did, or in a tar file."""
    place = paths.get(record.image, "")
    if not place or not is_path(place):
        return place if is_address(place) else ""
    return Path(place).as_uri()


def _crop_address(record: Record, paths: Mapping[str, str]) -> str:
    """Relative: it works wherever the folder goes."""
    return crop_address(record)


def _number(cell: str) -> float | None:
    """The number in a cell; None for what a worksheet takes for none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _link(library: Any, address: str, text: str) -> Any:
    """A link with exactly this address: the library's own way spoils absolute paths that begin with /."""
    link = library.url.Url("external:link")
    link._relationship_link = address
    link.text = text
    return link
