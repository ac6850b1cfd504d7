"""Journal → audit.csv. `COLUMNS` is the one list of its columns."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from detic_crop.config import CropConfig
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.records import Record
from detic_crop.photos.labels import Labels, parse_labels
from detic_crop.report.groups import label_groups
from detic_crop.report.suspicion import (
    IMAGE_CHECKS,
    Doubts,
    area_fraction,
    doubts_of,
    doubts_of_all,
    flags_of,
)

COLUMNS: Mapping[str, str] = {
    "image": "relative path of the photo, with /; the key",
    "crop": "path of the crop below the output folder; empty if failed or rejected",
    "status": "cropped, resized (nothing found: the whole photo), rejected or failed",
    "reason": "why: largest_box, not_found, not_listed, reviewed_whole, missing_file, unreadable …",
    "width": "of the upright photo, pixels",
    "height": "of the upright photo, pixels",
    "class_name": "class of the chosen box",
    "score": "score of the chosen box",
    "presence": "how sure the model is that a wanted animal is there, below the floor too",
    "box": 'the chosen box as detected, "xmin ymin xmax ymax", whole pixels of the upright photo',
    "crop_box": (
        "the pixels that became the crop, same form; when resized the whole photo, but for edge pixels"
    ),
    "n_candidates": "number of eligible boxes",
    "best_class": "class of the most confident eligible box",
    "best_score": "its score",
    "best_box": "the most confident eligible box",
    "area_frac": "area of the chosen box / area of the photo",
    "flags": "what is doubtful, joined by ;",
    "suspicion": "0–1, how much the row deserves a look",
    "duplicate_of": "the earlier photo that this one repeats",
    "verdict": "what a reviewer said, once applied: accepted, whole, box or rejected",
    "detector_box": "the detector's own box where a reviewer chose another",
    "model": "model that found the box",
    "error": "why a photo failed",
}

BOX_COLUMNS = ("box", "crop_box", "best_box", "detector_box")
NUMBER_COLUMNS = (
    "width", "height", "score", "presence", "n_candidates", "best_score", "area_frac", "suspicion"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the audit: the photo's record, the label row it answers, if any, and the groups in that."""

    record: Record
    label: Sequence[str] = ()
    groups: tuple[str, ...] = ()


def table_rows(
    records: Mapping[str, Record], order: Sequence[str], labels: Labels | None, matches: Sequence[str | None]
) -> list[Row]:
    """Rows in input order: the label file's, else the listing's, else sorted keys.

    Args:
        records: the last record of each photo.
        order: keys in input order.
        labels: the label table, or None.
        matches: the photo of each label row, None where there is none.
    """
    if labels is None:
        known = set(order)
        later = sorted(key for key in records if key not in known)
        return [Row(records[key]) for key in (*order, *later) if key in records]
    rows = []
    parts = zip(labels.names(), matches, labels.rows, label_groups(labels), strict=True)
    for name, key, label, groups in parts:
        if key is None:
            rows.append(Row(missing_record(name), label, groups))
        elif key in records:
            rows.append(Row(records[key], label, groups))
    return rows


def row_doubts(rows: Sequence[Row], config: CropConfig) -> dict[str, Doubts]:
    """Key → what is doubtful about the photo among all others; of several label rows the first groups it."""
    photos: dict[str, Row] = {}
    for row in rows:
        photos.setdefault(row.record.image, row)
    doubts = doubts_of_all(
        [row.record for row in photos.values()], [row.groups for row in photos.values()], config
    )
    return dict(zip(photos, doubts, strict=True))


def missing_record(name: str) -> Record:
    """The failed record of a label row that has no photo."""
    return Record(
        image=name,
        status="failed",
        reason="missing_file",
        stage="discover",
        error="no such photo in --in; add it, or leave it out of --labels",
    )


def write_table(
    folder: OutputFolder,
    rows: Sequence[Row],
    labels: Labels | None,
    config: CropConfig,
    doubts: Mapping[str, Doubts] | None = None,
) -> None:
    """Write audit.csv in one piece.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    # Before Python 3.13 a lone carriage return, which a file name may hold, is not quoted of itself.
    quoting_writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write_line(cells: Sequence[str]) -> None:
        (quoting_writer if any("\r" in cell for cell in cells) else writer).writerow(cells)

    for cells in table_cells(rows, labels, config, doubts):
        write_line(cells)
    folder.write(folder.layout.audit_csv, text.getvalue().encode(errors="backslashreplace"))


def table_cells(
    rows: Sequence[Row],
    labels: Labels | None,
    config: CropConfig,
    doubts: Mapping[str, Doubts] | None = None,
) -> Iterator[list[str]]:
    """The header, then the cells of each row: the label columns first, then ours.

    Args:
        rows: as `table_rows` gives them.
        labels: the label table, or None.
        config: the settings as resolved.
        doubts: what `row_doubts` says of these rows, where that is known already.
    """
    ours = our_columns(labels)
    label_columns = labels.columns if labels else []
    yield [_label_column(name, label_columns) for name in label_columns] + ours
    doubts = row_doubts(rows, config) if doubts is None else doubts
    for row in rows:
        cells = row_cells(row.record, config, doubts[row.record.image])
        yield [*row.label, *(cells[name] for name in ours)]


def our_columns(labels: Labels | None) -> list[str]:
    """Those after the label columns; `image` stays as the label file spells it: its owner joins on that."""
    return [name for name in COLUMNS if name != "image" or labels is None or "image" not in labels.columns]


def _label_column(name: str, label_columns: Sequence[str]) -> str:
    if name not in COLUMNS or name == "image":
        return name
    renamed = f"label_{name}"
    while renamed in label_columns:
        renamed = f"label_{renamed}"
    return renamed


def row_cells(record: Record, config: CropConfig, doubts: Doubts | None = None) -> dict[str, str]:
    """The cells of one row, as they stand in audit.csv; without `doubts`, what the record alone can tell."""
    doubts = doubts or doubts_of(record, config)
    return {
        "image": record.image,
        "crop": "" if record.status == "rejected" else record.crop,
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
    """Whole pixels that contain the box: floor of the left and top, ceil of the right and bottom."""
    if xyxy is None:
        return ""
    left, top, right, bottom = xyxy
    return f"{math.floor(left)} {math.floor(top)} {math.ceil(right)} {math.ceil(bottom)}"


def kept_labels(folder: OutputFolder) -> tuple[Labels | None, list[str | None]]:
    """The label table that a run kept, and its matches; (None, []) when it had none.

    Raises:
        UsageError: what was kept is damaged.
    """
    if not folder.layout.labels.exists():
        return None, []
    try:
        matching = json.loads(folder.layout.label_matches.read_bytes())
        labels = parse_labels(
            folder.layout.labels.read_bytes(), matching["key_column"], folder.layout.labels.name
        )
        matches: list[str | None] = matching["keys"]
        if len(matches) != len(labels.rows):
            raise ValueError(f"expected {len(labels.rows)} matches, got {len(matches)}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder.layout.shown_of(folder.layout.label_matches)} is damaged; give the "
            "`detic-crop run` command again"
        ) from error
    return labels, matches


def keep_labels(folder: OutputFolder, labels: Labels | None, matches: Sequence[str | None]) -> None:
    """Keep a copy of the label file, or forget an earlier one when there is none now."""
    if labels is None:
        folder.remove(folder.layout.labels)
        folder.remove(folder.layout.label_matches)
        return
    folder.write(folder.layout.labels, labels.data)
    matching = {"key_column": labels.key_column, "keys": list(matches)}
    folder.write(folder.layout.label_matches, json.dumps(matching).encode())


def flagged(rows: Sequence[Row], config: CropConfig) -> Iterator[Row]:
    """Rows with at least one flag that doubts a crop which nobody has reviewed."""
    return (
        row
        for row in rows
        if row.record.status == "cropped"
        and not row.record.verdict
        and not IMAGE_CHECKS.issuperset(flags_of(row.record, config))
    )
