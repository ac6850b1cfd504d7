"""Cohen's kappa against published examples and by hand; boxes of two persons; who is held against whom."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from detic_crop.boxes.geometry import Box
from detic_crop.config import CropConfig
from detic_crop.folder.decisions import Decision
from detic_crop.folder.records import Animal, Record
from detic_crop.folder.second_review import SecondReview, is_same_person
from detic_crop.folder.state import Drawn
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import Review
from detic_crop.report.agreement import WORDS, Agreement, agreements, matched_ious
from detic_crop.report.kappa import cohens_kappa

LARGEST = CropConfig(model="fake", classes="Dolphin", conf=0.3, size=32)
ALL = CropConfig(model="fake", classes="Dolphin", conf=0.3, size=32, animals="all")
BOX: Box = (10.0, 10.0, 30.0, 30.0)
SHIFTED: Box = (10.0, 20.0, 30.0, 40.0)  # IoU 1/3 with BOX
OTHER: Box = (40.0, 0.0, 60.0, 20.0)


# ---------------------------------------------------------------- kappa


def test_cohens_own_example() -> None:
    """Cohen 1960, table 2: 200 persons, three diagnoses; kappa .492 there."""
    found = cohens_kappa([[88, 14, 18], [10, 40, 10], [2, 6, 12]])
    assert found is not None
    # By hand: p_o = 140 / 200; p_e = .6 × .5 + .3 × .3 + .1 × .2 = .41.
    assert found.value == pytest.approx((0.70 - 0.41) / (1 - 0.41))
    assert abs(found.value - 0.492) < 0.001


def test_two_pathologists() -> None:
    """Of Landis & Koch 1977, as in Agresti 2002, Categorical Data Analysis, 10.5: .493, error .057."""
    found = cohens_kappa([[22, 2, 2, 0], [5, 7, 14, 0], [0, 2, 36, 0], [0, 1, 17, 10]])
    assert found is not None
    assert found.value == pytest.approx(0.493, abs=0.0005)
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 2 / 1.959964 == pytest.approx(0.057, abs=0.0005)
    assert (found.low, found.high) == pytest.approx((0.382, 0.604), abs=0.0005)


def test_by_hand_with_two_words() -> None:
    """p_o = .7, p_e = .5 × .6 + .5 × .4 = .5, kappa .4.

    Variance: (.4 (.5 - 1.1 × .3)² + .3 (.5 - .9 × .3)² + .09 (.1 × 1.1² + .2 × .9²) - (.35 - 1 + .7)²)
    / (50 × .5⁴) = .016128.
    """
    found = cohens_kappa([[20, 5], [10, 15]])
    assert found is not None
    assert found.value == pytest.approx(0.4)
    variance = (
        0.4 * (0.5 - 1.1 * 0.3) ** 2
        + 0.3 * (0.5 - 0.9 * 0.3) ** 2
        + 0.09 * (0.1 * (0.6 + 0.5) ** 2 + 0.2 * (0.4 + 0.5) ** 2)
        - 0.05**2
    ) / (50 * 0.5**4)
    assert found.low == pytest.approx(0.4 - 1.959964 * variance**0.5)
    assert found.high == pytest.approx(0.4 + 1.959964 * variance**0.5)


def test_words_that_nobody_used_change_nothing() -> None:
    small, large = [[20, 5], [10, 15]], [[20, 0, 5], [0, 0, 0], [10, 0, 15]]
    assert cohens_kappa(small) == pytest.approx(cohens_kappa(large))


def test_the_ends() -> None:
    assert cohens_kappa([[30, 0], [0, 0]]) is None  # chance alone agrees on everything
    assert cohens_kappa([[30, 0], [0, 5]]) == (1.0, None, None)
    never = cohens_kappa([[0, 7], [9, 0]])
    assert never is not None
    assert never.value == pytest.approx((0 - 126 / 256) / (1 - 126 / 256))
    apart = cohens_kappa([[0, 9], [0, 0]])  # each one word, and not the same
    assert apart is not None
    assert apart.value == 0
    alone = cohens_kappa([[12, 3], [0, 0]])  # one of the two has one word
    assert alone is not None
    assert alone.value == 0


# ---------------------------------------------------------------- boxes


def test_boxes_are_paired_by_overlap() -> None:
    assert matched_ious([BOX], [BOX]) == [1.0]
    assert matched_ious([BOX], [SHIFTED]) == pytest.approx([1 / 3])
    assert matched_ious([BOX], [OTHER]) == [0.0]
    assert matched_ious([BOX, OTHER], [OTHER, SHIFTED]) == pytest.approx([1.0, 1 / 3])
    # An animal that only one of them has counts as no overlap.
    assert matched_ious([BOX, OTHER], [SHIFTED]) == pytest.approx([1 / 3, 0.0])
    # Each box is in one pair at most.
    assert matched_ious([BOX, SHIFTED], [BOX]) == [1.0, 0.0]


# ---------------------------------------------------------------- two persons


def found(key: str, *boxes: Box) -> Record:
    """A photo of 60 × 40 px with one box, or several animals; without any nothing was found."""
    if not boxes:
        return Record(key, "resized", "not_found", key, 60, 40, crop_box=(0, 0, 60, 40))
    record = Record(key, "cropped", "largest_box", key, 60, 40, "Dolphin", 0.9, 0.5, boxes[0])
    if len(boxes) > 1:
        animals = [Animal(n, box=box, crop_box=(0, 0, 9, 9)) for n, box in enumerate(boxes, start=1)]
        record = replace(record, animals=tuple(animals))
    return record


def says(name: str, words: Mapping[str, str | tuple[Box, ...]]) -> dict[str, Verdict]:
    """What a person says: a word, or the boxes."""
    return {
        key: Verdict(key, said, (), name) if isinstance(said, str) else Verdict(key, "box", said, name)
        for key, said in words.items()
    }


def held(
    records: Mapping[str, Record],
    first: Mapping[str, Verdict],
    *others: Mapping[str, Verdict],
    config: CropConfig = LARGEST,
) -> list[Agreement]:
    sample = [Drawn(key, "cropped_low", 9, 0) for key in records]
    by_person = {next(iter(said.values())).reviewer: said for said in others}
    return agreements(sample, records, first, SecondReview(by_person, Review({})), config)


def test_verdicts_and_boxes_of_two_persons() -> None:
    records = {key: found(key, BOX) for key in "abcdef"} | {"n": found("n"), "m": found("m")}
    ann = says("Ann", {"a": "accepted", "b": "accepted", "c": (SHIFTED,), "d": "rejected", "e": "unsure"})
    ann |= says("Ann", {"n": "accepted", "m": (BOX,), "f": "accepted"})
    bob = says("Bob", {"a": "accepted", "b": (SHIFTED,), "c": (SHIFTED,), "d": "whole", "e": "accepted"})
    bob |= says("Bob", {"n": "whole", "m": "accepted"})
    (pair,) = held(records, ann, bob)
    assert (pair.first, pair.second, pair.photos, pair.one_only) == ("Ann", "Bob", 7, 1)
    table = {(one, other): pair.table[i][j] for i, one in enumerate(WORDS) for j, other in enumerate(WORDS)}
    assert {words: n for words, n in table.items() if n} == {
        ("accepted", "accepted"): 2,  # a; and n, where whole means the same
        ("accepted", "box"): 1,
        ("box", "box"): 1,
        ("rejected", "whole"): 1,
        ("unsure", "accepted"): 1,
        ("box", "accepted"): 1,
    }
    assert pair.same == 3
    assert pair.kappa is not None
    # p_o = 3/7; p_e = (3 × 4 + 2 × 2 + 0 + 0 + 0) / 49 = 16/49.
    assert pair.kappa.value == pytest.approx((3 / 7 - 16 / 49) / (1 - 16 / 49))
    assert pair.boxes is not None
    assert list(pair.boxes.ious) == pytest.approx([1.0, 1 / 3, 1.0])  # a, b, c
    assert (pair.boxes.photos, pair.boxes.same) == (3, 1)
    assert pair.boxes.mean == pytest.approx(7 / 9)
    assert pair.boxes.median == 1.0
    assert pair.boxes.good == pytest.approx(2 / 3)
    assert pair.sentence.startswith(
        "agreement of Ann and Bob (blind): 7 photos judged by both, 1 by one of the"
    )


def test_to_draw_the_detectors_box_is_to_accept_it() -> None:
    records = {"a": found("a", BOX), "b": found("b", BOX)}
    (pair,) = held(records, says("Ann", {"a": "accepted", "b": "rejected"}), says("Bob", {"a": (BOX,)}))
    assert pair.table[0][0] == 1
    assert pair.boxes is not None
    assert pair.boxes.same == 1


def test_one_verdict_for_all_has_no_kappa() -> None:
    records = {key: found(key, BOX) for key in "abc"}
    (pair,) = held(
        records, says("Ann", dict.fromkeys("abc", "accepted")), says("Bob", dict.fromkeys("abc", "accepted"))
    )
    assert pair.kappa is None
    assert "Cohen's kappa is not defined" in pair.sentence
    assert pair.values()["kappa"] is None


def test_every_animal_counts_where_every_animal_is_cropped() -> None:
    records = {"a": found("a", BOX, OTHER)}
    ann, bob = says("Ann", {"a": "accepted"}), says("Bob", {"a": (OTHER, SHIFTED)})
    (pair,) = held(records, ann, bob, config=ALL)
    assert pair.boxes is not None
    assert sorted(pair.boxes.ious) == pytest.approx([1 / 3, 1.0])
    # Of one crop per photo the largest box of each.
    (pair,) = held(records, ann, says("Bob", {"a": ((0.0, 0.0, 60.0, 40.0),)}))
    assert pair.boxes is not None
    assert list(pair.boxes.ious) == pytest.approx([400 / 2400])


def test_each_person_is_held_against_the_review() -> None:
    records = {key: found(key, BOX) for key in "ab"}
    ann = says("Ann", {"a": "accepted", "b": "rejected"})
    pairs = held(records, ann, says("Bob", {"a": "accepted"}), says("Cleo", {"b": "rejected"}))
    assert [(pair.second, pair.photos, pair.one_only) for pair in pairs] == [("Bob", 1, 1), ("Cleo", 1, 1)]


def test_nobody_is_held_against_themselves() -> None:
    """Two reviewed the sample, and one of them judged it unseen before."""
    records = {key: found(key, BOX) for key in "ab"}
    first = says("Ann", {"a": "accepted"}) | says("bob ", {"b": "accepted"})
    (pair,) = held(records, first, says("Bob", {"a": "accepted", "b": "accepted"}))
    assert (pair.first, pair.photos) == ("Ann", 1)
    assert is_same_person("Ann  Lee", " ann lee")
    assert not is_same_person("Ann", "Anna")


def test_photos_outside_of_the_sample_and_boxes_outside_of_the_photo_count_for_nothing() -> None:
    records = {"a": found("a", BOX)}
    outside = ((100.0, 100.0, 120.0, 120.0),)
    (pair,) = held(records, says("Ann", {"a": "accepted", "x": "accepted"}), says("Bob", {"a": outside}))
    assert (pair.photos, pair.boxes) == (1, None)
    assert held(records, says("Ann", {"a": "accepted"}), says("Bob", {"x": "accepted"})) == []
    (pair,) = held(records, {}, says("Bob", {"a": "accepted"}))
    assert pair.sentence == (
        "agreement of the reviewer and Bob (blind): no photo of the sample is judged by both yet, "
        "1 by one of the two only"
    )
    assert Decision("box", outside).boxes == outside
