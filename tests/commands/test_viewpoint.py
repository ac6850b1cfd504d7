"""From which side an animal is seen: said, applied, kept by every command, in tables and exports."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.folder.verdict_lines import VIEWPOINTS, Verdict
from detic_crop.photos.keys import STATE
from detic_crop.report.more_columns import REMARKS
from tests.kit.errors import refused
from tests.kit.folders import crop, files_of, product, records_of, rows_of
from tests.kit.photos import write_photo, write_photos
from tests.kit.review import reviewing
from tests.kit.sightings import LABELS, crop_sightings
from tests.kit.verdicts import DRAWN, give_verdict, verdict_log, verdicts_of


def see(out: Path, image: str, viewpoint: str, verdict: str = "undone", **more: Any) -> None:
    """Say from which side the animal of a photo is seen."""
    boxes = (DRAWN,) if verdict == "box" else ()
    verdict_log(out).append(Verdict(image, verdict, boxes, "me", "t", viewpoint=viewpoint, **more))


def viewpoints_of(out: Path) -> dict[str, str]:
    """Key → viewpoint in audit.csv, of the photos that have one."""
    return {row["image"]: row["viewpoint"] for row in rows_of(out) if row.get("viewpoint")}


def crops_of(out: Path) -> dict[str, bytes]:
    return {name: data for name, data in files_of(out).items() if name.endswith(".jpg")}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with `in`, and `out` made of it."""
    write_photos(tmp_path / "in", 8)
    crop(tmp_path / "in", tmp_path / "out")
    return tmp_path


def cropped(out: Path) -> list[str]:
    return [row["image"] for row in rows_of(out) if row["status"] == "cropped"]


def test_a_viewpoint_alone_is_applied_without_a_new_crop_and_taken_back(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = work / "out"
    before, image = product(out), cropped(out)[0]
    assert "viewpoint" not in rows_of(out)[0]
    see(out, image, "left")
    shutil.move(work / "in", work / "away")  # the photo is not needed
    assert cli.main(["apply", str(out), "--dry-run", "--quiet"]) == 0
    assert f"{image}: note or viewpoint (no new crop)" in capsys.readouterr().out
    result = api.apply(out, quiet=True)
    assert result.summary.startswith("verdicts applied: 1 note or viewpoint;")
    assert viewpoints_of(out) == {image: "left"}
    assert next(row["verdict"] for row in rows_of(out) if row["image"] == image) == ""
    assert crops_of(out) == {name: data for name, data in before.items() if name.endswith(".jpg")}
    assert api.apply(out, quiet=True).done == 0
    verdict_log(out).append(Verdict(image, "undone", (), "me", "t"))
    assert api.apply(out, quiet=True).done == 1
    assert "viewpoint" not in rows_of(out)[0]


def test_beside_a_verdict_without_an_end_it_takes_nothing_back(work: Path) -> None:
    """Editors leave the last line without one."""
    out = work / "out"
    image = cropped(out)[0]
    (out / STATE / "review.csv").write_text(
        f"image,verdict,box,reviewer,time,note\n{image},rejected,,Ann,t,no fin"
    )
    with reviewing(out, reviewer="Bob") as client:
        answer = client.post({"id": client.id_of(image), "viewpoint": "left"}).json()
        assert (answer["verdict"]["verdict"], answer["note"]) == ("rejected", "no fin")
    assert verdicts_of(out) == {image: Verdict(image, "rejected", (), "Ann", "t", "no fin", "left")}


def test_every_verdict_keeps_its_viewpoint(work: Path) -> None:
    out = work / "out"
    images = cropped(out)
    words = ("accepted", "whole", "box", "rejected", "unsure")
    said = {image: VIEWPOINTS[n % 4] for n, image in enumerate(images[:5])}
    for word, (image, viewpoint) in zip(words, said.items(), strict=True):
        see(out, image, viewpoint, word)
    api.apply(out, quiet=True)
    assert viewpoints_of(out) == said
    records = records_of(out)
    assert [(records[i].verdict, records[i].reviewer) for i in said] == [(word, "me") for word in words]
    # Taking the verdict back leaves it; another one needs no other crop.
    crops = crops_of(out)
    for image, viewpoint in said.items():
        see(out, image, "top" if viewpoint == "left" else viewpoint, records[image].verdict)
    api.apply(out, quiet=True)
    assert crops_of(out) == crops
    for image in said:
        see(out, image, said[image])
    api.apply(out, quiet=True)
    assert viewpoints_of(out) == said
    assert {record.verdict for record in records_of(out).values()} == {""}


def test_it_is_kept_when_crops_are_made_anew(work: Path) -> None:
    out = work / "out"
    images = cropped(out)[:3]
    for image, word in zip(images, ("undone", "box", "accepted"), strict=True):
        see(out, image, "fluke", word)
    api.apply(out, quiet=True)
    said = dict.fromkeys(images, "fluke")
    for row in rows_of(out):
        if row["image"] in said:
            (out / row["crop"]).unlink()
    crop(work / "in", out)
    assert viewpoints_of(out) == said
    api.recrop(out, work / "recropped", scale=1.5, quiet=True)
    assert viewpoints_of(work / "recropped") == said
    (work / "recropped" / STATE / "review.csv").unlink(missing_ok=True)
    api.recrop(work / "recropped", work / "again", size=40, quiet=True)  # of what is applied there
    assert viewpoints_of(work / "again") == said
    api.write_audit(out, xlsx=True)
    sheet = openpyxl.load_workbook(out / "audit.xlsx").worksheets[0]
    header, *rows = sheet.values
    place = header.index("viewpoint")
    assert [row[place] for row in rows if row[place]] == ["fluke"] * 3
    # A photo that is another one now was seen by nobody.
    write_photo(work / "in" / images[0], 99)
    crop(work / "in", out)
    api.apply(out, quiet=True)
    assert viewpoints_of(out) == dict.fromkeys(images[1:], "fluke")


def test_shards_are_merged_with_it_and_every_animal_has_it(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 8)
    settings: dict[str, Any] = {"animals": "all"}
    crop(tmp_path / "in", tmp_path / "out", **settings)
    see(tmp_path / "out", keys[0], "right")
    api.apply(tmp_path / "out", quiet=True)
    with open(tmp_path / "out" / "animals.csv", newline="", encoding="utf-8") as file:
        animals = [row for row in csv.DictReader(file) if row["image"] == keys[0]]
    assert {row["viewpoint"] for row in animals} == {"right"}
    for shard in ("0/2", "1/2"):
        crop(tmp_path / "in", tmp_path / "parts", shard=shard)
    api.merge(tmp_path / "parts")
    see(tmp_path / "parts", keys[0], "right")
    api.apply(tmp_path / "parts", quiet=True)
    assert viewpoints_of(tmp_path / "parts") == {keys[0]: "right"}


def test_columns_are_there_for_what_was_said(work: Path) -> None:
    """The column of notes and that of viewpoints do not depend on each other."""
    out = work / "out"
    first, second = cropped(out)[:2]
    for image, note, viewpoint, columns in (
        (first, "a calf", "", ["note"]),
        (second, "", "top", ["note", "viewpoint"]),
        (first, "", "", ["viewpoint"]),
    ):
        see(out, image, viewpoint, note=note)
        api.apply(out, quiet=True)
        assert [name for name in rows_of(out)[0] if name in REMARKS] == columns


# ---------------------------------------------------------------- exports


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sightings whose labels have a side, of which a reviewer corrected one and filled in two."""
    out = crop_sightings(tmp_path_factory.mktemp("seen"), encounter="trip")
    see(out, "day 1/Wal ä.jpg", "top", "accepted")
    see(out, "con.jpg", "fluke")
    see(out, "clear.png", "left")
    api.apply(out, quiet=True)
    return out


SEEN = {key: side for key, (_, _, side, *_) in LABELS.items()} | {
    "day 1/Wal ä.jpg": "top",
    "con.jpg": "fluke",
    "clear.png": "left",
}
"""Key → what the reviewer said, else the label."""


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def test_wildlife_takes_what_was_reviewed_and_the_label_elsewhere(seen: Path, tmp_path: Path) -> None:
    api.export(seen, "wildlife", tmp_path / "out")
    rows = table(tmp_path / "out" / "metadata.csv")
    assert {row["photo"]: row["position"] for row in rows} == SEEN
    said = {row["photo"]: row["viewpoint"] for row in rows if row["viewpoint"]}
    assert said == {"day 1/Wal ä.jpg": "top", "con.jpg": "fluke", "clear.png": "left"}
    assert "side" not in rows[0]


def test_miewid_calls_it_as_its_data_do(seen: Path, tmp_path: Path) -> None:
    api.export(seen, "miewid", tmp_path / "out")
    for row in table(tmp_path / "out" / "annotations.csv"):
        ours = SEEN[row["photo"]]
        assert row["viewpoint"] == {"top": "up", "": "unknown"}.get(ours, ours)


def test_wildbook_has_it_as_the_keyword_of_each_photo(seen: Path, tmp_path: Path) -> None:
    api.export(seen, "wildbook", tmp_path / "out")
    found = {}
    for row in table(tmp_path / "out" / "import1.csv"):
        for number in range(20):
            if name := row.get(f"Encounter.mediaAsset{number}"):
                found[name] = row.get(f"Encounter.keyword{number}", "")
    photos = {row["file"]: row["photo"] for row in table(tmp_path / "out" / "photos.csv")}
    assert {photos[name]: keyword for name, keyword in found.items()} == SEEN


def test_wildbook_leaves_keywords_of_the_labels_alone(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 2)
    lines = [f"{key},calf,2020" for key in keys]
    (tmp_path / "labels.csv").write_text("\n".join(["image,Encounter.keyword0,Encounter.year", *lines]))
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "labels.csv")
    see(tmp_path / "out", keys[0], "left")
    api.apply(tmp_path / "out", quiet=True)
    api.export(tmp_path / "out", "wildbook", tmp_path / "to")
    assert {row["Encounter.keyword0"] for row in table(tmp_path / "to" / "import1.csv")} == {"calf"}


def test_kaggle_and_imagefolder_have_the_column(seen: Path, tmp_path: Path) -> None:
    said = {"day 1/Wal ä.jpg": "top", "con.jpg": "fluke", "clear.png": "left"}
    api.export(seen, "kaggle", tmp_path / "kaggle")
    rows = table(tmp_path / "kaggle" / "train2.csv")
    assert sorted(row["viewpoint"] for row in rows if row["viewpoint"]) == sorted(said.values())
    told = json.loads((tmp_path / "kaggle" / "dataset-metadata.json").read_text())
    fields = {field["name"]: field["title"] for field in told["resources"][0]["schema"]["fields"]}
    assert fields["viewpoint"].endswith("left, right, top, fluke")
    api.export(seen, "imagefolder", tmp_path / "folders")
    lines = (tmp_path / "folders" / "metadata.jsonl").read_text().splitlines()
    found = {line["photo"]: line["viewpoint"] for line in map(json.loads, lines) if line["viewpoint"]}
    assert found.items() <= said.items()
    assert found["con.jpg"] == "fluke"


def test_a_label_of_that_name_stays_beside_ours(tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 3)
    lines = [f"{key},{side}" for key, side in zip(keys, ("L", "R", "R"), strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,viewpoint", *lines]))
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "labels.csv")
    assert [row["viewpoint"] for row in rows_of(tmp_path / "out")] == ["L", "R", "R"]
    see(tmp_path / "out", keys[1], "left")
    api.apply(tmp_path / "out", quiet=True)
    rows = rows_of(tmp_path / "out")
    assert [(row["viewpoint"], row["label_viewpoint"]) for row in rows] == [
        ("", "L"),
        ("left", "R"),
        ("", "R"),
    ]
    api.export(tmp_path / "out", "wildlife", tmp_path / "wildlife")
    exported = table(tmp_path / "wildlife" / "metadata.csv")
    assert [row["position"] for row in exported] == ["L", "left", "R"]
    api.export(tmp_path / "out", "kaggle", tmp_path / "kaggle")
    rows = table(tmp_path / "kaggle" / "train2.csv")
    assert [(row["viewpoint"], row["label_viewpoint"]) for row in rows] == [
        ("", "L"),
        ("left", "R"),
        ("", "R"),
    ]


def test_an_export_waits_for_viewpoints_that_are_not_applied(work: Path) -> None:
    out = work / "out"
    see(out, cropped(out)[0], "left")
    give_verdict(out, cropped(out)[1], "accepted")
    with refused("verdicts_wait") as caught:
        api.export(out, "coco", work / "coco")
    assert "1 verdict waits" in caught.value.message
    api.apply(out, quiet=True)
    api.export(out, "coco", work / "coco")
