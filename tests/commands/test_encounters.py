"""`--encounter`: columns encounter and burst, from times, folders or labels; now and in later commands."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.times_file import load_times
from tests.kit.errors import complained, refused
from tests.kit.folders import crop, product, product_and_state, rows_of
from tests.kit.outings import write_outing, write_timed
from tests.kit.photos import write_photo
from tests.kit.verdicts import give_verdict


def encounters(out: Path) -> dict[str, str]:
    return {row["image"]: row["encounter"] for row in rows_of(out)}


def bursts(out: Path) -> dict[str, str]:
    return {row["image"]: row["burst"] for row in rows_of(out)}


def write_labels(path: Path, **columns: list[str]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos a second apart, one half an hour later, one in another folder, one without a time."""
    write_timed(tmp_path / "in/a/1.jpg", "2019:07:04 12:31:05", seed=1)
    write_timed(tmp_path / "in/a/2.jpg", "2019:07:04 12:31:06", seed=2)
    write_timed(tmp_path / "in/a/3.jpg", "2019:07:04 13:05:00", seed=3)
    write_timed(tmp_path / "in/b/1.jpg", "2019:07:04 12:31:05", seed=4)
    write_timed(tmp_path / "in/b/2.jpg", "", seed=5)
    return tmp_path / "in"


BY_GAP = {
    "a/1.jpg": "a/2019-07-04_1231",
    "a/2.jpg": "a/2019-07-04_1231",
    "a/3.jpg": "a/2019-07-04_1305",
    "b/1.jpg": "b/2019-07-04_1231",
    "b/2.jpg": "",
}
BURSTS = {
    **dict.fromkeys(["a/1.jpg", "a/2.jpg"], "a/2019-07-04_123105"),
    **dict.fromkeys(["a/3.jpg", "b/1.jpg", "b/2.jpg"], ""),
}


def test_there_are_no_such_columns_unless_they_are_asked_for(tmp_path: Path, photos: Path) -> None:
    crop(photos, tmp_path / "out")
    assert not {"encounter", "burst", "fold"} & rows_of(tmp_path / "out")[0].keys()
    api.write_audit(tmp_path / "out")
    assert not (tmp_path / "out/.detic-crop/times.json").exists()
    assert not (tmp_path / "out/.detic-crop/tables.json").exists()


def test_encounters_by_a_gap(tmp_path: Path, photos: Path) -> None:
    result = crop(photos, tmp_path / "out", encounter="gap:30min")
    assert encounters(tmp_path / "out") == BY_GAP
    assert bursts(tmp_path / "out") == BURSTS
    assert (
        "1 of 5 photos do not say when they were taken: they have no burst, and no encounter by a gap"
        in result.notes
    )


def test_encounters_by_folder(tmp_path: Path, photos: Path) -> None:
    write_photo(photos / "c.jpg", 6)
    crop(photos, tmp_path / "out", encounter="folder")
    assert encounters(tmp_path / "out") == {**{key: key[0] for key in BY_GAP}, "c.jpg": "."}
    assert bursts(tmp_path / "out") == {**BURSTS, "c.jpg": ""}


def test_encounters_by_a_column_in_any_case(tmp_path: Path, photos: Path) -> None:
    labels = write_labels(
        tmp_path / "labels.csv", image=list(BY_GAP), Sighting=["S1", "S1", " S2 ", "", "S2"]
    )
    crop(photos, tmp_path / "out", labels=labels, encounter="sighting")
    assert list(encounters(tmp_path / "out").values()) == ["S1", "S1", "S2", "", "S2"]


def test_a_column_that_is_not_there_is_refused_and_nothing_changed(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_labels(tmp_path / "labels.csv", image=list(BY_GAP), trip=["x"] * 5, Trip=["y"] * 5)
    for how, said in (("nobody", "has no column"), ("TRIP", "has several columns")):
        with refused("no_such_column", names=[said, "image, trip, Trip"]):
            crop(photos, tmp_path / "out", labels=labels, encounter=how)
    assert not (tmp_path / "out").exists()
    with refused("no_such_column", names=["--labels"]):
        crop(photos, tmp_path / "out", encounter="nobody")
    crop(photos, tmp_path / "out", labels=labels)
    before = product_and_state(tmp_path / "out")
    assert cli.main(["audit", str(tmp_path / "out"), "--encounter", "nobody"]) == 2
    [said] = capsys.readouterr().err.splitlines()
    complained("no_such_column", said.removeprefix("detic-crop: "))
    with refused("no_such_column"):
        api.recrop(tmp_path / "out", tmp_path / "again", encounter="nobody", quiet=True)
    assert product_and_state(tmp_path / "out") == before
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("how", ["gap:", "gap:30", "gap:-3min", "gap:soon", "gap:0min", "", " "])
def test_what_is_no_encounter_is_refused(tmp_path: Path, photos: Path, how: str) -> None:
    with refused("bad_value", names=["--encounter"]):
        crop(photos, tmp_path / "out", encounter=how)
    crop(photos, tmp_path / "out")
    with refused("bad_value", names=["--encounter"]):
        api.write_audit(tmp_path / "out", encounter=how)


@pytest.mark.parametrize(
    "how", ["gap:30min", "gap:30m", "GAP:30 min", "gap:0.5h", "gap:1800s", "gap:30minutes"]
)
def test_gaps_are_written_in_many_ways(tmp_path: Path, photos: Path, how: str) -> None:
    crop(photos, tmp_path / "out", encounter=how)
    assert encounters(tmp_path / "out") == BY_GAP


def test_every_later_command_keeps_it_until_it_is_taken_away(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "out"
    crop(photos, out)
    assert cli.main(["audit", str(out), "--encounter", "gap:30min"]) == 0
    assert encounters(out) == BY_GAP
    write_timed(photos / "a/4.jpg", "2019:07:04 13:10:00", seed=7)
    crop(photos, out)
    assert encounters(out) == BY_GAP | {"a/4.jpg": "a/2019-07-04_1305"}
    give_verdict(out, "a/4.jpg", "rejected")
    api.apply(out, quiet=True)
    assert encounters(out) == BY_GAP | {"a/4.jpg": "a/2019-07-04_1305"}
    api.recrop(out, tmp_path / "again", size=16, quiet=True)
    assert encounters(tmp_path / "again") == encounters(out)
    assert cli.main(["audit", str(out), "--csv-safe"]) == 0
    assert encounters(out) == BY_GAP | {"a/4.jpg": "a/2019-07-04_1305"}
    assert cli.main(["audit", str(out), "--encounter", "none"]) == 0
    assert "encounter" not in rows_of(out)[0]
    api.write_audit(out)
    assert "encounter" not in rows_of(out)[0]


def test_times_are_read_once(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "out"
    crop(photos, out, encounter="gap:30min")
    before = product(out)
    shutil.move(photos, tmp_path / "elsewhere")
    api.write_audit(out)
    assert product(out)["audit.csv"] == before["audit.csv"]
    assert len(load_times(OutputFolder(out))) == 5


def test_photos_that_are_gone_have_no_time(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "out"
    crop(photos, out)
    shutil.move(photos, tmp_path / "elsewhere")
    result = api.write_audit(out, encounter="gap:30min")
    assert set(encounters(out).values()) == {""}
    assert any("5 of 5 photos do not say" in note for note in result.notes)
    api.write_audit(out, input=tmp_path / "elsewhere")
    assert encounters(out) == BY_GAP


def test_a_changed_photo_is_asked_again(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "out"
    crop(photos, out, encounter="gap:30min")
    write_timed(photos / "a/1.jpg", "2018:01:01 00:00:00", seed=30)
    crop(photos, out)
    assert encounters(out)["a/1.jpg"] == "a/2018-01-01_0000"


def test_damaged_times_are_read_again(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "out"
    crop(photos, out, encounter="gap:30min")
    path = OutputFolder(out).layout.times
    saved = path.read_bytes()
    for damage in (b"", b"{}", saved[:-20], saved.replace(b"a/1.jpg", b"a/9.jpg"), b"\xff" + saved):
        path.write_bytes(damage)
        api.write_audit(out)
        assert encounters(out) == BY_GAP
        assert path.read_bytes() == saved


def test_photos_of_a_second_input_are_apart(tmp_path: Path, photos: Path) -> None:
    write_timed(tmp_path / "second/a/9.jpg", "2019:07:04 12:31:05", seed=8)
    write_timed(tmp_path / "second/8.jpg", "2019:07:04 12:31:05", seed=9)
    crop(photos, tmp_path / "out", encounter="folder")
    crop(tmp_path / "second", tmp_path / "out", add=True)
    found = encounters(tmp_path / "out")
    assert found["a/9.jpg"] == "second/a"
    assert found["8.jpg"] == "second"
    assert found["a/1.jpg"] == "a"


def test_a_column_that_has_gone_is_told_and_the_tables_are_written(tmp_path: Path, photos: Path) -> None:
    labels = write_labels(tmp_path / "labels.csv", image=list(BY_GAP), trip=["x"] * 5)
    crop(photos, tmp_path / "out", labels=labels, encounter="trip")
    other = write_labels(tmp_path / "other.csv", image=list(BY_GAP), voyage=["x"] * 5)
    result = crop(photos, tmp_path / "out", labels=other)
    assert "encounter" not in rows_of(tmp_path / "out")[0]
    assert any(note.startswith("no encounters: ") and "voyage" in note for note in result.notes)


def test_shards_hand_it_on_to_merge(tmp_path: Path) -> None:
    write_outing(tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "whole", encounter="gap:30min")
    for shard in ("0/2", "1/2"):
        crop(tmp_path / "in", tmp_path / "out", encounter="gap:30min", shard=shard)
    api.merge(tmp_path / "out")
    assert product(tmp_path / "out")["audit.csv"] == product(tmp_path / "whole")["audit.csv"]


def test_overwrite_forgets_it(tmp_path: Path, photos: Path) -> None:
    crop(photos, tmp_path / "out", encounter="folder")
    crop(photos, tmp_path / "out", overwrite=True)
    assert "encounter" not in rows_of(tmp_path / "out")[0]
    assert not (tmp_path / "out/.detic-crop/times.json").exists()
