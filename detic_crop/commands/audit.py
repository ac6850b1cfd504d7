"""`detic-crop audit`: the tables of a folder, from its journal."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from detic_crop.commands.result import RunResult
from detic_crop.commands.settings import PathLike, require_finished
from detic_crop.commands.tables import sample_of, write_report
from detic_crop.config import RunOptions
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder, open_folder
from detic_crop.folder.journal import replay
from detic_crop.folder.state import load_table_settings, save_sample, save_table_settings
from detic_crop.folder.whereabouts import PASS_INPUT, look_for_photos
from detic_crop.report.margin import check_margin, needed_for
from detic_crop.report.meetings import check_encounter
from detic_crop.report.metadata_columns import NUMBERS
from detic_crop.report.model import Audit
from detic_crop.report.more_columns import CropCount
from detic_crop.report.sample import detected_records, draw, strata_in
from detic_crop.report.splitting import FoldColumn
from detic_crop.report.table import BOX_COLUMNS, NUMBER_COLUMNS
from detic_crop.report.workbook import check_workbook
from detic_crop.stores.addresses import is_address, join, redact
from detic_crop.stores.store import store_of
from detic_crop.wording import counted

if TYPE_CHECKING:
    import pandas as pd

_FURTHER_NUMBERS = (*CropCount.numbers, *NUMBERS, *FoldColumn.numbers)
"""Columns that only some tables have."""


def write_audit(
    output: PathLike,
    *,
    input: PathLike | None = None,
    sample: int | None = None,
    seed: int | None = None,
    xlsx: bool = False,
    manifest: bool = False,
    csv_safe: bool | None = None,
    encounter: str | None = None,
    margin: float | None = None,
) -> RunResult:
    """Rebuild audit.csv and audit.html of a folder; of a sample estimate.json and datacard.md, too.

    Photos that are no longer where the run found them keep the pictures that audit.html has of them.

    Args:
        output: the output folder of a run, or its address.
        input: where the photos are now, if they have moved.
        sample: size of a stratified random sample to draw for review; a larger one adds to an
            earlier one, and no verdict is ever lost.
        seed: seed of the random numbers; None keeps that of an earlier sample, else takes 0.
        xlsx: write audit.xlsx, too.
        manifest: write manifest.csv, too, by which `verify` finds any change of a photo or crop.
        csv_safe: write a ``'`` before cells of audit.csv that a spreadsheet would take for formulas, now and
            whenever the table is written again; False no longer does so, None does as before.
        encounter: what makes an encounter, for the columns ``encounter`` and ``burst``, now and whenever the
            tables are written again: ``folder``, ``gap:30min``, a column of the labels, or ``none`` for no
            such columns; None does as before.
        margin: also say how many photos to draw, so that the 95 % interval of the share of right crops is at
            most so many percentage points to either side.

    Raises:
        UsageError: the folder has no journal, none of its photos is in `input`, or a sample or workbook
            cannot be made of it.
        OutputError: it cannot be written or is in use.
    """
    if seed is not None and sample is None:
        raise UsageError("seed_without_sample", "--seed belongs to --sample; pass --sample N, too, e.g. 200")
    encounter = RunOptions(encounter=encounter).encounter  # as a run checks and spells it
    with open_folder(output) as folder:
        return rebuild_tables(
            folder,
            input,
            sample,
            seed,
            xlsx,
            csv_safe=csv_safe,
            encounter=encounter,
            manifest=manifest,
            margin=margin,
        )


def rebuild_tables(
    folder: OutputFolder,
    input: PathLike | None = None,
    sample: int | None = None,
    seed: int | None = None,
    xlsx: bool = False,
    advice: str = PASS_INPUT,
    csv_safe: bool | None = None,
    encounter: str | None = None,
    manifest: bool = False,
    margin: float | None = None,
) -> RunResult:
    """Hold a folder and rebuild its tables; see `write_audit`.

    Whatever is refused is refused before anything is written. `advice` says what to do about photos that have
    moved.
    """
    folder.require_run()
    with folder.locked():
        state = replay(folder.layout.journal)
        config = require_finished(state.config, folder.shown)
        result = RunResult(folder, config)
        result.notes += state.sentences()
        whereabouts = look_for_photos(folder, state.records, input)
        audit = Audit.of(folder, state.records, config, whereabouts)
        if xlsx:
            check_workbook(audit)
        check_encounter(encounter, audit.labels)
        if margin is not None:
            check_margin(margin)
        save_table_settings(folder, load_table_settings(folder).changed(csv_safe, encounter))
        if sample is not None:
            _draw_sample(result, audit, sample, seed)
        write_report(result, audit, advice, xlsx=xlsx, manifest=state.records if manifest else None)
        if margin is not None:
            _say_how_many(result, audit, margin)
    return result


def _say_how_many(result: RunResult, audit: Audit, margin: float) -> None:
    """Note how many photos to draw for an interval of some percentage points to either side."""
    folder, known = result.folder, result.estimate
    detected = detected_records(folder, audit.photos.records(), audit.config)
    sizes = {name: len(keys) for name, keys in strata_in(detected, audit.config).items()}
    needed = needed_for(margin, sizes, known.strata if known else ())
    drawn, left = (known.drawn, known.left) if known else (0, 0)
    result.notes += needed.sentences(folder.layout.quoted, drawn, drawn - left)


def _draw_sample(result: RunResult, audit: Audit, size: int, seed: int | None) -> None:
    """Draw a sample, and note what that did to an earlier one."""
    folder = result.folder
    before = sample_of(result)
    if seed is None:
        seed = before[0].seed if before else 0
    detected = detected_records(folder, audit.photos.records(), audit.config)
    sample = draw(detected, audit.config, size, seed)
    save_sample(folder, sample)
    new = {drawn.image for drawn in sample}.difference(drawn.image for drawn in before)
    dropped = len(before) + len(new) - len(sample)
    result.notes.append(
        f"sample: {counted(len(sample), 'photo')} drawn with seed {seed}"
        + (f", {len(new)} new, {dropped} of the earlier sample not in it" if before else "")
        + "; every verdict is kept"
    )


def read_audit(output: PathLike) -> pd.DataFrame:
    """Return audit.csv as a DataFrame: numbers, boxes as lists of four ints or None, all else as text.

    Args:
        output: the output folder of a run, or its address.

    Raises:
        UsageError: there is no audit.csv.
    """
    import pandas as pd

    # As text first: a photo named `NA` and an individual `007` must stay what they are.
    table = pd.read_csv(_audit_csv(output), dtype=str, keep_default_na=False)
    names = list(table.columns)
    further = names[names.index("error") + 1 :]  # before it there may be a label column of that name
    for column in (*NUMBER_COLUMNS, *(name for name in further if name in _FURTHER_NUMBERS)):
        table[column] = pd.to_numeric(table[column].replace("", None))
    for column in BOX_COLUMNS:
        boxes = [list(map(int, text.split())) if text else None for text in table[column]]
        table[column] = pd.Series(boxes, index=table.index, dtype=object)
    return table


def _audit_csv(output: PathLike) -> Path | BytesIO:
    if not is_address(os.fspath(output)):
        path = Path(output) / "audit.csv"
        if path.is_file():
            return path
        raise UsageError("no_audit_csv", f"{path} does not exist; pass the --out folder of a detic-crop run")
    address = join(os.fspath(output), "audit.csv")
    try:
        return BytesIO(store_of(address).read(address))
    except OSError as error:
        raise UsageError(
            "no_audit_csv",
            f"{redact(address)} cannot be read: {error.strerror}; pass the --out of a detic-crop run",
        ) from error
