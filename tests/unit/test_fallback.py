"""Detectors in turn: who is asked about which photo, with which bar, and what the answer says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detic_crop import crop_photo, load_detector
from detic_crop.boxes.choose import choose_and_keep
from detic_crop.detectors.boxes_file import load_boxes_file
from detic_crop.detectors.joined.fallback import Fallback
from tests.kit.helpers import Found
from tests.kit.scripted import Scripted, answers

PHOTO = np.zeros((60, 80, 3), np.uint8)


def boxes(*said: tuple[str, float], left: float = 5) -> list[Found]:
    """A box for each class and score."""
    return [((left, 5, left + 35, 30 + i), score, name) for i, (name, score) in enumerate(said)]


def test_the_next_is_asked_where_nothing_counts() -> None:
    first = Scripted(
        "a", {"1": boxes(("Whale", 0.3)), "2": boxes(("Whale", 0.29)), "3": boxes(("Boat", 0.9))}
    )
    second = Scripted("b", {"2": boxes(("Dolphin", 0.11)), "3": boxes(("Dolphin", 0.9))}, default_conf=0.1)
    joined = Fallback([first, second])
    found = answers(joined, "1", "2", "3")
    assert [each.found_by for each in found] == ["a", "b", "b"]
    assert [each.class_names for each in found] == [("Whale",), ("Dolphin",), ("Dolphin",)]
    assert second.batches == [["2"], ["3"]]


def test_a_box_beside_the_photo_is_no_answer() -> None:
    beside = Scripted("a", {"1": boxes(("Whale", 0.9), left=90)})
    assert answers(Fallback([beside, Scripted("b", {"1": boxes(("Whale", 0.5))})]), "1")[0].found_by == "b"


def test_where_nobody_finds_anything_the_nearest_answer_is_kept() -> None:
    first = Scripted("a", {"1": boxes(("Whale", 0.2))}, default_conf=0.8)
    second = Scripted("b", {"1": boxes(("Whale", 0.15))})
    (found,) = answers(Fallback([first, second]), "1")
    assert (found.found_by, found.scores.tolist()) == ("b", pytest.approx([0.15]))
    assert found.presence == pytest.approx(0.2)  # the highest of both
    (nothing,) = answers(Fallback([first, second]), "nobody")
    assert (len(nothing), nothing.found_by, nothing.presence) == (0, "a", 0.0)


def test_each_has_its_own_bar_or_all_have_one() -> None:
    members = [Scripted("a", {"1": boxes(("Whale", 0.35))}), Scripted("b", {"1": boxes(("Whale", 0.4))})]
    joined = Fallback(members)
    assert joined.info.confs == {"a": 0.3, "b": 0.3}
    joined.ask_for(("Whale",), 0.3)
    joined.count_from({"a": 0.36, "b": 0.36})
    assert answers(joined, "1")[0].found_by == "b"
    assert [member.asked[-1] for member in members] == [(("Whale",), 0.36)] * 2


def test_photos_go_on_in_groups_that_the_next_one_takes() -> None:
    first = Scripted("a", {"x1": boxes(("Whale", 0.9))})
    second = Scripted("b", {})
    first.preferred_batch, second.preferred_batch = 4, 2
    joined = Fallback([first, second])
    assert joined.preferred_batch == 4
    shown = [joined.prepare(PHOTO, key) for key in ("x1", "x2", "x3", "x4")]
    assert {joined.group_of(each) for each in shown} == {"x"}
    joined.detect_batch(shown)
    assert first.batches == [["x1", "x2", "x3", "x4"]]
    assert second.batches == [["x2", "x3"], ["x4"]]


def test_the_description_is_what_both_need() -> None:
    small: dict[str, Any] = {
        "input_size": (800, 1333),
        "thread_safe": True,
        "memory_per_photo": 7,
        "floor": 0.1,
    }
    one = Scripted("a", {}, **small)
    other = Scripted("b", {}, **{**small, "input_size": (640, 1500), "class_names": ("Seal", "Whale")})
    info = Fallback([one, other]).info
    assert (info.name, info.input_size, info.thread_safe, info.memory_per_photo) == (
        "a+b",
        (800, 1500),
        True,
        7,
    )
    assert (info.class_names, info.floor) == (("Dolphin", "Whale", "Boat", "Seal"), 0.1)
    assert info.weights == {"a.bin": "a", "b.bin": "b"}
    assert Fallback([one, Scripted("b", {})]).info.input_size is None
    assert not Fallback([one, Scripted("b", {})]).info.thread_safe
    lookup = Scripted("c", {}, needs_pixels=False, default_classes="any", class_names=("orca", "tag 1, 2"))
    mixed = Fallback([lookup, one]).info
    assert mixed.needs_pixels
    assert mixed.input_size == (800, 1333)
    assert mixed.default_classes == 'orca,"tag 1, 2",Dolphin,Whale'
    assert not Fallback([lookup]).info.needs_pixels


def test_equal_names_are_told_apart(tmp_path: Path) -> None:
    files = []
    for number, text in enumerate(("image,box\na.jpg,1 1 9 9\n", "image,box\nb.jpg,1 1 9 9\n")):
        (tmp_path / str(number)).mkdir()
        files.append(tmp_path / str(number) / "boxes.csv")
        files[-1].write_text(text)
    joined = load_detector("+".join(f"boxes:{path}" for path in files))
    assert joined.info.name == "boxes:boxes.csv+boxes:boxes.csv (2)"
    assert len(joined.info.weights) == 2
    assert not joined.info.needs_pixels
    assert joined.detect(PHOTO, "b.jpg").found_by == "boxes:boxes.csv (2)"
    assert not joined.detect(PHOTO, "c.jpg").listed


def test_a_boxes_file_says_who_looked_at_what_it_does_not_list(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("image,box\na.jpg,10 10 30 30\nb.jpg,\n")
    model = Scripted("m", {"b.jpg": boxes(("Whale", 0.9))}, input_size=(40, 60))
    joined = Fallback([load_boxes_file(tmp_path / "boxes.csv"), model])
    joined.expect(dict.fromkeys(["a.jpg", "b.jpg", "c.jpg"], ""))
    reduced = PHOTO[::2, ::2]
    found = joined.detect_batch(
        [joined.prepare(reduced, key, (60, 80)) for key in ("a.jpg", "b.jpg", "c.jpg")]
    )
    assert [each.found_by for each in found] == ["boxes:boxes.csv", "m", "m"]
    assert found[0].xyxy.tolist() == [[10, 10, 30, 30]]  # in pixels of the photo, not of what was decoded
    assert [each.listed for each in found] == [True, True, True]
    assert joined.notes() == ["1 of 3 photos is not in boxes.csv (first: c.jpg), so m was asked about it"]


def test_kept_boxes_say_whose_they_are() -> None:
    joined = Fallback([Scripted("a", {}), Scripted("b", {"1": boxes(("Whale", 0.5), ("Dolphin", 0.4))})])
    kept, choice = choose_and_keep(answers(joined, "1")[0], ("Whale",), 0.3, (80, 60))
    assert (kept.found_by, choice.index) == ("b", 0)
    assert kept.take([1]).rounded().found_by == "b"


def test_one_photo_is_cropped_as_a_run_would() -> None:
    first = Scripted("a", {"": boxes(("Whale", 0.35))})
    joined = Fallback([first, Scripted("b", {"": boxes(("Whale", 0.45))}, default_conf=0.4)])
    assert crop_photo(PHOTO, joined, size=16).detections.found_by == "a"
    assert crop_photo(PHOTO, joined, conf=0.4, size=16).detections.found_by == "b"
    assert crop_photo(PHOTO, joined, conf=0.5, size=16).status == "resized"
    assert crop_photo(PHOTO, joined, classes="Dolphin", size=16).status == "resized"
    assert crop_photo(PHOTO, joined, size=16).detections.found_by == "a"  # it was not asked for less for good
