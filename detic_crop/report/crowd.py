"""The boxes of a run, kept in 24 bytes each, to say how one compares with the others of its kind."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detic_crop.columns import as_numpy
from detic_crop.folder.records import Record
from detic_crop.report.unusual import MIN_GROUP, measures_of

_SPECIES = "species "
"""What the names of such groups begin with; see `groups.label_groups`."""

_EVERYBODY = 2
"""The level of all boxes, after those of a species and of a class."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one box compares with the others of its kind, itself among them. Shares are in [0, 1].

    Attributes:
        kind: what the others are, in words: ``the humpback crops``, ``the Dolphin crops``, ``all crops``.
        scored_higher: share whose score is higher; None without a score.
        larger: share that covers more of its photo.
        smaller: share that covers less of its photo.
        wider: share that is wider for its height.
        more_central: share whose centre is nearer to that of its photo.
    """

    kind: str
    scored_higher: float | None
    larger: float
    smaller: float
    wider: float
    more_central: float


@dataclass(frozen=True, slots=True)
class _Kind:
    """Sorted numbers of the boxes of one kind."""

    scores: NDArray[np.float32]
    areas: NDArray[np.float32]
    shapes: NDArray[np.float32]
    offsets: NDArray[np.float32]


class _Names:
    """A number for each name."""

    def __init__(self) -> None:
        self.number_of: dict[str, int] = {}
        self.numbers = array("i")


@dataclass(slots=True)
class Crowd:
    """The boxes of a run. They are added one by one, then measured once; then any box can be compared.

    A box is compared with those of its species where there are 20 or more, else with those of its class,
    else with all; with nothing where there are fewer than 20 in all.
    """

    _scores: array[float] = field(default_factory=lambda: array("f"))
    _species: _Names = field(default_factory=_Names)
    _classes: _Names = field(default_factory=_Names)
    _measures: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 3), np.float32))
    _kinds: dict[tuple[int, str], _Kind | None] = field(default_factory=dict)

    def add(self, record: Record, groups: Sequence[str]) -> None:
        """Add a box: the one of a record, whose photo belongs to these groups."""
        self._scores.append(float("nan") if record.score is None else record.score)
        for names, name in ((self._species, _species_in(groups)), (self._classes, record.class_name)):
            names.numbers.append(names.number_of.setdefault(name, len(names.number_of)))

    def measure(self, measures: NDArray[np.float64]) -> None:
        """Give the measures of all boxes that were added, (N, 3): area, shape, offset; see `unusual`."""
        self._measures = measures.astype(np.float32)

    def standing(self, record: Record, groups: Sequence[str]) -> Standing | None:
        """Return how the box of a record compares; None if there is too little to compare with."""
        if record.box is None or not record.width or not record.height:
            return None
        left, top, right, bottom = record.box
        if right <= left or bottom <= top:
            return None
        found = self._kind_of(record, groups)
        if found is None:
            return None
        words, kind = found
        area, shape, offset = (
            measures_of(record.box, (record.width, record.height)).astype(np.float32).tolist()
        )
        return Standing(
            words,
            None if record.score is None else _above(kind.scores, record.score),
            _above(kind.areas, area),
            _below(kind.areas, area),
            _above(kind.shapes, shape),
            _below(kind.offsets, offset),
        )

    def _kind_of(self, record: Record, groups: Sequence[str]) -> tuple[str, _Kind] | None:
        """Return the narrowest kind that is large enough, and its name."""
        species = _species_in(groups)
        for level, (name, words) in enumerate(
            (
                (species, f"the {species.removeprefix(_SPECIES)} crops"),
                (record.class_name, f"the {record.class_name} crops"),
                ("", "all crops"),
            )
        ):
            if name or level == _EVERYBODY:
                kind = self._sorted(level, name)
                if kind is not None:
                    return words, kind
        return None

    def _sorted(self, level: int, name: str) -> _Kind | None:
        """Return the numbers of a kind; None if it is too small."""
        if (level, name) in self._kinds:
            return self._kinds[level, name]
        mine: slice | NDArray[np.bool_] = slice(None)
        if level != _EVERYBODY:
            names = (self._species, self._classes)[level]
            mine = as_numpy(names.numbers) == names.number_of.get(name, -1)
        scores, measures = as_numpy(self._scores)[mine], self._measures[mine]
        kind = None
        if len(measures) >= MIN_GROUP:
            areas, shapes, offsets = np.sort(measures, axis=0).T
            kind = _Kind(np.sort(scores[~np.isnan(scores)]), areas, shapes, offsets)
        self._kinds[level, name] = kind
        return kind


def _species_in(groups: Sequence[str]) -> str:
    for name in groups:
        if name.startswith(_SPECIES):
            return name
    return ""


def _above(values: NDArray[np.float32], value: float) -> float:
    count = len(values) - int(np.searchsorted(values, np.float32(value), side="right"))
    return count / max(1, len(values))


def _below(values: NDArray[np.float32], value: float) -> float:
    return int(np.searchsorted(values, np.float32(value), side="left")) / max(1, len(values))
