"""Folds for cross-validation that part no group of photos and spread each individual over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detic_crop.splits.together import ALONE

Integers = NDArray[np.integer]

UNSEEN = -1
"""Fold of the photos of individuals that are wholly held out."""

DRAWS = 5
"""Random splits over which leaks are averaged."""


@dataclass(frozen=True, slots=True)
class Sightings:
    """Which individuals are in which of N photos; a photo may show several, or nobody known.

    Attributes:
        photos: (M,) photo of each sighting.
        individuals: (M,) individual of each, numbered from 0 without a gap.
    """

    photos: NDArray[np.int64]
    individuals: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of individuals."""
        return int(self.individuals.max(initial=-1)) + 1

    def by_group(self, groups: Integers) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the group and the individual of each pair that meets, by group, and in how many photos."""
        width = max(1, self.count)
        keys, photos = np.unique(groups[self.photos] * width + self.individuals, return_counts=True)
        return keys // width, keys % width, photos


@dataclass(frozen=True, slots=True)
class Folds:
    """A fold for each of N photos, and what is worth knowing of them.

    Attributes:
        folds: (N,) fold of each photo, from 0; `UNSEEN` for those that are held out.
        held_out: (I,) True of the individuals that are in no fold.
        in_one_group: number of the other individuals whose photos are all in one group, so in one fold.
    """

    folds: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    in_one_group: int


def split(groups: Integers, sightings: Sightings, n_folds: int, unseen: float, seed: int) -> Folds:
    """Return folds in which no group is parted.

    Groups are dealt out one by one, the largest first, to the fold that has least of what the group would
    bring: of its individuals, then of photos. That is the idea of the greedy stratified grouping that
    scikit-learn's `StratifiedGroupKFold` documents, with the rule for identical machines of Graham 1969
    ("Bounds on multiprocessing timing anomalies") in place of its deviation over all classes, which takes a
    look at all individuals for each group. A fold takes no group that would lift it above its share while
    another one is emptier, so none has more than its share and one group's photos.

    Args:
        groups: (N,) group of each photo, numbered from 0 without a gap.
        sightings: the individuals in them.
        n_folds: number of folds.
        unseen: share of the individuals to hold out.
        seed: of the random numbers that choose among equals.
    """
    random = np.random.default_rng(seed)
    sizes = np.bincount(groups, minlength=1)
    pairs = sightings.by_group(groups)
    held_out = _held_out(sizes, pairs, sightings.count, unseen, random)
    of_group = np.full(len(sizes), UNSEEN, np.int64)
    order = np.lexsort((random.permutation(len(sizes)), -sizes))
    aside = np.zeros(len(sizes), bool)
    aside[pairs[0][held_out[pairs[1]]]] = True
    _deal(order[~aside[order]], sizes, pairs, sightings.count, n_folds, of_group)
    groups_of = np.bincount(pairs[1], minlength=sightings.count)
    return Folds(of_group[groups], held_out, int((groups_of[~held_out] == 1).sum()))


def _held_out(
    sizes: Integers,
    pairs: tuple[Integers, Integers, Integers],
    count: int,
    share: float,
    random: np.random.Generator,
) -> NDArray[np.bool_]:
    """Return the individuals to hold out: at random among those that take fewest photos of others along."""
    held_out = np.zeros(count, bool)
    wanted = max(1, round(share * count)) if share and count else 0
    if wanted:
        groups, individuals, photos = pairs
        others = np.bincount(individuals, sizes[groups] - photos, minlength=count)
        held_out[np.lexsort((random.permutation(count), others))[:wanted]] = True
    return held_out


def _deal(
    order: Integers,
    sizes: Integers,
    pairs: tuple[Integers, Integers, Integers],
    n_individuals: int,
    n_folds: int,
    of_group: NDArray[np.int64],
) -> None:
    """Give each group of `order` a fold."""
    groups, individuals, photos = pairs
    begins = np.searchsorted(groups, np.arange(len(sizes) + 1)).tolist()
    share = sizes[order].sum() / n_folds
    dealt = np.zeros((n_individuals, n_folds))  # share of each individual's photos that a fold has
    weights = photos / np.bincount(individuals, photos, minlength=n_individuals)[individuals]
    filled = [0] * n_folds
    for group, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        begin, end = begins[group], begins[group + 1]
        least = min(filled)
        open_folds = [f for f in range(n_folds) if filled[f] + size <= share or filled[f] == least]
        if end - begin == 0:
            fold = min(open_folds, key=filled.__getitem__)
        else:
            # Sums of squares grow by 2·had·new + new²: the second term is the same for all folds.
            cost = (weights[begin:end] @ dealt[individuals[begin:end]]).round(9).tolist()
            fold = min(open_folds, key=lambda f: (cost[f], filled[f]))
            dealt[individuals[begin:end], fold] += weights[begin:end]
        filled[fold] += size
        of_group[group] = fold


def random_leaks(
    reasons: Sequence[Integers], n_folds: int, seed: int, draws: int = DRAWS
) -> NDArray[np.float64]:
    """Return how many photos a random split would give another fold than one that belongs with it.

    Args:
        reasons: (N,) labels of why photos belong together; `ALONE` for a photo that belongs to none.
        n_folds: number of folds of equal size.
        seed: of the draws.
        draws: number of splits that are averaged.

    Returns:
        (R + 1,) photos for each reason, then for any of them.
    """
    count = len(reasons[0])
    together = [np.array(reason, np.int64) for reason in reasons]
    found = np.zeros(len(reasons) + 1)
    for draw in range(draws):
        folds = np.random.default_rng([seed, draw]).permutation(count) % n_folds
        parted = [is_parted(labels, folds) for labels in together]
        found[:-1] += [leaks.sum() for leaks in parted]
        found[-1] += np.logical_or.reduce(parted).sum()
    return found / draws


def is_parted(labels: Integers, folds: Integers) -> NDArray[np.bool_]:
    """Return of each photo whether one with its label is in another fold: (N,)."""
    known = np.flatnonzero(labels != ALONE)
    parted = np.zeros(len(labels), bool)
    if len(known):
        size = int(labels[known].max()) + 1
        low, high = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
        np.minimum.at(low, labels[known], folds[known])
        np.maximum.at(high, labels[known], folds[known])
        parted[known] = (low != high)[labels[known]]
    return parted
