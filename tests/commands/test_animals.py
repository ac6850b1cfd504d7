"""A crop for every animal: names, animals.csv, resume, recrop, shards, tar files, review and back."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.folder.verdict_lines import Verdict
from tests.kit.errors import refused
from tests.kit.folders import (
    animals_of,
    assert_one_row_each,
    assert_same,
    assert_samples,
    differing,
    files_of,
    product,
    row_of,
    samples,
)
from tests.kit.photos import write_photo
from tests.kit.verdicts import verdict_log

POD = {
    "a.jpg": ["2 2 22 22 0.9", "30 5 50 25 0.8", "5 6 12 12 0.95", "52 30 58 36 0.7"],
    "c.jpg": ["9 9 40 30 0.6"],
}
BODIES = ["2 2 22 22", "30 5 50 25", "52 30 58 36"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Photos of three animals (one with a fin's box in it), of none, and of one."""
    for number, name in enumerate(["a.jpg", "a.1.jpg", "d.png", "b.jpg", "c.jpg"]):
        write_photo(tmp_path / "in" / name, number)
    with open(tmp_path / "boxes.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "xmin", "ymin", "xmax", "ymax", "score"])
        for name in ("a.jpg", "a.1.jpg", "d.png", "b.jpg", "c.jpg"):
            for box in POD.get(name, []):
                writer.writerow([name, *box.split()])
            if name not in POD:
                writer.writerow([name, 1, 1, 9, 9, 0.01])
    return tmp_path


def crop_all(place: Path, out: str = "out", **settings: Any) -> api.RunResult:
    model = f"boxes:{place / 'boxes.csv'}"
    every = {"animals": "all", "size": 32, "conf": 0.5, "quiet": True}
    return api.run(place / "in", place / out, model=model, **{**every, **settings})


def test_every_animal_has_a_numbered_crop_and_a_row(place: Path) -> None:
    result = crop_all(place)
    of_pod = [row for row in animals_of(place / "out") if row["image"] == "a.jpg"]
    assert [row["box"] for row in of_pod] == BODIES
    assert [row["animal"] for row in of_pod] == ["1", "2", "3"]
    assert [row["crop"] for row in of_pod] == ["a.1.jpg", "a.2.jpg", "a.3.jpg"]
    assert all("several_animals" in row["flags"] for row in of_pod)
    (alone,) = [row for row in animals_of(place / "out") if row["image"] == "c.jpg"]
    assert (alone["crop"], alone["reason"]) == ("c.1.jpg", "every_animal")
    (none,) = [row for row in animals_of(place / "out") if row["image"] == "b.jpg"]
    assert (none["animal"], none["crop"], none["reason"]) == ("0", "b.0.jpg", "not_found")
    assert row_of(place / "out", "a.jpg")["n_crops"] == "3"
    assert result.crops == 4
    assert_one_row_each(place / "out", ["a.jpg", "a.1.jpg", "d.png", "b.jpg", "c.jpg"])


def test_the_page_counts_crops_and_draws_each_animal_once(place: Path) -> None:
    crop_all(place)
    page = (place / "out" / "audit.html").read_text("utf-8")
    assert "<title>detic-crop audit: out, 4 crops of 5 photos</title>" in page
    assert "2 were <b>cropped (40.0&nbsp;%; 4 crops)</b>" in page
    assert '<dt>crops</dt><dd class="number">4</dd>' in page
    assert "2 cropped photos; of each the largest animal" in page
    assert "the largest box of each of 2 photos on one frame" in page
    assert "Most suspicious crops (all 2 photos)" in page
    (entry,) = re.findall(r"<article (?:(?!</article>).)*>a\.jpg</a>.*?</article>", page, re.DOTALL)
    assert "the largest of 3 animals" in entry
    assert re.findall(r'<text class="(\w+)"[^>]*>([^<]*)<', entry) == [
        ("best", "0.95"),  # the fin, within an animal
        ("chosen", "0.90"),
        ("chosen", "0.80"),
        ("chosen", "0.70"),
    ]


def test_a_resume_makes_only_what_is_missing(place: Path) -> None:
    crop_all(place)
    before = product(place / "out")
    assert crop_all(place).done == 0
    (place / "out" / "a.2.jpg").unlink()
    assert crop_all(place).done == 1
    assert_same(place / "out", before)
    with refused("other_settings"):
        crop_all(place, max_animals=2)


def test_the_largest_and_the_large_enough(place: Path) -> None:
    crop_all(place, "two", max_animals=2)
    assert [row["box"] for row in animals_of(place / "two") if row["image"] == "a.jpg"] == BODIES[:2]
    crop_all(place, "large", min_side=10, not_found="skip")
    rows = [row for row in animals_of(place / "large") if row["image"] == "a.jpg"]
    assert (rows[2]["crop"], rows[2]["reason"]) == ("", "too_small")
    assert row_of(place / "large", "b.jpg")["status"] == "skipped"
    assert not list((place / "large").glob("b*"))
    with refused("option_not_applicable"):
        crop_all(place, "never", animals="largest", max_animals=2)


def test_recrop_goes_there_and_back_without_the_detector(place: Path) -> None:
    crop_all(place)
    crop_all(place, "largest", animals="largest")
    api.recrop(place / "out", place / "to_largest", animals="largest", quiet=True)
    api.recrop(place / "to_largest", place / "to_all", animals="all", quiet=True)
    crops = {name: data for name, data in files_of(place / "out").items() if name.endswith(".jpg")}
    again = {name: data for name, data in files_of(place / "to_all").items() if name.endswith(".jpg")}
    assert sorted(crops.values()) == sorted(again.values())
    one = files_of(place / "largest")["c.jpg"]
    assert files_of(place / "to_largest")["c.jpg"] == one == crops["c.1.jpg"]


def test_shards_and_workers_change_nothing(place: Path) -> None:
    crop_all(place, workers=1)
    whole = product(place / "out")
    for shard in ("0/2", "1/2"):
        crop_all(place, "parts", shard=shard, workers=3)
    api.merge(place / "parts")
    assert differing(product(place / "parts"), whole) == []


def test_each_crop_is_a_sample_of_a_tar_file(place: Path) -> None:
    crop_all(place, out_format="tar")
    assert_samples(place / "out")
    assert {f"a_{n}.jpg" for n in (1, 2, 3)} <= {name.rpartition("/")[2] for name in samples(place / "out")}


def test_what_a_reviewer_says_is_followed_and_taken_back(place: Path) -> None:
    crop_all(place)
    out, before = place / "out", product(place / "out")
    drawn = ((30.0, 5.0, 50.0, 25.0), (2.0, 25.0, 20.0, 38.0))
    log = verdict_log(out)
    log.append(
        Verdict("a.jpg", "box", drawn, "me", "t", "a calf?"), Verdict("c.jpg", "unsure", (), "me", "t")
    )
    api.apply(out, quiet=True)
    rows = [row for row in animals_of(out) if row["image"] == "a.jpg"]
    assert [row["box"] for row in rows] == ["2 25 20 38", "30 5 50 25"]
    assert {row["verdict"] for row in rows} == {"box"}
    assert {row["note"] for row in rows} == {"a calf?"}
    assert sorted(path.name for path in out.glob("a.[123].jpg")) == ["a.1.jpg", "a.2.jpg"]
    assert row_of(out, "c.jpg")["verdict"] == "unsure"
    assert float(row_of(out, "c.jpg")["suspicion"]) > 0
    log.append(Verdict("a.jpg", "rejected", (), "me", "t"))
    api.apply(out, quiet=True)
    assert not list(out.glob("a.[123].jpg"))
    log.append(Verdict("a.jpg", "undone"), Verdict("c.jpg", "undone"))
    api.apply(out, quiet=True)
    made = product(out)
    assert (
        differing(
            {n: d for n, d in made.items() if n.endswith(".jpg")},
            {n: d for n, d in before.items() if n.endswith(".jpg")},
        )
        == []
    )
    assert made["animals.csv"] == before["animals.csv"]


def test_of_several_boxes_the_largest_is_cropped_where_a_photo_has_one_crop(place: Path) -> None:
    crop_all(place, animals="largest")
    drawn = ((30.0, 5.0, 50.0, 25.0), (2.0, 25.0, 20.0, 30.0))
    verdict_log(place / "out").append(Verdict("a.jpg", "box", drawn, "me", "t"))
    assert api.apply(place / "out", quiet=True).done == 1
    assert row_of(place / "out", "a.jpg")["box"] == "30 5 50 25"
    assert api.apply(place / "out", quiet=True).done == 0
    api.recrop(place / "out", place / "all", animals="all", quiet=True)
    assert len([row for row in animals_of(place / "all") if row["image"] == "a.jpg"]) == 2


def test_overwrite_removes_exactly_what_was_made(place: Path) -> None:
    crop_all(place)
    (place / "out" / "a.9.jpg").write_bytes(b"mine")
    shutil.copy(place / "in" / "b.jpg", place / "out" / "notes.jpg")
    crop_all(place, "out", animals="largest", overwrite=True)
    left = {path.name for path in (place / "out").glob("*.jpg")}
    assert {"a.9.jpg", "notes.jpg", "a.jpg", "b.jpg", "c.jpg"} <= left
    assert not left & {"a.2.jpg", "a.3.jpg", "c.1.jpg", "b.0.jpg"}
