"""What a verdict says about where the animal is."""

from __future__ import annotations

import pytest

from detic_crop.folder.decisions import Decision
from detic_crop.folder.records import Record
from detic_crop.folder.truths import Truth, truths_of
from detic_crop.photos.labels import parse_labels
from detic_crop.report.groups import encounters

BOX = (10.0, 20.0, 60.0, 50.0)
DRAWN = (5.0, 5.0, 30.0, 20.0)


def record(box: tuple[float, float, float, float] | None = BOX, **changes: object) -> Record:
    values = {"status": "cropped" if box else "resized", "width": 100, "height": 80, "box": box, **changes}
    return Record("a.jpg", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("photo", "decision", "truth"),
    [
        (record(), Decision("accepted"), Truth("a.jpg", BOX, "accepted")),
        (record(None), Decision("accepted"), Truth("a.jpg", None, "empty")),  # "Accept: no animal"
        (record(), Decision("box", (DRAWN,)), Truth("a.jpg", DRAWN, "corrected")),
        (record(None), Decision("box", (DRAWN,)), Truth("a.jpg", DRAWN, "corrected")),
        (record(), Decision("box", ((-5, 5, 120, 20),)), Truth("a.jpg", (0, 5, 100, 20), "corrected")),
        (record(), Decision("rejected"), Truth("a.jpg", None, "empty")),
        (record(None), Decision("whole"), Truth("a.jpg", None, "empty")),
        # Whether the last word was applied makes no difference.
        (record(status="rejected", verdict="rejected"), Decision("rejected"), Truth("a.jpg", None, "empty")),
        (
            record(DRAWN, verdict="box", detector_box=BOX),
            Decision("box", (DRAWN,)),
            Truth("a.jpg", DRAWN, "corrected"),
        ),
        (
            record(DRAWN, verdict="box", detector_box=BOX),
            Decision("accepted"),
            Truth("a.jpg", BOX, "accepted"),
        ),
        (record(None, verdict="whole"), Decision("whole"), Truth("a.jpg", None, "empty")),
    ],
)
def test_what_a_verdict_says(photo: Record, decision: Decision, truth: Truth) -> None:
    assert truths_of({"a.jpg": photo}, {"a.jpg": decision}) == ([truth], {})


@pytest.mark.parametrize(
    ("photo", "decision", "why"),
    [
        (record(), Decision("whole"), "does not say whether an animal is there"),
        (record(None, verdict="whole", detector_box=BOX), Decision("whole"), "does not say whether"),
        (record(), Decision("box", ((200, 5, 300, 20),)), "expected a box inside"),
        (record(None, status="failed"), Decision("accepted"), "could not read"),
    ],
)
def test_what_says_nothing_is_named(photo: Record, decision: Decision, why: str) -> None:
    truths, unclear = truths_of({"a.jpg": photo}, {"a.jpg": decision})
    assert truths == []
    assert why in unclear["a.jpg"]


def test_a_verdict_that_was_taken_back_or_has_no_photo_is_not_named() -> None:
    assert truths_of({"a.jpg": record()}, {"a.jpg": Decision(), "b.jpg": Decision("accepted")}) == ([], {})


def test_truths_are_in_the_order_of_their_names() -> None:
    records = {key: record() for key in ("b", "c", "a")}
    truths, _ = truths_of(records, {key: Decision("accepted") for key in records})
    assert [truth.image for truth in truths] == ["a", "b", "c"]


@pytest.mark.parametrize("column", ["encounter", "Encounter ID", "sighting"])
def test_encounters_are_those_of_the_labels(column: str) -> None:
    labels = parse_labels(f"image,{column}\na.jpg,7\nb.jpg,\nc.jpg,8\n".encode(), "image", "labels.csv")
    assert encounters(labels, ["a.jpg", "b.jpg", None]) == {"a.jpg": "7"}
    assert encounters(None, []) == {}


def test_labels_without_encounters_name_none() -> None:
    labels = parse_labels(b"image,species\na.jpg,orca\n", "image", "labels.csv")
    assert encounters(labels, ["a.jpg"]) == {}
