"""Which boxes of two sides belong together, what that comes to, and what is most worth a look."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from detic_crop.boxes.geometry import Box
from detic_crop.boxes.overlap import best_pairs, iou, iou_of_pairs
from detic_crop.columns import Texts
from detic_crop.report.compare.columns import Builder, SideBox, SideColumns, State
from detic_crop.report.compare.numbers import Labelling, is_right, numbers_of
from detic_crop.report.compare.pairs import AgainstTruth, Agreed, Rows, compare_boxes
from detic_crop.report.compare.photos import SidesOfPhotos
from detic_crop.report.compare.worst import worst_photos

Said = Sequence[Box] | State
"""What a side says of a photo: its boxes, or that it has not looked or failed."""

LEFT: Box = (0.0, 0.0, 40.0, 40.0)
NEAR: Box = (0.0, 0.0, 40.0, 30.0)  # IoU with LEFT 0.75
PART: Box = (0.0, 0.0, 40.0, 10.0)  # IoU with LEFT 0.25
RIGHT: Box = (60.0, 60.0, 100.0, 100.0)


def columns(photos: Sequence[Said], scores: Sequence[float] = ()) -> SideColumns:
    builder, left = Builder(), list(scores)
    for said in photos:
        if isinstance(said, State):
            builder.add(said, (100, 100))
        else:
            boxes = [SideBox(box, left.pop(0) if left else 0.5, "whale") for box in said]
            builder.add(State.LOOKED, (100, 100), boxes)
    return builder.take()


def sides_of(
    a: Sequence[Said],
    b: Sequence[Said],
    truth: Sequence[Said] | None = None,
    scores: tuple[Sequence[float], Sequence[float]] = ((), ()),
) -> SidesOfPhotos:
    keys = Texts(f"{number}.jpg" for number in range(len(a)))
    sizes = np.full((len(a), 2), 100, np.int32)
    true = None if truth is None else columns(truth)
    return SidesOfPhotos(keys, sizes, columns(a, scores[0]), columns(b, scores[1]), true)


def agreed(rows: Rows) -> list[tuple[int, str, float | None]]:
    """Photo, verdict and IoU of each row."""
    return [
        (int(photo), Agreed(int(kind)).word, None if np.isnan(value) else round(float(value), 4))
        for photo, kind, value in zip(rows.photos, rows.agreed, rows.iou, strict=True)
    ]


def test_boxes_in_rows_overlap_as_single_ones_do() -> None:
    random = np.random.default_rng(1)
    ones, others = (np.sort(random.random((50, 2, 2)), axis=1).reshape(50, 4) for _ in range(2))
    expected = [float(iou(one, other[None])[0]) for one, other in zip(ones, others, strict=True)]
    assert iou_of_pairs(ones, others).tolist() == expected
    assert iou_of_pairs(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [0.0]


def test_the_best_pairs_go_first_and_no_box_is_in_two() -> None:
    assert best_pairs([PART, LEFT], [LEFT, RIGHT]) == [(1, 0, 1.0), (0, 1, 0.0)]
    assert best_pairs([PART, LEFT], [LEFT, RIGHT], least=0.1) == [(1, 0, 1.0)]
    assert best_pairs([], [LEFT]) == best_pairs([LEFT], []) == []


def test_every_verdict() -> None:
    a: list[Said] = [[LEFT], [LEFT], [LEFT], [], [], [LEFT], State.NOT_LOOKED, State.FAILED]
    b: list[Said] = [[NEAR], [PART], [], [LEFT], [], State.NOT_LOOKED, [LEFT], []]
    rows, against = compare_boxes(sides_of(a, b))
    assert against is None
    assert agreed(rows) == [
        (0, "agree", 0.75),
        (1, "differ", 0.25),
        (2, "only_a", None),
        (3, "only_b", None),
        (4, "neither", None),
        (5, "not_compared", None),
        (6, "not_compared", None),
        (7, "not_compared", None),
    ]


def test_one_box_each_belongs_together_wherever_it_lies() -> None:
    rows, _ = compare_boxes(sides_of([[LEFT]], [[RIGHT]]))
    assert agreed(rows) == [(0, "differ", 0.0)]


def test_of_several_those_that_overlap_most_belong_together() -> None:
    rows, _ = compare_boxes(sides_of([[PART, RIGHT, LEFT]], [[LEFT]]))
    assert sorted(kind for _, kind, _ in agreed(rows)) == ["agree", "only_a", "only_a"]
    assert len(rows) == 3


def test_a_box_is_in_one_row_and_a_row_without_any_has_a_photo_of_its_own() -> None:
    random = np.random.default_rng(7)

    def some() -> list[Box]:
        corners = np.sort(random.random((int(random.integers(0, 4)), 2, 2)), axis=1) * 100
        return [(x1, y1, x2, y2) for x1, y1, x2, y2 in corners.reshape(-1, 4).tolist()]

    a, b, truth = ([some() for _ in range(40)] for _ in range(3))
    sides = sides_of(a, b, truth)
    rows, against = compare_boxes(sides)
    assert against is not None
    for side, own in ((sides.a, rows.a), (sides.b, rows.b)):
        assert sorted(own[own >= 0].tolist()) == list(range(len(side.xyxy)))
    assert set(rows.photos.tolist()) == set(range(40))
    assert rows.photos.tolist() == sorted(rows.photos.tolist())


def test_the_largest_box_is_the_first_and_can_stand_alone() -> None:
    side = columns([[PART, LEFT], [], [RIGHT]])
    assert side.has_several
    alone = side.first()
    assert alone.xyxy.tolist() == [list(LEFT), list(RIGHT)]
    assert alone.counts.tolist() == [1, 0, 1]
    assert not alone.has_several


def test_copies_of_another_size_are_scaled_and_other_shapes_fail() -> None:
    side = columns([[LEFT], [LEFT], [LEFT]])
    scaled, others = side.in_size(np.array([[200, 200], [50, 100], [0, 0]], np.int32))
    assert scaled.xyxy[0].tolist() == [0, 0, 80, 80]
    assert scaled.xyxy[2].tolist() == list(LEFT)
    assert others.tolist() == [1]
    assert scaled.states.tolist() == [State.LOOKED, State.FAILED, State.LOOKED]


def against_of(sides: SidesOfPhotos) -> tuple[Rows, AgainstTruth]:
    rows, against = compare_boxes(sides)
    assert against is not None
    return rows, against


# photo 0: both right; 1: only A; 2: only B; 3: a false alarm of B; 4: both missed it; 5: truth unknown
A: list[Said] = [[LEFT], [NEAR], [], [], [], [LEFT]]
B: list[Said] = [[NEAR], [RIGHT], [LEFT], [PART], [], [RIGHT]]
TRUTH: list[Said] = [[LEFT], [LEFT], [LEFT], [], [RIGHT], State.NOT_LOOKED]


def test_against_the_truth() -> None:
    sides = sides_of(A, B, TRUTH)
    rows, against = against_of(sides)
    numbers = numbers_of(sides, rows, against, None)
    truth = numbers.truth
    assert truth is not None
    assert (truth.photos, truth.a.animals, truth.a.negatives) == (5, 4, 1)
    assert (truth.both, truth.only_a, truth.only_b, truth.neither) == (1, 2, 1, 1)
    assert (truth.a.found, truth.a.found_closely, truth.a.false_photos) == (2, 2, 0)
    assert (truth.b.found, truth.b.found_closely, truth.b.false_photos) == (2, 2, 1)
    assert truth.a.mean_iou == pytest.approx((1 + 0.75 + 0 + 0) / 4)
    assert truth.b.mean_iou == pytest.approx((0.75 + 0 + 1 + 0) / 4)
    assert (truth.a.boxes, truth.a.hits, truth.b.boxes, truth.b.hits) == (2, 2, 4, 2)
    assert truth.a.recall is not None
    assert truth.a.recall.value == 0.5
    right_a, right_b = is_right(rows, against)
    assert [bool(each) for each in right_a] == [True, True, False, True, False, False]
    assert [bool(each) for each in right_b] == [True, False, True, False, False, False]


def test_without_scores_average_precision_is_said_to_mean_little() -> None:
    sides = sides_of(A, B, TRUTH, scores=([0.9, 0.8, 0.3], []))
    numbers = numbers_of(sides, *against_of(sides), None)
    assert numbers.truth is not None
    assert numbers.truth.a.has_scores
    assert not numbers.truth.b.has_scores


def test_groups_add_up_to_the_whole() -> None:
    sides = sides_of(A, B, TRUTH)
    rows, against = against_of(sides)
    labelling = Labelling("species", np.array([0, 0, 1, 1, 1, -1], np.int32), ("orca", "minke"))
    numbers = numbers_of(sides, rows, against, labelling)
    species = numbers.groups["species"]
    assert [group.name for group in species] == ["minke", "orca"]
    assert sum(group.animals for group in species) == 4
    assert [(group.found_a, group.found_b) for group in species] == [(0, 1), (2, 1)]
    assert [group.counts.agree + group.counts.differ for group in species] == [0, 2]
    assert [group.name for group in numbers.groups["class in the truth"]] == ["whale"]
    sizes = numbers.groups["size of the animal"]
    assert [group.name for group in sizes] == ["1 to 5 %", "5 to 20 %"]
    assert sum(group.counts.found for group in sizes) == numbers.counts.found


def test_photos_are_counted_by_who_looked() -> None:
    a: list[Said] = [[LEFT], [], State.NOT_LOOKED, State.NOT_LOOKED, State.FAILED, [LEFT]]
    b: list[Said] = [[LEFT], [], [LEFT], State.NOT_LOOKED, [LEFT], State.NOT_LOOKED]
    sides = sides_of(a, b)
    photos = numbers_of(sides, *compare_boxes(sides), None).photos
    assert (photos.all, photos.compared, photos.without_animal) == (6, 2, 1)
    assert (photos.only_a, photos.only_b, photos.by_none) == (1, 1, 1)
    assert (photos.failed_a, photos.failed_b) == (1, 0)


def test_the_worst_photos_without_a_truth() -> None:
    a: list[Said] = [[LEFT], [LEFT], [LEFT], [LEFT], []]
    b: list[Said] = [[NEAR], [PART], [RIGHT], [], [LEFT]]
    sides = sides_of(a, b)
    worst = worst_photos(sides, *compare_boxes(sides), 10)
    assert [(some.kind, some.photos, some.all) for some in worst] == [
        ("differ", [2, 1], 2),
        ("only_a", [3], 1),
        ("only_b", [4], 1),
    ]
    few = worst_photos(sides, *compare_boxes(sides), 2)
    assert [(some.kind, list(some.photos), some.all) for some in few if some.photos] == [
        ("differ", [2], 2),
        ("only_a", [3], 1),
    ]


def test_the_worst_photos_with_a_truth_and_none_of_them_twice() -> None:
    sides = sides_of(A, B, TRUTH)
    worst = worst_photos(sides, *compare_boxes(sides), 10)
    assert [(some.kind, some.photos) for some in worst] == [
        ("only_a_right", [1, 3]),
        ("only_b_right", [2]),
        ("both_wrong", [4]),
        ("differ", [5]),
    ]


def test_without_any_photo_nothing_breaks() -> None:
    sides = sides_of([], [], [])
    rows, against = against_of(sides)
    numbers = numbers_of(sides, rows, against, None)
    assert numbers.counts.found == 0
    assert numbers.counts.agreement is None
    assert worst_photos(sides, rows, against, 5) == []
