"""Whether what a folder holds beside its crops is as it was written: journal, documents and tables."""

from __future__ import annotations

import csv
from collections.abc import Callable, Container, Iterable, Iterator, Mapping

from detic_crop.errors import UsageError
from detic_crop.folder.animals import main_crop
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.folds_file import load_folds
from detic_crop.folder.journal import Replay, read_candidates
from detic_crop.folder.problem import Problem
from detic_crop.folder.records import Record
from detic_crop.folder.state import load_labels, load_listing, load_sample
from detic_crop.folder.tables import Stamp
from detic_crop.folder.verdicts import read_review
from detic_crop.photos.keys import STATE
from detic_crop.photos.photo import is_photo_name
from detic_crop.wording import counted

_AUDIT = "run: detic-crop audit"


def check_documents(folder: OutputFolder, state: Replay) -> Iterator[Problem]:
    """Yield what is wrong with the files of `.detic-crop`.

    Args:
        folder: the output folder.
        state: what its journal says.
    """
    layout = folder.layout
    if state.ignored:
        name = layout.name_of(layout.journal)
        yield Problem("journal", name, f"damaged lines: {state.ignored:,}; run the `run` command again")
    yield from _check_boxes(folder, state.records)
    loaders: list[Callable[[OutputFolder], object]] = [load_listing, load_labels, load_sample, load_folds]
    for load in loaders:
        try:
            load(folder)
        except UsageError as error:
            yield Problem("state", STATE, error.message)
    for path in (layout.review, layout.second_review):
        for sentence in read_review(path).sentences(layout.shown_of(path)):
            yield Problem("state", layout.name_of(path), sentence)


def _check_boxes(folder: OutputFolder, records: Mapping[str, Record]) -> Iterator[Problem]:
    """Yield the photos whose kept boxes are damaged: they cannot be cropped again."""
    path = folder.layout.candidates
    try:
        file = open(path, "rb")  # noqa: SIM115
    except FileNotFoundError:
        said = "it is gone: no photo can be cropped again"
        yield Problem("journal", folder.layout.name_of(path), said)
        return
    with file:
        for key, record in records.items():
            if record.candidates is None or record.status == "failed":
                continue
            try:
                read_candidates(file, record)
            except ValueError as error:
                yield Problem("journal", key, f"its boxes in candidates.jsonl are damaged: {error}")


def check_packed(folder: OutputFolder) -> Iterator[Problem]:
    """Yield what waits to be packed, as after a kill."""
    if waiting := folder.crops.waiting():
        name = folder.layout.name_of(folder.layout.pending)
        said = f"crops wait to be packed into tar files: {waiting:,}; run the same command again"
        yield Problem("unfinished", name, said)


def left_to_do(folder: OutputFolder, records: Mapping[str, Record]) -> list[str]:
    """Return what a person should know of photos without a record; with labels, of those that rows name."""
    try:
        matches = load_labels(folder)[1] if has_labels(folder) else None
        keys = load_listing(folder).keys
    except UsageError:  # which is told as a damaged file
        return []
    wanted = keys if matches is None else (key for key in matches if key is not None)
    count, first = 0, ""
    for key in wanted:
        if key not in records:
            count, first = count + 1, first or key
    if not count:
        return []
    return [
        f"photos that are not done: {count:,} (the first: {first}), as after --limit or a kill; the same "
        "`detic-crop run` command does them"
    ]


def check_tables(folder: OutputFolder) -> Iterator[Problem]:
    """Yield the files for people that are not as they were written."""
    layout = folder.layout
    try:
        written = folder.tables.written()
    except ValueError:
        yield Problem("state", layout.name_of(layout.written), f"it is damaged; {_AUDIT}")
        return
    for path in layout.for_people:
        try:
            here = Stamp.of(folder.read_parts(path))
        except FileNotFoundError:
            if path in (layout.audit_csv, layout.audit_html):
                yield Problem("table", path.name, f"it is missing; {_AUDIT}")
            continue
        if written is None or (path in layout.occasional_tables and path.name not in written):
            continue  # of an earlier version, or made by somebody else
        if here not in written.get(path.name, ()):
            kept = f"{path.stem}.edited{path.suffix}"
            yield Problem(
                "table",
                path.name,
                f"it was changed since it was written; the command that writes it again keeps it as {kept}",
            )


def check_rows(
    folder: OutputFolder, records: Mapping[str, Record], crops: Container[str]
) -> Iterator[Problem]:
    """Yield whether audit.csv shows other crops than the journal has, as after a kill.

    Args:
        folder: the output folder.
        records: last record of each photo, by key.
        crops: the crops of the records that are in their places.
    """
    rows = shown = strange = 0
    first = ""
    try:
        reader = csv.reader(lines_of(folder.read_parts(folder.layout.audit_csv)), strict=True)
        header = next(reader, [])
        column = header.index("crop")  # a label column of that name has another here
        for cells in reader:
            rows += 1
            crop = cells[column]
            if crop and crop not in crops and crop.removeprefix("'") not in crops:
                strange, first = strange + 1, first or crop
            shown += bool(crop)
    except FileNotFoundError:
        return  # which is told as a missing table
    except (csv.Error, ValueError, IndexError):
        yield Problem("table", folder.layout.audit_csv.name, f"it cannot be read; {_AUDIT}")
        return
    name = folder.layout.audit_csv.name
    if strange:
        said = f"it names {counted(strange, 'crop')} that the journal does not have (the first: {first})"
        yield Problem("table", name, f"{said}; {_AUDIT}")
        return
    if has_labels(folder):  # which decide what is shown
        return
    there = sum(bool(main_crop(record)) for record in records.values() if record.status != "rejected")
    if (rows, shown) != (len(records), there):
        got = f"got {counted(rows, 'row')} with {counted(shown, 'crop')}"
        expected = f"expected {counted(len(records), 'row')} with {counted(there, 'crop')}"
        yield Problem("table", name, f"{expected}, {got}; {_AUDIT}")


def has_labels(folder: OutputFolder) -> bool:
    """Return whether the rows of audit.csv follow a label table, which may leave photos out."""
    return folder.exists(folder.layout.labels)


def lines_of(parts: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a text in UTF-8, with their ends; only a line feed ends one."""
    begun = b""
    for part in parts:
        whole, feed, rest = (begun + part).rpartition(b"\n")
        begun = rest
        if feed:
            for line in whole.split(b"\n"):
                yield line.decode("utf-8", "replace") + "\n"
    if begun:
        yield begun.decode("utf-8", "replace")


def check_others(folder: OutputFolder, crops: Container[str]) -> tuple[list[Problem], list[str]]:
    """Return pictures and tar files of others among the crops, then what else is not ours, both in order.

    Args:
        folder: the folder with the crops.
        crops: the crops that are known.
    """
    ours = {path.name for path in folder.layout.for_people}
    problems, others = [], []
    for file, _ in folder.mirror.files():
        if file in ours or file in crops:
            continue
        for name in folder.crops.names_in(file) or [file]:
            if name in crops:
                continue
            if is_photo_name(name) or name.endswith(".tar"):
                said = "it is none of the crops, but may be read as one; move it away"
                problems.append(Problem("not_ours", name, said))
            else:
                others.append(name)
    return sorted(problems), sorted(others)
