"""Write the tables of a folder from its records."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from detic_crop.commands.meetings import look_for_meetings
from detic_crop.commands.paper import write_paper
from detic_crop.commands.result import RunResult
from detic_crop.commands.run_json import made_by
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.folds_file import load_folds
from detic_crop.folder.records import Record
from detic_crop.folder.second_review import read_second_review
from detic_crop.folder.state import Drawn, load_sample, load_table_settings
from detic_crop.folder.times_file import Times, load_times, save_times
from detic_crop.folder.whereabouts import PASS_INPUT, Whereabouts, look_for_photos
from detic_crop.report.agreement import agreements
from detic_crop.report.estimate import estimate
from detic_crop.report.html.page import write_page
from detic_crop.report.manifest import write_manifest
from detic_crop.report.meetings import NO_ENCOUNTERS
from detic_crop.report.model import Audit
from detic_crop.report.more_columns import MoreColumns
from detic_crop.report.sample import detected_records
from detic_crop.report.sheet import MostSuspicious, crops_to_show
from detic_crop.report.splitting import FoldColumn
from detic_crop.report.table import write_table
from detic_crop.report.workbook import write_workbook
from detic_crop.system.memory_budget import MemoryBudget
from detic_crop.wording import counted
from detic_crop.work.progress import counting_bar

RUN_AUDIT = "run `detic-crop audit` with --in FOLDER, where they are now"
"""Advice about photos that have moved, of commands that do not take ``--in`` for them."""


_MOST_SHOWN = 12
"""Crops that a notebook shows of a result."""


def write_tables(
    result: RunResult, records: Mapping[str, Record], whereabouts: Whereabouts | None = None
) -> None:
    """Write audit.csv and audit.html at the end of a command.

    Args:
        result: counts and notes are added.
        records: last record of each photo, by key.
        whereabouts: where the photos are, if the command takes ``--in`` for photos that have moved.
    """
    advice = PASS_INPUT
    if whereabouts is None:
        advice, whereabouts = RUN_AUDIT, look_for_photos(result.folder, records)
    write_report(result, Audit.of(result.folder, records, result.config, whereabouts), advice)


def write_report(
    result: RunResult,
    audit: Audit,
    advice: str,
    *,
    xlsx: bool = False,
    manifest: Mapping[str, Record] | None = None,
) -> None:
    """Write the tables of an audit, and add its numbers and what a person should know to the result.

    Args:
        result: counts and notes are added.
        audit: what the tables show.
        advice: what to do about photos that have moved, `PASS_INPUT` or `RUN_AUDIT`.
        xlsx: write audit.xlsx, too.
        manifest: write manifest.csv of these records, too.
    """
    folder = result.folder
    so = "audit.html keeps the pictures that it has of them already"
    result.notes[:0] = audit.whereabouts.sentences(so, advice)
    result.notes += [sentence for sentence in audit.damage if sentence not in result.notes]
    sample = sample_of(result)
    if sample:
        audit = _with_estimate(result, audit, sample)
    audit, times = with_further_columns(folder, audit, result.notes)
    if times is not None:
        save_times(folder, times)
    write_table(folder, audit, safe=load_table_settings(folder).csv_safe)
    write_page(folder, audit, made_by(result), load_times(folder), MemoryBudget.of_machine(result.memory))
    if xlsx:
        result.notes += write_workbook(folder, audit)
    elif folder.exists(folder.layout.audit_xlsx):
        result.notes.append(
            "audit.xlsx is older than this table; `detic-crop audit` with --xlsx writes a new one"
        )
    result.notes += _manifest(result, audit, manifest)
    result.flagged = 0
    worst = MostSuspicious(_MOST_SHOWN)
    result.count(_looked_at(result, audit, worst))
    result.most_suspicious = crops_to_show(worst.photos, audit, _MOST_SHOWN)
    write_paper(result, audit, sample)
    if audit.labels is not None and len(audit.rows) < len(audit.labels.rows):
        result.notes.append(
            f"audit.csv has {len(audit.rows):,} of {counted(len(audit.labels.rows), 'label row')} so far; "
            "it follows the table row by row once all are done"
        )


def _with_estimate(result: RunResult, audit: Audit, sample: Sequence[Drawn]) -> Audit:
    """Add what the sample says to the result; return the audit with it."""
    folder = result.folder
    current = audit.photos.records()
    detected = detected_records(folder, current, result.config)
    result.estimate = estimate(sample, detected, current, audit.verdicts)
    second = read_second_review(folder.layout.second_review)
    result.notes += second.damage.sentences(folder.layout.shown_of(folder.layout.second_review))
    result.agreements = agreements(sample, detected, audit.verdicts, second, result.config)
    return dataclasses.replace(audit, estimate=result.estimate, agreements=result.agreements)


def _manifest(result: RunResult, audit: Audit, records: Mapping[str, Record] | None) -> list[str]:
    """Write manifest.csv if there are records for it; return what a person should know of it."""
    folder = result.folder
    if records is not None:
        with counting_bar(len(records), "hashing", quiet=False) as step:
            return write_manifest(folder, audit, records, step)
    return note_older_manifest(folder) if result.done else []


def note_older_manifest(folder: OutputFolder) -> list[str]:
    """Return what a person should know of a manifest where crops may be others now; nothing without one."""
    if not folder.exists(folder.layout.manifest):
        return []
    return ["manifest.csv is older than these crops; `detic-crop audit` with --manifest writes a new one"]


def with_further_columns(folder: OutputFolder, audit: Audit, notes: list[str]) -> tuple[Audit, Times | None]:
    """Return an audit with encounters and folds, where they were asked for, and times to be saved.

    Args:
        folder: the output folder.
        audit: what the tables show.
        notes: sentences that a person should read are added.
    """
    more: list[MoreColumns] = []
    times = None
    how = load_table_settings(folder).encounter
    if how != NO_ENCOUNTERS:
        try:
            meetings, times = look_for_meetings(folder, audit, how, quiet=True)
        except UsageError as error:  # other labels than when it was asked for: no reason to lose the tables
            notes.append(f"no encounters: {error.message}")
        else:
            notes += meetings.notes
            more.append(meetings)
    try:
        saved = load_folds(folder)
    except UsageError as error:
        notes.append(error.message)
        saved = None
    if saved is not None:
        column = FoldColumn(saved)
        notes += column.notes(audit.photos.records())
        more.append(column)
    return dataclasses.replace(audit, more=[*audit.more, *more]), times


def _looked_at(result: RunResult, audit: Audit, worst: MostSuspicious) -> Iterator[Record]:
    """Yield the records of the photos, which are read once through; flagged ones are counted meanwhile."""
    for photo in audit.photos.in_order():
        result.flagged += photo.is_flagged
        if photo.is_crop:
            worst.add(photo)
        yield photo.record


def sample_of(result: RunResult) -> list[Drawn]:
    """Return the sample as drawn; a damaged file is worth a note, not the tables of a long run."""
    try:
        return load_sample(result.folder)
    except UsageError as error:
        result.notes.append(error.message)
        return []
