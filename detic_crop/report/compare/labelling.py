"""The group of each photo of a comparison, by a label column or its folder."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from detic_crop.columns import Column, as_numpy
from detic_crop.errors import UsageError
from detic_crop.report.compare.numbers import Labelling
from detic_crop.report.compare.sides import Side
from detic_crop.report.groups import SPECIES_COLUMNS, column_named, find_column

FOLDER = "folder"
"""Value of ``--label`` that takes the photo's folder."""


def labelling_of(keys: Column, sides: Iterable[Side], asked: str | None) -> Labelling | None:
    """Return the groups of the photos; None where nothing was asked for and no side knows the species.

    Args:
        keys: the photos.
        sides: A, B and the truth; the first that has the column counts.
        asked: value of ``--label``; None takes a column that is usually called so.

    Raises:
        UsageError: no side has such a column.
    """
    if asked == FOLDER:
        return _labelling(asked, keys, (key.rpartition("/")[0] or "." for key in keys))
    for side in sides:
        if side.labels is None:
            continue
        table = side.labels.table
        if asked is None:
            column = find_column(table.columns, SPECIES_COLUMNS)
        else:
            column = column_named(table, asked, f"--label {asked}")
        if column is None:
            continue
        of_name: dict[str, str] = {}
        for row, key in zip(table.rows, side.labels.matches, strict=True):
            if key is not None:
                of_name.setdefault(key, row[column].strip())
        names = (side.own_name(key) for key in keys)
        return _labelling(
            table.columns[column], keys, (None if name is None else of_name.get(name) for name in names)
        )
    if asked is not None:
        raise UsageError(
            "no_such_column",
            f"--label {asked} needs a label table with a column {asked!r}, and neither A nor B is a folder "
            "with labels; pass --labels CSV to `detic-crop run`",
        )
    return None


def _labelling(by: str, keys: Column, values: Iterable[str | None]) -> Labelling:
    codes, names = array("i"), dict[str, int]()
    for value in values:
        codes.append(-1 if value is None else names.setdefault(value, len(names)))
    return Labelling(by, as_numpy(codes), tuple(names))
