"""A photo that the boxes file does not name: nobody looked at it, and everything that follows says so."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.detectors.boxes_file import load_boxes_file
from detic_crop.errors import UsageError
from detic_crop.folder.journal import replay
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.photos.keys import STATE
from tests.kit.errors import refused
from tests.kit.folders import product, row_of
from tests.kit.photos import write_photo
from tests.kit.verdicts import give_verdict, verdict_log

LISTED, EMPTY, UNLISTED = "listed.jpg", "nothing_found.jpg", "unlisted.jpg"
BOX = (5.0, 5.0, 45.0, 30.0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `in`, `boxes.csv` and `out`: a photo with a box, one without, one that is not listed."""
    folder = tmp_path_factory.mktemp("not_listed")
    for seed, name in enumerate((LISTED, EMPTY, UNLISTED)):
        write_photo(folder / "in" / name, seed)
    (folder / "boxes.csv").write_text(f"image,box\n{LISTED},5 5 50 35\n{EMPTY},\ngone.jpg,1 1 9 9\n")
    run(folder, "out")
    return folder


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "out")
    run(tmp_path, "out")
    return tmp_path


def run(folder: Path, out: str, **settings: object) -> api.RunResult:
    boxes = f"boxes:{folder / 'boxes.csv'}"
    given = {"model": boxes, "size": 32, "quiet": True, **settings}
    return api.run(folder / "in", folder / out, **given)  # type: ignore[arg-type]


def test_its_row(finished: Path) -> None:
    row = row_of(finished / "out", UNLISTED)
    assert (row["status"], row["reason"], row["flags"]) == ("resized", "not_listed", "not_listed")
    assert (row["presence"], row["suspicion"], row["box"]) == ("", "1.0000", "")
    assert row["crop"] == UNLISTED
    assert row_of(finished / "out", EMPTY)["reason"] == "not_found"
    journal = finished / "out" / STATE / "journal.jsonl"
    assert replay(journal).records[UNLISTED].unlisted
    assert replay(journal).entries.keys() == {LISTED, EMPTY, UNLISTED}


def test_the_run_names_the_first_of_both_sides(finished: Path) -> None:
    (note,) = run(finished, "out").notes  # also where all was done before
    assert note == (
        f"1 of 3 photos is not in boxes.csv (first: {UNLISTED}), so nobody looked at it: resized whole, "
        "reason not_listed; 1 of the 3 photos in the file is not in --in (first: gone.jpg)"
    )


def test_the_summary_does_not_say_that_nothing_was_found(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["audit", str(finished / "out")]) == 0
    said = capsys.readouterr().out
    assert (
        "1 cropped, 1 resized whole (nothing found), 1 resized whole (not in boxes.csv: nobody looked), "
        "0 failed" in said
    )


def test_the_page_has_them_apart(finished: Path) -> None:
    page = (finished / "out" / "audit.html").read_text(encoding="utf-8")
    assert '<section id="not-listed">' in page
    found, listed = page.split('<section id="not-found">')[1].split('<section id="not-listed">')
    assert (EMPTY in found, UNLISTED in found, UNLISTED in listed) == (True, False, True)
    assert "not in the boxes file, only resized" in page


def test_a_recrop_keeps_it(finished: Path, tmp_path: Path) -> None:
    api.recrop(finished / "out", tmp_path / "again", scale=1.5, quiet=True)
    row = row_of(tmp_path / "again", UNLISTED)
    assert (row["reason"], row["presence"]) == ("not_listed", "")
    assert row_of(tmp_path / "again", EMPTY)["reason"] == "not_found"


@pytest.mark.parametrize("verdict", ["rejected", "whole", "box", "accepted"])
def test_a_verdict_taken_back_leaves_what_there_was(work: Path, verdict: str) -> None:
    before = product(work / "out")
    give_verdict(work / "out", UNLISTED, verdict, BOX if verdict == "box" else None)
    api.apply(work / "out", quiet=True)
    assert row_of(work / "out", UNLISTED)["verdict"] == verdict
    assert row_of(work / "out", UNLISTED)["suspicion"] == "0.0000"
    give_verdict(work / "out", UNLISTED, "undone")
    api.apply(work / "out", quiet=True)
    assert row_of(work / "out", UNLISTED)["reason"] == "not_listed"
    after = product(work / "out")
    assert {name for name in before if before[name] != after[name]} <= {"audit.html"}
    # A crop that is lost after a rejection is made anew, to the same end.
    give_verdict(work / "out", UNLISTED, "rejected")
    api.apply(work / "out", quiet=True)
    shutil.rmtree(work / "out" / STATE / "rejected")
    give_verdict(work / "out", UNLISTED, "undone")
    api.apply(work / "out", quiet=True)
    assert row_of(work / "out", UNLISTED)["reason"] == "not_listed"
    assert product(work / "out").keys() == after.keys()


def test_it_is_no_missed_animal_of_the_detector(tmp_path: Path) -> None:
    names = [f"{number:02}.jpg" for number in range(24)]
    for seed, name in enumerate(names):
        write_photo(tmp_path / "in" / name, seed)
    boxes = "".join(f"{name},{'' if i % 2 else '5 5 50 35'}\n" for i, name in enumerate(names[:20]))
    (tmp_path / "boxes.csv").write_text(f"image,box\n{boxes}")
    run(tmp_path, "out")
    api.write_audit(tmp_path / "out", sample=24)
    log = verdict_log(tmp_path / "out")
    for name in names:
        if name in names[20:]:  # a person finds an animal in each that was not listed
            log.append(Verdict(name, "box", (BOX,), "me", "now"))
        else:
            log.append(Verdict(name, "accepted", (), "me", "now"))
    api.apply(tmp_path / "out", quiet=True)
    found = api.write_audit(tmp_path / "out").estimate
    assert found is not None
    assert (found.drawn, found.crops, found.uncropped, found.come_since) == (20, 10, 10, 0)
    assert found.missed is not None
    assert found.missed.value == 0


def test_in_tar_files_too(work: Path) -> None:
    run(work, "tars", out_format="tar")
    with tarfile.open(work / "tars" / "crops-00000.tar") as tar:
        file = tar.extractfile("unlisted.json")
        assert file is not None
        said = json.loads(file.read())
    assert (said["status"], said["reason"], said.get("presence")) == ("resized", "not_listed", None)


def test_a_boxes_file_that_got_the_photo_is_another_setting(work: Path) -> None:
    with open(work / "boxes.csv", "a") as file:
        file.write(f"{UNLISTED},1 1 30 30\n")
    with refused("other_settings", UsageError):
        run(work, "out")
    run(work, "out", overwrite=True)
    assert row_of(work / "out", UNLISTED)["status"] == "cropped"


def test_older_records_say_nothing_of_it(finished: Path) -> None:
    """A journal of before has no such field: what it says stays as it was."""
    record = replay(finished / "out" / STATE / "journal.jsonl").records[EMPTY]
    assert not record.unlisted
    assert b"unlisted" not in record.to_line()


def test_an_entry_whose_photo_has_a_better_one_is_said(tmp_path: Path) -> None:
    """Its boxes are lost: a table that was put together from two may name one photo twice."""
    path = tmp_path / "boxes.csv"
    path.write_text("image,box\na.jpg,1 2 30 40\nA.JPG,1 2 300 400\n")
    detector = load_boxes_file(path)
    detector.expect(["a.jpg"])
    assert detector.notes() == [
        "boxes.csv: entries that were not used, because another entry fits their photo better: "
        "1 (first: A.JPG, since a.jpg fits a.jpg better)"
    ]
