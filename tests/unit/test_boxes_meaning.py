"""What the numbers of a boxes file mean: pixels or shares, corners or sizes, by the file as a whole."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from detic_crop.config import BoxFormat
from detic_crop.detectors.boxes_file import load_boxes_file
from detic_crop.detectors.boxes_file.read import parse_boxes
from detic_crop.errors import UsageError
from tests.kit.boxes_files import Load, boxes, failure, loader, photo
from tests.kit.errors import refused

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """See `loader`."""
    return loader(tmp_path)


def table(column: str, *cells: str, size: str = "") -> str:
    """A CSV with one photo per cell: 0.jpg, 1.jpg …; `size` "1280,800" becomes its width and height."""
    rows = [f'{i}.jpg,"{cell}"{"," * bool(size)}{size}' for i, cell in enumerate(cells)]
    return "\n".join([f"image,{column}{',width,height' * bool(size)}", *rows, ""])


def random_boxes(count: int, seed: int = 0) -> list[tuple[int, int, int, int]]:
    """Corners of boxes in a photo of 1280 x 800 px."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        width, height = rng.randint(40, 800), rng.randint(30, 400)
        left, top = rng.randint(0, 1280 - width), rng.randint(0, 800 - height)
        found.append((left, top, left + width, top + height))
    return found


def as_sizes(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return box[0], box[1], box[2] - box[0], box[3] - box[1]


def complaint(load: Load, content: object, box_format: BoxFormat | None = None) -> str:
    with refused("bad_boxes_file", UsageError) as caught:
        load(content, box_format=box_format)
    return caught.value.message


# --- corners, or left, top, width, height ---


@pytest.mark.parametrize("name", ["kaggle_train2.csv", "kaggle_test2.csv", "kaggle_fullbody_test_charm.csv"])
def test_the_original_data_sets_are_corners(name: str) -> None:
    detector = load_boxes_file(DATA / name)
    assert detector.problems == ()
    assert detector.notes() == []


@pytest.mark.parametrize("column", ["box", "bbox", "BBox"])
@pytest.mark.parametrize("size", ["", "1280,800"])
@pytest.mark.parametrize("seed", range(5))
def test_many_boxes_tell_what_they_are(load: Load, column: str, size: str, seed: int) -> None:
    found = random_boxes(40, seed)
    corners = load(table(column, *(f"[{', '.join(map(str, box))}]" for box in found), size=size))
    sizes = load(table(column, *(f"[{', '.join(map(str, as_sizes(box)))}]" for box in found), size=size))
    for detector in (corners, sizes):
        assert detector.problems == ()
        for i, box in enumerate(found):
            assert boxes(detector, f"{i}.jpg", photo(1280, 800)) == [list(box)]
    assert corners.notes() == []
    (note,) = sizes.notes()
    assert f"boxes.csv: `{column}` is taken as left, top, width, height: " in note
    assert "of 40 boxes cannot be corners (line " in note


def test_a_few_sizes_where_some_cannot_be_corners(load: Load) -> None:
    cells = ("[330.0, 223.0, 597.0, 249.0]", "[229.0, 154.0, 660.0, 293.0]", "[834.0, 222.0, 56.0, 36.0]")
    more = (*cells, "[600.0, 300.0, 350.0, 200.0]")
    for text in (table("bbox", *cells, size="1280,800"), table("bbox", *more)):
        detector = load(text)
        assert boxes(detector, "0.jpg", photo(1280, 800)) == [[330, 223, 927, 472]]
        assert boxes(detector, "2.jpg", photo(1280, 800)) == [[834, 222, 890, 258]]
        assert detector.problems == ()
    # Without the photos' size, one of three may be a mistake as well.
    assert "got 1 of 3 boxes that cannot be corners (line 4: 834 222 56 36); say which" in complaint(
        load, table("bbox", *cells)
    )


def test_a_few_corners_that_would_reach_out_of_the_photo(load: Load) -> None:
    detector = load(table("bbox", "[330, 223, 1200, 700]", "[10, 20, 300, 200]", size="1280,800"))
    assert boxes(detector, "1.jpg", photo(1280, 800)) == [[10, 20, 300, 200]]
    assert detector.notes() == []


@pytest.mark.parametrize("size", ["", "1280,800"])
def test_a_few_boxes_that_can_be_both_are_refused(load: Load, size: str) -> None:
    text = table("bbox", "[330, 223, 597, 249]", "[229, 154, 660, 293]", size=size)
    message = complaint(load, text)
    assert (
        "in `bbox`, got 2 boxes that can be both; say which they are: --box-format xyxy (corners) or"
        in message
    )
    assert "\n" not in message
    corners = boxes(load(text, box_format="xyxy"), "0.jpg", photo(1280, 800))
    assert corners == [[330, 223, 597, 249]]
    sizes = boxes(load(text, box_format="xywh"), "0.jpg", photo(1280, 800))
    assert sizes == [[330, 223, 927, 472]]


def test_the_same_box_many_times_is_one_piece_of_evidence(load: Load) -> None:
    assert "got 1 box that can be both" in complaint(load, table("bbox", *["[330, 223, 597, 249]"] * 50))


def test_box_is_corners_unless_it_cannot_be(load: Load) -> None:
    """The original data set's column."""
    assert boxes(load(table("box", "330 223 597 249")), "0.jpg") == [[330, 223, 597, 249]]
    assert boxes(load(table("bbox", "[[ 330  223  597  249]]")), "0.jpg") == [[330, 223, 597, 249]]
    assert load(table("box", "330 223 597 249")).notes() == []
    # Written in another way it may come from somewhere else.
    detector = load(table("box", "[330, 223, 597, 249]"))
    assert boxes(detector, "0.jpg") == [[330, 223, 597, 249]]
    assert detector.notes() == [
        "boxes.csv: `box` is taken as corners, as usual, but could also be left, top, width, height; if it "
        "is, pass --box-format xywh"
    ]
    # One that cannot be corners may be a mistake, or show what all are.
    message = complaint(load, table("box", "330 223 597 249", "834 222 56 36"))
    assert "got 1 of 2 boxes that cannot be corners (line 3: 834 222 56 36)" in message
    several = load(table("box", "330 223 597 249", "834 222 56 36", "600 300 350 200", "900 300 200 500"))
    assert boxes(several, "0.jpg") == [[330, 223, 927, 472]]


def test_a_mistake_among_many_is_a_bad_row(load: Load) -> None:
    found = [" ".join(map(str, box)) for box in random_boxes(40)]
    detector = load(table("box", *found, "900 300 200 500"))
    assert [problem.split(":")[0] for problem in detector.problems] == ["line 42"]
    assert failure(detector, "40.jpg")[0] == "bad_boxes"
    assert "pass --box-format xywh" in detector.problems[0]


def test_boxes_that_some_people_have_drawn_backwards(load: Load) -> None:
    """Too many for mistakes, too few for sizes."""
    found = random_boxes(40)
    backwards = [(box[2], box[1], box[0], box[3]) for box in found[:6]]
    message = complaint(load, table("box", *(" ".join(map(str, box)) for box in (*backwards, *found[6:]))))
    assert "got 6 of 40 boxes that cannot be corners" in message


def test_mistakes_of_both_kinds_leave_it_open(load: Load) -> None:
    cells = ["900 300 200 500", "1000 100 200 50", "700 400 1250 790", "640 400 1200 600"]
    message = complaint(load, table("box", *cells, size="1280,800"))
    assert (
        "2 of 4 boxes that cannot be corners (line 2: 900 300 200 500) and 2 that can only be (line 4"
        in message
    )


@pytest.mark.parametrize("size", ["", "1280,800"])
def test_rows_that_contradict_the_given_format_are_bad(load: Load, size: str) -> None:
    text = table("bbox", "[330, 223, 597, 249]", "[834, 222, 56, 36]", "[700, 400, 1250, 790]", size=size)
    corners = load(text, box_format="xyxy")
    assert [problem.split(":")[0] for problem in corners.problems] == ["line 3"]
    sizes = load(text, box_format="xywh")
    bad = ["line 4"] if size else []  # without the photo's size nothing speaks against it
    assert [problem.split(":")[0] for problem in sizes.problems] == bad


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        ("xmin,ymin,xmax,ymax", "xyxy"),
        ("x1,y1,x2,y2", "xyxy"),
        ("x,y,w,h", "xywh"),
        ("left,top,width,height", "xywh"),
        ("box_xyxy", "xyxy"),
        ("bbox_xywh", "xywh"),
    ],
)
def test_a_header_that_says_it_is_believed(load: Load, header: str, meant: BoxFormat) -> None:
    cells = ["330", "223", "597", "249"]
    text = f"image,{header}\na.jpg,{(',' if ',' in header else ' ').join(cells)}\n"
    expected = [330, 223, 597, 249] if meant == "xyxy" else [330, 223, 927, 472]
    assert boxes(load(text)) == boxes(load(text, box_format=meant)) == [expected]
    other: BoxFormat = "xywh" if meant == "xyxy" else "xyxy"
    assert f"--box-format {other} contradicts" in complaint(load, text, other)


def test_a_header_is_not_believed_against_all_its_rows(load: Load) -> None:
    rows = "0.jpg,330,223,597,249\n1.jpg,834,222,56,36\n2.jpg,600,300,350,200\n"
    text = f"image,xmin,ymin,xmax,ymax\n{rows}"
    message = complaint(load, text)
    assert "got 2 of 3 boxes that cannot be that, and can be left, top, width, height (line 3: 834" in message
    assert "if they are, name the columns x, y, w, h, else pass --box-format xyxy" in message
    assert len(load(text, box_format="xyxy").problems) == 2
    # One of them is a mistake.
    assert len(load("\n".join(text.splitlines()[:3])).problems) == 1
    rows = "0.jpg,700,400,1200,700,1280,800\n1.jpg,900,100,1000,300,1280,800\n"
    message = complaint(load, f"image,x,y,w,h,width,height\n{rows}")
    assert "boxes that reach out of their photo, and can be corners (line 2: 700 400 1200 700)" in message
    assert "if they are, name the columns xmin, ymin, xmax, ymax, else pass --box-format xywh" in message


def test_our_audit_csv_is_corners_whatever_its_boxes_are_like(load: Load) -> None:
    header = "image,crop,status,reason,width,height,box,crop_box\n"
    rows = "".join(f"{i}.jpg,{i}.jpg,cropped,,1280,800,10 20 3{i} 40,0 0 9 9\n" for i in range(10))
    assert boxes(load(header + rows), "3.jpg", photo(1280, 800)) == [[10, 20, 33, 40]]
    assert "contradicts box, which is corners" in complaint(load, header + rows, "xywh")


def coco(*found: tuple[int | str, list[float]], size: tuple[int, int] | None = None) -> dict[str, Any]:
    keys = list(dict.fromkeys(key for key, _ in found))
    sized = {} if size is None else {"width": size[0], "height": size[1]}
    return {
        "images": [{"id": key, "file_name": f"{key}.jpg", **sized} for key in keys],
        "annotations": [{"image_id": key, "category_id": 1, "bbox": bbox} for key, bbox in found],
        "categories": [{"id": 1, "name": "dolphin"}],
    }


def test_corners_in_coco_json(load: Load) -> None:
    found = random_boxes(20)
    content = coco(*((i, [float(edge) for edge in box]) for i, box in enumerate(found)), size=(1280, 800))
    message = complaint(load, content)
    assert "expected left, top, width, height in `bbox`" in message
    assert "if they are, pass --box-format xyxy, else pass --box-format xywh" in message
    detector = load(content, box_format="xyxy")
    assert boxes(detector, "7.jpg", photo(1280, 800)) == [list(found[7])]
    # Who says that they are sizes gets rows that say which cannot be.
    sizes = load(content, box_format="xywh")
    assert sizes.problems
    assert "expected left, top, width, height within 1280 x 800 px, got" in sizes.problems[0]


def test_coco_boxes_are_sizes_without_any_evidence(load: Load) -> None:
    assert boxes(load(coco((0, [330, 223, 597, 249]))), "0.jpg") == [[330, 223, 927, 472]]
    # A box or two beyond the edge is cut off, as ever.
    found: list[tuple[int | str, list[float]]] = [(i, [10.0 * i, 5, 300, 200]) for i in range(20)]
    detector = load(coco(*found, ("x", [1000, 5, 400, 200]), size=(1280, 800)))
    assert boxes(detector, "x.jpg", photo(1280, 800)) == [[1000, 5, 1400, 205]]
    (note,) = detector.notes()
    assert "reach far beyond their edges and were cut off there: 1 (first: x.jpg, 1000 5 1400 205)" in note


# --- pixels, or shares of the photo ---


@pytest.mark.parametrize("largest", ["1.0", "1.003125", "0.99", "1.04"])
def test_shares_of_the_photo(load: Load, largest: str) -> None:
    detector = load(f"image,box\n0.jpg,0.26 0.28 0.72 0.59\n1.jpg,0.18 0.5 {largest} 0.75\n")
    assert boxes(detector, "0.jpg", photo(1000, 100)) == [[260, 28, 720, 59]]
    assert boxes(detector, "1.jpg", photo(1000, 100)) == [[180, 50, 1000 * float(largest), 75]]
    (note,) = detector.notes()
    number = max(float(largest), 0.75)
    assert (
        note
        == f"boxes.csv: no number in `box` is above {number:g}: taken as shares of the photo's width and "
        "height"
    )


@pytest.mark.parametrize("largest", ["1", "1.003"])
def test_corner_columns_of_shares(load: Load, largest: str) -> None:
    """As in Open Images."""
    text = f"ImageID,LabelName,XMin,XMax,YMin,YMax\na,/m/084hf,0.2,{largest},0.4,0.5\n"
    detector = load(text)
    assert boxes(detector, image=photo(1000, 100)) == [[200, 40, pytest.approx(1000 * float(largest)), 50]]
    assert len(detector.notes()) == 1


def test_coco_json_of_shares(load: Load) -> None:
    content = coco((1, [0.26, 0.28, 0.46, 0.31]), (2, [0.18, 0.18, 0.823, 0.34]), size=(1280, 800))
    detector = load(content)
    found = boxes(detector, "1.jpg", photo(1000, 625))
    assert found == [[260, 175, pytest.approx(720), pytest.approx(0.59 * 625)]]
    (note,) = detector.notes()
    assert "taken as shares of the photo's width and height" in note


@pytest.mark.parametrize(
    "text",
    [
        "image,box\n0.jpg,0.4 0.4 0.5 0.5\n",  # corners, or 0.4 0.4 0.9 0.9
        "image,bbox\n0.jpg,0.3 0.3 0.2 0.2\n",  # left and top, or a centre
        "image,bbox\n0.jpg,0.3 0.3 0.2 0.2\n1.jpg,0.6 0.6 0.3 0.2\n",
        "image,x,y,w,h\n0.jpg,0.3,0.3,0.2,0.2\n",
        "image,x,y,w,h\n0.jpg,0.9,0.3,0.2,0.2\n",
    ],
)
def test_shares_that_can_be_two_things_are_refused(load: Load, text: str) -> None:
    message = complaint(load, text)
    assert "--box-format" in message
    assert "shares of the photo" in message
    assert boxes(load(text, box_format="xywh"), "0.jpg", photo(1000, 1000))


def test_shares_that_can_be_no_centres(load: Load) -> None:
    for header, row in (("x,y,w,h", "0.01,0.3,0.5,0.2"), ("left,top,width,height", "0.3,0.3,0.5,0.2")):
        detector = load(f"image,{header}\n0.jpg,{row}\n")
        left, top, width, height = map(float, row.split(","))
        found = boxes(detector, "0.jpg", photo(1000, 100))
        assert found == [pytest.approx([left * 1000, top * 100, (left + width) * 1000, (top + height) * 100])]


@pytest.mark.parametrize("cell", ["213 813 3054 1301", "0.5 0.5 1.5 0.9", "-0.5 0.5 0.9 0.9"])
def test_what_is_no_share_among_shares(load: Load, cell: str) -> None:
    rows = f"0.jpg,0.2,0.2,0.9,0.5\n1.jpg,0.3,0.2,0.9,0.5\na.jpg,{cell.replace(' ', ',')}\n"
    detector = load(f"image,x1,y1,x2,y2\n{rows}")
    message = "line 4: expected shares of the photo, 0 to 1, as in the other rows, got"
    assert detector.problems == (f"{message} {cell}",)
    assert failure(detector)[0] == "bad_boxes"
    assert len(boxes(detector, "1.jpg")) == 1


@pytest.mark.parametrize("cell", ["0.26 0.28 0.72 0.59", "0 0 1 1", "0.18 0.18 1.003125 0.52", "1 1 2 2"])
def test_shares_among_pixels_are_no_crop_of_a_pixel(load: Load, cell: str) -> None:
    for text in (
        f"image,box\n0.jpg,200 200 900 500\n1.jpg,300 200 900 500\na.jpg,{cell}\n",
        f"image,x1,y1,x2,y2\n0.jpg,20,20,900,50\n1.jpg,3,2,90,50\na.jpg,{cell.replace(' ', ',')}\n",
    ):
        detector = load(text)
        assert len(detector.problems) == 1
        assert detector.problems[0].startswith(f"line 4: expected pixels, as in the other rows, got {cell}")
        assert failure(detector)[0] == "bad_boxes"
    content = coco((0, [20, 20, 90, 50]), (1, [30, 20, 90, 50]), ("a", [0.25, 0.25, 0.5, 0.5]))
    assert failure(load(content))[0] == "bad_boxes"


def test_a_box_without_an_area_is_neither(load: Load) -> None:
    detector = load("image,box\n0.jpg,200 200 900 500\na.jpg,0 0 0 0\n")
    assert detector.problems[0].startswith("line 3: expected xmin < xmax and ymin < ymax, got 0 0 0 0")


def test_as_many_shares_as_pixels(load: Load) -> None:
    message = complaint(load, "image,box\n0.jpg,200 200 900 500\n1.jpg,0.1 0.2 0.3 0.4\n")
    assert (
        "expected all boxes in pixels, or all in shares of the photo, got 1 and 1 (line 2: 200 200 900 500; "
        in message
    )


def test_masks_of_shares_and_of_pixels() -> None:
    """A mask's box is corners whatever `bbox` is."""
    content = coco((0, [0.26, 0.28, 0.46, 0.31]), (1, []))
    content["annotations"][1]["segmentation"] = [[0.1, 0.2, 0.9, 0.2, 0.9, 0.4]]
    table = parse_boxes(json.dumps(content).encode())
    assert table.normalised
    assert table.entries["1.jpg"].boxes[0][:4] == (0.1, 0.2, 0.9, 0.4)


# --- how numbers are written ---


def test_decimal_commas_of_a_spreadsheet(load: Load) -> None:
    text = "image;xmin;ymin;xmax;ymax;score\na.jpg;1,5;2;30,25;40,0;0,75\n"
    found = load(text).detect(photo(), "a.jpg")
    assert found.xyxy.tolist() == [[1.5, 2, 30.25, 40]]
    assert found.scores.tolist() == [0.75]
    # Commas between numbers stay commas between numbers, and four pairs of them are no box.
    assert boxes(load("image;box\na.jpg;1,2,30,40\n")) == [[1, 2, 30, 40]]
    assert len(load("image;box\na.jpg;10,20 30,20 30,40 10,40\nb.jpg;\n").problems) == 1


def test_ids_that_pandas_has_turned_into_floats(load: Load) -> None:
    detector = load("image_id,class,xmin,ymin,xmax,ymax\n12345.0,3.0,1,2,30,40\n12346.0,3,1,2,30,40\n")
    assert boxes(detector, "12345.jpg") == [[1, 2, 30, 40]]
    assert detector.info.class_names == ("3",)


def test_per_cent_are_read_as_pixels_and_said(load: Load) -> None:
    """As Label Studio writes them."""
    rows = "".join(f"{i}.jpg,25.5,30.{i},60.25,50.5\n" for i in range(5))
    detector = load(f"image,xmin,ymin,xmax,ymax\n{rows}")
    assert boxes(detector, "3.jpg", photo(200, 100))
    assert detector.notes() == []
    assert boxes(detector, "3.jpg", photo(1280, 800))
    (note,) = detector.notes()
    assert note.startswith(
        "no box of boxes.csv reaches beyond 100 px although the photos are much larger: if its"
    )


def test_the_advice_for_corners_that_are_none_is_one_that_works(load: Load) -> None:
    """`--box-format xywh` is refused where the columns are called corners."""
    rows = "a.jpg,300,300,100,100\n" + "".join(f"{i}.jpg,1,1,50,{50 + i}\n" for i in range(9))
    named = load("image,xmin,ymin,xmax,ymax\n" + rows)
    assert named.problems[0].endswith("if these are left, top, width, height, name the columns x, y, w, h")
