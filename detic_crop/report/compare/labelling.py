"""The group of each photo of a comparison, by a label column or its folder."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from detic_crop.columns import Column, as_numpy
from detic_crop.errors import UsageError
from detic_crop.photos.labels import Labels, columns_named
from detic_crop.report.compare.numbers import Labelling
from detic_crop.report.compare.sides import LabelsOfSide, Side
from detic_crop.report.groups import SPECIES_COLUMNS, column_named, find_column

FOLDER = "folder"
"""Value of ``--label`` that takes the photo's folder."""


def labelling_of(keys: Column, sides: Sequence[Side], asked: str | None) -> Labelling | None:
    """Return the groups of the photos; None where nothing was asked for and no side knows the species.

    Args:
        keys: the photos.
        sides: A, B and the truth; the first that has the column counts.
        asked: value of ``--label``; None takes a column that is usually called so.

    Raises:
        UsageError: no side has such a column.
    """
    if asked == FOLDER:
        codes = array("i")
        names = dict[str, int]()
        for key in keys:
            codes.append(names.setdefault(key.rpartition("/")[0] or ".", len(names)))
        return Labelling(FOLDER, as_numpy(codes), tuple(names))
    labelled = [(side, side.labels) for side in sides if side.labels is not None]
    for side, labels in labelled:
        column = _column(labels.table, asked)
        if column is not None:
            return _by_column(keys, side, labels, column)
    if asked is None:
        return None
    if labelled:
        column_named(labelled[0][1].table, asked, f"--label {asked}")  # says what there is
    raise UsageError(
        "no_such_column",
        f"--label {asked} needs a label table with a column {asked!r}, and neither A nor B is a folder "
        "with labels; pass --labels CSV to `detic-crop run`",
    )


def _column(table: Labels, asked: str | None) -> int | None:
    """Return the index of the column to group by; None where the table has none."""
    if asked is None:
        return find_column(table.columns, SPECIES_COLUMNS)
    named = columns_named(table.columns, asked)
    if asked in table.columns:
        return table.columns.index(asked)
    return named[0] if len(named) == 1 else None


def _by_column(keys: Column, side: Side, labels: LabelsOfSide, column: int) -> Labelling:
    """Return the groups that a label column makes; of several rows of a photo the first counts."""
    codes, names = np.full(len(keys), -1, np.int32), dict[str, int]()
    for row, name in zip(labels.table.rows, labels.matches, strict=True):
        place = None if name is None else keys.find(side.key_of(name))
        if place is not None and codes[place] < 0:
            codes[place] = names.setdefault(row[column].strip(), len(names))
    return Labelling(labels.table.columns[column], codes, tuple(names))
