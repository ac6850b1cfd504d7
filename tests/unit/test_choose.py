"""The choice of the one box: by hand, against a slow loop written from the design, and its invariances."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop.boxes.choose import (
    KEPT_FLOOR,
    MAX_KEPT,
    UNKNOWN_CLASS,
    Choice,
    choose,
    choose_all,
    choose_and_keep,
    kept_floor,
    presence_of,
    wanted_mask,
)
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.overlap import inside_share, iou
from tests.kit.helpers import Found, as_found, detections

MARINE = ("Whale", "Dolphin")
CLASSES = st.sampled_from([None, MARINE, ("Whale",), ()])
CONFS = st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.3, 0.5, 0.7, 1.0])
RESOLUTION = (60, 40)

# Quarters of a pixel are exact in float32, so that equal areas are really equal and ties happen.
quarters = st.integers(-80, 320).map(lambda n: n / 4)


@st.composite
def found_box(draw: st.DrawFn) -> Found:
    left, top = draw(quarters), draw(quarters)
    width, height = draw(st.tuples(st.integers(-4, 60), st.integers(-4, 60)))
    score = draw(st.sampled_from([0.0, 0.01, 0.049999, 0.05, 0.1, 0.3, 0.31, 0.5, 0.7, 0.9, 1.0]))
    name = draw(st.sampled_from(["Whale", "Dolphin", "Boat", UNKNOWN_CLASS]))
    return (left, top, left + width / 4, top + height / 4), score, name


found_lists = st.lists(found_box(), max_size=12)


def keep_candidates(
    found: Detections, classes: Collection[str] | None, conf: float, resolution_wh: tuple[int, int]
) -> Detections:
    return choose_and_keep(found, classes, conf, resolution_wh)[0]


def test_the_largest_box_is_chosen_and_kept_however_unsure() -> None:
    """The 60th by score; a choice among the 50 most confident would miss it."""
    small = [((i % 50, 0, i % 50 + 2, 2), 0.9, "Whale") for i in range(59)]
    found = detections(*small, ((0, 0, 40, 30), 0.5, "Whale"))
    kept, choice = choose_and_keep(found, MARINE, 0.1, RESOLUTION)
    assert len(kept) == MAX_KEPT
    assert choice.n_candidates == 60
    assert choice.index is not None
    assert kept.edges(choice.index) == (0, 0, 40, 30)
    assert choice.best is not None
    assert kept.score(choice.best) == 0.9
    again, same = choose_and_keep(kept, MARINE, 0.1, RESOLUTION)
    assert as_found(again) == as_found(kept)
    assert same.index == choice.index


# --- an independent implementation


def slow_area(box: tuple[float, ...]) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def slow_iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    common = slow_area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    union = slow_area(a) + slow_area(b) - common
    return common / union if union else 0.0


def slow_choice(found: Detections, classes: Collection[str] | None, conf: float) -> Choice:
    rows = as_found(found)
    wanted = [classes is None or name in classes or name == "unknown" for _, _, name in rows]
    limit = np.float32(conf).item()
    eligible = [
        i for i, (box, score, _) in enumerate(rows) if wanted[i] and score >= limit and slow_area(box) > 0
    ]
    if not eligible:
        return Choice(None, "not_found")
    largest = best = eligible[0]
    for i in eligible[1:]:
        area, score = slow_area(rows[i][0]), rows[i][1]
        if (area, score) > (slow_area(rows[largest][0]), rows[largest][1]):
            largest = i
        if (score, area) > (rows[best][1], slow_area(rows[best][0])):
            best = i
    overlaps = [slow_iou(rows[largest][0], box) for box, _, _ in rows]
    rival = None
    for i, overlap in enumerate(overlaps):
        if not wanted[i] and overlap >= 0.5 and (rival is None or rows[i][1] > rows[rival][1]):
            rival = i
    n_apart = sum(overlaps[i] < 0.1 for i in eligible)
    return Choice(largest, "largest_box", len(eligible), best, n_apart, rival)


@given(found_lists, CLASSES, CONFS)
def test_the_choice_equals_a_slow_loop(
    found: list[Found], classes: Collection[str] | None, conf: float
) -> None:
    boxes = Detections(*_upright(detections(*found)))
    assert choose(boxes, classes, conf) == slow_choice(boxes, classes, conf)


def _upright(found: Detections) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Inverted boxes have no IoU that two people would agree on; `test_inverted_boxes` has them."""
    low, high = found.xyxy[:, :2], found.xyxy[:, 2:]
    return np.hstack([low, np.maximum(low, high)]), found.scores, found.class_names


# --- by hand


def test_no_boxes_at_all() -> None:
    nothing = Detections.empty()
    assert len(nothing) == 0
    assert choose(nothing) == Choice(None, "not_found")
    assert choose(nothing, MARINE, 0.5) == Choice(None, "not_found")
    assert len(keep_candidates(nothing, MARINE, 0.5, RESOLUTION)) == 0
    assert wanted_mask(nothing, MARINE).shape == (0,)
    assert presence_of(nothing, MARINE) == 0.0
    assert len(nothing.rounded()) == len(nothing.take([])) == 0
    assert iou(np.zeros(4, np.float32), nothing.xyxy).shape == (0,)


def test_the_largest_wanted_box_wins_over_the_most_confident() -> None:
    found = detections(
        ((0, 0, 10, 10), 0.9, "Whale"),
        ((20, 0, 40, 20), 0.6, "Dolphin"),
        ((0, 0, 50, 50), 0.4, "Whale"),  # below --conf
        ((20, 0, 40, 22), 0.99, "Boat"),  # IoU 400 / 440 with the chosen one
    )
    assert choose(found, MARINE, 0.5) == Choice(
        1, "largest_box", n_candidates=2, best=0, n_apart=1, rival=3, larger=2
    )


@pytest.mark.parametrize(
    ("box", "score", "name", "larger"),
    [
        ((0, 0, 30, 20), 0.4, "Dolphin", True),  # 1.5 times the area, holds all of it
        ((0, 0, 29.9, 20), 0.4, "Dolphin", False),  # a little smaller
        ((2, 0, 42, 40), 0.4, "Whale", True),  # holds 18 of its 20 columns
        ((2.1, 0, 42, 40), 0.4, "Whale", False),
        ((0, 0, 30, 20), 0.4, "Boat", False),  # not asked for
    ],
)
def test_a_part_of_something_larger(box: tuple[float, ...], score: float, name: str, larger: bool) -> None:
    found = detections(((0, 0, 20, 20), 0.9, "Whale"), (box, score, name))
    assert choose(found, MARINE, 0.5).larger == (1 if larger else None)


def test_of_several_larger_boxes_the_surest_counts_and_is_kept() -> None:
    weak = [((0, 0, 100 + i, 100), 0.3, "Whale") for i in range(60)]
    found = detections(((0, 0, 20, 20), 0.9, "Whale"), *weak, ((0, 0, 40, 40), 0.31, "Whale"))
    kept, choice = choose_and_keep(found, MARINE, 0.5, RESOLUTION)
    assert choice.larger is not None
    assert kept.score(choice.larger) == pytest.approx(0.31)
    again, same = choose_and_keep(kept, MARINE, 0.5, RESOLUTION)
    assert (len(again), same) == (len(kept), choice)


def test_the_share_inside_by_hand() -> None:
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]], np.float32)
    assert inside_share(np.array([0, 0, 10, 10], np.float32), others).tolist() == [1.0, 0.5, 0.0, 0.0]
    assert inside_share(np.array([5, 5, 5, 9], np.float32), others).tolist() == [0.0] * 4
    assert inside_share(np.array([0, 0, 1, 1], np.float32), np.zeros((0, 4), np.float32)).tolist() == []


def test_a_tie_goes_to_the_score_and_then_to_the_order() -> None:
    same = ((0, 0, 10, 10), 0.6, "Whale")
    assert choose(detections(same, ((5, 5, 15, 15), 0.7, "Whale"), same)).index == 1
    assert choose(detections(same, same, same)).index == 0
    tied_score = detections(((0, 0, 2, 2), 0.7, "Whale"), ((0, 0, 3, 3), 0.7, "Whale"))
    assert choose(tied_score).best == 1  # equally sure: the larger


def test_boxes_of_equal_size_tie_wherever_they_lie() -> None:
    """Both are 10.00 × 10.00 as kept and as recorded; float32 makes the first 0.0000004 px wider."""
    found = detections(((0.1, 0, 10.1, 10), 0.6, "Whale"), ((20, 0, 30, 10), 0.9, "Whale"))
    assert choose(keep_candidates(found, MARINE, 0.5, RESOLUTION), MARINE, 0.5).index == 0  # sorted by score
    assert choose(found.rounded(), MARINE, 0.5).index == 1


def test_a_class_that_the_file_does_not_name_is_always_wanted() -> None:
    found = detections(((0, 0, 9, 9), 1.0, UNKNOWN_CLASS), ((0, 0, 20, 20), 1.0, "Boat"))
    assert choose(found, MARINE).index == 0
    assert choose(found, ()).index == 0
    assert choose(found, None).index == 1


@pytest.mark.parametrize("conf", [0.1, 0.3, 0.5, 0.7, 0.123456, 1.0, 0.0])
def test_a_score_equal_to_conf_is_eligible(conf: float) -> None:
    """0.3 on the command line is a double, the stored 0.3 a float32 that is larger or smaller by a hair."""
    stored = detections(((0, 0, 9, 9), conf, "Whale"))
    assert choose(stored, MARINE, conf).index == 0
    assert choose(stored.rounded(), MARINE, conf).index == 0
    if conf < 1:
        assert choose(stored, MARINE, conf + 1e-6).index is None


def test_empty_and_inverted_boxes_are_never_chosen() -> None:
    found = detections(
        ((5, 5, 5, 30), 0.9, "Whale"), ((30, 30, 5, 5), 0.9, "Whale"), ((0, 9, 9, 0), 1, "Whale")
    )
    assert found.areas.tolist() == [0, 0, 0]
    assert choose(found) == Choice(None, "not_found")


def test_boxes_that_hardly_touch_are_counted_apart() -> None:
    chosen = ((0, 0, 10, 10), 0.9, "Whale")  # area 100
    touching = ((9, 0, 19, 9), 0.9, "Whale")  # common 9, union 181: IoU 0.0497
    tenth = ((8, 0, 18, 10), 0.9, "Whale")  # common 20, union 180: 0.111
    found = detections(chosen, touching, tenth, ((30, 30, 31, 31), 0.2, "Whale"))
    assert choose(found, MARINE, 0.5).n_apart == 1  # the last one is not eligible
    assert choose(found, MARINE, 0.1).n_apart == 2


def test_a_rival_is_the_most_confident_unwanted_class_on_the_same_spot() -> None:
    chosen = ((0, 0, 10, 10), 0.5, "Whale")
    half = ((0, 0, 10, 5), 0.2, "Boat")  # IoU exactly 0.5
    less = ((0, 0, 10, 4.75), 0.99, "Boat")
    assert choose(detections(chosen, half, less), MARINE).rival == 1
    assert choose(detections(chosen, less), MARINE).rival is None
    louder = ((0, 0, 9, 9), 0.3, "Bird")
    assert choose(detections(chosen, half, less, louder), MARINE).rival == 3
    assert choose(detections(chosen, half, less, louder), None).rival is None


def test_intersection_over_union_by_hand() -> None:
    others = np.array(
        [[0, 0, 4, 4], [2, 2, 6, 6], [4, 0, 8, 4], [1, 1, 3, 3], [2, 2, 2, 2], [-9, -9, 9, 9]], np.float32
    )
    expected = [1, 4 / 28, 0, 4 / 16, 0, 16 / 324]
    assert iou(others[0], others).tolist() == pytest.approx(expected)
    point = np.array([2, 2, 2, 2], np.float32)
    assert iou(point, point[None]).tolist() == [0]


@given(found_lists)
def test_intersection_over_union_is_symmetric_and_at_most_one(found: list[Found]) -> None:
    boxes = np.asarray(_upright(detections(*found))[0], np.float32)
    table = np.array([iou(box, boxes) for box in boxes]).reshape(len(boxes), len(boxes))
    assert np.array_equal(table, table.T)
    assert ((table >= 0) & (table <= 1)).all()


# --- what Detections refuse and promise


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        detections(((0, 0, bad, 4), 0.5, "Whale"))
    with pytest.raises(ValueError, match="finite"):
        detections(((0, 0, 4, 4), bad, "Whale"))


def test_lengths_that_differ_are_refused() -> None:
    box, score = np.zeros((1, 4), np.float32), np.zeros(1, np.float32)
    for arguments in ((box, score, ()), (box, score[:0], ("Whale",)), (box[:0], score, ("Whale",))):
        with pytest.raises(ValueError, match="one score and one class per box"):
            Detections(*arguments)


def test_plain_lists_become_float32() -> None:
    found = Detections([[0, 1, 2, 3]], [1], ["Whale"])  # type: ignore[arg-type]
    assert {str(found.xyxy.dtype), str(found.scores.dtype)} == {"float32"}
    assert found.class_names == ("Whale",)


def test_taking_keeps_the_given_order() -> None:
    found = detections(((0, 0, 1, 1), 0.1, "a"), ((0, 0, 2, 2), 0.2, "b"), presence=0.7)
    taken = found.take([1, 0, 1])
    assert taken.class_names == ("b", "a", "b")
    assert taken.areas.tolist() == [4, 1, 4]
    assert taken.presence == 0.7


@given(
    st.lists(st.floats(-100_000, 100_000, width=32), min_size=4, max_size=4),
    st.floats(0, 1, width=32),
    st.none() | st.floats(0, 1),
)
def test_rounding_twice_is_rounding_once(edges: list[float], score: float, presence: float | None) -> None:
    once = detections((edges, score, "Whale"), presence=presence).rounded()
    twice = once.rounded()
    assert as_found(twice) == as_found(once)
    assert twice.presence == once.presence
    # Above 65,536 px a float32 itself is coarser than the kept decimals.
    assert np.abs(once.xyxy.astype(np.float64) - edges).max() <= 0.005 + 0.004
    assert abs(float(once.scores[0]) - score) <= 0.5e-6 + 1e-7


# --- invariances


@given(found_lists, CLASSES, CONFS, st.randoms(use_true_random=False))
def test_the_order_of_boxes_decides_only_ties(
    found: list[Found], classes: Collection[str] | None, conf: float, random: object
) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    before, after = detections(*found), detections(*shuffled)
    one, other = choose(before, classes, conf), choose(after, classes, conf)
    assert (one.reason, one.n_candidates) == (other.reason, other.n_candidates)
    if one.index is not None and other.index is not None:
        assert before.areas[one.index] == after.areas[other.index]
        assert before.scores[one.index] == after.scores[other.index]


@given(found_lists, CONFS)
def test_any_class_is_all_classes(found: list[Found], conf: float) -> None:
    boxes = detections(*found)
    assert choose(boxes, None, conf) == choose(boxes, {"Whale", "Dolphin", "Boat"}, conf)


# --- what is kept


def test_the_kept_boxes_by_hand() -> None:
    found = detections(
        ((0, 0, 10, 10), 0.9, "Boat"),
        ((-5, -5, 10.123456, 10), 0.2, "Whale"),
        ((0, 0, 10, 10), 0.04, "Whale"),  # below the floor
        ((50, 0, 90, 10), 0.8, "Dolphin"),  # cut at the edge
        ((70, 0, 90, 10), 0.99, "Dolphin"),  # outside
        ((0, 0, 10, 10), 0.05, "Whale"),
        ((0, 0, 0.004, 40), 0.7, "Whale"),  # nothing left of it
    )
    kept = keep_candidates(found, MARINE, 0.5, RESOLUTION)
    assert [name for _, _, name in as_found(kept)] == ["Dolphin", "Whale", "Whale", "Boat"]
    assert kept.xyxy.tolist() == pytest.approx(
        np.array([[50, 0, 60, 10], [0, 0, 10.12, 10], [0, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    )
    assert kept.scores.tolist() == pytest.approx([0.8, 0.2, 0.05, 0.9])


def test_a_lower_conf_keeps_lower_scores() -> None:
    found = detections(((0, 0, 9, 9), 0.02, "Whale"), ((0, 0, 9, 9), 0.009, "Whale"))
    assert len(keep_candidates(found, MARINE, 0.5, RESOLUTION)) == 0
    assert len(keep_candidates(found, MARINE, 0.02, RESOLUTION)) == 1
    assert len(keep_candidates(found, MARINE, 0.0, RESOLUTION)) == 2
    assert (kept_floor(0.5), kept_floor(0.02), kept_floor(0)) == (KEPT_FLOOR, 0.02, 0)


def test_wanted_boxes_come_first_and_fifty_are_enough() -> None:
    boats = [((0, 0, 9, 9), 0.9, "Boat")] * 60
    whales = [((0, 0, 9, 9), 0.1 + i / 1000, "Whale") for i in range(30)]
    kept = keep_candidates(detections(*boats, *whales), MARINE, 0.5, RESOLUTION)
    assert len(kept) == MAX_KEPT
    assert kept.class_names == ("Whale",) * 30 + ("Boat",) * 20
    assert kept.scores[:30].tolist() == sorted(kept.scores[:30].tolist(), reverse=True)


def test_the_presence_is_kept() -> None:
    found = detections(((0, 0, 9, 9), 0.5, "Whale"), presence=0.1234567)
    assert keep_candidates(found, MARINE, 0.5, RESOLUTION).presence == 0.123457


@given(found_lists, CLASSES, CONFS)
def test_keeping_twice_is_keeping_once(
    found: list[Found], classes: Collection[str] | None, conf: float
) -> None:
    once = keep_candidates(detections(*found), classes, conf, RESOLUTION)
    assert as_found(keep_candidates(once, classes, conf, RESOLUTION)) == as_found(once)


@given(found_lists, CLASSES, CONFS)
def test_kept_boxes_lie_in_the_photo(
    found: list[Found], classes: Collection[str] | None, conf: float
) -> None:
    kept = keep_candidates(detections(*found), classes, conf, RESOLUTION)
    assert (kept.areas > 0).all()
    assert (kept.xyxy >= 0).all()
    assert (kept.xyxy <= np.array([60, 40, 60, 40])).all()
    assert (kept.scores >= np.float32(min(conf, 0.05))).all()


@given(found_lists, CLASSES, CLASSES, CONFS, CONFS)
def test_another_choice_from_the_kept_boxes_needs_no_detector(
    found: list[Found],
    classes: Collection[str] | None,
    other_classes: Collection[str] | None,
    conf: float,
    other_conf: float,
) -> None:
    """A run with one policy, then a recrop with another, choose as a run with the other would have."""
    first = keep_candidates(detections(*found), classes, conf, RESOLUTION)
    limit = max(other_conf, kept_floor(conf))
    recrop = keep_candidates(first, other_classes, limit, RESOLUTION)
    direct = keep_candidates(detections(*found), other_classes, limit, RESOLUTION)
    one, other = choose(recrop, other_classes, limit), choose(direct, other_classes, limit)
    assert (one.reason, one.n_candidates, one.n_apart) == (other.reason, other.n_candidates, other.n_apart)
    if one.index is not None and other.index is not None:
        assert recrop.areas[one.index] == direct.areas[other.index]
        assert recrop.scores[one.index] == direct.scores[other.index]


# --- presence


def test_presence_is_the_best_wanted_score_unless_the_detector_has_its_own() -> None:
    found = [((0, 0, 9, 9), 0.03, "Whale"), ((0, 0, 9, 9), 0.9, "Boat")]
    assert presence_of(detections(*found), MARINE) == pytest.approx(0.03)
    assert presence_of(detections(*found), None) == pytest.approx(0.9)
    assert presence_of(detections(*found), ()) == 0.0
    assert presence_of(detections(*found, presence=0.4), MARINE) == 0.4
    assert presence_of(detections(*found, presence=0.0), MARINE) == 0.0


# --- every animal


def edges_of(found: Detections, choices: Collection[Choice]) -> list[tuple[float, ...]]:
    return [found.edges(choice.index) for choice in choices if choice.index is not None]


def is_same(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    smaller, _ = sorted((one, other), key=slow_area)
    common = slow_area(
        (max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3]))
    )
    return slow_iou(one, other) >= 0.5 or common / slow_area(smaller) >= SAME_INSIDE


SAME_INSIDE = 0.85


@given(found_lists, CLASSES, CONFS, st.randoms(use_true_random=False))
def test_every_animal_is_there_once_from_left_to_right_in_any_order(
    found: list[Found], classes: Collection[str] | None, conf: float, random: object
) -> None:
    """A box is an animal, or a part of a larger one that is, or is around several more confident ones."""
    boxes = Detections(*_upright(detections(*found)))
    animals = choose_all(boxes, classes, conf)
    chosen = edges_of(boxes, animals)
    assert chosen == sorted(chosen)
    assert not [(a, b) for a in chosen for b in chosen if a < b and is_same(a, b)]
    wanted = wanted_mask(boxes, classes)
    eligible = [
        i
        for i in range(len(boxes))
        if wanted[i] and boxes.scores[i] >= np.float32(conf) and boxes.areas[i] > 0
    ]
    for i in eligible:
        edges = boxes.edges(i)
        if edges in chosen or any(is_same(edges, a) and slow_area(a) >= slow_area(edges) for a in chosen):
            continue
        within = [
            j for j in eligible if boxes.scores[j] > boxes.scores[i] and boxes.areas[j] < boxes.areas[i]
        ]
        assert len(within) >= 2, f"{edges} is lost"
    for animal in animals:
        assert animal.best is not None
        assert animal.n_apart == len(animals) - 1
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    others = Detections(*_upright(detections(*shuffled)))
    again = choose_all(others, classes, conf)
    assert edges_of(others, again) == chosen
    assert [boxes.scores[a.best or 0] for a in animals] == [others.scores[a.best or 0] for a in again]


@given(found_lists, CONFS, st.integers(1, 4))
def test_the_largest_of_all_animals_are_taken(found: list[Found], conf: float, most: int) -> None:
    boxes = Detections(*_upright(detections(*found)))
    every, some = (edges_of(boxes, choose_all(boxes, None, conf, n)) for n in (None, most))
    assert len(some) == min(most, len(every))
    assert set(some) <= set(every)
    left_out = set(every) - set(some)
    assert not left_out or max(map(slow_area, left_out)) <= min(map(slow_area, some))


def test_animals_by_hand() -> None:
    """A fin in its body, the same body twice, a pod around three, two that are equal in all."""
    found = detections(
        ((40, 0, 60, 20), 0.9, "Dolphin"),
        ((0, 0, 30, 20), 0.8, "Dolphin"),
        ((10, 2, 14, 8), 0.95, "Whale"),  # a fin
        ((1, 0, 30, 20), 0.7, "Whale"),
        ((0, 0, 60, 50), 0.3, "Dolphin"),  # the pod
        ((0, 25, 20, 45), 0.9, "Dolphin"),
        ((30, 25, 50, 45), 0.9, "Dolphin"),
    )
    animals = choose_all(found, MARINE, 0.1)
    assert edges_of(found, animals) == [(0, 0, 30, 20), (0, 25, 20, 45), (30, 25, 50, 45), (40, 0, 60, 20)]
    assert [animal.n_candidates for animal in animals] == [3, 1, 1, 1]
    assert animals[0].best == 2
    assert edges_of(found, choose_all(found, MARINE, 0.1, most=2)) == [(0, 0, 30, 20), (0, 25, 20, 45)]
