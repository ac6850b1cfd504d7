"""Reasons in words: which crop gets which, with the numbers of this very photo and of its kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from detic_crop.boxes.detections import Detections
from detic_crop.config import CropConfig
from detic_crop.folder.records import Record
from detic_crop.report.photos import AuditPhoto, judge
from detic_crop.report.reasons import reasons_for
from detic_crop.report.rows import Row
from detic_crop.report.suspicion import FLAGS

CONFIG = CropConfig(model="fake", classes="Dolphin,Whale", conf=0.3, size=32)
GOOD = Record(
    "photo.jpg",
    "cropped",
    reason="largest_box",
    width=400,
    height=300,
    class_name="Dolphin",
    score=0.9,
    box=(150.0, 120.0, 250.0, 180.0),
    crop_box=(140, 114, 260, 186),
    n_candidates=1,
)


def reasons(
    record: Record, others: list[Row] | None = None, groups: tuple[str, ...] = (), found: Any = None
) -> list[str]:
    """Those of a record among others."""
    photos = judge([Row(record, groups=groups), *(others or [])], CONFIG)
    photo: AuditPhoto = photos[record.image]
    said = reasons_for(photo, CONFIG, photos.standing(record.image), found)
    return [words.replace("\u00a0", " ") for words in said]


def crowd(count: int, species: str = "", **values: Any) -> list[Row]:
    """Ordinary crops, whose scores and sizes rise evenly: the scores from 0.5 to below 0.9."""
    rows = []
    for number in range(count):
        grown = 20 + 100 * number / count
        record = replace(
            GOOD,
            image=f"{species or 'other'}{number}.jpg",
            score=round(0.5 + 0.4 * number / count, 4),
            box=(200 - grown, 150 - 0.6 * grown, 200 + grown, 150 + 0.6 * grown),
        )
        rows.append(Row(replace(record, **values), groups=(f"species {species}",) if species else ()))
    return rows


def test_a_low_score_is_counted_among_its_kind() -> None:
    low = replace(GOOD, score=0.501)
    assert reasons(low, crowd(199))[0] == "score 0.50, in the lowest hundredth of the Dolphin crops"
    low = replace(GOOD, score=0.53)
    assert reasons(low, crowd(199))[0] == "score 0.53, in the lowest tenth of the Dolphin crops"
    assert not [words for words in reasons(replace(GOOD, score=0.6), crowd(199)) if "lowest" in words]
    flagged = replace(GOOD, score=0.4)
    assert reasons(flagged) == ["score 0.40, not far above conf 0.3"]
    assert reasons(flagged, crowd(19))[0] == (
        "score 0.40, in the lowest twentieth of the Dolphin crops, not far above conf 0.3"
    )


def test_a_species_of_twenty_is_a_kind_of_its_own() -> None:
    rows = crowd(60) + crowd(19, "orca", score=0.45)
    low = replace(GOOD, score=0.46)
    assert (
        "lowest" not in reasons(low, rows, ("individual x", "species orca"))[0]
    )  # of 20 orcas it is the best
    others = crowd(60) + crowd(18, "orca", score=0.45)
    assert "of the Dolphin crops" not in reasons(low, rows, ("species orca",))[0]
    assert "of the Dolphin crops" in " ".join(reasons(replace(GOOD, score=0.42), others, ("species orca",)))
    assert "of all crops" in " ".join(reasons(replace(GOOD, score=0.42, class_name="Whale"), others))


def test_fewer_than_twenty_crops_are_compared_with_nothing() -> None:
    assert reasons(replace(GOOD, box=(150.0, 120.0, 180.0, 180.0)), crowd(18)) == [
        "nothing speaks against it; its score is 0.90"
    ]


@pytest.mark.parametrize(
    ("box", "words"),
    [
        (
            (190.0, 144.0, 210.0, 156.0),
            "the box is smaller than 99 % of the Dolphin crops: 0.2 % of the photo",
        ),
        (
            (60.0, 60.0, 340.0, 240.0),
            "the box is larger than 99 % of the Dolphin crops: 42 % of the photo",
        ),
        (
            (170.0, 100.0, 230.0, 200.0),
            "the box is narrower for its height than 99 % of the Dolphin crops",
        ),
        (
            (260.0, 200.0, 360.0, 260.0),
            "the box lies further from the middle than 99 % of the Dolphin crops",
        ),
    ],
)
def test_an_unusual_box_says_how_it_is_unusual(box: Any, words: str) -> None:
    record = replace(GOOD, box=box)
    said = [
        sentence.replace("covers 0.2 % of the photo, ", "is ") for sentence in reasons(record, crowd(199))
    ]
    assert any(words.split(": ")[0] in sentence for sentence in said), said
    if ": " in words and "0.2 %" not in words:
        assert words in said


def test_an_ordinary_crop_says_where_it_stands() -> None:
    ordinary = replace(GOOD, score=0.7, box=(140.0, 114.0, 260.0, 186.0))
    assert reasons(ordinary, crowd(199)) == [
        "nothing stands out; 50 % of the Dolphin crops score higher than 0.70"
    ]


@pytest.mark.parametrize(
    ("box", "sides"),
    [
        ((0.0, 120.0, 100.0, 180.0), "left edge"),
        ((0.0, 0.0, 100.0, 180.0), "left and top edge"),
        ((0.0, 0.0, 400.0, 180.0), "left, top and right edge"),
        ((150.0, 240.0, 250.0, 300.0), "bottom edge"),
    ],
)
def test_the_edges_that_are_touched(box: Any, sides: str) -> None:
    assert reasons(replace(GOOD, box=box)) == [f"the box touches the {sides}: the animal may be cut off"]


@pytest.mark.parametrize(
    ("flag", "values", "words"),
    [
        (
            "smaller_box_more_confident",
            {"best_score": 0.95},
            "a smaller box scores 0.95, the chosen one 0.90",
        ),
        ("larger_box_less_confident", {"larger_score": 0.5}, "scores 0.50, below conf 0.3"),
        ("tiny_box", {"box": (150.0, 120.0, 160.0, 130.0)}, "the box covers 0.08 % of the photo"),
        ("whole_image", {"box": (0.0, 0.0, 400.0, 300.0)}, "the box covers 100 % of the photo"),
        ("touches_edge", {"box": (0.0, 0.0, 400.0, 300.0)}, "the box touches all four edges of the photo"),
        ("extreme_aspect", {"box": (10.0, 120.0, 370.0, 150.0)}, "the box is 12 times as wide as high"),
        ("upscaled", {"crop_box": (0, 0, 20, 10)}, "only 20 × 10 pixels were cut out, and then enlarged"),
        ("several_animals", {"n_apart": 1}, "1 more box lies elsewhere in the photo"),
        ("several_animals", {"n_apart": 3}, "3 more boxes lie elsewhere in the photo"),
        ("class_conflict", {"rival_class": "Boat", "rival_score": 0.95}, "scores higher as Boat (0.95)"),
        ("truncated_file", {"truncated": True}, FLAGS["truncated_file"]),
        ("damaged_file", {"damaged": True}, FLAGS["damaged_file"]),
        ("blurry", {"blur": 0.71}, "the crop is blurry: 0.71 of 1"),
        ("dark", {"brightness": 22.4}, "the crop is dark: mean grey level 22 of 255"),
        ("low_information", {"entropy": 3.21}, "the crop shows little: 3.2 of 8 bits of entropy"),
        ("shrunk", {"is_shrunk": True}, "to keep to --max-bytes"),
        ("low_score", {"score": 0.31}, "score 0.31, not far above conf 0.3"),
        (
            "not_found",
            {"status": "resized", "reason": "not_found", "box": None, "presence": 0.12},
            "no animal was found; presence 0.12",
        ),
        (
            "not_found",
            {"status": "resized", "reason": "not_found", "box": None, "presence": 0.42},
            "no animal was found; presence 0.42: likely missed",
        ),
        (
            "not_listed",
            {"status": "resized", "reason": "not_listed", "box": None},
            "the boxes file does not name the photo: nobody looked at it",
        ),
    ],
)
def test_a_flag_is_told_with_its_numbers(flag: str, values: dict[str, Any], words: str) -> None:
    record = replace(GOOD, **values)
    assert flag in judge([Row(record)], CONFIG)[record.image].doubts.flags
    assert any(words in sentence for sentence in reasons(record)), reasons(record)


def test_every_flag_has_words() -> None:
    """The parameters above, and copies, name them all."""
    marks = test_a_flag_is_told_with_its_numbers.pytestmark
    told = {values[0] for mark in marks for values in mark.args[1]}
    assert told | {"duplicate", "near_duplicate"} == set(FLAGS)


def test_a_copy_names_its_original() -> None:
    first = replace(GOOD, image="a.jpg", checksum=5, file_size=9, crop_hash="0123456789abcdef")
    again = replace(GOOD, image="b.jpg", checksum=5, file_size=9, crop_hash="0123456789abcdef")
    photos = judge([Row(first), Row(again)], CONFIG)
    assert reasons_for(photos["b.jpg"], CONFIG, None, None) == ["the same file as a.jpg"]


def test_two_boxes_of_nearly_the_same_score() -> None:
    boxes = [
        (150, 120, 250, 180),
        (10, 10, 60, 40),
        (300, 10, 390, 60),
        (300, 200, 390, 290),
        (151, 121, 250, 180),
    ]
    scores = [0.9, 0.88, 0.5, 0.89, 0.89]
    names = (
        "Dolphin",
        "Whale",
        "Dolphin",
        "Boat",
        "Dolphin",
    )  # nobody asked for a boat; the last is the same
    found = Detections(np.array(boxes, np.float32), np.array(scores, np.float32), names)
    assert reasons(GOOD, found=found) == ["two boxes of nearly the same score (0.90 and 0.88)"]
    given = replace(GOOD, verdict="box", score=None)
    assert reasons(given, found=found) == ["a person gave the box"]


def test_failed_and_reviewed_photos_give_no_reason() -> None:
    assert reasons(Record("photo.jpg", "failed", reason="missing_file")) == []
    assert reasons(Record("photo.jpg", "resized", reason="reviewed_whole", verdict="whole")) == []
