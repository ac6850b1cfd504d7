"""The tables of a folder, written from its records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from detic_crop.commands.result import RunResult, count_statuses
from detic_crop.commands.settings import PathLike
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.listing import paths_now, read_listing
from detic_crop.folder.records import Record
from detic_crop.folder.verdicts import standing_verdicts
from detic_crop.photos import location as places
from detic_crop.photos.labels import Labels
from detic_crop.report.absent import Absent, absent_among
from detic_crop.report.estimate import estimate
from detic_crop.report.html.page import write_report
from detic_crop.report.sample import Drawn, detected_records, read_sample
from detic_crop.report.table import Row, flagged, kept_labels, row_doubts, table_rows, write_table
from detic_crop.report.workbook import write_workbook
from detic_crop.system.collecting import collector_paused
from detic_crop.wording import counted


def audit_rows(folder: OutputFolder, records: Mapping[str, Record]) -> tuple[list[Row], Labels | None]:
    """The rows of audit.csv, and the labels that they follow."""
    labels, matches = kept_labels(folder)
    return table_rows(records, read_listing(folder)["keys"], labels, matches), labels


class _Found(NamedTuple):
    """Where the photos of a folder are: key → place, and which of them are not there."""

    paths: Mapping[str, str]
    absent: Absent


def look_for_photos(
    folder: OutputFolder, records: Mapping[str, Record], input: PathLike | None = None
) -> _Found:
    """Where the photos were at the time of the run, or below `input`.

    Raises:
        UsageError: `input` has none of them.
    """
    listing = read_listing(folder)
    paths = paths_now(listing, list(records), input)
    if input is None:  # as far as they were found in this call
        paths |= {key: place for key, place in folder.secret_places.items() if key in paths}
    where = str(listing["root"]) if input is None else places.given(input)
    absent = absent_among(records, paths, where, given=input is not None)
    absent.refuse_all()
    return _Found(paths, absent)


def write_tables(
    result: RunResult, records: Mapping[str, Record], xlsx: bool = False, found: _Found | None = None
) -> None:
    """Write the tables; `found` of commands that take ``--in`` for photos that have moved."""
    with collector_paused():
        todo = "pass" if found else "give `detic-crop audit` with"
        found = found or look_for_photos(result.folder, records)
        so = "audit.html keeps the pictures that it has of them already"
        result.notes[:0] = found.absent.sentences(so, f"{todo} --in FOLDER, where they are now")
        _write_all_tables(result, records, xlsx, found)


def _write_all_tables(result: RunResult, records: Mapping[str, Record], xlsx: bool, found: _Found) -> None:
    folder = result.folder
    rows, labels = audit_rows(folder, records)
    photos = {row.record.image: row for row in rows}  # labels may have several rows for one
    verdicts = standing_verdicts(folder.layout.review, records)
    if sample := sample_of(result):
        result.estimate = estimate(sample, detected_records(folder, photos), records, verdicts)
    doubts = row_doubts(rows, result.config)
    write_table(folder, rows, labels, result.config, doubts)
    write_report(
        folder,
        rows,
        labels,
        result.config,
        verdicts,
        result.estimate,
        doubts,
        paths=found.paths,
        absent=found.absent,
    )
    if xlsx:
        result.notes += write_workbook(folder, rows, labels, result.config, found.paths)
    elif folder.has_workbook():
        result.notes.append(
            "audit.xlsx is older than this table; `detic-crop audit` with --xlsx writes it anew"
        )
    count_statuses(result, [row.record for row in photos.values()])
    result.flagged = sum(1 for _ in flagged(list(photos.values()), result.config))
    if labels is not None and len(rows) < len(labels.rows):
        result.notes.append(
            f"audit.csv has {len(rows):,} of {counted(len(labels.rows), 'label row')} so far; "
            "it follows the table row by row once all are done"
        )


def sample_of(result: RunResult) -> list[Drawn]:
    """The sample as drawn; a damaged file is worth a note, not the tables of a long run."""
    try:
        return read_sample(result.folder)
    except UsageError as error:
        result.notes.append(str(error))
        return []
