"""Exports of boxes as data sets and predictions: what is in them, folds, negatives, classes and names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
import yaml

import detic_crop
from detic_crop import api
from detic_crop.exports.yolo import label_file
from tests.kit.detectors import WANTED, fake_boxes
from tests.kit.errors import refused
from tests.kit.folders import crop, files_of, records_of
from tests.kit.hurting_names import write_hurting
from tests.kit.photos import write_damaged, write_photo, write_photos
from tests.kit.verdicts import ALSO_DRAWN, DRAWN, give_verdict

TRAINING = ("coco", "yolo", "voc")


def coco_of(out: Path, part: str = "all") -> dict[str, Any]:
    """The JSON of a part."""
    content: dict[str, Any] = json.loads((out / "annotations" / f"{part}.json").read_text())
    return content


def yolo_of(out: Path) -> dict[str, list[list[float]]]:
    """Picture below `images` → rows of the label file that ultralytics documents for it."""
    found = {}
    for path in sorted((out / "images").rglob("*.*")):
        if path.suffix == ".txt":  # of a photo in a folder that is itself called images
            continue
        before, _, after = path.as_posix().rpartition("/images/")
        label = Path(f"{before}/labels/{after}").with_suffix(".txt")
        rows = [list(map(float, line.split())) for line in label.read_text().splitlines()]
        found[path.relative_to(out / "images").as_posix()] = rows
    return found


def voc_of(out: Path) -> dict[str, ElementTree.Element]:
    """Name below `Annotations`, without extension → its XML."""
    folder = out / "Annotations"
    return {
        path.relative_to(folder).as_posix().removesuffix(".xml"): ElementTree.parse(path).getroot()
        for path in sorted(folder.rglob("*.xml"))
    }


def list_of(out: Path, name: str) -> list[str]:
    """Lines of a list of pictures."""
    return (out / name).read_text().splitlines()


@pytest.fixture
def cropped(tmp_path: Path) -> Path:
    """Twelve photos in three folders, and four that cannot be used."""
    write_photos(tmp_path / "in", 12)
    write_damaged(tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "cropped")
    return tmp_path / "cropped"


def keys_with(cropped: Path, status: str) -> list[str]:
    return [key for key, record in records_of(cropped).items() if record.status == status]


# ------------------------------------------------------------ coco


def test_coco_has_photos_boxes_and_classes(cropped: Path, tmp_path: Path) -> None:
    result = api.export(cropped, "coco", tmp_path / "out")
    content = coco_of(tmp_path / "out")
    records = {key: record for key, record in records_of(cropped).items() if record.status != "failed"}
    assert result.left_out == {"failed": 4}
    assert content["info"]["contributor"] == f"detic-crop {detic_crop.__version__}"
    assert content["info"]["model"] == "fake"
    names = [category["name"] for category in content["categories"]]
    assert names == sorted({record.class_name for record in records.values()} - {""})
    assert [category["id"] for category in content["categories"]] == list(range(1, len(names) + 1))
    assert [image["file_name"] for image in content["images"]] == list(records)
    boxes = {annotation["image_id"]: annotation for annotation in content["annotations"]}
    assert [annotation["id"] for annotation in content["annotations"]] == list(range(1, len(boxes) + 1))
    for image, record in zip(content["images"], records.values(), strict=True):
        assert (image["width"], image["height"]) == (record.width, record.height)
        if record.box is None:
            assert image["id"] not in boxes
            continue
        found = boxes[image["id"]]
        left, top, width, height = found["bbox"]
        assert [left, top, left + width, top + height] == pytest.approx(record.box)
        assert found["area"] == pytest.approx(width * height, abs=1e-3)
        assert names[found["category_id"] - 1] == record.class_name
        assert (found["iscrowd"], found["segmentation"], found["score"]) == (0, [], record.score)
    assert "annotations/train_fold0.json" not in files_of(tmp_path / "out")


def test_coco_names_the_photo_where_its_file_is_called_otherwise(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.tif")
    write_photo(tmp_path / "in" / "b.jpg")
    crop(tmp_path / "in", tmp_path / "cropped")
    for pictures in ("link", "none"):
        api.export(tmp_path / "cropped", "coco", tmp_path / pictures, pictures=pictures)
    images = coco_of(tmp_path / "link")["images"]
    assert [image["file_name"] for image in images] == ["a.tif.jpg", "b.jpg"]
    assert [image.get("source_photo") for image in images] == ["a.tif", None]
    images = coco_of(tmp_path / "none")["images"]
    assert [image["file_name"] for image in images] == ["a.tif", "b.jpg"]
    assert list(files_of(tmp_path / "none")) == ["annotations/all.json"]


# ------------------------------------------------------------ yolo


def test_yolo_has_a_label_file_where_each_picture_says(tmp_path: Path) -> None:
    keys = write_hurting(tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "cropped")
    api.export(tmp_path / "cropped", "yolo", tmp_path / "out")
    found = yolo_of(tmp_path / "out")
    assert len(found) == len(keys)
    assert sum(name.endswith(".txt") for name in files_of(tmp_path / "out")) == len(keys)
    records = records_of(tmp_path / "cropped")
    names = {"scan.tif": "scan.tif.jpg", "scan/scan.TIF": "scan/scan.TIF.jpg", "twin.png": "twin.png.png"}
    names["twin.tif"] = "twin.tif.jpg"
    for key, record in records.items():
        (rows,) = (found[names.get(key, key)],)
        if record.box is None:
            assert rows == []
            continue
        ((number, x, y, width, height),) = rows  # a trainer refuses a sixth column
        assert number in range(3)
        assert all(0 <= share <= 1 for share in (x, y, width, height))
        w, h = record.width, record.height
        edges = [(x - width / 2) * w, (y - height / 2) * h, (x + width / 2) * w, (y + height / 2) * h]
        assert edges == pytest.approx(record.box, abs=1e-3)


@pytest.mark.parametrize(
    ("picture", "label"),
    [
        ("images/a.jpg", "labels/a.txt"),
        ("images/x/images/a.b.jpg", "images/x/labels/a.b.txt"),
        ("images/labels/a.JPG", "labels/labels/a.txt"),
        ("images/images.jpg", "labels/images.txt"),
    ],
)
def test_where_ultralytics_looks_for_labels(picture: str, label: str) -> None:
    assert label_file(picture) == label


def test_yolo_without_folds_says_that_it_validates_on_what_it_trains_on(
    cropped: Path, tmp_path: Path
) -> None:
    result = api.export(cropped, "yolo", tmp_path / "out")
    content = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert (content["train"], content["val"]) == ("images", "images")
    assert list(content["names"]) == list(range(len(content["names"])))
    assert "path" not in content  # the folder of data.yaml, wherever it is moved
    assert any("nothing was split" in note for note in result.notes)


def test_all_boxes_have_scores_and_those_of_persons_are_theirs(cropped: Path, tmp_path: Path) -> None:
    key = keys_with(cropped, "cropped")[0]
    give_verdict(cropped, key, "box", DRAWN)
    api.apply(cropped, quiet=True)
    result = api.export(cropped, "yolo", tmp_path / "out", boxes="all")
    rows = yolo_of(tmp_path / "out")
    assert [len(row) for row in rows[key]] == [6]
    assert rows[key][0][5] == 1
    other = keys_with(cropped, "cropped")[1]
    found = fake_boxes(other, 60, 40)
    assert len(rows[other]) == sum(score >= 0.05 for score in found.scores)
    names = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())["names"].values()
    assert set(names) - set(WANTED)
    (note,) = [note for note in result.notes if "--boxes all" in note]
    assert note.endswith("--conf 0.3 --classes 'Dolphin,Marine mammal,Whale'")


# ------------------------------------------------------------ voc


def test_voc_counts_whole_pixels_from_one(cropped: Path, tmp_path: Path) -> None:
    api.export(cropped, "voc", tmp_path / "out")
    found = voc_of(tmp_path / "out")
    records = {key: record for key, record in records_of(cropped).items() if record.status != "failed"}
    for key, record in records.items():
        stem = key if key.endswith(".png") else key.removesuffix(".jpg")  # encoded anew as JPEG
        root = found.pop(stem)
        assert root.findtext("filename") == f"{stem}.jpg"
        assert (tmp_path / "out" / "JPEGImages" / f"{stem}.jpg").read_bytes()[:2] == b"\xff\xd8"
        assert [int(root.findtext(f"size/{side}") or 0) for side in ("width", "height")] == [60, 40]
        objects = root.findall("object")
        assert len(objects) == (record.box is not None)
        if record.box is not None:
            assert objects[0].findtext("name") == record.class_name
            assert float(objects[0].findtext("score") or -1) == record.score
            edges = [
                int(objects[0].findtext(f"bndbox/{edge}") or 0) for edge in ("xmin", "ymin", "xmax", "ymax")
            ]
            assert 1 <= edges[0] <= edges[2] <= 60
            assert 1 <= edges[1] <= edges[3] <= 40
            assert [edges[0] - 1, edges[1] - 1, *edges[2:]] == pytest.approx(record.box, abs=0.5)
    assert not found
    for name in ("trainval", "train"):
        lines = list_of(tmp_path / "out", f"ImageSets/Main/{name}.txt")
        assert sorted(lines) == sorted(voc_of(tmp_path / "out"))


def test_voc_writes_what_xml_can_hold(tmp_path: Path) -> None:
    keys = write_hurting(tmp_path / "in")
    (tmp_path / "labels.csv").write_text("image,species\nplain.jpg,a<b>&\x01\x0bc\n")
    crop(tmp_path / "in", tmp_path / "cropped", labels=tmp_path / "labels.csv")
    give_verdict(tmp_path / "cropped", "plain.jpg", "box", DRAWN)
    api.apply(tmp_path / "cropped", quiet=True)
    api.export(tmp_path / "cropped", "voc", tmp_path / "out", label="species")
    assert len(voc_of(tmp_path / "out")) == 1 < len(keys)
    assert voc_of(tmp_path / "out")["plain"].findtext("object/name") == "a<b>&\ufffd\ufffdc"


# ------------------------------------------------------------ what the training formats share


@pytest.mark.parametrize("to", TRAINING)
def test_reviewed_photos_only_with_the_rejected_as_negatives(cropped: Path, tmp_path: Path, to: str) -> None:
    found, nothing = keys_with(cropped, "cropped"), keys_with(cropped, "resized")
    for key, verdict in {
        found[0]: "accepted",
        found[1]: "rejected",
        found[2]: "unsure",
        found[3]: "whole",
    }.items():
        give_verdict(cropped, key, verdict)
    give_verdict(cropped, found[4], "box", ALSO_DRAWN)
    give_verdict(cropped, nothing[0], "accepted")
    api.apply(cropped, quiet=True)
    result = api.export(cropped, to, tmp_path / "out", boxes="reviewed")
    assert result.count == 4
    with_boxes, without = [found[0], found[4]], [found[1], nothing[0]]
    counts: dict[str, int]
    if to == "coco":
        content = coco_of(tmp_path / "out")
        of = [annotation["image_id"] for annotation in content["annotations"]]
        counts = {image["file_name"]: of.count(image["id"]) for image in content["images"]}
    elif to == "yolo":
        counts = {name: len(rows) for name, rows in yolo_of(tmp_path / "out").items()}
    else:
        counts = {
            f"{name}.jpg": len(root.findall("object")) for name, root in voc_of(tmp_path / "out").items()
        }
        counts = {
            name.removesuffix(".jpg") if ".png" in name else name: count for name, count in counts.items()
        }
    assert counts == {**dict.fromkeys(with_boxes, 1), **dict.fromkeys(without, 0)}
    assert not any("--boxes reviewed" in note for note in result.notes)
    chosen = api.export(cropped, to, tmp_path / "chosen")
    assert any("--boxes reviewed" in note for note in chosen.notes)


def test_folds_become_pairs_to_train_and_validate_on(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 24)
    lines = [f"{key},whale{number % 8}" for number, key in enumerate(keys)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,individual_id", *lines]))
    crop(tmp_path / "in", tmp_path / "cropped", labels=tmp_path / "labels.csv")
    api.split(tmp_path / "cropped", folds=3, unseen=0.2)
    for to in TRAINING:
        api.export(tmp_path / "cropped", to, tmp_path / to)
    everything = {image["file_name"] for image in coco_of(tmp_path / "coco")["images"]}
    parts = {}
    for part in ("test", *(f"{kind}_fold{fold}" for kind in ("train", "val") for fold in range(3))):
        content = coco_of(tmp_path / "coco", part)
        parts[part] = {image["file_name"] for image in content["images"]}
        assert {annotation["image_id"] for annotation in content["annotations"]} <= {
            image["id"] for image in content["images"]
        }
        pictures = [line.removeprefix("./images/") for line in list_of(tmp_path / "yolo", f"{part}.txt")]
        assert set(pictures) == parts[part]
        stems = list_of(tmp_path / "voc", f"ImageSets/Main/{part}.txt")
        assert {re.sub(r"\.jpg$", "", name) for name in parts[part]} == set(stems)
    for fold in range(3):
        assert parts[f"val_fold{fold}"]
        assert not parts[f"val_fold{fold}"] & parts[f"train_fold{fold}"]
        assert parts[f"val_fold{fold}"] | parts[f"train_fold{fold}"] == everything - parts["test"]
    assert parts["test"]
    name_of = {0: "data.yaml", 1: "data_fold1.yaml", 2: "data_fold2.yaml"}
    for fold, name in name_of.items():
        content = yaml.safe_load((tmp_path / "yolo" / name).read_text())
        assert [content[key] for key in ("train", "val", "test")] == [
            f"train_fold{fold}.txt", f"val_fold{fold}.txt", "test.txt",
        ]  # fmt: skip
    for line in list_of(tmp_path / "yolo", "train_fold0.txt"):
        assert (tmp_path / "yolo" / line).is_file()
    first = list_of(tmp_path / "voc", "ImageSets/Main/train_fold0.txt")
    assert list_of(tmp_path / "voc", "ImageSets/Main/train.txt") == first


@pytest.mark.parametrize("to", [*TRAINING, "megadetector", "label-studio"])
def test_a_label_names_the_class_of_chosen_boxes(tmp_path: Path, to: str) -> None:
    keys = write_photos(tmp_path / "in", 12)
    orca = '"Orca ""1"""'  # as CSV spells it
    lines = [f"{key},{'' if number % 4 == 3 else orca}" for number, key in enumerate(keys)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,species", *lines]))
    crop(tmp_path / "in", tmp_path / "cropped", labels=tmp_path / "labels.csv")
    with refused("label_of_candidates"):
        api.export(tmp_path / "cropped", to, tmp_path / "out", label="species", boxes="all")
    assert not (tmp_path / "out").exists()
    result = api.export(tmp_path / "cropped", to, tmp_path / "out", label="species")
    assert any("no species: there the class is the detector's" in note for note in result.notes)
    (classes,) = [note for note in result.notes if note.startswith("boxes, by class: ")]
    assert 'Orca "1" ' in classes
    if to == "yolo":
        assert 'Orca "1"' in yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())["names"].values()
    if to == "label-studio":
        root = ElementTree.parse(tmp_path / "out" / "interface.xml").getroot()
        assert 'Orca "1"' in [label.get("value") for label in root.iter("Label")]


def test_a_crop_has_the_boxes_of_all_animals_that_are_seen_in_it(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.jpg")
    lines = ["image,xmin,ymin,xmax,ymax", "a.jpg,5,5,30,30", "a.jpg,20,5,50,30"]
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    model = f"boxes:{tmp_path / 'boxes.csv'}"
    crop(tmp_path / "in", tmp_path / "cropped", detector=None, model=model, animals="all")
    api.export(tmp_path / "cropped", "coco", tmp_path / "out", of="crops")
    content = coco_of(tmp_path / "out")
    assert [image["file_name"] for image in content["images"]] == ["a.1.jpg", "a.2.jpg"]
    assert [annotation["image_id"] for annotation in content["annotations"]] == [1, 1, 2, 2]
    for annotation in content["annotations"]:
        left, top, width, height = annotation["bbox"]
        assert 0 <= left < left + width <= 32
        assert 0 <= top < top + height <= 32


@pytest.mark.parametrize("to", TRAINING)
def test_an_export_without_any_box_has_a_class(tmp_path: Path, to: str) -> None:
    write_photo(tmp_path / "in" / "a.jpg")
    (tmp_path / "boxes.csv").write_text("image,xmin,ymin,xmax,ymax\na.jpg,,,,\n")
    crop(tmp_path / "in", tmp_path / "cropped", detector=None, model=f"boxes:{tmp_path / 'boxes.csv'}")
    api.export(tmp_path / "cropped", to, tmp_path / "out")
    if to == "coco":
        assert [category["name"] for category in coco_of(tmp_path / "out")["categories"]] == ["animal"]
    if to == "yolo":
        assert yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())["names"] == {0: "animal"}


@pytest.mark.parametrize("to", [*TRAINING, "megadetector", "label-studio"])
def test_the_same_export_twice_is_the_same_to_the_byte(cropped: Path, tmp_path: Path, to: str) -> None:
    for out in ("one", "other"):
        api.export(cropped, to, tmp_path / out)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "other")


# ------------------------------------------------------------ megadetector


def test_megadetector_has_failed_photos_and_classes_as_classifications(cropped: Path, tmp_path: Path) -> None:
    result = api.export(cropped, "megadetector", tmp_path / "out")
    assert list(files_of(tmp_path / "out")) == ["megadetector.json"]
    content = json.loads((tmp_path / "out" / "megadetector.json").read_text())
    records = records_of(cropped)
    assert [image["file"] for image in content["images"]] == list(records)
    assert content["info"]["format_version"] == "1.6"
    assert content["info"]["detector_metadata"] == {"typical_detection_threshold": 0.3}
    assert content["detection_categories"] == {"1": "animal"}
    for image in content["images"]:
        record = records[image["file"]]
        if record.status == "failed":
            assert (image["failure"], image["detections"]) == (record.reason, None)
        elif record.box is None:
            assert image["detections"] == []
        else:
            (found,) = image["detections"]
            assert (found["category"], found["conf"]) == ("1", record.score)
            ((number, conf),) = found["classifications"]
            assert (content["classification_categories"][number], conf) == (record.class_name, record.score)
            left, top, width, height = found["bbox"]
            edges = [left * 60, top * 40, (left + width) * 60, (top + height) * 40]
            assert edges == pytest.approx(record.box, abs=1e-3)
    assert any(note.startswith("photos that could not be read") for note in result.notes)
    assert result.left_out == {}


def test_what_is_no_animal_is_a_category_of_its_own(cropped: Path, tmp_path: Path) -> None:
    api.export(cropped, "megadetector", tmp_path / "out", boxes="all")
    content = json.loads((tmp_path / "out" / "megadetector.json").read_text())
    assert content["detection_categories"] == {"1": "animal", "4": "Boat", "5": "Person"}
    assert set(content["classification_categories"].values()) == set(WANTED)


# ------------------------------------------------------------ label-studio


def test_label_studio_shows_each_picture_with_its_boxes_in_percent(tmp_path: Path) -> None:
    write_hurting(tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "cropped")
    api.export(tmp_path / "cropped", "label-studio", tmp_path / "out")
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    records = records_of(tmp_path / "cropped")
    root = ElementTree.parse(tmp_path / "out" / "interface.xml").getroot()
    labels = {label.get("value") for label in root.iter("Label")}
    assert [task["data"]["source_photo"] for task in tasks] == list(records)
    for task, record in zip(tasks, records.values(), strict=True):
        address = task["data"]["image"]
        assert address.isascii()
        assert (tmp_path / "out" / unquote(address.removeprefix("/data/local-files/?d="))).is_file()
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == "fake"
        if record.box is None:
            assert (prediction["result"], prediction["score"]) == ([], 0)
            continue
        (region,) = prediction["result"]
        assert region["score"] == prediction["score"] == record.score
        assert (region["original_width"], region["original_height"]) == (record.width, record.height)
        value = region["value"]
        assert value["rectanglelabels"] == [record.class_name]
        assert set(value["rectanglelabels"]) <= labels
        left, top = value["x"] * record.width / 100, value["y"] * record.height / 100
        right, bottom = (
            left + value["width"] * record.width / 100,
            top + value["height"] * record.height / 100,
        )
        assert [left, top, right, bottom] == pytest.approx(record.box, abs=1e-3)


NAMES = ("yes", "012", "a: b # c", "Grün", "\N{WHALE}", "x" * 200, "<&>'")


def test_names_of_classes_that_look_like_something_else(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 24)
    labels = {key: NAMES[number % len(NAMES)] for number, key in enumerate(keys)}
    lines = [f"{key},{label}" for key, label in labels.items()]
    (tmp_path / "labels.csv").write_text("\n".join(["image,species", *lines]), encoding="utf-8")
    crop(tmp_path / "in", tmp_path / "cropped", labels=tmp_path / "labels.csv")
    records = records_of(tmp_path / "cropped")
    expected = {labels[key] for key, record in records.items() if record.box is not None}
    assert len(expected) > 5
    for to in (*TRAINING, "label-studio"):
        api.export(tmp_path / "cropped", to, tmp_path / to, label="species")
    names = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text(encoding="utf-8"))["names"]
    assert list(names.items()) == list(enumerate(sorted(expected)))
    assert {category["name"] for category in coco_of(tmp_path / "coco")["categories"]} == expected
    written = voc_of(tmp_path / "voc").values()
    assert {root.findtext("object/name") for root in written} - {None} == expected
    interface = ElementTree.parse(tmp_path / "label-studio" / "interface.xml")
    assert {label.get("value") for label in interface.iter("Label")} == expected
