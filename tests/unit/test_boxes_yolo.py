"""YOLO label folders: where the photos are, what the rows mean, what the classes are called."""

from __future__ import annotations

import csv
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detic_crop.cli import main as cli
from detic_crop.detectors import load_detector
from detic_crop.detectors.boxes_file import load_boxes_file
from detic_crop.detectors.boxes_file.folder import LabelFolder
from detic_crop.detectors.boxes_file.yolo import read_yolo
from detic_crop.detectors.boxes_file.yolo_rows import YoloLayout, layout_of, parse_line
from detic_crop.errors import UsageError
from tests.kit.errors import refused
from tests.kit.labelling import failure, found, refusal, whole, write

NAMES = "names: [dolphin, boat]\n"
# In a photo of 1000 x 500 px: 400 150 600 350.
ROW = "0 0.5 0.5 0.2 0.4\n"


def test_a_data_set_by_its_root_and_by_its_labels(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "data.yaml": NAMES,
            "labels/train/a.txt": f"{ROW}1 0.25 0.25 0.5 0.5\n",
            "labels/val/b.txt": "",
            "images/train/a.jpg": b"",
            "train.txt": "images/train/a.jpg\n",
        },
    )
    for given in (tmp_path, tmp_path / "labels"):
        detector = load_boxes_file(given)
        both = [whole(400, 150, 600, 350, name="dolphin"), whole(0, 0, 500, 250, name="boat")]
        for key in ("images/train/a.jpg", "train/a.jpg", "a.jpg"):
            assert found(detector, key) == both
        assert found(detector, "val/b.png") == []
        assert detector.info.class_names == ("boat", "dolphin")
        assert detector.info.name == f"boxes:{given.name}"
        assert (detector.listed, detector.problems, detector.unlisted) == (2, (), 0)
        # No file: nobody has looked at it.
        assert found(detector, "val/c.jpg") == []
        assert detector.unlisted == 1


def test_labels_within_train_and_valid(tmp_path: Path) -> None:
    """As Roboflow exports."""
    write(
        tmp_path,
        {
            "data.yaml": "train: ../train/images\nnc: 1\nnames: ['whale']\n",
            "README.dataset.txt": "# whales\nlicence: CC BY 4.0\n",
            "train/labels/a_jpg.rf.0123abcdef0123abcdef.txt": ROW,
            "valid/labels/a_jpg.rf.0123abcdef0123abcdee.txt": "0 0.5 0.5 1 1\n",
        },
    )
    detector = load_boxes_file(tmp_path)
    key = "train/images/a_jpg.rf.0123abcdef0123abcdef.jpg"
    assert found(detector, key) == [whole(400, 150, 600, 350, name="whale")]
    assert detector.listed == 2
    # One split alone finds the names above it, and they count in the hash.
    part = load_boxes_file(tmp_path / "train" / "labels")
    assert found(part, key.rpartition("/")[2]) == [whole(400, 150, 600, 350, name="whale")]
    before = part.info.weights["labels"]
    write(tmp_path, {"data.yaml": "names: {0: orca}\n"})
    after = load_boxes_file(tmp_path / "train" / "labels")
    assert after.info.class_names == ("orca",)
    assert after.info.weights["labels"] != before


@pytest.mark.parametrize("folder", ["labels", "Labels", "label", "obj_train_data", "txt"])
def test_a_folder_of_labels_is_no_folder_of_photos(tmp_path: Path, folder: str) -> None:
    """As CVAT exports; the photos are wherever they were."""
    write(
        tmp_path,
        {
            "obj.names": "dolphin\nboat\n",
            "obj.data": "classes = 2\n",
            "train.txt": f"data/{folder}/cam1/IMG_0001.jpg\n",
            f"{folder}/cam1/IMG_0001.txt": ROW,
            f"{folder}/cam2/IMG_0001.txt": "",
        },
    )
    detector = load_boxes_file(tmp_path)
    detector.expect({f"cam{i}/IMG_0001.jpg": f"/survey/photos/cam{i}/IMG_0001.jpg" for i in (1, 2)})
    assert found(detector, "cam1/IMG_0001.jpg") == [whole(400, 150, 600, 350, name="dolphin")]
    assert found(detector, "cam2/IMG_0001.jpg") == []


@pytest.mark.parametrize("within", ["label", "txt", "labels"])
def test_a_folder_within_the_labels_is_one_of_the_photos_whatever_it_is_called(
    tmp_path: Path, within: str
) -> None:
    write(tmp_path, {f"labels/{within}/a.txt": ROW})
    detector = load_boxes_file(tmp_path)
    assert found(detector, f"{within}/a.jpg") == [whole(400, 150, 600, 350)]


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ({"data.yaml": "names:\n  0: dolphin\n  1: boat\n"}, ["dolphin", "boat"]),
        ({"data.yaml": "names:\n  '0': dolphin\n  '1': boat\n"}, ["dolphin", "boat"]),
        ({"whales.yml": NAMES}, ["dolphin", "boat"]),
        ({"data.yaml": NAMES, "classes.txt": "x\ny\n"}, ["dolphin", "boat"]),
        ({"args.yaml": "task: detect\n", "classes.txt": "dolphin\nboat\n"}, ["dolphin", "boat"]),
        ({"obj.names": "dolphin\r\nboat\r\n"}, ["dolphin", "boat"]),
        ({"classes.txt": b"\xef\xbb\xbfdolphin\nboat"}, ["dolphin", "boat"]),
        ({"data.yaml": "names: [1, true]\n"}, ["1", "True"]),
        ({}, ["category 0", "category 1"]),
    ],
)
def test_class_names(tmp_path: Path, files: dict[str, object], names: list[str]) -> None:
    write(tmp_path, {**files, "a.txt": "0 0.5 0.5 0.2 0.4\n1 0.5 0.5 0.2 0.4\n"})
    assert [name for _, _, name in found(load_boxes_file(tmp_path), "a.jpg")] == names


def test_classes_without_names_are_said(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": f"{ROW}1 0.5 0.5 0.2 0.4\n"})
    assert any("no data.yaml, classes.txt or obj.names" in note for note in load_boxes_file(tmp_path).notes())


def test_one_class_without_a_name_is_unknown(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "3 0.5 0.5 0.2 0.4\n", "b.txt": "3 0.5 0.5 0.2 0.4\n"})
    detector = load_boxes_file(tmp_path)
    assert found(detector, "a.jpg") == [whole(400, 150, 600, 350)]
    assert detector.info.class_names == ()


def test_a_class_beyond_the_names_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, {"data.yaml": NAMES, "a.txt": "7 0.5 0.5 0.2 0.4\n", "b.txt": ROW})
    detector = load_boxes_file(tmp_path)
    reason, text = failure(detector, "a.jpg")
    assert reason == "bad_boxes"
    assert "a.txt line 1" in text
    assert "got 7" in text
    assert len(found(detector, "b.jpg")) == 1


def test_lists_of_names_that_differ_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"x/classes.txt": "dolphin\n", "y/classes.txt": "boat\n", "x/a.txt": ROW, "y/b.txt": ROW})
    assert "x/classes.txt and y/classes.txt, which differ" in refusal(tmp_path)
    write(tmp_path, {"y/classes.txt": "dolphin\n"})
    assert load_boxes_file(tmp_path).info.class_names == ("dolphin",)


def test_yaml_that_is_none_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"data.yaml": "names: [dolphin\n", "a.txt": ROW})
    assert "expected YAML in data.yaml" in refusal(tmp_path)
    write(tmp_path, {"data.yaml": "names: !!python/object/apply:os.getcwd []\n"})
    assert "expected YAML in data.yaml" in refusal(tmp_path)
    nested = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abc", "bcd", strict=True)
    )
    write(tmp_path, {"data.yaml": f"{nested}names: [dolphin, *d]\n"})
    assert "expected a list of class names" in refusal(tmp_path)
    write(tmp_path, {"data.yaml": "names: 3\n"})
    assert "expected a list of class names" in refusal(tmp_path)


# --- rows ---


@pytest.mark.parametrize(
    ("row", "box", "score"),
    [
        ("0 0.5 0.5 0.2 0.4", (400, 150, 600, 350), 1),
        ("0 0.5 0.5 0.2 0.4 0.75", (400, 150, 600, 350), 0.75),
        ("0 0.5 0.5 0.2 0.4 3", (400, 150, 600, 350), 1),  # a track
        ("0 0.5 0.5 0.2 0.4 0.75 1", (400, 150, 600, 350), 0.75),  # a score and a track
        ("0.0, 0.5, 0.5, 0.2, 0.4", (400, 150, 600, 350), 1),
        ("0 0.4 0.3 0.6 0.3 0.5 0.7", (400, 150, 600, 350), 1),  # a triangle
        ("0 0.4 0.3 0.6 0.3 0.5 0.7 0.25", (400, 150, 600, 350), 0.25),
        ("0 0.6 0.7 0.4 0.7 0.4 0.3 0.6 0.3", (400, 150, 600, 350), 1),  # a turned box, by its corners
        ("0 0.6 0.7 0.4 0.7 0.4 0.3 0.6 0.3 0.5", (400, 150, 600, 350), 0.5),
        ("0 0.4 0.5 0.5 0.3 0.6 0.5 0.5 0.7 0.45 0.6", (400, 150, 600, 350), 1),  # a pentagon
        ("0 0.5 0.5 0.2 0.4 0.45 0.4 2 0.5 0.6 1", (400, 150, 600, 350), 1),  # keypoints with marks
        ("0 0.5 0.5 0.2 0.4 0.9 0.9 2", (400, 150, 600, 350), 1),
    ],
)
def test_rows(tmp_path: Path, row: str, box: tuple[int, ...], score: float) -> None:
    write(tmp_path, {"a.txt": f"{row}\n"})
    assert found(load_boxes_file(tmp_path), "a.jpg") == [whole(*box, score=score)]


@pytest.mark.parametrize(
    ("shape", "points"), [("[2, 3]", "0.45 0.4 0.9 0.5 0.6 0.8"), ("[3, 2]", "0.45 0.4 0.5 0.6 0.55 0.5")]
)
@pytest.mark.parametrize("score", ["", " 0.5"])
def test_keypoints_that_data_yaml_announces(tmp_path: Path, shape: str, points: str, score: str) -> None:
    write(tmp_path, {"data.yaml": f"kpt_shape: {shape}\n", "a.txt": f"0 0.5 0.5 0.2 0.4 {points}{score}\n"})
    [(box, got, _)] = found(load_boxes_file(tmp_path), "a.jpg")
    assert (box, got) == ([400, 150, 600, 350], 0.5 if score else 1)


def test_keypoints_that_nobody_announces_may_be_polygons(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "0 0.5 0.5 0.2 0.4 0.45 0.4 0.9 0.5 0.6 0.8 0.7\n"})
    assert "kpt_shape" in refusal(tmp_path)
    write(tmp_path, {"data.yaml": "kpt_shape: [0, 2]\n"})  # polygons, then
    [(box, score, _)] = found(load_boxes_file(tmp_path), "a.jpg")
    assert (box, score) == ([200, 200, 900, 400], 0.7)


def test_rows_of_several_lengths_are_polygons(tmp_path: Path) -> None:
    rows = ["0 0.5 0.5 0.2 0.4 0.45 0.4 0.5 0.5 0.5 0.6", "0 0.1 0.1 0.2 0.1 0.2 0.2", ROW.strip()]
    write(tmp_path, {"a.txt": "\n".join(rows)})
    detector = load_boxes_file(tmp_path)
    assert [box for box, _, _ in found(detector, "a.jpg")] == [
        [200, 200, 500, 300],
        [100, 50, 200, 100],
        [400, 150, 600, 350],
    ]


def test_a_layout_is_that_of_all_rows() -> None:
    triangle = parse_line("0 0.1 0.1 0.5 0.1 0.5 1")
    assert layout_of([triangle], None).tracked == {7}
    # Beside other polygons it is one.
    pentagon = parse_line("0 0.1 0.1 0.5 0.1 0.5 1 0.4 0.9 0.2 0.8")
    assert layout_of([triangle, pentagon], None) == YoloLayout()
    # A box with a score of 1 is not tracked as long as no number is above 1.
    assert layout_of([parse_line("0 0.5 0.5 0.2 0.4 1")], None) == YoloLayout()
    assert layout_of(
        [parse_line("0 0.5 0.5 0.2 0.4 2"), parse_line("0 0.5 0.5 0.2 0.4 1")], None
    ).tracked == {6}
    assert layout_of([], (17, 3)) == YoloLayout(keypoints=51)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2", "expected `class cx cy w h` in numbers, got '0 0.5 0.5 0.2'"),
        ("dolphin 0.5 0.5 0.2 0.4", "expected `class cx cy w h` in numbers"),
        ("0 0.5 0.5 0.2 abc", "expected `class cx cy w h` in numbers"),
        ("0.5 0.5 0.5 0.2 0.4", "expected a class index first, got 0.5"),
        ("-1 0.5 0.5 0.2 0.4", "expected a class index first, got -1"),
        ("0 500 250 200 200", "expected normalised numbers, 0 to 1, got 500 250 200 200"),
        ("0 nan 0.5 0.2 0.4", "expected finite numbers"),
        ("0 0.5 0.5 0 0.4", "expected a width and height above 0"),
        ("0 0.5 0.5 0.2 0.4 -0.5", "expected a score from 0 to 1"),
    ],
)
def test_a_bad_line_spoils_its_photo_alone(tmp_path: Path, line: str, message: str) -> None:
    write(tmp_path, {"a.txt": f"{ROW}\n{line}\n", "b.txt": ROW})
    detector = load_boxes_file(tmp_path)
    reason, text = failure(detector, "a.jpg")
    assert reason == "bad_boxes"
    assert f"a.txt line 3 of {tmp_path.name}: {message}" in text
    assert len(found(detector, "b.jpg")) == 1


def test_a_file_that_is_no_text_spoils_its_photo_alone(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": b"\xff\xfe\x00", "b.txt": ROW})
    detector = load_boxes_file(tmp_path)
    assert failure(detector, "a.jpg")[0] == "bad_boxes"
    assert len(found(detector, "b.jpg")) == 1


def test_pixels_instead_of_shares_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "0 500 250 200 200\n", "b.txt": "0 300 250 200 200\n"})
    assert "expected normalised numbers" in refusal(tmp_path)


# --- the folder ---


def test_only_labels_count_where_there_is_a_folder_of_that_name(tmp_path: Path) -> None:
    write(
        tmp_path, {"labels/a.txt": ROW, "notes/b.txt": "1 2 3 4 5 of what was seen\n", ".hidden/c.txt": ROW}
    )
    write(
        tmp_path,
        {
            "__MACOSX/labels/._a.txt": b"\x00\x05\x16\x07",
            "@Recycle/a.txt": ROW,
            "old/.detic-crop/x": "",
            "old/d.txt": ROW,
        },
    )
    detector = load_boxes_file(tmp_path)
    assert (detector.listed, detector.problems) == (1, ())


def test_all_photos_without_a_box(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "", "b.txt": "\n"})
    detector = load_boxes_file(tmp_path)
    assert (found(detector, "a.jpg"), detector.listed) == ([], 2)


def test_no_path_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"a.txt": ROW})
    monkeypatch.chdir(tmp_path)
    with refused("no_boxes_path", UsageError):
        load_detector("boxes:")
    assert load_detector("boxes:.").info.name == f"boxes:{tmp_path.name}"


def test_an_output_folder_is_no_folder_of_labels(tmp_path: Path) -> None:
    write(tmp_path / "out", {".detic-crop/journal.jsonl": "", "audit.csv": ""})
    assert f"for its boxes pass {tmp_path / 'out' / 'audit.csv'}" in refusal(tmp_path / "out")


def test_the_list_of_names_is_not_ignored(tmp_path: Path) -> None:
    write(tmp_path, {"labels/a.txt": ROW, "labels/classes.txt": "whale\n", "notes.txt": "on the weather\n"})
    detector = load_boxes_file(tmp_path)
    assert detector.notes()[1:] == [f"{tmp_path.name}: other .txt files ignored: 1 (first: notes.txt)"]


def test_the_home_folder_and_a_missing_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell replaces the ~ of `--model boxes:~/labels`."""
    write(tmp_path / "labels", {"a.txt": ROW})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert load_detector("boxes:~/labels").info.name == "boxes:labels"
    monkeypatch.chdir(tmp_path)
    with refused("unknown_model", UsageError, names=["'labels'; if it has boxes, pass --model boxes:labels"]):
        load_detector("labels")


def test_a_box_far_outside_is_not_blamed_on_an_option_that_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "0 0.2 0.2 1.4 0.1\n"})
    detector = load_boxes_file(tmp_path)
    assert detector.detect(np.zeros((300, 400, 3), np.uint8), "a.jpg").xyxy.any()
    (note,) = detector.notes()
    assert note.endswith("1 (first: a.jpg, -200 45 360 75); check these boxes")


def test_the_detector_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    write(tmp_path, {"labels/cam1/a.txt": ROW})
    detector = load_boxes_file(tmp_path)
    detector.expect(["cam1/a.jpg"])
    sent = pickle.loads(pickle.dumps(detector))
    assert found(sent, "cam1/a.jpg") == found(detector, "cam1/a.jpg") == [whole(400, 150, 600, 350)]


def test_one_label_file_alone_says_to_give_its_folder(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": ROW})
    assert "pass the folder that holds them all" in refusal(tmp_path / "a.txt")


def test_the_hash_is_of_what_was_read(tmp_path: Path) -> None:
    write(tmp_path, {"data.yaml": NAMES, "labels/a.txt": ROW, "labels/b.txt": ""})

    def sha256() -> str:
        return load_boxes_file(tmp_path).info.weights[tmp_path.name]

    first = sha256()
    write(tmp_path, {"images/a.jpg": b"new", "labels.cache": b"new", "run.json": "{}"})
    assert sha256() == first
    moved = tmp_path.parent / "copy" / tmp_path.name
    shutil.copytree(tmp_path, moved)
    assert load_boxes_file(moved).info.weights[tmp_path.name] == first
    write(tmp_path, {"labels/b.txt": ROW})
    second = sha256()
    (tmp_path / "labels/b.txt").rename(tmp_path / "labels/c.txt")
    assert len({first, second, sha256()}) == 3


def test_many_files_are_read_in_order(tmp_path: Path) -> None:
    write(tmp_path, {f"{i:04}.txt": f"0 0.5 0.5 {(i + 1) / 1000} 0.4\n" for i in range(300)})
    detector = load_boxes_file(tmp_path)
    for i in range(300):
        [(box, _, _)] = found(detector, f"{i:04}.jpg")
        assert box[2] - box[0] == pytest.approx(i + 1, abs=0.01)


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path, {"elsewhere/a.txt": ROW, "set/labels/b.txt": ROW})
    (tmp_path / "set/labels/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/labels/loop").symlink_to(tmp_path / "set")
    assert load_boxes_file(tmp_path / "set").listed == 2


@pytest.mark.parametrize(
    "line", ["0.92 whale", "Car 0.00 0 -1.57 599.41 156.40 629.75 189.25", "x.jpg 1,2,3,4,0"]
)
def test_text_files_that_are_no_labels_are_shown(tmp_path: Path, line: str) -> None:
    write(tmp_path, {"a.txt": f"{line}\n"})
    assert f"no `class cx cy w h` in a.txt: '{line}'" in refusal(tmp_path)


def test_a_pipe_among_the_labels_is_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": ROW})
    os.mkfifo(tmp_path / "b.txt")
    (tmp_path / "c.txt").symlink_to(tmp_path / "b.txt")
    assert load_boxes_file(tmp_path).listed == 1


def test_a_run_with_a_folder_and_its_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = tmp_path / "set" / "images"
    for name in ("a.jpg", "b.png", "c.jpg"):
        (photos / "train").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (200, 100), (20, 60, 90)).save(photos / "train" / name)
    write(tmp_path / "set", {"data.yaml": NAMES, "labels/train/a.txt": ROW, "labels/train/b.txt": ""})
    out = tmp_path / "cropped"
    words = ["run", "--in", str(photos), "--out", str(out), "--model"]
    assert cli.main([*words, f"boxes:{tmp_path / 'set'}"]) == 0
    with (out / "audit.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert rows["train/a.jpg"]["box"] == "80 30 120 70"
    assert rows["train/a.jpg"]["class_name"] == "dolphin"
    assert [row["status"] for row in rows.values()] == ["cropped", "resized", "resized"]
    capsys.readouterr()
    journal = (out / ".detic-crop" / "journal.jsonl").read_bytes()
    assert cli.main([*words, f"boxes:{tmp_path / 'set'}/"]) == 0
    assert "3 photos (3 done before): 1 cropped" in capsys.readouterr().out
    assert (out / ".detic-crop" / "journal.jsonl").read_bytes() == journal  # nothing was done again
    write(tmp_path / "set", {"labels/train/b.txt": ROW})
    assert cli.main([*words, f"boxes:{tmp_path / 'set'}"]) == 2
    assert "the content of set has changed since" in capsys.readouterr().err


def test_read_yolo_says_what_it_took_for_what(tmp_path: Path) -> None:
    write(
        tmp_path, {"data.yaml": NAMES, "a.txt": "0 0.1 0.1 0.2 0.1 0.2 0.2\n", "val.txt": "./images/a.jpg\n"}
    )
    notes = read_yolo(LabelFolder(tmp_path), ["a.txt", "val.txt"]).notes
    assert notes == [
        "polygons or turned boxes, taken as the upright boxes around them: 1",
        "class names are those of data.yaml",
        "text files that are lists of photos and no labels: 1 (first: val.txt)",
    ]
