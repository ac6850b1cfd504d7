"""`detic-crop export --to kaggle`: Kaggle's limits, and the loaders of the Happywhale competition."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import pytest

from detic_crop import api
from detic_crop.cli.main import main
from detic_crop.exports.kaggle import LICENCES
from tests.kit.errors import complained, refused
from tests.kit.folders import crop, files_of, rows_of
from tests.kit.photos import write_damaged, write_photo, write_photos
from tests.kit.verdicts import give_verdict

ORIGINAL = {"train": "image,species,individual_id,box", "test": "image,predictions,box"}


def run(folder: Path, part: str, count: int, columns: str, cells: str) -> Path:
    """A finished run of JPEG photos in one folder, with labels, as the competition has them."""
    names = [f"{number * 7919 % 65536:04x}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        write_photo(folder / f"{part}_images" / name, number)
    labels = folder / f"{part}.csv"
    labels.write_text("\n".join([f"image,{columns}", *(f"{name},{cells}" for name in sorted(names))]))
    crop(folder / f"{part}_images", folder / f"cropped_{part}", labels=labels)
    return folder / f"cropped_{part}"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 20 training photos, and one of 9 test photos."""
    folder = tmp_path_factory.mktemp("kaggle")
    run(folder, "train", 20, "species,individual_id", "beluga,cab2ce1793f2")
    run(folder, "test", 9, "predictions", "37c7aba965a5 114207cab555 new_individual")
    return folder


def check_metadata(folder: Path) -> dict[str, Any]:
    """Hold dataset-metadata.json against what Kaggle's documentation says of it."""
    found: dict[str, Any] = json.loads((folder / "dataset-metadata.json").read_text("utf-8"))
    assert 6 <= len(found["title"]) <= 50
    assert 20 <= len(found["subtitle"]) <= 80
    user, slug = found["id"].split("/")
    assert re.fullmatch("[a-z0-9_-]+", user)
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert 3 <= len(slug) <= 50
    ((only, name),) = [item for licence in found["licenses"] for item in licence.items()]
    assert only == "name"
    assert name in LICENCES
    for resource in found["resources"]:
        header = (folder / resource["path"]).read_text("utf-8").partition("\n")[0]
        assert [field["name"] for field in resource["schema"]["fields"]] == header.split(",")
    return found


def test_both_parts_in_one_data_set(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "whales"
    result = api.export(work / "cropped_train", "kaggle", out, test=work / "cropped_test", user="Me")
    assert result.count == 29
    found = check_metadata(out)
    assert found["id"] == "me/dolphins-and-whales-whales"
    assert found["description"] == (out / "README.md").read_text("utf-8")
    assert len(found["resources"]) == 2
    for part, header in ORIGINAL.items():
        assert (out / f"{part}2.csv").read_text().partition("\n")[0] == header
        table = pd.read_csv(out / f"{part}2.csv", keep_default_na=False)
        folder = out / f"cropped_{part}_images" / f"cropped_{part}_images"
        for image, box in zip(table["image"], table["box"], strict=True):
            assert cv2.imread(f"{folder}/{image}") is not None
            assert re.fullmatch(r"(\d+ \d+ \d+ \d+)?", box)
    assert result.notes[-1].endswith(f"kaggle datasets create -p {out} -r zip")
    assert "licence is called unknown" in result.notes[-2]


def test_the_loader_that_joins_by_position(work: Path, tmp_path: Path) -> None:
    """As the first place's program puts boxes beside the competition's own table, and looks for no name."""
    api.export(work / "cropped_train", "kaggle", tmp_path / "out", user="me")
    table = pd.read_csv(work / "train.csv")
    boxes = pd.read_csv(tmp_path / "out" / "train2.csv").box
    table["detic"] = boxes.map(lambda text: list(map(int, text.split())) if text == text else None)
    assert len(boxes) == len(table)
    for (_, row), audit in zip(table.iterrows(), rows_of(work / "cropped_train"), strict=True):
        assert row["image"] == audit["image"]
        found = row["detic"] if isinstance(row["detic"], list) else []
        assert found == [int(edge) for edge in audit["box"].split()]


def test_the_nth_file_is_that_of_the_nth_row(work: Path, tmp_path: Path) -> None:
    """As loaders do that list the files, for tables in the order of the names, as the competition's are."""
    api.export(work / "cropped_test", "kaggle", tmp_path / "out", part="test", user="me")
    folder = tmp_path / "out" / "cropped_test_images" / "cropped_test_images"
    table = pd.read_csv(tmp_path / "out" / "test2.csv")
    assert table["image"].tolist() == sorted(path.name for path in folder.iterdir())


def test_rejected_and_failed_photos_are_in_neither_table_nor_folder(tmp_path: Path) -> None:
    out = run(tmp_path, "train", 12, "species,individual_id", "beluga,x")
    (tmp_path / "train_images" / rows_of(out)[3]["image"]).write_bytes(b"no photo")
    crop(tmp_path / "train_images", out, labels=tmp_path / "train.csv")
    gone = [row["image"] for row in rows_of(out) if row["status"] == "failed"]
    gone.append(next(row["image"] for row in rows_of(out) if row["status"] == "cropped"))
    give_verdict(out, gone[-1], "rejected")
    api.apply(out, quiet=True)
    result = api.export(out, "kaggle", tmp_path / "set", user="me")
    table = pd.read_csv(tmp_path / "set" / "train2.csv")
    files = {
        path.name for path in (tmp_path / "set" / "cropped_train_images" / "cropped_train_images").iterdir()
    }
    assert set(table["image"]) == files
    assert len(files) == 10
    assert not files & set(gone)
    assert any("2 label rows are not in the table" in note for note in result.notes)
    assert "Photos left out: 2 (failed 1, rejected 1)" in (tmp_path / "set" / "README.md").read_text("utf-8")


def test_photos_in_folders_and_of_other_formats_are_told(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 9)
    write_damaged(tmp_path / "in")
    for form in ("files", "tar"):
        crop(tmp_path / "in", tmp_path / form, out_format=form)
        api.export(tmp_path / form, "kaggle", tmp_path / f"set-{form}", user="me")
    table = pd.read_csv(tmp_path / "set-files" / "train2.csv")
    assert list(table.columns) == ["image", "box", "photo"]
    assert table["photo"].tolist() == keys
    assert table["image"].tolist() == [
        row["crop"].replace("/", "__") for row in rows_of(tmp_path / "files") if row["crop"]
    ]
    pictures = [
        {name: data for name, data in files_of(tmp_path / f"set-{form}").items() if name.endswith("jpg")}
        for form in ("files", "tar")
    ]
    assert len(pictures[0]) == len(pictures[1]) == 9
    assert sorted(pictures[0].values()) == sorted(pictures[1].values())


def test_every_animal_has_a_row(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 9)
    crop(tmp_path / "in", tmp_path / "cropped", animals="all", classes="any", conf=0.05)
    result = api.export(tmp_path / "cropped", "kaggle", tmp_path / "set", user="me")
    table = pd.read_csv(tmp_path / "set" / "train2.csv")
    folder = tmp_path / "set" / "cropped_train_images" / "cropped_train_images"
    assert result.count == len(table) == len(set(table["image"])) == len(list(folder.iterdir())) > 9
    assert table["photo"].nunique() <= 9


def test_the_card_says_what_is_known(tmp_path: Path) -> None:
    out = run(tmp_path, "train", 12, "species,individual_id", "beluga,x")
    api.export(out, "kaggle", tmp_path / "before", user="me", licence="cc-by-4.0", title="Belugas of one bay")
    card = (tmp_path / "before" / "README.md").read_text("utf-8")
    assert "How many crops are right is not known" in card
    assert "# Belugas of one bay" in card
    assert "Licence: CC-BY-4.0" in card
    assert "detic-crop run --in train_images --out CROPPED --labels train.csv --model fake" in card
    assert "Estimated with" not in card
    assert "| model | fake |" in card
    assert "| vocabulary |" not in card
    assert "| detector\\_size |" not in card
    assert "| detector_size |" not in card
    assert "- Photos by status: cropped " in card
    assert check_metadata(tmp_path / "before")["licenses"] == [{"name": "CC-BY-4.0"}]
    api.write_audit(out, sample=12)
    for row in rows_of(out):
        give_verdict(out, row["image"], "accepted" if row["status"] == "cropped" else "whole")
    api.apply(out, quiet=True)
    api.export(out, "kaggle", tmp_path / "after", user="me")
    card = (tmp_path / "after" / "README.md").read_text("utf-8")
    assert "100.0 % of the" in card
    assert "All 12 photos were reviewed by a person" in card
    assert "Estimated with: detic-crop" in card


def test_the_same_bytes_every_time(work: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        api.export(work / "cropped_train", "kaggle", tmp_path / name / "set", user="me")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"user": "some one"}, ["--user", "some one"]),
        ({"user": "me", "title": "Whale"}, ["--title", "6 to 50", "got 5"]),
        ({"user": "me", "title": "w" * 51}, ["--title", "got 51"]),
        ({"user": "me", "title": "Дельфины"}, ["--title", "letters a to z"]),
        ({"user": "me", "licence": "mine"}, ["--licence", "mine", "CC0-1.0"]),
    ],
)
def test_what_kaggle_would_not_take_is_refused(
    work: Path, tmp_path: Path, given: dict[str, Any], names: list[str]
) -> None:
    with refused("not_for_kaggle", names=names):
        api.export(work / "cropped_train", "kaggle", tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_the_account_may_come_later(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAGGLE_USERNAME", raising=False)
    result = api.export(work / "cropped_train", "kaggle", tmp_path / "none")
    metadata = json.loads((tmp_path / "none" / "dataset-metadata.json").read_text())
    assert metadata["id"].startswith("INSERT_USERNAME/")
    assert "INSERT_USERNAME" in result.notes[-1]
    monkeypatch.setenv("KAGGLE_USERNAME", "Somebody")
    result = api.export(work / "cropped_train", "kaggle", tmp_path / "somebodys")
    metadata = json.loads((tmp_path / "somebodys" / "dataset-metadata.json").read_text())
    assert metadata["id"].startswith("somebody/")
    assert "INSERT" not in result.notes[-1]


def test_a_test_part_has_no_test_part(work: Path, tmp_path: Path) -> None:
    with refused("option_not_applicable", names=["--part test", "--test"]):
        api.export(
            work / "cropped_train",
            "kaggle",
            tmp_path / "out",
            user="me",
            part="test",
            test=work / "cropped_test",
        )
    with refused("option_not_applicable", names=["--test"]):
        api.export(work / "cropped_train", "imagefolder", tmp_path / "out", test=work / "cropped_test")


def test_on_the_command_line(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", str(work / "cropped_train"), "--to", "kaggle", "--out", str(tmp_path / "set")]
    assert main([*words, "--user", "some one"]) == 2
    complained("not_for_kaggle", capsys.readouterr().err)
    assert main([*words, "--user", "me", "--test", str(work / "cropped_test"), "--quiet"]) == 0
    assert main([*words[:-1], str(tmp_path / "again"), "--user", "me"]) == 0
    said = capsys.readouterr().out
    assert "kaggle datasets create -p" in said
    assert re.search(r"^kaggle: 20 crops \(20 as links\) in ", said, re.MULTILINE)


def test_folds_are_the_last_column(tmp_path: Path) -> None:
    names = write_photos(tmp_path / "in", 9)
    (tmp_path / "labels.csv").write_text("\n".join(["image,fold", *(f"{name},theirs" for name in names)]))
    crop(tmp_path / "in", tmp_path / "cropped", labels=tmp_path / "labels.csv")
    api.split(tmp_path / "cropped", folds=3)
    api.export(tmp_path / "cropped", "kaggle", tmp_path / "set", user="me")
    check_metadata(tmp_path / "set")
    table = pd.read_csv(tmp_path / "set" / "train2.csv", dtype=str, keep_default_na=False)
    assert list(table.columns)[-1] == "fold"
    assert table["label_fold"].tolist() == ["theirs"] * 9
    assert table["fold"].tolist() == [row["fold"] for row in rows_of(tmp_path / "cropped")]
    assert set(table["fold"]) == {"0", "1", "2"}


def test_a_licence_is_a_license(work: Path, tmp_path: Path) -> None:
    words = ["export", str(work / "cropped_train"), "--to", "kaggle", "--out", str(tmp_path / "set")]
    assert main([*words, "--user", "me", "--license", "CC0-1.0", "--quiet"]) == 0
    assert check_metadata(tmp_path / "set")["licenses"] == [{"name": "CC0-1.0"}]
