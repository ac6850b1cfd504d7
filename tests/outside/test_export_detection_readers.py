"""Exports of boxes, held against their readers: pycocotools, torchvision, supervision, MegaDetector."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detic_crop import api
from detic_crop.boxes.geometry import Box
from detic_crop.folder.animals import boxes_of
from detic_crop.folder.records import Record
from tests.kit.folders import crop, records_of
from tests.kit.hurting_names import write_hurting
from tests.kit.photos import write_damaged, write_photos

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on photos with names that hurt, and one on photos in one folder, as some readers want them."""
    folder = tmp_path_factory.mktemp("detection")
    write_hurting(folder / "hurting")
    write_damaged(folder / "hurting")
    write_photos(folder / "three", 24)
    (folder / "flat").mkdir()
    for path in (folder / "three").rglob("photo*"):
        shutil.copy(path, folder / "flat")
    for name in ("hurting", "flat"):
        crop(folder / name, folder / f"{name}-cropped", animals="all")
        for to in ("coco", "yolo", "voc", "megadetector"):
            api.export(folder / f"{name}-cropped", to, folder / f"{name}-{to}")
    return folder


def boxes_by_name(records: dict[str, Record], images: Path) -> dict[str, list[Box]]:
    """Picture below `images` → the boxes of its photo, which is the one whose name it begins with."""
    found = {}
    names = [path.relative_to(images).as_posix() for path in images.rglob("*.*") if path.suffix != ".txt"]
    for name in names:
        key = name if name in records else name.rpartition(".")[0]
        found[name] = list(boxes_of(records[key]))
    return found


def read_records(folder: Path) -> dict[str, Record]:
    return {key: record for key, record in records_of(folder).items() if record.status != "failed"}


# ------------------------------------------------------------ coco


@pytest.mark.parametrize("name", ["hurting", "flat"])
def test_pycocotools_reads_and_evaluates_it(work: Path, name: str) -> None:
    coco_module: Any = pytest.importorskip("pycocotools.coco")
    cocoeval: Any = pytest.importorskip("pycocotools.cocoeval")
    file = work / f"{name}-coco" / "annotations" / "all.json"
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco_module.COCO(str(file))
        own = [{**item, "score": item["score"]} for item in truth.dataset["annotations"]]
        evaluation = cocoeval.COCOeval(truth, truth.loadRes(own), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)
    expected = boxes_by_name(read_records(work / f"{name}-cropped"), work / f"{name}-coco" / "images")
    assert {image["file_name"] for image in truth.loadImgs(truth.getImgIds())} == expected.keys()
    for image in truth.loadImgs(truth.getImgIds()):
        found = truth.loadAnns(truth.getAnnIds(imgIds=[image["id"]]))
        edges = [(x, y, x + w, y + h) for x, y, w, h in (annotation["bbox"] for annotation in found)]
        assert np.allclose(edges, expected[image["file_name"]])


def test_torchvision_reads_photos_with_their_boxes(work: Path) -> None:
    datasets: Any = pytest.importorskip("torchvision.datasets")
    root = work / "hurting-coco"
    with contextlib.redirect_stdout(io.StringIO()):
        data = datasets.CocoDetection(root / "images", root / "annotations" / "all.json")
    by_id = {image["id"]: image for image in data.coco.dataset["images"]}
    for place in range(len(data)):
        image, found = data[place]
        assert image.size == tuple(by_id[data.ids[place]][side] for side in ("width", "height"))
        for annotation in found:
            x, y, width, height = annotation["bbox"]
            assert 0 <= x < x + width <= image.width + 0.01
            assert 0 <= y < y + height <= image.height + 0.01
    assert len(data) == len(read_records(work / "hurting-cropped"))


# ------------------------------------------------------------ supervision


def assert_supervision_has(data: Any, images: Path, cropped: Path, precision: float) -> None:
    records = read_records(cropped)
    expected = boxes_by_name(records, images)
    found = {
        Path(path).relative_to(images).as_posix(): detections for path, detections in data.annotations.items()
    }
    assert found.keys() == expected.keys()
    for name, detections in found.items():
        boxes = np.array(expected[name]).reshape(-1, 4)
        thin = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, keepdims=True, initial=9) < 1  # than a pixel
        assert (np.abs(detections.xyxy - boxes) <= precision * (1 + thin) + 0.01).all(), name
        record = records[name if name in records else name.rpartition(".")[0]]
        classes = [animal.class_name for animal in record.animals if animal.box is not None]
        assert [data.classes[number] for number in detections.class_id] == classes if len(boxes) else True


def test_supervision_reads_coco(work: Path) -> None:
    supervision: Any = pytest.importorskip("supervision")
    for name in ("hurting", "flat"):
        root = work / f"{name}-coco"
        data = supervision.DetectionDataset.from_coco(
            str(root / "images"), str(root / "annotations" / "all.json")
        )
        assert_supervision_has(data, root / "images", work / f"{name}-cropped", 0)


def test_supervision_reads_yolo_and_voc_of_one_folder(work: Path) -> None:
    supervision: Any = pytest.importorskip("supervision")
    root = work / "flat-yolo"
    data = supervision.DetectionDataset.from_yolo(
        str(root / "images"), str(root / "labels"), str(root / "data.yaml")
    )
    assert_supervision_has(data, root / "images", work / "flat-cropped", 0)
    root = work / "flat-voc"
    data = supervision.DetectionDataset.from_pascal_voc(str(root / "JPEGImages"), str(root / "Annotations"))
    assert_supervision_has(data, root / "JPEGImages", work / "flat-cropped", 0.5)


def test_torchvision_reads_voc(work: Path, tmp_path: Path) -> None:
    datasets: Any = pytest.importorskip("torchvision.datasets")
    (tmp_path / "VOCdevkit").mkdir()
    shutil.copytree(work / "hurting-voc", tmp_path / "VOCdevkit" / "VOC2012")
    data = datasets.VOCDetection(tmp_path, image_set="trainval")
    records = read_records(work / "hurting-cropped")
    assert len(data) == len(records)
    count = 0
    for image, target in data:
        annotation = target["annotation"]
        assert image.size == (int(annotation["size"]["width"]), int(annotation["size"]["height"]))
        for item in annotation.get("object", []):
            box = {edge: int(value) for edge, value in item["bndbox"].items()}
            assert 1 <= box["xmin"] <= box["xmax"] <= image.width
            assert 1 <= box["ymin"] <= box["ymax"] <= image.height
            count += 1
    assert count == sum(len(boxes_of(record)) for record in records.values())


# ------------------------------------------------------------ megadetector


def test_megadetectors_own_validator_accepts_it(work: Path) -> None:
    module: Any = pytest.importorskip(
        "megadetector.postprocessing.validate_batch_results", exc_type=ImportError
    )
    for boxes in ("chosen", "all"):
        out = work / f"validated-{boxes}"
        api.export(work / "hurting-cropped", "megadetector", out, boxes=boxes)
        file = out / "megadetector.json"
        options = module.ValidateBatchResultsOptions()
        options.check_image_existence, options.relative_path_base = True, str(work / "hurting")
        found = module.validate_batch_results(str(file), options)["validation_results"]
        assert (found["errors"], found["warnings"]) == ([], [])
        images = json.loads(file.read_text())["images"]
        count = sum(len(image["detections"] or ()) for image in images)
        assert sum(found["detection_category_id_to_count"].values()) == count > 0
