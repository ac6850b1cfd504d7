"""How the scores of each species or class are spread: one row for each, to be compared at a glance."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detic_crop.report.rates import Group, Rates

WIDTH = 320
_LEFT, _RIGHT = 8.0, 312.0
_TOP = 22.0
_ROW = 30.0
_MOST_ROWS = 10
_FEW = 20  # scores that are shown one by one


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """The scores of one species or class, in px of the plot.

    Attributes:
        name: the species or class.
        number: number of scores.
        y: where the row lies.
        low, lower, median, upper, high: the 5th, 25th, 50th, 75th and 95th percentile.
        dots: the scores themselves, where they are few; else none.
        words: the same in words.
    """

    name: str
    number: int
    y: float
    low: float
    lower: float
    median: float
    upper: float
    high: float
    dots: Sequence[float]
    words: str


@dataclass(frozen=True, slots=True)
class ScoreRows:
    """The plot.

    Attributes:
        by: what the rows are: name of a label column, or ``class``.
        rows: the most frequent first.
        left_out: number of species or classes without a row.
        height: height of the plot, px; it is `WIDTH` wide.
        floor: where the axis lies, px.
        ticks: (position, text) on the axis.
        conf: position of the limit; None if there is none.
    """

    by: str
    rows: Sequence[ScoreRow]
    left_out: int
    height: float
    floor: float
    ticks: Sequence[tuple[float, str]]
    conf: float | None


def score_rows(rates: Rates, conf: float | None) -> ScoreRows | None:
    """Return the scores by species, else by class; None if there is nothing to compare.

    Args:
        rates: the scores of the run.
        conf: the limit below which no box counts; None if there are several.
    """
    species = rates.species()
    groups: Mapping[str, Group] = rates.classes() if species is None else species.groups
    scored = sorted(
        ((name, group.scores) for name, group in groups.items() if len(group.scores)),
        key=lambda item: -len(item[1]),
    )
    if len(scored) < 2:
        return None
    rows = [_row(name or "(none)", scores, place) for place, (name, scores) in enumerate(scored[:_MOST_ROWS])]
    floor = _TOP + _ROW * len(rows) - 8
    return ScoreRows(
        "class" if species is None else species.column,
        rows,
        len(scored) - len(rows),
        floor + 22,
        floor,
        [(_x(value), f"{value:g}") for value in (0, 0.25, 0.5, 0.75, 1)],
        _x(conf) if conf is not None and 0 < conf < 1 else None,
    )


def _row(name: str, scores: array[float], place: int) -> ScoreRow:
    values = np.array(scores)
    low, lower, median, upper, high = np.percentile(values, [5, 25, 50, 75, 95]).tolist()
    words = f"median {median:.2f}" + (f", half from {lower:.2f} to {upper:.2f}" if len(values) > 1 else "")
    dots = [_x(value) for value in values.tolist()] if len(values) < _FEW else []
    return ScoreRow(
        name,
        len(values),
        _TOP + _ROW * place,
        _x(low),
        _x(lower),
        _x(median),
        _x(upper),
        _x(high),
        dots,
        words,
    )


def _x(score: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * min(1.0, max(0.0, score))
