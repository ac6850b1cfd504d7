"""Which photos are alike by their labels: same individual, same species."""

from __future__ import annotations

from collections.abc import Sequence

from detic_crop.photos.labels import Labels

SPECIES_COLUMNS = ("species", "scientific_name", "common_name", "taxon", "category", "class", "label")
INDIVIDUAL_COLUMNS = ("individual_id", "individual", "identity", "animal_id")


def find_column(columns: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Return the index of the first `wanted` name that is a column, in any case; None if none is."""
    names = [name.strip().lower().replace(" ", "_") for name in columns]
    return next((names.index(name) for name in wanted if name in names), None)


def label_groups(labels: Labels) -> list[tuple[str, ...]]:
    """Return for each label row the groups it belongs to, the narrowest first; empty cells are skipped."""
    found = [
        (kind, find_column(labels.columns, wanted))
        for kind, wanted in (("individual", INDIVIDUAL_COLUMNS), ("species", SPECIES_COLUMNS))
    ]
    columns = [(kind, column) for kind, column in found if column is not None]
    return [
        tuple(f"{kind} {row[column]}" for kind, column in columns if row[column].strip())
        for row in labels.rows
    ]
