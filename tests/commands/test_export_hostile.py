"""`detic-crop export` against names, labels, photos and places that nobody would choose."""

from __future__ import annotations

import csv
import errno
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from detic_crop import api
from detic_crop.boxes.detections import Detections
from detic_crop.exports.base import Of
from detic_crop.exports.formats import FORMATS
from detic_crop.exports.names import FreeNames, fitting
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.folders import crop, files_of
from tests.kit.photos import picture, write_photo, write_photos

NAMES = (
    "back\\slash.jpg",
    "two\nlines.jpg",
    "two\u2028lines.jpg",
    f"{'n' * 251}.tif",
    f"{'q' * 250}.jpeg",
    f"{'d' * 200}/{'e' * 200}.jpg",
    "鲸/1.jpg",
    "海/1.jpg",
    "a.jpg",
    "A.JPG",
    "\u202egpj.jpg",
    "=1+1.jpg",
    "images/in.jpg",
)
LABELS = (
    *("metadata.jsonl", "é", "e\u0301", "x" * 299 + "y", "x" * 299 + "z", "a\nb", "a_b", "..", "..."),
    *("a\\b", "CON", "../up", "=cmd()"),
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of such photos, each an individual with such a name."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, name in enumerate(NAMES):
        write_photo(folder / "in" / name, number, width=60 + number, height=50)
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "individual_id"), *zip(NAMES, LABELS, strict=True)])
    crop(folder / "in", folder / "cropped", labels=folder / "labels.csv")
    return folder / "cropped"


@pytest.mark.parametrize("of", ["photos", "crops"])
@pytest.mark.parametrize("to", FORMATS)
def test_names_that_no_disk_or_list_takes(hostile: Path, tmp_path: Path, to: str, of: str) -> None:
    asked: dict[str, Any] = (
        {} if to in ("megadetector", "kaggle", "boxes-fullbody", "boxes-yolo") else {"of": of}
    )
    result = api.export(hostile, to, tmp_path / "out", **asked)
    assert (result.count, result.left_out) == (len(NAMES), {})
    for name in files_of(tmp_path / "out"):
        assert len(name.splitlines()) == 1
        assert all(len(part.encode()) <= 255 for part in name.split("/"))


def test_each_class_has_its_own_folder(hostile: Path, tmp_path: Path) -> None:
    api.export(hostile, "imagefolder", tmp_path / "out")
    lines = map(json.loads, (tmp_path / "out" / "metadata.jsonl").read_text(encoding="utf-8").splitlines())
    folders = {line["label"]: line["file_name"].split("/")[0] for line in lines}
    assert set(folders) == set(LABELS)
    assert len({folder.casefold() for folder in folders.values()}) == len(LABELS)
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == sorted(
        folders.values()
    )


@pytest.mark.parametrize(("folder", "said"), [("test_images", True), ("val", True), ("trained", False)])
def test_classes_that_hugging_face_takes_for_a_split(tmp_path: Path, folder: str, said: bool) -> None:
    write_photo(tmp_path / "in" / folder / "a.jpg")
    write_photo(tmp_path / "in" / "orca" / "b.jpg", 1)
    crop(tmp_path / "in", tmp_path / "cropped")
    notes = api.export(tmp_path / "cropped", "imagefolder", tmp_path / "out", label="folder").notes
    assert any("Hugging Face" in note and folder in note for note in notes) == said


@pytest.mark.parametrize("to", ["coco", "label-studio"])
def test_without_pictures_names_are_those_in_the_photos_own_folder(
    hostile: Path, tmp_path: Path, to: str
) -> None:
    api.export(hostile, to, tmp_path / "out", pictures="none")
    ((_, data),) = [item for item in files_of(tmp_path / "out").items() if item[0].endswith(".json")]
    found: Any = json.loads(data)
    named = [image["file_name"] for image in found["images"]] if to == "coco" else source_photos(found)
    assert sorted(named) == sorted(NAMES)


def source_photos(tasks: Any) -> list[str]:
    return [task["data"]["source_photo"] for task in tasks]


def test_a_photo_that_no_jpeg_holds_is_left_out(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.jpg")
    wide = cv2.resize(picture(1, 70, 8), (66_000, 8))
    cv2.imwrite(str(tmp_path / "in" / "wide.tif"), wide)
    crop(tmp_path / "in", tmp_path / "cropped")
    result = api.export(tmp_path / "cropped", "coco", tmp_path / "out")
    assert (result.count, result.left_out) == (1, {"photo: too_long": 1})


def test_a_grey_png_of_16_bits_is_not_all_white(tmp_path: Path) -> None:
    """Which it would be to Pillow, and so to torchvision and timm."""
    (tmp_path / "in").mkdir()
    grey = picture(1, 60, 40)[..., 0].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "in" / "deep.png"), grey)
    crop(tmp_path / "in", tmp_path / "cropped")
    api.export(tmp_path / "cropped", "coco", tmp_path / "out")
    with Image.open(tmp_path / "out" / "images" / "deep.png") as made:
        pixels = np.asarray(made.convert("L"), np.float64)
    assert np.abs(pixels - grey / 257).max() <= 1


def test_a_cut_name_keeps_its_extension_and_stays_apart() -> None:
    names = [fitting(f"x/{letter * 40}{'é' * 200}.jpeg", 4) for letter in "ab"]
    assert len(set(names)) == 2
    for name in names:
        assert len(name[2:].encode()) + 4 in (254, 255)
        assert name.endswith(".jpeg")
    assert fitting("plain/name.jpg") == "plain/name.jpg"


def test_many_names_that_are_alike_take_no_time() -> None:
    free = FreeNames("taken")
    given = [free.take("same") for _ in range(20_000)]
    assert len(set(given)) == len(given)
    assert given[:3] == ["same", "same-2", "same-3"]
    assert free.take("Same-2") == "Same-2-2"
    assert free.take("TAKEN") == "TAKEN-2"


@pytest.mark.parametrize(
    ("to", "table", "column"),
    [("wildlife", "metadata.csv", "path"), ("miewid", "annotations.csv", "file_name")],
)
@pytest.mark.parametrize("of", ["photos", "crops"])
def test_without_pictures_tables_name_them_in_their_own_folder(
    hostile: Path, tmp_path: Path, to: str, table: str, column: str, of: Of
) -> None:
    api.export(hostile, to, tmp_path / "out", pictures="none", of=of)
    assert list(files_of(tmp_path / "out")) == [table]
    with open(tmp_path / "out" / table, newline="", encoding="utf-8") as file:
        named = [row[column] for row in csv.DictReader(file, strict=True)]
    own = hostile if of == "crops" else hostile.parent / "in"
    assert len(named) == len(NAMES)
    assert all((own / name).is_file() for name in named)


# ------------------------------------------------------------ labels


@pytest.mark.parametrize(("to", "said"), [("imagefolder", True), ("wildlife", True), ("boxes-yolo", False)])
def test_label_rows_of_one_photo_that_disagree_are_said(tmp_path: Path, to: str, said: bool) -> None:
    """A table that has all of them has nothing to say."""
    for number, name in enumerate("abc"):
        write_photo(tmp_path / "in" / f"{name}.jpg", number)
    rows = ["image,individual_id,sex", "a.jpg,0012,f", "a.jpg,12,f", "b.jpg,12,m", "b.jpg,12,f", "c.jpg,7,m"]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    crop(tmp_path / "in", tmp_path / "cropped", labels=tmp_path / "labels.csv")
    notes = api.export(tmp_path / "cropped", to, tmp_path / "out").notes
    expected = " has label rows that differ in individual_id: the first row counts"
    assert [note[note.find(" has") :] for note in notes if "differ in" in note] == [expected] * said


# ------------------------------------------------------------ places


@pytest.fixture(scope="module")
def cropped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("places")
    write_photos(folder / "in", 7)
    crop(folder / "in", folder / "cropped")
    return folder / "cropped"


def test_an_empty_folder_that_is_there_stays_itself(
    cropped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell may be in it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    api.export(cropped, "coco", ".")
    assert sorted(os.listdir(".")) == ["annotations", "images"]
    assert os.listdir(tmp_path) == ["here"]


def test_a_link_to_an_empty_folder_is_filled(cropped: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    api.export(cropped, "coco", tmp_path / "link")
    assert sorted(os.listdir(tmp_path / "there")) == ["annotations", "images"]
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("number", [0, 1])
def test_an_empty_folder_is_empty_again_after_an_error(
    cropped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The second of two names cannot be put there."""
    replace = Path.replace
    names: list[Path] = []

    def failing(self: Path, target: Path) -> Path:
        names.append(self)
        if len(names) > number:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return replace(self, target)

    (tmp_path / "out").mkdir()
    monkeypatch.setattr(Path, "replace", failing)
    with refused("cannot_write"):
        api.export(cropped, "coco", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("out", ["", "a\0b"])
def test_what_is_no_path(cropped: Path, out: str) -> None:
    with refused("no_path"):
        api.export(cropped, "coco", out)


@pytest.mark.parametrize(
    ("to", "asked"),
    [
        ("coco", {"boxes": "correct"}),
        ("coco", {"pictures": "symlink"}),
        ("coco", {"of": "frames"}),
        ("kaggle", {"part": "val"}),
        ("tfrecord", {"part": "test", "files": 0}),
        ("tfrecord", {"part": "test", "files": "5"}),
    ],
)
def test_values_that_a_setting_does_not_have(
    cropped: Path, tmp_path: Path, to: str, asked: dict[str, Any]
) -> None:
    with refused("bad_value", names=[f"--{list(asked)[-1]}"]):
        api.export(cropped, to, tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def test_a_test_part_of_the_same_photos(cropped: Path, tmp_path: Path) -> None:
    with refused("test_is_train"):
        api.export(cropped, "kaggle", tmp_path / "out", test=cropped.parent / "in" / ".." / "cropped")


# ------------------------------------------------------------ folders that are not whole


@pytest.mark.parametrize("to", ["coco", "wildlife", "wildbook"])
def test_photos_that_are_all_gone(tmp_path: Path, to: str) -> None:
    write_photos(tmp_path / "in", 3)
    crop(tmp_path / "in", tmp_path / "cropped")
    (tmp_path / "in").rename(tmp_path / "moved")
    with refused("nothing_to_export", names=["--to", "--in"], match="missing_file 3.*; pass --in FOLDER"):
        api.export(tmp_path / "cropped", to, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert api.export(tmp_path / "cropped", to, tmp_path / "out", input=tmp_path / "moved").count == 3


class _Stopping(FakeDetector):
    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        if key == "4.jpg":
            raise KeyboardInterrupt
        return super().detect(image, key)


@pytest.mark.parametrize("labelled", [False, True])
def test_what_an_interrupted_run_has_not_done_is_said(tmp_path: Path, labelled: bool) -> None:
    for number in range(6):
        write_photo(tmp_path / "in" / f"{number}.jpg", number)
    (tmp_path / "labels.csv").write_text("image\n" + "".join(f"{number}.jpg\n" for number in range(6)))
    labels = tmp_path / "labels.csv" if labelled else None
    with pytest.raises(KeyboardInterrupt):
        crop(tmp_path / "in", tmp_path / "cropped", detector=_Stopping(), labels=labels, workers=1)
    result = api.export(tmp_path / "cropped", "coco", tmp_path / "out")
    assert 0 < result.count < 6
    (note,) = [note for note in result.notes if "not done yet" in note]
    assert note.startswith(f"{6 - result.count} ")


def test_a_file_of_records_that_would_be_empty(tmp_path: Path) -> None:
    """Its one crop is gone."""
    for number in range(5):
        write_photo(tmp_path / "in" / f"{number}.jpg", number)
    (tmp_path / "labels.csv").write_text("image,individual_id\n" + "".join(f"{n}.jpg,a\n" for n in range(5)))
    crop(tmp_path / "in", tmp_path / "cropped", labels=tmp_path / "labels.csv")
    (tmp_path / "cropped" / "2.jpg").unlink()
    with refused("empty_files", names=["--to", "--files"]):
        api.export(tmp_path / "cropped", "tfrecord", tmp_path / "out")
    assert not (tmp_path / "out").exists()
