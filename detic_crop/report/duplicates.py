"""Photos that are in a run twice: the same file, or nearly the same picture."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from detic_crop.folder.records import Record
from detic_crop.report.similar_hashes import first_similar


class Copy(NamedTuple):
    """What a photo repeats.

    Attributes:
        flag: ``duplicate`` for the same file, ``near_duplicate`` for nearly the same picture.
        of: key of the first such photo.
    """

    flag: Literal["duplicate", "near_duplicate"]
    of: str


def copies(records: Sequence[Record]) -> dict[str, Copy]:
    """Return the photos that repeat an earlier one, by key; the first of them is the original.

    A *duplicate* has the size and checksum of an earlier file. A *near duplicate* has a crop whose perceptual
    hash differs from that of an earlier photo's crop by at most `MAX_DIFFERENT_BITS` of 64 bits, and the
    photos have the same proportions (within 2 %). Photos without these numbers, from failed rows or older
    runs, are left out.

    Args:
        records: one record of each photo, in input order.
    """
    known = [record for record in records if record.crop_hash]
    found: dict[str, Copy] = {}
    first: dict[Hashable, Record] = {}
    different: list[Record] = []
    for record in known:
        if record.checksum is None:
            different.append(record)
            continue
        original = first.setdefault((record.file_size, record.checksum), record)
        if original is record:
            different.append(record)
        else:
            found[record.image] = Copy("duplicate", original.image)
    hashes = np.array([int(record.crop_hash, 16) for record in different], np.uint64)
    ratios = np.array([record.width / max(record.height, 1) for record in different], np.float64)
    for index, earlier in enumerate(first_similar(hashes, ratios).tolist()):
        if earlier >= 0:
            found[different[index].image] = Copy("near_duplicate", different[earlier].image)
    return found
