"""What detectors write: SpeciesNet's and ultralytics' predictions.json, to_json, and tables of one photo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from detic_crop.detectors.boxes_file import load_boxes_file
from tests.kit.labelling import failure, found, refusal, whole, write

# --- SpeciesNet ---


def prediction(path: str, *detections: Mapping[str, Any], **more: object) -> dict[str, Any]:
    return {
        "filepath": path,
        "classifications": {"classes": ["a;b;c;d;e;f;blank"], "scores": [0.9]},
        "detections": list(detections),
        "prediction": "uuid;mammalia;cetacea;delphinidae;tursiops;truncatus;bottlenose dolphin",
        "prediction_score": 0.9,
        "prediction_source": "classifier",
        "model_version": "4.0.1a",
        **more,
    }


ANIMAL = {"category": "1", "label": "animal", "conf": 0.75, "bbox": [0.1, 0.2, 0.3, 0.4]}
BOAT = {"category": "3", "label": "vehicle", "conf": 0.5, "bbox": [0, 0, 1, 1]}


def test_speciesnet(tmp_path: Path) -> None:
    failed = prediction("/data/cam1/d.jpg", failures=["DETECTOR"])
    del failed["detections"]
    classified = {"filepath": "/data/cam1/e.jpg", "classifications": {}}
    half = prediction("/data/cam1/f.jpg", ANIMAL, failures=["CLASSIFIER"])
    photos = [
        prediction("/data/cam1/a.jpg", ANIMAL, BOAT),
        prediction("/data/cam1/b.jpg"),
        {"filepath": "C:\\data\\cam1\\c.jpg", "detections": [{k: ANIMAL[k] for k in ANIMAL if k != "label"}]},
        failed,
        classified,
        half,
    ]
    write(tmp_path, {"predictions.json": {"predictions": photos}})
    detector = load_boxes_file(tmp_path / "predictions.json")
    animal = whole(100, 100, 400, 300, name="animal", score=0.75)
    assert found(detector, "cam1/a.jpg") == [animal, whole(0, 0, 1000, 500, name="vehicle", score=0.5)]
    assert found(detector, "cam1/b.jpg") == []
    assert found(detector, "cam1/c.jpg") == [animal]
    assert found(detector, "cam1/f.jpg") == [animal]
    assert detector.info.class_names == ("animal", "human", "vehicle")
    reason, text = failure(detector, "cam1/d.jpg")
    assert (reason, "predictions[3]" in text, "got the failure 'DETECTOR'" in text) == (
        "bad_boxes",
        True,
        True,
    )
    reason, text = failure(detector, "cam1/e.jpg")
    assert (reason, "was only the classifier run?" in text) == ("bad_boxes", True)


def test_speciesnet_without_a_detector_is_refused(tmp_path: Path) -> None:
    photos: list[dict[str, Any]] = [{"filepath": name, "classifications": {}} for name in ("a.jpg", "b.jpg")]
    write(tmp_path, {"predictions.json": {"predictions": photos}})
    assert "was only the classifier run?" in refusal(tmp_path / "predictions.json")


# --- ultralytics ---


def item(image: object, **more: object) -> dict[str, Any]:
    return {
        "image_id": image,
        "category_id": 1,
        "bbox": [10.125, 20.0, 30.5, 40.25],
        "score": 0.91234,
        **more,
    }


AS_FOUND = whole(10.125, 20, 40.625, 60.25, score=0.9123)


def test_names_of_files_count_before_ids(tmp_path: Path) -> None:
    items = [item(139, file_name="000000000139.jpg"), item("fin", file_name="fin.png")]
    write(tmp_path, {"predictions.json": items})
    detector = load_boxes_file(tmp_path / "predictions.json")
    assert found(detector, "000000000139.jpg") == [AS_FOUND]
    assert found(detector, "fin.png") == [AS_FOUND]


def test_numbers_are_photos_that_are_called_so(tmp_path: Path) -> None:
    write(tmp_path, {"predictions.json": [item(139), item(7), item("fin"), item(8)]})
    detector = load_boxes_file(tmp_path / "predictions.json")
    detector.expect(["val/000000000139.jpg", "val/7.png", "val/fin.jpg", "val/IMG_8.jpg", "val/8.v2.jpg"])
    for key in ("val/000000000139.jpg", "val/7.png", "val/fin.jpg"):
        assert found(detector, key) == [AS_FOUND]
    for key in ("val/IMG_8.jpg", "val/8.v2.jpg"):
        assert found(detector, key) == []
    assert any(note.startswith("predictions.json: numbers in `image_id`") for note in detector.notes())


def test_a_photo_by_name_and_by_number_has_the_boxes_of_both(tmp_path: Path) -> None:
    items = [item(7), item(7, file_name="7.jpg", bbox=[1.125, 2.0, 3.0, 4.0]), item(8)]
    write(tmp_path, {"predictions.json": items})
    detector = load_boxes_file(tmp_path / "predictions.json")
    detector.expect(["7.jpg", "8.jpg"])
    assert len(found(detector, "7.jpg")) == 2


def test_a_number_that_two_photos_have_is_a_problem_of_both(tmp_path: Path) -> None:
    write(tmp_path, {"predictions.json": [item(7), item(8)]})
    detector = load_boxes_file(tmp_path / "predictions.json")
    detector.expect(["007.jpg", "07.jpg", "8.jpg"])
    assert found(detector, "8.jpg") == [AS_FOUND]
    for key in ("007.jpg", "07.jpg"):
        reason, text = failure(detector, key)
        assert reason == "bad_boxes"
        assert "expected one photo of that number, got 007.jpg, 07.jpg" in text


@pytest.mark.parametrize(
    "items",
    [
        [item(1, bbox=[10.1234567, 20.0, 30.0, 40.0])],  # detectron2 rounds nothing
        [item(1, score=0.912345678)],
        [item(1, bbox=[10, 20, 30, 40]), item(2, bbox=[1, 2, 3, 4])],  # these tell nothing
        [item(1, bbox=[10.5, 20.0, 30.0, 40.0])],
    ],
)
def test_ids_of_a_data_set_that_is_not_here_are_refused(tmp_path: Path, items: list[object]) -> None:
    write(tmp_path, {"coco_instances_results.json": items})
    text = refusal(tmp_path / "coco_instances_results.json")
    assert "got the number 1 at [0]" in text
    assert "pass a COCO data set JSON" in text


def result(*corners: float, **more: object) -> dict[str, Any]:
    names = ("x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4")
    box = dict(zip(names, corners, strict=False))
    return {"name": "dolphin", "class": 0, "confidence": 0.5, "box": box, **more}


def test_results_to_json_for_each_photo(tmp_path: Path) -> None:
    turned = result(300, 60, 310, 40, 110, 20, 100, 40, name="boat")
    segments = {"segments": {"x": [1.0], "y": [2.0]}, "track_id": 3}
    write(
        tmp_path,
        {
            "cam1/a.json": [result(100.5, 50, 300, 200, **segments), turned],
            "cam1/b.json": [],
            "run.json": {"model": "lite"},
        },
    )
    detector = load_boxes_file(tmp_path)
    assert found(detector, "cam1/a.jpg") == [
        whole(100.5, 50, 300, 200, name="dolphin", score=0.5),
        whole(100, 20, 310, 60, name="boat", score=0.5),
    ]
    assert found(detector, "cam1/b.jpg") == []
    assert detector.listed == 2
    assert any(
        ".json files that are not ultralytics to_json: 1 (first: run.json)" in note
        for note in detector.notes()
    )
    assert found(load_boxes_file(tmp_path / "cam1" / "a.json"), "a.png") == found(detector, "cam1/a.jpg")


def test_normalised_results_take_the_photos_size(tmp_path: Path) -> None:
    write(tmp_path, {"a.json": [result(0.1, 0.2, 0.5, 0.8)], "b.json": [result(0.25, 0.25, 0.5, 0.5)]})
    assert found(load_boxes_file(tmp_path), "a.jpg") == [whole(100, 100, 500, 400, name="dolphin", score=0.5)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,class,confidence,box\nfin,0,0.5,\"{'x1': 1}\"\n", "save_txt("),
        ("xmin,ymin,xmax,ymax,confidence,class,name\n1,2,3,4,0.5,0,fin\n", "add a column `image`"),
        ("Image Name,Prediction,Confidence\na.jpg,fin,0.5\n", "--save-txt"),
        ("annotation_id,annotator,id,lead_time,label\n1,2,3,4,5\n", "export it again as JSON"),
        ("scorer,DLC,DLC\nbodyparts,fin,fin\n", "DeepLabCut"),
    ],
)
def test_tables_of_one_photo_say_what_to_do(tmp_path: Path, content: str, message: str) -> None:
    write(tmp_path, {"boxes.csv": content})
    assert message in refusal(tmp_path / "boxes.csv")
