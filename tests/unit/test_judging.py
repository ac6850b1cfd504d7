"""How a taught detector is judged: grades, folds, and a strength that is not chosen by its own figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple

import numpy as np
import pytest

from detic_crop.boxes.detections import Detections
from detic_crop.detectors.lite.judging import Figures, Grade, folds_of, grade, judge

BOX = (10.0, 10.0, 30.0, 20.0)


def found(*boxes: tuple[float, float, float, float], score: float = 0.9) -> Detections:
    return Detections(
        np.array(boxes, np.float32), np.full(len(boxes), score, np.float32), ("a",) * len(boxes)
    )


def test_grades_by_hand() -> None:
    assert grade(found(BOX), BOX, 0.5) == Grade(True, 1.0, 1.0)
    assert grade(found((10, 10, 30, 30)), BOX, 0.5) == Grade(True, 0.5, 0.5 / 0.85)
    assert grade(found((11, 10, 30, 20)), BOX, 0.5) == pytest.approx((True, 0.95, 1.0))
    assert grade(found(BOX, (40, 40, 90, 90)), BOX, 0.5) == Grade(True, 0.0, 0.0)  # the largest is chosen
    assert grade(found(BOX, score=0.4), BOX, 0.5) == Grade(False, 0.0, 0.0)
    assert grade(found(BOX), None, 0.5) == Grade(True, 0.0, 0.0)
    assert grade(found(BOX, score=0.4), None, 0.5) == Grade(False, 0.0, 1.0)


def test_figures_by_hand() -> None:
    grades = [Grade(True, 0.8, 1.0), Grade(True, 0.4, 0.5), Grade(False, 0.0, 0.0), Grade(True, 0.0, 0.0)]
    figures = Figures.of([BOX, BOX, BOX, None], grades)
    assert astuple(figures) == pytest.approx((3, 1, 0.4, 1 / 3, 2 / 3, 1.0))
    assert np.isnan(Figures.of([BOX], grades[:1]).false_alarms)


def test_folds_keep_groups_whole_and_share_the_animals() -> None:
    groups = ["a"] * 6 + ["b"] * 3 + ["c"] * 2 + ["d", "e", "f", "g"]
    folds = folds_of(groups, [True] * 11 + [False] * 4, 3)
    assert len(set(folds)) == 3
    assert len({fold for group, fold in zip(groups, folds, strict=True) if group == "a"}) == 1
    assert {len({f for g, f in zip(groups, folds, strict=True) if g == name}) for name in "abc"} == {1}
    assert len({folds[0], folds[6], folds[9]}) == 3  # each has a group with animals
    assert folds_of(["x", "y"], [True, True]) in ([0, 1], [1, 0])


def judged(worth: Sequence[Sequence[float]], groups: Sequence[str]) -> tuple[float, float, bool, list[float]]:
    """Judge strengths 0, 1, 2 … whose worth for each photo is given."""
    folds = folds_of(groups, [True] * len(groups))

    def grades(taught: Sequence[int], asked: Sequence[int], strength: float) -> Iterator[Grade]:
        assert not {groups[i] for i in taught} & {groups[i] for i in asked}
        return (Grade(True, worth[int(strength)][i], worth[int(strength)][i]) for i in asked)

    found = judge(folds, groups, range(len(worth)), grades)
    return found.strength, found.gain, found.helps, [each.worth for each in found.after]


def test_a_strength_that_is_better_everywhere_is_taken() -> None:
    groups = [f"g{i % 6}" for i in range(30)]
    strength, gain, helps, after = judged([[0.5] * 30, [0.7] * 30, [0.6] * 30], groups)
    assert (strength, helps) == (1, True)
    assert gain == pytest.approx(0.2)
    assert after == [0.7] * 30


def test_one_lucky_group_is_not_enough() -> None:
    groups = [f"g{i % 6}" for i in range(30)]
    lucky = [1.0 if group == "g0" else 0.5 for group in groups]
    assert judged([[0.5] * 30, lucky], groups)[:3] == (0, 0.0, False)


def test_what_does_harm_is_not_taken() -> None:
    groups = [f"g{i % 6}" for i in range(30)]
    assert judged([[0.5] * 30, [0.4] * 30, [0.5] * 30], groups)[:3] == (0, 0.0, False)


def test_the_figures_are_not_those_of_the_best_of_many_strengths() -> None:
    """Of strengths that differ by chance the best looks better than it is; what is reported does not."""
    gains, best = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        groups = [f"g{i % 8}" for i in range(40)]
        worth = rng.uniform(0.3, 0.7, (5, 40))
        gains.append(judged(worth.tolist(), groups)[1])
        best.append(worth.mean(1).max() - worth[0].mean())
    assert np.mean(best) > 0.01
    assert abs(np.mean(gains)) < 3 * np.std(gains) / len(gains) ** 0.5 + 1e-9


def test_two_groups_can_be_judged() -> None:
    groups = ["a"] * 10 + ["b"] * 10
    strength, gain, helps, _ = judged([[0.5] * 20, [0.7 + 0.01 * (i % 3) for i in range(20)]], groups)
    assert (strength, helps) == (1, True)
    assert gain > 0.19
