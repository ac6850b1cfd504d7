"""`detic-crop split`: the column fold, what is never parted, what stays, what is refused."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

import detic_crop
from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.folder.folder import OutputFolder
from tests.kit.errors import complained, refused
from tests.kit.folders import crop, product, product_and_state, rows_of
from tests.kit.outings import write_outing, write_timed
from tests.kit.photos import write_photo, write_photos
from tests.kit.verdicts import give_verdict


def folds(out: Path) -> dict[str, str]:
    return {row["image"]: row["fold"] for row in rows_of(out)}


def write_labels(path: Path, individuals: dict[str, str], column: str = "individual_id") -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", column])
        writer.writerows(individuals.items())
    return path


@pytest.fixture
def outing(tmp_path: Path) -> Path:
    """The output of a run on `write_outing`: pairs a second apart."""
    write_outing(tmp_path / "in", 40)
    crop(tmp_path / "in", tmp_path / "out")
    return tmp_path / "out"


def test_every_crop_has_a_fold_and_no_burst_is_parted(outing: Path) -> None:
    result = detic_crop.split(outing, 5)
    found = folds(outing)
    assert set(found.values()) == set("01234")
    api.write_audit(outing, encounter="gap:5min")
    in_burst: dict[str, set[str]] = {}
    for row in rows_of(outing):
        assert row["burst"]
        in_burst.setdefault(row["burst"], set()).add(row["fold"])
    assert all(len(of_burst) == 1 for of_burst in in_burst.values())
    assert len(in_burst) == 20
    assert result.division.counts == [8] * 5
    assert result.division.groups == 20
    assert result.division.leaks.bursts > 20


def test_encounters_stay_together(outing: Path) -> None:
    api.write_audit(outing, encounter="gap:20min")
    detic_crop.split(outing, 2, by="encounter")
    of_encounter: dict[str, set[str]] = {}
    for row in rows_of(outing):
        of_encounter.setdefault(row["encounter"], set()).add(row["fold"])
    assert len(of_encounter) > 1
    assert all(len(found) == 1 for found in of_encounter.values())


def test_by_takes_what_encounter_takes(outing: Path) -> None:
    detic_crop.split(outing, 2, by="folder")
    assert {(key.partition("/")[0], fold) for key, fold in folds(outing).items()} in (
        {("day1", "0"), ("day2", "1")},
        {("day1", "1"), ("day2", "0")},
    )
    detic_crop.split(outing, 2, by="gap:1h")
    assert "encounter" not in rows_of(outing)[0]


def test_copies_stay_together(tmp_path: Path) -> None:
    for number in range(6):
        for copy in "abc":
            write_photo(tmp_path / f"in/{copy}{number}.png", number)
    crop(tmp_path / "in", tmp_path / "out")
    result = detic_crop.split(tmp_path / "out", 3)
    found = folds(tmp_path / "out")
    assert all(len({found[f"{copy}{number}.png"] for copy in "abc"}) == 1 for number in range(6))
    assert result.division.leaks.copies > 9


def test_individuals_are_spread_and_strangers_held_out(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 40)
    individuals = {key: f"w{number % 8}" for number, key in enumerate(keys)}
    labels = write_labels(tmp_path / "labels.csv", individuals)
    crop(tmp_path / "in", tmp_path / "out", labels=labels)
    division = detic_crop.split(tmp_path / "out", 5, unseen=0.25).division
    found = folds(tmp_path / "out")
    of: dict[str, list[str]] = {}
    for key, fold in found.items():
        of.setdefault(individuals[key], []).append(fold)
    strangers = [name for name, of_one in of.items() if "-1" in of_one]
    assert len(strangers) == division.held_out == 2
    for name, of_one in of.items():
        assert sorted(of_one) == (["-1"] * 5 if name in strangers else list("01234"))
    assert division.unseen == 10
    assert division.unseen_others == 0


def test_the_column_of_individuals_is_guessed_or_named(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 10)
    labels = write_labels(tmp_path / "labels.csv", {key: "w" + key[-5] for key in keys}, "Animal Name")
    crop(tmp_path / "in", tmp_path / "out", labels=labels)
    assert detic_crop.split(tmp_path / "out", 2).division.individuals == 0
    named = detic_crop.split(tmp_path / "out", 2, individual="animal name").division
    assert named.individuals == 10
    assert named.saved.asked.individual == "Animal Name"
    assert named.in_one_group == 10


def test_rows_of_one_photo_may_name_several(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 6)
    with open(tmp_path / "labels.csv", "w", encoding="utf-8") as file:
        file.write("image,individual_id\n")
        file.writelines(f"{key},{name}\n" for key in keys for name in ("a", key[-5]))
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "labels.csv")
    division = detic_crop.split(tmp_path / "out", 2, unseen=0.1).division
    assert division.individuals == 7
    assert division.held_out == 1
    assert len(rows_of(tmp_path / "out")) == 12


def test_the_same_call_gives_the_same_folds(outing: Path) -> None:
    detic_crop.split(outing, 5)
    before, of_seed_0 = product_and_state(outing), folds(outing)
    detic_crop.split(outing, 5)
    assert product_and_state(outing) == before
    detic_crop.split(outing, 5, seed=1)
    assert folds(outing) != of_seed_0


def test_later_commands_keep_the_folds(tmp_path: Path, outing: Path) -> None:
    detic_crop.split(outing, 4)
    before = folds(outing)
    api.write_audit(outing)
    assert folds(outing) == before
    key = next(iter(before))
    give_verdict(outing, key, "rejected")
    api.apply(outing, quiet=True)
    assert folds(outing) == before | {key: ""}
    give_verdict(outing, key, "undone")
    api.apply(outing, quiet=True)
    assert folds(outing) == before
    write_timed(tmp_path / "in/day1/new.jpg", "2020:01:01 00:00:00", seed=99)
    result = crop(tmp_path / "in", outing)
    assert folds(outing) == before | {"day1/new.jpg": ""}
    assert "1 photo has no fold, since it comes after the split; split again" in result.notes
    api.recrop(outing, tmp_path / "again", size=16, quiet=True)
    assert folds(tmp_path / "again") == folds(outing)
    crop(tmp_path / "in", outing, overwrite=True, discard_review=True)
    assert "fold" not in rows_of(outing)[0]


def test_failed_and_rejected_photos_have_no_fold(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 6)
    (tmp_path / "in/broken.jpg").write_bytes(b"no photo")
    crop(tmp_path / "in", tmp_path / "out")
    give_verdict(tmp_path / "out", keys[0], "rejected")
    api.apply(tmp_path / "out", quiet=True)
    division = detic_crop.split(tmp_path / "out", 2).division
    found = folds(tmp_path / "out")
    assert found["broken.jpg"] == found[keys[0]] == ""
    assert division.without_fold == 2
    assert sum(division.counts) == 5


def test_what_is_printed(outing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["split", str(outing), "--folds", "5", "--by", "gap:1min"]) == 0
    said = capsys.readouterr().out
    assert "5 folds of 8 photos; 40 photos in 20 groups stayed together (copies, bursts, gap:1min)" in said
    assert "a random split would have parted " in said
    assert "(mean of 5 draws)" in said
    assert cli.main(["split", str(outing), "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_a_split_after_shards_and_in_a_tar(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 10)
    for shard in ("0/2", "1/2"):
        crop(tmp_path / "in", tmp_path / "out", shard=shard, out_format="tar")
    with refused("not_merged"):
        detic_crop.split(tmp_path / "out", 2)
    api.merge(tmp_path / "out")
    detic_crop.split(tmp_path / "out", 2)
    assert sorted(folds(tmp_path / "out").values()) == ["0"] * 5 + ["1"] * 5


def test_damaged_folds_cost_no_table(outing: Path) -> None:
    detic_crop.split(outing, 5)
    path = OutputFolder(outing).layout.folds
    saved = path.read_bytes()
    for damage in (b"", b"[]", saved[: len(saved) // 2], saved.replace(b",0]", b",3]"), b"\xff" + saved):
        path.write_bytes(damage)
        result = api.write_audit(outing)
        assert "fold" not in rows_of(outing)[0]
        assert any("folds.json is damaged" in note and "split again" in note for note in result.notes)
    detic_crop.split(outing, 5)
    assert path.read_bytes() == saved


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("bad_value", ["--folds", "1"]),
        ("bad_value", ["--folds", "0"]),
        ("bad_value", ["--folds", "1001"]),
        ("bad_value", ["--unseen", "1"]),
        ("bad_value", ["--unseen", "-0.1"]),
        ("bad_value", ["--unseen", "nan"]),
        ("bad_value", ["--seed", "-1"]),
        ("bad_value", ["--by", "gap:x"]),
        ("too_few_groups", ["--folds", "30"]),
        ("too_few_groups", ["--folds", "3", "--by", "folder"]),
        ("no_encounters", ["--by", "encounter"]),
        ("no_such_column", ["--by", "trip"]),
        ("no_such_column", ["--individual", "name"]),
        ("nobody_to_hold_out", ["--unseen", "0.1"]),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_changed(
    outing: Path, code: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = product_and_state(outing)
    capsys.readouterr()
    assert cli.main(["split", str(outing), *options]) == 2
    [said] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("detic-crop: ")]
    complained(code, said.removeprefix("detic-crop: "))
    assert product_and_state(outing) == before


def test_encounters_that_no_photo_has_are_refused(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 10)
    crop(tmp_path / "in", tmp_path / "out", encounter="gap:1h")
    with refused("no_encounters", names=["--by gap:1h"]):
        detic_crop.split(tmp_path / "out", 2, by="encounter")


def test_a_folder_without_a_run_or_crops_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert cli.main(["split", str(tmp_path / "empty")]) == 2
    assert complained("no_run", capsys.readouterr().err)
    assert list((tmp_path / "empty").iterdir()) == []
    (tmp_path / "in").mkdir()
    (tmp_path / "in/broken.jpg").write_bytes(b"no photo")
    crop(tmp_path / "in", tmp_path / "out")
    with refused("nothing_to_split"):
        detic_crop.split(tmp_path / "out", 2)


@pytest.mark.parametrize("name", ["folds", "seed", "unseen"])
@pytest.mark.parametrize("value", [True, "5", None, 2.5])
def test_values_of_another_kind_are_refused(tmp_path: Path, name: str, value: Any) -> None:
    with refused("bad_value", names=[f"--{name}"]):
        detic_crop.split(tmp_path, **{name: value})


def test_nothing_of_a_table_without_folds_changes(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 6)
    crop(tmp_path / "in", tmp_path / "out")
    before = product(tmp_path / "out")
    api.write_audit(tmp_path / "out")
    assert product(tmp_path / "out") == before


def test_the_animals_of_a_photo_share_its_fold(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 20)
    crop(tmp_path / "in", tmp_path / "out", animals="all", encounter="folder")
    detic_crop.split(tmp_path / "out", 4)
    of_photo = folds(tmp_path / "out")
    with open(tmp_path / "out/animals.csv", newline="", encoding="utf-8") as file:
        animals = list(csv.DictReader(file))
    assert len(animals) > 20
    assert all(row["fold"] == of_photo[row["image"]] for row in animals)
    assert all(row["encounter"] == (row["image"].rpartition("/")[0] or ".") for row in animals)
