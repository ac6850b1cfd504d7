"""The doubts of all photos of a run, each compared with the others: in arrays, a few bytes a photo."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from detic_crop.columns import as_numpy
from detic_crop.config import CropConfig
from detic_crop.folder.records import Record
from detic_crop.report.duplicates import Fingerprints
from detic_crop.report.suspicion import (
    FLAGS,
    area_fraction,
    flags_of,
    suspicion_without_a_box,
    trust_in_usual,
    trust_of,
)
from detic_crop.report.unusual import Measures, shares_of

_BITS = {flag: 1 << number for number, flag in enumerate(FLAGS)}
_TOGETHER = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class ComparedPhotos:
    """What is doubtful about N photos.

    Attributes:
        flags: (N,) uint32; a bit for each of `FLAGS`, the first one the lowest.
        suspicion: (N,) float64 in [0, 1].
        originals: (N,) index of the photo that each repeats; -1 if it repeats none.
    """

    flags: NDArray[np.uint32]
    suspicion: NDArray[np.float64]
    originals: NDArray[np.intp]

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
    flags, suspicion = array("I"), array("d")
    boxed, by_scores, by_flags = array("q"), array("d"), array("d")  # photos whose box is judged
    crops, measures = array("q"), Measures()
    groups: list[Sequence[str]] = []
    prints = Fingerprints()
    for index, (record, its_groups) in enumerate(photos):
        prints.add(record)
        codes = flags_of(record, config)
        flags.append(sum(map(_BITS.__getitem__, codes)))
        if record.status == "cropped" and record.box is not None and area_fraction(record):
            crops.append(index)
            groups.append(its_groups)
            measures.add(record.box, (record.width, record.height))
        settled = suspicion_without_a_box(record)
        if settled is None:
            scores_leave, flags_leave = trust_of(record, config, codes)
            boxed.append(index)
            by_scores.append(scores_leave)
            by_flags.append(flags_leave)
        suspicion.append(0.0 if settled is None else settled)
    compared = ComparedPhotos(
        as_numpy(flags),
        as_numpy(suspicion),
        np.full(len(flags), -1, np.intp),
    )
    unusual = np.ones(len(flags))
    unusual[as_numpy(crops)] = shares_of(measures.take(), groups)
    for first in range(0, len(boxed), _TOGETHER):
        part = slice(first, first + _TOGETHER)
        rows = np.array(boxed[part], np.intp)
        usual = np.array([trust_in_usual(share) for share in unusual[rows].tolist()])
        compared.suspicion[rows] = 1 - np.array(by_scores[part]) * usual * np.array(by_flags[part])
    del unusual, boxed, by_scores, by_flags, crops, groups  # before the next ones take memory
    found = prints.copies()
    compared.originals[:] = found.originals
    repeated = found.originals >= 0
    compared.flags[repeated & found.same_file] |= np.uint32(_BITS["duplicate"])
    compared.flags[repeated & ~found.same_file] |= np.uint32(_BITS["near_duplicate"])
    return compared


@lru_cache(maxsize=4096)
def _codes(bits: int) -> tuple[str, ...]:
    return tuple(compress(FLAGS, (bits & bit for bit in _BITS.values())))
