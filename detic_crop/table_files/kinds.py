"""Files that are no text: what each is by its first bytes, and how to make a table of it."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from typing import NamedTuple


class Kind(NamedTuple):
    """What a file is.

    Attributes:
        what: its name in a sentence.
        advice: what to do, so that its table can be read.
    """

    what: str
    advice: str


_SAVE = "save it as .xlsx, or as CSV in UTF-8"
PHOTO = Kind("a photo", "pass the table instead")
ZIP = Kind("a zip archive", "unpack it, and pass the table in it")
PICKLE = Kind("a Python pickle", "it is not opened because it could run anything; save its table as CSV")
NUMPY = Kind("a NumPy array", "save it as CSV, with a header")

BINARIES: Sequence[tuple[bytes, Kind]] = (
    (
        b"PAR1",
        Kind(
            "a Parquet file",
            "save it as CSV: pandas.read_parquet(file).to_csv('table.csv', index=False)",
        ),
    ),
    (
        b"ARROW1",
        Kind("a Feather file", "save it as CSV: pandas.read_feather(file).to_csv('table.csv', index=False)"),
    ),
    *((b"\x80%c" % protocol, PICKLE) for protocol in range(2, 6)),
    (b"\x1f\x8b", Kind("a gzip archive", "unpack it, and pass what is in it")),
    (b"BZh", Kind("a bzip2 archive", "unpack it, and pass what is in it")),
    (b"\xfd7zXZ", Kind("an xz archive", "unpack it, and pass what is in it")),
    (b"7z\xbc\xaf", Kind("a 7z archive", "unpack it, and pass what is in it")),
    (b"\x89HDF", Kind("an HDF5 file", "save its table as CSV")),
    (
        b"\xd0\xcf\x11\xe0",
        Kind("an old Excel workbook (.xls), or one with a password", f"{_SAVE}, without a password"),
    ),
    (b"SQLite format 3", Kind("an SQLite database", "save its table as CSV")),
    (b"\x00\x01\x00\x00Standard ", Kind("an Access database", "save its table as CSV")),
    (b"\x93NUMPY", NUMPY),
    (b"%PDF", Kind("a PDF", "save its table as CSV")),
    (b"{\\rtf", Kind("a text document (RTF)", "save its table as CSV")),
    (b"\xff\xd8\xff", PHOTO),
    (b"\x89PNG", PHOTO),
    (b"RIFF", PHOTO),
    (b"II*\x00", PHOTO),
    (b"MM\x00*", PHOTO),
    (b"GIF8", PHOTO),
)
_ZIP = b"PK\x03\x04"

# What is in the archives that programs save tables in.
_IN_ZIP: Sequence[tuple[str, Kind]] = (
    ("xl/workbook.bin", Kind("a binary Excel workbook (.xlsb)", _SAVE)),
    ("word/document.xml", Kind("a Word document", "save its table as CSV")),
    ("Index/Document.iwa", Kind("a Numbers document", "export it as Excel, or as CSV in UTF-8")),
    ("content.xml", Kind("an OpenDocument table (.ods)", _SAVE)),
)
_IN_TEXT: Sequence[tuple[re.Pattern[bytes], Kind]] = (
    (re.compile(rb"<(!doctype\s+html|html|table|head|meta|style|body)\b", re.I), Kind("a web page", _SAVE)),
    (re.compile(rb"<\?xml|<\w+[\s>:]"), Kind("XML", _SAVE)),
    (re.compile(rb"[\[{]\s*[\[{\"\]}]"), Kind("JSON", "save its table as CSV: pandas.read_json reads many")),
)


def binary_kind(data: bytes) -> Kind | None:
    """Return what a file is that is no text; None if nothing is known to begin so. Zips are just that."""
    if data.startswith(_ZIP):
        return ZIP
    return next((kind for start, kind in BINARIES if data.startswith(start)), None)


def other_kind(data: bytes) -> Kind | None:
    """Return what a file is whose table cannot be read, with a look into archives and texts; else None."""
    kind = binary_kind(data)
    if kind is ZIP:
        names = names_in_zip(data)
        kind = next((kind for name, kind in _IN_ZIP if name in names), kind)
    if kind is None:
        start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
        kind = next((kind for pattern, kind in _IN_TEXT if pattern.match(start)), None)
    return kind


def is_workbook(data: bytes) -> bool:
    """Return whether a file is an Excel workbook that is read: .xlsx or .xlsm."""
    return data.startswith(_ZIP) and "xl/workbook.xml" in names_in_zip(data)


def names_in_zip(data: bytes) -> set[str]:
    """Return the names of the files in an archive; none if it is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return set()
