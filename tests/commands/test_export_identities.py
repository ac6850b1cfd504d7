"""Exports for identifying individuals: wildlife, miewid, pyseter. Who is where, under which name, when."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import cv2
import pytest

from detic_crop import api
from detic_crop.exports.base import Of
from detic_crop.exports.individuals import Moment, moment_of
from detic_crop.exports.names import UniqueWords, plain
from detic_crop.folder.animals import boxes_of
from tests.kit.errors import refused
from tests.kit.folders import crop, files_of, records_of
from tests.kit.photos import write_photos
from tests.kit.sightings import BRIGHT, LABELS, LEFT, RIGHT, BrightDetector, crop_sightings
from tests.kit.verdicts import give_verdict

FORMATS = ("wildlife", "miewid", "pyseter")
TABLES = {"wildlife": "metadata.csv", "miewid": "annotations.csv", "pyseter": "bounding_boxes.csv"}
XYWH = [BRIGHT[0], BRIGHT[1], BRIGHT[2] - BRIGHT[0], BRIGHT[3] - BRIGHT[1]]


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


@pytest.fixture(scope="module")
def cropped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crop_sightings(tmp_path_factory.mktemp("sightings"), encounter="trip")


def test_wildlife_has_the_columns_of_its_readers(cropped: Path, tmp_path: Path) -> None:
    result = api.export(cropped, "wildlife", tmp_path / "out")
    rows = table(tmp_path / "out" / "metadata.csv")
    assert result.count == len(rows) == len(LABELS)
    assert list(rows[0])[:7] == ["image_id", "identity", "path", "bbox", "date", "position", "species"]
    assert len({row["image_id"] for row in rows}) == len(rows)
    for row in rows:
        individual, species, side, date, trip = LABELS[row["photo"]]
        assert row["identity"] == (individual if individual in ("anna", "berta", "007") else "unknown")
        assert (row["species"], row["position"], row["encounter"]) == (species, side, trip)
        row["path"].encode("ascii")
        assert (tmp_path / "out" / row["path"]).is_file()
        if row["photo"] != "two.jpg":
            assert json.loads(row["bbox"]) == XYWH
        assert row["label_date"] == date
    dates = {row["photo"]: row["date"] for row in rows}
    assert dates["con.jpg"] == dates["day 1/Wal ä.jpg"] == "2019-07-04"
    assert dates["clear.png"] == "2019-07-06"
    assert dates["side.jpg"] == "2019-07-07"  # of its EXIF
    assert dates["flat.tif"] == dates["cut.jpg"] == ""  # only the year; nobody knows which number is the day
    assert "3 of unknown individuals" in " ".join(result.notes)


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("of", ["photos", "crops"])
def test_the_box_has_the_animal_in_the_stored_picture(cropped: Path, tmp_path: Path, to: str, of: Of) -> None:
    """The pixels in the box are bright, those around it dark: of photos on their side and TIFF files, too."""
    api.export(cropped, to, tmp_path / "out", of=of)
    checked = 0
    for row in table(tmp_path / "out" / TABLES[to]):
        name = row.get("path") or f"images/{row.get('file_name')}"
        if to == "pyseter":
            name = f"all_images/{row['filename']}"
        image = cv2.imread(str(tmp_path / "out" / name), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        assert image is not None
        if to == "pyseter":
            left, top, right, bottom = (int(row[edge]) for edge in ("xmin", "ymin", "xmax", "ymax"))
        else:
            x, y, w, h = json.loads(row["bbox"]) if to == "wildlife" else (int(row[key]) for key in "xywh")
            left, top, right, bottom = x, y, x + w, y + h
        assert 0 <= left < right <= image.shape[1]
        assert 0 <= top < bottom <= image.shape[0]
        if "cut" in name:
            continue  # grey where it ends
        inside = image[top + 3 : bottom - 3, left + 3 : right - 3]
        assert inside.mean() > 200
        around = image.astype(int)
        around[max(0, top - 3) : bottom + 3, max(0, left - 3) : right + 3] = 0
        if "two" not in name:
            assert around.max() < 100
        checked += 1
    assert checked >= 7


@pytest.mark.parametrize("to", FORMATS)
def test_verdicts_count(tmp_path: Path, to: str) -> None:
    out = crop_sightings(tmp_path)
    give_verdict(out, "day 1/Wal ä.jpg", "rejected")
    give_verdict(out, "con.jpg", "box", (10.0, 5.0, 40.0, 70.0))
    give_verdict(out, "side.jpg", "whole")
    api.apply(out, quiet=True)
    result = api.export(out, to, tmp_path / "to")
    assert result.left_out["rejected"] == 1
    rows = table(tmp_path / "to" / TABLES[to])
    shown = {"".join(row.get(key, "") for key in ("path", "file_name", "filename")): row for row in rows}
    assert not [name for name in files_of(tmp_path / "to") if "day_1_Wal_a-2" in name]
    by_name = {Path(name).name: row for name, row in shown.items()}
    if to == "wildlife":
        boxes = {name: json.loads(row["bbox"]) for name, row in by_name.items()}
    elif to == "miewid":
        boxes = {name: [int(row[key]) for key in "xywh"] for name, row in by_name.items()}
    else:
        edges = {
            name: [int(row[key]) for key in ("xmin", "ymin", "xmax", "ymax")] for name, row in by_name.items()
        }
        boxes = {name: [x, y, right - x, bottom - y] for name, (x, y, right, bottom) in edges.items()}
    assert boxes["photo_con.jpg"] == [10, 5, 30, 65]
    assert boxes["side.jpg"] == [0, 0, 120, 80]


def test_every_animal_has_a_row(tmp_path: Path) -> None:
    out = crop_sightings(tmp_path, animals="all")
    for to in FORMATS:
        result = api.export(out, to, tmp_path / to)
        assert "share a photo with others" in " ".join(result.notes)
    found = [row for row in table(tmp_path / "wildlife" / "metadata.csv") if row["photo"] == "two.jpg"]
    assert [row["image_id"] for row in found] == ["two.jpg#1", "two.jpg#2"]
    assert {row["path"] for row in found} == {"images/two.jpg"}
    assert ["several_animals" in row["flags"] for row in found] == [True, True]
    expected = [[left, top, right - left, bottom - top] for left, top, right, bottom in (LEFT, RIGHT)]
    assert [json.loads(row["bbox"]) for row in found] == expected
    rows = [row for row in table(tmp_path / "miewid" / "annotations.csv") if row["photo"] == "two.jpg"]
    assert [[int(row[key]) for key in "xywh"] for row in rows] == expected
    boxes = {row["filename"]: row for row in table(tmp_path / "pyseter" / "bounding_boxes.csv")}
    assert [boxes[f"two.{number}.jpg"]["xmin"] for number in (1, 2)] == ["8", "70"]
    files = files_of(tmp_path / "pyseter")
    assert files["all_images/two.1.jpg"] == files["all_images/two.2.jpg"]
    api.export(out, "wildlife", tmp_path / "crops", of="crops")
    found = [row for row in table(tmp_path / "crops" / "metadata.csv") if row["photo"] == "two.jpg"]
    assert [row["path"] for row in found] == ["images/two.1.jpg", "images/two.2.jpg"]


def test_animals_without_a_crop_are_not_there(tmp_path: Path) -> None:
    out = crop_sightings(tmp_path, animals="all", min_side=41)
    api.export(out, "wildlife", tmp_path / "out")
    rows = table(tmp_path / "out" / "metadata.csv")
    assert [row["image_id"] for row in rows if row["photo"] == "two.jpg"] == ["two.jpg#2"]


@pytest.mark.parametrize(
    ("folds", "unseen", "expected"),
    [
        (2, 0.0, {"0": "val", "1": "train"}),
        (3, 0.0, {"0": "val", "1": "test", "2": "train"}),
        (2, 0.3, {"-1": "test", "0": "val", "1": "train"}),
    ],
)
def test_folds_become_parts(tmp_path: Path, folds: int, unseen: float, expected: dict[str, str]) -> None:
    keys = write_photos(tmp_path / "in", 16)
    lines = ["image,individual_id", *(f"{key},id{n % 4}" for n, key in enumerate(keys))]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    crop(tmp_path / "in", tmp_path / "cropped", labels=tmp_path / "labels.csv")
    api.split(tmp_path / "cropped", folds, unseen=unseen)
    api.export(tmp_path / "cropped", "miewid", tmp_path / "out")
    api.export(tmp_path / "cropped", "wildlife", tmp_path / "wildlife")
    fold = {row["photo"]: row["fold"] for row in table(tmp_path / "wildlife" / "metadata.csv")}
    assert set(fold.values()) == set(expected)
    parts = {path.stem: table(path) for path in (tmp_path / "out").glob("*.csv")}
    assert set(parts) == set(expected.values())
    assert sorted(row["photo"] for rows in parts.values() for row in rows) == sorted(keys)
    assert all(expected[fold[row["photo"]]] == part for part, rows in parts.items() for row in rows)


def test_paths_of_miewid_are_those_of_the_finished_folder(cropped: Path, tmp_path: Path) -> None:
    result = api.export(cropped, "miewid", tmp_path / "out")
    rows = table(tmp_path / "out" / "annotations.csv")
    assert {row["species"] for row in rows} >= {"humpback_whale", "killer_whale"}
    for row in rows:
        assert row["file_path"] == str(tmp_path / "out" / "images" / row["file_name"])
        assert Path(row["file_path"]).is_file()
        assert all(row.values()) or not row["flags"]
    assert result.left_out == {"individual unknown": 3}
    assert f"images_dir: {tmp_path / 'out' / 'images'}" in " ".join(result.notes)


def test_miewid_needs_individuals(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 3)
    crop(tmp_path / "in", tmp_path / "plain")
    with refused("no_individual", names=["--individual"]):
        api.export(tmp_path / "plain", "miewid", tmp_path / "out")
    (tmp_path / "labels.csv").write_text(
        "image,who\n" + "".join(f"{key},\n" for key in records_of(tmp_path / "plain"))
    )
    crop(tmp_path / "in", tmp_path / "labelled", labels=tmp_path / "labels.csv")
    with refused("nothing_to_export", names=["who"]):
        api.export(tmp_path / "labelled", "miewid", tmp_path / "out", individual="who")
    assert not (tmp_path / "out").exists()


def test_without_labels_individuals_are_unknown(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 6)
    crop(tmp_path / "in", tmp_path / "cropped")
    api.export(tmp_path / "cropped", "wildlife", tmp_path / "out")
    rows = table(tmp_path / "out" / "metadata.csv")
    assert {row["identity"] for row in rows} == {"unknown"}
    assert [row["photo"] for row in rows] == sorted(keys)
    records = records_of(tmp_path / "cropped")
    for row in rows:  # a photo in which nothing was found is its own box
        record = records[row["photo"]]
        if not boxes_of(record):
            assert json.loads(row["bbox"]) == [0, 0, record.width, record.height]
    api.export(tmp_path / "cropped", "pyseter", tmp_path / "pyseter")
    assert not (tmp_path / "pyseter" / "individuals.csv").exists()
    encounters = Counter(row["encounter"] for row in table(tmp_path / "pyseter" / "encounter_info.csv"))
    assert encounters == Counter(key.rpartition("/")[0].replace("/", "_") or "photos" for key in keys)


def test_label_columns_that_mean_something_else_to_the_reader_are_renamed(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 3)
    lines = [f"{key},v1,x,y,z" for key in keys]
    (tmp_path / "labels.csv").write_text("\n".join(["image,video,path,label_path,segmentation", *lines]))
    crop(tmp_path / "in", tmp_path / "cropped", labels=tmp_path / "labels.csv", detector=BrightDetector())
    api.export(tmp_path / "cropped", "wildlife", tmp_path / "out")
    row = table(tmp_path / "out" / "metadata.csv")[0]
    assert (row["label_video"], row["label_label_path"], row["label_path"]) == ("v1", "x", "y")
    assert row["label_segmentation"] == "z"
    assert row["path"].startswith("images/")


def test_the_same_twice(cropped: Path, tmp_path: Path) -> None:
    for to in ("wildlife", "pyseter", "wildbook"):
        api.export(cropped, to, tmp_path / "a" / to)
        api.export(cropped, to, tmp_path / "b" / to)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019-07-04", Moment(2019, 7, 4)),
        ("2019/7/4 9:05", Moment(2019, 7, 4, 9, 5)),
        ("2019:07:04 12:31:05", Moment(2019, 7, 4, 12, 31)),
        ("2019-07-04T12:31:05.25+02:00", Moment(2019, 7, 4, 12, 31)),
        ("20190704", Moment(2019, 7, 4)),
        ("2019-07", Moment(2019, 7)),
        (" 2019 ", Moment(2019)),
        ("2019-00-00", Moment(2019)),
        *((text, None) for text in ("", "04/07/2019", "2019-13-01", "2019-02-30", "0000-00-00", "July 2019")),
    ],
)
def test_dates(text: str, expected: Moment | None) -> None:
    assert moment_of(text) == expected


@pytest.mark.parametrize(
    ("name", "filler", "expected"),
    [
        ("day 1/Wal ä.jpg", "_", "day_1_Wal_a.jpg"),
        ("Straße--Ø/č.JPG", " ", "Strasse O c.JPG"),
        ("鯨.jpg", "_", "photo.jpg"),
        ("con.jpg", " ", "photo con.jpg"),
        ("a.b.c.jpg", " ", "a.b.c.jpg"),
        ("x" * 300 + "end.jpg", "_", "x" * 147 + "end.jpg"),
        ("..hidden_.png", "_", "hidden.png"),
    ],
)
def test_plain_names(name: str, filler: str, expected: str) -> None:
    assert plain(name, filler) == expected


def test_words_are_not_shared() -> None:
    words = UniqueWords("_", "photos")
    assert [words(text) for text in ("ä/b", "a_b", "A b", "", "ä/b", "a.b")] == [
        *("a_b", "a_b-2", "A_b-3", "photos", "a_b", "a_b-4")
    ]
