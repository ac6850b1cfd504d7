"""Photos that are in a run twice: the same file, or nearly the same picture."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detic_crop.folder.records import Record

MAX_DIFFERENT_BITS = 3
"""Scaled or recompressed copies rarely differ by more; different photos differ by a quarter of the bits."""

_SAME_PROPORTIONS = 0.02
_CHUNK_BITS = 16
_CHUNKS = MAX_DIFFERENT_BITS + 1  # so at least one of them is the same in two similar hashes
assert _CHUNKS * _CHUNK_BITS == 64
_BITS_SET = np.unpackbits(np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2), axis=1).sum(
    axis=1, dtype=np.uint8
)


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


def first_similar(hashes: NDArray[np.uint64], ratios: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return for each hash the index of the first earlier one that is similar; -1 where there is none.

    Two hashes that differ by at most three bits have one of four quarters in common (Manku et al. 2007,
    "Detecting near-duplicates for web crawling", section 3), so only hashes that share a quarter are
    compared, and equal pictures (a black frame, say) only once.

    Args:
        hashes: (N,) 64-bit hashes.
        ratios: (N,) width / height of each photo; they must agree within 2 %.
    """
    result = np.full(len(hashes), len(hashes), np.intp)
    first_equal = _first_equal(hashes, ratios)
    unique = np.flatnonzero(first_equal == np.arange(len(hashes)))
    for chunk in range(_CHUNKS):
        quarter = (hashes[unique] >> np.uint64(chunk * _CHUNK_BITS)) & np.uint64(0xFFFF)
        for earlier, later in _pairs(quarter):
            earlier, later = unique[earlier], unique[later]
            near = different_bits(hashes[earlier] ^ hashes[later]) <= MAX_DIFFERENT_BITS
            near &= np.abs(ratios[earlier] / ratios[later] - 1) <= _SAME_PROPORTIONS
            np.minimum.at(result, later[near], earlier[near])
    result[result == len(hashes)] = -1
    repeated = np.flatnonzero(first_equal != np.arange(len(hashes)))
    originals = first_equal[repeated]
    result[repeated] = np.where(result[originals] >= 0, result[originals], originals)
    return result


def _first_equal(hashes: NDArray[np.uint64], ratios: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return for each hash the index of the first equal one of equal proportions, (N,)."""
    first: dict[tuple[int, float], int] = {}
    keys = zip(hashes.tolist(), ratios.tolist(), strict=True)
    return np.array([first.setdefault(key, index) for index, key in enumerate(keys)], np.intp)


def _pairs(values: NDArray[np.uint64]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield the indices (earlier, later) of all pairs of equal values, many at a time."""
    order = np.argsort(values, kind="stable")  # equal values side by side, by index
    ordered = values[order]
    start = np.arange(len(order) - 1)
    distance = 1
    while len(start):
        start = start[start + distance < len(order)]
        start = start[ordered[start] == ordered[start + distance]]
        yield order[start], order[start + distance]
        distance += 1


def different_bits(xor: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return the number of bits set in each value, (N,) uint8."""
    halves = np.ascontiguousarray(xor).view(np.uint16).reshape(-1, 4)
    return np.asarray(_BITS_SET[halves].sum(axis=1, dtype=np.uint8))
