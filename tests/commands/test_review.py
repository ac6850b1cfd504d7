"""The review page over HTTP: what it answers, what is on disk, and whom it refuses."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import groupby
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from detic_crop import api
from detic_crop.cli import main as cli
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import replay
from detic_crop.folder.state import Drawn, save_sample
from detic_crop.folder.verdicts import read_review
from detic_crop.photos.keys import STATE
from detic_crop.web import server
from detic_crop.web.guard import is_local
from tests.kit.errors import complained, refused
from tests.kit.folders import crop, product, product_and_state, rows_of
from tests.kit.photos import write_damaged, write_photo, write_photos
from tests.kit.processes import run_python
from tests.kit.review import Client, reviewing
from tests.kit.verdicts import verdicts_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `in` and `out`: 15 good photos, some broken ones, and labels."""
    folder = tmp_path_factory.mktemp("review")
    keys = write_photos(folder / "in", 15)
    keys += write_damaged(folder / "in")
    write_photo(folder / "secret.jpg")
    lines = [f"{key},{('orca', 'beluga')[n % 2]},id-{n}" for n, key in enumerate(keys)]
    (folder / "labels.csv").write_text("image,species,individual\n" + "\n".join(lines))
    crop(folder / "in", folder / "out", labels=folder / "labels.csv")
    return folder


@pytest.fixture
def client(finished: Path) -> Iterator[Client]:
    """A page over it, without earlier verdicts."""
    (finished / "out" / STATE / "review.csv").unlink(missing_ok=True)
    with reviewing(finished / "out") as client:
        yield client


# ---------------------------------------------------------------- what it shows


def test_crops_come_first_then_photos_without_then_failed_ones(finished: Path, client: Client) -> None:
    rows = {row["image"]: row for row in rows_of(finished / "out")}
    shown, at = [], client.row()["row"]["id"]
    while at:
        answer = client.row(at=at)
        shown.append(answer["row"]["image"])
        at = answer["next"]
    assert sorted(shown) == sorted(rows)
    groups = [status for status, _ in groupby(rows[image]["status"] for image in shown)]
    assert groups == ["cropped", "resized", "failed"]
    for status in ("cropped", "resized"):
        doubts = [float(rows[image]["suspicion"]) for image in shown if rows[image]["status"] == status]
        assert doubts == sorted(doubts, reverse=True)


def test_a_row_has_what_the_table_has(finished: Path, client: Client) -> None:
    answer = client.row()
    row = answer["row"]
    table = next(each for each in rows_of(finished / "out") if each["image"] == row["image"])
    assert (row["status"], row["reason"]) == (table["status"], table["reason"])
    assert [name.replace(" ", "_") for name, _ in row["flags"]] == table["flags"].split(";")
    assert row["reasons"]
    assert row["labels"] == [["species", table["species"]], ["individual", table["individual"]]]
    record = replay(finished / "out" / STATE / "journal.jsonl").records[row["image"]]
    assert [tuple(box) for box in row["detected"]] == [record.box]
    own = [candidate for candidate in row["candidates"] if candidate["own"]]
    assert [tuple(candidate["box"]) for candidate in own] == [record.box]
    assert sum(candidate["eligible"] for candidate in row["candidates"]) == record.n_candidates
    assert (answer["position"], answer["total"], answer["reviewed"]) == (1, 19, 0)


def test_filters(finished: Path, client: Client) -> None:
    rows = rows_of(finished / "out")
    session = client.get("/api/session").json()
    choices = {each["filter"]: {v: count for v, _, count in each["values"]} for each in session["choices"]}
    assert choices["label:species"] == {"orca": 10, "beluga": 9}
    assert "label:individual" not in choices  # it names each photo
    for name, wanted in (("status", "resized"), ("class", "Whale"), ("label:species", "orca")):
        column = {"class": "class_name", "label:species": "species"}.get(name, name)
        expected = [row["image"] for row in rows if row[column] == wanted]
        answer = client.row(**{quote(name): wanted})
        assert answer["total"] == len(expected) == choices[name][wanted]
        assert answer["row"]["image"] in expected
    flag, count = next(iter(choices["flag"].items()))
    assert client.row(flag=flag)["total"] == sum(flag in row["flags"].split(";") for row in rows) == count
    assert client.row(flag=flag, status="failed") == {
        "row": None,
        "total": 0,
        "reviewed": 0,
        "unsure": 0,
        "all": {"total": 19, "reviewed": 0, "unsure": 0},
    }
    assert client.row(flag="nonsense")["total"] == client.row(**{"label%3Anone": "x"})["total"] == 0


def test_reviewed_or_not(finished: Path, client: Client) -> None:
    first = client.row()["row"]["image"]
    assert client.say(first, "accepted").json()["reviewed"] == 1
    assert client.row(reviewed="yes")["row"]["image"] == first
    assert client.row(reviewed="no")["row"]["image"] != first
    assert client.row()["row"]["image"] != first  # opens where nobody has been
    assert client.row(at=client.id_of(first))["row"]["verdict"]["verdict"] == "accepted"


def test_a_drawn_sample(finished: Path) -> None:
    sample = finished / "out" / STATE / "sample.csv"
    images = [row["image"] for row in rows_of(finished / "out")][:3]
    save_sample(OutputFolder(finished / "out"), [Drawn(image, "cropped_low", 9, 0) for image in images])
    try:
        with reviewing(finished / "out") as client:
            assert client.row(sample="yes")["total"] == 3
    finally:
        sample.unlink()


def test_find_by_name(client: Client) -> None:
    found = [image for _, image, _ in client.get("/api/find?q=PHOTO003").json()]
    assert found == ["photo003.jpg"]
    assert len(client.get("/api/find?q=photo").json()) == 15
    assert client.get("/api/find?q=").json() == client.get("/api/find?q=zzz").json() == []


# ---------------------------------------------------------------- pictures


def exif_photo(path: Path, size: tuple[int, int]) -> None:
    """A photo with a position, stored on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010E] = "secret bay"
    pixels = np.random.default_rng(1).integers(0, 255, (9, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size).save(path, exif=exif, comment=b"secret bay")


def test_pictures_are_scaled_upright_and_say_nothing_of_the_place(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    exif_photo(tmp_path / "in" / "a.jpg", (4000, 2250))
    crop(tmp_path / "in", tmp_path / "out")
    assert b"secret bay" in (tmp_path / "in" / "a.jpg").read_bytes()
    with reviewing(tmp_path / "out") as client:
        row = client.row()["row"]
        assert (row["width"], row["height"]) == (2250, 4000)
        for kind, size in (("photo", (720, 1280)), ("crop", (32, 32))):
            answer = client.get(f"/{kind}/{row['id']}")
            assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
            assert b"Exif" not in answer.body
            assert b"secret" not in answer.body
            with Image.open(io.BytesIO(answer.body)) as picture:
                assert picture.size == size


def test_a_rejected_crop_can_still_be_seen(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "out", tmp_path / "out")
    with reviewing(tmp_path / "out") as client:
        image = client.row()["row"]["image"]
        before = client.get(f"/crop/{client.id_of(image)}").body
        assert client.say(image, "rejected").status == 200
        api.apply(tmp_path / "out", quiet=True)
        assert client.get(f"/crop/{client.id_of(image)}").body == before
        assert client.get("/api/changes").json()["stale"]
    with reviewing(tmp_path / "out") as client:
        assert client.row(status="rejected")["row"]["image"] == image
        assert client.get(f"/crop/{client.id_of(image)}").body == before


def test_photos_that_are_gone_or_changed(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "in", tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "out")
    (tmp_path / "in" / "photo000.jpg").unlink()
    write_photo(tmp_path / "in" / "photo003.jpg", 99)
    os.utime(tmp_path / "in" / "photo006.jpg", ns=(1, 1))
    with reviewing(tmp_path / "out") as client:
        for image, problem in (
            ("photo000.jpg", "no longer where it was"),
            ("photo003.jpg", "has changed since the run"),
            ("bad/empty.png", "failed (empty_file)"),
        ):
            assert problem in client.row(at=client.id_of(image))["row"]["problem"]
            assert client.get(f"/photo/{client.id_of(image)}").status == 404
        assert client.row(at=client.id_of("photo006.jpg"))["row"]["problem"] == ""  # touched, not changed
        # Without its photo a crop can still be judged; a changed photo cannot, nor one that failed.
        assert client.say("photo000.jpg", "rejected").status == 200
        assert client.say("photo003.jpg", "rejected").status == 409
        assert client.say("bad/empty.png", "accepted").status == 409
        # So it is with viewpoints: what nobody sees has none.
        for image, status in (("photo000.jpg", 200), ("photo003.jpg", 409), ("bad/empty.png", 409)):
            assert client.post({"id": client.id_of(image), "viewpoint": "left"}).status == status
    shutil.copytree(finished / "in", tmp_path / "moved", copy_function=shutil.copyfile)
    with reviewing(tmp_path / "out", tmp_path / "moved") as client:
        assert client.row(at=client.id_of("photo000.jpg"))["row"]["problem"] == ""
        assert client.get(f"/photo/{client.id_of('photo000.jpg')}").status == 200


# ---------------------------------------------------------------- verdicts


def test_a_verdict_is_on_disk_before_the_answer(finished: Path, client: Client) -> None:
    image = client.row()["row"]["image"]
    answer = client.say(image, "box", [10.126, -5, 30, 20]).json()
    assert answer["verdict"]["boxes"] == [[10.13, 0, 30, 20]]
    (last,) = verdicts_of(finished / "out").values()
    assert last[:4] == (image, "box", ((10.13, 0.0, 30.0, 20.0),), "tester")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", last.time)
    assert client.say(image, "undone").json()["verdict"] is None
    assert verdicts_of(finished / "out") == {}


def test_several_boxes_a_note_and_unsure_are_on_disk_and_found(finished: Path, client: Client) -> None:
    image = client.row()["row"]["image"]
    asked = {"id": client.id_of(image)}
    boxes = [[30.0, 5.0, 40.0, 20.0], [1.0, 2.0, 20.0, 30.0], [30.0, 5.0, 40.0, 20.0]]
    answer = client.post({**asked, "verdict": "box", "boxes": boxes, "note": "two\nof them"}).json()
    assert answer["verdict"]["boxes"] == [boxes[1], boxes[0]]
    assert answer["note"] == "two\nof them"
    (last,) = verdicts_of(finished / "out").values()
    assert last[1:3] == ("box", ((1.0, 2.0, 20.0, 30.0), (30.0, 5.0, 40.0, 20.0)))
    assert last.note == "two\nof them"
    assert [found for found, *_ in client.get("/api/find?q=OF+THEM").json()] == [asked["id"]]
    # A note by itself leaves the verdict as it is, and taking the verdict back leaves the note.
    assert client.post({**asked, "note": "a calf"}).json()["verdict"]["verdict"] == "box"
    answer = client.say(image, "unsure").json()
    assert (answer["verdict"]["verdict"], answer["note"]) == ("unsure", "two\nof them\na calf")
    assert (answer["reviewed"], answer["unsure"]) == (0, 1)
    assert client.row(reviewed="unsure")["total"] == client.row(reviewed="note")["total"] == 1
    assert client.say(image, "undone").json()["note"]
    assert client.row(reviewed="note")["total"] == 1


def test_a_viewpoint_goes_with_any_verdict_and_without_one(finished: Path, client: Client) -> None:
    image = client.row()["row"]["image"]
    asked = {"id": client.id_of(image)}

    def see(viewpoint: str, before: str = "", by: Client = client) -> str:
        answer = by.post({**asked, "viewpoint": viewpoint, "viewpoint_before": before}).json()
        (last,) = read_review(finished / "out" / STATE / "review.csv").last.values()
        assert answer["viewpoint"] == last.viewpoint
        return str(last.viewpoint)

    assert see("left") == "left"
    row = client.row(at=asked["id"])["row"]
    assert (row["verdict"], row["viewpoint"]) == (None, "left")
    assert client.say(image, "whole").json()["viewpoint"] == "left"
    assert client.post({**asked, "verdict": "rejected", "viewpoint": "top"}).json()["viewpoint"] == "top"
    assert client.post({**asked, "note": "a calf"}).json()["viewpoint"] == "top"
    assert client.say(image, "undone").json()["viewpoint"] == "top"
    assert client.row(viewpoint="top")["total"] == 1
    assert client.row(viewpoint="none")["total"] == client.row()["total"] - 1
    assert client.row(viewpoint="nonsense")["total"] == 0
    counts = client.get("/api/counts").json()["viewpoint"]
    assert {value: all for value, (_, all) in counts.items() if value and all} == {
        "none": client.row()["total"] - 1,
        "top": 1,
    }
    # The later one counts, but nobody takes back what somebody else says meanwhile.
    given = client.say(image, "accepted").json()["verdict"]
    with reviewing(finished / "out", reviewer="other") as other:
        assert see("fluke", "top", other) == "fluke"
        assert see("", "top") == "fluke"
        assert see("right", "top") == "right"
        assert see("", "right", other) == ""
    last = read_review(finished / "out" / STATE / "review.csv").last[image]
    assert (last.verdict, last.reviewer, last.note) == ("accepted", "tester", "a calf")
    assert last.time == given["time"]  # when the verdict was given


def test_a_restart_and_a_second_page_lose_nothing(finished: Path, client: Client) -> None:
    images = [client.image(rank) for rank in range(3)]
    with reviewing(finished / "out", reviewer="other") as other:
        assert client.say(images[0], "whole").status == other.say(images[1], "rejected").status == 200
        assert other.say(images[0], "accepted").status == 200
        news = client.get("/api/changes?since=0").json()
        assert set(news["changed"]) >= {client.id_of(images[0]), client.id_of(images[1])}
        shown = client.row(at=client.id_of(images[0]))["row"]["verdict"]
        assert (shown["verdict"], shown["reviewer"]) == ("accepted", "other")
        assert client.get(f"/api/changes?since={news['since']}").json()["changed"] == []
    with reviewing(finished / "out") as again:
        assert again.row(reviewed="yes")["total"] == 2
        assert again.row()["row"]["image"] == images[2]


def test_the_round_trip(finished: Path, tmp_path: Path) -> None:
    """run → review → apply: what was judged follows, every other crop stays as it is, byte for byte."""
    shutil.copytree(finished / "out", tmp_path / "out")
    before = product(tmp_path / "out")
    names = {row["image"]: row["crop"] for row in rows_of(tmp_path / "out")}
    with reviewing(tmp_path / "out") as client:
        images = [client.image(rank) for rank in range(4)]
        for image, word in zip(images, ("accepted", "whole", "box", "rejected"), strict=True):
            box = [3, 4, 50, 33] if word == "box" else None
            assert client.say(image, word, box).status == 200
        assert product(tmp_path / "out") == before
    assert api.apply(tmp_path / "out", quiet=True).done == 4
    after = product(tmp_path / "out")
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert changed == {"audit.csv", "audit.html", *(names[image] for image in images[1:])}
    assert names[images[3]] not in after
    settled = product_and_state(tmp_path / "out")
    assert api.apply(tmp_path / "out", quiet=True).done == 0
    assert product_and_state(tmp_path / "out") == settled
    said = {row["image"]: row["verdict"] for row in rows_of(tmp_path / "out") if row["verdict"]}
    assert said == dict(zip(images, ("accepted", "whole", "box", "rejected"), strict=True))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"verdict": "splendid"}, 400),
        ({"verdict": None}, 400),
        ({"id": "0" * 16}, 400),
        ({"id": ["x"]}, 400),
        ({"verdict": "box"}, 400),
        ({"verdict": "box", "box": [1, 2, 3]}, 400),
        ({"verdict": "box", "box": [1, 2, 3, "4"]}, 400),
        ({"verdict": "box", "box": [1, 2, True, 4]}, 400),
        ({"verdict": "box", "box": [1, 2, 10**400, 4]}, 400),
        ({"verdict": "box", "box": [100, 100, 200, 200]}, 400),
        ({"verdict": "box", "box": [30, 20, 10, 5]}, 400),
        ({"verdict": "box", "boxes": []}, 400),
        ({"verdict": "box", "boxes": [[1, 2, 30, 20], [1, 2, 3]]}, 400),
        ({"note": "x" * 20_000}, 400),
        ({"note": 7}, 400),
        ({"viewpoint": "up"}, 400),
        ({"viewpoint": ["left"]}, 400),
        ({"viewpoint": 7}, 400),
        ({"viewpoint": "left", "viewpoint_before": "x" * 900}, 400),
        ({"viewpoint": "left", "viewpoint_before": None}, 400),
        ({"verdict": ""}, 400),
        ({"note": "x" * 200_000}, 413),
    ],
)
def test_what_is_no_verdict_is_refused(
    finished: Path, client: Client, change: dict[str, object], status: int
) -> None:
    good = {"id": client.row()["row"]["id"], "verdict": "accepted"}
    assert client.post({**good, **change}).status == status
    assert verdicts_of(finished / "out") == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"box": [NaN]}', b"[" * 9000])
def test_what_is_no_json_is_refused(finished: Path, client: Client, body: bytes) -> None:
    assert client.post(body).status == 400
    assert verdicts_of(finished / "out") == {}


def test_a_disk_that_is_full_is_said(finished: Path, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        answer = client.say(client.image(0), "whole")
    assert answer.status == 507
    assert b"No space left" in answer.body
    assert client.say(client.image(1), "whole").status == 200


# ---------------------------------------------------------------- whom it refuses


def test_the_token_becomes_a_cookie(client: Client) -> None:
    answer = client.get_outside(f"/?token={client.token}", Cookie=None)
    assert (answer.status, answer.headers["location"]) == (303, client.room)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(client.cookie)
    parts = {part.strip() for part in cookie.split(";")}
    assert {"HttpOnly", "SameSite=strict", f"Path={client.room}"} <= parts
    assert len(client.room) > 20
    assert client.token not in answer.body.decode() + answer.headers["location"]


@pytest.mark.parametrize(
    "path", ["/", "/static/review.js", "/api/session", "/api/row", "/photo/x", "/nothing"]
)
@pytest.mark.parametrize("cookie", [None, "", "detic-crop-review=1", "{name}=wrong", "{name}=é", "{name}"])
def test_without_the_secret_nothing_is_told(client: Client, path: str, cookie: str | None) -> None:
    name = client.cookie.split("=")[0]
    given = None if cookie is None else cookie.format(name=name).encode().decode("latin-1")
    answer = client.get(path, Cookie=given)
    assert answer.status == 403
    assert b"open the address" in answer.body
    assert client.get(path + "?token=wrong", Cookie=given).status == 403


def test_a_cookie_of_the_same_name_from_another_port_does_no_harm(client: Client) -> None:
    name = client.cookie.split("=")[0]
    for cookies in (
        f"{name}=x; {client.cookie}",
        f"{client.cookie}; {name}=x; {name}=",
        f"a=b;{client.cookie}",
    ):
        assert client.get("/api/row", Cookie=cookies).status == 200
    for cookies in (f"{name}=x; {name}={client.token[:-1]}", f"x{client.cookie}", f'{name}="{client.token}"'):
        assert client.get("/api/row", Cookie=cookies).status == 403


@pytest.mark.parametrize("path", ["/", "/api/row", "/static/review.js", "/photo/x", "/{half}/api/row"])
def test_outside_the_pages_folder_there_is_nothing(client: Client, path: str) -> None:
    path = path.format(half=client.room[1:9])
    assert client.get_outside(path).status == 403
    assert client.get_outside(client.room.removesuffix("/")).status == 403
    assert client.get_outside(client.room + "api/row").status == 200
    assert client.get_outside(client.room.upper() + "api/row").status == 403


def test_the_token_opens_the_page_only(client: Client) -> None:
    assert client.get(f"/api/session?token={client.token}", Cookie=None).status == 403
    assert client.get_outside(f"/api/session?token={client.token}", Cookie=None).status == 403
    assert client.ask_outside("POST", f"/?token={client.token}", b"", {"Cookie": None}).status == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "a b", "["]
)
def test_other_names_of_this_machine_are_refused(client: Client, host: str) -> None:
    """DNS rebinding: the name of a web site, made to mean this machine."""
    for path in (f"{client.room}api/row", f"/?token={client.token}"):
        assert client.get_outside(path, Host=host).status == 421
    assert client.get("/api/row", Host="localhost:9000").status == 200  # through an ssh tunnel


def test_what_comes_from_another_site_is_refused(finished: Path, client: Client) -> None:
    good = {"id": client.row()["row"]["id"], "verdict": "rejected"}
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{client.port + 1}"},
        {"Origin": "http://[::1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ):
        assert client.post(good, **headers).status == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        assert client.post(good, Content_Type=kind).status == 415
    assert client.get("/api/row", Sec_Fetch_Site="cross-site").status == 403
    assert client.get(f"/photo/{good['id']}", Sec_Fetch_Site="same-site").status == 403
    assert verdicts_of(finished / "out") == {}
    here = f"http://127.0.0.1:{client.port}"
    assert client.post(good, Origin=here, Sec_Fetch_Site="same-origin").status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST"])
def test_other_methods_are_refused(client: Client, method: str) -> None:
    for path in ("/", "/api/row", "/static/review.js"):
        answer = client.ask(method, path, b"{}", {"Content-Type": "application/json"})
        assert answer.status == 405


@pytest.mark.parametrize(
    "path",
    [
        "/photo/../../secret.jpg",
        "/photo/..%2f..%2fsecret.jpg",
        "/photo/%2e%2e/%2e%2e/secret.jpg",
        "/photo/%252e%252e%252fsecret.jpg",
        "/photo//etc/passwd",
        "/photo/photo000.jpg",
        "/photo/",
        "/crop/../audit.csv",
        "/crop/audit.csv",
        "/crop/.detic-crop%2fjournal.jsonl",
        "/crop/%00",
        "/static/../page.py",
        "/static/..%2fpage.py",
        "/static/%2e%2e%2fpage.py",
        "/static/page.py",
        "/static//etc/passwd",
        "//etc/passwd",
        "/audit.csv",
        "/.detic-crop/journal.jsonl",
        "/photo/0000000000000000",
        "/photo/" + "a" * 5000,
        "/api/row?at=0000000000000000",
        "/api",
    ],
)
def test_only_photos_and_crops_of_the_journal_are_served(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status == 404
    assert len(answer.body) < 100


def test_a_crop_that_leads_out_of_the_folder_is_not_served(finished: Path, tmp_path: Path) -> None:
    """As in a folder that came from somebody else: a journal with a path upwards, a crop that is a link."""
    shutil.copytree(finished / "out", tmp_path / "out")
    write_photo(tmp_path / "secret.jpg")
    records = replay(tmp_path / "out" / STATE / "journal.jsonl").records
    first, second, third = [record for record in records.values() if record.status == "cropped"][:3]
    with open(tmp_path / "out" / STATE / "journal.jsonl", "ab") as file:
        file.write(replace(first, crop="../secret.jpg").to_line())
        file.write(replace(third, crop=str(tmp_path / "secret.jpg")).to_line())
    (tmp_path / "out" / second.crop).unlink()
    (tmp_path / "out" / second.crop).symlink_to(tmp_path / "secret.jpg")
    with reviewing(tmp_path / "out") as client:
        assert client.get(f"/crop/{client.id_of(second.image)}").status == 404
        for record in (first, third):  # their hostile lines do not count: the crop is what it was
            answer = client.get(f"/crop/{client.id_of(record.image)}")
            assert answer.body == (tmp_path / "out" / record.crop).read_bytes()


def test_a_photo_is_only_ever_shown_as_a_picture(finished: Path, tmp_path: Path) -> None:
    """A journal that names a file which is no photo: nothing of it is sent."""
    shutil.copytree(finished / "out", tmp_path / "out")
    (tmp_path / "passwd").write_text("root")
    listing = tmp_path / "out" / STATE / "listing.json"
    key = next(iter(replay(tmp_path / "out" / STATE / "journal.jsonl").records))
    listing.write_text(
        f'{{"root": "{tmp_path}", "keys": ["{key}"], "paths": {{"{key}": "{tmp_path}/passwd"}}}}'
    )
    with reviewing(tmp_path / "out") as client:
        assert client.get(f"/photo/{client.id_of(key)}").status == 404


@pytest.mark.parametrize("path", ["/", "/api/row", "/static/review.css", "/nothing", "/photo/none"])
def test_every_answer_has_the_headers(client: Client, path: str) -> None:
    for answer in (client.get(path), client.get(path, Cookie=None), client.get(path, Host="evil.example")):
        policy = dict(
            part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


def test_what_is_no_request_is_not_told(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Anybody on the machine could fill the terminal, and be told to install what nobody needs."""
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    assert client.ask("GET", "/", headers=upgrade).status == 200
    with socket.create_connection(("127.0.0.1", client.port), timeout=300) as connection:
        connection.sendall(b"no request\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_a_request_without_end_is_cut(client: Client) -> None:
    """A body in pieces, longer than any verdict, without a length."""
    connection = HTTPConnection("127.0.0.1", client.port, timeout=300)
    connection.putrequest("POST", f"{client.room}api/verdict")
    for name, value in (("Cookie", client.cookie), ("Content-Type", "application/json")):
        connection.putheader(name, value)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    connection.send(b"20000\r\n" + b" " * 0x20000 + b"\r\n" + b"10\r\n" + b" " * 16 + b"\r\n")
    assert connection.getresponse().status == 413
    connection.close()


def test_the_page_has_no_script_or_style_of_its_own(client: Client) -> None:
    page = client.get("/").body.decode()
    assert re.findall(r"<script[^>]*>", page) == ['<script type="module" src="static/review.js">']
    assert "style=" not in page
    assert not re.search(r"\son\w+=", page)
    for name in ("review.js", "boxes.js", "drafts.js", "drawing.js"):
        code = client.get(f"/static/{name}").body.decode()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", code)


# ---------------------------------------------------------------- the command


def start(out: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    """The command line in a process; also what it printed first."""
    command = [sys.executable, "-m", "detic_crop", "review", str(out), "--no-browser", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    return process, process.stdout.readline()


@pytest.mark.skipif(os.name != "posix", reason="SIGINT is POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_cleanly(finished: Path, number: signal.Signals) -> None:
    (finished / "out" / STATE / "review.csv").unlink(missing_ok=True)
    process, line = start(finished / "out", "--port", "0", "--reviewer", "Ada")
    address = re.fullmatch(r"review at http://127\.0\.0\.1:(\d+)/\?token=(\S+) \(Ctrl-C ends\)\n", line)
    assert address, line
    cookie = f"detic-crop-review-{address[1]}={address[2]}"
    client = Client(int(address[1]), address[2], None, None, cookie, "/")  # type: ignore[arg-type]
    room = client.get_outside(f"/?token={address[2]}").headers["location"]
    client = dataclasses.replace(client, room=room)
    row = client.row()["row"]
    assert client.post({"id": row["id"], "verdict": "whole"}).status == 200
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert out == f"1 verdict given; now run: detic-crop apply {finished / 'out'}\n"
    assert verdicts_of(finished / "out")[row["image"]].reviewer == "Ada"


@pytest.mark.skipif(os.name != "posix", reason="SIGINT is POSIX")
def test_a_signal_that_ends_the_page_is_not_given_again(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever counts signals, to end at once at the second, would count two."""
    heard: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", heard.append)

    def end(port: int) -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=300)
        connection.request("GET", "/")
        connection.getresponse()  # now it listens to signals
        connection.close()
        os.kill(os.getpid(), signal.SIGINT)

    def ready(address: str) -> None:
        threading.Thread(target=end, args=[int(urlsplit(address).port or 0)]).start()

    api.review(finished / "out", port=0, open_browser=False, ready=ready)
    assert heard == []


def test_ports(finished: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with refused("port_unusable"):
            server.listen("127.0.0.1", port)
    with server.listen("127.0.0.1", None) as first, server.listen("127.0.0.1", None) as second:
        assert first.getsockname()[1] != second.getsockname()[1]
    with refused("host_unusable"):
        server.listen("no such host.invalid", 0)


def test_others_on_the_network_are_warned_of() -> None:
    assert [is_local(host) for host in ("127.0.0.1", "localhost", "::1", "127.1.2.3")] == [True] * 4
    assert not any(map(is_local, ("0.0.0.0", "::", "192.168.1.5", "example.org")))
    assert "others on the network" in server.warning_of("0.0.0.0")
    assert server.warning_of("127.0.0.1") == ""


def test_the_browser_gets_a_token_that_works_once(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: queue.Queue[str] = queue.Queue()
    printed: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.put)

    with monkeypatch.context() as patch:
        patch.setattr("uvicorn.Server.run", lambda self, sockets: None)
        assert api.review(finished / "out", port=0, ready=printed.append).given == 0
    tokens = [address.split("token=")[1] for address in (opened.get(timeout=300), *printed)]
    assert len(set(tokens)) == 2
    with reviewing(finished / "out") as client:
        once = client.guard.token_for_one_use()
        assert [client.get_outside(f"/?token={once}", Cookie=None).status for _ in range(2)] == [303, 403]


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_a_missing_extra_names_the_command(finished: Path, missing: str) -> None:
    said = run_python(
        f"import sys; sys.modules[{missing!r}] = None; sys.stderr = sys.stdout\n"
        f"from detic_crop.cli import main as cli; print(cli.main(['review', {str(finished / 'out')!r}]))"
    )
    line, code = said.splitlines()
    assert line.endswith(f"needs {missing}, which is not installed: pip install 'detic-crop[review]'")
    assert code == "2"


def test_folders_that_cannot_be_reviewed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["review", str(tmp_path)]) == 2
    OutputFolder(tmp_path).layout.own_state.mkdir()
    OutputFolder(tmp_path).layout.journal.touch()
    assert cli.main(["review", str(tmp_path)]) == 2
    complained("nothing_finished", capsys.readouterr().err)


def test_odd_names_go_through_page_and_file(tmp_path: Path) -> None:
    names = ["<img src=x onerror=alert(1)>.jpg", "=cmd().jpg", "a&b #1?%2e.jpg", "new\nline.jpg", "é.jpg"]
    for number, name in enumerate(names):
        write_photo(tmp_path / "in" / name, number)
    crop(tmp_path / "in", tmp_path / "out")
    with reviewing(tmp_path / "out") as client:
        for name in names:
            assert client.row(at=client.id_of(name))["row"]["image"] == name
            assert client.get(f"/photo/{client.id_of(name)}").status == 200
            assert client.say(name, "whole").status == 200
    with open(tmp_path / "out" / STATE / "review.csv", newline="", encoding="utf-8") as file:
        assert [row["image"] for row in csv.DictReader(file)] == names
    assert api.apply(tmp_path / "out", quiet=True).done == len(names)
