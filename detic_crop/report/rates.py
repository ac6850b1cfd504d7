"""How many photos were cropped, by class and by species, and whether that gives a label away."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np

from detic_crop.photos.labels import Labels
from detic_crop.report.groups import SPECIES_COLUMNS, find_column
from detic_crop.report.photos import AuditPhoto

# A species leaks if its uncropped share differs from that of all others by at least this share,
_LEAK_SHARE = 0.2
# by at least this many standard deviations,
_LEAK_DEVIATIONS = 3.0
# with at least this many photos on either side.
_LEAK_PHOTOS = 10


@dataclass(slots=True)
class Group:
    """What became of the photos of one species or class.

    Attributes:
        statuses: number of photos by status.
        flagged: number of crops with a flag that speaks against them.
        scores: scores of the crops that have one.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    flagged: int = 0
    scores: array[float] = field(default_factory=lambda: array("d"))

    def add(self, photo: AuditPhoto) -> None:
        """Count a photo."""
        self.statuses[photo.record.status] += 1
        if photo.is_crop:
            self.flagged += bool(photo.doubts.against_the_crop)
            if photo.record.score is not None:
                self.scores.append(photo.record.score)

    @property
    def total(self) -> int:
        """Number of photos."""
        return self.statuses.total()

    @property
    def finished(self) -> int:
        """Number of photos that were cropped or resized."""
        return self.statuses["cropped"] + self.statuses["resized"]

    @property
    def uncropped(self) -> float:
        """Share of the finished photos that were only resized."""
        return self.statuses["resized"] / self.finished if self.finished else 0.0

    @property
    def median_score(self) -> float:
        """Median of the scores; there must be one."""
        middle = [(len(self.scores) - 1) // 2, len(self.scores) // 2]
        low, high = np.partition(np.array(self.scores), middle)[middle].tolist()
        return float(low + high) / 2


class Leak(NamedTuple):
    """A species whose uncropped share differs strongly from that of all others together."""

    species: str
    share: float
    others: float


@dataclass(frozen=True, slots=True)
class SpeciesRates:
    """What became of each species.

    Attributes:
        column: name of the label column.
        groups: species → what became of its photos, the most frequent first.
        leaks: the species that stand out, the worst first.
    """

    column: str
    groups: Mapping[str, Group]
    leaks: Sequence[Leak]

    def most_uncropped(self, most: int) -> list[tuple[str, Group]]:
        """Return the `most` frequent species, by falling share of uncropped photos."""
        return sorted(islice(self.groups.items(), most), key=lambda item: -item[1].uncropped)


class Rates:
    """What became of the photos, by class and by species. They are added one by one.

    Args:
        labels: the label table; one of its columns may name the species.
    """

    def __init__(self, labels: Labels | None) -> None:
        self._classes: dict[str, Group] = {}
        self._species: dict[str, Group] = {}
        self._columns: Sequence[str] = labels.columns if labels else ()
        self._column = find_column(self._columns, SPECIES_COLUMNS)

    def add(self, photo: AuditPhoto) -> None:
        """Count a photo, once in each group it belongs to."""
        if photo.is_crop:
            self._classes.setdefault(photo.record.class_name, Group()).add(photo)
        if self._column is not None:
            for name in {row[self._column] for row in photo.labels}:
                self._species.setdefault(name, Group()).add(photo)

    def classes(self) -> dict[str, Group]:
        """Return the crops by class of the chosen box, the most frequent first; "" is a drawn box."""
        return _by_size(self._classes)

    def species(self) -> SpeciesRates | None:
        """Return the counts by the label column that names the species; None if no column does."""
        if self._column is None or not self._species:
            return None
        groups = _by_size(self._species)
        return SpeciesRates(self._columns[self._column], groups, _leaks(groups))


def _by_size(groups: Mapping[str, Group]) -> dict[str, Group]:
    return dict(sorted(groups.items(), key=lambda item: (-item[1].total, item[0])))


def _leaks(groups: Mapping[str, Group]) -> list[Leak]:
    """Test each species against all others: a two-proportion z test with the pooled variance."""
    total = sum(group.finished for group in groups.values())
    resized = sum(group.statuses["resized"] for group in groups.values())
    leaks = []
    for name, group in groups.items():
        n, mine = group.finished, group.statuses["resized"]
        if min(n, total - n) < _LEAK_PHOTOS:
            continue
        share, others, pooled = mine / n, (resized - mine) / (total - n), resized / total
        deviation = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / (total - n)))
        difference = abs(share - others)
        if difference >= _LEAK_SHARE and difference >= _LEAK_DEVIATIONS * deviation:
            leaks.append(Leak(name, share, others))
    return sorted(leaks, key=lambda leak: (-abs(leak.share - leak.others), leak.species))
