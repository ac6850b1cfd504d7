"""`detic-crop compare`: what it counts, what it writes, and what it refuses."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import detic_crop
from detic_crop.cli import main as cli
from tests.kit.errors import complained, refused
from tests.kit.folders import crop, files_of, rows_of, untouched
from tests.kit.photos import write_boxes, write_photo, write_photos
from tests.kit.verdicts import DRAWN, give_verdict

COUNT = 24


def table_of(out: Path) -> list[dict[str, str]]:
    """compare.csv as the csv module reads it."""
    with open(out / "compare.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def write_table(path: Path, *rows: tuple[object, ...]) -> Path:
    """A boxes file of image, four edges, score and class; a row may end early."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "xmin", "ymin", "xmax", "ymax", "score", "class_name"])
        writer.writerows([*row, *[""] * (7 - len(row))] for row in rows)
    return path


@pytest.fixture
def keys(tmp_path: Path) -> list[str]:
    """Photos in three folders below ``in``."""
    return write_photos(tmp_path / "in", COUNT, width=300, height=200)


@pytest.fixture
def folder(tmp_path: Path, keys: list[str]) -> Path:
    """The output of a run on them."""
    crop(tmp_path / "in", tmp_path / "a")
    return tmp_path / "a"


def test_a_folder_agrees_with_the_boxes_that_it_was_made_of(
    tmp_path: Path, keys: list[str], folder: Path
) -> None:
    boxes = write_boxes(tmp_path / "boxes.csv", keys, width=300, height=200)
    result = detic_crop.compare(folder, folder / "audit.csv", tmp_path / "out")
    assert result.numbers.counts.agree == sum(row["status"] == "cropped" for row in rows_of(folder))
    assert result.numbers.counts.found == result.numbers.counts.agree
    rows = table_of(tmp_path / "out")
    assert [row["image"] for row in rows] == keys
    assert {row["verdict"] for row in rows} == {"agree", "neither"}
    # FakeDetector's boxes of other classes and low scores count, too, where the file has them.
    other = detic_crop.compare(folder, boxes, tmp_path / "out2", animals="largest")
    assert other.numbers.counts.only_b > 0
    same = detic_crop.compare(folder, boxes, tmp_path / "out3", animals="largest", classes="marine", conf=0.3)
    assert same.numbers.counts.agree == result.numbers.counts.agree
    assert same.numbers.counts.found == same.numbers.counts.agree


def test_the_page_needs_nothing_else_and_names_no_path(tmp_path: Path, folder: Path, keys: list[str]) -> None:
    boxes = write_boxes(tmp_path / "boxes.csv", keys, width=300, height=200)
    result = detic_crop.compare(
        folder, boxes, tmp_path / "out", truth=folder / "audit.csv", animals="largest"
    )
    page = result.page.read_text("utf-8")
    assert "data:image/jpeg;base64," in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    detic_crop.compare(folder / "audit.csv", boxes, tmp_path / "out", truth=folder)
    for name in ("compare.html", "compare.csv", "compare.json"):
        assert str(tmp_path) not in (tmp_path / "out" / name).read_text("utf-8")
    assert "Found only by" in page or "is right" in page


def test_the_same_call_writes_the_same(tmp_path: Path, folder: Path, keys: list[str]) -> None:
    boxes = write_boxes(tmp_path / "boxes.csv", keys, width=300, height=200)
    detic_crop.compare(folder, boxes, tmp_path / "out")
    first = files_of(tmp_path / "out")
    assert sorted(first) == ["compare.csv", "compare.html", "compare.json"]
    with untouched(folder):
        detic_crop.compare(folder, boxes, tmp_path / "out")  # over the earlier one
    assert files_of(tmp_path / "out") == first


def test_names_are_matched_as_boxes_files_are(tmp_path: Path, folder: Path, keys: list[str]) -> None:
    rows = {row["image"]: row for row in rows_of(folder)}
    cropped = [key for key in keys if rows[key]["box"]]
    boxes = write_table(
        tmp_path / "b.csv",
        *((Path(key).stem.upper(), *rows[key]["box"].split()) for key in cropped),
    )
    result = detic_crop.compare(folder, boxes, tmp_path / "out")
    assert result.numbers.counts.agree == len(cropped)
    assert result.numbers.photos.only_a == COUNT - len(cropped)


def test_nobody_looked_is_not_nothing_found(tmp_path: Path, folder: Path, keys: list[str]) -> None:
    found = [row for row in rows_of(folder) if row["box"]]
    boxes = write_table(
        tmp_path / "b.csv",
        (found[0]["image"], *found[0]["box"].split()),
        (found[1]["image"],),
        ("elsewhere.jpg", 1, 1, 20, 20),
    )
    result = detic_crop.compare(folder, boxes, tmp_path / "out")
    photos = result.numbers.photos
    assert (photos.all, photos.compared, photos.only_a, photos.only_b) == (COUNT + 1, 2, COUNT - 2, 1)
    assert (result.numbers.counts.agree, result.numbers.counts.only_a) == (1, 1)
    states = {
        row["image"]: (row["verdict"], row["a_state"], row["b_state"]) for row in table_of(tmp_path / "out")
    }
    assert states[found[1]["image"]] == ("only_a", "found", "nothing")
    assert states[found[2]["image"]] == ("not_compared", "found", "not_looked")
    assert states["elsewhere.jpg"] == ("not_compared", "not_looked", "found")
    assert any("that B never looked at" in line for line in result.lines())


def test_photos_that_a_run_was_not_asked_about_or_could_not_read(tmp_path: Path, keys: list[str]) -> None:
    (tmp_path / "in" / "bad.jpg").write_bytes(b"no photo")
    crop(tmp_path / "in", tmp_path / "a")
    listed = write_boxes(tmp_path / "boxes.csv", keys[: COUNT // 2], width=300, height=200)
    crop(tmp_path / "in", tmp_path / "b", detector=None, model=f"boxes:{listed}")
    result = detic_crop.compare(tmp_path / "a", tmp_path / "b", tmp_path / "out")
    photos = result.numbers.photos
    assert photos.failed_a == photos.failed_b == 1
    assert photos.only_a == COUNT - COUNT // 2
    assert photos.compared == COUNT // 2
    assert any("not_an_image 1" in note for note in result.notes)


def test_two_boxes_files_without_photos(tmp_path: Path) -> None:
    a = write_table(tmp_path / "a.csv", ("x/1.jpg", 0, 0, 40, 40, 0.9), ("x/2.jpg",), ("x/3.jpg", 5, 5, 9, 9))
    b = write_table(tmp_path / "b.csv", ("1", 0, 0, 40, 30, 0.9), ("2", 0, 0, 9, 9))
    result = detic_crop.compare(a, b, tmp_path / "out")
    assert [(row["image"], row["verdict"], row["iou"]) for row in table_of(tmp_path / "out")] == [
        ("x/1.jpg", "agree", "0.7500"),
        ("x/2.jpg", "only_b", ""),
        ("x/3.jpg", "not_compared", ""),
    ]
    assert "<img" not in result.page.read_text("utf-8")
    assert "size of the animal" not in result.numbers.groups
    swapped = detic_crop.compare(b, a, tmp_path / "out2")
    assert [row["verdict"] for row in table_of(tmp_path / "out2")] == ["agree", "only_a", "not_compared"]
    assert swapped.numbers.counts.only_a == 1


def test_two_boxes_files_with_their_photos(tmp_path: Path) -> None:
    write_photo(tmp_path / "in/1.jpg", 1, width=80, height=40)
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "1.txt").write_text("0 0.25 0.5 0.5 1.0\n")  # the left half: 0 0 40 40
    boxes = write_table(tmp_path / "b.csv", ("1.jpg", 0, 0, 40, 20))
    without = detic_crop.compare
    with refused("nothing_to_compare", names=["unknown_size", "--in"]):
        without(labels, boxes, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    result = detic_crop.compare(labels, boxes, tmp_path / "out", input=tmp_path / "in")
    (row,) = table_of(tmp_path / "out")
    assert (row["a_box"], row["b_box"], row["iou"]) == ("0 0 40 40", "0 0 40 20", "0.5000")
    assert (row["width"], row["height"]) == ("80", "40")
    assert [group.name for group in result.numbers.groups["size of the animal"]] == ["20 to 50 %"]


def test_a_truth_of_photos_that_only_one_side_looked_at(tmp_path: Path) -> None:
    a = write_table(tmp_path / "a.csv", ("1.jpg", 0, 0, 40, 40), ("2.jpg", 0, 0, 40, 40))
    b = write_table(tmp_path / "b.csv", ("1.jpg", 0, 0, 40, 40), ("3.jpg", 0, 0, 40, 40))
    truth = write_table(tmp_path / "truth.csv", ("2.jpg", 0, 0, 40, 40))
    write_photos(tmp_path / "in", 4)
    with refused("nothing_to_compare", names=["--truth"]):
        detic_crop.compare(a, b, tmp_path / "out", truth=truth)
    assert not (tmp_path / "out").exists()


def test_folders_of_copies_of_another_size(tmp_path: Path, keys: list[str], folder: Path) -> None:
    rows = {row["image"]: row for row in rows_of(folder)}
    write_photos(tmp_path / "large", COUNT, width=600, height=400)
    boxes = write_table(
        tmp_path / "boxes.csv",
        *((key, *(2 * int(edge) for edge in rows[key]["box"].split())) for key in keys),
    )
    crop(tmp_path / "large", tmp_path / "b", detector=None, model=f"boxes:{boxes}")
    result = detic_crop.compare(folder, tmp_path / "b", tmp_path / "out")
    assert result.numbers.counts.agree == sum(bool(row["box"]) for row in rows.values())
    assert result.numbers.counts.mean_iou is not None
    assert result.numbers.counts.mean_iou > 0.9
    assert {row["width"] for row in table_of(tmp_path / "out")} == {"300"}


def test_with_a_truth(tmp_path: Path) -> None:
    a = write_table(tmp_path / "a.csv", ("1", 0, 0, 40, 40, 0.9), ("2", 60, 60, 99, 99, 0.2), ("3",), ("4",))
    b = write_table(tmp_path / "b.csv", ("1",), ("2", 0, 0, 40, 30, 0.5), ("3", 0, 0, 9, 9, 0.1), ("4",))
    truth = write_table(
        tmp_path / "t.csv", ("1", 0, 0, 40, 40), ("2", 0, 0, 40, 40), ("3",), ("unknown", 0, 0, 9, 9)
    )
    result = detic_crop.compare(a, b, tmp_path / "out", truth=truth)
    scored = result.numbers.truth
    assert scored is not None
    assert (scored.photos, scored.a.found, scored.b.found, scored.b.false_photos) == (3, 1, 1, 1)
    assert (scored.only_a, scored.only_b, scored.neither) == (2, 1, 0)
    rows = {row["image"]: row for row in table_of(tmp_path / "out")}
    assert [rows[name]["right"] for name in "1234"] == ["a", "b", "a", ""]
    assert (rows["2"]["a_truth_iou"], rows["2"]["b_truth_iou"]) == ("0.0000", "0.7500")
    told = json.loads((tmp_path / "out/compare.json").read_text())
    assert told["truth"]["right"] == {"both": 0, "only_a": 2, "only_b": 1, "neither": 0, "p": 1.0}
    assert told["truth"]["b"]["ap_50"] == pytest.approx(51 / 101)
    assert any("neither in A nor in B (first: unknown)" in note for note in result.notes)
    page = result.page.read_text("utf-8")
    assert "A is right, B is wrong" in page
    assert "false alarm" in page


def test_a_reviewed_folder(tmp_path: Path, folder: Path, keys: list[str]) -> None:
    cropped = [row["image"] for row in rows_of(folder) if row["box"]]
    boxes = write_table(tmp_path / "b.csv", (cropped[0], *DRAWN), (cropped[1],))
    give_verdict(folder, cropped[0], "box", DRAWN)
    give_verdict(folder, cropped[1], "rejected")
    waiting = detic_crop.compare(folder, boxes, tmp_path / "out")
    assert any("2 verdicts wait to be applied" in note for note in waiting.notes)
    detic_crop.apply(folder)
    result = detic_crop.compare(folder, boxes, tmp_path / "out")
    assert not any("wait" in note for note in result.notes)
    verdicts = {row["image"]: (row["verdict"], row["iou"]) for row in table_of(tmp_path / "out")}
    assert verdicts[cropped[0]] == ("agree", "1.0000")
    assert verdicts[cropped[1]] == ("neither", "")
    # As the truth only what was reviewed counts.
    crop(tmp_path / "in", tmp_path / "c")
    judged = detic_crop.compare(tmp_path / "c", folder / "audit.csv", tmp_path / "out2", truth=folder)
    assert judged.numbers.truth is not None
    assert judged.numbers.truth.photos == 2
    assert judged.numbers.truth.b.found == judged.numbers.truth.a.animals == 1


def test_a_folder_that_nobody_reviewed_may_be_the_truth_and_says_so(tmp_path: Path, folder: Path) -> None:
    other = write_table(tmp_path / "b.csv", (rows_of(folder)[0]["image"], 0, 0, 9, 9))
    result = detic_crop.compare(folder, other, tmp_path / "out", truth=folder)
    assert any("nobody has reviewed" in note for note in result.notes)
    assert any("the truth is A itself" in note for note in result.notes)


def test_every_animal(tmp_path: Path, keys: list[str]) -> None:
    crop(tmp_path / "in", tmp_path / "a", animals="all")
    crop(tmp_path / "in", tmp_path / "b", animals="all", conf=0.6)
    result = detic_crop.compare(tmp_path / "a", tmp_path / "b", tmp_path / "out")
    assert result.comparison.several
    with open(tmp_path / "b/animals.csv", newline="", encoding="utf-8") as file:
        animals = Counter(row["image"] for row in csv.DictReader(file) if row["box"])
    of_b = Counter(row["image"] for row in table_of(tmp_path / "out") if row["b_box"])
    assert of_b == animals
    one = detic_crop.compare(tmp_path / "a", tmp_path / "b", tmp_path / "out2", animals="largest")
    assert len(table_of(tmp_path / "out2")) == COUNT
    assert one.numbers.photos.compared == COUNT


def test_a_truth_of_one_box_for_each_photo_makes_no_false_alarms_of_the_others(
    tmp_path: Path, keys: list[str]
) -> None:
    crop(tmp_path / "in", tmp_path / "a", animals="all")
    crop(tmp_path / "in", tmp_path / "b", animals="all", conf=0.6)
    largest = tmp_path / "a/audit.csv"  # one row for each photo
    result = detic_crop.compare(tmp_path / "a", tmp_path / "b", tmp_path / "out", truth=largest)
    assert not result.comparison.several
    assert result.numbers.truth is not None
    assert result.numbers.truth.a.found == result.numbers.truth.a.boxes
    every = detic_crop.compare(tmp_path / "a", tmp_path / "b", tmp_path / "out", truth=largest, animals="all")
    assert every.numbers.truth is not None
    assert every.numbers.truth.a.boxes > every.numbers.truth.a.hits


def test_labels_group_the_photos(tmp_path: Path, keys: list[str]) -> None:
    labels = tmp_path / "labels.csv"
    with open(labels, "w", encoding="utf-8") as file:
        file.write("image,species,sea\n")
        file.writelines(
            f"{key},{'orca' if number % 3 else 'minke'},north\n" for number, key in enumerate(keys)
        )
    crop(tmp_path / "in", tmp_path / "a", labels=labels)
    boxes = write_boxes(tmp_path / "boxes.csv", keys, width=300, height=200)
    result = detic_crop.compare(boxes, tmp_path / "a", tmp_path / "out")
    assert {group.name for group in result.numbers.groups["species"]} == {"orca", "minke"}
    assert Counter(row["label"] for row in table_of(tmp_path / "out"))["orca"] == 16
    by_sea = detic_crop.compare(boxes, tmp_path / "a", tmp_path / "out", label="sea")
    assert [group.name for group in by_sea.numbers.groups["sea"]] == ["north"]
    by_folder = detic_crop.compare(boxes, tmp_path / "a", tmp_path / "out", label="folder")
    assert {group.name for group in by_folder.numbers.groups["folder"]} == {".", "day1", "day2/deep"}
    with refused("no_such_column"):
        detic_crop.compare(boxes, tmp_path / "a", tmp_path / "out", label="depth")
    with refused("no_such_column"):
        detic_crop.compare(boxes, tmp_path / "a" / "audit.csv", tmp_path / "out", label="species")


def test_box_format_goes_with_files_that_do_not_say(tmp_path: Path) -> None:
    unclear = tmp_path / "a.csv"
    unclear.write_text("image,bbox\n1.jpg,10 10 30 30\n")
    clear = tmp_path / "b.json"
    photo = {"file": "1.jpg", "detections": [{"category": "1", "conf": 0.9, "bbox": [0.1, 0.1, 0.3, 0.3]}]}
    clear.write_text(json.dumps({"images": [photo], "detection_categories": {"1": "animal"}}))
    write_photo(tmp_path / "in/1.jpg", width=100, height=100)
    result = detic_crop.compare(unclear, clear, tmp_path / "out", input=tmp_path / "in", box_format="xywh")
    assert result.numbers.counts.mean_iou == pytest.approx(1, abs=1e-4)


def test_pictures_are_bounded(tmp_path: Path, folder: Path, keys: list[str]) -> None:
    boxes = write_table(tmp_path / "b.csv", *((key,) for key in keys))
    for most in (0, 3):
        result = detic_crop.compare(folder, boxes, tmp_path / "out", pictures=most)
        assert result.page.read_text("utf-8").count("<img") == most


def test_photos_that_have_moved(tmp_path: Path, folder: Path, keys: list[str]) -> None:
    boxes = write_table(tmp_path / "b.csv", *((key,) for key in keys))
    shutil.move(tmp_path / "in", tmp_path / "moved")
    gone = detic_crop.compare(folder, boxes, tmp_path / "out")
    page = gone.page.read_text("utf-8")
    assert "<img" not in page
    assert "it is no longer where it was" in page
    found = detic_crop.compare(folder, boxes, tmp_path / "out", input=tmp_path / "moved")
    assert "<img" in found.page.read_text("utf-8")
    assert found.numbers == gone.numbers


def test_no_photo_in_common(tmp_path: Path, folder: Path) -> None:
    other = write_table(tmp_path / "b.csv", ("dog1.jpg", 0, 0, 9, 9), ("dog2.jpg", 0, 0, 9, 9))
    with refused("no_common_photos", names=["dog1.jpg", "A has 24 photos", "B has 2 photos"]):
        detic_crop.compare(folder, other, tmp_path / "out")
    with refused("no_common_photos", names=["dog1.jpg"]):
        detic_crop.compare(other, folder, tmp_path / "out")
    with refused("no_common_photos", names=["--truth has 2 photos"]):
        detic_crop.compare(folder, folder / "audit.csv", tmp_path / "out", truth=other)
    with refused("no_common_photos", names=["--in has none", "photo001.jpg"]):
        detic_crop.compare(
            other, write_table(tmp_path / "c.csv", ("dog1.jpg",)), tmp_path / "out", input=tmp_path / "in"
        )
    assert not (tmp_path / "out").exists()


def test_what_is_refused(tmp_path: Path, folder: Path, keys: list[str]) -> None:
    boxes = write_boxes(tmp_path / "boxes.csv", keys, width=300, height=200)
    with refused("compared_with_itself"):
        detic_crop.compare(folder, tmp_path / "in" / ".." / "a", tmp_path / "out")
    with refused("missing_boxes"):
        detic_crop.compare(folder, tmp_path / "nothing.csv", tmp_path / "out")
    with refused("bad_boxes_file"):
        detic_crop.compare(folder, tmp_path / "in", tmp_path / "out")
    with refused("bad_value"):
        detic_crop.compare(folder, boxes, tmp_path / "out", pictures=-1)
    wrong: dict[str, Any] = {"animals": "some"}
    with refused("bad_value"):
        detic_crop.compare(folder, boxes, tmp_path / "out", **wrong)
    for conf in (1.5, -0.1, math.nan, True):
        with refused("bad_value", names=["conf"]):
            detic_crop.compare(folder, boxes, tmp_path / "out", conf=conf)
    with refused("unknown_class"):
        detic_crop.compare(folder, boxes, tmp_path / "out", classes="horse")
    crop(tmp_path / "in", tmp_path / "b")
    with refused("option_not_applicable", names=["--conf"]):
        detic_crop.compare(folder, tmp_path / "b", tmp_path / "out", conf=0.5)
    assert not (tmp_path / "out").exists()


def test_out_holds_nothing_else_and_lies_apart(tmp_path: Path, folder: Path, keys: list[str]) -> None:
    boxes = write_boxes(tmp_path / "boxes.csv", keys, width=300, height=200)
    for inside in (folder / "compared", tmp_path / "in" / "compared"):
        with refused("out_not_apart"):
            detic_crop.compare(folder, boxes, inside)
        assert not inside.exists()
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with untouched(out), refused("out_not_empty"):
        detic_crop.compare(folder, boxes, out)
    (out / "mine.txt").unlink()
    detic_crop.compare(folder, boxes, out)
    (out / "mine.txt").write_text("mine")
    with untouched(out), refused("out_not_empty"):
        detic_crop.compare(folder, boxes, out)
    (out / "mine.txt").unlink()
    (out / "compare.json").write_text("{}")  # not by us
    with untouched(out), refused("out_not_empty"):
        detic_crop.compare(folder, boxes, out)


def test_a_damaged_journal_is_said(tmp_path: Path, folder: Path, keys: list[str]) -> None:
    journal = folder / ".detic-crop/journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], b"damage" + lines[3], *lines[4:]]))
    boxes = write_boxes(tmp_path / "boxes.csv", keys, width=300, height=200)
    result = detic_crop.compare(folder, boxes, tmp_path / "out")
    assert any("damaged journal lines" in note for note in result.notes)
    assert result.numbers.photos.only_b == 1


def test_the_command_says_the_numbers(
    tmp_path: Path, folder: Path, keys: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = write_boxes(tmp_path / "boxes.csv", keys, width=300, height=200)
    arguments = ["compare", str(folder), str(boxes), "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--truth", str(folder / "audit.csv")]) == 0
    said = capsys.readouterr().out
    assert "24 photos compared: agree " in said
    assert "A: finds " in said
    assert said.splitlines()[-1] == f"page: {tmp_path / 'out/compare.html'}"
    assert cli.main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert cli.main(["compare", str(folder), str(folder), "--out", str(tmp_path / "out")]) == 2
    complained("compared_with_itself", capsys.readouterr().err)


def test_the_result_shows_itself(tmp_path: Path, folder: Path, keys: list[str]) -> None:
    result = detic_crop.compare(
        folder, write_boxes(tmp_path / "boxes.csv", keys, width=300, height=200), tmp_path / "out"
    )
    assert repr(result) == f"<CompareResult page: {tmp_path / 'out/compare.html'}>"
    html = result._repr_html_()
    assert html is not None
    assert "photos compared" in html
