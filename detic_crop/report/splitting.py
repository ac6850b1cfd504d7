"""Folds for the photos of a folder: what must stay together, who is in them, and what chance would leak."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from detic_crop.columns import Texts, as_numpy
from detic_crop.errors import UsageError
from detic_crop.folder.animals import crops_of
from detic_crop.folder.folds_file import Asked, SavedFolds
from detic_crop.folder.records import Record
from detic_crop.photos.labels import Labels
from detic_crop.report.duplicates import Fingerprints
from detic_crop.report.groups import INDIVIDUAL_COLUMNS, column_named, find_column
from detic_crop.report.meetings import Meetings
from detic_crop.report.photos import JudgedPhotos
from detic_crop.splits.folds import DRAWS, UNSEEN, Sightings, random_leaks, split
from detic_crop.splits.together import ALONE, connected, joined, without_single
from detic_crop.wording import counted, either

MOST_FOLDS = 1000
_WITH_CROP = ("cropped", "resized")
_INDIVIDUALS = (
    *INDIVIDUAL_COLUMNS,
    *(
        "individualid",
        "identity_id",
        "animal",
        "whale_id",
        "dolphin_id",
        "catalog_id",
        "catalogue_id",
        "name",
    ),
)


@dataclass(frozen=True, slots=True)
class Leaks:
    """How many photos a random split would give another fold than one that belongs with them, on average.

    Attributes:
        copies: by copies and near copies.
        bursts: by bursts.
        kept: by what ``--by`` names.
        photos: by any of these.
    """

    copies: float
    bursts: float
    kept: float
    photos: float


@dataclass(frozen=True, slots=True)
class Division:
    """Folds, and what is worth knowing of them.

    Attributes:
        saved: the folds, as they are kept in the folder.
        counts: number of photos in each fold.
        groups: number of groups of several photos that were kept together.
        together: number of photos in these.
        without_group: number of photos that what ``--by`` names ties to none.
        without_fold: number of photos that have no crop, so no fold.
        individuals: number of individuals that the labels name.
        in_one_group: number of those in folds whose photos are all in one group, so in one fold.
        held_out: number of individuals that are in no fold.
        unseen: number of photos that are held out: theirs, and those that belong with them.
        unseen_others: how many of these show none of the individuals that are held out.
        leaks: what a random split of all photos would have leaked.
    """

    saved: SavedFolds
    counts: list[int]
    groups: int
    together: int
    without_group: int
    without_fold: int
    individuals: int
    in_one_group: int
    held_out: int
    unseen: int
    unseen_others: int
    leaks: Leaks

    @property
    def sentences(self) -> list[str]:
        """What a person should know, in sentences."""
        asked, total = self.saved.asked, len(self.saved.keys)
        low, high = min(self.counts), max(self.counts)
        each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        said = [
            f"{asked.folds} folds of {each} photos; {counted(self.together, 'photo')} in "
            f"{counted(self.groups, 'group')} stayed together (copies, bursts"
            f"{f', {asked.by}' if asked.by else ''})"
        ]
        if self.without_group:
            said.append(
                f"{self.without_group:,} of {counted(total, 'photo')} have no {asked.by}: only copies "
                "and bursts keep them with others"
            )
        if asked.individual:
            said.append(
                f"individuals, by the column {asked.individual}: {self.individuals:,}; {self.in_one_group:,} "
                f"{either(self.in_one_group, 'is', 'are')} in one group only, so in one fold"
            )
        if self.held_out:
            others = (
                f", and {counted(self.unseen_others, 'photo')} of others that stayed together with them"
                if self.unseen_others
                else ""
            )
            said.append(
                f"fold {UNSEEN}: {counted(self.unseen - self.unseen_others, 'photo')} of "
                f"{counted(self.held_out, 'individual')} in no other fold{others}"
            )
        if self.without_fold:
            said.append(f"no fold, since they have no crop: {counted(self.without_fold, 'photo')}")
        leaks = self.leaks
        parts = [f"{leaks.copies:,.0f} by copies", f"{leaks.bursts:,.0f} by bursts"]
        parts += [f"{leaks.kept:,.0f} by {asked.by}"] if asked.by else []
        share = f"{leaks.photos:,.0f} of {counted(total, 'photo')} ({100 * leaks.photos / total:.0f} %)"
        said.append(
            f"a random split would have parted {share} from one that they belong with: {', '.join(parts)} "
            f"(mean of {DRAWS} draws)"
        )
        return said


def check_asked(folds: int, unseen: float, seed: int) -> None:
    """Refuse numbers that no split can have.

    Raises:
        UsageError: one of them is out of range.
    """
    if not (_is_whole(folds) and 2 <= folds <= MOST_FOLDS):
        raise UsageError(
            "bad_value",
            f"--folds must be a whole number from 2 to {MOST_FOLDS}, got {folds!r}; e.g. --folds 5",
        )
    if isinstance(unseen, bool) or not isinstance(unseen, int | float) or not 0 <= unseen < 1:
        raise UsageError(
            "bad_value", f"--unseen must be a share from 0 to less than 1, got {unseen!r}; e.g. --unseen 0.1"
        )
    if not (_is_whole(seed) and 0 <= seed < 1 << 63):
        raise UsageError("bad_value", f"--seed must be a whole number of at least 0, got {seed!r}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def individual_column(labels: Labels | None, name: str | None) -> int | None:
    """Return the index of the label column that names the individual; None if there is none to guess.

    Args:
        labels: the label table; None without one.
        name: as it was asked for; None to guess by the usual names.

    Raises:
        UsageError: there is no column of that name.
    """
    if name is not None:
        return column_named(labels, name, f"--individual {name}")
    if labels is None:
        return None
    names = [column if column != labels.key_column else "" for column in labels.columns]
    return find_column(names, _INDIVIDUALS)


def divide(
    photos: JudgedPhotos, meetings: Meetings, asked: Asked, individual: int | None, shown: str
) -> Division:
    """Return folds for the photos that have a crop.

    Args:
        photos: the photos of the folder.
        meetings: their bursts, and the encounters that are to be kept together; of the same photos.
        asked: what is asked for.
        individual: index of the label column that names the individual; None without one.
        shown: name of the folder in messages.

    Raises:
        UsageError: there are fewer groups than folds, no encounters to keep together, or nobody to hold out.
    """
    prints, owners, places, keys = Fingerprints(), array("q"), array("q"), Texts()
    seen, found = array("q"), array("q")
    number_of: dict[str, int] = {}
    for place, photo in enumerate(photos.in_order()):
        if photo.record.status not in _WITH_CROP:
            continue
        if individual is not None:
            cells = {row[individual].strip() for row in photo.labels} - {""}
            for cell in sorted(cells):
                seen.append(len(keys))
                found.append(number_of.setdefault(cell, len(number_of)))
        for crop in crops_of(photo.record):
            prints.add(crop.record)
            owners.append(len(keys))
        places.append(place)
        keys.append(photo.record.image)
    if not keys:
        raise UsageError(
            "nothing_to_split", f"{shown} has no crops to split; pass the --out of a finished run"
        )
    sightings = Sightings(as_numpy(seen).astype(np.int64), as_numpy(found).astype(np.int64))
    if asked.unseen and not sightings.count:
        raise UsageError(
            "nobody_to_hold_out",
            f"--unseen {asked.unseen:g} holds individuals out, and no label names one; pass --individual "
            "COLUMN, or leave --unseen out",
        )
    here = as_numpy(places)
    owner = as_numpy(owners)
    copies = without_single(connected(len(keys), owner, owner[prints.groups()]))
    bursts = without_single(meetings.bursts.numbers[here])
    kept = meetings.encounters.numbers[here]
    if asked.by and (kept == ALONE).all():
        raise UsageError("no_encounters", f"--by {asked.by}: no photo of {shown} has one; leave --by out")
    without_group = int((kept == ALONE).sum()) if asked.by else 0
    kept = without_single(kept)
    groups = joined(len(keys), copies, bursts, kept)
    folds = split(groups, sightings, asked.folds, asked.unseen, asked.seed)
    counts = np.bincount(folds.folds[folds.folds != UNSEEN], minlength=asked.folds)
    if not counts.all():
        left = len(np.unique(groups[folds.folds != UNSEEN]))
        raise UsageError(
            "too_few_groups",
            f"--folds {asked.folds} needs as many groups of photos, and there are {left:,} that may be "
            f"parted (copies, bursts{f', {asked.by}' if asked.by else ''} stay together"
            f"{', others are held out' if asked.unseen else ''}); pass a smaller --folds",
        )
    is_unseen, sizes = folds.folds == UNSEEN, np.bincount(groups)
    with_held_out = np.unique(sightings.photos[folds.held_out[sightings.individuals]])
    saved = SavedFolds(asked, keys, array("i", folds.folds.astype(np.int32).tobytes()))
    leaks = Leaks(*random_leaks([copies, bursts, kept], asked.folds, asked.seed).tolist())
    return Division(
        saved,
        counts.tolist(),
        int((sizes > 1).sum()),
        int(sizes[sizes > 1].sum()),
        without_group,
        len(photos) - len(keys),
        sightings.count,
        folds.in_one_group,
        int(folds.held_out.sum()),
        int(is_unseen.sum()),
        int(is_unseen.sum()) - len(with_held_out),
        leaks,
    )


@dataclass(frozen=True, slots=True)
class FoldColumn:
    """The folds of a folder, as a column of its tables.

    Attributes:
        saved: the folds.
    """

    saved: SavedFolds
    columns: ClassVar[Mapping[str, str]] = {
        "fold": "from 0, as detic-crop split gave it; -1: of individuals held out; empty without one"
    }
    numbers: ClassVar[tuple[str, ...]] = ("fold",)
    are_of_photo: ClassVar[bool] = True

    def cells(self, record: Record) -> dict[str, str]:
        """Return the fold of a photo that has a crop."""
        fold = self.saved.fold_of(record.image) if record.status in _WITH_CROP else None
        return {"fold": "" if fold is None else str(fold)}

    def notes(self, records: Mapping[str, Record]) -> list[str]:
        """Return how many photos have no fold because they came later, in a sentence; none if all have."""
        later = sum(
            record.status in _WITH_CROP and self.saved.fold_of(record.image) is None
            for record in records.values()
        )
        if not later:
            return []
        have, come = either(later, "has", "have"), either(later, "it comes", "they come")
        return [f"{counted(later, 'photo')} {have} no fold, since {come} after the split; split again"]
