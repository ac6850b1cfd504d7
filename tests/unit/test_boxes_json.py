"""COCO and MegaDetector JSON: ids, and what they say about a box besides its edges."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detic_crop.detectors.boxes_file.ids import id_of
from detic_crop.detectors.boxes_file.masks import box_of_mask
from detic_crop.detectors.boxes_file.table import RowError
from detic_crop.errors import UsageError
from tests.kit.boxes_files import Load, boxes, failure, loader, photo
from tests.kit.errors import refused

BOX = [330, 223, 597, 249]
CORNERS = [330, 223, 927, 472]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """See `loader`."""
    return loader(tmp_path)


def coco(
    *annotations: dict[str, Any], images: tuple[object, ...] = (1, 2), categories: tuple[object, ...] = (1, 2)
) -> dict[str, Any]:
    """Images a.jpg, b.jpg … and categories dolphin, seal … with these ids."""
    return {
        "images": [
            {"id": key, "file_name": f"{name}.jpg"} for key, name in zip(images, "abcd", strict=False)
        ],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": BOX} | item for item in annotations],
        "categories": [
            {"id": key, "name": name} for key, name in zip(categories, ("dolphin", "seal"), strict=False)
        ],
    }


# --- ids ---


@pytest.mark.parametrize("value", [1, 1.0, "1", "1.0", " 1 ", "1.", "1e0", "1E+0"])
def test_one_id_however_it_is_written(load: Load, value: object) -> None:
    assert id_of(value) == "1"
    for content in (
        coco({"image_id": value}),
        coco({"category_id": value}),
        coco({}, images=(value, 2)),
        coco({}, categories=(value, 2)),
    ):
        found = load(content).detect(photo(), "a.jpg")
        assert found.xyxy.tolist() == [CORNERS]
        assert found.class_names == ("dolphin",)
    detection = {"category": value, "conf": 0.9, "bbox": [0, 0, 0.5, 0.5]}
    image = {"file": "a.jpg", "detections": [detection]}
    found = load({"images": [image], "detection_categories": {"1": "animal"}}).detect(photo(), "a.jpg")
    assert found.class_names == ("animal",)


@pytest.mark.parametrize("value", ["01", "1.5", "1e", "one", "1_0", "0x1", "-1", 1.5, -1, 10])
def test_another_id(value: object) -> None:
    assert id_of(value) not in (None, "1")


@pytest.mark.parametrize("value", [None, True, math.nan, math.inf, [], [1], {}, "", " "])
def test_what_is_no_id(load: Load, value: object) -> None:
    assert id_of(value) is None
    detector = load(coco({"image_id": value}, {"image_id": 2}))
    assert len(detector.problems) == 1
    assert detector.problems[0].startswith(
        "annotations[0]: expected the `image_id` of one of the images, got"
    )
    detector = load(coco({"category_id": value}, {"image_id": 2}))
    assert failure(detector)[0] == "bad_boxes"
    detector = load(coco({}, {"image_id": 2}, images=(value, 2)))
    assert detector.problems[0] == "images[0]: expected an `id` and a `file_name`, got one or none"


def test_large_ids(load: Load) -> None:
    """Kaggle's and iNaturalist's are beyond what a float can tell apart."""
    assert id_of(10**15) == id_of(float(10**15)) == id_of("1e15") == id_of("1e+15") == str(10**15)
    assert id_of("1.5e3") == "1500"
    near = 2**53 + 1
    assert id_of(near) == id_of(str(near)) == str(near)
    # pandas has lost them: neither that photo's boxes, nor those of its neighbour.
    for lost in (float(near), float(near + 1), f"{near}.0", "9.007199254740994e15"):
        assert id_of(lost) not in (str(near), str(near + 1))
    assert id_of("9" * 400) == "9" * 400
    detector = load(coco({"image_id": float(near + 1)}, {"image_id": 2}, images=(near + 1, 2)))
    assert "expected the `image_id` of one of the images, got 9007199254740994.0" in detector.problems[0]
    detector = load(f"image_id,box\n{near + 1}.0,1 2 30 40\n{near},1 2 30 50\n")
    assert detector.detect(photo(), f"{near + 1}.jpg").listed is False
    assert boxes(detector, f"{near}.jpg") == [[1, 2, 30, 50]]


def test_an_unknown_category_is_a_problem_and_no_class(load: Load) -> None:
    detector = load(coco({}, {"image_id": 2, "category_id": 3}))
    assert failure(detector, "b.jpg") == (
        "bad_boxes",
        "annotations[1] of boxes.json: expected the `category_id` of one of the categories, got 3",
    )
    assert boxes(detector) == [CORNERS]
    assert detector.info.class_names == ("dolphin", "seal")
    image = {"file": "a.jpg", "detections": [{"category": "9", "conf": 0.9, "bbox": [0, 0, 0.5, 0.5]}]}
    other = {"file": "b.jpg", "detections": []}
    detector = load({"images": [image, other], "detection_categories": {"1": "animal"}})
    assert "expected the `category` of one of the categories, got '9'" in failure(detector)[1]


def test_an_annotation_of_an_unknown_image_is_a_problem(load: Load) -> None:
    detector = load(coco({}, {"image_id": 7}))
    assert detector.problems == ("annotations[1]: expected the `image_id` of one of the images, got 7",)


def test_ids_that_are_one_after_all(load: Load) -> None:
    detector = load(coco({"image_id": 3}, images=(1, "1.0", 3)))
    assert [problem.split(":")[0] for problem in detector.problems] == ["images[1]", "images[0]"]
    assert failure(detector, "a.jpg")[0] == failure(detector, "b.jpg")[0] == "bad_boxes"
    assert boxes(detector, "c.jpg") == [CORNERS]
    with refused(
        "bad_boxes_file", UsageError, names=["expected one name for category 1, got 'dolphin' and 'seal'"]
    ):
        load(coco({}, categories=(1, "1.0")))


def test_json_lines_of_results(load: Load) -> None:
    lines = [{"image_id": f"{name}.jpg", "category_id": 1, "bbox": BOX, "score": 0.5} for name in "ab"]
    detector = load("\n".join(json.dumps(line) for line in lines))
    assert boxes(detector) == boxes(detector, "b.jpg") == [CORNERS]
    with refused("bad_boxes_file", UsageError, names=["expected JSON"]):
        load('{"image_id": "a.jpg"}\nnot JSON')


# --- turned boxes ---


@pytest.mark.parametrize("turn", [{"attributes": {"rotation": 90.0}}, {"rotation": 270}, {"rotation": -90}])
def test_a_turned_box_gives_the_upright_one_around_it(load: Load, turn: dict[str, Any]) -> None:
    detector = load(coco({"bbox": [400, 300, 400, 120], **turn}))
    assert boxes(detector) == [[540, 160, 660, 560]]
    assert detector.notes() == ["boxes.json: turned boxes, taken as the upright ones around them: 1"]


@pytest.mark.parametrize("degrees", [30, 45, 117.3, 200, -10])
def test_it_holds_the_turned_corners(load: Load, degrees: float) -> None:
    (box,) = boxes(load(coco({"bbox": [400, 300, 400, 120], "attributes": {"rotation": degrees}})))
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = np.array([[-200, -60], [200, -60], [200, 60], [-200, 60]]) @ turn.T + (600, 360)
    np.testing.assert_allclose(box, [*corners.min(axis=0), *corners.max(axis=0)], atol=0.01)


@pytest.mark.parametrize("turn", [{}, {"rotation": 0}, {"attributes": {"rotation": 360.0, "z": 0}}])
def test_a_box_that_is_not_turned(load: Load, turn: dict[str, Any]) -> None:
    detector = load(coco(turn))
    assert boxes(detector) == [CORNERS]
    assert detector.notes() == []


def test_a_turn_that_makes_no_sense(load: Load) -> None:
    for rotation in ("left", math.nan, True, [90]):
        detector = load(coco({"rotation": rotation}, {"image_id": 2}))
        assert failure(detector)[0] == "bad_boxes"


def test_a_turned_box_in_shares_needs_the_photos_shape(load: Load) -> None:
    content = coco(
        {"bbox": [0.4, 0.4, 0.2, 0.1], "rotation": 90}, {"image_id": 2, "bbox": [0.1, 0.1, 0.2, 0.2]}
    )
    assert "with a turned box in shares" in failure(load(content))[1]
    content["images"][0] |= {"width": 1000, "height": 500}
    # 200 x 50 px about (500, 225) becomes 50 x 200.
    assert boxes(load(content), image=photo(1000, 500)) == [[475, 125, 525, 325]]


# --- crowds and masks ---


@pytest.mark.parametrize("mark", [{"iscrowd": 1}, {"iscrowd": 1.0}, {"iscrowd": True}, {"iscrowd": "1"}])
def test_crowds_do_not_count(load: Load, mark: dict[str, Any]) -> None:
    detector = load(coco({"bbox": [20, 20, 1200, 700], **mark}, {"iscrowd": 0}, {"image_id": 2, **mark}))
    assert boxes(detector) == [CORNERS]
    assert boxes(detector, "b.jpg") == []
    assert detector.notes() == ["boxes.json: crowds (iscrowd) do not count: 2"]


def test_annotations_to_be_ignored(load: Load) -> None:
    detector = load(coco({"bbox": [20, 20, 1200, 700], "ignore": 1}, {"ignore": 0}))
    assert boxes(detector) == [CORNERS]
    assert detector.notes() == ["boxes.json: annotations marked `ignore` do not count: 1"]


@pytest.mark.parametrize("bbox", [None, [], [0, 0, 0, 0], [0.0, 0.0, 0.0, 0.0], "absent"])
def test_a_mask_without_a_box_gives_its_own(load: Load, bbox: object) -> None:
    polygon = [330, 223, 927, 223, 927, 472, 330, 472]
    for segmentation in ([polygon], [polygon[:6], polygon[2:]], polygon):
        content = coco({"bbox": bbox, "segmentation": segmentation})
        if bbox == "absent":
            del content["annotations"][0]["bbox"]
        assert boxes(load(content)) == [CORNERS]


@pytest.mark.parametrize("segmentation", [None, [], [[]], {}, {"size": [9, 9], "counts": []}])
def test_neither_a_mask_nor_a_box(load: Load, segmentation: object) -> None:
    assert boxes(load(coco({"bbox": [], "segmentation": segmentation}))) == []
    detector = load(coco({"bbox": [0, 0, 0, 0], "segmentation": segmentation}, {"image_id": 2}))
    assert failure(detector)[0] == "bad_boxes"


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3]],
        [["a", "b"]],
        [[1, math.nan]],
        "polygon",
        7,
        {"counts": [1]},
        {"size": [0, 9], "counts": [1]},
        {"size": [9, 9], "counts": [80]},
        {"size": [9, 9], "counts": [-1, 82]},
        {"size": [9, 9], "counts": 5},
        {"size": [9, 9], "counts": "\x7f"},
    ],
)
def test_masks_that_make_no_sense(load: Load, segmentation: object) -> None:
    with pytest.raises(RowError):
        box_of_mask(segmentation)
    assert failure(load(coco({"bbox": [], "segmentation": segmentation}, {"image_id": 2})))[0] == "bad_boxes"


def test_a_mask_beside_a_box_is_not_needed(load: Load) -> None:
    assert boxes(load(coco({"segmentation": [[1, 2, 3]]}))) == [CORNERS]
    assert boxes(load(coco({"segmentation": "polygon"}))) == [CORNERS]


def test_compressed_run_lengths() -> None:
    """Worked by hand: 5 runs, of which the last two are differences to the third and second."""
    # 9 rows, 4 columns: runs 10, 3, 6, 2, 15 → pixels 10–12 (column 1) and 19–20 (column 2).
    assert box_of_mask({"size": [9, 4], "counts": [10, 3, 6, 2, 15]}) == (1, 1, 3, 4)
    # 10 → ':', 3 → '3', 6 → '6', 2 - 3 = -1 → 'O', 15 - 6 = 9 → '9'.
    assert box_of_mask({"size": [9, 4], "counts": ":36O9"}) == (1, 1, 3, 4)


def compressed(runs: list[int]) -> str:
    """The writer's side of COCO's format."""
    text = ""
    for i, run in enumerate(runs):
        number = run - runs[i - 2] if i > 2 else run
        while True:
            group, number = number & 0x1F, number >> 5
            more = number != (-1 if group & 0x10 else 0)
            text += chr(48 + (group | 0x20 * more))
            if not more:
                break
    return text


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.01, 0.5, 0.99]))
def test_a_masks_box_is_that_of_its_pixels(seed: int, height: int, width: int, share: float) -> None:
    mask: NDArray[np.bool_] = np.random.default_rng(seed).random((height, width)) < share
    pixels = mask.T.reshape(-1)
    changes = np.flatnonzero(np.diff(pixels)) + 1
    runs = np.diff([0, *([0] if pixels[0] else []), *changes, pixels.size]).tolist()
    rows, columns = np.nonzero(mask)
    expected = None
    if len(rows):
        expected = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    size = [height, width]
    assert box_of_mask({"size": size, "counts": runs}) == expected
    assert box_of_mask({"size": size, "counts": compressed(runs)}) == expected


# --- a detector's threshold ---


@pytest.mark.parametrize(
    "where",
    [
        lambda at: {"info": {"detector_metadata": {"typical_detection_threshold": at}}},
        lambda at: {"info": {"typical_detection_threshold": at}},
        lambda at: {"detector_metadata": {"typical_detection_threshold": at}},
    ],
)
def test_the_files_own_threshold_is_the_default(load: Load, where: Any) -> None:
    detections = [
        {"category": "1", "conf": conf, "bbox": [0.1, 0.1, 0.5, 0.5]} for conf in (0.93, 0.2, 0.199, 0.006)
    ]
    content = {
        "images": [{"file": "a.jpg", "detections": detections}],
        "detection_categories": {"1": "animal"},
    }
    assert load({**content, **where(0.2)}).info.default_conf == 0.2
    for nonsense in (None, "0.2", True, 7, math.nan, -0.1):
        assert load({**content, **where(nonsense)}).info.default_conf == 0
    assert load(content).info.default_conf == 0
