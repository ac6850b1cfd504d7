"""Confidence limits: against exact arithmetic, by hand, and by how often they hold the truth."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop.report.intervals import (
    Count,
    Interval,
    hypergeometric_limits,
    share_of,
    sign_test,
    stratified_total,
)


def exact_limits(size: int, drawn: int, hits: int, level: Fraction) -> tuple[int, int]:
    """The definition, tried for every number there may be, in whole numbers."""
    ways = comb(size, drawn)
    tail = (1 - level) / 2

    def probability(total: int, outcomes: range) -> Fraction:
        return Fraction(sum(comb(total, i) * comb(size - total, drawn - i) for i in outcomes), ways)

    possible = [
        total
        for total in range(hits, size - drawn + hits + 1)
        if probability(total, range(hits + 1)) > tail and probability(total, range(hits, drawn + 1)) > tail
    ]
    return min(possible), max(possible)


@given(st.data())
def test_limits_are_those_of_the_definition(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 60))
    drawn = data.draw(st.integers(1, size))
    hits = data.draw(st.integers(0, drawn))
    level = data.draw(st.sampled_from([Fraction(8, 10), Fraction(95, 100), Fraction(99, 100)]))
    assert hypergeometric_limits(size, drawn, hits, float(level)) == exact_limits(size, drawn, hits, level)


def test_limits_by_hand() -> None:
    # None of 10: of a very large population at most 1 − 0.025^(1/10) = 30.85 % (Clopper and Pearson's).
    low, high = hypergeometric_limits(10**7, 10, 0)
    assert low == 0
    assert high / 10**7 == pytest.approx(0.30850, abs=1e-5)
    assert hypergeometric_limits(10**7, 10, 10) == (10**7 - high, 10**7)
    # 8 of 100, a textbook case: 3.517 % to 15.156 %.
    low, high = hypergeometric_limits(10**7, 100, 8)
    assert (low / 10**7, high / 10**7) == pytest.approx((0.03517, 0.15156), abs=1e-5)
    # One of two drawn of three: the third may be either.
    assert hypergeometric_limits(3, 2, 1) == (1, 2)


def test_everything_drawn_leaves_no_doubt() -> None:
    assert hypergeometric_limits(7, 7, 3) == (3, 3)
    assert stratified_total([Count(7, 7, 7, 3), Count(2, 2, 2, 0)]) == Interval(3, 3, 3)
    assert stratified_total([]) == Interval(0, 0, 0)


def test_one_stratum_has_its_exact_limits() -> None:
    low, high = hypergeometric_limits(900, 30, 3)
    assert stratified_total([Count(900, 30, 30, 3)]) == pytest.approx((90, low, high))


def test_strata_add_and_their_distances_add_in_quadrature() -> None:
    counts = [Count(900, 30, 30, 3), Count(100, 20, 20, 10)]
    (low_a, high_a), (low_b, high_b) = (hypergeometric_limits(c.size, c.drawn, c.hits) for c in counts)
    expected = (
        90 + 50,
        140 - ((90 - low_a) ** 2 + (50 - low_b) ** 2) ** 0.5,
        140 + ((high_a - 90) ** 2 + (high_b - 50) ** 2) ** 0.5,
    )
    assert stratified_total(counts) == pytest.approx(expected)


def test_what_was_not_judged_counts_both_ways() -> None:
    known, partly = (stratified_total([Count(900, 30, judged, 3)]) for judged in (30, 28))
    assert partly.low == known.low
    assert partly.high == hypergeometric_limits(900, 30, 5)[1] > known.high
    assert partly.value == pytest.approx(900 * 3 / 28)


def test_shares_and_shifts() -> None:
    total = Interval(20, 10, 40)
    assert total.over(100) == pytest.approx((0.2, 0.1, 0.4))
    assert total.over(100).complement() == pytest.approx((0.8, 0.6, 0.9))
    assert total.plus(-15).over(100) == pytest.approx((0.05, 0.0, 0.25))  # fewer than none there cannot be
    assert total.over(25) == pytest.approx((0.8, 0.4, 1.0))


# Sizes, drawn and truly wrong of each stratum: as the allocation makes them, from hardly any mistake to many,
# mistakes where they are expected and where they are not.
SCENARIOS = [
    ([1000, 2000, 7000], [23, 29, 48], [300, 200, 140]),
    ([1000, 2000, 7000], [23, 29, 48], [20, 20, 14]),
    ([1000, 2000, 7000], [23, 29, 48], [0, 0, 350]),
    ([1000, 2000, 7000], [23, 29, 48], [500, 0, 0]),
    ([100, 200, 700], [23, 29, 48], [30, 20, 7]),
    ([100, 200, 700], [5, 5, 10], [30, 20, 7]),
    ([2000, 8000], [24, 76], [1000, 1600]),
    ([2000, 8000], [24, 76], [10, 10]),
    ([20, 80], [5, 5], [10, 16]),
]


@pytest.mark.parametrize(("sizes", "drawn", "wrong"), SCENARIOS)
def test_limits_hold_the_truth_as_often_as_they_say(
    sizes: list[int], drawn: list[int], wrong: list[int]
) -> None:
    """4,000 seeded samples each. Of a coverage of exactly 95 % so many give 95 % ± 0.34 % (one standard
    deviation); the bound is three below."""
    rng = np.random.default_rng(7)
    lacking = [size - bad for size, bad in zip(sizes, wrong, strict=True)]
    outcomes = rng.hypergeometric(wrong, lacking, drawn, size=(4000, len(sizes)))  # (samples, strata)
    held = 0
    for hits, times in zip(*np.unique(outcomes, axis=0, return_counts=True), strict=True):
        counts = [Count(*numbers) for numbers in zip(sizes, drawn, drawn, hits.tolist(), strict=True)]
        total = stratified_total(counts)
        held += int(times) * (total.low <= sum(wrong) <= total.high)
    assert held / 4000 >= 0.95 - 3 * 0.0034


def test_the_share_of_an_endless_population() -> None:
    # Of no hit the upper limit is z² / (n + z²); the other by Wilson's formula, worked by hand.
    assert share_of(0, 20) == pytest.approx((0.0, 0.0, 0.1611), abs=1e-4)
    assert share_of(9, 10) == pytest.approx((0.9, 0.5958, 0.9821), abs=1e-4)
    assert share_of(20, 20).complement() == pytest.approx(share_of(0, 20))


def test_the_sign_test() -> None:
    assert sign_test(0, 0) == sign_test(3, 3) == 1.0
    assert sign_test(0, 5) == pytest.approx(2 / 32)
    assert sign_test(6, 20) == pytest.approx(sign_test(20, 6))
    assert sign_test(2, 8) == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert 0 <= sign_test(400, 900) < 1e-30
