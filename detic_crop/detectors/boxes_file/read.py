"""Boxes as people have them, in a file or a folder: bytes → boxes per photo.

The format is told by the content and not by the file's name; `formats` lists them. Nothing here looks at
photos; `detector` matches the paths with them and knows their sizes.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from detic_crop.config import BoxFormat
from detic_crop.detectors.boxes_file.csv_table import IMAGE_COLUMNS
from detic_crop.detectors.boxes_file.folder import LabelFolder
from detic_crop.detectors.boxes_file.formats import (
    ADVICE,
    FOLDERS,
    OTHER_JSON,
    OTHER_TABLES,
    PHOTO_JSON,
    PHOTO_XML,
    TABLES,
    WHOLE_JSON,
    WHOLE_XML,
)
from detic_crop.detectors.boxes_file.kinds import (
    Content,
    FoundLabels,
    PhotoFormat,
    WholeFormat,
    refuse_box_format,
)
from detic_crop.detectors.boxes_file.numbers import shown
from detic_crop.detectors.boxes_file.per_photo import read_photo_files
from detic_crop.detectors.boxes_file.table import BoxesTable, FormatError, RowError
from detic_crop.detectors.boxes_file.xml_tree import parse_xml
from detic_crop.detectors.boxes_file.yolo_rows import is_row
from detic_crop.system.whole_files import read_whole
from detic_crop.table_files.kinds import binary_kind
from detic_crop.table_files.text import encoding_of

_WHOLE_FILES = (".json", ".xml", ".csv")
_DELIMITER = re.compile(r"[,;\t|]")


@contextlib.contextmanager
def _gc_paused() -> Iterator[None]:
    """Pause the garbage collector while millions of lists are made that all stay: a third less time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_gc_paused()
def read_boxes(path: Path, box_format: BoxFormat | None = None) -> tuple[BoxesTable, str]:
    """Read a boxes file, or a folder of them.

    Args:
        path: the file or folder.
        box_format: meaning of the four numbers as the user states it; None judges it by the file.

    Returns:
        (boxes per photo, sha256 of all that was read, in hexadecimal).

    Raises:
        FormatError: see `parse_boxes` and `parse_folder`.
        OSError: it, or a file in it, cannot be read.
    """
    if path.is_dir():
        refuse_box_format(box_format)
        folder = LabelFolder(path)
        return parse_folder(folder), folder.sha256
    data = read_whole(path)
    return parse_boxes(data, box_format, path.name), hashlib.sha256(data).hexdigest()


def parse_boxes(data: bytes, box_format: BoxFormat | None = None, name: str = "") -> BoxesTable:
    """Read a boxes file of any format.

    Args:
        data: content of the file.
        box_format: meaning of the four numbers as the user states it; None judges it by the file.
        name: name of the file; if it is the label file of one photo, also the name of that photo.

    Raises:
        FormatError: the file is empty, cannot be decoded, has no known format, or has no usable row.
    """
    if (kind := binary_kind(data)) is not None:
        raise FormatError(
            f"expected UTF-8 text (CSV, JSON, XML), got {kind.what}; {ADVICE.get(kind, kind.advice)}"
        )
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        table = _read_xml(data, box_format, name)
    else:
        text = _decoded(data)
        if not text.strip():
            raise FormatError("expected a CSV, JSON or XML file with boxes, got an empty file")
        is_json = text.lstrip()[0] in "{["
        table = _read_json(text, box_format, name) if is_json else _read_text(text, box_format)
    _check_usable(table)
    return table


def _decoded(data: bytes) -> str:
    """Return text of UTF-8, or of UTF-16 with its mark, which is Excel's "Unicode text"."""
    try:
        text = data.decode(encoding_of(data))
    except UnicodeDecodeError as error:
        raise FormatError(
            f"expected UTF-8 text, got byte 0x{data[error.start]:02x} at offset {error.start}; "
            "save the file as UTF-8 (in Excel: CSV UTF-8)"
        ) from error
    if "\0" in text[:4096]:
        raise FormatError("expected UTF-8 text (CSV, JSON, XML), got other bytes")
    return text


def _check_usable(table: BoxesTable) -> None:
    if not table.entries and not table.problems:
        raise FormatError("expected at least one photo, got none; is this the right file?")
    if table.problems and not table.good_rows:
        shown = "; ".join(f"{place}: {text}" for place, text in table.problems[:3])
        raise FormatError(
            f"expected rows with boxes, got {len(table.problems)} that cannot be used and no other ({shown})"
        )


def _read_json(text: str, box_format: BoxFormat | None, name: str) -> BoxesTable:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        content = _json_lines(text)
        if content is None:
            raise FormatError(f"expected JSON, got text that cannot be read as such ({error})") from error
    table = _read_content(content, WHOLE_JSON, PHOTO_JSON, box_format, name)
    if table is not None:
        return table
    known = _names(WHOLE_JSON, PHOTO_JSON)
    for matches, what in OTHER_JSON:
        if matches(content):
            raise FormatError(f"expected one of the JSON formats that are read ({known}), got {what}")
    raise FormatError(f"expected one of the JSON formats that are read ({known}), got {_described(content)}")


def _described(content: Any) -> str:
    """Return what JSON of an unknown kind looks like."""
    if isinstance(content, list):
        return f"a list of {_described(content[0])}" if content else "an empty list"
    return f"keys {shown(', '.join(content))}" if isinstance(content, dict) else shown(content)


def _json_lines(text: str) -> list[Any] | None:
    """Return the objects of JSON Lines; None where the text is something else."""
    try:
        items = [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None
    return items if len(items) > 1 and all(isinstance(item, dict) for item in items) else None


def _read_xml(data: bytes, box_format: BoxFormat | None, name: str) -> BoxesTable:
    try:
        root = parse_xml(data)
    except RowError as error:
        raise FormatError(str(error)) from error
    table = _read_content(root, WHOLE_XML, PHOTO_XML, box_format, name)
    if table is not None:
        return table
    raise FormatError(
        f"expected one of the XML formats that are read ({_names(WHOLE_XML, PHOTO_XML)}), got <{root.tag}>"
    )


def _read_content(
    content: Content,
    whole: Sequence[WholeFormat[Content]],
    of_photos: Sequence[PhotoFormat[Content]],
    box_format: BoxFormat | None,
    name: str,
) -> BoxesTable | None:
    for format in whole:
        if format.matches(content):
            return format.read(content, box_format)
    for of_photo in of_photos:
        if of_photo.matches(content):
            refuse_box_format(box_format)
            table = read_photo_files(of_photo, [(name, PurePosixPath(name).stem, content)])
            table.notes.append("these are the labels of one photo; for those of all photos pass their folder")
            return table
    return None


def _read_text(text: str, box_format: BoxFormat | None) -> BoxesTable:
    first = text.strip().partition("\n")[0]
    if is_row(first):
        raise FormatError(
            f"expected a header or JSON, got the numbers {shown(first.strip())}; "
            "for YOLO labels pass the folder that holds them all"
        )
    columns = {name.strip(' "#').lower() for name in _DELIMITER.split(first)}
    for names, what in OTHER_TABLES:
        if names <= columns and not columns & set(IMAGE_COLUMNS):
            raise FormatError(f"expected a table that names the photos, got {what}")
    return next(format for format in TABLES if format.matches(text)).read(text, box_format)


def parse_folder(folder: LabelFolder) -> BoxesTable:
    """Read a folder of label files.

    Raises:
        FormatError: it has none, or of several formats, or no usable row.
        OSError: a file cannot be read.
    """
    found = [labels for labels in (format.find(folder) for format in FOLDERS) if labels is not None]
    # Empty files are YOLO's way to say "nothing"; beside labels of another format they say nothing at all.
    found = [labels for labels in found if labels.example] or found
    if not found:
        raise FormatError(_no_labels(folder))
    if len(found) > 1:
        kinds = " and ".join(f"{labels.name} ({labels.example})" for labels in found)
        raise FormatError(
            f"expected label files of one format, got {kinds}; pass the folder of those that count"
        )
    table = found[0].read()
    _add_rest(table, found[0], folder)
    _check_usable(table)
    return table


def _no_labels(folder: LabelFolder) -> str:
    if folder.is_output:
        return (
            f"expected label files, got the output of a run; for its boxes pass {folder.root / 'audit.csv'}"
        )
    text = f"expected label files ({', '.join(format.name for format in FOLDERS)}), got {folder.contents()}"
    texts = folder.ending(".txt")
    if texts:
        _, data = next(folder.sample(texts))
        line = data.decode("utf-8", "replace").strip().partition("\n")[0]
        text += f" (no `class cx cy w h` in {texts[0]}: {shown(line)})"
    single = sorted(folder.ending(*_WHOLE_FILES), key=lambda file: file.count("/"))
    if single:
        names = ", ".join(single[:3]) + ", …" * (len(single) > 3)
        return f"{text}; if one of these files has the boxes of all photos, pass that file: {names}"
    return f"{text}; pass the folder with the labels"


def _add_rest(table: BoxesTable, labels: FoundLabels, folder: LabelFolder) -> None:
    """Note which other files with the suffix of the labels are ignored."""
    suffix = PurePosixPath(labels.files[0]).suffix.lower()
    rest = sorted(set(folder.ending(suffix)).difference(labels.files, folder.read))
    if rest:
        table.notes.append(f"other {suffix} files ignored: {len(rest):,} (first: {rest[0]})")


def _names(whole: Sequence[WholeFormat[Any]], of_photos: Sequence[PhotoFormat[Any]]) -> str:
    return ", ".join([format.name for format in whole] + [format.name for format in of_photos])
