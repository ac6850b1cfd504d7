"""Boxes of another size of the photo than the photo is: COCO, CSV columns, our own audit.csv."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detic_crop.detectors.boxes_file.sizes import difference, same_shape, stated_size
from detic_crop.detectors.boxes_file.table import RowError
from tests.kit.boxes_files import Load, boxes, failure, loader, photo
from tests.kit.folders import crop
from tests.kit.photos import write_photos


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """See `loader`."""
    return loader(tmp_path)


def coco(width: object, height: object) -> dict[str, object]:
    image = {"id": 1, "file_name": "a.jpg", "width": width, "height": height}
    annotation = {"image_id": 1, "category_id": 1, "bbox": [165, 111, 300, 125]}
    return {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "dolphin"}]}


# --- the same shape ---


@pytest.mark.parametrize(
    ("stated", "size"),
    [
        ((640, 400), (1280, 800)),
        ((1280, 800), (640, 400)),
        ((640, 427), (1280, 853)),  # 426.5 either way
        ((640, 426), (1280, 853)),
        ((1280, 853), (640, 427)),
        ((100, 67), (5472, 3648)),
        ((512, 512), (3000, 3000)),
        ((4000, 3000), (4000, 3000)),
    ],
)
def test_a_photo_resized_has_the_same_shape(stated: tuple[int, int], size: tuple[int, int]) -> None:
    assert same_shape(stated, size)


@pytest.mark.parametrize(
    ("stated", "size"),
    [
        ((1200, 900), (900, 1200)),
        ((600, 450), (900, 1200)),
        ((640, 640), (1280, 853)),  # squeezed into a square
        ((1280, 800), (1280, 854)),
        ((640, 429), (1280, 853)),
        ((101, 100), (100, 101)),
    ],
)
def test_another_shape(stated: tuple[int, int], size: tuple[int, int]) -> None:
    assert not same_shape(stated, size)
    assert not same_shape(size, stated)


@given(st.integers(16, 9000), st.integers(16, 9000), st.floats(0.02, 1), st.booleans(), st.booleans())
def test_whatever_way_the_sides_are_rounded(w: int, h: int, factor: float, up: bool, nearest: bool) -> None:
    def side(number: float) -> int:
        return max(1, round(number) if nearest else int(number) + up)

    assert same_shape((side(w * factor), side(h * factor)), (w, h))


# --- boxes are scaled ---


def test_coco_boxes_are_scaled(load: Load) -> None:
    detector = load(coco(640, 400))
    assert boxes(detector, image=photo(1280, 800)) == [[330, 222, 930, 472]]
    (note,) = detector.notes()
    assert note == (
        "photos whose boxes were scaled because boxes.json gives another size for them: "
        "1 (first: a.jpg, 640 x 400 px in the file, 1280 x 800 px in fact)"
    )


def test_each_side_is_scaled_by_its_own_rounding(load: Load) -> None:
    detector = load("image,width,height,xmin,ymin,xmax,ymax\na.jpg,640,427,0,0,640,427\n")
    assert boxes(detector, image=photo(1280, 853)) == [[0, 0, 1280, 853]]


@pytest.mark.parametrize("size", [("640", "400"), (640.0, 400.0)])
def test_sizes_as_text_and_as_floats(load: Load, size: tuple[object, object]) -> None:
    assert boxes(load(coco(*size)), image=photo(1280, 800)) == [[330, 222, 930, 472]]


@pytest.mark.parametrize("size", [(None, None), (0, 0), (-1, -1), ("", ""), (float("nan"), 400), (640, None)])
def test_no_size_is_stated(load: Load, size: tuple[object, object]) -> None:
    detector = load(coco(*size))
    assert boxes(detector, image=photo(1280, 800)) == [[165, 111, 465, 236]]
    assert detector.notes() == []


@pytest.mark.parametrize(
    "size", [("wide", 400), (640.5, 400), (True, 400), ([640], 400), (float("inf"), 400)]
)
def test_a_size_that_makes_no_sense_is_a_problem(load: Load, size: tuple[object, object]) -> None:
    content = coco(*size)
    content["images"] = [*_list(content["images"]), {"id": 2, "file_name": "b.jpg"}]
    reason, text = failure(load(content))
    assert reason == "bad_boxes"
    assert "images[0] of boxes.json: expected the photo's width and height in whole pixels, got" in text


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def test_the_size_of_the_whole_data_set_and_of_a_mask(load: Load) -> None:
    content = coco(None, None)
    content["info"] = {"width": 640, "height": 400}
    assert boxes(load(content), image=photo(1280, 800)) == [[330, 222, 930, 472]]
    content = coco(None, None)
    runs = {"size": [400, 640], "counts": [0, 640 * 400]}
    content["annotations"] = [{"image_id": 1, "category_id": 1, "segmentation": runs}]
    assert boxes(load(content), image=photo(1280, 800)) == [[0, 0, 1280, 800]]
    content = coco(1280, 800)  # which of both is it?
    content["annotations"] = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "segmentation": runs}]
    content["images"] = [*_list(content["images"]), {"id": 2, "file_name": "b.jpg"}]
    assert "expected one size of the photo, got 1280 x 800 and 640 x 400 px" in failure(load(content))[1]


@pytest.mark.parametrize(
    "header",
    ["filename,width,height,class,xmin,ymin,xmax,ymax", "filename,img_w,img_h,class,xmin,ymin,xmax,ymax"],
)
def test_tensorflow_csv(load: Load, header: str) -> None:
    detector = load(f"{header}\na.jpg,640,400,dolphin,165,111,465,236\n")
    assert boxes(detector, image=photo(1280, 800)) == [[330, 222, 930, 472]]
    assert failure(detector, image=photo(800, 1280))[0] == "bad_boxes"


def test_a_photo_that_is_not_upright_as_stored(load: Load) -> None:
    """The file states the stored size, which is that of no photo anybody sees."""
    reason, text = failure(load(coco(1200, 900)), image=photo(900, 1200))
    assert reason == "bad_boxes"
    assert "a photo of 1200 x 900 px, but the photo is 900 x 1200 px when upright" in text
    assert "(EXIF orientation); make them on the upright photo" in text
    # A square looks the same either way.
    assert boxes(load(coco(900, 900)), image=photo(900, 900)) == [[165, 111, 465, 236]]


def test_another_shape_says_both_sizes(load: Load) -> None:
    reason, text = failure(load(coco(640, 640)), image=photo(1280, 853))
    assert reason == "bad_boxes"
    sizes = "640 x 640 px, but the photo is 1280 x 853 px"
    assert (
        text
        == f"boxes.json: the boxes were made on a photo of {sizes}, another shape; pass the boxes of this "
        "photo"
    )
    assert len(difference((99999, 99998), (12345, 67890))) < 250  # a row's error holds 300 characters


def test_shares_need_no_scaling_and_still_the_same_shape(load: Load) -> None:
    detection = {"category": "1", "conf": 0.9, "bbox": [0.25, 0.5, 0.5, 0.25]}
    image = {"file": "a.jpg", "width": 640, "height": 480, "detections": [detection]}
    detector = load({"images": [image], "detection_categories": {"1": "animal"}})
    assert boxes(detector, image=photo(4000, 3000)) == [[1000, 1500, 3000, 2250]]
    assert detector.notes() == []
    assert failure(detector, image=photo(3000, 4000))[0] == "bad_boxes"


def test_a_photo_without_boxes_has_none_at_any_size(load: Load) -> None:
    content = coco(640, 400)
    content["annotations"] = []
    detector = load(content)
    assert boxes(detector, image=photo(333, 999)) == []
    assert detector.notes() == []


def test_one_photo_of_two_sizes(load: Load) -> None:
    rows = "image,width,height,xmin,ymin,xmax,ymax\na.jpg,640,400,5,6,70,80\nb.jpg,640,400,5,6,70,80\n"
    detector = load(rows + "a.jpg,1280,800,5,6,70,80\n")
    assert "line 4 of boxes.csv: expected one size of the photo" in failure(detector)[1]
    assert boxes(detector, "b.jpg", photo(640, 400)) == [[5, 6, 70, 80]]


# --- columns that may be something else ---


def test_width_and_height_of_the_box(load: Load) -> None:
    rows = "".join(f"{i}.jpg,{10 + i},20,{110 + i},70,100,50\n" for i in range(5))
    detector = load(f"image,xmin,ymin,xmax,ymax,width,height\n{rows}")
    assert boxes(detector, "3.jpg", photo(1280, 800)) == [[13, 20, 113, 70]]
    assert detector.notes() == []


def test_boxes_that_fill_their_photo_are_no_reason_to_doubt_its_size(load: Load) -> None:
    detector = load("image,xmin,ymin,xmax,ymax,width,height\na.jpg,0,0,640,400,640,400\n")
    assert boxes(detector, image=photo(1280, 800)) == [[0, 0, 1280, 800]]


def test_sizes_of_something_else(load: Load) -> None:
    """The width and height of a fluke, in centimetres."""
    rows = "".join(f"{i}.jpg,{100 + i},200,500,700,{45 + i},12\n" for i in range(5))
    detector = load(f"image,xmin,ymin,xmax,ymax,width,height\n{rows}")
    assert boxes(detector, "3.jpg", photo(1280, 800)) == [[103, 200, 500, 700]]
    (note,) = detector.notes()
    assert "columns width, height are not taken for the photos' sizes" in note


def test_left_top_width_height_columns_are_the_box(load: Load) -> None:
    detector = load("image,left,top,width,height\na.jpg,10,20,100,50\n")
    assert boxes(detector, image=photo(1280, 800)) == [[10, 20, 110, 70]]


def test_x_y_width_height_is_a_box_where_it_cannot_be_a_point_in_a_photo(load: Load) -> None:
    header = "image,x,y,width,height\n"
    several = load(f"{header}a.jpg,10,20,100,50\na.jpg,10,20,120,50\n")
    assert boxes(several, image=photo(1280, 800)) == [[10, 20, 110, 70], [10, 20, 130, 70]]
    right = load(f"{header}a.jpg,910,20,100,50\n")
    assert boxes(right, image=photo(1280, 800)) == [[910, 20, 1010, 70]]
    short = load("x,y,width,height,image\n1,2,3,4\n910,20,100,50,a.jpg\n")
    assert [problem.split(":")[0] for problem in short.problems] == ["line 2"]
    told = load(f"{header}a.jpg,10,20,100,50\n", box_format="xywh")
    assert boxes(told, image=photo(1280, 800)) == [[10, 20, 110, 70]]


def test_stated_size_reads_what_people_write() -> None:
    assert stated_size("1280.0", 800) == (1280, 800)
    assert stated_size(" 1280 ", "800") == (1280, 800)
    for nothing in itertools.product([None, "", 0, "nan"], [800, None]):
        assert stated_size(*nothing) is None
    with pytest.raises(RowError):
        stated_size(10**400, 800)


# --- a whole run ---


def test_our_own_audit_csv_of_smaller_photos(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 4)
    first = crop(tmp_path / "in", tmp_path / "first")
    assert first.counts["cropped"]
    for key in keys:
        image = cv2.imread(str(tmp_path / "in" / key))
        assert image is not None
        (tmp_path / "large" / key).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "large" / key), np.kron(image, np.ones((3, 3, 1), np.uint8)))
    model = f"boxes:{tmp_path / 'first' / 'audit.csv'}"
    again = crop(tmp_path / "large", tmp_path / "again", model=model, detector=None)
    assert again.counts == first.counts
    assert any(f"gives another size for them: {first.counts['cropped']} (" in note for note in again.notes)

    def boxes_in(folder: str) -> list[list[int]]:
        import pandas as pd

        table = pd.read_csv(tmp_path / folder / "audit.csv")
        return [[int(edge) for edge in box.split()] for box in table["box"].dropna()]

    assert boxes_in("again") == [[3 * edge for edge in box] for box in boxes_in("first")]
