"""The way back: `--model boxes:PATH` reads what `export` wrote, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from detic_crop import api
from detic_crop.exports.base import Of
from detic_crop.exports.formats import export_named
from detic_crop.folder.animals import boxes_of, crops_of
from detic_crop.folder.records import Animal, Record
from tests.kit.detectors import WANTED, fake_boxes
from tests.kit.folders import crop, records_of
from tests.kit.hurting_names import write_hurting
from tests.kit.photos import write_damaged
from tests.kit.verdicts import DRAWN, give_verdict


class Way(NamedTuple):
    """A format of boxes.

    Attributes:
        path: what to give as ``boxes:``, below the export.
        precision: pixels by which an edge may be off.
        scores: which exports of it have scores.
    """

    path: str
    precision: float = 0
    scores: tuple[str, ...] = ("chosen", "all")


WAYS = {
    "coco": Way("annotations/all.json"),
    "yolo": Way(".", scores=("all",)),
    "voc": Way(".", precision=0.5),
    "megadetector": Way("megadetector.json"),
    "label-studio": Way("tasks.json"),
    "boxes-fullbody": Way("fullbody_train.csv"),
    "boxes-yolo": Way("yolov5_train.csv"),
}


class Both(NamedTuple):
    """Records of a run, and of a run on the boxes of its export."""

    first: dict[str, Record]
    again: dict[str, Record]
    out: Path
    back: Path


def there_and_back(tmp_path: Path, to: str, settings: dict[str, Any], **asked: Any) -> Both:
    out, exported, back = tmp_path / "cropped", tmp_path / "exported", tmp_path / "back"
    api.export(out, to, exported, **asked)
    path = exported / WAYS[to].path
    crop(tmp_path / "in", back, detector=None, model=f"boxes:{path}", **settings)
    return Both(records_of(out), records_of(back), out, back)


def animals_of(record: Record) -> Sequence[Record | Animal]:
    """The animals of a photo; without --animals all its record tells of the one."""
    return record.animals or (record,)


def class_of(record: Record, animal: Record | Animal) -> str:
    """What a box is called in exports: a person draws one where the detector saw that class, or nothing."""
    if animal.box is None:
        return ""
    detected = record.detected.class_name if record.detected else ""
    return animal.class_name or detected or "animal"


def assert_same_boxes(both: Both, way: Way, has_scores: bool) -> None:
    assert list(both.again) == list(both.first)
    for key, first in both.first.items():
        again = both.again[key]
        expected = "resized" if first.status == "rejected" else first.status
        assert (key, again.status) == (key, expected)
        if first.status == "rejected":
            assert again.reason == "not_found"
            continue
        if first.reason == "not_found":
            assert again.reason == "not_found"
        assert len(boxes_of(again)) == len(boxes_of(first)), key
        for one, other in zip(boxes_of(first), boxes_of(again), strict=True):
            assert one == pytest.approx(other, abs=way.precision), key
        for mine, theirs in zip(animals_of(first), animals_of(again), strict=True):
            assert theirs.class_name == class_of(first, mine), key
            if has_scores and mine.box is not None:
                certain = mine.score is None or first.verdict == "box"
                assert theirs.score == (1 if certain else mine.score), key


def assert_same_crops(both: Both) -> None:
    kept = {key: record for key, record in both.first.items() if record.status != "rejected"}
    for key, first in kept.items():
        names = [crop.name for crop in crops_of(first)]
        assert names == [crop.name for crop in crops_of(both.again[key])]
        for name in names:
            assert (both.back / name).read_bytes() == (both.out / name).read_bytes(), key


@pytest.mark.parametrize("animals", ["largest", "all"])
@pytest.mark.parametrize("to", WAYS)
def test_chosen_boxes_come_back(tmp_path: Path, to: str, animals: str) -> None:
    keys = write_hurting(tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "cropped", animals=animals)
    records = records_of(tmp_path / "cropped")
    found = [key for key in keys if records[key].status == "cropped"]
    nothing = [key for key in keys if records[key].status == "resized"]
    assert len(found) > 9
    assert len(nothing) > 2
    give_verdict(tmp_path / "cropped", found[1], "rejected")
    give_verdict(tmp_path / "cropped", found[2], "box", DRAWN)
    give_verdict(tmp_path / "cropped", nothing[1], "box", DRAWN)
    api.apply(tmp_path / "cropped", quiet=True)
    both = there_and_back(tmp_path, to, {"animals": animals})
    assert_same_boxes(both, WAYS[to], "chosen" in WAYS[to].scores)
    if not WAYS[to].precision:
        assert_same_crops(both)


@pytest.mark.parametrize("to", WAYS)
def test_all_boxes_come_back_and_are_chosen_among_as_before(tmp_path: Path, to: str) -> None:
    write_hurting(tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "cropped")
    key = "day2/same.jpg"
    record = records_of(tmp_path / "cropped")[key]
    doubted = fake_boxes(key, record.width, record.height)
    assert doubted.score(1) < 0.3  # a box that a person picks counts, whatever the detector thought of it
    give_verdict(tmp_path / "cropped", key, "box", doubted.edges(1))
    api.apply(tmp_path / "cropped", quiet=True)
    policy = {"conf": 0.3, "classes": ",".join(WANTED)}
    both = there_and_back(tmp_path, to, policy, boxes="all")
    assert_same_boxes(both, WAYS[to], has_scores=True)
    assert both.first[key].box == doubted.edges(1)
    for key, first in both.first.items():
        assert first.verdict or both.again[key].n_candidates == first.n_candidates
    if not WAYS[to].precision:
        assert_same_crops(both)


@pytest.mark.parametrize("to", WAYS)
def test_photos_that_nobody_looked_at_stay_so(tmp_path: Path, to: str) -> None:
    """Of photos that a boxes file does not name, those that failed, and those where nothing was found."""
    write_hurting(tmp_path / "in")
    write_damaged(tmp_path / "in")
    lines = ["image,xmin,ymin,xmax,ymax", "plain.jpg,5,5,30,30", "day1/same.jpg,,,,"]
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    crop(tmp_path / "in", tmp_path / "cropped", detector=None, model=f"boxes:{tmp_path / 'boxes.csv'}")
    both = there_and_back(tmp_path, to, {})
    for key, first in both.first.items():
        again = both.again[key]
        assert again.status == first.status, key
        if first.status != "failed":
            assert again.reason == first.reason, key


@pytest.mark.parametrize("of", ["photos", "crops"])
@pytest.mark.parametrize("to", [to for to in WAYS if "crops" in export_named(to).of])
def test_boxes_come_back_on_the_pictures_of_the_export_itself(tmp_path: Path, to: str, of: Of) -> None:
    write_hurting(tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "cropped")
    exported = tmp_path / "exported"
    result = api.export(tmp_path / "cropped", to, exported, of=of)
    pictures = exported / ("JPEGImages" if to == "voc" else "images")
    crop(pictures, tmp_path / "back", detector=None, model=f"boxes:{exported / WAYS[to].path}")
    first, again = records_of(tmp_path / "cropped"), records_of(tmp_path / "back")
    assert len(again) == result.count == len(first)
    statuses = [
        sorted((record.status, record.reason) for record in records.values()) for records in (first, again)
    ]
    assert statuses[0] == statuses[1]
