"""The grid of the review page over HTTP: its cards, and several verdicts at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from detic_crop import api
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.photos.keys import STATE
from detic_crop.review_page import grid
from tests.kit.folders import crop, rows_of
from tests.kit.photos import write_damaged, write_photo, write_photos
from tests.kit.review import Answer, Client, reviewing
from tests.kit.verdicts import verdict_log, verdicts_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 good photos of three individuals and of strangers, and some broken ones."""
    folder = tmp_path_factory.mktemp("grid")
    keys = write_photos(folder / "in", 40)
    keys += write_damaged(folder / "in")
    names = ("w_1287fbc", "w_2", "new_individual", " w_3 ")
    lines = [f"{key},orca,{names[n % 4]}" for n, key in enumerate(keys)]
    lines.append(f"{keys[0]},orca,w_2")  # a second animal in the first photo
    (folder / "labels.csv").write_text("image,species,individual_id\n" + "\n".join(lines))
    crop(folder / "in", folder / "out", labels=folder / "labels.csv")
    return folder


@pytest.fixture
def client(finished: Path) -> Iterator[Client]:
    """A page over it, without earlier verdicts."""
    (finished / "out" / STATE / "review.csv").unlink(missing_ok=True)
    with reviewing(finished / "out") as client:
        yield client


def page_of(client: Client, **query: object) -> Any:
    """A page of the grid."""
    return client.get("/api/grid?" + "&".join(f"{name}={value}" for name, value in query.items())).json()


def images(page: Any) -> list[str]:
    """The photos of a page."""
    return [card["image"] for card in page["cards"]]


def give(client: Client, verdicts: Any, query: str = "") -> Answer:
    """Several verdicts in one request."""
    body = json.dumps({"verdicts": verdicts}).encode()
    headers = {"Content-Type": "application/json"}
    return client.ask("POST", f"/api/verdicts?{query}", body, headers)


def accepting(cards: list[Any]) -> list[dict[str, str]]:
    """What the page sends for cards that are accepted."""
    return [{"id": card["id"], "verdict": "accepted", "seen": card["seen"]} for card in cards]


def lines_of(out: Path) -> list[str]:
    """The lines of the file on disk, without its header."""
    path = out / STATE / "review.csv"
    return path.read_text().splitlines()[1:] if path.exists() else []


# ---------------------------------------------------------------- cards


def test_pages_follow_the_order_of_the_page(client: Client) -> None:
    everything = [client.image(rank) for rank in range(len(client.page._rows))]
    first = page_of(client)
    assert images(first) == everything[:30]
    assert [first[name] for name in ("before", "after", "total")] == [
        0,
        len(everything) - 30,
        len(everything),
    ]
    second = page_of(client, after=first["cards"][-1]["id"])
    assert images(second) == everything[30:]
    assert (second["before"], second["after"]) == (30, len(everything) - 30 - len(second["cards"]))
    assert images(page_of(client, before=second["cards"][0]["id"])) == everything[:30]
    assert images(page_of(client, before=first["cards"][3]["id"])) == everything[:3]
    assert images(page_of(client, **{"from": first["cards"][5]["id"]})) == everything[5:35]
    assert images(page_of(client, at=client.id_of(everything[31]))) == everything[30:]
    assert images(page_of(client, size=7, at=client.id_of(everything[8]))) == everything[7:14]
    assert page_of(client, after=second["cards"][-1]["id"])["cards"] == []
    assert page_of(client, before=first["cards"][0]["id"])["cards"] == []
    assert page_of(client, status="no_such")["cards"] == []
    named = [second["cards"][1]["id"], first["cards"][2]["id"]]
    assert images(page_of(client, ids=",".join(named))) == [everything[31], everything[2]]
    assert images(page_of(client, photos=",".join(named))) == [everything[2], everything[31]]


def test_a_card_says_what_the_table_says(finished: Path, client: Client) -> None:
    rows = {row["image"]: row for row in reversed(rows_of(finished / "out"))}  # its first label row
    for card in page_of(client, size=100)["cards"]:
        row = rows[card["image"]]
        assert ";".join(name.replace(" ", "_") for name, _ in card["flags"]) == row["flags"]
        assert card["class"] == row["class_name"]
        assert (card["score"] is None) == (row["score"] == "")
        assert dict(card["labels"])["species"] == row["species"]
        assert card["individual"] == row["individual_id"].strip().replace("new_individual", "")
        assert (card["verdict"], card["seen"]) == (None, "")
        if row["status"] == "failed":
            assert card["crops"] == []
            assert row["error"] in card["why"]
        else:
            assert (card["crops"], card["why"]) == ([0], "")
            assert bool(card["what"]) == (row["status"] == "resized")


def test_pictures_are_bounded_whatever_the_crops_are(tmp_path: Path) -> None:
    write_photo(tmp_path / "in" / "a.jpg", 3, width=1500, height=1100)
    crop(tmp_path / "in", tmp_path / "out", size="native", format="png", scale=3)
    with reviewing(tmp_path / "out") as client:
        (card,) = page_of(client)["cards"]
        assert max(Image.open(BytesIO(client.get(f"/crop/{card['id']}").body)).size) > 512
        answer = client.get(f"/thumb/{card['id']}/0?v={card['version']}")
        with Image.open(BytesIO(answer.body)) as picture:
            assert (picture.format, max(picture.size)) == ("JPEG", 512)
        assert answer.headers["content-type"] == "image/jpeg"
        for path in (f"/thumb/{card['id']}/1", f"/thumb/{card['id']}/-1", "/thumb/none/0", "/thumb/..%2f/0"):
            assert client.get(path).status == 404


def test_photos_without_a_crop_say_why(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 14)
    crop(tmp_path / "in", tmp_path / "out", not_found="skip")
    without = {row["image"] for row in rows_of(tmp_path / "out") if row["status"] == "skipped"}
    lost = next(row["image"] for row in rows_of(tmp_path / "out") if row["status"] == "cropped")
    (tmp_path / "out" / lost).unlink()
    with reviewing(tmp_path / "out") as client:
        cards = {card["image"]: card for card in page_of(client)["cards"]}
        assert without
        assert {cards[image]["why"] for image in without} == {"no crop: no animal was found"}
        assert cards[lost]["why"] == "its crop is not there"
        answer = give(client, accepting([cards[lost]])).json()
    assert answer["refused"] == [[cards[lost]["id"], "its crop is not there"]]
    assert lines_of(tmp_path / "out") == []


# ---------------------------------------------------------------- individuals


def test_all_photos_of_one_individual(finished: Path, client: Client) -> None:
    rows = rows_of(finished / "out")
    named = {row["image"] for row in rows if row["individual_id"].strip() == "w_3"}
    page = page_of(client, individual="w_3")
    assert set(images(page)) == named
    assert page["total"] == len(named)
    found = client.row(at=client.id_of(min(named)))["individual"]
    assert found == {"name": "w_3", "photos": len(named)}
    # Every row of a photo counts: the first one names whom its button offers.
    both = next(row["image"] for row in rows if row["individual_id"] == "w_1287fbc")
    assert both in images(page_of(client, individual="w_2"))
    assert client.row(at=client.id_of(both))["individual"]["name"] == "w_1287fbc"
    stranger = next(row["image"] for row in rows if row["individual_id"] == "new_individual")
    assert client.row(at=client.id_of(stranger))["individual"] is None
    for nobody in ("new_individual", "none", "%00"):
        assert page_of(client, individual=nobody)["cards"] == []
    everybody = page_of(client, individual="", size=100)["cards"]
    assert len(everybody) == len(client.page._rows)
    assert page_of(client, individual="w_3", reviewed="yes")["cards"] == []


def test_without_labels_there_are_no_individuals(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 2)
    crop(tmp_path / "in", tmp_path / "out")
    with reviewing(tmp_path / "out") as client:
        assert client.row()["individual"] is None
        assert page_of(client, individual="x")["cards"] == []


# ---------------------------------------------------------------- verdicts


def test_a_page_is_accepted_with_one_write(
    finished: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = page_of(client)["cards"]
    chosen = [card for n, card in enumerate(cards) if n not in (3, 7)]
    syncs: list[int] = []
    monkeypatch.setattr("os.fsync", syncs.append)
    answer = give(client, accepting(chosen), "reviewed=no").json()
    assert answer["refused"] == []
    assert [id for id, _ in answer["written"]] == [card["id"] for card in chosen]
    assert answer["total"] == len(client.page._rows) - 28  # of the filter that is left
    verdicts = verdicts_of(finished / "out")
    assert set(verdicts) == {card["image"] for card in chosen}
    assert {(v.verdict, v.reviewer) for v in verdicts.values()} == {("accepted", "tester")}
    lines = lines_of(finished / "out")
    assert len(lines) == 28
    assert all(",crc-" in line for line in lines)
    assert len(syncs) <= 2  # the file, and its folder when it is new
    assert client.page.given == 28
    # What is left of the filter, from where the page ended.
    after = page_of(client, reviewed="no", after=cards[-1]["id"])
    assert images(after) == [client.image(rank) for rank in range(30, len(client.page._rows))]
    assert images(page_of(client, reviewed="no", size=2)) == [cards[3]["image"], cards[7]["image"]]


def test_an_acceptance_is_taken_back_as_a_whole(finished: Path, client: Client) -> None:
    cards = page_of(client, size=5)["cards"]
    noted = cards[0]
    client.post({"id": noted["id"], "note": "look again"})
    written = give(client, accepting(cards)).json()["written"]
    back = [{"id": id, "verdict": "undone", "seen": seen} for id, seen in written]
    client.say(cards[4]["image"], "rejected")
    answer = give(client, back).json()
    assert [id for id, _ in answer["written"]] == [card["id"] for card in cards[:4]]
    assert answer["refused"] == [[cards[4]["id"], "rejected meanwhile by tester"]]
    assert {image: v.verdict for image, v in verdicts_of(finished / "out").items()} == {
        cards[4]["image"]: "rejected"
    }
    row = client.row(at=noted["id"])["row"]
    assert (row["verdict"], row["note"]) == (None, "look again")


def test_what_somebody_else_said_meanwhile_stays(finished: Path, client: Client) -> None:
    out = finished / "out"
    cards = page_of(client, size=4)["cards"]
    # Another process, of which this page has not heard.
    verdict_log(out).append(Verdict(cards[1]["image"], "rejected", (), "Ann", "t"))
    answer = give(client, accepting(cards)).json()
    assert answer["refused"] == [[cards[1]["id"], "rejected meanwhile by Ann"]]
    assert len(answer["written"]) == 3
    verdicts = verdicts_of(out)
    assert verdicts[cards[1]["image"]].reviewer == "Ann"
    assert len(lines_of(out)) == 4
    # A verdict that was taken back since it was seen is not overwritten either; a note is no verdict.
    client.say(cards[1]["image"], "undone")
    seen = page_of(client, ids=cards[2]["id"])["cards"][0]
    client.say(cards[2]["image"], "undone")
    client.post({"id": cards[3]["id"], "note": "a note"})
    third, fourth = (page_of(client, ids=card["id"])["cards"][0] for card in (cards[2], cards[3]))
    assert give(client, [{"id": seen["id"], "verdict": "undone", "seen": seen["seen"]}]).json()[
        "refused"
    ] == [[seen["id"], "its verdict was taken back meanwhile"]]
    assert (third["seen"], fourth["note"]) == ("", "a note")
    assert give(client, accepting([third, fourth])).json()["refused"] == []
    assert verdicts_of(out)[fourth["image"]].note == "a note"


def test_only_the_detectors_crop_is_accepted(tmp_path: Path) -> None:
    """After an applied box the crop is another one: whoever sees it has not seen the detector's."""
    write_photos(tmp_path / "in", 6, width=600, height=400)
    crop(tmp_path / "in", tmp_path / "out")
    with reviewing(tmp_path / "out") as client:
        image = client.image(0)
        client.say(image, "box", [10, 20, 300, 250])
    api.apply(tmp_path / "out", quiet=True)
    with reviewing(tmp_path / "out") as client:
        client.say(image, "undone")
        (card,) = page_of(client, ids=client.id_of(image))["cards"]
        assert "no longer the detector's" in card["why"]
        assert card["verdict"] is None
        assert give(client, accepting([card])).json()["written"] == []


def test_photos_that_have_changed_or_gone(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 5)
    crop(tmp_path / "in", tmp_path / "out")
    with reviewing(tmp_path / "out") as client:
        cards = page_of(client)["cards"]
        write_photo(tmp_path / "in" / cards[0]["image"], 77, width=90, height=50)
        (tmp_path / "in" / cards[1]["image"]).unlink()
        answer = give(client, accepting(cards)).json()
        assert [id for id, _ in answer["refused"]] == [cards[0]["id"]]  # of a lost photo the crop is seen
        assert "changed" in answer["refused"][0][1]
    assert len(verdicts_of(tmp_path / "out")) == 4


def test_all_animals_of_a_photo_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(tmp_path / "in", 10, width=600, height=400)
    crop(tmp_path / "in", tmp_path / "out", animals="all")
    with reviewing(tmp_path / "out") as client:
        cards = page_of(client)["cards"]
        several = next(card for card in cards if card["animals"] > 1)
        for number in several["crops"]:
            assert client.get(f"/thumb/{several['id']}/{number}").status == 200
        assert (several["why"], len(several["crops"])) == ("", several["animals"])
        monkeypatch.setattr(grid, "_MOST_CROPS", 1)
        (crowded,) = page_of(client, ids=several["id"])["cards"]
        assert len(crowded["crops"]) == 1
        assert crowded["why"] == f"{several['animals']} animals: open it to see them all"
        assert give(client, accepting([several])).json()["written"] == []


def test_a_full_disk_is_told(finished: Path, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    cards = page_of(client, size=3)["cards"]

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        answer = give(client, accepting(cards))
    assert answer.status == 507
    assert b"No space left on device" in answer.body


# ---------------------------------------------------------------- whom it refuses


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b"{", b'{"verdicts": null}', b'{"verdicts": []}', b'{"verdicts": {"a": 1}}'),
        *(b'{"verdicts": [1]}', b'{"verdicts": [{"id": "none", "verdict": "accepted", "seen": ""}]}'),
        *(b'{"verdicts": [{"id": []}]}', b'{"verdicts": ' + b"[" * 5000, b"\xff\xfe", b'{"verdicts": NaN}'),
    ],
)
def test_bodies_that_are_no_verdicts(client: Client, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.ask("POST", "/api/verdicts", body, headers)
    assert answer.status == 400
    assert b"Traceback" not in answer.body


def test_verdicts_that_the_grid_does_not_give(finished: Path, client: Client) -> None:
    cards = page_of(client, size=40)["cards"]
    (good, *_) = accepting(cards)
    changes: tuple[dict[str, Any], ...] = (
        *({"verdict": "rejected"}, {"verdict": "box", "box": [1, 2, 3, 4]}, {"verdict": []}, {"seen": None}),
        *({"verdict": ""}, {"seen": 3}, {"id": None}, {"id": "../x"}),
    )
    for change in changes:
        assert give(client, [good | change]).status == 400, change
    for missing in good:
        assert give(client, [{name: value for name, value in good.items() if name != missing}]).status == 400
    assert give(client, [good, good]).status == 400
    assert give(client, [good] * 101).status == 400
    assert give(client, [good | {"id": "x" * 30_000}]).status == 413
    assert lines_of(finished / "out") == []
    refused = give(client, [good | {"seen": "f" * 16}]).json()["refused"]
    assert [id for id, _ in refused] == [good["id"]]
    assert verdicts_of(finished / "out") == {}


def test_pages_that_cannot_be(client: Client) -> None:
    id = page_of(client, size=1)["cards"][0]["id"]
    for query in ("size=0", "size=101", "size=-1", "size=x", "size=9999999", "ids=" + ",".join([id] * 101)):
        assert client.get(f"/api/grid?{query}").status == 400, query
    for query in ("at=none", "after=x", "ids=", f"ids={id},none"):
        assert client.get(f"/api/grid?{query}").status == 404, query
    assert client.get("/api/grid?photos=none").json()["cards"] == []


@pytest.mark.parametrize("number", ["1", "-1", "x", "%C2%B2", "9" * 5000])
def test_other_numbers_name_no_picture(client: Client, number: str) -> None:
    """One animal was cropped of each photo: its picture is number 0."""
    id = page_of(client, size=1)["cards"][0]["id"]
    assert client.get(f"/thumb/{id}/0").status == 200
    assert client.get(f"/thumb/{id}/{number}").status == 404


def test_others_get_no_grid(client: Client) -> None:
    id = page_of(client, size=1)["cards"][0]["id"]
    for path in ("/api/grid", f"/thumb/{id}/0"):
        assert client.get(path, Cookie="").status == 403
        assert client.get(path, Host="evil.example").status == 421
        assert client.get(path, Sec_Fetch_Site="cross-site").status == 403
    body = json.dumps({"verdicts": []}).encode()
    for more, status in (
        *(({"Cookie": ""}, 403), ({"Origin": "http://evil.example"}, 403)),
        *(({"Content-Type": "text/plain"}, 415), ({"Sec-Fetch-Site": "same-site"}, 403)),
    ):
        headers = {"Content-Type": "application/json"} | more
        assert client.ask("POST", "/api/verdicts", body, headers).status == status


def test_a_blind_review_has_no_grid(tmp_path: Path) -> None:
    write_photos(tmp_path / "in", 14)
    crop(tmp_path / "in", tmp_path / "out")
    api.write_audit(tmp_path / "out", sample=10)
    with reviewing(tmp_path / "out", reviewer="Bob", blind=True) as client:
        row = client.row()
        id = row["row"]["id"]
        assert row["individual"] is None
        for path in ("/api/grid", f"/api/grid?ids={id}", f"/thumb/{id}/0"):
            assert client.get(path).status == 404
        assert give(client, [{"id": id, "verdict": "accepted", "seen": ""}]).status == 404
        assert client.get("/api/row?individual=x").json()["row"] is None
    assert not OutputFolder(tmp_path / "out").layout.second_review.exists()
