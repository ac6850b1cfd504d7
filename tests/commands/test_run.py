"""A run from photos to audit.csv: every photo one row, whatever is wrong with it."""

from __future__ import annotations

import csv
import json
import logging
import os
from pathlib import Path

import pytest

from detic_crop import api
from detic_crop.boxes.detections import Detections
from detic_crop.errors import PhotoError, UsageError
from detic_crop.work.pipeline import MAX_DETECTOR_CRASHES
from tests.kit.detectors import FakeDetector, fake_boxes
from tests.kit.errors import refused
from tests.kit.folders import assert_one_row_each, crop, files_of, leftovers, product, rows_of, untouched
from tests.kit.photos import write_damaged, write_photo, write_photos


def test_every_photo_has_one_row_in_input_order(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 24)
    reasons = write_damaged(tmp_path / "in")
    write_photo(tmp_path / "in" / "notes.txt")
    with untouched(tmp_path / "in"):
        result = crop(tmp_path / "in", tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert [row["image"] for row in rows] == sorted([*keys, *reasons])
    assert_one_row_each(tmp_path / "out", [*keys, *reasons])
    assert leftovers(tmp_path / "out") == []
    statuses = [row["status"] for row in rows]
    assert dict(result.counts) == {status: statuses.count(status) for status in set(statuses)}
    assert set(statuses) == {"cropped", "resized", "failed"}
    assert any("other files ignored: 1" in note for note in result.notes)


def test_rows_say_what_was_done(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 24)
    crop(tmp_path / "in", tmp_path / "out")
    for row in rows_of(tmp_path / "out"):
        found = fake_boxes(row["image"], 60, 40).rounded()
        wanted = [
            i
            for i, name in enumerate(found.class_names)
            if name in ("Dolphin", "Whale", "Marine mammal") and found.scores[i] >= 0.3
        ]
        assert (row["width"], row["height"]) == ("60", "40")
        assert row["n_candidates"] == str(len(wanted))
        if not wanted:
            assert (row["status"], row["reason"], row["box"]) == ("resized", "not_found", "")
            assert row["crop_box"] == "0 0 60 40"
            continue
        largest = max(wanted, key=lambda i: float(found.areas[i]))
        assert (row["status"], row["reason"]) == ("cropped", "largest_box")
        assert row["class_name"] == found.class_names[largest]
        assert float(row["score"]) == pytest.approx(float(found.scores[largest]), abs=1e-4)
        left, top, right, bottom = map(float, row["box"].split())
        x1, y1, x2, y2 = found.xyxy[largest]
        assert left <= x1 < left + 1
        assert top <= y1 < top + 1
        assert right - 1 < x2 <= right
        assert bottom - 1 < y2 <= bottom
    assert sum(row["status"] == "cropped" for row in rows_of(tmp_path / "out")) > len(keys) // 3


def test_damaged_photos_are_failed_rows_with_a_reason(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 2)
    expected = write_damaged(tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "out")
    for row in rows_of(tmp_path / "out"):
        if row["image"] in expected:
            assert row["status"] == "failed"
            assert row["reason"] in expected[row["image"]]
            assert row["error"]
            assert (row["crop"], row["crop_box"], row["box"]) == ("", "", "")


def test_every_way_to_fail_gives_a_row(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 4)
    expected = write_damaged(tmp_path / "in")
    (tmp_path / "in" / "bad" / "folder.jpg").mkdir()
    write_photo(tmp_path / "in" / "large.png", width=400, height=300)
    lines = [
        *expected,
        "bad/folder.jpg",
        "gone.jpg",
        "large.png",
        "photo000.jpg",
        "day1/photo001.jpg",
        "a" * 300,
    ]
    listing = tmp_path / "in" / "list.txt"
    listing.write_text("\n".join(lines), encoding="utf-8")
    failing: dict[str, Exception] = {
        "photo000.jpg": RuntimeError("out of\nmemory"),
        "day1/photo001.jpg": PhotoError("bad_boxes", "no such box"),
    }
    crop(listing, tmp_path / "out", detector=FakeDetector(failing=failing), max_pixels=20_000)
    rows = {row["image"]: row for row in rows_of(tmp_path / "out")}
    assert list(rows) == lines
    reasons = {key: row["reason"] for key, row in rows.items()}
    assert reasons["bad/folder.jpg"] == "not_a_file"
    assert reasons["gone.jpg"] == reasons["a" * 300] == "missing_file"
    assert reasons["large.png"] == "too_many_pixels"
    assert reasons["photo000.jpg"] == "detect_error"
    assert rows["photo000.jpg"]["error"] == "RuntimeError: out of memory"
    assert reasons["day1/photo001.jpg"] == "bad_boxes"
    assert all(row["suspicion"] == "1.0000" for row in rows.values() if row["status"] == "failed")


def test_a_detector_that_stumbles_costs_only_those_photos(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 60)
    failing: dict[str, Exception] = dict.fromkeys(keys[::2], RuntimeError("odd"))
    detector = FakeDetector(failing=failing)
    result = crop(tmp_path / "in", tmp_path / "out", detector=detector)
    assert result.counts["failed"] == 30 > MAX_DETECTOR_CRASHES
    assert_one_row_each(tmp_path / "out", keys)


def test_photo_errors_of_a_detector_never_stop_a_run(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", MAX_DETECTOR_CRASHES + 5)
    failing: dict[str, Exception] = dict.fromkeys(keys, PhotoError("bad_boxes", "no"))
    result = crop(tmp_path / "in", tmp_path / "out", detector=FakeDetector(failing=failing))
    assert result.counts == {"failed": len(keys)}


def test_a_broken_detector_stops_the_run_and_the_run_goes_on_when_mended(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 40)
    crop(tmp_path / "in", tmp_path / "reference")
    failing: dict[str, Exception] = dict.fromkeys([*keys[5:], ""], RuntimeError("no GPU"))  # "": no photo's
    with refused("broken_detector") as caught:
        crop(tmp_path / "in", tmp_path / "out", detector=FakeDetector(failing=failing))
    assert caught.value.exit_code == 1
    assert "no GPU" in caught.value.message
    rows = rows_of(tmp_path / "out")
    assert 5 <= len(rows) <= 5 + MAX_DETECTOR_CRASHES
    assert [row["image"] for row in rows] == keys[: len(rows)]
    crop(tmp_path / "in", tmp_path / "out")
    assert product(tmp_path / "out") == product(tmp_path / "reference")


def test_photos_that_crash_the_detector_do_not_stop_it(tmp_path: Path) -> None:
    """However many there are in a row: it still answers on a plain picture."""
    keys = write_photos(tmp_path / "in", 40)
    failing: dict[str, Exception] = dict.fromkeys(keys[2:38], RuntimeError("odd photo"))
    result = crop(tmp_path / "in", tmp_path / "out", detector=FakeDetector(failing=failing))
    assert result.counts["failed"] == 36
    assert result.counts.total() == 40


def test_boxes_that_are_no_numbers_fail_the_photo_only(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 3)

    class Half(FakeDetector):
        def detect(self, image: object, key: str = "") -> Detections:
            if key == keys[1]:
                return Detections([[0, 0, float("nan"), 5]], [0.5], ("Dolphin",))  # type: ignore[arg-type]
            return fake_boxes(key, 60, 40)

    assert crop(tmp_path / "in", tmp_path / "out", detector=Half()).counts["failed"] == 1


def test_boxes_outside_the_photo_count_as_none(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 2)

    class Outside(FakeDetector):
        def detect(self, image: object, key: str = "") -> Detections:
            return Detections([[900, 900, 950, 950]], [0.9], ("Dolphin",))  # type: ignore[arg-type]

    assert crop(tmp_path / "in", tmp_path / "out", detector=Outside()).counts == {"resized": 2}


def test_same_names_in_other_formats_and_cases_do_not_meet(tmp_path: Path) -> None:
    names = ["A.JPG", "a.jpeg", "a.jpg", "a.png", "b.JPG", "b.png"]
    for seed, name in enumerate(names):
        write_photo(tmp_path / "in" / name, seed)
    if len(files_of(tmp_path / "in")) < len(names):  # a case-blind disk has no such photos to begin with
        names = sorted(files_of(tmp_path / "in"))
    crop(tmp_path / "in", tmp_path / "out")
    crops = [row["crop"] for row in rows_of(tmp_path / "out")]
    assert [row["image"] for row in rows_of(tmp_path / "out")] == names
    assert len({name.casefold() for name in crops}) == len(names)
    assert crops[0] == names[0].partition(".")[0] + ".jpg"
    assert_one_row_each(tmp_path / "out", names)


def test_unicode_names(tmp_path: Path) -> None:
    names = [
        "Delfín 🐬.jpg",
        "кит/фото 1.jpg",
        "日本/鯨.png",
        "ＦＵＬＬ.jpg",
        "ﬁn whale.jpg",
        "straße.jpg",
        "STRASSE.jpg",
    ]
    for seed, name in enumerate(names):
        write_photo(tmp_path / "in" / name, seed)
    crop(tmp_path / "in", tmp_path / "out")
    assert_one_row_each(tmp_path / "out", names)
    assert (tmp_path / "out" / "日本" / "鯨.jpg").is_file()


@pytest.mark.slow
def test_twenty_thousand_photos_are_listed_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for number in range(20):
        (folder / f"day{number:02}").mkdir(parents=True)
    keys = [f"day{number % 20:02}/{number:05}.{('jpg', 'png')[number % 2]}" for number in range(20_000)]
    for key in keys:
        os.close(os.open(folder / key, os.O_CREAT | os.O_WRONLY))
    labels = tmp_path / "labels.csv"
    labels.write_text("image\n" + "\n".join(reversed(keys)), encoding="utf-8")
    result = crop(folder, tmp_path / "out", dry_run=True, labels=labels)
    assert (result.remaining, result.skipped) == (20_000, 0)
    assert not (tmp_path / "out").exists()
    result = crop(folder, tmp_path / "out", limit=3)
    assert result.counts == {"failed": 3}
    assert [row["image"] for row in rows_of(tmp_path / "out")] == sorted(keys)[:3]


@pytest.fixture
def labelled(tmp_path: Path) -> tuple[Path, list[str]]:
    keys = write_photos(tmp_path / "in", 9)
    with open(tmp_path / "train.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "score", "individual", "note"])
        writer.writerow([Path(keys[7]).name, "007", "NA", 'two\nlines, "quoted"'])
        writer.writerow(["gone.jpg", "1e3", "x", ""])
        writer.writerow([keys[2], " 1", "y", "=1+1"])
        writer.writerow([Path(keys[7]).name, "007", "again", "same photo twice"])
        writer.writerow([Path(keys[4]).stem, "0", "z", "by its stem"])
    return tmp_path / "train.csv", keys


def test_labels_lead_the_table_row_by_row(tmp_path: Path, labelled: tuple[Path, list[str]]) -> None:
    labels, keys = labelled
    result = crop(tmp_path / "in", tmp_path / "out", labels=labels)
    rows = rows_of(tmp_path / "out")
    with open(labels, newline="", encoding="utf-8") as file:
        given = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [row["image"] for row in given]
    for column in ("individual", "note"):
        assert [row[column] for row in rows] == [row[column] for row in given]
    assert [row["label_score"] for row in rows] == [row["score"] for row in given]
    assert list(rows[0])[:4] == ["image", "label_score", "individual", "note"]
    assert [row["status"] == "failed" for row in rows] == [False, True, False, False, False]
    assert rows[1]["reason"] == "missing_file"
    assert rows[0]["crop"] == rows[3]["crop"] == keys[7].rpartition(".")[0] + ".jpg"
    (note,) = [note for note in result.notes if note.startswith("labels:")]
    assert note == (
        "labels: 5 rows, 4 match a photo (3 photos in all), 1 does not (first: gone.jpg), "
        "6 photos have no label and are left out"
    )
    assert sorted(
        set(files_of(tmp_path / "out")) & {key.rpartition(".")[0] + ".jpg" for key in keys}
    ) == sorted({keys[i].rpartition(".")[0] + ".jpg" for i in (2, 4, 7)})


def test_labels_may_be_given_as_text(tmp_path: Path, labelled: tuple[Path, list[str]]) -> None:
    assert crop(tmp_path / "in", tmp_path / "out", labels=str(labelled[0])).counts["failed"] == 1


def test_labels_that_name_no_photo_are_refused(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 2)
    (tmp_path / "l.csv").write_text("image\nother.jpg\n", encoding="utf-8")
    with refused("no_label_matches", UsageError):
        crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "l.csv")
    assert not (tmp_path / "out").exists()


def test_labels_of_an_interrupted_run_line_up_once_it_is_done(
    tmp_path: Path, labelled: tuple[Path, list[str]]
) -> None:
    crop(tmp_path / "in", tmp_path / "whole", labels=labelled[0])
    crop(tmp_path / "in", tmp_path / "out", labels=labelled[0], limit=1)
    crop(tmp_path / "in", tmp_path / "out", labels=labelled[0])
    assert product(tmp_path / "out") == product(tmp_path / "whole")


def test_run_json_tells_the_settings_and_the_counts(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 6)
    result = crop(tmp_path / "in", tmp_path / "out", scale=1.5)
    told = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert told["settings"]["scale"] == 1.5
    assert told["settings"]["model"] == "fake"
    assert told["settings"]["conf"] == 0.3
    assert told["counts"] == dict(result.counts)
    assert told["photos_done_now"] == len(keys)
    assert {"decode", "detect", "crop", "encode", "write", "journal"} <= set(told["stage_seconds"])


def test_a_list_keeps_its_order_and_drops_repeats(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 5)
    listing = tmp_path / "in" / "list.txt"
    listing.write_text("\ufeff" + "\r\n".join([keys[3], keys[0], "./" + keys[3], keys[4]]), encoding="utf-8")
    result = crop(listing, tmp_path / "out")
    assert [row["image"] for row in rows_of(tmp_path / "out")] == [keys[3], keys[0], keys[4]]
    assert any("that repeat a photo" in note for note in result.notes)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_lists_as_windows_writes_them(tmp_path: Path, encoding: str) -> None:
    keys = write_photos(tmp_path / "in", 3)
    listing = tmp_path / "in" / "list.txt"
    listing.write_bytes("".join(key.replace("/", "\\") + "\r\n" for key in keys).encode(encoding))
    crop(listing, tmp_path / "out")
    assert [(row["image"], row["status"] == "failed") for row in rows_of(tmp_path / "out")] == [
        (key, False) for key in keys
    ]


def test_a_list_with_control_characters_in_names(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.jpg")
    (tmp_path / "in" / "list.txt").write_bytes(b"a.jpg\nno\0such.jpg\n")
    crop(tmp_path / "in" / "list.txt", tmp_path / "out")
    assert [row["status"] == "failed" for row in rows_of(tmp_path / "out")] == [False, True]


def test_a_pattern_finds_photos_but_not_its_own_crops(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 6)
    pattern = str(tmp_path / "in" / "**" / "*.jpg")
    first = crop(pattern, tmp_path / "in" / "cropped")
    again = crop(pattern, tmp_path / "in" / "cropped")
    assert (again.done, again.skipped) == (0, first.done)


def test_an_output_inside_the_input_is_not_read(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 6)
    crop(tmp_path / "in", tmp_path / "in" / "cropped")
    again = crop(tmp_path / "in", tmp_path / "in" / "cropped")
    assert (again.done, again.skipped) == (0, len(keys))
    other = crop(tmp_path / "in", tmp_path / "elsewhere")
    assert sum(other.counts.values()) == len(keys)
    assert any("earlier run" in note for note in other.notes)


def test_a_logger_hears_which_model_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_photos(tmp_path / "in", 1)
    with caplog.at_level(logging.INFO, logger="detic_crop"):
        crop(tmp_path / "in", tmp_path / "out")
    assert "model fake: given by the caller" in caplog.messages


def test_write_audit_makes_the_tables_again(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 8)
    first = crop(tmp_path / "in", tmp_path / "out")
    before = product(tmp_path / "out")
    (tmp_path / "out" / "audit.csv").unlink()
    (tmp_path / "out" / "audit.html").write_bytes(b"")
    again = api.write_audit(tmp_path / "out")
    assert product(tmp_path / "out") == before
    assert (again.counts, again.flagged) == (first.counts, first.flagged)
