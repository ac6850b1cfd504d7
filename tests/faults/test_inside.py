"""Hostile text and links in an output folder, and folders of earlier versions; see also `test_links`."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.errors import OutputError, UsageError
from detic_crop.folder import inside as inside_module
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inside import Inside
from detic_crop.folder.journal import replay, unfinished_crops
from detic_crop.folder.lines import to_line
from detic_crop.folder.mirror import NoMirror
from detic_crop.folder.names import aside_name, is_crop_path
from detic_crop.folder.tars import TarCrops
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import VerdictLog
from detic_crop.photos.keys import STATE
from tests.kit.detectors import FakeDetector
from tests.kit.errors import refused
from tests.kit.folders import crop, files_of, product, rows_of, untouched
from tests.kit.journals import change_line
from tests.kit.photos import write_photo, write_photos
from tests.kit.verdicts import verdict_log

posix = pytest.mark.skipif(os.name != "posix", reason="links are POSIX")

LEADING_AWAY = [
    *(
        "/etc/passwd",
        "../victim.jpg",
        "a/../../victim.jpg",
        "..",
        ".",
        "a//b.jpg",
        "a/",
        "./a.jpg",
        "a/./b.jpg",
    ),
    *(f"{STATE}/journal.jsonl", f"{STATE}", f"{STATE.upper()}/tmp/x.jpg", "nul\0.jpg"),
    "crops-00000.tar/../../../../victim.jpg",
]
ORDINARY = [
    "a.jpg",
    "day1/.hidden.jpg",
    "a..b/c.jpg",
    "...jpg",
    f"a/{STATE}/b.jpg",
    "crops-00000.tar/a/b.jpg",
    "",
]


@pytest.mark.parametrize("path", LEADING_AWAY)
def test_paths_that_are_no_crops(path: str, tmp_path: Path) -> None:
    assert not is_crop_path(path)
    inside = Inside(tmp_path / "out")
    (tmp_path / "out").mkdir()
    if not path.upper().startswith(STATE.upper()) and "\0" not in path and ".." in path.split("/"):
        with refused("outside_output", UsageError):
            inside.remove(tmp_path / "out" / path)


@pytest.mark.parametrize("path", ORDINARY)
def test_paths_of_crops(path: str) -> None:
    assert is_crop_path(path)


# ---------------------------------------------------------------- journals


def spoil_crop(journal: Path, new: str, line: int = 1) -> str:
    """Give the record of a journal's line another crop; returns its photo."""
    return str(change_line(journal, line, lambda values: values.update(crop=new))["image"])


@pytest.mark.parametrize("path", LEADING_AWAY)
def test_a_record_whose_crop_leads_away_is_a_damaged_line(path: str, tmp_path: Path) -> None:
    keys = write_photos(tmp_path / "in", 4)
    crop(tmp_path / "in", tmp_path / "out")
    journal = tmp_path / "out" / STATE / "journal.jsonl"
    image = spoil_crop(journal, path)
    state = replay(journal)
    assert image not in state.records
    assert image not in state.entries
    assert state.ignored == 1
    for told in (api.write_audit(tmp_path / "out").notes, api.apply(tmp_path / "out", quiet=True).notes):
        assert any(note.startswith("damaged journal lines, ignored: 1; ") for note in told)
    result = crop(tmp_path / "in", tmp_path / "out")
    assert (result.done, result.skipped) == (1, 3)
    assert any("damaged journal lines, whose photos were done again: 1" in note for note in result.notes)
    assert len(rows_of(tmp_path / "out")) == len(keys)


@pytest.mark.parametrize("path", ["../victim.jpg", "{absolute}"])
def test_a_verdict_moves_nothing_from_elsewhere(path: str, tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 4)
    victim = write_photo(tmp_path / "elsewhere" / "victim.jpg")
    write_photo(tmp_path / "victim.jpg")
    crop(tmp_path / "in", tmp_path / "out")
    journal = tmp_path / "out" / STATE / "journal.jsonl"
    image = spoil_crop(journal, path.format(absolute=victim))
    VerdictLog(journal.with_name("review.csv")).append(Verdict(image, "rejected"))
    before = (tmp_path / "victim.jpg").read_bytes()
    with untouched(tmp_path / "elsewhere"), untouched(tmp_path / "in"):
        api.apply(tmp_path / "out", quiet=True)
        crop(tmp_path / "in", tmp_path / "out")
        crop(tmp_path / "in", tmp_path / "out", overwrite=True, discard_review=True)
    assert (tmp_path / "victim.jpg").read_bytes() == before


def test_an_announced_crop_that_leads_away_is_ignored(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 4)
    victim = write_photo(tmp_path / "victim.jpg")
    crop(tmp_path / "in", tmp_path / "out", out_format="tar", limit=2)
    state = tmp_path / "out" / STATE
    (state / "pending" / "crops-00000.tar").mkdir(parents=True)
    lines = [
        {"image": "x.jpg", "crop": "crops-00000.tar/../../../../victim.jpg"},
        {"image": "y.jpg", "crop": "../victim.jpg"},
        {"image": "z.jpg", "crop": 5},
        {"image": ["z.jpg"], "crop": "z.jpg"},
    ]
    with open(state / "candidates.jsonl", "ab") as file:
        file.writelines(map(to_line, lines))
    assert unfinished_crops(state / "candidates.jsonl", replay(state / "journal.jsonl").records) == set()
    before = victim.read_bytes()
    crop(tmp_path / "in", tmp_path / "out", out_format="tar")
    crop(tmp_path / "in", tmp_path / "out", out_format="tar", overwrite=True)
    assert victim.read_bytes() == before


def test_only_tar_files_of_ours_are_packed(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 4)
    crop(tmp_path / "in", tmp_path / "out", out_format="tar")
    pending = tmp_path / "out" / STATE / "pending"
    for name in ("album/a.jpg", "album/a.json", "a.jpg"):
        write_photo(pending / name)
    before = files_of(pending)
    crop(tmp_path / "in", tmp_path / "out", out_format="tar")
    assert not (tmp_path / "out" / "album").exists()
    assert {name.removesuffix(".wait"): data for name, data in files_of(pending).items()} == before


# ---------------------------------------------------------------- while a run is at work


@posix
@pytest.mark.parametrize("held_open", [True, False])
@pytest.mark.parametrize("swapped", ["day1", f"{STATE}/tmp", STATE, "day2/deep"])
def test_a_folder_that_becomes_a_link_during_the_run(
    swapped: str, held_open: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not held_open:
        monkeypatch.setattr(inside_module, "_DESCRIPTORS", False)
    write_photos(tmp_path / "in", 24)
    place = tmp_path / "out" / swapped
    target = tmp_path / "in" / swapped if swapped.startswith("day") else tmp_path / "elsewhere"
    target.mkdir(parents=True, exist_ok=True)
    for number in range(24):
        write_photo(tmp_path / "elsewhere" / "tmp" / f"{os.getpid()}-{number}", number)

    put_back: list[bool] = []
    made = itertools.count()

    def swap(begun: int) -> None:
        if begun > 4 and place.is_dir() and not (tmp_path / "was").exists() and not put_back:
            place.rename(tmp_path / "was")
            while not place.is_symlink():
                try:
                    place.symlink_to(target)
                except FileExistsError:  # the run has made it again in that instant
                    place.rename(tmp_path / f"made-{next(made)}")

    class Swapping(FakeDetector):
        def detect(self, image: Any, key: str = "") -> Any:
            if held_open:  # at any moment of the thread that writes
                swap(self.calls.total())
            return super().detect(image, key)

    if not held_open:  # then between a check and its write nothing can be promised: only between photos
        recorded = itertools.count(1)
        monkeypatch.setattr(NoMirror, "on_commit", lambda mirror: swap(next(recorded)))

    with (
        untouched(tmp_path / "in"),
        untouched(tmp_path / "elsewhere"),
        pytest.raises((UsageError, OutputError)) as caught,
    ):
        crop(tmp_path / "in", tmp_path / "out", detector=Swapping(), workers=1)
    # The lock is in the state folder: that it is gone is mostly seen before the link is met.
    codes = {"link_in_output", "folder_replaced"} if swapped == STATE else {"link_in_output"}
    assert caught.value.code in codes
    with refused(caught.value.code, names=[str(place if caught.type is UsageError else tmp_path / "out")]):
        raise caught.value
    place.unlink()
    (tmp_path / "was").rename(place)
    put_back.append(True)
    crop(tmp_path / "in", tmp_path / "out")
    crop(tmp_path / "in", tmp_path / "reference")
    assert product(tmp_path / "out") == product(tmp_path / "reference")


# ---------------------------------------------------------------- second names


@posix
def test_a_backup_by_hard_links_stays_as_it_was(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 6)
    crop(tmp_path / "in", tmp_path / "out", limit=3)
    log = verdict_log(tmp_path / "out")
    image = next(iter(replay(tmp_path / "out" / STATE / "journal.jsonl").records))
    log.append(Verdict(image, "accepted"))
    shutil.copytree(tmp_path / "out", tmp_path / "backup", copy_function=os.link)
    before = files_of(tmp_path / "backup")
    crop(tmp_path / "in", tmp_path / "out")
    log.append(Verdict(image, "rejected"))
    api.apply(tmp_path / "out", quiet=True)
    assert files_of(tmp_path / "backup") == before
    assert len(replay(tmp_path / "out" / STATE / "journal.jsonl").records) == 6
    assert [verdict.verdict for verdict in VerdictLog(log.path).refresh()] == ["accepted", "rejected"]


# ---------------------------------------------------------------- folders of earlier versions


def as_before(out: Path) -> None:
    """Give the rejected and the waiting crops of a folder the names that they had."""
    for path in (out / STATE).rglob("*"):
        if path.name.endswith((".rejected", ".wait")):
            path.rename(path.with_name(path.name.removesuffix(".rejected").removesuffix(".wait")))


@pytest.mark.parametrize("form", ["files", "tar"])
@pytest.mark.parametrize("command", ["run", "apply", "audit"])
def test_rejected_crops_of_an_earlier_version(form: str, command: str, tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 6)
    out = tmp_path / "out"
    crop(tmp_path / "in", out, out_format=form)
    reference = product(out)
    image = next(key for key, r in replay(out / STATE / "journal.jsonl").records.items() if "/" in key)
    log = verdict_log(out)
    log.append(Verdict(image, "rejected"))
    api.apply(out, quiet=True)
    after = product(out)
    name = aside_name(replay(out / STATE / "journal.jsonl").records[image].crop)
    assert name in files_of(out / STATE / "rejected")
    as_before(out)
    assert name.removesuffix(".rejected") in files_of(out / STATE / "rejected")
    if command == "run":
        assert crop(tmp_path / "in", out, out_format=form).done == 0
    elif command == "apply":
        assert api.apply(out, quiet=True).done == 0
    else:
        api.write_audit(out)
    assert product(out) == after
    assert list(files_of(out / STATE / "rejected")) == [name]
    as_before(out)
    log.append(Verdict(image, "undone"))
    shutil.move(tmp_path / "in", tmp_path / "away")  # bringing it back needs no photo
    api.apply(out, quiet=True)
    shutil.move(tmp_path / "away", tmp_path / "in")
    api.write_audit(out)
    assert product(out) == reference
    assert not (out / STATE / "rejected").exists()


@pytest.mark.parametrize("command", ["run", "apply", "audit"])
def test_waiting_crops_of_an_earlier_version(command: str, tmp_path: Path) -> None:
    """A run that packs crops was killed."""
    write_photos(tmp_path / "in", 6)
    out = tmp_path / "out"
    crop(tmp_path / "in", tmp_path / "reference", out_format="tar", per_tar=10)
    crop(tmp_path / "in", out, out_format="tar", per_tar=10)
    packed = OutputFolder(out).crops
    assert isinstance(packed, TarCrops)
    pending = out / STATE / "pending" / "crops-00000.tar"
    for name in list(packed._members("crops-00000.tar")):
        place = pending / name
        place.parent.mkdir(parents=True, exist_ok=True)
        offset, size = packed._members("crops-00000.tar")[name]
        place.write_bytes((out / "crops-00000.tar").read_bytes()[offset : offset + size])
    (out / "crops-00000.tar").unlink()
    records = replay(out / STATE / "journal.jsonl").records
    folder = OutputFolder(out)
    assert all(folder.crops.size(record.crop) == record.crop_bytes for record in records.values())
    assert folder.crops.read(next(iter(records.values())).crop)
    if command == "run":
        assert crop(tmp_path / "in", out, out_format="tar", per_tar=10).done == 0
    elif command == "apply":
        api.apply(out, quiet=True)
    else:
        api.write_audit(out)
        assert {path.suffix for path in pending.rglob("*.*")} == {".json", ".wait"}
        api.apply(out, quiet=True)
    assert product(out) == product(tmp_path / "reference")


def test_the_longest_names_can_be_set_aside(tmp_path: Path) -> None:
    name = "x" * 251 + ".jpg"
    write_photo(tmp_path / "in" / name, 1)
    crop(tmp_path / "in", tmp_path / "out")
    log = verdict_log(tmp_path / "out")
    before = product(tmp_path / "out")
    log.append(Verdict(name, "rejected"))
    assert api.apply(tmp_path / "out", quiet=True).counts["rejected"] == 1
    (path,) = (tmp_path / "out" / STATE / "rejected").iterdir()
    assert path.suffix == ".rejected"
    assert len(path.name) == 255
    assert crop(tmp_path / "in", tmp_path / "out").done == 0
    log.append(Verdict(name, "undone"))
    api.apply(tmp_path / "out", quiet=True)
    api.write_audit(tmp_path / "out")
    assert product(tmp_path / "out") == before
