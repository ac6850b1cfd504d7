"""The same command again: what is skipped, what is done again, and what is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.config import ALGORITHM, CropConfig
from detic_crop.errors import OutputError, UsageError
from detic_crop.folder.inside import Inside
from detic_crop.photos.keys import STATE
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.folders import assert_one_row_each, assert_same, crop, files_of, product, rows_of
from tests.kit.journals import change_line
from tests.kit.photos import write_boxes, write_photo, write_photos


def again(folder: Path, **settings: object) -> tuple[api.RunResult, list[str]]:
    """The same run once more; also the photos that the detector was asked about."""
    detector = FakeDetector()
    result = crop(folder / "in", folder / "out", **{"detector": detector, **settings})
    return result, sorted(detector.calls)


@pytest.fixture
def done(tmp_path: Path) -> tuple[Path, list[str]]:
    """A finished run of nine photos."""
    keys = write_photos(tmp_path / "in", 9)
    crop(tmp_path / "in", tmp_path / "out")
    return tmp_path, keys


def crop_of(folder: Path, key: str) -> Path:
    (row,) = [row for row in rows_of(folder / "out") if row["image"] == key]
    return folder / "out" / row["crop"]


def test_nothing_to_do(done: tuple[Path, list[str]]) -> None:
    folder, keys = done
    before, journal = product(folder / "out"), (folder / "out" / STATE / "journal.jsonl").read_bytes()
    result, asked = again(folder)
    assert asked == []
    assert (result.done, result.skipped, result.remaining) == (0, len(keys), 0)
    assert sum(result.counts.values()) == len(keys)
    assert_same(folder / "out", before)
    assert (folder / "out" / STATE / "journal.jsonl").read_bytes() == journal


@pytest.mark.parametrize("what", ["content", "time"])
def test_a_changed_photo_is_done_again(done: tuple[Path, list[str]], what: str) -> None:
    folder, keys = done
    photo = folder / "in" / keys[4]
    if what == "content":
        write_photo(photo, 99)
    else:
        status = photo.stat()
        os.utime(photo, ns=(status.st_atime_ns, status.st_mtime_ns - 5_000_000_000))
    assert again(folder)[1] == [keys[4]]
    crop(folder / "in", folder / "reference")
    assert_same(folder / "out", product(folder / "reference"))
    assert again(folder)[1] == []


@pytest.mark.parametrize("damage", ["deleted", "cut", "empty", "longer"])
def test_a_damaged_crop_is_made_again(done: tuple[Path, list[str]], damage: str) -> None:
    folder, keys = done
    before = product(folder / "out")
    path = crop_of(folder, keys[3])
    data = path.read_bytes()
    path.unlink()
    if damage != "deleted":
        path.write_bytes({"cut": data[:-10], "empty": b"", "longer": data + b"x"}[damage])
    result, asked = again(folder)
    assert asked == [keys[3]]
    assert result.done == 1
    assert_same(folder / "out", before)


def test_failed_photos_are_tried_again(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 9)
    broken = tmp_path / "in" / keys[2]
    whole, times = broken.read_bytes(), broken.stat()
    broken.write_bytes(b"\xff" * len(whole))
    os.utime(broken, ns=(times.st_atime_ns, times.st_mtime_ns))
    crashing = FakeDetector(failing={keys[5]: RuntimeError("no memory")})
    assert crop(tmp_path / "in", tmp_path / "out", detector=crashing).counts["failed"] == 2

    result, asked = again(tmp_path)
    assert (result.done, result.counts["failed"], asked) == (2, 1, [keys[5]])

    broken.write_bytes(whole)
    os.utime(broken, ns=(times.st_atime_ns, times.st_mtime_ns))  # neither size nor time tell
    result, asked = again(tmp_path)
    assert (result.counts["failed"], asked) == (0, [keys[2]])
    crop(tmp_path / "in", tmp_path / "reference")
    assert_same(tmp_path / "out", product(tmp_path / "reference"))


def test_a_photo_that_fails_now_loses_its_crop(done: tuple[Path, list[str]]) -> None:
    folder, keys = done
    old = crop_of(folder, keys[1])
    (folder / "in" / keys[1]).write_bytes(b"spoilt")
    assert again(folder)[0].counts["failed"] == 1
    assert not old.exists()
    assert_one_row_each(folder / "out", keys)


def test_no_crop_without_a_row_when_stopped_while_a_photo_fails(
    done: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, keys = done
    old = crop_of(folder, keys[1])
    (folder / "in" / keys[1]).write_bytes(b"spoilt")
    remove = Inside.remove

    def held_open(inside: Inside, path: Path) -> None:
        if path == old:
            raise PermissionError(13, "Permission denied", str(path))
        remove(inside, path)

    with monkeypatch.context() as patch:
        patch.setattr(Inside, "remove", held_open)
        with refused("cannot_write", OutputError, names=["Permission denied"]):
            again(folder)
    again(folder)
    assert not old.exists()
    assert_one_row_each(folder / "out", keys)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"scale": 1.5}, "scale was 1.2, now 1.5"),
        ({"size": 64}, "size was 32, now 64"),
        ({"conf": 0.5}, "conf was 0.3, now 0.5"),
        ({"classes": "Whale"}, "classes was 'Dolphin,Marine mammal,Whale', now 'Whale'"),
        ({"fit": "pad"}, "fit was 'stretch', now 'pad'"),
        ({"format": "png"}, "format was 'jpg', now 'png'"),
        ({"quality": 90}, "quality was 95, now 90"),
        ({"truncated": "fail"}, "truncated was 'keep', now 'fail'"),
        ({"detector": FakeDetector(name="other")}, "model was 'fake', now 'other'"),
    ],
)
def test_other_settings_are_refused_and_named(
    done: tuple[Path, list[str]], settings: dict[str, object], named: str
) -> None:
    folder, _ = done
    before = files_of(folder / "out")
    with refused("other_settings", UsageError, names=[named]) as caught:
        again(folder, **settings)
    assert caught.value.exit_code == 2
    assert files_of(folder / "out") == before


def test_other_weights_are_refused(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 3)
    boxes = write_boxes(tmp_path / "boxes.csv", keys)
    settings = {"model": f"boxes:{boxes}", "detector": None}
    crop(tmp_path / "in", tmp_path / "out", **settings)
    write_boxes(boxes, keys[:2])
    with refused("other_settings", UsageError) as caught:
        crop(tmp_path / "in", tmp_path / "out", **settings)
    assert "the content of boxes.csv has changed since" in caught.value.message


def test_how_the_work_is_done_may_change(done: tuple[Path, list[str]]) -> None:
    folder, keys = done
    write_photo(folder / "in" / "zz.jpg")
    result, asked = again(folder, workers=3, max_pixels=10_000, limit=100, device="cpu", time_limit=1000.0)
    assert (result.skipped, asked) == (len(keys), ["zz.jpg"])


def test_whole_numbers_and_floats_are_the_same_settings(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 2)
    crop(tmp_path / "in", tmp_path / "out", scale=2, conf=1)
    assert crop(tmp_path / "in", tmp_path / "out", scale=2.0, conf=1.0).done == 0
    assert CropConfig(scale=2).fingerprint() == CropConfig(scale=2.0).fingerprint()


def test_spelling_out_the_defaults_is_the_same_run(done: tuple[Path, list[str]]) -> None:
    folder, _ = done
    assert again(folder, conf=0.3, classes="dolphin, whale,MARINE MAMMAL", scale=1.2)[1] == []
    assert again(folder, classes="marine")[1] == []


def test_model_auto_keeps_the_folders_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = write_photos(tmp_path / "in", 4)
    crop(tmp_path / "in", tmp_path / "out", detector=FakeDetector(name="detic-r18"), conf=0.4, limit=2)
    asked_for: list[str] = []

    def load(name: str, device: str, **given: object) -> FakeDetector:
        asked_for.append(name)
        return FakeDetector(name=name)

    monkeypatch.setattr("detic_crop.commands.choose_detector.load_detector", load)
    result = crop(tmp_path / "in", tmp_path / "out", detector=None)
    assert (asked_for, result.config.model, result.config.conf) == (["detic-r18"], "detic-r18", 0.4)
    assert "begun with it" in result.model_reason
    assert {row["model"] for row in rows_of(tmp_path / "out")} == {"detic-r18"}
    assert_one_row_each(tmp_path / "out", keys)


def test_model_auto_cannot_be_a_detector_of_ones_own(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 2)
    crop(tmp_path / "in", tmp_path / "out", detector=FakeDetector(name="mine"))
    with refused("model_needs_path", UsageError, names=["mine"]):
        crop(tmp_path / "in", tmp_path / "out", detector=None)


def test_model_auto_asks_for_the_boxes_file_again(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 2)
    boxes = write_boxes(tmp_path / "boxes.csv", keys)
    crop(tmp_path / "in", tmp_path / "out", model=f"boxes:{boxes}", detector=None)
    with refused("model_needs_path", UsageError):
        crop(tmp_path / "in", tmp_path / "out", detector=None)


def test_a_boxes_file_may_be_named_by_another_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = write_photos(tmp_path / "in", 2)
    boxes = write_boxes(tmp_path / "boxes.csv", keys)
    crop(tmp_path / "in", tmp_path / "out", model=f"boxes:{boxes}", detector=None)
    monkeypatch.chdir(tmp_path)
    assert crop("in", "out", model="boxes:boxes.csv", detector=None).skipped == 2


def test_added_photos_leave_the_old_names_alone(tmp_path: Path) -> None:
    for seed, name in enumerate(("b.png", "d.jpg")):
        write_photo(tmp_path / "in" / name, seed)
    crop(tmp_path / "in", tmp_path / "out")
    old = {row["image"]: row["crop"] for row in rows_of(tmp_path / "out")}
    assert old == {"b.png": "b.jpg", "d.jpg": "d.jpg"}
    for seed, name in enumerate(("a.jpg", "b.jpg", "d.JPEG", "d.png"), start=2):
        write_photo(tmp_path / "in" / name, seed)
    result, asked = again(tmp_path)
    assert (result.skipped, len(asked)) == (2, 4)
    new = {row["image"]: row["crop"] for row in rows_of(tmp_path / "out")}
    assert {key: new[key] for key in old} == old
    assert new["b.jpg"] == "b.jpg.jpg"
    assert_one_row_each(tmp_path / "out", new)
    assert list(new) == sorted(new)


def test_photos_taken_away_keep_their_rows(done: tuple[Path, list[str]]) -> None:
    folder, keys = done
    (folder / "in" / keys[0]).unlink()
    result, _ = again(folder)
    assert (result.done, result.skipped) == (0, len(keys) - 1)
    assert_one_row_each(folder / "out", keys)


def test_moved_photos_go_on_without_work(done: tuple[Path, list[str]]) -> None:
    folder, keys = done
    shutil.move(folder / "in", folder / "elsewhere")
    detector = FakeDetector()
    result = crop(folder / "elsewhere", folder / "out", detector=detector)
    assert (result.skipped, detector.calls.total()) == (len(keys), 0)


def test_overwrite_begins_anew(done: tuple[Path, list[str]]) -> None:
    folder, keys = done
    result, asked = again(folder, overwrite=True, scale=1.5, format="png")
    assert asked == sorted(keys)
    assert result.counts.total() == len(keys)
    assert_one_row_each(folder / "out", keys)
    assert not list((folder / "out").rglob("*.jpg"))


@pytest.mark.parametrize(
    "line", [b'"text"\n', b"[1]\n", b"7\n", b"null\n", b'{"image": 3}\n', b"\x00\xff\n", b"\n"]
)
def test_a_damaged_journal_line_costs_one_photo(done: tuple[Path, list[str]], line: bytes) -> None:
    folder, _ = done
    before = product(folder / "out")
    path = folder / "out" / STATE / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], line, *lines[4:]]))
    result, asked = again(folder)
    assert len(asked) == 1
    assert any("damaged journal lines, whose photos were done again: 1" in note for note in result.notes)
    assert_same(folder / "out", before)


def test_damaged_settings_are_told(done: tuple[Path, list[str]]) -> None:
    folder, _ = done
    path = folder / "out" / STATE / "journal.jsonl"
    settings, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(settings.replace(b'"config"', b'"conf#g"') + b"\n" + rest)
    told = "the settings of this folder were damaged, and are now those of this command"
    result, asked = again(folder)
    assert not asked
    assert any(note.startswith(told) for note in result.notes)
    result, _ = again(folder)
    assert not any(note.startswith(told) for note in result.notes)


def test_lost_candidates_do_not_hand_one_photos_boxes_to_another(done: tuple[Path, list[str]]) -> None:
    """A power cut may keep the journal's lines and lose those of the candidates."""
    folder, keys = done
    path = folder / "out" / STATE / "candidates.jsonl"
    path.write_bytes(path.read_bytes()[:100])
    write_photo(folder / "in" / "zz.jpg", 50)
    again(folder)
    crop(folder / "in", folder / "reference")
    result = api.recrop(folder / "out", folder / "recropped", quiet=True)
    good = {row["image"]: row for row in rows_of(folder / "reference")}
    for row in rows_of(folder / "recropped"):
        assert row["status"] == "failed" or row["box"] == good[row["image"]]["box"]
    assert result.counts.total() == len(keys) + 1


@pytest.mark.parametrize(("algorithm", "whose"), [(ALGORITHM - 1, "an earlier"), (ALGORITHM + 1, "a later")])
def test_a_folder_of_another_algorithm_says_which_version_goes_on(
    tmp_path: Path, algorithm: int, whose: str
) -> None:
    write_photos(tmp_path / "in", 2)
    crop(tmp_path / "in", tmp_path / "out")
    journal = tmp_path / "out" / STATE / "journal.jsonl"

    def change(values: dict[str, Any]) -> None:
        values["config"]["algorithm"] = algorithm
        values["fingerprint"] = CropConfig.from_dict(values["config"]).fingerprint()

    change_line(journal, 0, change)
    with refused("other_algorithm") as caught:
        crop(tmp_path / "in", tmp_path / "out")
    assert f"made by {whose} version" in caught.value.message
