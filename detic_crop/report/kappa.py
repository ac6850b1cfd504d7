"""How far two persons agree beyond chance: Cohen's kappa of a table of what both said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from detic_crop.report.intervals import LEVEL

METHOD = (
    "Cohen's kappa (Cohen 1960) of the photos that both judged, not weighted by stratum; interval from the "
    "large-sample variance of Fleiss, Cohen and Everitt 1969"
)
"""What `cohens_kappa` calculates, in words."""


class Kappa(NamedTuple):
    """Cohen's kappa.

    Attributes:
        value: 1 for full agreement, 0 for as much as chance gives.
        low, high: confidence limits; None where both agree on every photo, for which the formula would give
            an interval without any width.
    """

    value: float
    low: float | None = None
    high: float | None = None


def cohens_kappa(table: Sequence[Sequence[int]], level: float = LEVEL) -> Kappa | None:
    """Return Cohen's kappa of a square table, (K, K), of counts: what one person said by what the other said.

    ``(p_o - p_e) / (1 - p_e)``, with the share ``p_o`` of the diagonal and the share ``p_e`` that the margins
    would put there by chance (Cohen 1960, A coefficient of agreement for nominal scales, Educational and
    Psychological Measurement 20: 37-46). The limits are normal ones, from the variance of Fleiss, Cohen &
    Everitt 1969, Large sample standard errors of kappa and weighted kappa, Psychological Bulletin 72:
    323-327. It takes the photos for a simple random sample of all that might be judged.

    Args:
        table: counts, of at least one photo.
        level: confidence level.

    Returns:
        None where kappa is not defined: both said one and the same of every photo, so that chance alone would
        give full agreement.
    """
    counts = np.array(table, np.float64)
    total = counts.sum()
    shares = counts / total
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed, by_chance = float(np.trace(shares)), float(rows @ columns)
    if np.count_nonzero(rows) == np.count_nonzero(columns) == 1 and observed == 1:
        return None
    value = (observed - by_chance) / (1 - by_chance)
    if np.trace(counts) == total:
        return Kappa(1.0)
    agreeing = np.diag(shares) * ((1 - by_chance) - (rows + columns) * (1 - observed)) ** 2
    differing = shares * (columns[:, None] + rows[None, :]) ** 2  # (K, K)
    np.fill_diagonal(differing, 0.0)
    variance = (
        agreeing.sum()
        + (1 - observed) ** 2 * differing.sum()
        - (observed * by_chance - 2 * by_chance + observed) ** 2
    ) / (total * (1 - by_chance) ** 4)
    reach = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(max(0.0, float(variance)))
    return Kappa(value, max(-1.0, value - reach), min(1.0, value + reach))
