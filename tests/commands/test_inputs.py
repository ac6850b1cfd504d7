"""One output folder has one input, unless another is added on purpose."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.errors import UsageError
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.photos.keys import STATE
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.folders import assert_one_row_each, assert_same, crop, files_of, product, rows_of, untouched
from tests.kit.photos import write_photo
from tests.kit.verdicts import verdict_log

FIRST, SECOND = ("a.jpg", "b.jpg", "day1/c.jpg"), ("x.jpg", "day1/y.jpg")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with `one`, `two` and `out`, which has the photos of `one`."""
    for seed, key in enumerate(FIRST):
        write_photo(tmp_path / "one" / key, seed, width=60 + seed)
    for seed, key in enumerate(SECOND):
        write_photo(tmp_path / "two" / key, 10 + seed, width=70 + seed)
    crop(tmp_path / "one", tmp_path / "out")
    return tmp_path


def run_json(out: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((out / "run.json").read_bytes())
    return value


def images(out: Path) -> list[str]:
    return [row["image"] for row in rows_of(out)]


# --- refused


def test_another_input_is_refused(work: Path) -> None:
    with untouched(work / "out"), refused("other_photos") as caught:
        crop(work / "two", work / "out")
    assert caught.value.message == (
        f"{work / 'out'} has the photos of {work / 'one'}, and --in {work / 'two'} has 2 others (first: "
        "day1/y.jpg); pass --add to add them to it, or another --out"
    )
    with untouched(work / "out"), refused("other_photos"):
        crop(work / "two", work / "out", dry_run=True)
    crop(work / "two", work / "out", overwrite=True)  # that is another matter
    assert sorted(images(work / "out")) == sorted(SECOND)


@pytest.mark.parametrize(
    ("input", "key", "there"),
    [("one/day1", "c.jpg", "day1/c.jpg"), (".", "one/a.jpg", "a.jpg"), ("list.txt", "", "a.jpg")],
)
def test_the_same_photos_under_other_names_are_refused(work: Path, input: str, key: str, there: str) -> None:
    """A folder above or below the first one, or a list of full paths: every photo would be there twice."""
    listed = [str(work / "one" / key) for key in FIRST]
    (work / "list.txt").write_text("\n".join(listed))
    for add in (False, True):
        code = "already_in_folder" if add else "same_photos_other_names"
        with untouched(work / "out"), refused(code) as caught:
            crop(work / input, work / "out", add=add)
        assert there in caught.value.message
        assert f"pass --in {work / 'one'} again" in caught.value.message
        assert key in caught.value.message


def test_lists_and_patterns_count_as_inputs_of_their_own(work: Path) -> None:
    for name, keys in (("l1", FIRST[:1]), ("l2", FIRST[1:])):
        (work / "one" / f"{name}.txt").write_text("\n".join(keys))
    crop(work / "one" / "l1.txt", work / "lists")
    with refused("other_photos"):
        crop(work / "one" / "l2.txt", work / "lists")
    crop(work / "one" / "l2.txt", work / "lists", add=True)
    assert images(work / "lists") == list(FIRST)
    with refused("other_photos"):
        crop(str(work / "two" / "*.jpg"), work / "out")


def test_names_that_both_inputs_have_are_refused(work: Path) -> None:
    write_photo(work / "two" / "a.jpg", 20)
    with untouched(work / "out"), refused("same_name_twice") as caught:
        crop(work / "two", work / "out", add=True)
    said = caught.value.message
    assert f"a.jpg is a photo of {work / 'one'} ({work / 'one' / 'a.jpg'})" in said
    assert f"one of {work / 'two'} ({work / 'two' / 'a.jpg'})" in said
    # Also one that comes later.
    (work / "two" / "a.jpg").unlink()
    crop(work / "two", work / "out", add=True)
    write_photo(work / "two" / "b.jpg", 21)
    with untouched(work / "out"), refused("same_name_twice") as caught:
        crop(work / "two", work / "out")
    assert f"b.jpg is a photo of {work / 'one'}" in caught.value.message


def test_other_photos_of_the_same_size_and_names_are_noticed(work: Path) -> None:
    """Uncompressed photos of one camera all have one size."""
    for seed, folder in enumerate(("n1", "n2")):
        for number in range(3):
            write_photo(work / folder / f"IMG_{number}.bmp", 30 + seed * 3 + number)
    crop(work / "n1", work / "bmp")
    with untouched(work / "bmp"), refused("same_name_other_photo"):
        crop(work / "n2", work / "bmp")


# --- added


def test_an_input_that_is_added(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crop(work / "two", work / "out", add=True)
    assert_one_row_each(work / "out", [*FIRST, *SECOND])
    assert images(work / "out") == [*FIRST, "day1/y.jpg", "x.jpg"]  # inputs in the order in which they came
    both = [str(work / "one"), str(work / "two")]
    told = run_json(work / "out")
    assert (told["input"], told["inputs"]) == (both[1], both)
    assert told["counts"] == dict.fromkeys(told["counts"], 0) | told["counts"]
    assert sum(told["counts"].values()) == 5
    page = (work / "out" / "audit.html").read_text(encoding="utf-8")
    assert "<dt>photos of</dt><dd>one, two</dd>" in page
    before = product(work / "out")
    # Each goes on by itself from now on, in any order, without being added again.
    for name in ("one", "two", "one"):
        detector = FakeDetector()
        result = crop(work / name, work / "out", detector=detector)
        assert (result.done, detector.calls.total(), sum(result.counts.values())) == (0, 0, 5)
        assert run_json(work / "out")["inputs"] == both
        assert_same(work / "out", before)


def test_added_photos_are_found_by_what_comes_later(work: Path) -> None:
    crop(work / "two", work / "out", add=True)
    before = product(work / "out")
    api.recrop(work / "out", work / "again", scale=1.2, quiet=True)
    assert images(work / "again") == images(work / "out")
    assert run_json(work / "again")["inputs"] == [str(work / "one"), str(work / "two")]
    api.write_audit(work / "out")
    assert_same(work / "out", before)
    log = verdict_log(work / "out")
    for key in ("a.jpg", "x.jpg"):
        log.append(Verdict(key, "box", ((1.0, 1.0, 30.0, 30.0),), "me", "now"))
    result = api.apply(work / "out", quiet=True)
    assert (result.problems, result.done) == ({}, 2)
    # Only one of them has moved.
    shutil.move(work / "two", work / "moved")
    for key in ("a.jpg", "x.jpg"):
        log.append(Verdict(key, "undone", (), "me", "now"))
    result = api.apply(work / "out", input=work / "moved", quiet=True)
    assert (result.problems, result.done) == ({}, 2)
    assert images(work / "out") == [*FIRST, "day1/y.jpg", "x.jpg"]


def test_what_an_added_input_becomes(work: Path) -> None:
    crop(work / "two", work / "out", add=True, limit=1)
    write_photo(work / "two" / "z.jpg", 40)
    write_photo(work / "one" / "later.jpg", 41)
    crop(work / "two", work / "out")
    crop(work / "one", work / "out")
    assert images(work / "out") == [*FIRST, "later.jpg", "day1/y.jpg", "x.jpg", "z.jpg"]
    (work / "two" / "x.jpg").unlink()  # keeps its row, as ever
    crop(work / "two", work / "out")
    assert sorted(images(work / "out")) == sorted([*FIRST, *SECOND, "later.jpg", "z.jpg"])
    shutil.move(work / "two", work / "moved")
    detector = FakeDetector()
    crop(work / "moved", work / "out", detector=detector)
    assert detector.calls.total() == 0
    assert run_json(work / "out")["inputs"] == [str(work / "one"), str(work / "moved")]
    shutil.move(work / "moved", work / "again")
    crop(work / "again", work / "out", add=True)  # the same command, but for the place
    assert run_json(work / "out")["inputs"] == [str(work / "one"), str(work / "again")]


def test_names_of_crops_do_not_meet(work: Path) -> None:
    write_photo(work / "two" / "a.png", 50)
    crop(work / "two", work / "out", add=True)
    assert {row["image"]: row["crop"] for row in rows_of(work / "out")}["a.png"] == "a.png.jpg"
    crop(work / "one", work / "out")
    assert_one_row_each(work / "out", [*FIRST, *SECOND, "a.png"])


def test_labels_may_name_the_photos_of_both(work: Path) -> None:
    (work / "labels.csv").write_text("image,who\nx.jpg,1\na.jpg,2\ngone.jpg,3\n")
    crop(work / "two", work / "out", add=True, labels=work / "labels.csv")
    assert [(row["image"], row["reason"] == "missing_file") for row in rows_of(work / "out")] == [
        ("x.jpg", False),
        ("a.jpg", False),
        ("gone.jpg", True),
    ]


# --- goes on


def test_the_same_photos_at_another_place(work: Path) -> None:
    before = product(work / "out")
    shutil.move(work / "one", work / "three")
    write_photo(work / "three" / "new.jpg", 60)
    detector = FakeDetector()
    crop(work / "three", work / "out", detector=detector)
    assert set(detector.calls) == {"new.jpg"}
    assert images(work / "out") == ["a.jpg", "b.jpg", "day1/c.jpg", "new.jpg"]
    assert {name: data for name, data in product(work / "out").items() if name in before} != {}
    assert run_json(work / "out")["inputs"] == [str(work / "three")]


def test_other_words_for_the_same_photos(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    (work / "one" / "list.txt").write_text("\n".join(FIRST))
    for input in ("one", "./one/", str(work / "one"), "one/list.txt", "one/**/*.jpg", "one/*", "one"):
        detector = FakeDetector()
        assert sum(crop(input, work / "out", detector=detector).counts.values()) == 3
        assert detector.calls.total() == 0
        assert images(work / "out") == list(FIRST)


def test_a_limit_first_then_all(work: Path) -> None:
    crop(work / "one", work / "some", limit=1)
    crop(work / "one", work / "some")
    assert_same(work / "some", product(work / "out"))


def test_a_folder_of_an_earlier_version_goes_on(work: Path) -> None:
    """It kept no inputs, only where most of its photos were."""
    listing = work / "out" / STATE / "listing.json"
    values = json.loads(listing.read_bytes())
    del values["inputs"]
    listing.write_text(json.dumps(values))
    with refused("other_photos"):
        crop(work / "two", work / "out")
    detector = FakeDetector()
    crop(work / "one", work / "out", detector=detector)
    assert detector.calls.total() == 0
    one = str(work / "one")
    assert json.loads(listing.read_bytes())["inputs"] == [{"in": one, "root": one}]
    listing.write_text(json.dumps(values))
    crop(work / "two", work / "out", add=True)
    assert images(work / "out") == [*FIRST, "day1/y.jpg", "x.jpg"]


def test_another_data_set_is_not_recropped_into_the_same_folder(work: Path) -> None:
    crop(work / "two", work / "out2")
    api.recrop(work / "out", work / "again", scale=1.5, quiet=True)
    with untouched(work / "again"), refused("other_photos"):
        api.recrop(work / "out2", work / "again", scale=1.5, quiet=True)
    api.recrop(work / "out", work / "again", scale=1.5, quiet=True)


# --- taken, and said


@pytest.mark.parametrize("keys", [FIRST, FIRST[:2]], ids=["all", "some"])
def test_a_copy_of_the_photos_becomes_the_input_and_that_is_said(
    work: Path, caplog: pytest.LogCaptureFixture, keys: tuple[str, ...]
) -> None:
    caplog.set_level("INFO")
    for key in keys:
        (work / "copy" / key).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(work / "one" / key, work / "copy" / key)
    result = crop(work / "copy", work / "out")
    words = f"{work / 'out'} had the photos of {work / 'one'}; from now on it has those of {work / 'copy'}"
    if len(keys) < len(FIRST):
        words += ", which lacks 1 of 3 (first: day1/c.jpg); that one keeps its row and crop"
    [said] = [record for record in caplog.records if record.getMessage() == words]
    assert said.levelname == ("INFO" if keys == FIRST else "WARNING")
    assert words in result.reported
    assert images(work / "out") == list(FIRST)
    caplog.clear()
    assert not crop(work / "copy", work / "out").reported  # once


def test_photos_that_left_the_input_are_counted_once(work: Path) -> None:
    (work / "one" / "a.jpg").unlink()
    result = crop(work / "one", work / "out")
    words = "1 photo of the last call is no longer in the input (first: a.jpg); it keeps its row and crop"
    assert words in result.notes
    assert words not in crop(work / "one", work / "out").notes
    assert sorted(images(work / "out")) == sorted(FIRST)


def test_an_input_that_is_an_output_folder_is_taken_with_a_warning(
    work: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = f"--in {work / 'out'} holds the crops of an earlier run, which are cropped again; pass the folder"
    for number, where in enumerate((work / "out", work / "out" / "*.jpg", work / "out" / "day1")):
        caplog.clear()
        crop(str(where), work / f"again{number}")
        warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert [line[: len(words)] for line in warned] == ([] if where.name == "day1" else [words])


# --- shards


def test_shards_of_another_input_are_refused(work: Path) -> None:
    crop(work / "one", work / "s", shard="0/2")
    for shard in ("0/2", "1/2"):
        with untouched(work / "s"), refused("other_photos", UsageError):
            crop(work / "two", work / "s", shard=shard)
        with refused("other_photos", UsageError) as caught:
            crop(work / "two", work / "s", shard=shard, add=True)
        assert "first run: detic-crop merge" in caught.value.message
    for seed, key in enumerate(FIRST):  # others of the same names
        write_photo(work / "four" / key, seed, width=90)
    with untouched(work / "s"), refused("same_name_other_photo", UsageError):
        crop(work / "four", work / "s", shard="0/2")
    shutil.copytree(work / "one", work / "elsewhere")
    crop(work / "elsewhere", work / "s", shard="1/2")
    api.merge(work / "s")
    assert images(work / "s") == list(FIRST)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_shards_of_an_added_input(work: Path, count: int) -> None:
    shutil.copytree(work / "out", work / "unsharded")
    crop(work / "two", work / "unsharded", add=True)
    for index in range(count):
        if index == 1:
            with refused("other_photos", UsageError):
                crop(work / "two", work / "out", shard=f"{index}/{count}")
        crop(work / "two", work / "out", shard=f"{index}/{count}", add=True)
    api.merge(work / "out")
    assert_same(work / "out", product(work / "unsharded"))
    ours, theirs = (files_of(work / name)[f"{STATE}/listing.json"] for name in ("out", "unsharded"))
    assert json.loads(ours) == json.loads(theirs)
    assert run_json(work / "out")["inputs"] == [str(work / "one"), str(work / "two")]
    assert sum(crop(work / "one", work / "out").counts.values()) == 5


def test_the_command_of_a_missing_shard_can_be_given(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [f"{key},1 1 30 30" for key in (*FIRST, *SECOND)]
    (work / "boxes.csv").write_text("\n".join(["image,box", *rows]))
    common = ["--out", str(work / "b"), "--model", f"boxes:{work / 'boxes.csv'}", "--quiet"]
    assert cli.main(["run", "--in", str(work / "one"), *common]) == 0
    assert cli.main(["run", "--in", str(work / "two"), *common]) == 2
    assert cli.main(["run", "--in", str(work / "two"), *common, "--add", "--shard", "0/2"]) == 0
    caplog.clear()
    assert cli.main(["merge", str(work / "b")]) == 1
    (said,) = [record.getMessage() for record in caplog.records if "--shard 1/2" in record.getMessage()]
    words = said.partition("detic-crop run ")[2].split()
    assert "--add" in words
    assert "True" not in words
    assert cli.main(["run", *words]) == 0
    assert cli.main(["merge", str(work / "b")]) == 0
    assert_one_row_each(work / "b", [*FIRST, *SECOND])


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "[]",
        '{"root": 1, "keys": [], "paths": {}}',
        '{"root": "", "keys": null, "paths": {}}',
        '{"root": "", "keys": [1], "paths": {}}',
        '{"root": "", "keys": [], "paths": []}',
        '{"root": "", "keys": [], "paths": {"a": 1}}',
        '{"root": "", "keys": ["a"], "paths": {}, "inputs": 5}',
    ],
)
def test_a_damaged_listing_says_what_helps(work: Path, damage: str) -> None:
    listing = work / "out" / STATE / "listing.json"
    listing.write_text(damage)
    with refused("listing_damaged"):
        crop(work / "one", work / "out")
    listing.unlink()
    assert crop(work / "one", work / "out").skipped == len(FIRST)
