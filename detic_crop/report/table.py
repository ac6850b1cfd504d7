"""Journal → audit.csv. `COLUMNS` is the one list of its columns."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

from detic_crop.folder.animals import main_crop, of_animal
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.records import Record
from detic_crop.report.model import Audit
from detic_crop.report.suspicion import Doubts, area_fraction
from detic_crop.wording import utf8

COLUMNS: Mapping[str, str] = {
    "image": "relative path of the photo, with /; the key",
    "crop": "path of the crop below the output folder; empty if failed or rejected",
    "status": "cropped, resized (nothing found: the whole photo), skipped (no crop), rejected or failed",
    "reason": "why: largest_box, not_found, not_listed, too_small, reviewed_whole, missing_file …",
    "width": "of the upright photo, pixels",
    "height": "of the upright photo, pixels",
    "class_name": "class of the chosen box",
    "score": "score of the chosen box",
    "presence": "how sure the model is that a wanted animal is there, below the floor too",
    "box": 'the chosen box as detected, "xmin ymin xmax ymax", whole pixels of the upright photo',
    "crop_box": (
        "the pixels that became the crop, same form; when resized the whole photo, but for edge pixels"
    ),
    "n_candidates": "number of boxes that count: of a class asked for, with a score of --conf or more",
    "best_class": "class of the most confident box that counts",
    "best_score": "its score",
    "best_box": "the most confident box that counts",
    "area_frac": "area of the chosen box / area of the photo",
    "flags": "what is doubtful, joined by ;",
    "suspicion": "0–1, how much the row deserves a look",
    "duplicate_of": "the earlier photo that this one repeats",
    "verdict": "what a reviewer said, once applied: accepted, whole, box or rejected",
    "detector_box": "the detector's own box where a reviewer chose another",
    "model": "model that found the box",
    "error": "why a photo failed",
}

ANIMAL_COLUMNS: Mapping[str, str] = {
    "image": "relative path of the photo, with /; the key",
    "animal": "its number in the photo, from left to right; 0: the whole photo, in which none was found",
    "crop": "path of the crop below the output folder; empty if there is none",
    "reason": "why: every_animal, not_found, too_small, reviewed_box …",
    "class_name": "class of its box",
    "score": "score of its box",
    "box": 'its box, "xmin ymin xmax ymax", whole pixels of the upright photo',
    "crop_box": "the pixels that became the crop, same form",
    "area_frac": "area of the box / area of the photo",
    "flags": "what is doubtful, joined by ;",
    "suspicion": "0–1, how much the crop deserves a look",
    "verdict": "what a reviewer said of the photo, once applied",
}
"""The columns of animals.csv, which ``--animals all`` writes."""

BOX_COLUMNS = ("box", "crop_box", "best_box", "detector_box")
NUMBER_COLUMNS = (
    "width", "height", "score", "presence", "n_candidates", "best_score", "area_frac", "suspicion"
)  # fmt: skip


_MADE_OF_NUMBERS = frozenset({*BOX_COLUMNS, *NUMBER_COLUMNS, "animal"})
_TOGETHER = 1000  # rows that are written together


def write_table(folder: OutputFolder, audit: Audit, *, safe: bool = False) -> None:
    """Write audit.csv, row by row, and put it into place; with ``--animals all`` animals.csv, too.

    Args:
        folder: the output folder.
        audit: what the table shows.
        safe: write a ``'`` before each cell that a spreadsheet would take for a formula.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    tables = {folder.layout.audit_csv: table_cells(audit)}
    if audit.config.animals == "all":
        tables[folder.layout.animals_csv] = animal_cells(audit)
    for path, rows in tables.items():
        folder.write_parts(path, csv_parts(guarded(rows, audit) if safe else rows))


# Among what a spreadsheet skips before it looks for the sign: blanks, control and zero-width characters.
_FORMULA = re.compile(r"[\t\r\n]|[\s\x00-\x1f\u200b-\u200f\u2060\ufeff]*[=+\-@＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


def guarded(rows: Iterable[list[str]], audit: Audit) -> Iterator[list[str]]:
    """Yield rows, each text that a spreadsheet would take for a formula with a ``'`` before it.

    Those are the ones that OWASP's page "CSV Injection" lists. Numbers stay numbers, and so do our boxes.

    Args:
        rows: cells of a table, the header first.
        audit: what the table shows; columns of its labels may hold anything.
    """
    rows = iter(rows)
    header = next(rows)
    theirs = set(renamed_columns(audit))
    texts = [i for i, name in enumerate(header) if name in theirs or name not in _MADE_OF_NUMBERS]
    for cells in chain([header], rows):
        for i in texts:
            if _FORMULA.match(cells[i]) and not _NUMBER.fullmatch(cells[i]):
                cells[i] = f"'{cells[i]}"
        yield cells


def csv_parts(rows: Iterable[Sequence[str]]) -> Iterator[bytes]:
    """Yield rows of cells as CSV in UTF-8, many at a time."""
    rows = iter(rows)
    while several := list(islice(rows, _TOGETHER)):
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        # Before Python 3.13 a lone carriage return, which a file name may hold, is not quoted by itself.
        quoting_writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for cells in several:
            (quoting_writer if any("\r" in cell for cell in cells) else writer).writerow(cells)
        yield utf8(text.getvalue())


def table_cells(audit: Audit) -> Iterator[list[str]]:
    """Yield the header, then the cells of each row: label columns first, then ours."""
    yield table_header(audit)
    ours = our_columns(audit)
    for row in audit.rows:
        cells = row_cells(row.record, audit.photos.doubts(row.record.image))
        for more in audit.more:
            cells |= more.cells(row.record)
        yield [*row.label, *(cells[name] for name in ours)]


def animal_cells(audit: Audit) -> Iterator[list[str]]:
    """Yield the header of animals.csv, then the cells of each row: our columns first, then the labels'."""
    names = audit.labels.columns if audit.labels else []
    image_column = names.index("image") if "image" in names else None
    theirs = [i for i, name in enumerate(names) if name != "image"]
    renamed = renamed_columns(audit)
    more = [columns for columns in audit.more if columns.are_of_photo]
    ours = [*ANIMAL_COLUMNS, *(name for columns in more for name in columns.columns)]
    yield [*ours, *(renamed[i] for i in theirs)]
    for row in audit.rows:
        of_photo = {"image": row.record.image if image_column is None else row.label[image_column]}
        for columns in more:
            of_photo |= columns.cells(row.record)
        for animal, doubts in zip(
            row.record.animals, audit.photos.doubts_of_animals(row.record), strict=True
        ):
            cells = row_cells(of_animal(row.record, animal), doubts) | of_photo
            cells["animal"] = str(animal.number)
            yield [cells[name] for name in ours] + [row.label[i] for i in theirs]


def table_header(audit: Audit) -> list[str]:
    """Return the names of all columns; a label column called like one of ours is renamed ``label_…``."""
    return renamed_columns(audit) + our_columns(audit)


def our_columns(audit: Audit) -> list[str]:
    """Return the columns after the label columns.

    A label column `image` replaces ours and stays as the file spells it: its owner joins tables on it.
    """
    labels = audit.labels
    ours = [name for name in COLUMNS if name != "image" or labels is None or "image" not in labels.columns]
    return ours + [name for more in audit.more for name in more.columns]


def renamed_columns(audit: Audit) -> list[str]:
    """Return the names that the label columns have in our tables; see `table_header`."""
    columns = audit.labels.columns if audit.labels else []
    ours = {*COLUMNS, *(name for more in audit.more for name in more.columns)}
    if audit.config.animals == "all":
        ours |= ANIMAL_COLUMNS.keys()
    return [_label_column(name, columns, ours) for name in columns]


def _label_column(name: str, label_columns: Sequence[str], ours: Container[str]) -> str:
    if name not in ours or name == "image":
        return name
    renamed = f"label_{name}"
    while renamed in label_columns:
        renamed = f"label_{renamed}"
    return renamed


def row_cells(record: Record, doubts: Doubts) -> dict[str, str]:
    """Return the cells of one row, by column."""
    return {
        "image": record.image,
        "crop": "" if record.status == "rejected" else main_crop(record),
        "status": record.status,
        "reason": record.reason,
        "width": str(record.width or ""),
        "height": str(record.height or ""),
        "class_name": record.class_name,
        "score": _number(record.score),
        "presence": _number(record.presence),
        "box": _box(record.box),
        "crop_box": _box(record.crop_box),
        "n_candidates": "" if record.status == "failed" else str(record.n_candidates),
        "best_class": record.best_class or record.class_name,
        "best_score": _number(record.score if record.best_score is None else record.best_score),
        "best_box": _box(record.best_box or record.box),
        "area_frac": _number(area_fraction(record)),
        "flags": ";".join(doubts.flags),
        "suspicion": _number(doubts.suspicion),
        "duplicate_of": doubts.duplicate_of,
        "verdict": record.verdict,
        "detector_box": _box(record.detector_box),
        "model": record.model,
        "error": record.error,
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _box(xyxy: Sequence[float] | None) -> str:
    """Return the whole pixels that contain the box: left and top rounded down, right and bottom up."""
    if xyxy is None:
        return ""
    left, top, right, bottom = xyxy
    return f"{math.floor(left)} {math.floor(top)} {math.ceil(right)} {math.ceil(bottom)}"
