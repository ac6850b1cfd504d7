"""What a run with a boxes file counts by default, and says of what it does not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from detic_crop.cli import main as cli
from detic_crop.config import CropConfig
from detic_crop.errors import UsageError
from detic_crop.folder.journal import recorded_config
from tests.kit.boxes_files import Load, loader
from tests.kit.errors import refused
from tests.kit.folders import crop
from tests.kit.photos import write_photos


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """See `loader`."""
    return loader(tmp_path)


def of_classes(*names: str) -> str:
    rows = [f"{i}.jpg,1 1 5 5,{name}" for i, name in enumerate(names)]
    return "\n".join(["image,box,class", *rows, ""])


def notes(load: Load, content: object, classes: Sequence[str] | None = None, conf: float = 0.0) -> list[str]:
    detector = load(content)
    detector.ask_for(classes, conf)
    return detector.notes()


# --- classes ---


@pytest.mark.parametrize(
    "names",
    [
        ("animal", "person"),
        ("animal", "seal"),
        ("Dolphin", "boat"),
        ("boat", "bird"),
        ("Whale", "globis"),
        ("",),
    ],
)
def test_every_class_counts_by_default(load: Load, names: Sequence[str]) -> None:
    assert load(of_classes(*names)).info.default_classes == "any"


def test_what_classes_leave_out_is_said_by_class_and_number(load: Load) -> None:
    names = ("whale", "whale", "boat", "boat", "bird", "")
    assert notes(load, of_classes(*names), ("whale",)) == [
        "boxes.csv: boxes left out because --classes does not name them: 2 boat, 1 bird",
        "boxes.csv: boxes without a class, which count whatever --classes says: 1",
    ]
    assert notes(load, of_classes("whale"), ("whale",)) == []
    assert notes(load, of_classes("whale", "globis")) == []


def test_many_classes_that_are_left_out_are_one_short_sentence(load: Load) -> None:
    (note,) = notes(load, of_classes("whale", *(f"species {i}" for i in range(30))), ("whale",))
    assert note.endswith("1 species 4, 1 species 5, 24 of 24 more classes")


def test_persons_and_vehicles_count_and_are_named(load: Load) -> None:
    (note,) = notes(load, of_classes("animal", "person", "person", "vehicle"))
    assert note == (
        "boxes.csv: boxes of every class count, also 2 person, 1 vehicle; "
        "to leave these out pass --classes 'animal'"
    )


def test_vehicles_are_not_proposed_because_the_file_could_have_them(load: Load) -> None:
    content = of_scores(0.9)
    content["detection_categories"] = {"1": "animal", "2": "person", "3": "vehicle"}
    content["images"][0]["detections"][0]["category"] = "2"
    (note,) = notes(load, content)
    assert note.endswith("to leave these out pass --classes 'animal'")


# --- scores ---


def of_scores(*scores: float, info: dict[str, Any] | None = None) -> dict[str, Any]:
    detections = [{"category": "1", "conf": score, "bbox": [0.1, 0.1, 0.5, 0.5]} for score in scores]
    return {
        "info": {} if info is None else {"detector_metadata": info},
        "images": [{"file": "a.jpg", "detections": detections}],
        "detection_categories": {"1": "animal"},
    }


def test_scores_down_to_nothing_are_said_with_a_proposal(load: Load) -> None:
    assert notes(load, of_scores(0.93, 0.25, 0.006)) == [
        "boxes.json: scores reach down to 0.006 and every box counts; --conf 0.25 would keep 2 of 3"
    ]
    assert notes(load, of_scores(0.93, 0.25, 0.006), conf=0.1) == []  # somebody has thought of it
    assert notes(load, of_scores(0.93, 0.25, 0.2)) == []
    assert notes(load, of_classes("whale")) == []  # no scores at all


def test_the_files_own_threshold(load: Load) -> None:
    content = of_scores(0.93, 0.2, 0.199, info={"typical_detection_threshold": 0.2})
    assert notes(load, content, conf=0.2) == [
        "boxes.json: 1 of 3 boxes scores below the file's own typical threshold, 0.2, and does not count"
    ]
    assert notes(load, content, conf=0.5) == []
    (note,) = notes(load, of_scores(0.93, 0.006, info={"typical_detection_threshold": 0.2}))
    assert "--conf 0.2 would keep 1 of 2" in note


# --- a whole run ---


@pytest.fixture
def place(tmp_path: Path) -> Path:
    keys = write_photos(tmp_path / "in", 3)
    found = [
        (0.93, "1", [0.3, 0.3, 0.2, 0.2]),
        (0.9, "2", [0.3, 0.3, 0.3, 0.3]),
        (0.006, "1", [0, 0, 0.9, 0.9]),
    ]
    detections = [{"category": number, "conf": conf, "bbox": bbox} for conf, number, bbox in found]
    content = of_scores(info={"typical_detection_threshold": 0.2})
    content["images"] = [{"file": key, "detections": detections} for key in keys]
    content["detection_categories"] = {"1": "animal", "2": "person"}
    (tmp_path / "md.json").write_text(json.dumps(content))
    return tmp_path


def test_a_raw_detectors_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", "--in", f"{place}/in", "--out", f"{place}/out", "--model", f"boxes:{place}/md.json"]
    assert cli.main([*command, "--dry-run"]) == 0
    dry = capsys.readouterr().out
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    told = json.loads((place / "out" / "run.json").read_text())
    for note in (
        "md.json: boxes of every class count, also 3 person; to leave these out pass --classes 'animal'",
        "md.json: 3 of 9 boxes score below the file's own typical threshold, 0.2, and do not count",
    ):
        assert note in said
        assert note in dry
        assert note in told["notes"]
    assert told["settings"]["conf"] == 0.2
    assert told["settings"]["classes"] == "any"
    rows = (place / "out" / "audit.csv").read_text().splitlines()
    assert all(",person," in row for row in rows[1:])


def test_unknown_classes_are_named_with_close_ones(place: Path) -> None:
    settings: dict[str, Any] = {"model": f"boxes:{place}/md.json", "detector": None}
    with refused("unknown_class", UsageError, match=r"no class 'animals'; close or known names: animal"):
        crop(place / "in", place / "out", **settings, classes="animals,Person")
    assert crop(place / "in", place / "out", **settings, classes="ANIMAL").config.classes == "animal"


def test_a_folder_that_was_begun_with_other_defaults_goes_on(place: Path) -> None:
    """Before, `animal` was the default class of such a file, and every score counted."""
    settings: dict[str, Any] = {"model": f"boxes:{place}/md.json", "detector": None}
    first = crop(place / "in", place / "out", **settings, classes="animal", conf=0.0, limit=1)
    begun = recorded_config(first.folder.layout.journal)
    again = crop(place / "in", place / "out", **settings)
    assert (again.done, again.skipped) == (2, 1)
    assert again.config == begun
    assert "md.json: boxes left out because --classes does not name them: 3 person" in again.notes
    with refused("other_settings", UsageError, names=["classes was 'animal', now 'any'"]):
        crop(place / "in", place / "out", **settings, classes="any")
    # Another file is another file, whatever its classes.
    content = json.loads((place / "md.json").read_text()) | {
        "detection_categories": {"1": "seal", "2": "boat"}
    }
    (place / "md.json").write_text(json.dumps(content))
    with refused("other_settings", UsageError, names=["the content of md.json has changed since"]):
        crop(place / "in", place / "out", **settings)


def test_a_file_without_classes(place: Path) -> None:
    keys = [path.name for path in sorted((place / "in").rglob("*.*"))]
    (place / "boxes.csv").write_text("image,box\n" + "".join(f"{key},2 3 20 25\n" for key in keys))
    settings: dict[str, Any] = {"model": f"boxes:{place}/boxes.csv", "detector": None}
    assert crop(place / "in", place / "any", **settings).config.classes == "any"
    # As earlier versions began a folder; --classes leaves nothing out, which is said when it is given.
    asked = crop(place / "in", place / "out", **settings, classes="whale", limit=1)
    assert asked.config.classes == "unknown"
    assert asked.notes == ["boxes.csv: boxes without a class, which count whatever --classes says: 3"]
    again = crop(place / "in", place / "out", **settings)
    assert (again.skipped, again.notes) == (1, [])


def test_the_box_format_is_a_setting_of_the_folder(place: Path) -> None:
    keys = [path.name for path in sorted((place / "in").rglob("*.*"))]
    rows = "".join(f'{key},"[2, 3, 20, 25]"\n' for key in keys)
    (place / "boxes.csv").write_text(f"image,bbox\n{rows}")
    settings: dict[str, Any] = {"model": f"boxes:{place}/boxes.csv", "detector": None}
    with refused("bad_boxes_file", UsageError, names=["say which they are: --box-format"]):
        crop(place / "in", place / "out", **settings)
    first = crop(place / "in", place / "out", **settings, box_format="xywh")
    assert first.config.box_format == "xywh"
    assert crop(place / "in", place / "out", **settings, box_format="xywh").skipped == first.done
    with refused("other_settings", UsageError, names=["box_format was 'xywh', now 'xyxy'"]):
        crop(place / "in", place / "out", **settings, box_format="xyxy")


def test_the_box_format_is_for_boxes_files_only(place: Path) -> None:
    with refused("option_not_applicable", UsageError, names=["lite"]):
        crop(place / "in", place / "out", model="lite", detector=None, box_format="xywh")
    with refused("option_not_applicable", UsageError, names=["your own detector"]):
        crop(place / "in", place / "out", box_format="xywh")
    with refused("bad_value", UsageError, names=["--box-format", "xyxy or xywh", "'yolo'"]):
        crop(place / "in", place / "out", box_format="yolo")
    assert not (place / "out").exists()


def test_a_fingerprint_without_a_box_format_is_what_it_was() -> None:
    assert "box_format" not in CropConfig().to_dict()
    assert CropConfig(box_format="xyxy").fingerprint() != CropConfig().fingerprint()
