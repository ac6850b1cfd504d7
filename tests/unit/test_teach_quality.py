"""The curve of `teach`: which photos are taught, at which strength, and what is counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.labelled_photos import LabelledPhoto
from benchmarks.teach_quality import (
    collections_of,
    line_of,
    point_of,
    strength_of,
    taught_and_asked,
    together,
)
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.geometry import enlarge
from tests.kit.helpers import detections

TRUTH = (40.0, 40.0, 60.0, 60.0)


def photos_of(source: str, animals: int, empty: int = 0) -> list[LabelledPhoto]:
    """Photos of 100 × 100 px, each an outing of its own."""
    return [
        LabelledPhoto(
            "set",
            Path(f"{source}_{number}.jpg"),
            (100, 100),
            TRUTH if number < animals else None,
            source,
            f"{source}{number}",
            "surface" if number < animals else "negative",
        )
        for number in range(animals + empty)
    ]


class FakeClass:
    """Untaught, its boxes are twice too large; with lessons nearer to the truth, or farther from it."""

    def __init__(self, better: bool = True) -> None:
        self.better = better

    def answers(
        self, taught: Sequence[int], asked: Sequence[int], strength: float
    ) -> Iterator[tuple[Detections, float]]:
        assert not set(taught) & set(asked)
        learnt = len(taught) * strength
        scale = 1 + 1 / (1 + learnt) if self.better else 2 + learnt / 10
        for _ in asked:
            yield detections((enlarge(TRUTH, scale), 0.9, "Marine mammal"), presence=0.9), 0.5


def test_sources_with_enough_animals() -> None:
    photos = [*photos_of("few", 3, empty=9), *photos_of("many", 9), *photos_of("most", 12, empty=2)]
    found = dict(collections_of(photos, 8))
    assert list(found) == ["most", "many"]
    assert len(found["most"]) == 14


def test_a_photo_is_taught_or_asked_about() -> None:
    photos = photos_of("a", 12, empty=6)
    indices = list(range(18))
    taught, asked = taught_and_asked(photos, indices, 4, seed=1)
    assert sum(photos[i].box is not None for i in taught) == 4
    assert sum(photos[i].box is None for i in taught) == 2
    assert len(asked) == 8
    assert not set(taught) & set(asked)
    assert all(photos[i].box is not None for i in asked)
    assert taught_and_asked(photos, indices, 4, seed=1) == (taught, asked)
    assert taught_and_asked(photos, indices, 4, seed=2) != (taught, asked)
    assert set(taught) < set(taught_and_asked(photos, indices, 8, seed=1)[0])


@pytest.mark.parametrize(("better", "helps"), [(True, True), (False, False)])
def test_strength_is_chosen_as_the_command_does(better: bool, helps: bool) -> None:
    photos = photos_of("a", 12)
    strength = strength_of(photos, list(range(12)), FakeClass(better).answers)
    assert (strength > 0) is helps


def test_too_few_photos_teach_nothing() -> None:
    assert strength_of(photos_of("a", 12), [0, 1, 2], FakeClass().answers) == 0


def test_the_figures_are_of_photos_that_were_not_taught() -> None:
    photos = photos_of("a", 12)
    point = point_of("a", photos, list(range(12)), 6, FakeClass().answers, draws=4)
    assert point.taught == 6
    assert sum(point.strengths.values()) == 4
    assert point.before.shape == point.after.shape
    # Twice too large on each side: a quarter of the area.
    np.testing.assert_allclose(point.before[:, 0], 0.25, rtol=1e-6)
    assert (point.after[:, 0] > 0.5).all()
    assert not point.before[:, 1].any()
    assert (point.after[:, 1] == 1).all()
    assert (point.before[:, 2] == 1).all()


def test_where_it_does_no_good_nothing_changes() -> None:
    photos = photos_of("a", 12)
    point = point_of("a", photos, list(range(12)), 6, FakeClass(better=False).answers, draws=2)
    assert point.strengths == {0.0: 2}
    assert (point.before == point.after).all()
    assert "+0.00 [+0.00, +0.00]" in line_of(point)


def test_collections_are_put_together_by_the_number_of_taught_photos() -> None:
    photos = [*photos_of("a", 12), *photos_of("b", 9)]
    indices = dict(collections_of(photos))
    points = [
        point_of(name, photos, indices[name], count, FakeClass().answers, draws=2)
        for name, count in (("a", 5), ("a", 9), ("b", 5))
    ]
    five, nine = together(points, "all")
    assert (five.taught, nine.taught) == (5, 9)
    assert set(five.sources) == {"a", "b"}
    assert len(five.sources) == len(points[0].sources) + len(points[2].sources)
    assert set(nine.sources) == {"a"}
    assert line_of(five, by_source=True)[:2] == ("all", "5")
