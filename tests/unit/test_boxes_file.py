"""The `boxes:FILE` detector: dialects, look-up, and what happens to rows that make no sense."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detic_crop.config import BoxFormat
from detic_crop.detectors.base import Detector
from detic_crop.detectors.boxes_file import load_boxes_file
from detic_crop.detectors.boxes_file.read import parse_boxes
from detic_crop.detectors.boxes_file.table import Box, clean_path
from detic_crop.errors import PhotoError, UsageError
from tests.kit.boxes_files import Load, boxes, failure, loader, photo
from tests.kit.errors import refused

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """See `loader`."""
    return loader(tmp_path)


# --- real data ---


def test_original_data_set_dialect() -> None:
    detector = load_boxes_file(DATA / "kaggle_train2.csv")
    found = detector.detect(photo(), "00405189464f9d.jpg")
    assert found.xyxy.tolist() == [[119, 203, 977, 391]]
    assert found.scores.tolist() == [1]
    assert found.class_names == ("unknown",)
    assert found.presence is None
    # An empty box cell: the original did not find the animal.
    assert boxes(detector, "074ef465be845a.jpg") == []
    assert detector.listed == 10
    assert detector.problems == ()
    assert detector.unlisted == 0


def test_test_set_dialect() -> None:
    detector = load_boxes_file(DATA / "kaggle_test2.csv")
    assert boxes(detector, "001c4c6d532419.jpg") == [[987, 586, 2136, 1253]]
    assert boxes(detector, "00e0dc3c51ae82.jpg") == []
    assert detector.problems == ()


def test_full_body_dialect_with_scores() -> None:
    detector = load_boxes_file(DATA / "kaggle_fullbody_test_charm.csv")
    found = detector.detect(photo(3599, 2399), "000110707af0ba.jpg")
    assert found.xyxy.tolist() == [[213, 813, 3054, 1301]]
    np.testing.assert_array_equal(found.scores, np.array([0.839355], np.float32))
    assert detector.problems == ()


def test_info() -> None:
    path = DATA / "kaggle_train2.csv"
    detector = load_boxes_file(path)
    assert isinstance(detector, Detector)
    assert detector.info.name == "boxes:kaggle_train2.csv"
    assert detector.info.weights == {"kaggle_train2.csv": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert detector.info.class_names == ()
    assert detector.info.default_conf == 0


# --- CSV ---


@pytest.mark.parametrize(
    "cell",
    [
        "1 2 30 40",
        " 1  2\t30 40 ",
        '"1, 2, 30, 40"',
        '"[1, 2, 30, 40]"',
        '"(1,2,30,40)"',
        "[[ 1  2 30 40]]",
        '"[[1.0, 2.0, 30.0, 40.0]]"',
        '"[(1, 2, 30, 40)]"',
        "1;2;30;40",
    ],
)
@pytest.mark.parametrize("column", ["box", "bbox", "BBox"])
def test_box_cell(load: Load, column: str, cell: str) -> None:
    assert boxes(load(f"image,{column}\na.jpg,{cell}\n", box_format="xyxy")) == [[1, 2, 30, 40]]


@pytest.mark.parametrize("cell", ["", "  ", "[]", "[[]]"])
def test_empty_box_cell_is_no_box(load: Load, cell: str) -> None:
    detector = load(f"image,box,conf\na.jpg,{cell},\nb.jpg,1 2 3 4,0.5\n")
    assert boxes(detector) == []
    assert detector.unlisted == 0


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("xmin,ymin,xmax,ymax", "1,2,30,40"),
        ("XMin,YMin,XMax,YMax", "1,2,30,40"),
        ("xmin,xmax,ymin,ymax", "1,30,2,40"),
        ("x_min,y_min,x_max,y_max", "1,2,30,40"),
        ("x1,y1,x2,y2", "1,2,30,40"),
        ("x0,y0,x1,y1", "1,2,30,40"),
        ("left,top,right,bottom", "1,2,30,40"),
        ("x,y,w,h", "1,2,29,38"),
    ],
)
def test_box_columns(load: Load, header: str, cells: str) -> None:
    detector = load(f"image,{header}\na.jpg,{cells}\nb.jpg,,,,\n")
    assert boxes(detector) == [[1, 2, 30, 40]]
    assert boxes(detector, "b.jpg") == []


def test_our_labelled_boxes(load: Load) -> None:
    header = "image,xmin,ymin,xmax,ymax,label,kind,notes\n"
    rows = 'a.jpg,1,2,30,40,dolphin,above_water,"two, one hidden"\nb.jpg,5,6,70,80,orca,above_water,\n'
    detector = load(header + rows)
    assert detector.detect(photo(), "a.jpg").class_names == ("dolphin",)
    assert detector.info.class_names == ("dolphin", "orca")


@pytest.mark.parametrize("column", ["image", "image_id", "file", "filename", "file_name", "path", " Image "])
def test_image_columns(load: Load, column: str) -> None:
    assert boxes(load(f"box,{column}\n1 2 30 40,a.jpg\n")) == [[1, 2, 30, 40]]


def test_first_image_column_wins(load: Load) -> None:
    assert boxes(load("path,image,box\nother.jpg,a.jpg,1 2 30 40\n")) == [[1, 2, 30, 40]]


@pytest.mark.parametrize("column", ["score", "conf", "confidence"])
@pytest.mark.parametrize("name", ["class_name", "class", "label"])
def test_score_and_class_columns(load: Load, column: str, name: str) -> None:
    detector = load(f"image,box,{column},{name}\na.jpg,1 2 30 40,0.25,Whale\nb.jpg,1 2 30 40,,\n")
    found = detector.detect(photo(), "a.jpg")
    assert (found.scores.tolist(), found.class_names) == ([0.25], ("Whale",))
    bare = detector.detect(photo(), "b.jpg")
    assert (bare.scores.tolist(), bare.class_names) == ([1], ("unknown",))
    assert detector.info.class_names == ("Whale", "unknown")


def test_several_boxes_in_rows_and_in_a_cell(load: Load) -> None:
    detector = load(
        "image,bbox,conf\n"
        'a.jpg,"[[1 2 30 40]\n [5 6 70 80]]","[0.5 0.25]"\n'
        'a.jpg,"[[3, 4, 9, 9]]",[0.75]\n'
        "./a.jpg,[[3 4 9 9]],0.75\n",
        box_format="xyxy",
    )
    found = detector.detect(photo(), "a.jpg")
    # The third row says the same as the second: one animal.
    assert found.xyxy.tolist() == [[1, 2, 30, 40], [5, 6, 70, 80], [3, 4, 9, 9]]
    assert found.scores.tolist() == [0.5, 0.25, 0.75]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_delimiters_newlines_and_byte_order_mark(load: Load, delimiter: str, newline: str, mark: str) -> None:
    rows = [["image", "box", "score"], ["ä.jpg", "1 2 30 40", "0.5"], ["b.jpg", "", ""]]
    text = mark + "".join(delimiter.join(row) + newline for row in rows)
    detector = load(text)
    assert boxes(detector, "ä.jpg") == [[1, 2, 30, 40]]
    assert detector.problems == ()


def test_quoted_header_with_semicolons(load: Load) -> None:
    assert boxes(load('"image";"box"\n"a.jpg";"1,2,30,40"\n')) == [[1, 2, 30, 40]]


def test_audit_csv_is_a_boxes_file(load: Load) -> None:
    columns = ["species", "image", "crop", "status", "reason", "width", "height", "class_name", "score"]
    columns += ["presence", "box", "crop_box", "best_box", "label_box", "error"]
    rows = [
        {"image": "a/1.jpg", "status": "cropped", "class_name": "Whale", "score": "0.912345"},
        {"image": "a/2.jpg", "status": "resized", "reason": "not_found", "crop_box": "0 0 4000 3000"},
        {"image": "b/1.jpg", "status": "cropped", "class_name": "Dolphin", "label_box": "1 1 2 2"},
        {"image": "b/2.jpg", "status": "failed", "error": "unreadable: not a photo, or cut off"},
    ]
    rows[0] |= {"box": "987 586 2136 1253", "crop_box": "0 0 9 9", "best_box": "1 2 3 4"}
    rows[2] |= {"box": "0 36 1498 804", "width": "4000", "height": "3000"}
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)

    detector = load(file.getvalue(), name="audit.csv")
    # Nobody has seen this one: that is not "nothing found".
    failed = rows.pop()["image"]
    assert detector.problems == (
        "line 5: expected boxes, got a photo that failed in the run of this audit.csv",
    )
    assert failure(detector, failed)[0] == "bad_boxes"
    assert detector.info.class_names == ("Dolphin", "Whale")
    for row in rows:
        found = detector.detect(photo(), row["image"])
        again = " ".join(f"{edge:.0f}" for box in found.xyxy for edge in box)
        assert again == row.get("box", "")
        assert found.class_names == ((row["class_name"],) if "box" in row else ())
    np.testing.assert_array_equal(
        detector.detect(photo(), "a/1.jpg").scores, np.array([0.912345], np.float32)
    )
    # A box that a person drew has no score.
    assert detector.detect(photo(), "b/1.jpg").scores.tolist() == [1]


# --- rows that cannot be used ---


BAD_CELLS = [
    ("box", "12 34", "expected 4 numbers in `box`, got '12 34'"),
    ("box", "1 2 3 4 5", "expected 4 numbers in `box`, got '1 2 3 4 5'"),
    ("box", '"[[1 2 3 4] [5 6 7]]"', "expected 4 numbers in `box`, got '[[1 2 3 4] [5 6 7]]'"),
    ("box", "[[1 2 3 4]", "expected 4 numbers in `box`, got '[[1 2 3 4]'"),
    ("box", '"1,,2,3,4"', "expected 4 numbers in `box`, got '1,,2,3,4'"),
    ("box", "one 2 3 4", "expected 4 numbers in `box`, got 'one 2 3 4'"),
    ("box", "1_0 2 30 40", "expected 4 numbers in `box`, got '1_0 2 30 40'"),
    ("box", "nan", "expected 4 numbers in `box`, got 'nan'"),
    ("box", "nan 2 3 4", "expected finite numbers, got nan 2 3 4"),
    ("box", "1 2 inf 4", "expected finite numbers, got 1 2 inf 4"),
    ("box", "1 2 1e39 4", "expected at most 10,000,000 px, got 1 2 1e+39 4"),
    ("box", "30 2 1 40", "expected xmin < xmax and ymin < ymax, got 30 2 1 40"),
    ("box", "1 2 30 2", "expected xmin < xmax and ymin < ymax, got 1 2 30 2"),
    ("box", "1,2,30,40", "expected 2 cells, got 5; a cell with a delimiter in it needs quotes"),
    ("x,y,w,h", "1,2,-3,4", "expected a width and height above 0, got 1 2 -3 4"),
    ("x,y,w,h", "1,2,3,0", "expected a width and height above 0, got 1 2 3 0"),
    (
        "xmin,ymin,xmax,ymax",
        "1,,3,4",
        "expected 4 numbers in `xmin`, `ymin`, `xmax`, `ymax`, got '1, , 3, 4'",
    ),
    ("xmin,ymin,xmax,ymax", "1,2,3", "expected 5 cells, got 4"),
    ("box,score", "1 2 30 40,1.5", "expected a score from 0 to 1, got 1.5"),
    ("box,score", "1 2 30 40,-0.1", "expected a score from 0 to 1, got -0.1"),
    ("box,score", "1 2 30 40,nan", "expected a score from 0 to 1, got nan"),
    ("box,conf", "1 2 30 40,high", "expected 1 number in `conf`, one per box, got 'high'"),
    ("box,conf", "1 2 30 40,[0.5 0.5]", "expected 1 number in `conf`, one per box, got '[0.5 0.5]'"),
    ("box,conf", "[[1 2 30 40] [5 6 7 8]],[0.5]", "expected 2 numbers in `conf`, one per box, got '[0.5]'"),
]


@pytest.mark.parametrize(("columns", "cells", "message"), BAD_CELLS)
def test_bad_row_is_named_and_fails_its_photo_only(
    load: Load, columns: str, cells: str, message: str
) -> None:
    good = {1: "1 2 30 40", 2: "1 2 30 40,0.5", 4: "1,2,30,40"}[columns.count(",") + 1]
    box_format: BoxFormat | None = "xyxy" if columns.startswith("box") else None
    detector = load(f"image,{columns}\nok.jpg,{good}\na.jpg,{cells}\n", box_format=box_format)
    assert len(detector.problems) == 1
    assert detector.problems[0].startswith(f"line 3: {message}")
    reason, text = failure(detector)
    assert reason == "bad_boxes"
    assert text.startswith(f"line 3 of boxes.csv: {message}")
    assert len(boxes(detector, "ok.jpg")) == 1


def test_lines_are_lines_of_the_file(load: Load) -> None:
    detector = load(
        "\nimage,box,notes\n"
        'ok.jpg,1 2 30 40,"two\nlines"\n'
        "\n,,\n"
        "a.jpg,12 34,\n"
        'b.jpg,"[[1 2\n 3]]",\n'
        ",1 2 30 40,\n"
    )
    assert [problem.split(":")[0] for problem in detector.problems] == ["line 7", "line 8", "line 10"]
    assert detector.problems[2] == "line 10: expected a file name in `image`, got none"


def test_one_bad_row_among_several_fails_the_photo(load: Load) -> None:
    detector = load("image,box\na.jpg,1 2 30 40\na.jpg,1 2\na.jpg,3\n")
    assert failure(detector)[1].endswith("got '1 2' (and 1 more)")


def test_long_cells_are_cut_in_messages(load: Load) -> None:
    detector = load(f"image,box\nok.jpg,\na.jpg,{'9 ' * 5000}\n")
    assert len(detector.problems[0]) < 120


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got an empty file"),
        (" \n\n", "got an empty file"),
        ("image,box\n", "expected at least one photo"),
        (",,\n", "expected an image column"),
        ("name,box\na.jpg,1 2 3 4\n", "expected an image column (image, image_id, file"),
        ("image,species\na.jpg,whale\n", "expected a `box` or `bbox` column"),
        ("image,x,y,width,height\na.jpg,1,2,30,40\n", "x, y, width, height may be boxes, or points and"),
        ("image,box,Box\na.jpg,1 2 3 4,\n", "expected one column `box`, got 2"),
        (
            "image,box\na.jpg,1 2\nb.jpg,3\n",
            "got 2 that cannot be used and no other (line 2: expected 4 numbers",
        ),
        ('image,box\na.jpg,1 2 3 4\nb.jpg,"1 2 3 4\nc.jpg,\n', "cannot be split at line 3"),
        ("image,box\na.jpg,0.1 0.2 0.3 0.4\n", "they look normalised"),
        ("just some words", "expected an image column"),
        (
            "a.jpg,10,10,100,100\n",
            "expected a header, got a row: 'a.jpg, 10, 10, 100, 100'; add a first line",
        ),
        ('{"images": [', "expected JSON"),
        ("{}", "expected one of the JSON formats"),
        ('{"images": [{"file_name": "a.jpg", "id": 1}]}', "expected one of the JSON formats"),
        ('{"images": []}', "expected at least one photo"),
        ("[]", "expected at least one photo"),
        ("[1, 2]", "got a list of 1"),
        ("[" * 100_000, "expected JSON"),
    ],
)
def test_files_that_cannot_be_used(load: Load, text: str, message: str) -> None:
    with refused("bad_boxes_file", UsageError) as caught:
        load(text)
    assert message in caught.value.message
    assert "boxes.csv" in caught.value.message


def test_missing_file_folder_and_other_encodings(tmp_path: Path) -> None:
    with refused("missing_boxes", UsageError):
        load_boxes_file(tmp_path / "none.csv")
    with refused("bad_boxes_file", UsageError, names=["got no files"]):
        load_boxes_file(tmp_path)
    (tmp_path / "latin1.csv").write_bytes("image,box\nä.jpg,1 2 3 4\n".encode("latin-1"))
    with refused("bad_boxes_file", UsageError):
        load_boxes_file(tmp_path / "latin1.csv")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_what_excel_calls_unicode_text(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "boxes.txt").write_bytes("image\tbox\r\nä.jpg\t1 2 30 40\r\n".encode(encoding))
    assert boxes(load_boxes_file(tmp_path / "boxes.txt"), "ä.jpg") == [[1, 2, 30, 40]]


# --- MegaDetector ---


def megadetector(*images: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"images": list(images), "detection_categories": {"1": "animal", "2": "person"}, **more}


def detection(*bbox: object, conf: object = 0.5, category: str = "1") -> dict[str, Any]:
    return {"category": category, "conf": conf, "bbox": list(bbox)}


def test_megadetector_boxes_take_the_photos_size(load: Load) -> None:
    image = {
        "file": "site\\a.jpg",
        "detections": [detection(0.25, 0.5, 0.5, 0.25), detection(0, 0, 0.5, 0.5, category="2")],
    }
    detector = load(megadetector(image))
    found = detector.detect(photo(4000, 3000), "site/a.jpg")
    assert found.xyxy.tolist() == [[1000, 1500, 3000, 2250], [0, 0, 2000, 1500]]
    assert found.class_names == ("animal", "person")
    assert boxes(detector, "site/a.jpg", photo(400, 100))[0] == [100, 50, 300, 75]
    assert detector.info.class_names == ("animal", "person")


def test_megadetector_photos_without_boxes(load: Load) -> None:
    detector = load(
        megadetector(
            {"file": "empty.jpg", "detections": []},
            {"file": "null.jpg", "detections": None},
            {"file": "bad.jpg", "detections": None, "failure": "Failure image access"},
        )
    )
    assert boxes(detector, "empty.jpg") == boxes(detector, "null.jpg") == []
    # Nobody has looked at this one: that is not "nothing found".
    assert failure(detector, "bad.jpg") == (
        "bad_boxes",
        "images[2] of boxes.json: expected boxes, got the failure 'Failure image access'",
    )


def test_classifications_are_classes_where_the_file_says_so(load: Load) -> None:
    first = {**detection(0, 0, 0.5, 0.5), "classifications": [["0", 0.9], ["1", 0.1]]}
    others = [
        detection(0, 0.5, 0.5, 0.5),
        {**detection(0.5, 0, 0.5, 0.5), "classifications": [["7", 1]]},
        {**detection(0.5, 0.5, 0.5, 0.5), "classifications": [[]]},
    ]
    categories = {"classification_categories": {"0": "Dolphin", "1": "Whale"}}
    image = {"file": "a.jpg", "detections": [first, *others]}
    of_a_classifier = load(megadetector(image, **categories))
    assert of_a_classifier.detect(photo(), "a.jpg").class_names == ("animal",) * 4
    info = {"classes_are_classifications": True}
    detector = load(megadetector(image, info=info, **categories))
    assert detector.detect(photo(), "a.jpg").class_names == ("Dolphin", "animal", "animal", "animal")
    assert detector.info.class_names == ("Dolphin", "Whale", "animal", "person")


def test_a_coco_image_may_say_which_photo_it_was(load: Load) -> None:
    images = [
        {"id": 1, "file_name": "a.tif.jpg", "source_photo": "cam/a.tif"},
        {"id": 2, "file_name": "b.jpg"},
    ]
    annotations = [{"image_id": number, "bbox": [1, 2, 30, 40]} for number in (1, 2)]
    detector = load({"images": images, "annotations": annotations})
    assert boxes(detector, "cam/a.tif") == boxes(detector, "b.jpg") == [[1, 2, 31, 42]]


def test_megadetector_problems(load: Load) -> None:
    detector = load(
        megadetector(
            {"file": "ok.jpg", "detections": [detection(0, 0, 1, 1)]},
            {"detections": []},
            {"file": "a.jpg"},
            {"file": "b.jpg", "detections": [detection(0, 0, 1, 1), detection(213, 813, 50, 60)]},
            {"file": "c.jpg", "detections": [detection(0, 0, 0, 1)]},
            {"file": "d.jpg", "detections": [detection(0, 0, "1", 1), detection(0, 0, 1), {"conf": 1}, 7]},
            {"file": "e.jpg", "detections": [detection(0, 0, 1, 1, conf=90)]},
            {"file": "f.jpg", "detections": [detection(0, 0, float("nan"), 10**400)]},
            {"file": "g.jpg", "detections": [detection(0, 0, True, 1)]},
        )
    )
    assert detector.problems == (
        "images[1]: expected a file name in `file`, got None",
        "images[2]: expected a list in `detections`, got none",
        "images[3].detections[1]: expected normalised numbers, 0 to 1, got 213 813 50 60",
        "images[4].detections[0]: expected a width and height above 0, got 0 0 0 1",
        "images[5].detections[0]: expected a number, got '1'",
        "images[5].detections[1]: expected 4 numbers in `bbox`, got [0, 0, 1]",
        "images[5].detections[2]: expected 4 numbers in `bbox`, got 'none'",
        "images[5].detections[3]: expected 4 numbers in `bbox`, got 'none'",
        "images[6].detections[0]: expected a score from 0 to 1, got 90",
        "images[7].detections[0]: expected finite numbers, got 0 0 nan inf",
        "images[8].detections[0]: expected a number, got True",
    )
    assert failure(detector, "b.jpg")[1].startswith(
        "images[3].detections[1] of boxes.json: expected normalised"
    )


# --- COCO ---


def coco(annotations: list[dict[str, Any]], **more: object) -> dict[str, Any]:
    images = [{"id": 7, "file_name": "x/a.jpg"}, {"id": 8, "file_name": "b.jpg"}]
    categories = [{"id": 1, "name": "whale"}, {"id": 2, "name": "boat"}]
    return {"images": images, "annotations": annotations, "categories": categories, **more}


def test_coco_data_set(load: Load) -> None:
    annotations: list[dict[str, Any]] = [
        {"image_id": 7, "category_id": 1, "bbox": [1, 2, 29, 38]},
        {"image_id": 7, "category_id": 2, "bbox": [5, 6, 1.5, 2], "score": 0.5},
        {"image_id": 7, "bbox": [10, 1, 1, 1]},
    ]
    detector = load(coco(annotations))
    found = detector.detect(photo(), "x/a.jpg")
    assert found.xyxy.tolist() == [[1, 2, 30, 40], [5, 6, 6.5, 8], [10, 1, 11, 2]]
    assert found.scores.tolist() == [1, 0.5, 1]
    assert found.class_names == ("whale", "boat", "unknown")
    assert boxes(detector, "b.jpg") == []
    assert detector.unlisted == 0
    assert detector.info.class_names == ("boat", "unknown", "whale")


def test_coco_data_set_where_nothing_was_found(load: Load) -> None:
    detector = load(coco([]))
    assert boxes(detector, "b.jpg") == []
    assert detector.unlisted == 0


def test_coco_data_set_problems(load: Load) -> None:
    images = [{"id": 7, "file_name": "a.jpg"}, {"id": 7, "file_name": "b.jpg"}, {"id": 9}]
    annotations: list[dict[str, Any]] = [
        {"image_id": 7, "bbox": [1, 2, 29, 38]},
        {"image_id": 12, "bbox": [1, 2, 29, 38]},
        {"image_id": 7, "bbox": [1, 2, 29]},
    ]
    detector = load(coco(annotations, images=images))
    assert detector.problems == (
        "images[1]: expected an `id` of its own, got 7 a second time",
        "images[0]: expected an `id` of its own, got 7, also that of b.jpg",
        "images[2]: expected an `id` and a `file_name`, got one or none",
        "annotations[1]: expected the `image_id` of one of the images, got 12",
        "annotations[2]: expected 4 numbers in `bbox`, got [1, 2, 29]",
    )
    # Nobody knows which of the two its boxes are of.
    assert failure(detector, "a.jpg")[0] == failure(detector, "b.jpg")[0] == "bad_boxes"
    with refused("bad_boxes_file", UsageError, names=["got 1 that cannot be used"]):
        load(coco([{"image_id": 7, "bbox": [1, 2, 29]}]))


def test_coco_results(load: Load) -> None:
    result = {"image_id": "a.jpg", "category_id": 4, "bbox": [1, 2, 29, 38], "score": 0.25}
    detector = load([result, {"image_id": "b", "category_id": 4, "bbox": []}, {"image_id": None}])
    found = detector.detect(photo(), "a.jpg")
    assert found.xyxy.tolist() == [[1, 2, 30, 40]]
    # One id without a name tells nothing; several keep boxes apart.
    assert found.class_names == ("unknown",)
    assert boxes(detector, "b.jpg") == []
    assert detector.unlisted == 0
    assert detector.problems == ("[2]: expected a file name in `image_id`, got None",)
    assert load([result, {**result, "category_id": 5}]).info.class_names == ("category 4", "category 5")


def test_coco_results_with_numbers_for_photos(load: Load) -> None:
    for image in (17, 17.0):
        with refused("bad_boxes_file", UsageError, names=["pass a COCO data set JSON"]):
            load([{"image_id": image, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}])


# --- look-up ---


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ("a/1.jpg", "a/1.jpg"),
        ("./a/1.jpg", "a/1.jpg"),
        (".\\a\\1.jpg", "a/1.jpg"),
        ("a//./1.jpg", "a/1.jpg"),
        ("1.jpg", "a/b/1.jpg"),
        ("train/1.jpg", "1.jpg"),
        ("/data/train/1.jpg", "train/1.jpg"),
        ("C:\\data\\1.jpg", "1.jpg"),
        ("C:\\data\\a\\1.jpg", "a/1.jpg"),
        ("a/1.jpg", "2020/a/1.jpg"),
        ("1.JPG", "a/1.jpg"),
        ("A/1.jpeg", "a/1.JPG"),
        ("image.webp", "image.webp.jpg"),
        ("https://host.org/d/1%20a.jpg?signature=1", "host.org/d/1 a.jpg"),
        ("1", "a/1.jpg"),
        ("a/1", "a/1.jpg"),
        ("whale.001", "whale.001.jpg"),
    ],
)
def test_look_up(load: Load, entry: str, key: str) -> None:
    detector = load(f"image,box\nother.jpg,\n{entry},1 2 30 40\n")
    assert boxes(detector, key) == [[1, 2, 30, 40]]
    assert detector.unlisted == 0


@pytest.mark.parametrize("key", ["2.jpg", "1.png", "1.jpg.d", "1", "b/2.jpg", "a/1.jpg/2.jpg", "11.jpg", ""])
def test_photos_that_are_not_in_the_file_are_counted_once(load: Load, key: str) -> None:
    detector = load(
        "image,box\n1.jpg,1 2 30 40\na/2.jpg,1 2 30 40\n" if key != "2.jpg" else "image,box\n1.jpg,\n"
    )
    for _ in range(2):
        found = detector.detect(photo(), key)
        assert (len(found), found.presence, found.listed) == (0, None, False)
    assert detector.unlisted == 1


def test_the_same_file_name_in_several_folders(load: Load) -> None:
    detector = load("image,box\n/data/a/1.jpg,1 2 30 40\n/data/b/1.jpg,5 6 70 80\nc/2.jpg,\n")
    assert boxes(detector, "/data/a/1.jpg") == [[1, 2, 30, 40]]
    # The end of only one path fits, folder included.
    assert boxes(detector, "b/1.jpg") == [[5, 6, 70, 80]]
    reason, message = failure(detector, "1.jpg")
    assert reason == "ambiguous_boxes"
    assert "/data/a/1.jpg, /data/b/1.jpg" in message
    assert detector.unlisted == 0
    for key in ("c/1.jpg", "data/1.jpg", "aa/1.jpg"):  # it speaks of photos in other folders
        assert not detector.detect(photo(), key).listed
    assert detector.unlisted == 3


def test_a_bare_name_does_not_stand_for_every_folder(load: Load) -> None:
    detector = load("image,box\n1.jpg,1 2 30 40\nb/1.jpg,5 6 70 80\n")
    detector.expect(["1.jpg", "a/1.jpg", "b/1.jpg"])
    assert boxes(detector, "1.jpg") == [[1, 2, 30, 40]]
    assert boxes(detector, "b/1.jpg") == [[5, 6, 70, 80]]
    assert not detector.detect(photo(), "a/1.jpg").listed


def test_the_same_id_in_several_folders(load: Load) -> None:
    detector = load("image,box\na/1,1 2 30 40\nb/1,5 6 70 80\n")
    assert boxes(detector, "b/1.jpg") == [[5, 6, 70, 80]]
    assert not detector.detect(photo(), "c/1.jpg").listed
    assert failure(detector, "1.jpg")[0] == "ambiguous_boxes"


# --- boxes and the photo ---


def test_boxes_partly_outside_stay_as_they_are(load: Load) -> None:
    assert boxes(load("image,box\na.jpg,-5 -6 4001 3002\n")) == [[-5, -6, 4001, 3002]]


@pytest.mark.parametrize(
    "box", ["4000 2 4100 40", "1 3000 30 3001", "-9 2 0 40", "1 -9 30 0", "3999.999 2 4100 40"]
)
def test_boxes_outside_the_photo(load: Load, box: str) -> None:
    reason, message = failure(load(f"image,box\na.jpg,1 2 30 40\na.jpg,{box}\n"))
    assert reason == "bad_boxes"
    assert (
        "of boxes.csv lies outside the photo of 4000 x 3000 px; were the boxes made on a photo of another "
        "size" in message
    )


def test_boxes_that_vanish_at_the_precision_of_a_run(load: Load) -> None:
    reason, message = failure(load("image,box\na.jpg,10 10 10.001 40\n"))
    assert reason == "bad_boxes"
    assert "has no area in the photo" in message


# --- properties ---

edges = st.integers(min_value=-1000, max_value=100_000)
# Not so small that they could be shares of the photo.
corner_boxes = st.tuples(edges, edges, st.integers(5, 5000), st.integers(5, 5000)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.lists(corner_boxes, max_size=4, unique=True), min_size=1, max_size=5))
def test_every_spelling_gives_the_same_boxes(photos: list[list[tuple[int, int, int, int]]]) -> None:
    """One row per box, all boxes in a cell and COCO results agree."""
    # A box far from the corner, so that no example looks normalised.
    photos = [[(10, 10, 20, 20)], *photos]
    rows, cells, results = ["image,box"], ["image;bbox"], []
    for i, found in enumerate(photos):
        rows += [f"{i}.jpg,{' '.join(map(str, box))}" for box in found] or [f"{i}.jpg,"]
        cells.append(f"{i}.jpg;[{' '.join(str(list(box)) for box in found)}]")
        sizes = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in found]
        results += [{"image_id": f"{i}.jpg", "bbox": size} for size in sizes or [[]]]
    expected = {
        f"{i}.jpg": [Box(*box, score=1.0, class_name="unknown") for box in found]
        for i, found in enumerate(photos)
    }
    for text in ("\n".join(rows), "\n".join(cells), json.dumps(results)):
        table = parse_boxes(text.encode(), "xywh" if text.startswith("[") else "xyxy")
        assert table.problems == []
        assert {path: entry.boxes for path, entry in table.entries.items()} == expected


@settings(derandomize=True, deadline=None)
@given(st.lists(st.text(alphabet="0123456789.-+e nai[](),;_", max_size=24), min_size=1, max_size=6))
def test_no_row_is_ever_dropped(cells: list[str]) -> None:
    """Whatever is in a cell, its photo has a box, no box, or a problem at that line."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([["image", "box"], ["ok.jpg", f"[{'[1 2 30 40]' * 40}]"]])
    writer.writerows([f"{i}.jpg", cell] for i, cell in enumerate(cells))
    table = parse_boxes(file.getvalue().encode(), "xyxy")
    assert len(table.entries) == len(cells) + 1
    assert table.good_rows + len(table.problems) == len(cells) + 1
    for i, cell in enumerate(cells):
        entry = table.entries[f"{i}.jpg"]
        if entry.problems:
            assert entry.problems[0].place == f"line {i + 3}"
            assert entry.boxes == []
        elif not entry.boxes:
            assert not set(cell) & set("0123456789")


@settings(derandomize=True, deadline=None)
@given(st.text(alphabet="ab./\\ C:", max_size=16))
def test_clean_path_is_idempotent(path: str) -> None:
    once = clean_path(path)
    assert clean_path(once) == once
    assert "\\" not in once


def test_80_000_rows_load_quickly(load: Load) -> None:
    rows = "".join(f"{i:08d}.jpg,[[ 213  813 3054 1301]],[0.839355]\n" for i in range(80_000))
    start = time.process_time()
    detector = load(f"image,bbox,conf\n{rows}")
    # 2 s of a slow core, however busy; a quadratic step would take minutes.
    assert time.process_time() - start < 20
    assert detector.listed == 80_000


def test_a_bare_name_that_fits_two_photos_is_ambiguous(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("image,box\n1.jpg,1 1 5 5\n2.jpg,1 1 5 5\n")
    detector = load_boxes_file(tmp_path / "boxes.csv")
    detector.expect(["d1/1.jpg", "d2/1.jpg", "d1/2.jpg"])
    image = np.zeros((9, 9, 3), np.uint8)
    assert len(detector.detect(image, "d1/2.jpg")) == 1
    for key in ("d1/1.jpg", "d2/1.jpg"):
        with pytest.raises(PhotoError, match="several photos have that name"):
            detector.detect(image, key)


def test_a_file_of_other_photos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("image,box\n1.jpg,1 1 5 5\n")
    with refused("boxes_match_no_photo", UsageError, names=["none of the 2 photos is", "boxes.csv"]):
        load_boxes_file(tmp_path / "boxes.csv").expect(["a.jpg", "b.jpg"])
