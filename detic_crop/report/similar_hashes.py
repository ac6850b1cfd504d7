"""Which of many 64-bit hashes are near one another: exactly, in arrays, also where many are alike."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detic_crop.splits.together import connected

Hashes = NDArray[np.uint64]
Indices = NDArray[np.intp]

MAX_DIFFERENT_BITS = 3
"""Scaled or recompressed copies rarely differ by more; different photos differ by a quarter of the bits."""

_SAME_PROPORTIONS = 0.02
_LOG_WIDTH = 0.0203  # of like ratios: a little more than −ln(1 − _SAME_PROPORTIONS)
_PIVOTS = 64  # photos that all others are compared with before anything is sorted
_FEW_PAIRS = 1 << 21  # that are compared without sorting
_ROWS = 2048  # of a matrix of differences that stays in the processor's cache
_COLUMNS = 128
_SHORT_RUN = 256  # photos of equal keys that are compared by shifting; more are divided again
_BLOCKS = range(MAX_DIFFERENT_BITS + 1, 11)
_SAMPLE = 4096  # hashes by which the blocks are chosen
_TRIED = 4  # choices of blocks by which their number is chosen
_CUBE_BITS = 24  # a table of 64 MB
# Nanoseconds, roughly; only their ratios matter.
_MATRIX_PAIR, _SHIFTED_PAIR, _SORTED, _CUBE_CELL = 1.0, 20.0, 250.0, 3.0


def first_similar(hashes: Hashes, ratios: NDArray[np.float64]) -> Indices:
    """Return for each hash the index of the first earlier one that is similar; -1 where there is none.

    Two hashes are similar if they differ by at most `MAX_DIFFERENT_BITS` and their ratios agree within 2 %.

    If the bits are divided into k blocks, two such hashes are equal in k − 3 of them at least, so only those
    that share k − 3 blocks are compared (Manku et al. 2007, "Detecting near-duplicates for web crawling",
    section 3). The blocks are chosen by the bits that vary, and where many hashes share them nevertheless,
    these are divided once more by what still varies. Where a few pictures are like many, those are settled
    first and are not compared with each other.

    A million hashes that are like no other, or a million that are all alike, take some seconds. The worst
    case are hashes that differ by four to ten bits from very many others and by less from few: each of these
    has to be refused. A million take a minute or some, and time grows faster than their number.

    Args:
        hashes: (N,) 64-bit hashes.
        ratios: (N,) width / height of each photo; they must agree within 2 %.
    """
    equal = first_equal(hashes, ratios)
    own = np.arange(len(hashes))
    unique = np.flatnonzero(equal == own)
    search = _Search(hashes, ratios)
    for alike in _like_proportions(ratios, unique) if len(unique) else ():
        search.settle(alike, alike)
    result = search.first
    result[result == len(hashes)] = -1
    repeated = np.flatnonzero(equal != own)
    originals = equal[repeated]
    result[repeated] = np.where(result[originals] >= 0, result[originals], originals)
    return result


def similar_groups(hashes: Hashes, ratios: NDArray[np.float64]) -> Indices:
    """Return the group of each hash: those that are similar, directly or through others, are in one, (N,).

    The groups that the first similar ones make are put into another order, so that each finds the first of
    another group that it has to be joined with, until none does: Borůvka's way to join the parts of a graph.

    Args:
        hashes, ratios: see `first_similar`.
    """
    group = connected(len(hashes), *_linked(hashes, ratios, np.arange(len(hashes))))
    backwards = np.arange(len(hashes))[::-1]
    links = _linked(hashes, ratios, backwards)
    like_some = np.union1d(np.concatenate(links), np.flatnonzero(group != np.arange(len(hashes))))
    like_some = np.union1d(like_some, group[like_some])  # the others are like none
    random = np.random.default_rng(0)
    while len(links[0]):
        group = connected(len(hashes), group[links[0]], group[links[1]])[group]
        rank = random.permutation(len(hashes))
        order = like_some[np.argsort(rank[group[like_some]], kind="stable")]
        links = _linked(hashes, ratios, order)
        apart = group[links[0]] != group[links[1]]
        links = links[0][apart], links[1][apart]
    return group


def _linked(hashes: Hashes, ratios: NDArray[np.float64], order: Indices) -> tuple[Indices, Indices]:
    """Return those that have a similar one before them in an order, and the first of these."""
    first = first_similar(hashes[order], ratios[order])
    later = np.flatnonzero(first >= 0)
    return order[later], order[first[later]]


def different_bits(xor: Hashes) -> NDArray[np.uint8]:
    """Return the number of bits set in each value, uint8 of the same shape."""
    if hasattr(np, "bitwise_count"):  # not before numpy 2
        return np.asarray(np.bitwise_count(xor), np.uint8)
    pairs = xor - ((xor >> np.uint64(1)) & np.uint64(0x5555555555555555))
    nibbles = (pairs & np.uint64(0x3333333333333333)) + (
        (pairs >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    whole = (nibbles + (nibbles >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    counts = (whole * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return np.asarray(counts, np.uint8)


def first_equal(*columns: NDArray[Any]) -> Indices:
    """Return for each row of equally long columns the index of the first row with equal values, (N,)."""
    order = np.lexsort(columns)  # equal ones side by side, by index
    begins = np.zeros(len(order), bool)
    begins[:1] = True
    for column in columns:
        ordered = column[order]
        begins[1:] |= ordered[1:] != ordered[:-1]
    first = np.empty(len(order), np.intp)
    first[order] = order[np.flatnonzero(begins)[np.cumsum(begins) - 1]]
    return first


def _like_proportions(ratios: NDArray[np.float64], photos: Indices) -> Iterator[Indices]:
    """Yield groups of photos, so that any two whose ratios agree are in one of them.

    A group has the ratios of two neighbouring intervals, each as wide as ratios that agree are apart; photos
    that have no neighbours are in one group only.
    """
    if len(photos) ** 2 <= _FEW_PAIRS:
        yield photos
        return
    interval = np.floor(np.log(np.maximum(ratios[photos], 1e-300)) / _LOG_WIDTH).astype(np.int64)
    order = np.argsort(interval, kind="stable")
    begins = np.flatnonzero(np.diff(interval[order], prepend=interval[order[0]] - 1))
    parts = np.split(photos[order], begins[1:])
    numbers = interval[order[begins]].tolist()
    for place, number in enumerate(numbers):
        if place + 1 < len(numbers) and numbers[place + 1] == number + 1:
            yield np.sort(np.concatenate(parts[place : place + 2]))
        elif place == 0 or numbers[place - 1] != number - 1:
            yield parts[place]


class _Search:
    """The first similar photo of each, as far as it is known.

    All arguments are ascending indices; of two lists, the second one is a part of the first.

    Attributes:
        first: (N,) index of the first similar photo that was found; N where there is none.
    """

    def __init__(self, hashes: Hashes, ratios: NDArray[np.float64]) -> None:
        self._hashes, self._ratios = hashes, ratios
        self.first = np.full(len(hashes), len(hashes), np.intp)

    def settle(self, photos: Indices, wanted: Indices) -> None:
        """Find for each wanted photo the first of `photos` before it that is similar."""
        wanted = wanted[self.first[wanted] > photos[0]]
        count = _PIVOTS
        while len(photos) * len(wanted) > _FEW_PAIRS:
            left = self._compare(photos[:count], wanted)
            share = 1 - len(left) / len(wanted)
            photos, wanted = photos[count:], left
            if len(photos) and len(wanted) and self._divide(photos, wanted, count / max(share, 1e-9)):
                return
            count *= 2
        self._compare(photos, wanted)

    def _compare(self, photos: Indices, wanted: Indices) -> Indices:
        """Compare each wanted photo with `photos`, first to last, until it is settled; return the others."""
        begin, count = 0, 16
        while len(wanted) and begin < len(photos):
            columns = photos[begin : begin + count]
            for top in range(0, len(wanted), _ROWS):
                self._compare_matrix(columns, wanted[top : top + _ROWS])
            last = columns[-1]
            wanted = wanted[(wanted > last) & (self.first[wanted] > last)]
            begin, count = begin + count, min(2 * count, _COLUMNS)
        return wanted

    def _compare_matrix(self, columns: Indices, rows: Indices) -> None:
        near = different_bits(self._hashes[rows][:, None] ^ self._hashes[columns]) <= MAX_DIFFERENT_BITS
        if rows[0] <= columns[-1]:
            near &= columns < rows[:, None]
        row, column = np.divmod(np.flatnonzero(near), len(columns))
        self._note(columns[column], rows[row])

    def _note(self, earlier: Indices, later: Indices) -> None:
        """Note pairs of near hashes whose ratios agree."""
        if len(earlier):
            like = np.abs(self._ratios[earlier] / self._ratios[later] - 1) <= _SAME_PROPORTIONS
            np.minimum.at(self.first, later[like], earlier[like])

    def _divide(self, photos: Indices, wanted: Indices, until_settled: float) -> bool:
        """Settle what is wanted among many photos if there is a cheaper way than to compare one by one.

        Args:
            photos: the photos.
            wanted: those to settle.
            until_settled: how many photos one is compared with, on average, until one is like it.

        Returns:
            False if there is none; nothing was done then.
        """
        hashes = self._hashes[photos]
        varying = np.bitwise_or.reduce(hashes) ^ np.bitwise_and.reduce(hashes)
        n_varying = int(varying).bit_count()
        some = hashes[:: max(1, len(hashes) // _SAMPLE)]
        bits = _informative_bits(some)
        pairs = len(photos) * len(wanted) / 2
        ways: dict[int | str, float] = {"compare": min(pairs, len(wanted) * until_settled) * _MATRIX_PAIR}
        if n_varying <= _CUBE_BITS and len(self.first) < 1 << 31 and self._all_like(photos):
            ways["look up"] = 2.0**n_varying * n_varying * MAX_DIFFERENT_BITS * _CUBE_CELL
        for n_blocks in _BLOCKS:
            equal = np.mean([_share_equal(some & mask) for mask in islice(_masks(bits, n_blocks), _TRIED)])
            once = len(photos) * _SORTED + pairs * float(equal) * _SHIFTED_PAIR
            ways[n_blocks] = comb(n_blocks, MAX_DIFFERENT_BITS) * once
        best = min(ways, key=lambda way: ways[way])
        if isinstance(best, int):
            for mask in _masks(bits, best):
                self._compare_equal(photos, wanted, mask)
        elif best == "look up":
            self._look_up(photos, wanted, int(varying))
        return best != "compare"

    def _all_like(self, photos: Indices) -> bool:
        """Return whether the ratios of any two photos agree."""
        ratios = self._ratios[photos]
        low, high = ratios.min(), ratios.max()
        return bool(high / low - 1 <= _SAME_PROPORTIONS and 1 - low / high <= _SAME_PROPORTIONS)

    def _compare_equal(self, photos: Indices, wanted: Indices, mask: np.uint64) -> None:
        """Compare the photos whose hashes are equal under a mask."""
        keys = self._hashes[photos] & mask
        order = np.argsort(keys, kind="stable")  # equal keys side by side, by index
        keys, photos = keys[order], photos[order]
        del order
        is_wanted = np.zeros(len(self.first), bool)
        is_wanted[wanted] = True
        is_wanted = is_wanted[photos]
        begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        lengths = np.diff(begins, append=len(keys))
        long = lengths > _SHORT_RUN
        for begin, length in zip(begins[long].tolist(), lengths[long].tolist(), strict=True):
            run = photos[begin : begin + length]
            here = run[is_wanted[begin : begin + length]]
            is_wanted[begin : begin + length] = False
            if len(here):
                self.settle(run, here)
        hashes = self._hashes[photos]
        later = np.flatnonzero(is_wanted)
        distance = 1
        while len(later := later[later >= distance]):
            earlier = later - distance
            same = keys[later] == keys[earlier]
            later, earlier = later[same], earlier[same]
            near = different_bits(hashes[later] ^ hashes[earlier]) <= MAX_DIFFERENT_BITS
            self._note(photos[earlier[near]], photos[later[near]])
            distance += 1

    def _look_up(self, photos: Indices, wanted: Indices, varying: int) -> None:
        """Settle photos that all have like proportions and differ in a few bits: in a table of all hashes.

        Each step spreads the first photo of a hash to the hashes that differ from it by one bit more.
        """
        places = [bit for bit in range(64) if varying >> bit & 1]

        def number_of(some: Indices) -> Indices:
            hashes, numbers = self._hashes[some], np.zeros(len(some), np.intp)
            for position, bit in enumerate(places):
                numbers |= ((hashes >> np.uint64(bit)) & np.uint64(1)).astype(np.intp) << position
            return numbers

        first = np.full(1 << len(places), len(self.first), np.int32)
        np.minimum.at(first, number_of(photos), photos.astype(np.int32))
        for _ in range(MAX_DIFFERENT_BITS):
            before = first.copy()
            for position in range(len(places)):
                shape = (-1, 2, 1 << position)
                spread = first.reshape(shape)
                np.minimum(spread, before.reshape(shape)[:, ::-1], out=spread)
        found = first[number_of(wanted)].astype(np.intp)
        found[found >= wanted] = len(self.first)  # each finds itself
        self.first[wanted] = np.minimum(self.first[wanted], found)


def _informative_bits(hashes: Hashes) -> Hashes:
    """Return all 64 single bits, (64,), those that tell most hashes apart first."""
    octets = np.ascontiguousarray(hashes, "<u8").view(np.uint8).reshape(-1, 8)
    often = np.unpackbits(octets, axis=1, bitorder="little").mean(axis=0)
    order = np.argsort(np.abs(often - 0.5), kind="stable").astype(np.uint64)
    return np.uint64(1) << order


def _masks(bits: Hashes, n_blocks: int) -> Iterator[np.uint64]:
    """Divide the bits into blocks; yield a mask of each choice of all blocks but `MAX_DIFFERENT_BITS`."""
    blocks = [np.bitwise_or.reduce(bits[block::n_blocks]) for block in range(n_blocks)]
    for chosen in combinations(blocks, n_blocks - MAX_DIFFERENT_BITS):
        yield np.bitwise_or.reduce(np.array(chosen, np.uint64))


def _share_equal(keys: Hashes) -> float:
    """Return the share of pairs that are equal."""
    counts = np.unique(keys, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / max(1, len(keys) * (len(keys) - 1)))
