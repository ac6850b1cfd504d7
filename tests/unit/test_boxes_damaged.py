"""Labels with any part of them exchanged: boxes, a problem or one clear line, and no other error."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detic_crop.detectors.boxes_file import load_boxes_file
from detic_crop.errors import PhotoError, UsageError
from tests.kit.labelling import photo, write

_REGION = {
    "shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4},
    "region_attributes": {"a": "b"},
}
_PERCENT = {"x": 1, "y": 2, "width": 30, "height": 40, "rotation": 5, "rectanglelabels": ["b"]}
_RESULT = {"type": "rectanglelabels", "value": _PERCENT, "original_width": 1000, "original_height": 500}

JSON: dict[str, Any] = {
    "speciesnet": {
        "predictions": [
            {
                "filepath": "a.jpg",
                "detections": [{"category": "1", "label": "animal", "conf": 0.5, "bbox": [0, 0, 1, 1]}],
            },
            {"filepath": "b.jpg", "failures": ["DETECTOR"]},
        ]
    },
    "results": [
        {"image_id": 1, "file_name": "a.jpg", "category_id": 1, "bbox": [1.125, 2, 3, 4], "score": 0.5}
    ],
    "numbers": [{"image_id": 1, "category_id": 1, "bbox": [1.125, 2, 30, 40], "score": 0.5}],
    "createml": [
        {
            "image": "a.jpg",
            "annotations": [{"label": "b", "coordinates": {"x": 9, "y": 9, "width": 3, "height": 4}}],
        }
    ],
    "label studio": [
        {"data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"}, "annotations": [{"result": [_RESULT]}]}
    ],
    "json-min": [{"image": "a.jpg", "label": [{**_PERCENT, "original_width": 1000, "original_height": 500}]}],
    "via": {"a.jpg1": {"filename": "a.jpg", "size": 1, "regions": [_REGION, _REGION]}},
    "labelme": {
        "shapes": [{"label": "b", "points": [[1, 2], [30, 40]], "shape_type": "circle"}],
        "imagePath": "a.jpg",
        "imageWidth": 1000,
        "imageHeight": 500,
    },
    "supervisely": {
        "size": {"width": 1000, "height": 500},
        "objects": [
            {"classTitle": "b", "geometryType": "rectangle", "points": {"exterior": [[1, 2], [30, 40]]}}
        ],
    },
    "ultralytics": [
        {"name": "b", "class": 0, "confidence": 0.5, "box": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}}
    ],
}
JUNK: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        1.5,
        1e308,
        -(10**400),
        float("nan"),
        float("inf"),
        "",
        "text",
        "nan",
        "1_0",
        "../../x",
        "\x00",
    ),
    *([], [[]], [1], [None, None, None, None], {}, {"x": 1}, [[1, 2], [3]], ["a.jpg"]),
]

TEXTS = {
    "voc.xml": "<annotation><filename>a.jpg</filename><size><width>9</width><height>9</height></size>"
    "<object><name>b</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>"
    "</annotation>",
    "cvat.xml": '<annotations><image name="a.jpg" width="9" height="9">'
    '<box label="b" xtl="1" ytl="2" xbr="3" ybr="4" rotation="5"/>'
    '<polygon label="b" points="1,2;3,4;5,7"/></image></annotations>',
    "labels/a.txt": "0 0.5 0.5 0.2 0.4\n1 0.1 0.1 0.2 0.1 0.2 0.2 0.9\n",
    "via.csv": "filename,region_shape_attributes,region_attributes\n"
    'a.jpg,"{""name"":""rect"",""x"":1,""y"":2,""width"":3,""height"":4}","{""a"":""b""}"\n',
    "openimages.csv": "ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax\na,/m/0,1,0.1,0.3,0.1,0.4\n",
}


def places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    items = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in items:
        yield content, key
        yield from places(value)


def look(path: Path) -> None:
    """Load and ask; what cannot be used must say so."""
    try:
        detector = load_boxes_file(path)
        detector.expect(["a.jpg", "b.jpg", "01.jpg"])
    except UsageError:
        return
    detector.notes()
    for key in ("a.jpg", "b.jpg", "01.jpg"):
        try:
            found = detector.detect(photo(), key)
        except PhotoError:
            continue
        assert (found.xyxy[:, :2] < found.xyxy[:, 2:]).all()


@pytest.mark.parametrize("name", JSON)
def test_json_with_any_part_exchanged(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.json"
    count = sum(1 for _ in places(JSON[name]))
    for index in range(count):
        for junk in JUNK:
            content = copy.deepcopy(JSON[name])
            container, key = list(places(content))[index]
            container[key] = junk
            path.write_text(json.dumps(content))
            look(path)


@pytest.mark.parametrize("name", TEXTS)
def test_text_with_any_part_exchanged(tmp_path: Path, name: str) -> None:
    random_of = random.Random(1)
    text = TEXTS[name]
    path = tmp_path / name
    for _ in range(300):
        start = random_of.randrange(len(text))
        end = min(len(text), start + random_of.choice((0, 1, 2, 8)))
        junk = random_of.choice(
            ("", "-", "9", "9" * 400, "nan", "<", ">", '"', "\x00", "é", ",", ";", "\n", "&a;", "e9")
        )
        write(tmp_path, {name: text[:start] + junk + text[end:]})
        look(path.parent if path.suffix == ".txt" else path)
