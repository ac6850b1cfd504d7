"""`detic-crop export --to boxes-fullbody` and `boxes-yolo`: read by pandas, and by our own reader."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detic_crop import api
from tests.kit.boxes_files import boxes, loader, photo
from tests.kit.errors import refused
from tests.kit.folders import crop, files_of, rows_of
from tests.kit.photos import write_damaged, write_photos
from tests.kit.verdicts import DRAWN, give_verdict

FORMATS = {"boxes-fullbody": "fullbody_train.csv", "boxes-yolo": "yolov5_train.csv"}
SAME = ("image", "status", "crop", "class_name", "score", "box", "crop_box")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 photos with labels in an order of their own, some with verdicts."""
    folder = tmp_path_factory.mktemp("boxes")
    keys = write_photos(folder / "in", 16)
    rows = [f"{key},id{number % 3},{number}" for number, key in enumerate(reversed(keys))]
    (folder / "labels.csv").write_text("\n".join(["image,individual_id,score", *rows]))
    crop(folder / "in", folder / "cropped", labels=folder / "labels.csv")
    cropped = [row["image"] for row in rows_of(folder / "cropped") if row["status"] == "cropped"]
    for image, verdict in zip(cropped, ("rejected", "whole", "accepted"), strict=False):
        give_verdict(folder / "cropped", image, verdict)
    give_verdict(folder / "cropped", cropped[3], "box", DRAWN)
    api.apply(folder / "cropped", quiet=True)
    return folder


def exported(work: Path, out: Path, to: str) -> Path:
    """The table."""
    api.export(work / "cropped", to, out)
    return out / FORMATS[to]


def test_pandas_lines_read_the_full_bodies(work: Path, tmp_path: Path) -> None:
    table = pd.read_csv(exported(work, tmp_path / "out", "boxes-fullbody"))
    assert list(table.columns) == [
        *("bbox", "box_xyxy", "class_name", "conf", "height"),
        *("image", "image_id", "individual_id", "label_score", "width"),
    ]
    audit = rows_of(work / "cropped")
    labels = pd.read_csv(work / "labels.csv")
    assert (table["image"] == labels["image"]).all()  # so it can be joined by position, as notebooks do
    assert (table["image_id"] == table["image"]).all()
    assert (table["label_score"] == labels["score"]).all()
    found = table["bbox"].map(lambda text: list(map(int, text[2:-2].split())))
    unsure = table["conf"].map(lambda text: float(text[1:-1])) < 0.001
    for row, box, none in zip(audit, found, unsure, strict=True):
        expected = f"0 0 {row['width']} {row['height']}" if none else row["box"]
        assert " ".join(map(str, box)) == expected
        assert none == (not row["box"] or row["status"] == "rejected")
    assert [np.array(text.strip("[]").split(), int).tolist() for text in table["bbox"]] == found.tolist()
    assert table["bbox"][0] == str(np.array([found[0]]))
    assert unsure.sum() >= 3


def test_pandas_lines_read_the_lists(work: Path, tmp_path: Path) -> None:
    table = pd.read_csv(exported(work, tmp_path / "out", "boxes-yolo"))
    lists = table["bbox"].map(ast.literal_eval)
    numpy = pd.read_csv(exported(work, tmp_path / "other", "boxes-fullbody"))
    assert lists.map(lambda found: found[0]).tolist() == [
        list(map(int, text[2:-2].split())) for text in numpy["bbox"]
    ]
    assert table["conf"].map(ast.literal_eval).map(len).eq(1).all()
    assert table["bbox"][0].startswith("[[")
    assert ", " in table["bbox"][0]


@pytest.mark.parametrize("to", FORMATS)
def test_our_own_reader_makes_the_same_crops(work: Path, tmp_path: Path, to: str) -> None:
    table = exported(work, tmp_path / "out", to)
    again = tmp_path / "again"
    result = api.run(
        work / "in", again, model=f"boxes:{table}", labels=work / "labels.csv", size=32, quiet=True
    )
    assert result.counts["failed"] == 0
    before, after = rows_of(work / "cropped"), rows_of(again)
    first, second = files_of(work / "cropped"), files_of(again)
    compared = 0
    for old, new in zip(before, after, strict=True):
        if old["status"] == "rejected":
            assert (new["status"], new["reason"]) == ("resized", "not_found")
            continue
        compared += 1
        expected = {name: old[name] for name in SAME}
        if old["box"] and not old["score"]:  # drawn by a person: of the class that was detected, and sure
            expected |= {"score": "1.0000", "class_name": new["class_name"]}
        assert {name: new[name] for name in SAME} == expected
        assert first[old["crop"]] == second[new["crop"]]
    assert compared == 15


def test_failed_photos_have_no_row_and_that_is_said(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 6)
    write_damaged(tmp_path / "in")
    everything = [*keys, *(row["image"] for row in rows_of(_run(tmp_path)) if row["status"] == "failed")]
    (tmp_path / "labels.csv").write_text("\n".join(["image", *sorted(everything)]))
    crop(tmp_path / "in", tmp_path / "labelled", labels=tmp_path / "labels.csv")
    result = api.export(tmp_path / "labelled", "boxes-fullbody", tmp_path / "out", part="test")
    table = pd.read_csv(tmp_path / "out" / "fullbody_test.csv")
    assert sorted(table["image"]) == keys
    assert result.left_out == {"failed": 4}
    assert any("by the column image, not by position" in note for note in result.notes)


def _run(folder: Path) -> Path:
    crop(folder / "in", folder / "cropped")
    return folder / "cropped"


def test_several_boxes_come_back(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 12)
    crop(tmp_path / "in", tmp_path / "cropped", animals="all", classes="any", conf=0.05)
    for to, name in FORMATS.items():
        api.export(tmp_path / "cropped", to, tmp_path / to)
        table = pd.read_csv(tmp_path / to / name)
        assert table["bbox"].str.count(r"\[").max() > 2
        again = tmp_path / f"again-{to}"
        api.run(
            tmp_path / "in", again, model=f"boxes:{tmp_path / to / name}", animals="all", size=32, quiet=True
        )
        crops = {file: data for file, data in files_of(tmp_path / "cropped").items() if file.endswith(".jpg")}
        assert {file: data for file, data in files_of(again).items() if file.endswith(".jpg")} == crops


def test_the_same_bytes_every_time_and_no_other_settings(work: Path, tmp_path: Path) -> None:
    one, two = (exported(work, tmp_path / name, "boxes-yolo").read_bytes() for name in ("one", "two"))
    assert one == two
    with refused("option_not_applicable"):
        api.export(work / "cropped", "boxes-yolo", tmp_path / "three", of="crops")


def test_each_box_of_a_cell_may_have_a_class(tmp_path: Path) -> None:
    text = (
        "image,bbox,class_name\n"
        "a.jpg,[[0 0 4 3] [5 5 9 9]],Dolphin;Whale\n"
        "b.jpg,[[0 0 4 3] [5 5 9 9]],Dolphin\n"
        "c.jpg,[[0 0 4 3]],Dolphin;Whale\n"
    )
    detector = loader(tmp_path)(text)
    assert detector.detect(photo(40, 30), "a.jpg").class_names == ("Dolphin", "Whale")
    assert detector.detect(photo(40, 30), "b.jpg").class_names == ("Dolphin", "Dolphin")
    assert detector.detect(photo(40, 30), "c.jpg").class_names == ("Dolphin;Whale",)


def test_a_whole_photo_of_score_0_means_that_nothing_was_found(tmp_path: Path) -> None:
    text = (
        "image,bbox,conf,width,height\n"
        "a.jpg,[[0 0 40 30]],[0.0],40,30\n"
        "b.jpg,[[0 0 40 30]],[0.2],40,30\n"
        "c.jpg,[[0 0 40 29]],[0.0],40,30\n"
    )
    detector = loader(tmp_path)(text)
    assert boxes(detector, "a.jpg", photo(40, 30)) == []
    assert boxes(detector, "b.jpg", photo(40, 30)) == [[0, 0, 40, 30]]
    assert boxes(detector, "c.jpg", photo(40, 30)) == [[0, 0, 40, 29]]
    assert detector.detect(photo(40, 30), "a.jpg").listed
