"""Folders that an earlier version left behind are gone on with as if this version had made them.

The folders and the commands that made them are in `tests.kit.earlier`.
"""

from __future__ import annotations

import contextlib
import csv
import shutil
from pathlib import Path

import pytest

from detic_crop.cli import main as cli
from tests.kit.earlier import (
    LATER_VERDICTS,
    RUN,
    VERDICTS,
    copy_earlier,
    give_verdicts,
    make_folders,
    said_by,
)
from tests.kit.folders import files_of, rows_of
from tests.kit.journals import without_checksums

AGAIN = {
    "finished": [*RUN, "--out", "finished", "--labels", "labels.csv"],
    "stopped": [*RUN, "--out", "stopped", "--limit", "5"],
    "tar": [*RUN, "--out", "tar", "--out-format", "tar", "--per-tar", "4"],
    "shards": [*RUN, "--out", "shards", "--shard", "1/2"],
}
"""Folder → the command that made it."""


def detic_crop(*arguments: str) -> None:
    assert cli.main(list(arguments)) == 0


def left_in(folder: Path) -> dict[str, bytes]:
    """What every file says but pages, which each version makes its own way, what holds times, and locks.

    And but for what an earlier version did not write of a sample.
    """
    found = {
        name: said_by(name, data)
        for name, data in files_of(folder).items()
        if not name.endswith(("audit.html", "run.json", "lock", "written.json", "progress.json"))
        and name not in ("estimate.json", "datacard.md")
    }
    return without_checksums(found)


def but_suspicion(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same, but for the one column that each version reckons its own way."""
    if "audit.csv" not in files:
        return files
    header, *lines = files["audit.csv"].decode().splitlines()
    column = header.split(",").index("suspicion")
    for number, (line, row) in enumerate(zip(lines, csv.reader(lines), strict=True)):
        before, _, after = line.rpartition(f",{row[column]},")
        lines[number] = f"{before},,{after}"
    return {**files, "audit.csv": "\n".join([header, *lines]).encode()}


def differing(made: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    return sorted(name for name in {*made, *expected} if made.get(name) != expected.get(name))


def assert_equal(made: Path, expected: Path, *, journal: bool = True) -> None:
    """All but the listing, which says where the photos are; without `journal` in whatever order."""
    names = differing(left_in(made), left_in(expected))
    passed_over = {".detic-crop/listing.json"}
    if not journal:
        passed_over |= {".detic-crop/journal.jsonl", ".detic-crop/candidates.jsonl"}
    assert [name for name in names if name not in passed_over] == []


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of all folders and their photos; commands run in it."""
    monkeypatch.chdir(tmp_path)
    return copy_earlier(tmp_path)


@pytest.fixture(scope="module")
def made_today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What this version makes of the same commands; ``whole`` is a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("ours")
    with contextlib.chdir(folder):
        make_folders(folder, detic_crop)
        detic_crop(*RUN, "--out", "whole")
    return folder


@pytest.fixture
def ours(made_today: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it that a test may change."""
    return shutil.copytree(made_today, tmp_path_factory.mktemp("ours"), dirs_exist_ok=True)


@pytest.mark.parametrize("name", ["finished", "stopped", "tar", "shards", "reviewed_shards"])
def test_the_same_commands_leave_the_same_files_today(base: Path, made_today: Path, name: str) -> None:
    """Journal, boxes, tables, sample and crops, byte for byte but for checksums and suspicion."""
    made = {
        key: data.replace(bytes(made_today), b"/tmp/folders")
        for key, data in left_in(made_today / name).items()
    }
    assert differing(but_suspicion(made), but_suspicion(left_in(base / name))) == []


@pytest.mark.parametrize("name", AGAIN)
def test_the_same_command_does_nothing_again(base: Path, made_today: Path, name: str) -> None:
    before = left_in(base / name)
    detic_crop(*AGAIN[name])
    after = left_in(base / name)
    # The table is written anew, with the suspicion of this version.
    assert after.get("audit.csv") == left_in(made_today / name).get("audit.csv")
    changed = differing(but_suspicion(after), but_suspicion(before))
    # A photo that failed is tried again, and its line appended; two files say where the photos are now.
    assert [key for key in changed if not key.endswith(("journal.jsonl", "listing.json", "part.json"))] == []
    for key in changed:
        if key.endswith("journal.jsonl"):
            assert after[key].startswith(before[key])
            assert b'"failed"' in after[key].removeprefix(before[key])
            assert after[key].removeprefix(before[key]).count(b"\n") == 1


def test_a_stopped_run_is_finished_to_that_of_an_undisturbed_one(base: Path, ours: Path) -> None:
    before = left_in(base / "stopped")
    detic_crop(*RUN, "--out", "stopped")
    assert_equal(base / "stopped", ours / "whole")
    journal = ".detic-crop/journal.jsonl"
    assert left_in(base / "stopped")[journal].startswith(before[journal])


def test_verdicts_are_applied(base: Path, ours: Path) -> None:
    for folder in (base, ours):
        with contextlib.chdir(folder):
            detic_crop("apply", "finished", "--in", "photos", "--quiet")
    assert_equal(base / "finished", ours / "finished")
    rows = {row["image"]: row for row in rows_of(base / "finished")}
    said = {image: word for image, word, _ in VERDICTS + LATER_VERDICTS}
    assert {image: rows[image]["verdict"] for image in said} == {
        image: "" if word == "undone" else word for image, word in said.items()
    }
    assert rows["pair.png"]["status"] == "rejected"
    assert not (base / "finished" / "pair.png").exists()
    assert (base / "finished" / "log.png").exists()


def test_a_drawn_sample_is_kept_and_grows(base: Path) -> None:
    path = base / "finished" / ".detic-crop" / "sample.csv"
    before = path.read_text(encoding="utf-8").splitlines()
    detic_crop("audit", "finished", "--in", "photos", "--sample", "13")
    after = path.read_text(encoding="utf-8").splitlines()
    assert len(after) == len(before) + 3
    assert {line.split(",")[0] for line in before} <= {line.split(",")[0] for line in after}


@pytest.mark.parametrize("name", ["shards", "tar", "merged_in_part", "reviewed_shards"])
def test_verdicts_can_be_given(base: Path, name: str) -> None:
    if name.endswith("shards"):
        detic_crop("merge", name)
    give_verdicts(base / name, [("beach/a.png", "undone", ""), ("turned.jpg", "rejected", "")])
    detic_crop("apply", name, "--in", "photos", "--quiet")
    rows = {row["image"]: row["status"] for row in rows_of(base / name)}
    assert (rows["beach/a.png"], rows["turned.jpg"]) == ("cropped", "rejected")


def test_shards_are_merged_to_an_unsharded_run(base: Path, ours: Path) -> None:
    detic_crop("merge", "shards")
    assert_equal(base / "shards", ours / "whole")


def test_shards_of_a_reviewed_folder_are_merged(base: Path, ours: Path) -> None:
    for folder in (base, ours):
        with contextlib.chdir(folder):
            detic_crop("merge", "reviewed_shards")
    assert_equal(base / "reviewed_shards", ours / "reviewed_shards")
    rows = {row["image"]: row for row in rows_of(base / "reviewed_shards")}
    assert {image: rows[image]["verdict"] for image, *_ in VERDICTS[:4]} == {
        image: word for image, word, _ in VERDICTS[:4]
    }


def test_a_folder_merged_in_part_is_completed_by_shards(base: Path, ours: Path) -> None:
    """Those that were merged find their photos done."""
    crops = {path: path.stat().st_mtime_ns for path in (base / "merged_in_part").rglob("*.png")}
    for index in range(3):
        detic_crop(*RUN, "--out", "merged_in_part", "--shard", f"{index}/3")
    detic_crop("merge", "merged_in_part")
    assert_equal(base / "merged_in_part", ours / "whole", journal=False)
    assert {path: path.stat().st_mtime_ns for path in crops} == crops


def test_a_folder_merged_in_part_is_completed_by_a_run(base: Path, ours: Path) -> None:
    detic_crop(*RUN, "--out", "merged_in_part")
    assert_equal(base / "merged_in_part", ours / "whole", journal=False)


@pytest.mark.parametrize("name", ["finished", "tar"])
def test_recrop_makes_what_it_makes_of_our_own(base: Path, ours: Path, name: str) -> None:
    changes = ["--scale", "1.5", "--size", "24", "--conf", "0.5", "--quiet"]
    for folder in (base, ours):
        with contextlib.chdir(folder):
            detic_crop("recrop", name, "--out", f"{name}_again", "--in", "photos", *changes)
    assert_equal(base / f"{name}_again", ours / f"{name}_again")
    assert len(left_in(base / f"{name}_again")) >= 5
