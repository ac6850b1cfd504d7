"""recrop: what a run with other settings would have made, without its detector."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.config import RunOptions
from detic_crop.errors import UsageError
from detic_crop.wording import counted
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.folders import assert_one_row_each, assert_same, crop, files_of, product, rows_of, untouched
from tests.kit.photos import write_damaged, write_photo, write_photos

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 photos, some of them broken."""
    folder = tmp_path_factory.mktemp("recrop") / "in"
    write_photos(folder, 30)
    write_damaged(folder)
    write_photo(folder / "photo000.png", 500)
    return folder


@pytest.fixture(scope="module")
def origin(photos: Path) -> Path:
    """A run with default settings."""
    crop(photos, photos.parent / "origin")
    return photos.parent / "origin"


def recrop(source: Path, out: Path, **settings: Any) -> api.RunResult:
    return api.recrop(source, out, quiet=True, **settings)


def test_the_same_settings_make_the_same_files(photos: Path, origin: Path, tmp_path: Path) -> None:
    with untouched(photos), untouched(origin):
        result = recrop(origin, tmp_path / "out")
    assert_same(tmp_path / "out", product(origin))
    assert result.transitions == Counter()
    assert_one_row_each(tmp_path / "out", files_of(photos))


@pytest.mark.parametrize(
    "settings",
    [
        {"scale": 1.0},
        {"scale": 2.5},
        {"size": 48},
        {"conf": 0.6},
        {"conf": 0.05},
        {"conf": 1.0},
        {"fit": "pad"},
        {"fit": "square", "scale": 1.4},
        {"format": "png"},
        {"format": "webp", "quality": 60},
        {"quality": 30},
        {"conf": 0.1, "scale": 1.7, "size": 40, "fit": "pad", "format": "png"},
    ],
    ids=str,
)
def test_other_settings_make_what_a_run_would(
    photos: Path, origin: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    result = recrop(origin, tmp_path / "out", **settings)
    crop(photos, tmp_path / "reference", **settings)
    assert_same(tmp_path / "out", product(tmp_path / "reference"))
    before = {row["image"]: row["status"] for row in rows_of(origin)}
    after = {row["image"]: row["status"] for row in rows_of(tmp_path / "out")}
    assert result.transitions == Counter((before[k], after[k]) for k in before if before[k] != after[k])
    assert bool(result.transitions) == ("conf" in settings)


@pytest.mark.parametrize(
    ("classes_then", "classes_now"),
    [
        ("marine", "Whale"),
        ("marine", "whale,DOLPHIN"),
        ("marine", "marine"),
        ("any", "any"),
        ("any", "marine"),
        ("any", "boat"),
        ("Dolphin,Person", "person"),
    ],
)
def test_other_classes_choose_what_a_run_would(
    photos: Path, classes_then: str, classes_now: str, tmp_path: Path
) -> None:
    crop(photos, tmp_path / "origin", classes=classes_then)
    recrop(tmp_path / "origin", tmp_path / "out", classes=classes_now)
    crop(photos, tmp_path / "reference", classes=classes_now)
    crops, expected = product(tmp_path / "out"), product(tmp_path / "reference")
    for made in (crops, expected):
        del made["audit.csv"], made["audit.html"]
    assert crops == expected
    # What fell below the kept floor is not known any more, so presence (and what follows from it) may differ.
    assert [forget_presence(row) for row in rows_of(tmp_path / "out")] == [
        forget_presence(row) for row in rows_of(tmp_path / "reference")
    ]


def forget_presence(row: dict[str, str]) -> dict[str, str]:
    unknown = {"presence"} | ({"suspicion"} if row["status"] == "resized" else set())
    return {name: value for name, value in row.items() if name not in unknown}


@pytest.mark.parametrize(
    ("settings", "code", "names"),
    [
        ({"conf": 0.04}, "conf_below_kept", ["0.04", "0.05"]),
        ({"conf": 0.0}, "conf_below_kept", ["0.0", "0.05"]),
        ({"classes": "Boat"}, "classes_not_kept", ["Boat", "Dolphin, Marine mammal, Whale"]),
        ({"classes": "any"}, "classes_not_kept", ["--classes any"]),
        ({"classes": "Dolphin,Whael"}, "classes_not_kept", ["Whael"]),
        ({"scale": 0}, "bad_value", ["--scale"]),
        ({"fit": "round"}, "bad_value", ["--fit"]),
        ({"model": "lite"}, "needs_detector", ["model"]),
        ({"box_format": "xywh"}, "needs_detector", ["box_format"]),
        ({"onnx_input": "rgb"}, "needs_detector", ["onnx_input"]),
        ({"sizes": 3}, "unknown_setting", ["sizes"]),
    ],
)
def test_what_kept_boxes_cannot_answer_is_refused(
    origin: Path, settings: dict[str, Any], code: str, names: list[str], tmp_path: Path
) -> None:
    with refused(code, UsageError, names=names):
        recrop(origin, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_a_misspelt_class_after_a_run_with_any(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "origin", classes="any")
    with refused("unknown_class", UsageError, names=["Dolphn"]):
        recrop(tmp_path / "origin", tmp_path / "out", classes="Dolphn")


def test_a_run_below_the_floor_keeps_more(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "origin", conf=0.02)
    recrop(tmp_path / "origin", tmp_path / "out", conf=0.03)
    crop(photos, tmp_path / "reference", conf=0.03)
    assert_same(tmp_path / "out", product(tmp_path / "reference"))
    with refused("conf_below_kept", UsageError):
        recrop(tmp_path / "origin", tmp_path / "lower", conf=0.01)


def test_folders_that_are_refused(origin: Path, photos: Path, tmp_path: Path) -> None:
    with refused("out_is_source", UsageError):
        recrop(origin, origin, scale=2)
    with refused("no_run", UsageError):
        recrop(tmp_path / "nothing", tmp_path / "out")
    with refused("foreign_folder", UsageError):
        recrop(origin, photos)
    with refused("no_photos", UsageError):
        recrop(origin, tmp_path / "out", input=tmp_path)


def test_a_dry_run_writes_nothing_or_is_refused(origin: Path, tmp_path: Path) -> None:
    for settings in ({"dry_run": True}, {"options": RunOptions(dry_run=True)}):
        with contextlib.suppress(UsageError):
            recrop(origin, tmp_path / "out", **settings)
        assert not (tmp_path / "out").exists()


def test_photos_that_moved(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "origin")
    (tmp_path / "in").rename(tmp_path / "moved")
    with refused("photos_gone", UsageError):
        recrop(tmp_path / "origin", tmp_path / "out")
    recrop(tmp_path / "origin", tmp_path / "out", input=tmp_path / "moved")
    assert_same(tmp_path / "out", product(tmp_path / "origin"))
    # The new folder remembers where they are now.
    recrop(tmp_path / "out", tmp_path / "third")
    assert_same(tmp_path / "third", product(tmp_path / "origin"))


def test_a_photo_that_is_another_one_now(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "origin")
    write_photo(tmp_path / "in" / "photo000.jpg", 1, width=61)
    (tmp_path / "in" / "photo003.jpg").unlink()
    recrop(tmp_path / "origin", tmp_path / "out")
    rows = {row["image"]: row for row in rows_of(tmp_path / "out")}
    assert rows["photo000.jpg"]["reason"] == "photo_changed"
    assert rows["photo003.jpg"]["reason"] == "missing_file"
    others = {"photo000.jpg", "photo003.jpg"}
    among_others = {"suspicion": ""}  # how unusual a box is depends on the other crops
    assert [row | among_others for key, row in rows.items() if key not in others] == [
        row | among_others for row in rows_of(tmp_path / "origin") if row["image"] not in others
    ]


def test_another_photo_of_the_same_size_is_noticed(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "origin")
    write_photo(tmp_path / "in" / "photo000.jpg", 99)
    recrop(tmp_path / "origin", tmp_path / "out")
    rows = {row["image"]: row for row in rows_of(tmp_path / "out")}
    assert rows["photo000.jpg"]["reason"] == "photo_changed"


def test_photos_that_failed_in_the_detector_say_so(photos: Path, tmp_path: Path) -> None:
    failing: dict[str, Exception] = {"photo000.jpg": RuntimeError("odd")}
    crop(photos, tmp_path / "origin", detector=FakeDetector(failing=failing))
    result = recrop(tmp_path / "origin", tmp_path / "out")
    rows = {row["image"]: row for row in rows_of(tmp_path / "out")}
    assert rows["photo000.jpg"]["status"] == "failed"
    assert result.transitions == Counter()


def test_many_photos_without_boxes_do_not_stop_a_recrop(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 80)
    failing: dict[str, Exception] = {key: RuntimeError("odd") for n, key in enumerate(keys) if n % 20}
    crop(tmp_path / "in", tmp_path / "origin", detector=FakeDetector(failing=failing))
    assert recrop(tmp_path / "origin", tmp_path / "out").counts["failed"] == len(failing)


def test_a_recrop_goes_on_where_it_stopped(photos: Path, origin: Path, tmp_path: Path) -> None:
    recrop(origin, tmp_path / "whole", scale=1.6)
    first = recrop(origin, tmp_path / "out", scale=1.6, limit=7)
    assert first.done == 7
    second = recrop(origin, tmp_path / "out", scale=1.6)
    assert second.skipped + second.done == len(files_of(photos))
    assert second.skipped >= 7 - 5
    assert_same(tmp_path / "out", product(tmp_path / "whole"))
    assert recrop(origin, tmp_path / "out", scale=1.6).done == len(
        [row for row in rows_of(origin) if row["status"] == "failed"]
    )
    with refused("other_settings", UsageError):
        recrop(origin, tmp_path / "out")


def test_a_recrop_of_a_stopped_run_does_what_there_is(photos: Path, tmp_path: Path) -> None:
    crop(photos, tmp_path / "origin", limit=12)
    result = recrop(tmp_path / "origin", tmp_path / "out", scale=2)
    assert result.counts.total() == 12
    assert [row["image"] for row in rows_of(tmp_path / "out")] == sorted(files_of(photos))[:12]


def test_labels_come_along(photos: Path, tmp_path: Path) -> None:
    keys = ["photo003.jpg", "gone.jpg", "photo000.png", "photo003.jpg"]
    lines = ["image,crop,id", *(f"{key},x,{n:03}" for n, key in enumerate(keys))]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    crop(photos, tmp_path / "origin", labels=tmp_path / "labels.csv")
    (tmp_path / "labels.csv").unlink()
    recrop(tmp_path / "origin", tmp_path / "out")
    assert_same(tmp_path / "out", product(tmp_path / "origin"))
    assert [row["id"] for row in rows_of(tmp_path / "out")] == ["000", "001", "002", "003"]


def test_names_stay_what_they_were(tmp_path: Path) -> None:
    """Names that an earlier run settled, in an order that a new listing would not give."""
    write_photo(tmp_path / "in" / "b.png", 1)
    crop(tmp_path / "in", tmp_path / "origin")
    write_photo(tmp_path / "in" / "b.jpg", 2)
    crop(tmp_path / "in", tmp_path / "origin")
    recrop(tmp_path / "origin", tmp_path / "out")
    assert_same(tmp_path / "out", product(tmp_path / "origin"))


def test_a_recrop_of_a_recrop(photos: Path, origin: Path, tmp_path: Path) -> None:
    recrop(origin, tmp_path / "one", scale=2, size=40)
    recrop(tmp_path / "one", tmp_path / "two", scale=1.2, size=32)
    assert_same(tmp_path / "two", product(origin))


def test_moved_photos_from_a_list(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "in")
    (tmp_path / "list.txt").write_text("in/photo000.jpg\nin/day1/photo001.jpg")
    crop(tmp_path / "list.txt", tmp_path / "origin")
    recrop(tmp_path / "origin", tmp_path / "out")
    assert_same(tmp_path / "out", product(tmp_path / "origin"))


def test_the_command_says_how_many_changed(
    origin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["recrop", str(origin), "--out", str(tmp_path / "out"), "--conf", "0.9"]) == 0
    before = {row["image"]: row["status"] for row in rows_of(origin)}
    after = {row["image"]: row["status"] for row in rows_of(tmp_path / "out")}
    changed = sum(before[key] != after[key] for key in before)
    assert changed > 3
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"{counted(changed, 'photo')} changed status: {changed} cropped → resized"
    assert cli.main(["recrop", str(origin), "--out", str(tmp_path / "same")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "0 photos changed status"


@pytest.mark.parametrize("arguments", [["--conf", "0.01"], ["--classes", "Boat"], ["--size", "0"]])
def test_the_command_refuses_in_one_line(
    origin: Path, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["recrop", str(origin), "--out", str(tmp_path / "out"), *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert arguments[0] in said.err


def test_the_longest_names_in_a_longer_format(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / ("n" * 251 + ".jpg"), 1)
    crop(tmp_path / "in", tmp_path / "origin")
    recrop(tmp_path / "origin", tmp_path / "out", format="webp")
    crop(tmp_path / "in", tmp_path / "reference", format="webp")
    assert_same(tmp_path / "out", product(tmp_path / "reference"))


def test_class_names_may_hold_commas(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.jpg", 1)
    (tmp_path / "boxes.csv").write_text('image,box,class_name\na.jpg,5 5 30 30,"orca, killer whale"\n')
    first = crop(tmp_path / "in", tmp_path / "out", model=f"boxes:{tmp_path / 'boxes.csv'}", detector=None)
    assert first.counts == {"cropped": 1}
    assert recrop(tmp_path / "out", tmp_path / "again", scale=1.3).counts == {"cropped": 1}
    only = recrop(tmp_path / "out", tmp_path / "only", classes='"orca, killer whale"')
    assert only.counts == {"cropped": 1}
