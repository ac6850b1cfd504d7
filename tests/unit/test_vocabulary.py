"""What --classes means for a model."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.config import CropConfig
from detic_crop.detectors.vocabulary import GROUPS, MARINE, resolve_classes
from detic_crop.errors import UsageError
from detic_crop.work.kept_boxes import check_policy
from tests.kit.errors import refused

OPEN_IMAGES = (
    "Person",
    "Dolphin",
    "Whale",
    "Marine mammal",
    "Marine invertebrates",
    "Sea lion",
    "Harbor seal",
)
COCO = ("person", "bird", "boat", "surfboard")


def test_the_marine_group_is_the_original_data_sets() -> None:
    assert GROUPS["marine"] == MARINE == OPEN_IMAGES[1:]
    assert resolve_classes("marine", OPEN_IMAGES, "detic") == MARINE


@pytest.mark.parametrize("word", ["any", "ANY", " any ", "any,"])
def test_any_is_no_restriction(word: str) -> None:
    assert resolve_classes(word, OPEN_IMAGES, "detic") is None
    assert resolve_classes(word, (), "boxes:a.csv") is None


def test_names_are_spelled_as_the_model_spells_them() -> None:
    assert resolve_classes(" whale , DOLPHIN,,", OPEN_IMAGES, "detic") == ("Whale", "Dolphin")
    assert resolve_classes("whale,Whale,marine", OPEN_IMAGES, "detic") == (
        "Whale",
        *(MARINE[:1] + MARINE[2:]),
    )
    assert resolve_classes("Marine,person", OPEN_IMAGES, "detic") == (*MARINE, "Person")


def test_a_model_with_some_of_a_group_gives_these() -> None:
    assert resolve_classes("marine", ("Marine mammal",), "lite") == ("Marine mammal",)


@pytest.mark.parametrize("vocabulary", [(), (UNKNOWN_CLASS,)])
def test_boxes_without_classes_are_always_eligible(vocabulary: tuple[str, ...]) -> None:
    assert resolve_classes("marine", vocabulary, "boxes:a.csv") == (UNKNOWN_CLASS,)
    assert resolve_classes("Giraffe", vocabulary, "boxes:a.csv") == (UNKNOWN_CLASS,)


def test_a_file_with_some_unnamed_classes_still_answers_for_the_named() -> None:
    assert resolve_classes("whale", ("Whale", UNKNOWN_CLASS), "boxes:a.csv") == ("Whale",)


@pytest.mark.parametrize(
    ("wanted", "vocabulary", "named"),
    [
        ("Wale", OPEN_IMAGES, "Whale"),  # a close name
        ("marine", COCO, "person"),  # nothing close: some that it has
        ("Whale,bird", COCO, "boat"),
        ("any,bird", COCO, "boat"),
    ],
)
def test_a_class_the_model_lacks_is_refused_with_names_it_has(
    wanted: str, vocabulary: tuple[str, ...], named: str
) -> None:
    with refused("unknown_class", UsageError) as caught:
        resolve_classes(wanted, vocabulary, "the-model")
    message = caught.value.message
    assert len(message.splitlines()) == 1
    assert "the-model" in message
    assert repr(wanted.split(",")[0]) in message
    assert named in message
    assert "--classes any" in message


@given(st.lists(st.sampled_from(OPEN_IMAGES), min_size=1))
def test_what_was_resolved_resolves_to_itself(names: list[str]) -> None:
    once = resolve_classes(",".join(names), OPEN_IMAGES, "detic")
    assert once == tuple(dict.fromkeys(names))
    assert resolve_classes(",".join(once), OPEN_IMAGES, "detic") == once


def test_a_recrop_of_a_run_for_any_class_knows_the_groups(tmp_path: Path) -> None:
    """The detector is gone by then, but `marine` must not become a class called 'marine'."""
    candidates = tmp_path / "candidates.jsonl"
    candidates.write_bytes(b'{"class_names":["Whale","Boat"]}\n{"class_names":["Dolphin"]}\n{"class_na')
    kept = CropConfig(classes="any", conf=0.3)
    wanted = check_policy(kept, CropConfig(classes="marine", conf=0.3), candidates)
    assert wanted == ("Dolphin", "Whale")
