"""Photos that are in a run twice: the same file, or nearly the same picture."""

from __future__ import annotations

from array import array
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detic_crop.columns import as_numpy
from detic_crop.folder.records import Record
from detic_crop.report.similar_hashes import first_equal, first_similar, similar_groups
from detic_crop.splits.together import connected

_UNKNOWN = -1
_WORD = (1 << 64) - 1


class Copies(NamedTuple):
    """Which of N photos repeat an earlier one.

    Attributes:
        originals: (N,) index of the first such photo; -1 for one that repeats none.
        same_file: (N,) True if it is the same file, False if it is nearly the same picture.
    """

    originals: NDArray[np.intp]
    same_file: NDArray[np.bool_]


class Fingerprints:
    """What tells copies: about 30 bytes of each photo. They are added one by one, in input order."""

    def __init__(self) -> None:
        self._count = 0
        self._photos = array("q")  # index of each that has a hash
        self._hashes, self._sizes = array("Q"), array("Q")
        self._checksums = array("q")
        self._ratios = array("d")

    def add(self, record: Record) -> None:
        """Add the next photo. Those without a hash, from failed rows or older runs, take no part."""
        if record.crop_hash:
            self._photos.append(self._count)
            self._hashes.append(int(record.crop_hash, 16))
            self._sizes.append(record.file_size & _WORD)
            self._checksums.append(_UNKNOWN if record.checksum is None else record.checksum)
            self._ratios.append(record.width / max(record.height, 1))
        self._count += 1

    def copies(self) -> Copies:
        """Return the photos that repeat an earlier one; the first of them is the original.

        A *duplicate* has the size and checksum of an earlier file. A *near duplicate* has a crop whose
        perceptual hash differs from that of an earlier photo's crop by at most `MAX_DIFFERENT_BITS` of 64
        bits, and the photos have the same proportions (within 2 %).
        """
        photos, checksums = as_numpy(self._photos), as_numpy(self._checksums)
        found = Copies(np.full(self._count, -1, np.intp), np.zeros(self._count, bool))
        first = np.arange(len(photos))
        known = np.flatnonzero(checksums != _UNKNOWN)
        first[known] = known[first_equal(as_numpy(self._sizes)[known], checksums[known])]
        repeats = np.flatnonzero(first != np.arange(len(photos)))
        found.originals[photos[repeats]] = photos[first[repeats]]
        found.same_file[photos[repeats]] = True
        others = np.delete(np.arange(len(photos)), repeats)
        del first, known, checksums
        near = first_similar(as_numpy(self._hashes)[others], as_numpy(self._ratios)[others])
        later = np.flatnonzero(near >= 0)
        found.originals[photos[others[later]]] = photos[others[near[later]]]
        return found

    def groups(self) -> NDArray[np.intp]:
        """Return for each photo the first one that it is a copy of, directly or through others: (N,).

        A photo that has no copies is alone. Copies are as in `copies`: the same file, or nearly the same
        picture.
        """
        photos, checksums = as_numpy(self._photos), as_numpy(self._checksums)
        known = np.flatnonzero(checksums != _UNKNOWN)
        same_file = known[first_equal(as_numpy(self._sizes)[known], checksums[known])]
        near = similar_groups(as_numpy(self._hashes), as_numpy(self._ratios))
        first = photos[np.concatenate([same_file, near])]
        return connected(self._count, photos[np.concatenate([known, np.arange(len(photos))])], first)
