"""The simulation behind the figures of the ranking: its rows are those of a run, its counts are right."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from msgspec.structs import fields, replace

from benchmarks.audit_quality import false_alarms, found_share
from benchmarks.lite_metrics import auroc
from benchmarks.spoiled_rows import (
    MARINE,
    MECHANISMS,
    RIGHT_IOU,
    Animal,
    Scores,
    boxes,
    record_of,
    spoiled,
)
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.overlap import iou_of_pair
from detic_crop.config import CropConfig
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.folder.records import Record
from detic_crop.photos.location import LocalFile
from detic_crop.photos.photo import Photo
from detic_crop.report.suspicion import flags_of
from detic_crop.work.pipeline import Pipeline
from detic_crop.work.recipe import Job, Recipe
from tests.kit.helpers import detections
from tests.kit.photos import picture

CONFIG = CropConfig(model="given", conf=0.45)
ANIMALS = [
    Animal((300.0, 200.0, 700.0, 400.0), (290.0, 190.0, 690.0, 410.0), (1000, 700), "a"),
    Animal((100.0, 50.0, 300.0, 450.0), (100.0, 60.0, 300.0, 440.0), (400, 500), "b"),
]
SCORES = Scores(
    right=[(0.99, 0.99), (0.8, 0.8)],
    wrong=[(0.99, 0.6), (0.7, 0.7)],
    alarms=[(0.5, 0.5)],
    splits=[(0.9, 0.6, 0.3)],
    elsewhere=[(0.0, 0.0, 0.2, 0.1)],
)


class Given(Detector):
    """Answers with the boxes it was given."""

    def __init__(self, found: Detections) -> None:
        self.found = found
        self.info = DetectorInfo("given", (MARINE,), 0.45)

    def detect(self, image: object, key: str = "") -> Detections:
        return self.found


@pytest.mark.parametrize(
    "found",
    [
        detections(((10, 5, 50, 30), 0.9, MARINE), presence=0.95),
        detections(((10, 5, 50, 30), 0.5, MARINE), ((12, 5, 40, 20), 0.7, MARINE), presence=1.0),
        detections(((10, 5, 30, 20), 0.8, MARINE), ((5, 0, 50, 40), 0.3, MARINE), presence=0.8),
        detections(((-5, 5, 30, 200), 0.8, MARINE), ((40, 0, 50, 9), 0.6, MARINE), presence=0.8),
        detections(((10, 5, 50, 30), 0.2, MARINE), presence=0.3),
    ],
)
def test_a_simulated_row_is_the_row_of_a_run(found: Detections, tmp_path: Path) -> None:
    """All that suspicion reads, but for the pixels."""
    cv2.imwrite(str(tmp_path / "a.png"), picture(1))
    pipeline = Pipeline(Recipe(dataclasses.replace(CONFIG, classes=MARINE), 10**6), Given(found))
    real = pipeline.process(Job(Photo.at("a.png", LocalFile(str(tmp_path / "a.png"))), "a.jpg")).record
    ours = record_of("a.png", found, (60, 40), CONFIG)
    files = ("crop", "model", "file_size", "file_time", "crop_bytes", "checksum", "damaged")
    pixels = ("crop_hash", "blur", "brightness", "entropy")
    defaults = {field.name: field.default for field in fields(Record) if field.name in (*files, *pixels)}
    if ours.box is None:
        defaults["crop_box"] = None  # of no consequence
    assert replace(real, **defaults) == ours


@pytest.mark.parametrize("name", MECHANISMS)
def test_every_spoiled_row_is_a_wrong_crop(name: str) -> None:
    for seed in range(50):
        random = np.random.default_rng(seed)
        record, group = spoiled("x", MECHANISMS[name], ANIMALS, SCORES, CONFIG, random)
        animal = next(animal for animal in ANIMALS if animal.group == group)
        assert record.status == "cropped"
        assert record.box is not None
        assert iou_of_pair(record.box, animal.truth) < RIGHT_IOU
        again, _ = spoiled("x", MECHANISMS[name], ANIMALS, SCORES, CONFIG, np.random.default_rng(seed))
        assert again == record


def test_a_larger_wrong_box_wins_over_a_surer_right_one() -> None:
    random = np.random.default_rng(0)
    record, _ = spoiled("x", MECHANISMS["larger wrong box"], ANIMALS, SCORES, CONFIG, random)
    assert "smaller_box_more_confident" in flags_of(record, CONFIG)


def test_a_right_row_is_not_passed_off_as_spoiled() -> None:
    def right(animal: Animal, scores: Scores, random: np.random.Generator) -> Detections:
        return boxes(0.9, (animal.truth, 0.9))

    with pytest.raises(SystemExit, match="no wrong crop"):
        spoiled("x", right, ANIMALS, SCORES, CONFIG, np.random.default_rng(0))


def test_what_a_reviewer_finds_by_hand() -> None:
    suspicion = np.array([0.9, 0.5, 0.5, 0.5, 0.1])
    wrong = np.array([True, True, False, False, True])
    assert found_share(suspicion, wrong, 1).tolist() == [1, 0, 0]
    assert found_share(suspicion, wrong, 2).tolist() == [
        1,
        pytest.approx(1 / 3),
        0,
    ]  # one of three equal ones
    assert found_share(suspicion, wrong, 4).tolist() == [1, 1, 0]
    assert found_share(suspicion, wrong, 5).tolist() == [1, 1, 1]
    assert auroc(suspicion[wrong], suspicion[~wrong]) == pytest.approx((2 + 1 + 0) / 6)


def test_false_alarms_pass_conf_and_are_rarer_the_surer_they_are() -> None:
    scores = [score for score, _ in false_alarms([0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3], 0.45)]
    assert min(scores) > 0.45
    assert max(scores) < 1
    assert scores == sorted(scores)
    # The log-odds beyond conf are exponential: the mean is 1 / ln 2 times the median.
    excess = np.log(np.array(scores) / (1 - np.array(scores))) - np.log(0.45 / 0.55)
    assert excess.mean() / np.median(excess) == pytest.approx(1 / np.log(2), rel=0.01)
