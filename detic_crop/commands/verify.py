"""`detic-crop verify`: whether a folder is still as it was made, by its journal, its manifest, or both."""

from __future__ import annotations

import csv
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from detic_crop.columns import Texts
from detic_crop.commands.in_words import change_in_words
from detic_crop.commands.settings import PathLike
from detic_crop.commands.told import Told
from detic_crop.config import RunOptions
from detic_crop.errors import UsageError
from detic_crop.folder.check_documents import (
    check_documents,
    check_others,
    check_packed,
    check_rows,
    check_tables,
    left_to_do,
    lines_of,
)
from detic_crop.folder.folder import OutputFolder, open_folder
from detic_crop.folder.journal import Replay, replay
from detic_crop.folder.manifest import Entry, read_manifest
from detic_crop.folder.problem import Problem
from detic_crop.folder.records import Record, names_of
from detic_crop.folder.state import SavedListing
from detic_crop.folder.there import is_there
from detic_crop.folder.verdicts import latest_decisions, read_review
from detic_crop.folder.whereabouts import PASS_INPUT, locations_now, look_for_photos
from detic_crop.folder.write_errors import output_errors
from detic_crop.photos.keys import STATE
from detic_crop.photos.location import Location
from detic_crop.system.in_order import map_in_order
from detic_crop.system.machine import default_workers
from detic_crop.system.memory_budget import MemoryBudget
from detic_crop.wording import counted
from detic_crop.work.changes import changes_of
from detic_crop.work.check_files import FileCheck, Task
from detic_crop.work.progress import counting_bar

MOST_SHOWN = 20
"""Problems that `VerifyResult` holds."""

_REPORT_COLUMNS = ("problem", "name", "said")


@dataclass(slots=True, repr=False)
class VerifyResult(Told):
    """What `verify` found.

    Attributes:
        shown: the folder, as messages call it.
        photos: number of photos that the journal or the manifest has.
        photos_checked: number of those whose files were read.
        crops: number of crops that were read and decoded.
        by_journal: whether there was a journal to check by.
        by_manifest: whether there was a manifest to check by.
        kinds: kind of problem → how many there are; see `PROBLEMS` in `folder/problem.py`.
        problems: the first 20 of them.
        notes: sentences that a person should read; none of them is a problem.
        report: the file that holds all problems, as it was named; empty without one.
    """

    shown: str
    photos: int = 0
    photos_checked: int = 0
    crops: int = 0
    by_journal: bool = False
    by_manifest: bool = False
    kinds: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    report: str = ""

    @property
    def is_as_made(self) -> bool:
        """True if no problem was found."""
        return not self.kinds

    def lines(self, *, quiet: bool = False) -> list[str]:
        """Return the first problems, one on a line, and what was checked; `quiet`: problems only."""
        said = [str(problem) for problem in self.problems]
        count = self.kinds.total()
        if more := count - len(self.problems):
            where = f"{self.report} has all" if self.report else "--report FILE writes all"
            said.append(f"… and {counted(more, 'more problem')}; {where}")
        if quiet:
            return said
        by = " and ".join(["the journal"] * self.by_journal + ["manifest.csv"] * self.by_manifest)
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.kinds.most_common())
        found = f"{counted(count, 'problem')} ({kinds})" if count else "all as it was made"
        photos = f"{self.photos_checked:,} of {counted(self.photos, 'photo')}"
        checked = f"checked by {by}: {counted(self.crops, 'crop')}, {photos}"
        return [*said, *self.notes, f"{self.shown}: {found}; {checked}"]


def verify(
    output: PathLike,
    *,
    input: PathLike | None = None,
    photos: bool = True,
    report: PathLike | None = None,
    workers: int | None = None,
    memory: int | None = None,
    quiet: bool = False,
) -> VerifyResult:
    """Check that a folder is as it was made; nothing in it is changed.

    Every crop must be there with the size that the journal says, and be decodable; with manifest.csv its
    SHA-256 must be the same. Every photo must be the one that was cropped. Nothing else may lie among the
    crops that could be read as one. Journal, documents and tables must be as they were written, and verdicts
    be applied. In a folder without ``.detic-crop`` the manifest alone is gone by.

    Args:
        output: the output folder of a run, or any folder with a manifest.csv; or its address.
        input: where the photos are now, if they have moved.
        photos: check the photos, too; without a journal only those in `input` can be.
        report: a CSV file for all problems; an earlier report is replaced.
        workers: number of threads; None takes a number that fits the machine.
        memory: see `RunOptions`.
        quiet: no progress bar.

    Raises:
        UsageError: there is neither a journal nor a manifest, shards wait to be merged, none of the photos is
            in `input`, or something else is in the place of the report.
        OutputError: the folder cannot be read, or the report not be written.
    """
    options = RunOptions(workers=workers, memory=memory, quiet=quiet)
    with ExitStack() as opened:
        folder = opened.enter_context(open_folder(output))
        if is_there(folder.layout.root_state):
            folder.complete()
        has_journal = is_there(folder.layout.journal) or bool(folder.shards())
        if has_journal:
            folder.require_run()
        else:  # nothing says whether crops are in tar files, so each name does
            folder = opened.enter_context(open_folder(output, out_format="tar"))
        result = VerifyResult(
            folder.shown, by_journal=has_journal, report="" if report is None else os.fspath(report)
        )
        listed = _look_at_manifest(folder, result)
        if listed is None and not has_journal:
            raise UsageError(
                "nothing_to_verify_by",
                f"{folder.shown} has neither {STATE}/journal.jsonl nor a manifest.csv of detic-crop; "
                "pass the --out folder of a run, or a folder with both crops and manifest.csv",
            )
        add = opened.enter_context(_collecting(result, report))
        if has_journal:
            _by_journal(folder, result, listed, input, photos, options, add)
        else:
            assert listed is not None
            _by_manifest(folder, result, listed, input if photos else None, options, add)
    return result


_Add = Callable[[Iterable[Problem]], None]


@dataclass(slots=True)
class _Listed:
    """What a manifest names.

    Attributes:
        images: the photos, each once for rows one after another.
        crops: the crops.
        damaged: the first lines that cannot be read, and how many there are.
    """

    images: Texts = field(default_factory=Texts)
    crops: Texts = field(default_factory=Texts)
    damaged: list[int] = field(default_factory=list)


def _look_at_manifest(folder: OutputFolder, result: VerifyResult) -> _Listed | None:
    """Return what manifest.csv names; None where there is none, or one of somebody else."""
    found = _Listed()
    last = None
    try:
        for entry in _rows(folder):
            if isinstance(entry, int):
                found.damaged.append(entry)
                continue
            if entry.image != last:
                found.images.append(last := entry.image)
            if entry.crop:
                found.crops.append(entry.crop)
    except FileNotFoundError:
        return None
    except ValueError as error:
        result.notes.append(f"manifest.csv is not one of detic-crop: {error}; nothing is checked by it")
        return None
    result.by_manifest = True
    return found


def _rows(folder: OutputFolder) -> Iterator[Entry | int]:
    return read_manifest(lines_of(folder.read_parts(folder.layout.manifest)))


def _entries(folder: OutputFolder) -> Iterator[tuple[str, tuple[Entry, ...]]]:
    """Yield each photo of the manifest with its rows, if they follow one another."""
    entries = (entry for entry in _rows(folder) if isinstance(entry, Entry))
    for image, rows in groupby(entries, key=lambda entry: entry.image):
        yield image, tuple(rows)


def _by_journal(
    folder: OutputFolder,
    result: VerifyResult,
    listed: _Listed | None,
    input: PathLike | None,
    photos: bool,
    options: RunOptions,
    add: _Add,
) -> None:
    """Check a folder by its journal, and by its manifest if it has one."""
    state = replay(folder.layout.journal)
    records = state.records
    result.photos = len(records)
    if is_there(folder.layout.owner):
        result.notes.append(
            "a command is at work in this folder, or was killed; verify again when it has ended"
        )
    result.notes += left_to_do(folder, records)
    locations = _locations(folder, records, input, add) if photos else {}
    crops = Texts(
        name for record in records.values() if record.status != "rejected" for name in names_of(record)
    )
    add(check_documents(folder, state))
    add(check_packed(folder))
    add(check_tables(folder))
    add(check_rows(folder, records, crops))
    add(_verdicts_to_apply(folder, state))
    if listed is not None:
        add(_damaged_rows(listed))
    tasks = _recorded(folder, records, listed, locations, add)
    _check_files(folder, result, tasks, len(records), listed is not None, options, add)
    _others(folder, result, crops, add)


def _by_manifest(
    folder: OutputFolder,
    result: VerifyResult,
    listed: _Listed,
    input: PathLike | None,
    options: RunOptions,
    add: _Add,
) -> None:
    """Check a folder by its manifest alone."""
    result.photos = len(listed.images)
    locations: Mapping[str, Location] = {}
    if input is not None:
        locations = locations_now(SavedListing(), listed.images, input)
    add(_damaged_rows(listed))
    tasks = (Task(image, None, rows, locations.get(image)) for image, rows in _entries(folder))
    _check_files(folder, result, tasks, result.photos, True, options, add)
    _others(folder, result, listed.crops, add)


def _locations(
    folder: OutputFolder, records: Mapping[str, Record], input: PathLike | None, add: _Add
) -> Mapping[str, Location]:
    """Return key → where the photos are; nothing, and one problem, where none is there any more."""
    found = look_for_photos(folder, records, input)
    if 0 < found.photos == found.absent:
        place = f"{found.count} where the run found {'it' if found.photos == 1 else 'them'}"
        where = found.where or found.first
        add([Problem("photo_missing", where, f"{place}; {PASS_INPUT}, or --no-photos")])
        return {}
    return found.locations


def _verdicts_to_apply(folder: OutputFolder, state: Replay) -> Iterator[Problem]:
    """Yield the photos whose crops do not follow the last verdict."""
    decisions = latest_decisions(state.records, read_review(folder.layout.review).last)
    for change in changes_of(state.records, decisions, folder):
        said = change_in_words(change)
        yield Problem(
            "verdict", change.image, f"{said}: not applied yet; run: detic-crop apply {folder.layout.quoted}"
        )


def _damaged_rows(listed: _Listed) -> Iterator[Problem]:
    for line in listed.damaged:
        said = "it is no row of a manifest, or was changed; write it again: detic-crop audit --manifest"
        yield Problem("manifest", f"manifest.csv, line {line:,}", said)


def _recorded(
    folder: OutputFolder,
    records: Mapping[str, Record],
    listed: _Listed | None,
    locations: Mapping[str, Location],
    add: _Add,
) -> Iterator[Task]:
    """Yield the photos of the journal: those of the manifest in its order, then the others."""
    if listed is not None:
        for image, rows in _entries(folder):
            record = records.get(image)
            if record is not None:
                yield Task(image, record, rows, locations.get(image))
            elif any(row.crop or row.photo for row in rows):  # else a label row without a photo
                said = "the journal has no such photo; write manifest.csv again: detic-crop audit --manifest"
                add([Problem("manifest", image, said)])
    for key, record in records.items():
        if listed is None or key not in listed.images:
            yield Task(key, record, (), locations.get(key))


def _check_files(
    folder: OutputFolder,
    result: VerifyResult,
    tasks: Iterable[Task],
    count: int,
    with_manifest: bool,
    options: RunOptions,
    add: _Add,
) -> None:
    """Check the crops and photos, a few at a time."""
    check = FileCheck(folder, with_manifest, MemoryBudget.of_machine(options.memory))
    threads = options.workers or default_workers()
    with (
        counting_bar(count, "verifying", options.quiet) as step,
        closing(map_in_order(check, tasks, threads)) as checked,
    ):
        for problems, crops, photos in checked:
            add(problems)
            result.crops += crops
            result.photos_checked += photos
            step()


def _others(folder: OutputFolder, result: VerifyResult, crops: Texts, add: _Add) -> None:
    """Look for what lies among the crops and is none."""
    problems, others = check_others(folder, crops)
    add(problems)
    if others:
        result.notes.append(
            f"not ours, but nothing that is read as a crop: {len(others):,} (the first: {others[0]})"
        )


# ------------------------------------------------------------ what was found


@contextmanager
def _collecting(result: VerifyResult, report: PathLike | None) -> Iterator[_Add]:
    """Yield what takes problems: all are counted, the first are kept, and all go to the report."""
    with ExitStack() as opened:
        write = None if report is None else opened.enter_context(_writing_report(report))

        def add(problems: Iterable[Problem]) -> None:
            for problem in problems:
                result.kinds[problem.kind] += 1
                if len(result.problems) < MOST_SHOWN:
                    result.problems.append(problem)
                if write is not None:
                    write(problem)

        yield add


@contextmanager
def _writing_report(report: PathLike) -> Iterator[Callable[[Problem], object]]:
    """Yield what writes a problem; the file is in its place once all is written.

    Raises:
        UsageError: there is no such folder, or something else is in its place.
        OutputError: it cannot be written.
    """
    path = Path(os.path.realpath(os.path.expanduser(report)))
    if not path.parent.is_dir():
        raise UsageError(
            "no_folder_for_report",
            f"--report {path}: there is no folder {path.parent}; make it, or pass another file",
        )
    if os.path.lexists(path) and not _is_report(path):
        raise UsageError(
            "not_a_report",
            f"--report {path} exists and was not written by `detic-crop verify`, so it is left as it is; "
            "pass another file",
        )
    with output_errors(str(path)):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(descriptor, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(_REPORT_COLUMNS)
                yield writer.writerow
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise


def _is_report(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.readline(100) == ",".join(_REPORT_COLUMNS).encode() + b"\n"
    except OSError:
        return False
