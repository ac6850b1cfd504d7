"""Which photos are alike by their labels: same individual, same species, same encounter."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from detic_crop.errors import UsageError
from detic_crop.photos.labels import Labels, columns_named

SPECIES_COLUMNS = ("species", "scientific_name", "common_name", "taxon", "category", "class", "label")
INDIVIDUAL_COLUMNS = ("individual_id", "individual", "identity", "animal_id")
ENCOUNTER_COLUMNS = (
    *("encounter", "encounter_id", "sighting", "sighting_id", "occurrence", "occurrence_id"),
    *("survey", "survey_id", "outing", "trip"),
)

PANDAS_MISSING = frozenset({"", "na", "n/a", "nan", "-nan", "none", "null", "<na>", "#n/a", "#na"})
"""What pandas reads as missing, in small letters."""

_NOBODY = PANDAS_MISSING | {"-", "?", "unknown", "unidentified", "unk", "new_individual", "new_whale"}
"""The last two stand for strangers in Kaggle's contests."""


def individual_named(cell: str) -> str:
    """Return the individual that a cell of the labels names, as it is spelled; empty if nobody knows it."""
    name = cell.strip()
    return "" if name.casefold() in _NOBODY else name


def find_column(columns: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Return the index of the first `wanted` name that is a column, in any case; None if none is."""
    names = [name.strip().lower().replace(" ", "_") for name in columns]
    return next((names.index(name) for name in wanted if name in names), None)


def column_named(labels: Labels | None, name: str, option: str) -> int:
    """Return the index of the label column of that name: as it is spelled, else in any case, if that is one.

    Args:
        labels: the label table; None without one.
        name: what was asked for.
        option: the option and its value, for the message.

    Raises:
        UsageError: there is none; names those that there are.
    """
    if labels is None:
        raise UsageError(
            "no_such_column",
            f"{option} needs a label table with a column {name!r}, and this folder has no labels; pass "
            "--labels CSV to `detic-crop run`",
        )
    if name in labels.columns:
        return labels.columns.index(name)
    like = columns_named(labels.columns, name)
    if len(like) != 1:
        why = "has several columns" if like else "has no column"
        raise UsageError(
            "no_such_column", f"{option}: the label table {why} {name!r}; it has {', '.join(labels.columns)}"
        )
    return like[0]


def label_groups(labels: Labels) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """Return what turns the cells of a row into its groups, the narrowest first; empty cells are skipped."""
    found = [
        (kind, find_column(labels.columns, wanted))
        for kind, wanted in (("individual", INDIVIDUAL_COLUMNS), ("species", SPECIES_COLUMNS))
    ]
    columns = [(kind, column) for kind, column in found if column is not None]
    return lambda cells: tuple(f"{kind} {cells[column]}" for kind, column in columns if cells[column].strip())


def encounters(labels: Labels | None, photo_of_row: Sequence[str | None]) -> dict[str, str]:
    """Return key → encounter of the photos whose label rows name one; nothing without such a column.

    Args:
        labels: the label table; None without one.
        photo_of_row: key of the photo of each row; None where there is none.
    """
    column = None if labels is None else find_column(labels.columns, ENCOUNTER_COLUMNS)
    if labels is None or column is None:
        return {}
    cells = (row[column].strip() for row in labels.rows)
    pairs = zip(photo_of_row, cells, strict=True)
    return {key: encounter for key, encounter in pairs if key is not None and encounter}
