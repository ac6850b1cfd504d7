"""Which photos show one individual, by the labels; an array over the photos, however many there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detic_crop.report.groups import INDIVIDUAL_COLUMNS, find_column, individual_named
from detic_crop.report.photos import AuditPhoto


class Individuals:
    """The individuals of the photos, by their ranks.

    A photo has the individual of its first label row. Those of its further rows find it, too.

    Args:
        photos: the photos, by rank.
        columns: names of the label columns; the one of individuals is found by its name.
    """

    def __init__(self, photos: Sequence[AuditPhoto], columns: Sequence[str]) -> None:
        column = find_column(columns, INDIVIDUAL_COLUMNS)
        self._codes = np.zeros(len(photos), np.int32)  # (N,) index into the names; 0 is nobody
        self._code_of = {"": 0}
        self._further: dict[str, list[int]] = {}
        if column is not None:
            for rank, photo in enumerate(photos):
                self._take(rank, [individual_named(cells[column]) for cells in photo.labels])
        self._names = tuple(self._code_of)

    def _take(self, rank: int, names: Sequence[str]) -> None:
        first, *others = names or ("",)
        self._codes[rank] = self._code_of.setdefault(first, len(self._code_of))
        for name in dict.fromkeys(others):
            if name not in ("", first):
                self._further.setdefault(name, []).append(rank)

    def of(self, rank: int) -> str:
        """Return the individual of a photo; empty where nobody is named."""
        return self._names[int(self._codes[rank])]

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Return a mask, (N,), of the photos that show an individual; none show nobody in particular."""
        mask = np.equal(self._codes, self._code_of.get(name, -1) or -1)
        mask[self._further.get(name, [])] = True
        return mask

    def count(self, name: str) -> int:
        """Return how many photos show an individual."""
        return int(self.mask(name).sum())
