"""Encounters and bursts from the times at which photos were taken.

What is compared are photos of one folder and one camera: the clocks of two cameras may differ by hours, and
then two encounters of one would fall between those of the other.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from detic_crop.columns import Column, Texts, as_numpy, hashes_of, rows_alike
from detic_crop.splits.together import ALONE

BURST_SECONDS = 2.0
"""Longest time from one photo of a burst to the next."""

_NO_TIME = -(1 << 62)
_NO_OFFSET = 1 << 30
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_NOT_IN_A_NAME = re.compile(r"[\s/\\]+")


@dataclass(frozen=True, slots=True)
class Numbered:
    """Which of N photos belong together, and what that is called.

    Attributes:
        numbers: (N,) index in `names`; `ALONE` for a photo that belongs to none.
        names: a name for each; no two are equal.
    """

    numbers: NDArray[np.int64]
    names: Column

    def name_of(self, photo: int) -> str:
        """Return the name that a photo has; empty if it belongs to none."""
        number = int(self.numbers[photo])
        return "" if number == ALONE else self.names.text(number)


class Moments:
    """When, where and with which camera photos were taken: 24 bytes of each. They are added one by one."""

    def __init__(self) -> None:
        self._local = array("q")  # µs since 1970 of the clock's own time
        self._offsets = array("i")  # s that this time is ahead of UTC
        self._series = array("i")
        self._number_of: dict[tuple[str, str], int] = {}  # folder and camera

    def __len__(self) -> int:
        return len(self._local)

    def add(self, folder: str, taken: str, camera: str) -> None:
        """Add the next photo.

        Args:
            folder: its folder; empty for none.
            taken: time as in ISO 8601, with or without a zone; empty, or anything else, if it is unknown.
            camera: name of its camera; empty if it is unknown.
        """
        local, offset = _parsed(taken)
        self._local.append(local)
        self._offsets.append(offset)
        self._series.append(self._number_of.setdefault((folder, camera), len(self._number_of)))

    @property
    def unknown(self) -> int:
        """Number of photos without a time."""
        return int((as_numpy(self._local) == _NO_TIME).sum())

    @property
    def shared_folders(self) -> int:
        """Number of folders with photos of several cameras that have times."""
        return sum(count > 1 for count in self._cameras().values())

    def _cameras(self) -> Counter[str]:
        """Return how many cameras took the photos with times in each folder."""
        keys = list(self._number_of)
        known = as_numpy(self._series)[as_numpy(self._local) != _NO_TIME]
        return Counter(keys[number][0] for number in np.unique(known).tolist())

    def encounters(self, gap: float) -> Numbered:
        """Return the encounters: a new one begins after a gap of more than `gap` seconds.

        An encounter is called by the folder and the minute of its first photo.
        """
        numbers, first = self._divided(gap)
        return Numbered(numbers, self._names(first, "%Y-%m-%d_%H%M"))

    def bursts(self) -> Numbered:
        """Return the bursts: photos at most `BURST_SECONDS` after the one before; a single one is none."""
        numbers, first = self._divided(BURST_SECONDS)
        known = numbers != ALONE
        several = np.bincount(numbers[known], minlength=len(first)) > 1
        renumbered = np.where(several, np.cumsum(several) - 1, ALONE)
        numbers[known] = renumbered[numbers[known]]
        return Numbered(numbers, self._names(first[several], "%Y-%m-%d_%H%M%S"))

    def _divided(self, gap: float) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """Return the number of each photo's part, `ALONE` without a time, and each part's first photo."""
        local, series = as_numpy(self._local), as_numpy(self._series)
        known = np.flatnonzero(local != _NO_TIME)
        instants = self._instants()[known]
        order = known[np.lexsort((known, instants, series[known]))]
        instants = self._instants()[order]
        begins = np.ones(len(order), bool)
        begins[1:] = (series[order][1:] != series[order][:-1]) | (np.diff(instants) > round(gap * 1e6))
        numbers = np.full(len(local), ALONE, np.int64)
        numbers[order] = np.cumsum(begins) - 1
        return numbers, order[begins]

    def _instants(self) -> NDArray[np.int64]:
        """Return times in µs that can be compared within a series: (N,).

        They are UTC if every photo of the series has a zone: then a journey does not matter. Where one has
        none, the clock's own times are compared, which is what they have in common.
        """
        offsets, series = as_numpy(self._offsets), as_numpy(self._series)
        local = as_numpy(self._local)
        zoned = np.ones(len(self._number_of), bool)
        zoned[series[(offsets == _NO_OFFSET) & (local != _NO_TIME)]] = False
        return np.where(zoned[series], local - offsets.astype(np.int64) * 1_000_000, local)

    def _names(self, first: NDArray[np.intp], form: str) -> Texts:
        """Return the name of each part; a camera is named where its folder has several."""
        local, series = as_numpy(self._local), as_numpy(self._series)
        cameras = self._cameras()
        begins = []
        for folder, camera in self._number_of:
            end = f"_{_NOT_IN_A_NAME.sub('-', camera)}" if camera and cameras[folder] > 1 else ""
            begins.append((f"{folder}/" if folder else "", end))
        names = Texts()
        for photo in first.tolist():
            head, end = begins[series[photo]]
            names.append(f"{head}{_EPOCH + int(local[photo]) * _MICROSECOND:{form}}{end}")
        return told_apart(names)


def told_apart(names: Texts) -> Texts:
    """Return names of which equal ones are numbered: the second is ``name-2``."""
    alike = rows_alike(hashes_of(names)).tolist()
    if not alike:
        return names
    new: dict[int, str] = {}
    last: dict[str, int] = {}
    for row in alike:
        name = names.text(row)
        number = last[name] = last.get(name, 0) + 1
        if number > 1:
            while f"{name}-{number}" in names:
                number = last[name] = number + 1
            new[row] = f"{name}-{number}"
    return Texts(new.get(row, name) for row, name in enumerate(names))


def by_text(texts: Column) -> Numbered:
    """Return photos together that have the same text; an empty one stands for none."""
    number_of: dict[str, int] = {}
    numbers = (number_of.setdefault(text, len(number_of)) if text else ALONE for text in texts)
    found = np.fromiter(numbers, np.int64, len(texts))
    return Numbered(found, Texts(number_of))


def _parsed(taken: str) -> tuple[int, int]:
    """Return the clock's time in µs and its offset from UTC in s."""
    if not taken:
        return _NO_TIME, _NO_OFFSET
    try:
        moment = datetime.fromisoformat(taken)
    except ValueError:
        return _NO_TIME, _NO_OFFSET
    offset = moment.utcoffset()
    local = (moment.replace(tzinfo=None) - _EPOCH) // _MICROSECOND
    return local, _NO_OFFSET if offset is None else round(offset.total_seconds())
