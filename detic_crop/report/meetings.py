"""Encounters and bursts of the photos of a folder, as columns of its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from detic_crop.columns import Column, Texts, in_column
from detic_crop.config import gap_seconds
from detic_crop.folder.records import Record
from detic_crop.folder.state import Given
from detic_crop.photos.labels import Labels
from detic_crop.report.groups import column_named
from detic_crop.splits.encounters import Moments, Numbered, by_text
from detic_crop.splits.together import ALONE
from detic_crop.wording import counted, either

NO_ENCOUNTERS = "none"
ROOT = "."
"""Folder of a photo that lies in none."""


@dataclass(frozen=True, slots=True)
class Meetings:
    """Which photos were taken in one encounter, and in one burst.

    Attributes:
        keys: keys of N photos.
        encounters: the encounter of each.
        bursts: the burst of each.
        notes: sentences that a person should read.
    """

    keys: Column
    encounters: Numbered
    bursts: Numbered
    notes: list[str] = field(default_factory=list)
    columns: ClassVar[Mapping[str, str]] = {
        "encounter": "photos of one meeting with the animals, as --encounter says; empty if unknown",
        "burst": "photos of one camera, each at most 2 s after the one before; empty for a single one",
    }
    numbers: ClassVar[tuple[str, ...]] = ()
    are_of_photo: ClassVar[bool] = True

    def cells(self, record: Record) -> dict[str, str]:
        """Return encounter and burst of a photo."""
        place = self.keys.find(record.image)
        if place is None:
            return {"encounter": "", "burst": ""}
        return {"encounter": self.encounters.name_of(place), "burst": self.bursts.name_of(place)}


def check_encounter(how: str | None, labels: Labels | None, option: str = "--encounter") -> None:
    """Refuse encounters by a column that the labels do not have.

    Args:
        how: see `config.parse_encounter`; None if nothing was asked for.
        labels: the label table; None without one.
        option: where it was asked for, in messages.

    Raises:
        UsageError: names the columns that there are.
    """
    if how is not None and is_column(how):
        column_named(labels, how, f"{option} {how}")


def is_column(how: str) -> bool:
    """Return whether encounters are those that a label column names."""
    return how not in (NO_ENCOUNTERS, "folder") and gap_seconds(how) is None


def folders_of(keys: Column, inputs: Sequence[Given], names: Sequence[str]) -> Column:
    """Return the folder of each photo; ``.`` of one that lies in none.

    Folders of a second input, which may be called like those of the first, begin with the input's name.

    Args:
        keys: keys of the photos.
        inputs: the inputs of the folder.
        names: short name of each.
    """
    owners = [(in_column(given.keys), name) for given, name in zip(inputs, names, strict=True)][1:]
    return Texts(_folder(key, next((name for theirs, name in owners if key in theirs), "")) for key in keys)


def _folder(key: str, input: str) -> str:
    folder = key.rpartition("/")[0]
    return "/".join(filter(None, (input, folder))) or ROOT


def meetings_of(
    how: str,
    keys: Column,
    folders: Column,
    moments: Moments,
    labels: Labels | None,
    photo_of_row: Sequence[str | None],
) -> Meetings:
    """Return the encounters and bursts of photos.

    Args:
        how: what makes an encounter, see `config.parse_encounter`.
        keys: keys of the photos.
        folders: folder of each.
        moments: when each was taken.
        labels: the label table; None without one.
        photo_of_row: key of the photo of each label row; None where there is none.

    Raises:
        UsageError: the labels have no such column; names those that there are.
    """
    bursts, notes = moments.bursts(), list[str]()
    gap = gap_seconds(how)
    if how == NO_ENCOUNTERS:
        encounters = Numbered(np.full(len(keys), ALONE, np.int64), Texts())
    elif how == "folder":
        encounters = by_text(folders)
    elif gap is not None:
        encounters = moments.encounters(gap)
        if shared := moments.shared_folders:
            notes.append(
                f"{counted(shared, 'folder')} {either(shared, 'has', 'have')} photos of several cameras: "
                "each camera has encounters of its own, since clocks may differ"
            )
    else:
        encounters = by_text(cells_of(keys, labels, photo_of_row, how, f"--encounter {how}"))
    if len(keys) and moments.unknown:
        notes.append(
            f"{moments.unknown:,} of {counted(len(keys), 'photo')} do not say when they were taken: they "
            "have no burst, and no encounter by a gap"
        )
    return Meetings(keys, encounters, bursts, notes)


def cells_of(
    keys: Column, labels: Labels | None, photo_of_row: Sequence[str | None], name: str, option: str
) -> Column:
    """Return the cell of a label column for each photo: the first that is not empty, of its rows.

    Raises:
        UsageError: see `column_named`.
    """
    column = column_named(labels, name, option)
    assert labels is not None
    found: dict[str, str] = {}
    for row, key in zip(labels.rows, photo_of_row, strict=True):
        if key is not None and (cell := row[column].strip()):
            found.setdefault(key, cell)
    return Texts(found.get(key, "") for key in keys)
