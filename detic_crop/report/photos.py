"""The photos of a run, judged: each is made when it is read; what comparing them showed is kept in arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from detic_crop.columns import Column, Texts, hashes_of, numbers, rows_alike
from detic_crop.config import CropConfig
from detic_crop.folder.decisions import KEEPS_DETECTOR_CROP, Decision
from detic_crop.folder.records import Record
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import decision_of
from detic_crop.report.comparison import ComparedPhotos, doubts_of_all
from detic_crop.report.crowd import Standing
from detic_crop.report.rows import Row
from detic_crop.report.suspicion import Doubts
from detic_crop.wording import utf8


@dataclass(frozen=True, slots=True)
class AuditPhoto:
    """A photo of the run, with every label row that names it.

    Attributes:
        record: last record of the photo.
        labels: cells of each of its label rows.
        doubts: what is doubtful about it, compared with all others.
        verdict: the reviewer's last word on it; None without one.
    """

    record: Record
    labels: tuple[Sequence[str], ...]
    doubts: Doubts
    verdict: Verdict | None = None

    @property
    def anchor(self) -> str:
        """Id of the photo in audit.html; it depends on the key alone."""
        return "p" + hashlib.blake2s(utf8(self.record.image), digest_size=6).hexdigest()

    @property
    def is_crop(self) -> bool:
        """True if an animal was cut out."""
        return self.record.status == "cropped"

    @property
    def is_flagged(self) -> bool:
        """True for a crop that nobody has reviewed and at least one flag speaks against."""
        return self.is_crop and not self.record.verdict and bool(self.doubts.against_the_crop)

    @property
    def is_whole(self) -> bool:
        """True if the whole photo was resized, for whatever reason."""
        return self.record.status == "resized"

    @property
    def is_not_found(self) -> bool:
        """True if no animal was found: the whole photo was resized, or no crop was made of it."""
        if self.record.status == "skipped":
            return self.record.reason == "not_found"
        return self.is_whole and self.record.reason not in ("reviewed_whole", "not_listed")

    @property
    def is_not_listed(self) -> bool:
        """True if the whole photo was resized because the boxes file does not name it: nobody looked."""
        return self.is_whole and self.record.reason == "not_listed"

    @property
    def is_waiting(self) -> bool:
        """True if its verdict, or taking one back, changes the crop and has not been applied yet."""
        decision = Decision() if self.verdict is None else decision_of(self.verdict)
        if decision.verdict in KEEPS_DETECTOR_CROP:
            return self.record.verdict not in KEEPS_DETECTOR_CROP
        return decision.needs_other_crops_than(self.record)

    @property
    def rank(self) -> tuple[bool, float]:
        """Sort key: most suspicious first, reviewed photos last."""
        return self.verdict is not None, -self.doubts.suspicion


class JudgedPhotos(Mapping[str, AuditPhoto]):
    """Key → photo; each photo once, in the order of the rows.

    Args:
        rows: rows of audit.csv.
        keys: keys of the photos.
        first: for each photo its first row.
        further: key → the other rows of a photo that has several.
        compared: what is doubtful about the photos.
        verdicts: key → the reviewer's last word.

    Attributes:
        verdicts: key → the reviewer's last word.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        keys: Column,
        first: Sequence[int],
        further: Mapping[str, Sequence[int]],
        compared: ComparedPhotos,
        verdicts: Mapping[str, Verdict],
    ) -> None:
        self._rows, self._keys, self._first, self._further = rows, keys, first, further
        self._compared = compared
        self.verdicts = verdicts

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __getitem__(self, key: str) -> AuditPhoto:
        return self._photo(self._place_of(key))

    @property
    def images(self) -> Column:
        """Keys of the photos, in their order."""
        return self._keys

    @property
    def remarks(self) -> Collection[str]:
        """Names of `REMARKS` that reviewers said of some of them."""
        return self._compared.remarks

    def doubts_of_animals(self, record: Record) -> list[Doubts]:
        """Return what is doubtful about each animal of one of these photos, with ``--animals all``."""
        return self._compared.doubts_of_animals(self._place_of(record.image)) if record.animals else []

    def doubts(self, key: str) -> Doubts:
        """Return what is doubtful about a photo; nothing else of it is read."""
        return self._doubts(self._place_of(key))

    def standing(self, key: str) -> Standing | None:
        """Return how the box of a photo compares with the others; None if there is too little to compare."""
        row = self._rows[self._first[self._place_of(key)]]
        return self._compared.crowd.standing(row.record, row.groups)

    def records(self) -> Mapping[str, Record]:
        """Return key → record of the photos; nothing else of them is read."""
        return _Records(self._rows, self._keys, self._first)

    def in_order(self) -> Iterator[AuditPhoto]:
        """Yield the photos; the same as `values`, without looking for each."""
        return map(self._photo, range(len(self)))

    def at(self, places: Iterable[int]) -> Iterator[AuditPhoto]:
        """Yield the photos at some places in their order."""
        return map(self._photo, places)

    def any_of(self, places: NDArray[np.intp], most: int, seed: int) -> list[AuditPhoto]:
        """Return photos at some places, drawn at random; the same seed draws the same.

        Args:
            places: ascending places in the order of the photos.
            most: number of photos to return.
            seed: of the random numbers.
        """
        drawn = np.random.default_rng(seed).permutation(places)[:most]
        return [self._photo(place) for place in drawn.tolist()]

    def most_suspicious(self, places: NDArray[np.intp], most: int) -> list[AuditPhoto]:
        """Return the photos at some places, the first of them by `AuditPhoto.rank`.

        Args:
            places: ascending places in the order of the photos.
            most: number of photos to return.
        """
        found = (self._keys.find(key) for key in self.verdicts)
        judged = np.isin(places, [place for place in found if place is not None])
        order = np.lexsort((-self._compared.suspicion[places], judged))[:most]
        return [self._photo(place) for place in places[order].tolist()]

    def _place_of(self, key: str) -> int:
        place = self._keys.find(key)
        if place is None:
            raise KeyError(key)
        return place

    def _photo(self, place: int) -> AuditPhoto:
        row = self._rows[self._first[place]]
        key = row.record.image
        labels = (row.label, *(self._rows[i].label for i in self._further.get(key, ())))
        return AuditPhoto(
            row.record, tuple(filter(None, labels)), self._doubts(place), self.verdicts.get(key)
        )

    def _doubts(self, place: int) -> Doubts:
        original = int(self._compared.originals[place])
        return Doubts(
            self._compared.flags_of(place),
            float(self._compared.suspicion[place]),
            self._keys.text(original) if original >= 0 else "",
        )


class _Records(Mapping[str, Record]):
    """Key → record of photos; see `JudgedPhotos`."""

    def __init__(self, rows: Sequence[Row], keys: Column, first: Sequence[int]) -> None:
        self._rows, self._keys, self._first = rows, keys, first

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __getitem__(self, key: str) -> Record:
        place = self._keys.find(key)
        if place is None:
            raise KeyError(key)
        return self._rows[self._first[place]].record


def judge(
    rows: Sequence[Row],
    config: CropConfig,
    verdicts: Mapping[str, Verdict] = MappingProxyType({}),
    images: Column | None = None,
) -> JudgedPhotos:
    """Return each photo once, judged among all others; the first of its label rows groups it.

    Args:
        rows: rows of audit.csv.
        config: settings of the folder, as resolved.
        verdicts: key → the reviewer's last word.
        images: key of the photo of each row, where that is known already.
    """
    if images is None:
        images = Texts(row.record.image for row in rows)
    seen: dict[str, int] = {}
    further: dict[str, list[int]] = {}
    repeated = []
    for place in rows_alike(hashes_of(images)).tolist():
        key = images.text(place)
        if seen.setdefault(key, place) != place:
            further.setdefault(key, []).append(place)
            repeated.append(place)
    first: Sequence[int] = range(len(images))
    if repeated:
        first = numbers(np.delete(np.arange(len(images)), repeated))
    keys = images.of(first) if repeated else images
    firsts = (rows[place] for place in first) if repeated else rows
    compared = doubts_of_all(((row.record, row.groups) for row in firsts), config)
    return JudgedPhotos(rows, keys, first, further, compared, verdicts)
