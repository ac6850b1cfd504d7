"""teach: what is taken from a review, how it is measured, what is written, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.commands import teach as teach_module
from detic_crop.commands.teach import groups_of
from detic_crop.detectors.lite.taught_file import is_taught_file, read_taught
from detic_crop.errors import OutputError, UsageError
from detic_crop.folder.truths import Truth
from tests.kit.detectors import FakeDetector
from tests.kit.errors import complained, refused
from tests.kit.folders import crop, records_of, untouched
from tests.kit.photos import write_photo, write_tar
from tests.kit.pupils import BASE, CONF, FakePupil
from tests.kit.verdicts import give_verdict, give_verdicts

SEAS = ("north", "south", "west")


@pytest.fixture(autouse=True)
def fake_pupil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detic_crop.detectors.lite.teaching.Pupil", FakePupil)
    monkeypatch.setattr(FakePupil, "better", True)
    FakePupil.seen.clear()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `in`, three seas of six photos each, and `out`."""
    folder = tmp_path_factory.mktemp("teach")
    for number in range(18):
        sea = folder / "in" / SEAS[number % 3]
        sea.mkdir(parents=True, exist_ok=True)
        write_photo(sea / f"photo{number:02}.png", number)
    crop(folder / "in", folder / "out")
    return folder


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    """A copy of it whose photos are all reviewed."""
    shutil.copytree(finished / "in", tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "out")
    review(tmp_path / "out")
    return tmp_path


def review(out: Path) -> None:
    """Accept every second box, draw another in place of the rest, reject one photo of each sea."""
    keys = sorted(records_of(out))
    words = {key: "accepted" if number % 2 else "box" for number, key in enumerate(keys)}
    give_verdicts(out, words | dict.fromkeys(keys[::6], "rejected"))


def teach(work: Path, **settings: object) -> api.TeachResult:
    return api.teach(work / "out", work / "mine.safetensors", **{"quiet": True, **settings})  # type: ignore[arg-type]


def test_what_was_said_is_measured_and_written(work: Path) -> None:
    with untouched(work / "in"), untouched(work / "out"):
        result = teach(work)
    accepted = [r for k, r in records_of(work / "out").items()]
    assert len(accepted) == 18
    assert result.helps
    assert result.strength > 0
    assert (result.grouped_by, result.groups) == ("folder", 3)
    assert result.sources.total() == 18
    assert result.sources["empty"] >= 3
    assert result.before.photos == result.sources["accepted"] + result.sources["corrected"]
    assert (result.before.empty, result.conf) == (result.sources["empty"], CONF)
    assert result.before.mean_iou < 0.6 < result.after.mean_iou
    assert (result.before.false_alarms, result.after.false_alarms) == (1, 0)
    assert result.corrected_before.photos == result.sources["corrected"]
    assert result.left_out == {}
    taught = read_taught(work / "mine.safetensors", BASE)
    assert (result.written, result.sha256) == (work / "mine.safetensors", taught.sha256)
    assert not any(sea in str(taught.about) or ".png" in str(taught.about) for sea in SEAS)


def test_the_same_call_writes_the_same_file(work: Path) -> None:
    first = teach(work).sha256
    assert teach(work).sha256 == first  # and replaces its own file


def test_what_does_not_help_is_not_written(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakePupil, "better", False)
    give_verdicts(work / "out", dict.fromkeys(records_of(work / "out"), "box"))
    result = teach(work)
    assert (result.helps, result.written, result.sha256) == (False, None, "")
    assert (result.after.mean_iou, result.after.found) == (result.before.mean_iou, result.before.found)
    assert not (work / "mine.safetensors").exists()
    forced = teach(work, force=True)
    assert (forced.helps, forced.written) == (False, work / "mine.safetensors")
    assert forced.strength > 0
    assert forced.after.mean_iou < forced.before.mean_iou  # that of what is written
    assert is_taught_file(work / "mine.safetensors")


def test_the_command_prints_a_table_and_what_is_next(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["teach", str(work / "out"), "--out", str(work / "mine.safetensors")]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "taught from 18 photos" in out
    assert "before   after" in out
    assert "false alarms" in out
    assert "by folder (3 groups)" in out
    assert f"--model lite:{work / 'mine.safetensors'}" in out
    result = teach(work)
    assert result.sentences == [line.replace("--conf ", "conf=") for line in out.splitlines()]
    assert repr(result) == f"<TeachResult {out.splitlines()[-1]}>"
    assert "before   after" in (result._repr_html_() or "")
    monkeypatch.setattr(FakePupil, "better", False)
    give_verdicts(work / "out", dict.fromkeys(records_of(work / "out"), "box"))
    (work / "mine.safetensors").unlink()
    assert cli.main([*command, "--quiet"]) == 4
    assert "does not help: nothing was written" in capsys.readouterr().out
    assert cli.main([*command, "--quiet", "--force"]) == 0


# ---------------------------------------------------------------- refusals


def test_without_verdicts_or_with_few_it_says_so(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    out = tmp_path / "copy" / "out"
    with refused("no_verdicts", UsageError, names=[str(out)]):
        api.teach(out, tmp_path / "mine.safetensors", quiet=True)
    cropped = [key for key, record in records_of(out).items() if record.status == "cropped"]
    for key in cropped[:4]:
        give_verdict(out, key, "accepted")
    give_verdict(out, cropped[5], "whole")
    with refused("too_few_lessons", UsageError, names=["got 4", "1 photo left out", cropped[5]]):
        api.teach(out, tmp_path / "mine.safetensors", quiet=True)
    assert FakePupil.seen == []


@pytest.mark.parametrize("kind", ["text", "folder", "other safetensors"])
def test_a_file_of_another_kind_is_not_replaced(
    work: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = work / "mine.safetensors"
    if kind == "folder":
        out.mkdir()
    else:
        out.write_bytes(b"my notes" if kind == "text" else b"\x02\0\0\0\0\0\0\0{}")
    with untouched(work):
        assert cli.main(["teach", str(work / "out"), "--out", str(out), "--force"]) == 2
    complained("out_is_not_taught", capsys.readouterr().err)
    assert FakePupil.seen == []


def test_an_out_that_cannot_be_is_refused_at_once(work: Path) -> None:
    with refused("no_folder_for_out", UsageError):
        api.teach(work / "out", work / "absent" / "mine.safetensors")
    with refused("needs_disk", UsageError):
        api.teach(work / "out", "s3://bucket/mine.safetensors")
    with refused("no_run", UsageError):
        api.teach(work / "in", work / "mine.safetensors")
    assert FakePupil.seen == []


@pytest.mark.parametrize("length", [240, 400])
def test_where_no_file_can_be_made_is_said_before_the_work(work: Path, length: int) -> None:
    with refused("taught_not_written", OutputError), untouched(work):
        api.teach(work / "out", work / ("x" * length + ".safetensors"))
    assert FakePupil.seen == []


def test_stopped_in_the_middle_it_leaves_the_earlier_file(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach(work)
    before = (work / "mine.safetensors").read_bytes()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FakePupil, "answer", stop)
    with untouched(work):
        command = ["teach", str(work / "out"), "--out", str(work / "mine.safetensors"), "--quiet"]
        assert cli.main(command) == 130
    assert (work / "mine.safetensors").read_bytes() == before


def test_that_a_taught_run_is_taught_from_the_shipped_weights_is_said(work: Path) -> None:
    assert not any("shipped" in note for note in teach(work).notes)
    crop(work / "in", work / "again", detector=FakeDetector(name="lite:mine.safetensors"))
    review(work / "again")
    result = api.teach(work / "again", work / "mine.safetensors", quiet=True)
    (note,) = [note for note in result.notes if "shipped" in note]
    assert "lite:mine.safetensors" in note
    assert "--add" in note


# ---------------------------------------------------------------- photos


def test_photos_that_have_moved_are_found_by_in(work: Path) -> None:
    expected = teach(work)
    (work / "in").rename(work / "elsewhere")
    with refused("too_few_lessons", names=["18 photos left out", "see to those, then teach"]):
        teach(work)
    moved = teach(work, input=work / "elsewhere")
    assert moved.sha256 == expected.sha256


def test_photos_in_a_tar_file_are_read_there(finished: Path, tmp_path: Path) -> None:
    files = sorted((finished / "in").rglob("*.png"))
    (tmp_path / "in").mkdir()
    members = {path.relative_to(finished / "in").as_posix(): path.read_bytes() for path in files}
    crop(write_tar(tmp_path / "in" / "all.tar", members), tmp_path / "out")
    review(tmp_path / "out")
    result = teach(tmp_path)
    assert (result.sources.total(), result.left_out) == (18, {})


def test_a_photo_that_changed_or_is_damaged_is_left_out_and_named(work: Path) -> None:
    keys = sorted(records_of(work / "out"))
    write_photo(work / "in" / keys[1], 99)
    (work / "in" / keys[2]).unlink()
    result = teach(work)
    assert sorted(result.left_out) == [keys[1], keys[2]]
    assert result.sources.total() == 16
    assert any("left out: 2" in note for note in result.notes)


def test_a_photo_that_needs_too_much_memory_is_left_out(work: Path) -> None:
    with refused("too_few_lessons", names=["--memory"]):
        teach(work, memory=1_000_000)


def test_of_very_many_photos_some_are_taken(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teach_module, "MOST_LESSONS", 12)
    result = teach(work)
    assert result.sources.total() == 12
    assert any("18; 12 of them" in note for note in result.notes)


# ---------------------------------------------------------------- groups


def truths(*keys: str, empty: tuple[str, ...] = ()) -> list[Truth]:
    box = (1.0, 1.0, 5.0, 5.0)
    return [Truth(key, None if key in empty else box, "accepted") for key in keys]


def test_encounters_before_folders_before_neighbours() -> None:
    photos = truths("a/1", "a/2", "b/1", "b/2")
    encounter_of = {"a/1": "7", "a/2": "8", "b/1": "8", "b/2": "7"}
    assert groups_of(photos, encounter_of) == (["7", "8", "8", "7"], "encounter")
    assert groups_of(photos, {"a/1": "7"}) == (["a", "a", "b", "b"], "folder")
    assert groups_of(photos, dict.fromkeys(encounter_of, "7"))[1] == "folder"
    assert groups_of(truths("a/1", "a/2", "b/1", empty=("b/1",)), {})[1] == "name"


def test_neighbouring_names_are_one_run_and_each_run_has_animals() -> None:
    keys = [f"IMG_{number:04}" for number in range(23)]
    photos = truths(*keys, empty=(keys[0], keys[1], keys[9], keys[22]))
    groups, kind = groups_of(photos, {})
    assert kind == "name"
    assert groups == sorted(groups)
    animals = {group for group, photo in zip(groups, photos, strict=True) if photo.box is not None}
    assert len(animals) == len(set(groups)) == 5


def test_one_folder_is_warned_about(work: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    for path in sorted((work / "in").rglob("*.png")):
        (flat / "in").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, flat / "in" / path.name)
    crop(flat / "in", flat / "out")
    review(flat / "out")
    result = teach(flat)
    assert (result.grouped_by, result.groups) == ("name", 5)
    assert any("flatters" in note for note in result.notes)


def test_encounters_of_the_labels_are_the_groups(work: Path) -> None:
    keys = sorted(records_of(work / "out"))
    lines = [f"{key},{number // 5}" for number, key in enumerate(keys)]
    (work / "labels.csv").write_text("\n".join(["image,encounter", *lines]) + "\n")
    crop(work / "in", work / "labelled", labels=work / "labels.csv")
    review(work / "labelled")
    result = api.teach(work / "labelled", work / "mine.safetensors", quiet=True)
    assert (result.grouped_by, result.groups) == ("encounter", 4)
