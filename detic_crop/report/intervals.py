"""Confidence intervals: of shares, and of estimates from a stratified sample of a finite population."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

LEVEL = 0.95
METHOD = (
    "exact limits of each stratum for a finite population (Clopper-Pearson with hypergeometric tails), "
    "joined by the method of variance estimates recovery (MOVER)"
)
"""How `stratified_total` makes its intervals, in words."""


@dataclass(frozen=True, slots=True)
class Count:
    """What a sample of one stratum showed.

    Attributes:
        size: number of units in the stratum.
        drawn: number of units in the sample, drawn without replacement.
        judged: number of drawn units that were looked at; at least one.
        hits: number of judged units that have the counted property.
    """

    size: int
    drawn: int
    judged: int
    hits: int

    @property
    def total(self) -> float:
        """Estimated number of units of the stratum that have the property."""
        return self.size * self.hits / self.judged


class Interval(NamedTuple):
    """An estimate and its confidence limits."""

    value: float
    low: float
    high: float

    def plus(self, shift: float) -> Interval:
        """Return the interval shifted by a known number."""
        return Interval(self.value + shift, self.low + shift, self.high + shift)

    def over(self, divisor: float) -> Interval:
        """Return the interval as a share of `divisor`, within [0, 1]."""
        return Interval(*(min(1.0, max(0.0, number / divisor)) for number in self))

    def complement(self) -> Interval:
        """Return the interval of 1 − share."""
        return Interval(1 - self.value, 1 - self.high, 1 - self.low)

    def percents(self) -> tuple[str, str, str]:
        """Return a share in per cent, to one decimal; limits that differ are rounded outwards."""
        value = f"{100 * self.value:.1f}"
        if math.isclose(self.low, self.high):
            return value, value, value
        low, high = math.floor(1000 * self.low + 1e-9) / 10, math.ceil(1000 * self.high - 1e-9) / 10
        return value, f"{low:.1f}", f"{high:.1f}"


def stratified_total(counts: Sequence[Count], level: float = LEVEL) -> Interval:
    """Estimate how many units of all strata together have the property.

    The estimate is the sum of ``size × hits / judged``. Each stratum gets exact limits, see
    `hypergeometric_limits`; these are joined by the method of variance estimates recovery: the distances from
    estimate to limit add in quadrature (Zou, Huang & Zhang 2009, A note on confidence interval estimation for
    a linear function of binomial proportions, Computational Statistics & Data Analysis 53: 1080–1085). Drawn
    units that were not judged count as lacking the property for the lower limit and as having it for the
    upper one.

    Args:
        counts: one count per stratum.
        level: confidence level.
    """
    value = sum(count.total for count in counts)
    below = above = 0.0
    for count in counts:
        left = count.drawn - count.judged
        low, _ = hypergeometric_limits(count.size, count.drawn, count.hits, level)
        _, high = hypergeometric_limits(count.size, count.drawn, count.hits + left, level)
        below += (count.total - low) ** 2
        above += (high - count.total) ** 2
    return Interval(value, value - math.sqrt(below), value + math.sqrt(above))


def hypergeometric_limits(size: int, drawn: int, hits: int, level: float = LEVEL) -> tuple[int, int]:
    """Return exact limits for the number of units of a finite population that have a property.

    The Clopper–Pearson construction with hypergeometric tails (Clopper & Pearson 1934, Biometrika 26:
    404–413; Buonaccorsi 1987, A note on confidence intervals for proportions in finite populations, The
    American Statistician 41: 215–218): every number whose tail beyond `hits` has a probability above
    ``(1 - level) / 2``. They cover the truth at least as often as `level` says, however few the hits; when
    everything was drawn, both are `hits`.

    Args:
        size: size of the population.
        drawn: number of units drawn without replacement; at least one.
        hits: number of drawn units that have the property.
        level: confidence level.
    """
    tail = (1 - level) / 2
    most = size - drawn + hits  # if all units that were not drawn had it
    high = _last(hits, most, lambda total: _at_most(hits, size, total, drawn) > tail)
    # At least `hits` that have it is at most `drawn - hits` that lack it.
    lacking = _last(
        drawn - hits, size - hits, lambda total: _at_most(drawn - hits, size, total, drawn) > tail
    )
    return size - lacking, high


def share_of(hits: int, drawn: int, level: float = LEVEL) -> Interval:
    """Return the share of units with a property and its interval, from a sample of an endless population.

    The score interval (Wilson 1927, Probable inference, the law of succession, and statistical inference,
    Journal of the American Statistical Association 22: 209–212), which Brown, Cai & DasGupta (2001, Interval
    estimation for a binomial proportion, Statistical Science 16: 101–133) recommend.

    Args:
        hits: number of units that have the property.
        drawn: number of units that were looked at; at least one.
        level: confidence level.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, weight = hits / drawn, z * z / drawn
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / drawn + weight / (4 * drawn)) / (1 + weight)
    low, high = 0.0 if hits == 0 else middle - half, 1.0 if hits == drawn else middle + half
    return Interval(share, low, high)


def sign_test(one: int, other: int) -> float:
    """Return how likely chance alone parts one + other cases at least as unequally: exact, two-sided.

    With the cases that only one of two methods gets right it is McNemar's test in its exact form (McNemar
    1947, Note on the sampling error of the difference between correlated proportions or percentages,
    Psychometrika 12: 153–157).
    """
    cases = one + other
    tail = math.fsum(
        math.exp(_log_binomial(cases, i) - cases * math.log(2)) for i in range(min(one, other) + 1)
    )
    return min(1.0, 2 * tail)


def _last(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the last number for which `holds` is true: it holds for `low`, and never again once it fails."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _at_most(hits: int, size: int, total: int, drawn: int) -> float:
    """Return the probability of at most `hits` among `drawn` of `size` units if `total` have the property."""
    first = max(0, drawn - (size - total))
    whole = _log_binomial(size, drawn)
    return math.fsum(
        math.exp(_log_binomial(total, i) + _log_binomial(size - total, drawn - i) - whole)
        for i in range(first, min(hits, total) + 1)
    )


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
