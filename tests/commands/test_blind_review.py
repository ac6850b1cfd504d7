"""review --blind over HTTP: what a second person sees and does not, where verdicts go, who is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.second_review import read_second_review
from detic_crop.folder.state import load_sample
from detic_crop.photos.keys import STATE
from tests.kit.errors import complained, refused
from tests.kit.folders import crop, product, records_of
from tests.kit.photos import write_photo, write_photos
from tests.kit.review import Client, reviewing
from tests.kit.verdicts import DRAWN, give_verdicts, verdict_log, verdicts_of

pytestmark = pytest.mark.slow

SECOND = Path(STATE) / "second_review.csv"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with `in` and `out`: 20 photos with labels, and a sample of 15."""
    keys = write_photos(tmp_path / "in", 20)
    lines = [f"{key},{('orca', 'beluga')[n % 2]}" for n, key in enumerate(keys)]
    (tmp_path / "labels.csv").write_text("image,species\n" + "\n".join(lines))
    crop(tmp_path / "in", tmp_path / "out", labels=tmp_path / "labels.csv")
    api.write_audit(tmp_path / "out", sample=15, seed=3)
    return tmp_path


def sample_of(work: Path) -> list[str]:
    return [drawn.image for drawn in load_sample(OutputFolder(work / "out"))]


@pytest.fixture
def client(work: Path) -> Iterator[Client]:
    """The blind page of Bob, after another person has reviewed and changed much."""
    words = ("box", "accepted", "rejected", "whole", "note", "unsure")
    give_verdicts(work / "out", {key: words[n % 6] for n, key in enumerate(sample_of(work))})
    api.apply(work / "out", quiet=True)
    with reviewing(work / "out", reviewer="Bob", blind=True) as client:
        yield client


def shown(client: Client) -> list[str]:
    """The photos in the order of the page."""
    return [client.image(rank) for rank in range(len(client.page._rows))]


def test_the_sample_is_shown_in_an_order_of_its_own(work: Path, client: Client) -> None:
    images = shown(client)
    assert sorted(images) == sorted(sample_of(work))
    assert images != sample_of(work)
    with reviewing(work / "out", reviewer=" bob", blind=True) as again:
        assert shown(again) == images
    with reviewing(work / "out", reviewer="Cleo", blind=True) as other:
        assert shown(other) != images
        assert sorted(shown(other)) == sorted(images)


def test_nothing_sways_the_person(work: Path, client: Client, tmp_path: Path) -> None:
    """Each row is that of a folder on which nobody has said anything, without scores."""
    fresh = tmp_path / "fresh"
    crop(work / "in", fresh)
    plain = records_of(fresh)
    for image in shown(client):
        row = client.row(at=client.id_of(image))["row"]
        expected = plain[image]
        assert (row["status"], row["reason"]) == (expected.status, expected.reason)
        assert [tuple(box) for box in row["detected"]] == ([expected.box] if expected.box else [])
        assert [tuple(each["box"]) for each in row["candidates"]] == [tuple(box) for box in row["detected"]]
        assert {each["score"] for each in row["candidates"]} <= {None}
        for name in ("suspicion", "presence", "verdict"):
            assert row[name] is None
        assert (row["flags"], row["labels"], row["note"], row["applied"]) == ([], [], "", "")
        assert row["reasons"] == []
        # After an applied verdict the file is the first reviewer's.
        assert (row["has_crop"], row["crops"]) == (False, [])
        assert client.get(f"/crop/{row['id']}").status == 404
        assert client.get(f"/photo/{row['id']}").status == 200
    session = client.get("/api/session").json()
    assert (session["blind"], session["choices"], session["total"]) == (True, [], 15)
    assert client.row()["reviewed"] == 0
    # No address tells the class that the detector saw, either.
    assert {client.row(**{"class": name})["total"] for name in ("Whale", "Dolphin", "Boat")} == {15}


def test_other_photos_are_not_there(work: Path, client: Client) -> None:
    outside = next(key for key in records_of(work / "out") if key not in sample_of(work))
    with reviewing(work / "out", reviewer="Ann") as usual:
        id = usual.id_of(outside)
    assert client.get(f"/photo/{id}").status == 404
    assert client.get(f"/api/row?at={id}").status == 404
    assert client.post({"id": id, "verdict": "accepted"}).status == 400


def test_what_is_said_changes_no_crop_and_is_kept_apart(work: Path, client: Client) -> None:
    before, first = product(work / "out"), verdicts_of(work / "out")
    one, two, three, *_ = shown(client)
    client.say(one, "rejected").json()
    client.say(two, "box", list(DRAWN)).json()
    client.say(three, "accepted").json()
    client.say(three, "undone").json()
    assert verdicts_of(work / "out") == first
    second = read_second_review(work / "out" / SECOND)
    assert {key: (said.verdict, said.boxes) for key, said in second.by_person["Bob"].items()} == {
        one: ("rejected", ()),
        two: ("box", (DRAWN,)),
    }
    lines = (work / "out" / SECOND).read_text().splitlines()
    assert lines[0] == "image,verdict,box,reviewer,time,note,viewpoint,crc"
    assert all("crc-" in line for line in lines[1:])
    assert api.apply(work / "out", quiet=True).changes == []
    crops = {name: data for name, data in before.items() if name.endswith(".jpg")}
    assert {name: data for name, data in product(work / "out").items() if name.endswith(".jpg")} == crops


def test_it_goes_on_where_it_stopped_and_several_persons_do_not_see_each_other(
    work: Path, client: Client
) -> None:
    one, two, *_ = shown(client)
    client.say(one, "accepted").json()
    with reviewing(work / "out", reviewer="Cleo", blind=True) as other:
        other.say(one, "rejected").json()
        assert other.row(at=other.id_of(one))["row"]["verdict"]["verdict"] == "rejected"
        assert other.row()["reviewed"] == 1
        assert client.get("/api/changes?since=1").json()["changed"] == []
        assert client.row(at=client.id_of(one))["row"]["verdict"]["verdict"] == "accepted"
    with reviewing(work / "out", reviewer="  bob", blind=True) as again:
        assert again.row()["reviewed"] == 1
        again.say(two, "accepted").json()
    by_person = read_second_review(work / "out" / SECOND).by_person
    assert {name: set(said) for name, said in by_person.items()} == {"Bob": {one, two}, "Cleo": {one}}


def test_a_photo_that_is_gone_cannot_be_judged_by_its_crop(work: Path) -> None:
    gone = sample_of(work)[0]
    (work / "in" / gone).unlink()
    with reviewing(work / "out", reviewer="Bob", blind=True) as client:
        row = client.row(at=client.id_of(gone))["row"]
        assert row["may"] == ["undone"]
        assert row["problem"].startswith("The photo is no longer where it was, and a blind review needs it.")
        assert client.say(gone, "accepted").status == 409


@pytest.mark.parametrize("name", ["Ann", " ann "])
def test_the_first_reviewer_is_refused(work: Path, name: str) -> None:
    with reviewing(work / "out", reviewer="Ann") as client:
        client.say(sample_of(work)[0], "accepted").json()
    with refused("same_reviewer", names=["--reviewer"]):
        api.review(work / "out", reviewer=name, blind=True, open_browser=False, port=0)
    assert not (work / "out" / SECOND).exists()


def test_the_command_refuses_a_folder_without_a_sample(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_photos(tmp_path / "in", 4)
    crop(tmp_path / "in", tmp_path / "out")
    assert cli.main(["review", str(tmp_path / "out"), "--blind", "--reviewer", "Bob", "--no-browser"]) == 2
    assert "--sample 200" in complained("blind_without_sample", capsys.readouterr().err)


# ---------------------------------------------------------------- what audit makes of it


def judge(work: Path, name: str, words: dict[str, str], *, blind: bool) -> None:
    with reviewing(work / "out", reviewer=name, blind=blind) as client:
        for image, word in words.items():
            client.say(image, word, list(DRAWN) if word == "box" else None).json()


def test_audit_says_how_far_both_agree(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = sample_of(work)
    judge(work, "Ann", {key: "rejected" if n < 5 else "accepted" for n, key in enumerate(keys)}, blind=False)
    said = {key: "rejected" if 2 < n < 8 else "accepted" for n, key in enumerate(keys)}
    judge(work, "Bob", dict(list(said.items())[:12]), blind=True)
    api.apply(work / "out", quiet=True)
    assert cli.main(["audit", str(work / "out")]) == 0
    # Rejected by both 2, by Ann 3, by Bob 3, accepted by both 4: p_o = 6/12, p_e = (5 × 5 + 7 × 7) / 144.
    kappa = (1 / 2 - 74 / 144) / (1 - 74 / 144)
    told = capsys.readouterr().out
    assert "agreement of Ann and Bob (blind): 12 photos judged by both, 3 by one of the two only; " in told
    assert f"Cohen's kappa {kappa:.2f} (" in told
    assert "; the same verdict on 6 (50.0 %)" in told
    (pair,) = json.loads((work / "out" / "estimate.json").read_text())["agreement"]["pairs"]
    assert pair["kappa"]["value"] == pytest.approx(kappa)
    assert pair["kappa"]["low"] < kappa < pair["kappa"]["high"]
    assert pair["verdicts"]["rejected"] == {"accepted": 3, "box": 0, "whole": 0, "rejected": 2, "unsure": 0}
    assert (pair["photos"], pair["judged_by_one_only"], pair["same_verdict"]) == (12, 3, 6)
    page = (work / "out" / "audit.html").read_text()
    assert "<b>Ann</b> and <b>Bob</b>, who judged the sample unseen, on 12 photos of it: Cohen" in page
    card = (work / "out" / "datacard.md").read_text()
    assert "| rejected | 3 | 0 | 0 | 2 | 0 |" in card


def test_a_damaged_line_is_said(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge(work, "Bob", dict.fromkeys(sample_of(work)[:2], "accepted"), blind=True)
    path = work / "out" / SECOND
    path.write_bytes(path.read_bytes().replace(b"accepted", b"rejected", 1))
    assert cli.main(["audit", str(work / "out")]) == 0
    assert "second_review.csv that are not verdicts, or have changed" in capsys.readouterr().out
    assert cli.main(["review", str(work / "out"), "--blind", "--reviewer", "Bob", "--port", "99999"]) == 2


def test_a_photo_that_has_changed_is_no_longer_judged(work: Path) -> None:
    changed, same, *_ = sample_of(work)
    judge(work, "Bob", {changed: "accepted", same: "accepted"}, blind=True)
    write_photo(work / "in" / changed, 77)
    result = crop(work / "in", work / "out")
    assert set(read_second_review(work / "out" / SECOND).by_person["Bob"]) == {same}
    assert any("1 reviewed photo has changed since" in note for note in result.notes)
    assert not (work / "out" / STATE / "review.csv").exists()


def test_overwrite_needs_leave_to_remove_it(work: Path) -> None:
    judge(work, "Bob", {sample_of(work)[0]: "accepted"}, blind=True)
    with refused("verdicts_would_be_lost", names=["second_review.csv"]):
        crop(work / "in", work / "out", overwrite=True)
    crop(work / "in", work / "out", overwrite=True, discard_review=True)
    left = {path.name for path in (work / "out").rglob("*")}
    assert not {"second_review.csv", "sample.csv", "estimate.json", "datacard.md"} & left


def test_the_first_review_does_not_see_it(work: Path) -> None:
    judge(work, "Bob", dict.fromkeys(sample_of(work), "rejected"), blind=True)
    with reviewing(work / "out", reviewer="Ann") as client:
        assert client.row()["reviewed"] == 0
    assert verdict_log(work / "out").read_all() == []
