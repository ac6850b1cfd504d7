"""The doubts of all photos of a run, each compared with the others: in arrays, a few bytes a photo."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from detic_crop.columns import as_numpy
from detic_crop.config import CropConfig
from detic_crop.folder.animals import of_animal
from detic_crop.folder.records import Record
from detic_crop.report.crowd import Crowd
from detic_crop.report.duplicates import Fingerprints
from detic_crop.report.more_columns import REMARKS
from detic_crop.report.suspicion import (
    FLAGS,
    Doubts,
    area_fraction,
    flags_of,
    suspicion_without_a_box,
    trust_in_usual,
    trust_of,
)
from detic_crop.report.unusual import Measures, shares_of

_BITS = {flag: 1 << number for number, flag in enumerate(FLAGS)}
_COPIES = _BITS["duplicate"] | _BITS["near_duplicate"]
_TOGETHER = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class ComparedPhotos:
    """What is doubtful about N photos.

    Attributes:
        flags: (N,) uint32; a bit for each of `FLAGS`, the first one the lowest.
        suspicion: (N,) float64 in [0, 1].
        originals: (N,) index of the photo that each repeats; -1 if it repeats none.
        remarks: names of `REMARKS` that reviewers said of some of them.
        animals: with ``--animals all`` the flags and the suspicion of each animal, photo by photo, and
            (N + 1,) the place of the first one of each photo; None where each photo has but one.
        crowd: the boxes that were compared.
    """

    flags: NDArray[np.uint32]
    suspicion: NDArray[np.float64]
    originals: NDArray[np.intp]
    remarks: Collection[str] = ()
    animals: tuple[NDArray[np.uint32], NDArray[np.float64], NDArray[np.int64]] | None = None
    crowd: Crowd = field(default_factory=Crowd)

    def doubts_of_animals(self, index: int) -> list[Doubts]:
        """Return the doubts of each animal of a photo; copies are those of the photo."""
        if self.animals is None:
            return [Doubts(self.flags_of(index), float(self.suspicion[index]))]
        flags, suspicion, starts = self.animals
        of_photo = int(self.flags[index]) & _COPIES
        return [
            Doubts(_codes(int(flags[i]) | of_photo), float(suspicion[i]))
            for i in range(int(starts[index]), int(starts[index + 1]))
        ]

    def flags_of(self, index: int) -> tuple[str, ...]:
        """Return the codes of the flags of a photo, in the order of `FLAGS`."""
        return _codes(int(self.flags[index]))


def doubts_of_all(photos: Iterable[tuple[Record, Sequence[str]]], config: CropConfig) -> ComparedPhotos:
    """Return the doubts of every photo of a run; see `suspicion.doubts_of`.

    The records are read once through and not kept.

    Args:
        photos: the record of each photo, in input order, and the groups it belongs to by its labels, the
            narrowest first; of two copies the first is the original.
        config: settings of the folder, as resolved.
    """
    # Of animals: each photo has one, itself, but for those with several.
    flags, suspicion, starts = array("I"), array("d"), array("q")
    boxed, by_scores, by_flags = array("q"), array("d"), array("d")  # whose box is judged
    crops, measures, crowd = array("q"), Measures(), Crowd()
    groups: list[Sequence[str]] = []
    prints = Fingerprints()
    unsaid = list(REMARKS)
    for photo, its_groups in photos:
        prints.add(photo)
        unsaid = [name for name in unsaid if not getattr(photo, name)]
        starts.append(len(flags))
        for record in [of_animal(photo, animal) for animal in photo.animals] or [photo]:
            index = len(flags)
            codes = flags_of(record, config)
            flags.append(sum(map(_BITS.__getitem__, codes)))
            if record.status == "cropped" and record.box is not None and area_fraction(record):
                crops.append(index)
                groups.append(its_groups)
                crowd.add(record, its_groups)
                measures.add(record.box, (record.width, record.height))
            settled = suspicion_without_a_box(record)
            if settled is None:
                scores_leave, flags_leave = trust_of(record, config, codes)
                boxed.append(index)
                by_scores.append(scores_leave)
                by_flags.append(flags_leave)
            suspicion.append(0.0 if settled is None else settled)
    all_flags, all_suspicion = as_numpy(flags), as_numpy(suspicion)
    unusual = np.ones(len(flags))
    measured = measures.take()
    crowd.measure(measured)
    unusual[as_numpy(crops)] = shares_of(measured, groups)
    for first in range(0, len(boxed), _TOGETHER):
        part = slice(first, first + _TOGETHER)
        rows = np.array(boxed[part], np.intp)
        usual = np.array([trust_in_usual(share) for share in unusual[rows].tolist()])
        all_suspicion[rows] = 1 - np.array(by_scores[part]) * usual * np.array(by_flags[part])
    compared = _of_photos(all_flags, all_suspicion, as_numpy(starts), REMARKS.keys() - unsaid, crowd)
    del measured, unusual, boxed, by_scores, by_flags, crops, groups  # before the next ones take memory
    found = prints.copies()
    compared.originals[:] = found.originals
    repeated = found.originals >= 0
    compared.flags[repeated & found.same_file] |= np.uint32(_BITS["duplicate"])
    compared.flags[repeated & ~found.same_file] |= np.uint32(_BITS["near_duplicate"])
    return compared


def _of_photos(
    flags: NDArray[np.uint32],
    suspicion: NDArray[np.float64],
    starts: NDArray[np.int64],
    remarks: Collection[str],
    crowd: Crowd,
) -> ComparedPhotos:
    """Return the doubts of photos from those of their animals: all flags, and the highest suspicion."""
    nobody = np.full(len(starts), -1, np.intp)
    if len(flags) == len(starts):
        return ComparedPhotos(flags, suspicion, nobody, remarks, crowd=crowd)
    animals = flags, suspicion, np.append(starts, len(flags))
    flags, suspicion = np.bitwise_or.reduceat(flags, starts), np.maximum.reduceat(suspicion, starts)
    return ComparedPhotos(flags, suspicion, nobody, remarks, animals, crowd)


@lru_cache(maxsize=4096)
def _codes(bits: int) -> tuple[str, ...]:
    return tuple(compress(FLAGS, (bits & bit for bit in _BITS.values())))
