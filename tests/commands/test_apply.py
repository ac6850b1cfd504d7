"""apply: crops and rows follow the reviewer's last word, whatever was said and applied before."""

from __future__ import annotations

import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detic_crop import api
from detic_crop.boxes.crop_size import crop_size
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.geometry import crop_rectangle
from detic_crop.cli import main as cli
from detic_crop.detectors.base import DetectorInfo
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import read_candidates
from detic_crop.folder.names import aside_name
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import read_review
from detic_crop.images.crop import cut_and_resize
from detic_crop.images.encode import encode
from detic_crop.photos.keys import STATE
from tests.kit.errors import refused
from tests.kit.folders import (
    assert_same,
    crop,
    differing,
    files_of,
    lasting_files_of,
    leftovers,
    product,
    records_of,
    row_of,
    rows_of,
    untouched,
)
from tests.kit.photos import write_damaged, write_photo, write_photos
from tests.kit.verdicts import give_verdict, verdict_log

DRAWN = (10.0, 5.0, 40.0, 30.0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `in` and `out`: 15 good photos, some broken ones."""
    folder = tmp_path_factory.mktemp("apply")
    write_photos(folder / "in", 15)
    write_damaged(folder / "in")
    crop(folder / "in", folder / "out")
    return folder


@pytest.fixture
def work(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, times and all, that remembers where its photos are."""
    shutil.copytree(finished / "in", tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "out")
    assert_same(tmp_path / "out", product(finished / "out"))
    return tmp_path


def apply(work: Path, out: str = "out", **settings: object) -> api.ApplyResult:
    return api.apply(work / out, **{"quiet": True, **settings})  # type: ignore[arg-type]


def cropped_keys(out: Path) -> list[str]:
    return [row["image"] for row in rows_of(out) if row["status"] == "cropped"]


def boxes_of(out: Path, image: str) -> list[tuple[tuple[float, float, float, float], float, str]]:
    """All kept boxes of a photo."""
    record = records_of(out)[image]
    with open(out / STATE / "candidates.jsonl", "rb") as file:
        found = read_candidates(file, record)
    return [(found.edges(i), found.score(i), found.class_names[i]) for i in range(len(found))]


def another_box(out: Path) -> tuple[str, tuple[tuple[float, float, float, float], float, str]]:
    """A cropped photo with a kept box that was not chosen."""
    for image in cropped_keys(out):
        for box in boxes_of(out, image):
            if box[0] != records_of(out)[image].box:
                return image, box
    raise AssertionError("the fake detector finds several boxes in some photo")


def expected_crop(work: Path, image: str, box: tuple[float, float, float, float] | None) -> bytes:
    """What a box must give, worked out from the photo itself."""
    photo = cv2.imread(str(work / "in" / image))
    assert photo is not None
    size = photo.shape[1], photo.shape[0]
    square = crop_size(32, "stretch")
    rectangle = (0, 0, *size) if box is None else crop_rectangle(box, 1.2, square, size)
    return encode(cut_and_resize(photo, rectangle, square), "jpg", 95)  # type: ignore[arg-type]


# ---------------------------------------------------------------- each verdict


def test_nothing_said_changes_nothing(work: Path) -> None:
    before = lasting_files_of(work / "out")
    result = apply(work)
    assert (result.changes, result.done) == ([], 0)
    assert lasting_files_of(work / "out") == before


def test_accepted_changes_only_the_verdict(work: Path) -> None:
    image = cropped_keys(work / "out")[0]
    before, row = product(work / "out"), row_of(work / "out", image)
    give_verdict(work / "out", image, "accepted")
    assert apply(work).done == 1
    assert differing(before, product(work / "out")) == ["audit.csv", "audit.html"]
    assert row_of(work / "out", image) == {**row, "verdict": "accepted", "suspicion": "0.0000"}


def test_a_drawn_box(work: Path) -> None:
    image = cropped_keys(work / "out")[0]
    before, row = product(work / "out"), row_of(work / "out", image)
    give_verdict(work / "out", image, "box", DRAWN)
    assert apply(work).done == 1
    after = row_of(work / "out", image)
    assert set(differing(before, product(work / "out"))) == {"audit.csv", "audit.html", row["crop"]}
    assert (work / "out" / row["crop"]).read_bytes() == expected_crop(work, image, DRAWN)
    assert (after["status"], after["reason"], after["verdict"]) == ("cropped", "reviewed_box", "box")
    assert (after["box"], after["score"], after["class_name"]) == ("10 5 40 30", "", "")
    assert after["crop_box"] == "7 2 43 33"
    assert after["detector_box"] == row["box"]
    assert after["suspicion"] == "0.0000"
    for name in ("best_class", "best_score", "best_box", "presence", "n_candidates", "model"):
        assert after[name] == row[name], name


def test_a_box_that_the_detector_found_keeps_its_class_and_score(work: Path) -> None:
    image, (box, score, name) = another_box(work / "out")
    row = row_of(work / "out", image)
    give_verdict(work / "out", image, "box", box)
    apply(work)
    after = row_of(work / "out", image)
    assert (after["class_name"], after["score"]) == (name, f"{score:.4f}")
    assert after["detector_box"] == row["box"]
    assert (work / "out" / row["crop"]).read_bytes() == expected_crop(work, image, box)
    assert "smaller_box_more_confident" not in after["flags"]


def test_the_whole_photo(work: Path) -> None:
    image = cropped_keys(work / "out")[0]
    row = row_of(work / "out", image)
    give_verdict(work / "out", image, "whole")
    apply(work)
    after = row_of(work / "out", image)
    assert (after["status"], after["reason"], after["verdict"]) == ("resized", "reviewed_whole", "whole")
    assert (after["box"], after["class_name"], after["score"]) == ("", "", "")
    assert after["crop_box"] == "0 0 60 40"
    assert (after["detector_box"], after["best_box"]) == (row["box"], row["best_box"])
    assert (work / "out" / row["crop"]).read_bytes() == expected_crop(work, image, None)


def test_a_rejected_crop_is_set_aside(work: Path) -> None:
    image = cropped_keys(work / "out")[0]
    before, row = product(work / "out"), row_of(work / "out", image)
    give_verdict(work / "out", image, "rejected")
    apply(work)
    after = row_of(work / "out", image)
    assert (after["status"], after["reason"], after["crop"]) == ("rejected", "reviewed_rejected", "")
    assert (after["box"], after["score"]) == (row["box"], row["score"])
    assert not (work / "out" / row["crop"]).exists()
    aside = work / "out" / STATE / "rejected" / aside_name(row["crop"])
    assert aside.read_bytes() == before[row["crop"]]
    shutil.move(work / "in", work / "away")  # bringing it back needs no photo
    give_verdict(work / "out", image, "undone")
    apply(work)
    assert product(work / "out").keys() == before.keys()
    assert (work / "out" / row["crop"]).read_bytes() == before[row["crop"]]
    assert not aside.parent.exists()
    shutil.move(work / "away", work / "in")
    api.write_audit(work / "out")
    assert_same(work / "out", before)


def test_a_crop_set_aside_by_a_killed_apply_comes_back_when_the_verdict_is_taken_back(work: Path) -> None:
    """Killed between the move and the journal's line, no record says where the crop is."""
    before = product(work / "out")
    image = cropped_keys(work / "out")[0]
    name = records_of(work / "out")[image].crop
    aside = OutputFolder(work / "out").layout.rejected / aside_name(name)
    give_verdict(work / "out", image, "rejected")
    aside.parent.mkdir(parents=True)
    os.replace(work / "out" / name, aside)
    give_verdict(work / "out", image, "undone")
    apply(work)
    assert_same(work / "out", before)
    assert not aside.exists()


def test_an_animal_that_was_missed(work: Path) -> None:
    image = next(row["image"] for row in rows_of(work / "out") if row["status"] == "resized")
    give_verdict(work / "out", image, "box", DRAWN)
    apply(work)
    after = row_of(work / "out", image)
    assert (after["status"], after["box"], after["detector_box"]) == ("cropped", "10 5 40 30", "")


# ---------------------------------------------------------------- again, and back


@pytest.mark.parametrize("words", [("box",), ("whole",), ("rejected",), ("accepted",), ("box", "rejected")])
def test_taken_back_everything_is_as_the_detector_left_it(work: Path, words: tuple[str, ...]) -> None:
    image = cropped_keys(work / "out")[0]
    before = product(work / "out")
    for word in words:
        give_verdict(work / "out", image, word, DRAWN if word == "box" else None)
        apply(work)
        changed = lasting_files_of(work / "out")
        assert apply(work).done == 0
        assert lasting_files_of(work / "out") == changed
    give_verdict(work / "out", image, "undone")
    assert apply(work).done == 1
    assert_same(work / "out", before)
    assert not (work / "out" / STATE / "rejected").exists()
    assert leftovers(work / "out") == []


def test_only_the_last_word_matters(work: Path) -> None:
    """However verdicts and applies followed each other, the folder is that of the last words alone."""
    chance = random.Random(5)
    shutil.copytree(work / "out", work / "straight")
    images = [key for key, record in records_of(work / "out").items() if record.status != "failed"]
    for _ in range(60):
        word = chance.choice(("accepted", "whole", "box", "rejected", "undone"))
        box = chance.choice((DRAWN, (0.0, 0.0, 20.5, 20.25))) if word == "box" else None
        give_verdict(work / "out", chance.choice(images), word, box)
        if chance.random() < 0.25:
            apply(work)
    apply(work)
    shutil.copy(work / "out" / STATE / "review.csv", work / "straight" / STATE)
    apply(work, "straight")
    assert_same(work / "out", product(work / "straight"))
    folders = [work / "out" / STATE / "rejected", work / "straight" / STATE / "rejected"]
    assert files_of(folders[0]) == files_of(folders[1]) != {}
    assert {row["verdict"] for row in rows_of(work / "out")} == {"", "accepted", "whole", "box", "rejected"}


def test_lines_that_are_no_verdict_are_counted_aloud(work: Path) -> None:
    image = cropped_keys(work / "out")[0]
    give_verdict(work / "out", image, "accepted")
    with open(work / "out" / STATE / "review.csv", "a", encoding="utf-8") as file:
        file.write(f"{image},reject,,me,now\n{image},box,10 20,me,now\n")
    for dry_run in (True, False):
        (note,) = apply(work, dry_run=dry_run).notes
        assert re.search(
            r"lines of .*/review.csv that are not verdicts, .*ignored: 2 \(the first is line 3\); expected "
            "image,verdict,box,reviewer,time,note,viewpoint .*: correct them and clear their crc cell, or "
            "delete them",
            note,
        )
    assert row_of(work / "out", image)["verdict"] == "accepted"


def test_a_dry_run_lists_and_writes_nothing(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c = cropped_keys(work / "out")[:3]
    give_verdict(work / "out", a, "box", DRAWN)
    give_verdict(work / "out", b, "rejected")
    give_verdict(work / "out", c, "undone")
    with untouched(work):
        assert cli.main(["apply", str(work / "out"), "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{a}: another box 10 5 40 30",
        f"{b}: rejected (no new crop)",
        "dry run, nothing written: 2 verdicts to apply",
    ]


def test_the_command_says_what_it_did(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c, d = cropped_keys(work / "out")[:4]
    give_verdict(work / "out", a, "box", DRAWN)
    give_verdict(work / "out", b, "rejected")
    give_verdict(work / "out", c, "accepted")
    give_verdict(work / "out", d, "whole")
    give_verdict(work / "out", "unknown.jpg", "accepted")
    assert cli.main(["apply", str(work / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0]
        == "verdicts about photos that this folder does not have, ignored: 1 (the first: unknown.jpg)"
    )
    assert lines[1] == "verdicts applied: 1 accepted, 1 another box, 1 whole photo, 1 rejected"
    assert "1 whole by review, 1 rejected, 4 failed" in lines[2]
    assert cli.main(["apply", str(work / "out")]) == 0
    assert "no verdict to apply" in capsys.readouterr().out


# ---------------------------------------------------------------- photos that are not what they were


def other_content(path: Path) -> None:
    write_photo(path, 99)


def overwritten(path: Path) -> None:
    """Other bytes, as many as before."""
    path.write_bytes(b"\0" * path.stat().st_size)
    os.utime(path, ns=(1, 1))


def cut(path: Path) -> None:
    """Damaged, but of the same size and time."""
    status = path.stat()
    path.write_bytes(b"\0" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (other_content, "has changed since the run; run `detic-crop run` again"),
        (overwritten, "has changed since the run; run `detic-crop run` again"),
        (Path.unlink, "found none; pass --in FOLDER"),
        (cut, "expected JPEG, PNG"),
    ],
)
def test_a_photo_that_is_not_there_any_more_keeps_its_row(
    work: Path, spoil: object, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image, other = cropped_keys(work / "out")[:2]
    give_verdict(work / "out", image, "box", DRAWN)
    give_verdict(work / "out", other, "box", DRAWN)
    before = product(work / "out")
    spoil(work / "in" / image)  # type: ignore[operator]
    result = apply(work)
    assert list(result.problems) == [image]
    assert why in result.problems[image]
    changed = set(differing(before, product(work / "out")))
    assert changed == {"audit.csv", "audit.html", row_of(work / "out", other)["crop"]}
    assert row_of(work / "out", image)["verdict"] == ""
    assert cli.main(["apply", str(work / "out"), "--quiet"]) == 0
    assert f"{image} keeps its crop: " in capsys.readouterr().err
    assert cli.main(["apply", str(work / "out"), "--quiet", "--strict"]) == 3


def test_a_photo_that_was_only_touched_is_cropped_as_reviewed(work: Path) -> None:
    image = cropped_keys(work / "out")[0]
    give_verdict(work / "out", image, "box", DRAWN)
    os.utime(work / "in" / image, ns=(1, 1))
    assert apply(work).problems == {}
    assert (work / "out" / row_of(work / "out", image)["crop"]).read_bytes() == expected_crop(
        work, image, DRAWN
    )


def test_a_failed_photo_cannot_be_judged(work: Path) -> None:
    give_verdict(work / "out", "bad/empty.png", "box", DRAWN)
    give_verdict(work / "out", "bad/text.jpg", "accepted")
    result = apply(work)
    assert sorted(result.problems) == ["bad/empty.png", "bad/text.jpg"]
    assert row_of(work / "out", "bad/text.jpg")["status"] == "failed"


def test_photos_that_moved(work: Path) -> None:
    image = cropped_keys(work / "out")[0]
    give_verdict(work / "out", image, "box", DRAWN)
    shutil.copytree(work / "out", work / "reference")
    apply(work, "reference")
    shutil.copytree(work / "in", work / "copy", copy_function=shutil.copyfile)  # new times
    shutil.rmtree(work / "in")
    assert image in apply(work).problems
    assert apply(work, input=work / "copy").problems == {}
    (crop_name,) = [row["crop"] for row in rows_of(work / "out") if row["image"] == image]
    assert (work / "out" / crop_name).read_bytes() == (work / "reference" / crop_name).read_bytes()
    assert (work / "out" / "audit.csv").read_bytes() == (work / "reference" / "audit.csv").read_bytes()


def test_kept_boxes_that_are_gone(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    give_verdict(work / "out", cropped_keys(work / "out")[0], "box", DRAWN)
    (work / "out" / STATE / "candidates.jsonl").unlink()
    before = product(work / "out")
    assert cli.main(["apply", str(work / "out"), "--quiet"]) == 0  # made anew, empty
    assert "the kept boxes of this photo are damaged" in capsys.readouterr().err
    assert differing(before, product(work / "out")) in ([], ["audit.html"])


def test_a_folder_in_use_and_folders_without_a_run(
    work: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with OutputFolder(work / "out").locked():
        assert cli.main(["apply", str(work / "out")]) == 1
    assert "another run is writing" in capsys.readouterr().err
    (tmp_path / "empty" / STATE).mkdir(parents=True)
    assert cli.main(["apply", str(tmp_path / "empty")]) == 2
    (tmp_path / "empty" / STATE / "journal.jsonl").touch()
    assert cli.main(["apply", str(tmp_path / "empty")]) == 2
    assert "has no finished photos yet" in capsys.readouterr().err


# ---------------------------------------------------------------- run, audit and recrop afterwards


@pytest.fixture
def reviewed(work: Path) -> tuple[Path, list[str]]:
    """One photo of each verdict: box, whole, rejected, accepted."""
    images = cropped_keys(work / "out")[:4]
    for image, word in zip(images, ("box", "whole", "rejected", "accepted"), strict=True):
        give_verdict(work / "out", image, word, DRAWN if word == "box" else None)
    apply(work)
    return work, images


def test_run_and_audit_keep_it(reviewed: tuple[Path, list[str]]) -> None:
    work, _ = reviewed
    before = product(work / "out")
    api.write_audit(work / "out")
    assert_same(work / "out", before)
    result = crop(work / "in", work / "out")
    assert result.done == 4  # the failed ones are tried again
    assert_same(work / "out", before)


def test_a_run_makes_a_lost_crop_again_as_reviewed(reviewed: tuple[Path, list[str]]) -> None:
    work, images = reviewed
    before = product(work / "out")
    for image in images:
        (work / "out" / records_of(work / "out")[image].crop).unlink(missing_ok=True)
    crop(work / "in", work / "out")
    assert_same(work / "out", before)
    assert apply(work).done == 0


def test_a_changed_photo_is_cropped_anew_without_its_verdict(
    reviewed: tuple[Path, list[str]],
) -> None:
    work, images = reviewed
    for image in images[:3]:
        write_photo(work / "in" / image, 77)
    result = crop(work / "in", work / "out")
    assert not (work / "out" / STATE / "rejected").exists()
    assert "3 reviewed photos have changed since; their verdicts no longer count" in result.notes
    assert apply(work).done == 0
    crop(work / "in", work / "reference")
    rows, expected = rows_of(work / "out"), rows_of(work / "reference")
    kept = {"verdict": "accepted", "suspicion": "0.0000"}
    assert rows == [{**row, **(kept if row["image"] == images[3] else {})} for row in expected]
    last = read_review(work / "out" / STATE / "review.csv").last[images[0]]
    assert (last.verdict, last.reviewer) == ("undone", "detic-crop run: the photo has changed")
    assert not (work / "out" / STATE / "rejected").exists()


def test_photos_that_were_only_touched_keep_their_verdicts(reviewed: tuple[Path, list[str]]) -> None:
    """As after a restored backup or a copy over the old files."""
    work, images = reviewed
    before = product(work / "out")
    for image in images:
        os.utime(work / "in" / image, ns=(1, 1))
    result = crop(work / "in", work / "out")
    assert not [note for note in result.notes if "changed since" in note]
    assert_same(work / "out", before)
    assert read_review(work / "out" / STATE / "review.csv").last[images[2]].verdict == "rejected"
    assert apply(work).done == 0


def test_photos_copied_elsewhere_keep_their_verdicts(reviewed: tuple[Path, list[str]]) -> None:
    work, images = reviewed
    before = {key: row for key, row in product(work / "out").items() if not key.startswith("audit.")}
    table = rows_of(work / "out")
    shutil.copytree(work / "in", work / "copy", copy_function=shutil.copyfile)  # new times
    shutil.rmtree(work / "in")
    crop(work / "copy", work / "out")
    after = {key: row for key, row in product(work / "out").items() if not key.startswith("audit.")}
    assert after == before
    assert rows_of(work / "out") == table
    assert (work / "out" / STATE / "rejected").exists()
    assert apply(work).done == 0
    give_verdict(work / "out", images[0], "undone")
    assert apply(work).problems == {}


def test_recrop_honours_verdicts(reviewed: tuple[Path, list[str]]) -> None:
    """A recrop of the reviewed folder is the review of a recropped folder."""
    work, images = reviewed
    settings: dict[str, Any] = {"scale": 1.7, "size": 40, "fit": "pad"}
    api.recrop(work / "out", work / "one", quiet=True, **settings)
    crop(work / "in", work / "two", **settings)
    shutil.copy(work / "out" / STATE / "review.csv", work / "two" / STATE)
    apply(work, "two")
    assert_same(work / "one", product(work / "two"))
    assert files_of(work / "one" / STATE / "rejected") == files_of(work / "two" / STATE / "rejected")
    assert apply(work, "one").done == 0
    # Words that are not applied yet count as well, and the new folder can be reviewed further.
    give_verdict(work / "out", images[3], "whole")
    api.recrop(work / "out", work / "three", quiet=True)
    assert row_of(work / "three", images[3])["verdict"] == "whole"
    verdict_log(work / "three").append(Verdict(images[2], "undone"))
    apply(work, "three")
    assert row_of(work / "three", images[2])["status"] == "cropped"


def test_a_recrop_that_goes_on_follows_later_verdicts(reviewed: tuple[Path, list[str]]) -> None:
    work, images = reviewed
    api.recrop(work / "out", work / "one", quiet=True)
    give_verdict(work / "out", images[0], "rejected")
    give_verdict(work / "out", images[2], "undone")
    assert api.recrop(work / "out", work / "one", quiet=True).done == 2 + 4  # failed ones are tried again
    apply(work)
    assert_same(work / "one", product(work / "out"))
    assert len(files_of(work / "one" / STATE / "rejected")) == 1
    # Its own review goes first.
    verdict_log(work / "one").append(Verdict(images[0], "whole"))
    apply(work, "one")
    api.recrop(work / "out", work / "one", quiet=True)
    assert row_of(work / "one", images[0])["verdict"] == "whole"


def test_overwrite_takes_everything_with_it(reviewed: tuple[Path, list[str]], finished: Path) -> None:
    work, _ = reviewed
    with refused("verdicts_would_be_lost", UsageError):
        crop(work / "in", work / "out", overwrite=True)
    crop(work / "in", work / "out", overwrite=True, discard_review=True)
    assert_same(work / "out", product(finished / "out"))
    assert not (work / "out" / STATE / "review.csv").exists()
    assert not (work / "out" / STATE / "rejected").exists()


def test_rows_of_a_label_table(work: Path) -> None:
    image = cropped_keys(work / "out")[0]
    (work / "labels.csv").write_text(f"image,id\n{image},a\n{image},b\n")
    crop(work / "in", work / "labelled", labels=work / "labels.csv")
    verdict_log(work / "labelled").append(Verdict(image, "whole"))
    assert apply(work, "labelled").counts == {"resized": 1}
    assert [row["verdict"] for row in rows_of(work / "labelled")] == ["whole", "whole"]


class TwoBoxes:
    """Finds a small sure whale, and a large unsure one around it."""

    info = DetectorInfo("two boxes", ("whale",), 0.5, default_classes="any", thread_safe=True)

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """The same boxes in every photo."""
        xyxy = np.array([[10, 10, 40, 30], [0, 0, 59, 39]], np.float32)
        return Detections(xyxy, np.array([0.9, 0.2], np.float32), ("whale", "whale"))


def test_an_acceptance_is_not_carried_to_a_box_that_nobody_has_seen(tmp_path: Path) -> None:
    a, b = write_photos(tmp_path / "in", 2)
    crop(tmp_path / "in", tmp_path / "out", detector=TwoBoxes())
    give_verdict(tmp_path / "out", a, "accepted")
    apply(tmp_path)
    give_verdict(tmp_path / "out", b, "accepted")  # not applied
    same = api.recrop(tmp_path / "out", tmp_path / "same", quiet=True, scale=2, conf=0.4)
    assert [row["verdict"] for row in rows_of(tmp_path / "same")] == ["accepted", "accepted"]
    assert not [note for note in same.notes if "accepted" in note]
    other = api.recrop(tmp_path / "out", tmp_path / "other", quiet=True, conf=0.1)
    note = (
        "photos that were accepted with another box than these settings choose: 2; they count as not reviewed"
    )
    assert note in other.notes
    assert [(row["verdict"], row["box"]) for row in rows_of(tmp_path / "other")] == [("", "0 0 59 39")] * 2
    # What is accepted there holds there.
    verdict_log(tmp_path / "other").append(Verdict(a, "accepted"))
    apply(tmp_path, "other")
    api.recrop(tmp_path / "out", tmp_path / "other", quiet=True, conf=0.1)
    assert row_of(tmp_path / "other", a)["verdict"] == "accepted"
    # Of a photo where both find nothing, nothing has changed.
    api.recrop(tmp_path / "other", tmp_path / "none", quiet=True, conf=0.95)
    assert [row["verdict"] for row in rows_of(tmp_path / "none")] == ["", ""]
    verdict_log(tmp_path / "none").append(Verdict(a, "accepted"))
    api.recrop(tmp_path / "none", tmp_path / "less", quiet=True, conf=0.99)
    assert row_of(tmp_path / "less", a)["verdict"] == "accepted"


def test_the_page_of_a_recropped_folder_knows_what_was_said(reviewed: tuple[Path, list[str]]) -> None:
    work, images = reviewed
    api.recrop(work / "out", work / "one", quiet=True)
    page = (work / "one" / "audit.html").read_text()
    assert "<b>4 of 15 photos are reviewed</b>" in page
    assert "Reviewed by me: <b>another box</b>" in page
    assert "crops again what review has changed" not in page  # nothing waits
    verdict_log(work / "one").append(Verdict(images[0], "undone"))
    api.write_audit(work / "one")
    page = (work / "one" / "audit.html").read_text()
    assert "<b>3 of 15 photos are reviewed</b>" in page
    assert "crops again what review has changed: 1 so far." in page
