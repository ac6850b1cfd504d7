"""Weighted box fusion: by hand, against another implementation of the paper, and as a detector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop import load_detector
from detic_crop.boxes.overlap import iou_of_pair
from detic_crop.detectors.joined.fallback import Fallback
from detic_crop.detectors.joined.fused import Fused
from detic_crop.detectors.joined.fusion import Boxes, weighted_box_fusion
from tests.kit.helpers import Found
from tests.kit.scripted import Scripted, answers

Box = tuple[float, float, float, float]
Of = tuple[Box, float, float]
"""Box, score and weight of its model."""


def fuse(found: Sequence[Of], total: float) -> list[tuple[Box, float]]:
    xyxy, scores, weights = zip(*found, strict=True) if found else ((), (), ())
    boxes = Boxes(np.array(xyxy, float).reshape(-1, 4), np.array(scores, float), np.array(weights, float))
    return [(tuple(box.xyxy.tolist()), box.score) for box in weighted_box_fusion(boxes, total)]


def naive(found: Sequence[Of], total: float, same: float = 0.55) -> list[tuple[Box, float]]:
    """The steps of the paper's section 3, one after the other, on plain numbers."""

    def overlap(a: Sequence[float], b: Sequence[float]) -> float:
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        if width <= 0 or height <= 0:
            return 0.0
        area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
        return width * height / area

    lists: list[list[Of]] = []
    fused: list[list[float]] = []
    for each in sorted(found, key=lambda one: (-one[1], -one[2], one[0])):
        best, place = same, -1
        for i, box in enumerate(fused):
            if overlap(each[0], box) > best:
                best, place = overlap(each[0], box), i
        if place < 0:
            lists.append([each])
            fused.append(list(each[0]))
            continue
        lists[place].append(each)
        trust = [weight * score for _, score, weight in lists[place]]
        for edge in range(4):
            parts = [t * box[edge] for t, (box, _, _) in zip(trust, lists[place], strict=True)]
            fused[place][edge] = sum(parts) / sum(trust)
    answer: list[tuple[Box, float]] = []
    for box, sources in zip(fused, lists, strict=True):
        t = sum(weight for _, _, weight in sources)
        score = sum(weight * score for _, score, weight in sources) / t * min(t, total) / total
        answer.append(((box[0], box[1], box[2], box[3]), score))
    return answer


# ------------------------------------------------------------ by hand


def test_two_models_that_agree() -> None:
    # X = (0.9·0 + 0.6·10) / 1.5 = 4 and (0.9·100 + 0.6·110) / 1.5 = 104; C = 1.5 / 2 · 2 / 2
    ((box, score),) = fuse([((0, 0, 100, 50), 0.9, 1), ((10, 0, 110, 50), 0.6, 1)], 2)
    assert box == pytest.approx((4, 0, 104, 50))
    assert score == pytest.approx(0.75)


def test_what_one_of_three_models_sees_counts_a_third() -> None:
    ((box, score),) = fuse([((0, 0, 100, 50), 0.9, 1)], 3)
    assert box == (0, 0, 100, 50)
    assert score == pytest.approx(0.3)


def test_boxes_apart_stay_apart() -> None:
    # IoU = 50 / 150 = 1/3
    found = fuse([((0, 0, 100, 50), 0.8, 1), ((50, 0, 150, 50), 0.6, 1)], 2)
    assert found == [((0, 0, 100, 50), 0.4), ((50, 0, 150, 50), 0.3)]


def test_a_model_may_count_more() -> None:
    # X = (2·0.6·0 + 0.6·10) / 1.8 = 10/3; C = (2·0.6 + 0.6) / 3 · 3 / 3
    ((box, score),) = fuse([((0, 0, 100, 50), 0.6, 2), ((10, 0, 110, 50), 0.6, 1)], 3)
    assert box == pytest.approx((10 / 3, 0, 100 + 10 / 3, 50))
    assert score == pytest.approx(0.6)
    assert fuse([((0, 0, 100, 50), 0.6, 2)], 3)[0][1] == pytest.approx(0.4)


def test_more_boxes_than_models_do_not_count_more() -> None:
    found = [((0.0, 0.0, 100.0, 50.0), score, 1.0) for score in (0.9, 0.6, 0.3)]
    assert fuse(found, 2)[0][1] == pytest.approx(0.6)


# ------------------------------------------------------------ properties

edge = st.integers(0, 60).map(float)
boxes = st.tuples(edge, edge, st.integers(1, 60), st.integers(1, 60)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
anything = st.lists(
    st.tuples(boxes, st.integers(1, 20).map(lambda n: n / 20), st.sampled_from([1.0, 2.0, 0.5])), max_size=12
)


@given(anything)
def test_it_is_what_the_paper_says(found: list[Of]) -> None:
    ours, theirs = fuse(found, 3.5), naive(found, 3.5)
    assert len(ours) == len(theirs)
    for (box, score), (other, other_score) in zip(ours, theirs, strict=True):
        assert box == pytest.approx(other)
        assert score == pytest.approx(other_score)


@given(anything.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_the_order_of_boxes_and_models_does_not_matter(both: tuple[list[Of], list[Of]]) -> None:
    assert fuse(both[0], 3) == fuse(both[1], 3)


@given(anything, st.sampled_from([0.5, 1.0, 3.0]))
def test_scores_are_scores_and_boxes_lie_among_their_sources(found: list[Of], total: float) -> None:
    xyxy = np.array([box for box, _, _ in found]).reshape(-1, 4)
    given_boxes = Boxes(xyxy, np.array([s for _, s, _ in found]), np.array([w for _, _, w in found]))
    fused = weighted_box_fusion(given_boxes, total)
    assert sorted(i for box in fused for i in box.sources) == list(range(len(found)))
    for box in fused:
        assert 0 <= box.score <= 1
        assert (box.xyxy >= xyxy[box.sources].min(0)).all()
        assert (box.xyxy <= xyxy[box.sources].max(0)).all()


def test_boxes_without_a_score_have_a_middle() -> None:
    assert fuse([((0, 0, 100, 50), 0, 1), ((10, 0, 110, 50), 0, 1)], 2) == [((5, 0, 105, 50), 0)]


# ------------------------------------------------------------ as a detector

NEAR: Box = (0, 0, 40, 40)
NEARLY: Box = (4, 0, 44, 40)
FAR: Box = (50, 0, 70, 40)


def fused(*said: Sequence[Found], weights: Sequence[float] | None = None, conf: float = 0.3) -> Fused:
    members = [Scripted(f"m{i}", {"": boxes}, default_conf=conf) for i, boxes in enumerate(said)]
    return Fused(members, weights or [1] * len(members))


def test_wanted_classes_are_one_thing_and_the_surer_model_names_it() -> None:
    joined = fused(
        [(NEAR, 0.6, "Dolphin"), (FAR, 0.5, "Boat")], [(NEARLY, 0.9, "Whale"), (NEAR, 0.8, "Boat")]
    )
    joined.ask_for(("Dolphin", "Whale"), 0.3)
    (found,) = answers(joined, "")
    assert found.class_names == ("Whale", "Boat", "Boat")
    assert found.scores.tolist() == pytest.approx([0.75, 0.4, 0.25])
    assert found.xyxy[0].tolist() == pytest.approx([2.4, 0, 42.4, 40])
    assert found.presence == pytest.approx(0.75)


def test_a_box_without_a_class_takes_the_name_of_another() -> None:
    (found,) = answers(fused([(NEAR, 0.9, "unknown")], [(NEARLY, 0.6, "Dolphin")]), "")
    assert found.class_names == ("Dolphin",)


def test_of_a_models_own_boxes_of_one_animal_the_surest_counts() -> None:
    joined = fused([(NEAR, 0.9, "Dolphin"), (NEARLY, 0.1, "Whale")], [(NEAR, 0.9, "Whale")])
    (found,) = answers(joined, "")
    assert found.scores.tolist() == pytest.approx([0.9])


def test_what_just_counts_for_one_just_counts_for_the_other() -> None:
    members = [
        Scripted("a", {"": [(NEAR, 0.2, "Whale")]}, default_conf=0.2),
        Scripted("b", {"": [(NEAR, 0.6, "Whale")]}, default_conf=0.6),
    ]
    joined = Fused(members, [1, 1])
    assert joined.info.default_conf == pytest.approx(0.4)
    assert answers(joined, "")[0].scores.tolist() == pytest.approx([0.4])
    members[0].said = {"": [(NEAR, 0.6, "Whale")]}  # half of what is above its bar
    assert answers(joined, "")[0].scores.tolist() == pytest.approx([(0.7 + 0.4) / 2])


def test_a_file_whose_boxes_all_count_does_not_lower_the_bar() -> None:
    members = [
        Scripted("file", {"": [(NEAR, 0.4, "Whale")]}, default_conf=0),
        Scripted("a", {"": [(FAR, 0.5, "Whale")]}, default_conf=0.2),
        Scripted("b", {}, default_conf=0.6),
    ]
    joined = Fused(members, [5, 1, 1])
    assert joined.info.default_conf == pytest.approx(0.4)
    (found,) = answers(joined, "")
    score = dict(zip(map(tuple, found.xyxy.tolist()), found.scores.tolist(), strict=True))
    assert score[NEAR] == pytest.approx((0.4 + 0.4 * 0.6) * 5 / 7)  # the file's, on the common scale
    assert score[FAR] < joined.info.default_conf
    assert Fused(members[:1] * 2, [1, 1]).info.default_conf == 0


def test_one_model_alone_is_unchanged() -> None:
    said = [(NEAR, 0.6, "Dolphin"), (NEARLY, 0.5, "Whale"), (FAR, 0.1, "Boat")]
    (found,) = answers(fused(said, weights=[3]), "")
    (alone,) = answers(Scripted("m0", {"": said}), "")
    assert (found.xyxy == alone.xyxy).all()
    assert (found.scores == alone.scores).all()
    assert (found.class_names, found.presence) == (alone.class_names, alone.presence)


def test_the_order_of_the_models_does_not_matter() -> None:
    one, other = [(NEAR, 0.6, "Dolphin"), (FAR, 0.3, "Whale")], [(NEARLY, 0.6, "Whale")]
    (found,), (same,) = answers(fused(one, other), ""), answers(fused(other, one), "")
    assert (found.xyxy == same.xyxy).all()
    assert (found.scores == same.scores).all()
    assert found.class_names == same.class_names


def test_a_file_that_does_not_list_the_photo_has_no_vote(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("boxes") / "boxes.csv"
    file.write_text("image,box,score\na.jpg,0 0 40 40,0.5\nb.jpg,,\n")
    model = Scripted(
        "m", {key: [(NEAR, 0.9, "Whale")] for key in ("a.jpg", "b.jpg", "c.jpg")}, default_conf=0
    )
    boxes_file = load_detector(f"boxes:{file}")
    model.info = type(model.info)("m", ("Whale",), boxes_file.info.default_conf)
    joined = Fused([boxes_file, model], [1, 1])
    found = answers(joined, "a.jpg", "b.jpg", "c.jpg")
    assert [each.scores.tolist() for each in found] == [
        pytest.approx([0.7]),
        pytest.approx([0.45]),
        pytest.approx([0.9]),
    ]
    assert not answers(Fused([boxes_file, load_detector(f"boxes:{file}")], [1, 1]), "c.jpg")[0].listed


def test_groups_are_those_of_all_models() -> None:
    joined = fused([], [])
    assert joined.group_of(joined.prepare(np.zeros((6, 8, 3), np.uint8), "xyz")) == ("x", "x")


def test_names_nest(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("boxes")
    for name, edges in (("a", "0 0 40 40"), ("b", "4 0 44 40"), ("c", "1 1 9 9")):
        (folder / f"{name}.csv").write_text(f"image,box\nx.jpg,{edges}\n" + "z.jpg,1 1 5 5\n" * (name == "c"))
    a, b, c = (f"boxes:{folder / name}.csv" for name in "abc")
    joined = load_detector(f"wbf({a},{b}*3)+{c}")
    assert isinstance(joined, Fallback)
    assert joined.info.name == "wbf(boxes:a.csv,boxes:b.csv*3)+boxes:c.csv"
    (found,) = answers(joined, "x.jpg")
    assert found.found_by == "wbf(boxes:a.csv,boxes:b.csv*3)"
    assert found.xyxy.tolist() == [[3, 0, 43, 40]]
    assert answers(joined, "z.jpg")[0].found_by == "boxes:c.csv"
    inside = load_detector(f"wbf({a}+{c},{b})")
    assert inside.info.name == "wbf(boxes:a.csv+boxes:c.csv,boxes:b.csv)"
    assert answers(inside, "x.jpg")[0].found_by == ""
    assert iou_of_pair(answers(inside, "x.jpg")[0].xyxy[0], NEAR) > 0.9
