"""Folds: groups stay together, individuals are spread, sizes agree, leaks are counted."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detic_crop.report.similar_hashes import different_bits, similar_groups
from detic_crop.splits.folds import UNSEEN, Sightings, is_parted, random_leaks, split
from detic_crop.splits.together import ALONE, connected, joined, without_single

NOBODY = Sightings(np.empty(0, np.int64), np.empty(0, np.int64))


def sightings(individuals: list[int]) -> Sightings:
    """Return the sightings of one individual in each photo; -1: of none."""
    found = np.array(individuals, np.int64)
    photos = np.flatnonzero(found >= 0)
    return Sightings(photos, np.unique(found[photos], return_inverse=True)[1])


def partition(labels: NDArray[np.integer]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in labels}


LABELS = st.lists(st.integers(ALONE, 8), min_size=1, max_size=60)


@settings(derandomize=True, deadline=None)
@given(LABELS, st.data())
def test_photos_are_joined_as_one_by_one(first: list[int], data: st.DataObject) -> None:
    size = len(first)
    second = data.draw(st.lists(st.integers(ALONE, 8), min_size=size, max_size=size))
    groups = [{photo} for photo in range(size)]
    for labels in (first, second):
        for a in range(size):
            for b in range(a):
                if labels[a] == labels[b] != ALONE and groups[a] is not groups[b]:
                    groups[a] |= groups[b]
                    for photo in groups[b]:
                        groups[photo] = groups[a]
    found = joined(size, np.array(first), np.array(second))
    assert partition(found) == {frozenset(group) for group in groups}
    assert found[0] == 0
    assert set(found.tolist()) == set(range(found.max() + 1))


def test_long_chains_are_joined() -> None:
    numbers = np.random.default_rng(0).permutation(10_000)
    assert not connected(10_000, numbers[1:], numbers[:-1]).any()


def test_nothing_is_joined_without_a_reason() -> None:
    assert joined(3).tolist() == [0, 1, 2]


def test_a_label_of_one_photo_is_none() -> None:
    assert without_single(np.array([4, 7, 4, ALONE])).tolist() == [4, ALONE, 4, ALONE]


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 1023), max_size=60), st.integers(1, 6))
def test_similar_hashes_are_joined_as_one_by_one(values: list[int], apart: int) -> None:
    hashes = np.array(values, np.uint64) << np.uint64(apart)
    ratios = np.ones(len(hashes))
    near = np.nonzero(different_bits(hashes[:, None] ^ hashes) <= 3)
    assert partition(similar_groups(hashes, ratios)) == partition(connected(len(hashes), *near))


def test_hashes_that_are_like_two_groups_join_them() -> None:
    # The third is like both; the first one before it alone would leave the others apart.
    hashes = np.array([0b000000, 0b111111, 0b000111], np.uint64)
    assert similar_groups(hashes, np.ones(3)).tolist() == [0, 0, 0]


@settings(derandomize=True, deadline=None, max_examples=200)
@given(LABELS, st.integers(2, 5), st.sampled_from([0.0, 0.1, 0.5]), st.integers(0, 3), st.data())
def test_no_group_is_parted_and_every_photo_has_one_fold(
    labels: list[int], n_folds: int, unseen: float, seed: int, data: st.DataObject
) -> None:
    groups = joined(len(labels), np.array(labels))
    individuals = data.draw(st.lists(st.integers(-1, 6), min_size=len(labels), max_size=len(labels)))
    seen = sightings(individuals)
    found = split(groups, seen, n_folds, unseen, seed)
    assert len(found.folds) == len(labels)
    assert set(found.folds.tolist()) <= {UNSEEN, *range(n_folds)}
    for group in range(groups.max() + 1):
        assert len(set(found.folds[groups == group].tolist())) == 1
    # Nobody is half held out, and nothing is without one who is.
    is_held_out = found.held_out[seen.individuals]
    assert (found.folds[seen.photos[is_held_out]] == UNSEEN).all()
    with_held_out = set(groups[seen.photos[is_held_out]].tolist())
    assert set(groups[found.folds == UNSEEN].tolist()) == with_held_out
    assert found.held_out.sum() == (max(1, round(unseen * seen.count)) if unseen and seen.count else 0)
    # The bound on the size.
    dealt = found.folds[found.folds != UNSEEN]
    largest = np.bincount(groups[found.folds != UNSEEN], minlength=1).max()
    assert np.bincount(dealt, minlength=n_folds).max() <= len(dealt) / n_folds + largest
    again = split(groups, seen, n_folds, unseen, seed)
    assert np.array_equal(again.folds, found.folds)


def test_individuals_are_spread_over_all_folds() -> None:
    individuals = np.repeat(np.arange(20), 10)
    found = split(np.arange(200), sightings(individuals.tolist()), 5, 0, 0)
    for individual in range(20):
        assert np.bincount(found.folds[individuals == individual], minlength=5).tolist() == [2] * 5
    assert found.in_one_group == 0


def test_groups_of_any_size_fill_the_folds_evenly() -> None:
    sizes = np.random.default_rng(3).geometric(0.1, 300)
    found = split(np.repeat(np.arange(300), sizes), NOBODY, 5, 0, 0)
    filled = np.bincount(found.folds)
    assert filled.max() - filled.min() <= 1


def test_one_who_is_seen_once_is_counted() -> None:
    found = split(np.array([0, 0, 1, 2]), sightings([0, 0, 1, 1]), 2, 0, 0)
    assert found.in_one_group == 1


def test_those_are_held_out_who_take_few_others_along() -> None:
    groups = np.array([0, 0, 0, 1, 2, 3, 4])
    found = split(groups, sightings([0, 1, 2, 3, 3, 0, 1]), 2, 0.25, 0)
    assert found.held_out.tolist() == [False, False, False, True]
    assert (found.folds == UNSEEN).tolist() == [False, False, False, True, True, False, False]


def test_another_seed_gives_other_folds_of_the_same_sizes() -> None:
    groups = np.arange(50)
    first, second = (split(groups, NOBODY, 5, 0, seed).folds for seed in (0, 1))
    assert not np.array_equal(first, second)
    assert np.bincount(first).tolist() == np.bincount(second).tolist() == [10] * 5


def test_a_photo_may_show_several() -> None:
    pod = Sightings(np.array([0, 0, 1, 2]), np.array([0, 1, 0, 1]))
    found = split(np.array([0, 1, 2]), pod, 2, 0, 0)
    assert found.folds[1] != found.folds[0] or found.folds[2] != found.folds[0]


def test_leaks_are_those_of_the_same_draws() -> None:
    labels = np.repeat([0, 1, ALONE, 2], [2, 3, 4, 1])
    other = np.full(10, ALONE)
    leaks = random_leaks([labels, other], 5, 7, draws=3)
    expected = []
    for draw in range(3):
        folds = np.random.default_rng([7, draw]).permutation(10) % 5
        expected.append(
            sum(
                any(labels[a] == labels[b] != ALONE and folds[a] != folds[b] for b in range(10))
                for a in range(10)
            )
        )
    assert leaks.tolist() == [np.mean(expected), 0, np.mean(expected)]


def test_nothing_of_a_split_is_parted() -> None:
    labels = np.array([0, 0, 1, ALONE, 1])
    folds = split(joined(5, labels), NOBODY, 2, 0, 0).folds
    assert not is_parted(labels, folds).any()
    assert is_parted(labels, np.array([0, 1, 0, 0, 0])).tolist() == [True, True, False, False, False]
