"""Photos that are no longer where the run found them: it is said, nothing good is lost, and --in mends it."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.folder.records import Record
from detic_crop.folder.whereabouts import count_absent
from detic_crop.photos.keys import STATE
from detic_crop.photos.location import parse
from tests.kit.errors import refused
from tests.kit.folders import crop, files_of, product, rows_of, untouched
from tests.kit.photos import write_damaged, write_photo, write_photos
from tests.kit.review import reviewing
from tests.kit.verdicts import give_verdict


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with `out`, its 12 photos in `moved` instead of `in`, and failed ones that nobody misses."""
    write_photos(tmp_path / "in", 12)
    write_damaged(tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in").rename(tmp_path / "moved")
    return tmp_path


def pictures(work: Path) -> list[tuple[str, str]]:
    """Every picture of audit.html but those of the contact sheet."""
    page = (work / "out" / "audit.html").read_text("utf-8")
    return re.findall(r'alt="(its crop|the photo)"[^>]*base64,([^"]+)"', page)


def cropped(work: Path) -> list[str]:
    return [row["image"] for row in rows_of(work / "out") if row["status"] == "cropped"]


def test_audit_keeps_the_pictures_and_says_so(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, good = pictures(work), product(work / "out")
    assert len(before) == 24
    assert cli.main(["audit", str(work / "out")]) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(
        f"none of the 12 photos is where the run found them ({work / 'in'}): audit.html keeps"
    )
    assert first.endswith("pass --in FOLDER, where they are now")
    assert pictures(work) == before
    assert "12 of 12 photos" in (work / "out" / "audit.html").read_text("utf-8")
    with untouched(work / "moved"):
        assert cli.main(["audit", str(work / "out"), "--in", str(work / "moved")]) == 0
    assert "photos is where" not in capsys.readouterr().out
    assert product(work / "out") == good


def test_a_part_that_has_moved_is_counted(work: Path) -> None:
    before = pictures(work)
    write_photos(work / "in", 3)
    shutil.copystat(work / "moved" / "photo000.jpg", work / "in" / "photo000.jpg")
    notes = api.write_audit(work / "out").notes
    assert notes[0].startswith("9 of 12 photos are not where the run found them")
    assert pictures(work) == before


def test_pictures_that_there_never_were_are_made_once_the_photos_are_found(work: Path) -> None:
    good = product(work / "out")
    (work / "out" / "audit.html").unlink()
    api.write_audit(work / "out")
    assert {kind for kind, _ in pictures(work)} == {"its crop"}
    api.write_audit(work / "out", input=work / "moved", xlsx=True)
    assert {kind for kind, _ in pictures(work)} == {"its crop", "the photo"}
    made = product(work / "out")
    made.pop("audit.xlsx")
    assert made == good


def test_a_folder_without_them_is_refused(work: Path) -> None:
    write_photo(work / "elsewhere" / "other.jpg")
    give_verdict(work / "out", cropped(work)[0], "rejected")
    before = files_of(work / "out")
    before.pop(f"{STATE}/lock", None)
    for call in (api.write_audit, api.apply):
        with refused("photos_not_in_input"):
            call(work / "out", input=work / "elsewhere")
    assert cli.main(["review", str(work / "out"), "--in", str(work / "elsewhere")]) == 2
    after = files_of(work / "out")
    after.pop(f"{STATE}/lock", None)
    assert after == before


def test_apply_keeps_the_pictures_and_takes_them_from_in(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = pictures(work)
    rejected, whole, *_ = cropped(work)
    give_verdict(work / "out", rejected, "rejected")
    give_verdict(work / "out", whole, "whole")
    assert cli.main(["apply", str(work / "out"), "--dry-run"]) == 0
    assert "none of the 12 photos is where the run found them" in capsys.readouterr().out
    assert cli.main(["apply", str(work / "out"), "--quiet"]) == 0
    assert f"{whole} keeps its crop: expected the photo at" in capsys.readouterr().err
    result = api.apply(work / "out", quiet=True)
    assert result.notes[0].startswith("none of the 12 photos is where the run found them")
    assert len(pictures(work)) == 22  # a rejected one is not shown
    assert set(pictures(work)) < set(before)
    result = api.apply(work / "out", input=work / "moved", quiet=True)
    assert result.notes == []
    assert result.done == 1
    api.write_audit(work / "out", input=work / "moved")
    assert "cannot be shown" not in (work / "out" / "audit.html").read_text("utf-8")


def test_review_says_it_and_refuses_what_needs_the_photo(work: Path) -> None:
    found, alone, gone = cropped(work)[:3]
    source = work / "moved" / found
    (work / "in" / found).parent.mkdir(parents=True)
    shutil.copy2(source, work / "in" / found)
    (work / "out" / next(row["crop"] for row in rows_of(work / "out") if row["image"] == gone)).unlink()
    with reviewing(work / "out") as client:
        said = client.get("/api/session").json()["absent"]
        assert said.startswith("11 of 12 photos are not where the run found them")
        allowed = {image: client.row(at=client.id_of(image))["row"]["may"] for image in (found, alone, gone)}
        assert allowed == {
            found: ["accepted", "whole", "box", "rejected", "unsure", "undone"],
            alone: ["accepted", "unsure", "rejected", "undone"],
            gone: ["undone"],
        }
        for image, may in allowed.items():
            for word in ("accepted", "whole", "box", "rejected", "undone"):
                answer = client.say(image, word, [3, 4, 30, 20])
                assert answer.status == (200 if word in may else 409), (image, word)
                if word not in may:
                    assert b"--in FOLDER" in answer.body
    with reviewing(work / "out", work / "moved") as client:
        assert client.get("/api/session").json()["absent"] == ""
        assert "box" in client.row(at=client.id_of(gone))["row"]["may"]


def test_a_reviewers_own_crop_cannot_be_left_to_the_detector_unseen(work: Path) -> None:
    image = cropped(work)[0]
    give_verdict(work / "out", image, "whole")
    api.apply(work / "out", input=work / "moved", quiet=True)
    with reviewing(work / "out") as client:
        assert client.row(at=client.id_of(image))["row"]["may"] == ["rejected", "undone"]
        assert client.say(image, "accepted").status == 409


def test_review_says_it_in_the_terminal_first(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    assert cli.main(["review", str(work / "out"), "--no-browser", "--port", "0"]) == 0
    assert "none of the 12 photos is where the run found them" in capsys.readouterr().err
    command = ["review", str(work / "out"), "--no-browser", "--port", "0", "--in", str(work / "moved")]
    assert cli.main(command) == 0
    assert capsys.readouterr().err == ""


def test_a_photo_that_has_grown_is_not_read(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = cropped(work)[0]
    path = work / "moved" / image
    with open(path, "r+b") as file:
        file.truncate(1 << 40)  # a hole: nobody could hold it
    with reviewing(work / "out", work / "moved") as client:
        assert "has changed" in client.row(at=client.id_of(image))["row"]["problem"]
        assert client.get(f"/photo/{client.id_of(image)}").status == 404
    api.write_audit(work / "out", input=work / "moved")
    assert "it has changed since the run" in (work / "out" / "audit.html").read_text("utf-8")


def test_what_is_counted(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.jpg")
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        tar.add(tmp_path / "a.jpg", "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    places = {
        "a.jpg": str(tmp_path / "a.jpg"),
        "gone.jpg": str(tmp_path / "gone.jpg"),
        "pipe.jpg": str(tmp_path / "pipe.jpg"),
        "nul.jpg": "a\0.jpg",
        "part.jpg": f"tar:512+100@0:{tmp_path / 't.tar'}",
        "lost.jpg": f"tar:512+100@0:{tmp_path / 'gone.tar'}",
        "store.jpg": "s3://bucket/store.jpg",  # not asked
        "failed.jpg": str(tmp_path / "failed.jpg"),
    }
    locations = {key: parse(place) for key, place in places.items()}
    records = {key: Record(key, "failed" if key == "failed.jpg" else "cropped") for key in places}
    absent = count_absent(records, locations, str(tmp_path), given=False)
    assert (absent.absent, absent.photos) == (4, 7)
    assert absent.sentences("so")[0].startswith("4 of 7 photos are not where the run found them")
    one = count_absent({"gone.jpg": records["gone.jpg"]}, locations, "x", given=True)
    assert one.sentences("so") == ["the one photo is not in --in x: so"]
    assert count_absent({}, {}, "x", given=False).sentences("so") == []


def test_photos_that_have_changed_are_counted(work: Path) -> None:
    image = cropped(work)[0]
    write_photo(work / "moved" / image, 99, width=90)
    words = "1 of 12 photos has changed since the run (the file's size differs)"
    before = pictures(work)
    for result in (
        api.write_audit(work / "out", input=work / "moved"),
        api.apply(work / "out", input=work / "moved"),
    ):
        assert [note for note in result.notes if note.startswith(words)] == result.notes
    assert pictures(work) == before
    with reviewing(work / "out", work / "moved") as client:
        assert client.get("/api/session").json()["absent"].startswith(words)
        assert client.row(at=client.id_of(image))["row"]["may"] == ["undone"]
