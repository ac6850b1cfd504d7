"""What people label with: labelme, CVAT, VIA, Label Studio, CreateML, Supervisely; and what is not read."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detic_crop.detectors.boxes_file import load_boxes_file
from detic_crop.detectors.boxes_file.formats import FOLDERS, PHOTO_JSON, PHOTO_XML, WHOLE_JSON, WHOLE_XML
from detic_crop.errors import UsageError
from tests.kit.errors import refused
from tests.kit.labelling import failure, found, photo, refusal, whole, write

AS_FOUND = whole(100, 50, 300, 200, name="dolphin")

# --- labelme ---


def shape(kind: str, *points: tuple[float, float], label: str = "dolphin") -> dict[str, Any]:
    return {"label": label, "points": [list(point) for point in points], "shape_type": kind, "group_id": None}


def labelme(*shapes: dict[str, Any], path: str = "a.jpg", **more: object) -> dict[str, Any]:
    size = {"imageWidth": 1000, "imageHeight": 500}
    return {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": path, **size, **more}


def test_labelme(tmp_path: Path) -> None:
    shapes = [
        shape("rectangle", (300, 200), (100, 50)),  # from whichever corner
        shape("polygon", (100, 50), (300, 60), (200, 200)),
        shape("circle", (200, 100), (203, 104), label="boat"),
        shape("linestrip", (1, 2), (3, 4)),
        shape("point", (1, 2)),
    ]
    write(
        tmp_path,
        {"json/a.json": labelme(*shapes, path="..\\photos\\a.jpg"), "json/b.json": labelme(path="b.jpg")},
    )
    detector = load_boxes_file(tmp_path / "json")
    assert found(detector, "a.jpg") == [AS_FOUND, whole(195, 95, 205, 105, name="boat")]
    assert found(detector, "b.jpg") == []
    notes = detector.notes()
    assert any("shapes of the type linestrip, which have no area, do not count: 1" in note for note in notes)
    assert not any("state another photo" in note for note in notes)
    # The size that it states: a photo of half of it, and one of another shape.
    assert found(detector, "a.jpg", photo(500, 250))[0] == whole(50, 25, 150, 100, name="dolphin")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"label": "x", "points": [[1, 2], [3]], "shape_type": "polygon"}, "expected points of two numbers"),
        ({"label": "x", "shape_type": "rectangle"}, "expected points of two numbers"),
        (
            {"label": "x", "points": [[1, 2], [None, 3]], "shape_type": "rectangle"},
            "expected a number, got none",
        ),
        ({"label": "x", "points": [[9, 2], [9, 3]], "shape_type": "rectangle"}, "width and height above 0"),
        ({"label": "x", "points": [[1, 2]], "shape_type": "circle"}, "expected the centre and a point"),
        ("text", "expected points of two numbers"),
    ],
)
def test_a_bad_shape_spoils_its_photo_alone(tmp_path: Path, bad: Any, message: str) -> None:
    good = shape("rectangle", (100, 50), (300, 200))
    write(tmp_path, {"a.json": labelme(good, bad), "b.json": labelme(good, path="b.jpg"), "c.json": "{"})
    detector = load_boxes_file(tmp_path)
    reason, text = failure(detector, "a.jpg")
    assert (reason, message in text, "a.json shapes[1]" in text) == ("bad_boxes", True, True)
    assert found(detector, "b.jpg") == [AS_FOUND]
    assert failure(detector, "c.jpg")[0] == "bad_boxes"


# --- CVAT ---


def cvat(*images: str) -> str:
    label = "<meta><task><labels><label><name>dolphin</name></label></labels></task></meta>"
    return f'<?xml version="1.0"?><annotations><version>1.1</version>{label}{"".join(images)}</annotations>'


BOX = '<box label="dolphin" xtl="100" ytl="50" xbr="300" ybr="200"/>'


def test_cvat(tmp_path: Path) -> None:
    shapes = [
        BOX,
        '<polygon label="boat" points="100.5,50.0;300.0,60.0;200.0,200.0"/>',
        '<box label="boat" xtl="160" ytl="80" xbr="240" ybr="120" rotation="90.0"/>',
        '<ellipse label="boat" cx="200" cy="100" rx="40" ry="20" rotation="90"/>',
        '<mask label="boat" left="10" top="20" width="30" height="40" rle="1, 2"/>',
        '<points label="eye" points="1,2"/>',
        '<tag label="sea"/>',
    ]
    size = 'width="1000" height="500"'
    xml = cvat(
        f'<image id="0" name="cam1/a.jpg" {size}>{"".join(shapes)}</image>', '<image id="1" name="b.jpg"/>'
    )
    write(tmp_path, {"annotations.xml": xml})
    detector = load_boxes_file(tmp_path / "annotations.xml")
    assert found(detector, "cam1/a.jpg") == [
        AS_FOUND,
        whole(100.5, 50, 300, 200, name="boat"),
        whole(180, 60, 220, 140, name="boat"),
        whole(10, 20, 40, 60, name="boat"),
    ]  # the ellipse has the box of the turned box
    assert found(detector, "b.jpg") == []
    assert any("shapes of the type points do not count: 1" in note for note in detector.notes())
    assert "annotations.xml" in refusal(tmp_path)  # of the folder: which file to give


def test_cvat_for_video_and_a_bad_box(tmp_path: Path) -> None:
    bad = BOX.replace('xbr="300"', 'xbr="left"')
    write(
        tmp_path,
        {
            "video.xml": cvat(f'<track id="0" label="dolphin">{BOX}</track>'),
            "bad.xml": cvat(f'<image name="a.jpg">{bad}</image><image name="b.jpg">{BOX}</image><image/>'),
        },
    )
    assert "CVAT for images 1.1" in refusal(tmp_path / "video.xml")
    detector = load_boxes_file(tmp_path / "bad.xml")
    assert "image 1 shape 1 of bad.xml: expected a number, got 'left'" in failure(detector, "a.jpg")[1]
    assert found(detector, "b.jpg") == [AS_FOUND]
    assert len(detector.problems) == 2


# --- VGG Image Annotator ---


RECT = {"name": "rect", "x": 100, "y": 50, "width": 200, "height": 150}
POLYGON = {"name": "polygon", "all_points_x": [100, 300, 200], "all_points_y": [50, 60, 200]}
CIRCLE = {"name": "circle", "cx": 200, "cy": 100, "r": 5}
ELLIPSE = {"name": "ellipse", "cx": 200, "cy": 100, "rx": 40, "ry": 20, "theta": 0}


def via_photo(name: str, *regions: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    listed = [{"shape_attributes": shape, "region_attributes": attributes} for shape, attributes in regions]
    return {"filename": name, "size": 12345, "regions": listed, "file_attributes": {}}


@pytest.mark.parametrize("project", [True, False])
def test_via_json(tmp_path: Path, project: bool) -> None:
    photos = {
        "a.jpg12345": via_photo(
            "a.jpg",
            (RECT, {"species": "dolphin", "side": "left"}),
            (POLYGON, {"species": {"boat": True, "buoy": False}}),
            (CIRCLE, {"species": ""}),
            (ELLIPSE, {"species": "boat"}),
            ({"name": "point", "cx": 1, "cy": 2}, {}),
        ),
        "b.jpg9": via_photo("b.jpg"),
        "c.jpg9": via_photo("c.jpg", ({"name": "rect", "x": 1}, {})),
    }
    content = {"_via_settings": {}, "_via_img_metadata": photos, "_via_attributes": {}} if project else photos
    write(tmp_path, {"via.json": content})
    detector = load_boxes_file(tmp_path / "via.json")
    assert found(detector, "a.jpg") == [
        AS_FOUND,
        whole(100, 50, 300, 200, name="boat"),
        whole(195, 95, 205, 105),
        whole(160, 80, 240, 120, name="boat"),
    ]
    assert found(detector, "b.jpg") == []
    assert "c.jpg9 regions[0]" in failure(detector, "c.jpg")[1]
    notes = detector.notes()
    assert any("class names are those of the region attribute `species`" in note for note in notes)
    assert any("regions of the type point, which have no area, do not count: 1" in note for note in notes)


def test_via_csv_and_regions_of_version_1(tmp_path: Path) -> None:
    old = via_photo("a.jpg")
    old["regions"] = {"0": {"shape_attributes": RECT, "region_attributes": {"name": "dolphin"}}}
    cells = [json.dumps(cell).replace('"', '""') for cell in (RECT, {"name": "dolphin"})]
    header = "#filename,file_size,file_attributes,region_count,region_id,"
    header += "region_shape_attributes,region_attributes\n"
    rows = f'a.jpg,12,"{{}}",1,0,"{cells[0]}","{cells[1]}"\nb.jpg,12,"{{}}",0,0,"{{}}","{{}}"\n'
    write(tmp_path, {"old.json": {"x": old}, "via.csv": header + rows})
    for name in ("old.json", "via.csv"):
        assert found(load_boxes_file(tmp_path / name), "a.jpg") == [AS_FOUND]
    detector = load_boxes_file(tmp_path / "via.csv")
    assert (found(detector, "b.jpg"), detector.listed) == ([], 2)
    write(tmp_path, {"via.csv": header + f'{rows}c.jpg,12,"{{}}",1,0,"{{""name"": ","{{}}"\n'})
    assert "line 4" in failure(load_boxes_file(tmp_path / "via.csv"), "c.jpg")[1]


# --- Label Studio ---


def region(kind: str, names: list[str], **value: object) -> dict[str, Any]:
    size = {"original_width": 1000, "original_height": 500}
    return {"type": kind, "value": {**value, kind: names}, **size}


def test_label_studio(tmp_path: Path) -> None:
    box = {"x": 10, "y": 10, "width": 20, "height": 30, "rotation": 0}
    turned = {"x": 50, "y": 20, "width": 10, "height": 10, "rotation": 90}  # 100 x 50 px about 500, 100
    regions = [
        region("rectanglelabels", ["dolphin"], **box),
        region("rectanglelabels", ["boat"], **turned),
        region("polygonlabels", ["boat"], points=[[10, 10], [30, 12], [20, 40]]),
        region("ellipselabels", ["boat"], x=20, y=20, radiusX=4, radiusY=4, rotation=0),
        {"type": "choices", "value": {"choices": ["sea"]}},
    ]
    tasks = [
        {"id": 1, "data": {"image": "/data/upload/3/0a1b2c3d-a.jpg"}, "annotations": [{"result": regions}]},
        {"id": 2, "data": {"image": "/data/local-files/?d=cam1/b%20c.jpg"}, "annotations": [{"result": []}]},
        {"id": 3, "data": {"image": "s3://bucket/cam1/d.jpg"}, "annotations": []},
        {"id": 4, "data": {"image": "e.jpg"}, "annotations": [{"result": regions, "was_cancelled": True}]},
    ]
    write(tmp_path, {"project.json": tasks})
    detector = load_boxes_file(tmp_path / "project.json")
    assert found(detector, "a.jpg") == [
        AS_FOUND,
        whole(450, 100, 500, 200, name="boat"),
        whole(100, 50, 300, 200, name="boat"),
        whole(160, 80, 240, 120, name="boat"),
    ]
    assert found(detector, "cam1/b c.jpg") == []
    assert detector.listed == 2
    notes = detector.notes()
    assert any("tasks that nobody has finished, left out: 2" in note for note in notes)
    assert any("regions of the type choices do not count: 1" in note for note in notes)
    least = [{"image": "/data/upload/3/0a1b2c3d-a.jpg", "id": 1, "label": [{**regions[0]["value"], **box}]}]
    least[0]["label"][0] |= {"original_width": 1000, "original_height": 500}  # type: ignore[index]
    write(tmp_path, {"min.json": least})
    assert found(load_boxes_file(tmp_path / "min.json"), "a.jpg") == [AS_FOUND]


def test_label_studio_tasks_to_import_have_predictions(tmp_path: Path) -> None:
    box = {"x": 10, "y": 10, "width": 20, "height": 30, "rotation": 0}
    guess = {**region("rectanglelabels", ["dolphin"], **box), "score": 0.25}
    unsure = {**guess, "score": 90}
    tasks = [
        {"data": {"image": "a.jpg"}, "predictions": [{"result": [guess]}, {"result": []}]},
        {"data": {"image": "/data/local-files/?d=images/x.tif.jpg", "source_photo": "cam1/x.tif"},
         "predictions": [{"result": []}]},
        {"data": {"image": "c.jpg"}, "predictions": [17]},
        {"data": {"image": "d.jpg"}, "predictions": [{"result": [unsure]}]},
        {"data": {"image": "e.jpg"}, "predictions": [{"result": []}], "annotations": [{"result": [guess]}]},
        {"data": {"image": "f.jpg"}, "predictions": [{"result": [guess]}], "annotations": []},
    ]  # fmt: skip
    write(tmp_path, {"tasks.json": tasks})
    detector = load_boxes_file(tmp_path / "tasks.json")
    assert found(detector, "a.jpg") == [whole(100, 50, 300, 200, name="dolphin", score=0.25)]
    assert found(detector, "cam1/x.tif") == []
    assert "expected a score from 0 to 1, got 90" in failure(detector, "d.jpg")[1]
    assert found(detector, "e.jpg") == [AS_FOUND]  # what a person left is certain
    assert any("tasks that nobody has finished, left out: 2" in note for note in detector.notes())


# --- CreateML, Supervisely ---


def test_createml(tmp_path: Path) -> None:
    good = {"label": "dolphin", "coordinates": {"x": 200, "y": 125, "width": 200, "height": 150}}
    bad = {"label": "dolphin", "coordinates": {"x": 200, "y": 125, "width": 200}}
    photos = [
        {"image": "a.jpg", "annotations": [good]},
        {"image": "b.jpg", "annotations": []},
        {"image": "c.jpg", "annotations": [good, bad]},
    ]
    write(tmp_path, {"_annotations.createml.json": photos})
    detector = load_boxes_file(tmp_path / "_annotations.createml.json")
    assert found(detector, "a.jpg") == [AS_FOUND]
    assert found(detector, "b.jpg") == []
    assert "[2].annotations[1]" in failure(detector, "c.jpg")[1]


def test_open_images(tmp_path: Path) -> None:
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf\n"
    rows = [
        "0001eeaf4aed83f9,xclick,/m/02hj4,1,0.1,0.3,0.1,0.4,0,0,0",
        "0001eeaf4aed83f9,xclick,/m/02hj4,1,0.1,0.9,0.1,0.9,0,0,1",
        "0001eeaf4aed83f8,xclick,/m/02hj4,1,0.1,left,0.1,0.4,0,0,0",
        ",xclick,/m/02hj4,1,0.1,0.3,0.1,0.4,0,0,0",
    ]
    write(tmp_path, {"boxes.csv": header + "\n".join(rows)})
    detector = load_boxes_file(tmp_path / "boxes.csv")
    assert found(detector, "0001eeaf4aed83f9.jpg") == [whole(100, 50, 300, 200, name="/m/02hj4")]
    assert "line 4" in failure(detector, "0001eeaf4aed83f8.jpg")[1]
    assert any("groups (IsGroupOf) do not count: 1" in note for note in detector.notes())
    assert len(detector.problems) == 2


def test_supervisely(tmp_path: Path) -> None:
    objects = [
        {
            "classTitle": "dolphin",
            "geometryType": "rectangle",
            "points": {"exterior": [[100, 50], [300, 200]]},
        },
        {"classTitle": "boat", "geometryType": "bitmap", "bitmap": {"data": "", "origin": [1, 2]}},
    ]
    content = {"description": "", "size": {"width": 1000, "height": 500}, "tags": [], "objects": objects}
    write(tmp_path, {"day1/ann/a.jpg.json": content, "day1/img/a.jpg": b"", "meta.json": {"classes": []}})
    detector = load_boxes_file(tmp_path)
    assert found(detector, "day1/img/a.jpg") == [AS_FOUND]
    assert any("objects of the type bitmap do not count: 1" in note for note in detector.notes())


# --- the registry, and what is not read ---


def test_box_format_says_nothing_where_numbers_have_names(tmp_path: Path) -> None:
    write(
        tmp_path, {"labels/a.txt": "0 0.5 0.5 0.2 0.4\n", "a.xml": cvat(f'<image name="a.jpg">{BOX}</image>')}
    )
    for path in (tmp_path / "labels", tmp_path / "a.xml"):
        with refused("bad_boxes_file", UsageError, names=["expected no --box-format, got xyxy"]):
            load_boxes_file(path, "xyxy")


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("labels/a.txt", "0 0.5 0.5 0.2 0.4\n")
    return file.getvalue()


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros((2, 4)))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped(), "unpack it and pass the folder"),
        (gzip.compress(b"image,box\n"), "unpack it"),
        (pickle.dumps({"a.jpg": [1, 2, 3, 4]}), "a Python pickle"),
        (array(), "a NumPy array"),
        (b"PAR1\x15\x04", "read_parquet"),
        (b"SQLite format 3\x00", "SQLite"),
        (b"\xff\xd8\xff\xe0", "a photo"),
        (b"image\x00\x01,box", "got other bytes"),
        (b'{"categories": {}, "items": []}', "export it as COCO"),
        (b'[{"data_row": {}, "projects": {}}]', "a Labelbox export"),
        (b'[{"name": "a.jpg", "labels": []}]', "convert them to COCO"),
        (b'{"what": 1, "is": 2}', "got keys 'what, is'"),
        (b'"text"', "expected"),
    ],
)
def test_files_that_are_not_read_say_what_to_do(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path, {"boxes": content})
    assert message in refusal(tmp_path / "boxes")


def test_a_json_of_no_known_kind_lists_what_is_read(tmp_path: Path) -> None:
    write(tmp_path, {"boxes.json": {"a": 1}, "boxes.xml": "<a/>", "labels/a.jpg": b"", "labels/b.csv": "x"})
    for name in [*(format.name for format in WHOLE_JSON), *(format.name for format in PHOTO_JSON)]:
        assert name in refusal(tmp_path / "boxes.json")
    for name in [*(format.name for format in WHOLE_XML), *(format.name for format in PHOTO_XML)]:
        assert name in refusal(tmp_path / "boxes.xml")
    text = refusal(tmp_path / "labels")
    for name in [format.name for format in FOLDERS]:
        assert name in text
    assert "got 1 .jpg, 1 .csv" in text
    assert "pass that file: b.csv" in text


def test_a_folder_of_two_formats_is_refused(tmp_path: Path) -> None:
    rectangle = shape("rectangle", (100, 50), (300, 200))
    write(tmp_path, {"labels/a.txt": "0 0.5 0.5 0.2 0.4\n", "json/a.json": labelme(rectangle)})
    text = refusal(tmp_path)
    assert "YOLO labels (.txt) (labels/a.txt) and labelme JSON (json/a.json)" in text
    # An empty text file says nothing beside them.
    write(tmp_path, {"labels/a.txt": ""})
    assert found(load_boxes_file(tmp_path), "json/a.jpg") == [AS_FOUND]


def test_a_folder_with_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "0 0.5 0.5 0.2 0.4\n"})
    (tmp_path / "b.txt").symlink_to(tmp_path / "nothing there")
    assert "b.txt" in refusal(tmp_path)
