"""The end of a review on the page: what is left where, Apply, and a folder that changes under the page."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from detic_crop import api
from detic_crop.commands import apply as apply_module
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.whereabouts import look_for_photos
from detic_crop.photos.keys import STATE
from detic_crop.review_page import page as page_module
from detic_crop.review_page.page import ReviewPage
from detic_crop.review_page.rows import REVIEWED
from detic_crop.review_page.said import Said
from tests.kit.folders import assert_same, crop, differing, product, product_and_state, records_of, rows_of
from tests.kit.photos import write_damaged, write_photo, write_photos
from tests.kit.processes import ROOT, posix
from tests.kit.review import LONG, reviewing
from tests.kit.verdicts import DRAWN, give_verdict, give_verdicts, verdicts_of

pytestmark = pytest.mark.slow

WORDS = ("accepted", "whole", "box", "rejected", "unsure", "note", "boxes")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `in` and `out`: 15 good photos, some broken ones, and labels."""
    folder = tmp_path_factory.mktemp("end")
    keys = write_photos(folder / "in", 15)
    keys += write_damaged(folder / "in")
    lines = [f"{key},{('orca', 'beluga', '')[n % 3]}" for n, key in enumerate(keys)]
    (folder / "labels.csv").write_text("image,species\n" + "\n".join(lines))
    crop(folder / "in", folder / "out", labels=folder / "labels.csv")
    return folder


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of its `out`, with photos where they were."""
    shutil.copytree(finished / "out", tmp_path / "out")
    return tmp_path / "out"


def good(out: Path) -> list[str]:
    """Photos that can be judged."""
    return [row["image"] for row in rows_of(out) if row["status"] in ("cropped", "resized")]


class Gate:
    """`apply` waits in front of it, after it has read the verdicts."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._is_open = threading.Event()

    def pass_through(self) -> None:
        """Wait until it is opened."""
        self._reached.set()
        assert self._is_open.wait(LONG)

    def wait(self) -> None:
        """Return once somebody waits in front of it."""
        assert self._reached.wait(LONG)

    def open(self) -> None:
        """Let all pass."""
        self._is_open.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A gate before the first photo of each `apply`."""
    gate = Gate()
    look = apply_module._look

    def look_and_wait(*arguments: Any) -> Any:
        looked = look(*arguments)
        gate.pass_through()
        return looked

    monkeypatch.setattr(apply_module, "_look", look_and_wait)
    yield gate
    gate.open()


# ---------------------------------------------------------------- Apply


def test_apply_on_the_page_is_the_command(out: Path, tmp_path: Path) -> None:
    """The same verdicts leave the same crops, tables and journal, byte for byte."""
    give_verdicts(out, dict(zip(good(out), WORDS, strict=False)))
    shutil.copytree(out, tmp_path / "kept")
    result = api.apply(out, quiet=True)
    expected = product_and_state(out)
    shutil.rmtree(out)
    (tmp_path / "kept").rename(out)
    with reviewing(out) as client:
        assert client.overview()["waiting"] == len(result.changes) == len(WORDS)
        assert client.get("/api/apply").json()["phase"] == "idle"
        assert client.apply().json()["is_running"]
        state = client.applied()
    assert (state["phase"], state["error"], state["problems"]) == ("done", "", [])
    assert state["done"] == state["total"] == len(WORDS)
    assert differing(product_and_state(out), expected) == []
    assert without_speed("; ".join(state["lines"][:2])) == without_speed(result.summary)


def without_speed(line: str) -> str:
    """What the command says, but for the photos per second."""
    return re.sub(r"; [\d.,]+ photos/s", "", line)


def test_the_page_comes_up_to_date_by_itself(out: Path) -> None:
    image, other = good(out)[:2]
    with reviewing(out) as client:
        before = client.get(f"/crop/{client.id_of(image)}").body
        assert client.say(image, "whole").status == client.say(other, "rejected").status == 200
        assert client.overview()["waiting"] == 2
        client.apply()
        state = client.applied()
        assert state["edition"] == client.get("/api/session").json()["edition"] == 1
        assert client.get("/api/changes").json() == {"since": 0, "changed": [], "stale": False, "edition": 1}
        row = client.row(at=client.id_of(image))["row"]
        assert (row["applied"], row["verdict"]["verdict"]) == ("whole", "whole")
        assert client.get(f"/crop/{client.id_of(image)}").body != before
        assert client.row(status="rejected")["row"]["image"] == other
        assert client.overview()["waiting"] == 0
        assert client.page.given == 2
        # What was applied is taken back like anything else.
        client.say(image, "undone")
        assert client.overview()["waiting"] == 1
        client.apply()
        client.applied()
        assert client.get(f"/crop/{client.id_of(image)}").body == before


@pytest.mark.parametrize("applied", [False, True])
def test_what_waits_is_what_a_dry_run_would_apply(out: Path, applied: bool) -> None:
    images = good(out)
    give_verdicts(out, dict(zip(images, WORDS, strict=False)))
    if applied:
        api.apply(out, quiet=True)
    with reviewing(out) as client:
        for image, word, box in [
            *((images[0], "accepted", None), (images[1], "undone", None), (images[2], "box", DRAWN)),
            *((images[3], "undone", None), (images[4], "whole", None), (images[9], "box", (1, 2, 30, 40))),
        ]:
            give_verdict(out, image, word, box)
            client.get("/api/changes")
            assert client.overview()["waiting"] == len(api.apply(out, dry_run=True).changes)


def test_a_verdict_while_it_runs_waits_for_the_next_time(out: Path, gate: Gate) -> None:
    image, other = good(out)[:2]
    with reviewing(out) as client:
        client.say(image, "rejected")
        client.apply()
        gate.wait()
        assert client.say(other, "whole").status == 200
        assert client.say(image, "accepted").status == 200  # another word on a photo in hand
        gate.open()
        assert client.applied()["done"] == 1
        assert records_of(out)[image].verdict == "rejected"
        assert records_of(out)[other].verdict == ""
        assert client.row(at=client.id_of(image))["row"]["verdict"]["verdict"] == "accepted"
        assert client.overview()["waiting"] == 2
        client.apply()
        assert client.applied()["done"] == 2
    assert {image: verdict.verdict for image, verdict in verdicts_of(out).items()} == {
        image: "accepted",
        other: "whole",
    }
    assert (records_of(out)[image].verdict, records_of(out)[other].verdict) == ("accepted", "whole")


def test_a_second_one_is_refused_while_it_runs(out: Path, gate: Gate) -> None:
    with reviewing(out) as client:
        client.say(good(out)[0], "rejected")
        assert client.apply().status == 200
        answer = client.apply()
        assert (answer.status, answer.body) == (409, b"the verdicts are being applied already")
        gate.open()
        assert client.applied()["phase"] == "done"
        assert client.apply().status == 200
        assert client.applied()["lines"][0] == "no verdict to apply"


def test_a_run_at_work_is_said_in_a_line(out: Path) -> None:
    image = good(out)[0]
    with reviewing(out) as client:
        client.say(image, "rejected")
        with OutputFolder(out).locked():
            client.apply()
            state = client.applied()
        assert state["phase"] == "failed"
        assert re.fullmatch(
            r"another run is writing to .*out \(process \d+ on .*, since .*\): "
            r"wait until it has ended, then apply again",
            state["error"],
        )
        assert records_of(out)[image].verdict == ""
        assert client.row()["row"]  # the page goes on
        client.apply()
        assert client.applied()["phase"] == "done"
        assert records_of(out)[image].verdict == "rejected"


def test_photos_that_cannot_follow_are_named(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "in", tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "out")
    image = good(tmp_path / "out")[0]
    with reviewing(tmp_path / "out") as client:
        client.say(image, "whole")
        write_photo(tmp_path / "in" / image, 99)
        client.apply()
        state = client.applied()
        assert state["lines"][0] == "verdicts applied: 1 not possible"
        assert state["lines"][-1].startswith("the other crops in ")
        assert [[key, id] for key, _, id in state["problems"]] == [[image, client.id_of(image)]]
        assert "changed since the run" in state["problems"][0][1]
        assert client.overview()["waiting"] == 1


def test_a_fault_of_ours_is_said_and_does_not_end_the_page(
    out: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(apply_module, "_look", fail)
    with reviewing(out) as client:
        client.apply()
        state = client.applied()
        assert (state["phase"], "fault of detic-crop" in state["error"]) == ("failed", True)
        assert "secret" not in str(state)
        assert client.row()["row"]
    assert "the verdicts could not be applied" in caplog.text


def test_a_blind_review_has_none(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "out", tmp_path / "out")
    api.write_audit(tmp_path / "out", sample=10)
    with reviewing(tmp_path / "out", reviewer="Bob", blind=True) as client:
        client.say(client.image(0), "rejected")
        state = client.get("/api/apply").json()
        assert (state["may"], state["instead"]) == (False, f"detic-crop audit {tmp_path / 'out'}")
        answer = client.apply()
        assert answer.status == 409
        assert answer.body.startswith(b"these verdicts change no crop; give: detic-crop audit ")
        overview = client.overview()
        assert (overview["waiting"], overview["left"], overview["flags"]) == (0, 9, [])
        assert list(client.get("/api/counts").json()) == ["reviewed"]


# ---------------------------------------------------------------- a folder that changes


def test_new_photos_come_when_they_are_asked_for(finished: Path, tmp_path: Path) -> None:
    """The run goes on under the page; verdicts, the count of them and their lock outlive the opening."""
    shutil.copytree(finished / "in", tmp_path / "in")
    crop(tmp_path / "in", tmp_path / "out", limit=5)
    with reviewing(tmp_path / "out") as client:
        image = client.image(0)
        client.say(image, "rejected")
        crop(tmp_path / "in", tmp_path / "out")
        assert client.get("/api/changes").json()["stale"]
        assert client.row()["total"] == 5
        assert client.post_to("/api/reopen", {}).json() == {"edition": 1}
        assert not client.get("/api/changes").json()["stale"]
        assert client.row()["total"] == len(rows_of(tmp_path / "out"))
        assert client.row(at=client.id_of(image))["row"]["verdict"]["verdict"] == "rejected"
        client.say(client.image(1), "whole")
        assert client.page.given == 2


def test_photos_that_come_while_the_page_is_opened_are_told(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last ones of a run, after which nothing comes that could tell of them."""

    def look_late(*arguments: Any) -> Any:
        monkeypatch.undo()
        crop(finished / "in", tmp_path / "out")
        return look_for_photos(*arguments)

    crop(finished / "in", tmp_path / "out", limit=5)
    monkeypatch.setattr(page_module, look_for_photos.__name__, look_late)
    with reviewing(tmp_path / "out") as client:
        assert client.row()["total"] == 5
        assert client.get("/api/changes").json()["stale"]
        client.post_to("/api/reopen", {})
        assert client.row()["total"] == 19


def test_a_folder_that_cannot_be_opened_any_more_leaves_the_page(out: Path) -> None:
    with reviewing(out) as client:
        (out / STATE / "journal.jsonl").rename(out / STATE / "elsewhere")
        answer = client.post_to("/api/reopen", {})
        assert answer.status == 409
        assert b"\n" not in answer.body
        assert client.row()["total"] == 19
        assert client.get("/api/changes").json()["stale"]


def test_a_verdict_given_to_the_page_before_is_seen_on_the_new_one(out: Path) -> None:
    """It was on its way when the page was opened anew."""
    with reviewing(out) as client:
        earlier: ReviewPage = client.page
        client.post_to("/api/reopen", {})
        assert client.page is not earlier
        image = client.image(0)
        earlier._writer.write(earlier._rows.rank_of[client.id_of(image)], Said("rejected"))
        assert client.row(at=client.id_of(image))["row"]["verdict"]["verdict"] == "rejected"
        assert client.overview()["said"]["rejected"] == 1


def test_opened_anew_while_others_ask(out: Path) -> None:
    """Each request is answered by one page from beginning to end, and no verdict is lost."""
    images = good(out)
    with reviewing(out) as client:
        failures: list[object] = []

        def ask() -> None:
            for image in images:
                answer = client.say(image, "accepted")
                if answer.status != 200 or client.row(at=client.id_of(image))["row"]["verdict"] is None:
                    failures.append((image, answer))

        asking = threading.Thread(target=ask)
        asking.start()
        times = 0
        while asking.is_alive() or times < 3:
            assert client.post_to("/api/reopen", {}).status == 200
            times += 1
        asking.join()
        assert failures == []
        assert client.overview()["said"]["accepted"] == len(images) == client.page.given


# ---------------------------------------------------------------- what is left where


def test_counts_follow_the_other_filters_and_the_verdicts(out: Path) -> None:
    """Held against counting the rows of the table by hand."""
    rows = {row["image"]: row for row in rows_of(out)}
    give_verdicts(out, dict(zip(good(out), WORDS, strict=False)))
    said = dict(zip(good(out), WORDS, strict=False))
    left = {image for image in rows if said.get(image, "note") == "note"}
    columns = {"status": "status", "class": "class_name", "label:species": "species"}
    with reviewing(out) as client:
        for wanted in ({}, {"status": "cropped"}, {"label:species": "orca", "reviewed": "no"}):
            counts = client.get("/api/counts?" + "&".join(f"{n}={v}" for n, v in wanted.items())).json()
            for name, column in columns.items():
                others = {n: v for n, v in wanted.items() if n not in (name, "reviewed")}
                here = [r for r in rows.values() if all(r[columns[n]] == v for n, v in others.items())]
                for value, both in counts[name].items():
                    fits = {row["image"] for row in here if not value or row[column] == value}
                    assert both == [len(fits & left), len(fits)], (wanted, name, value)
            flags = counts["flag"]
            flagged = [r for r in rows.values() if "upscaled" in r["flags"].split(";")]
            fits = {
                r["image"]
                for r in flagged
                if all(r[columns[n]] == v for n, v in wanted.items() if n in columns)
            }
            assert flags["upscaled"] == [len(fits & left), len(fits)]
        by_review = client.get("/api/counts").json()["reviewed"]
        assert {name: both[1] for name, both in by_review.items()} == {
            "": len(rows),
            "no": len(left),
            "unsure": 1,
            "note": 1,
            "yes": len(rows) - len(left) - 1,
        }
        assert set(by_review) == set(REVIEWED)


def test_the_overview_is_of_all_photos_and_of_a_filter(out: Path) -> None:
    give_verdicts(out, dict(zip(good(out), WORDS, strict=False)))
    with reviewing(out) as client:
        overview = client.overview(status="failed")
        assert overview["said"] == {"accepted": 1, "whole": 1, "box": 2, "rejected": 1, "unsure": 1}
        assert overview["left"] == 19 - 6 == client.row(reviewed="no")["total"]
        assert (overview["noted"], overview["total"], overview["waiting"]) == (1, 19, len(WORDS))
        assert overview["here"] == {"total": 4, "reviewed": 0, "unsure": 0}
        for flag, words, count in overview["flags"]:
            assert words == flag.replace("_", " ")
            assert client.row(flag=flag, reviewed="no")["total"] == count > 0
        row = client.row(status="cropped")
        assert row["all"] == {"total": 19, "reviewed": 5, "unsure": 1}


# ---------------------------------------------------------------- Ctrl-C

STOPPED_IN_THE_MIDDLE = """
import sys, time
from pathlib import Path
from detic_crop.commands import apply
from detic_crop.commands.apply_beside import ApplyBeside
from detic_crop.cli.main import main

commit, begin, mark, works, done = apply.commit, ApplyBeside.__init__, Path(sys.argv[1]), [], 0

def noted(self, *arguments):
    works.append(self)
    begin(self, *arguments)

def until_it_is_told(*arguments):
    global done
    done += 1
    if done == 4:
        mark.touch()
        while not works[0]._is_ending:
            time.sleep(0.01)
        with works[0]._changing:
            pass
    return commit(*arguments)

apply.commit, ApplyBeside.__init__ = until_it_is_told, noted
sys.exit(main(["review", sys.argv[2], "--port", "0", "--no-browser"]))
"""


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_runs_keeps_what_was_finished(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out"
    images = write_photos(tmp_path / "in", 60)
    crop(tmp_path / "in", out)
    give_verdicts(out, dict.fromkeys(images, "whole"))
    shutil.copytree(out, tmp_path / "reference" / "out")
    command = [sys.executable, "-c", STOPPED_IN_THE_MIDDLE, str(tmp_path / "mark"), str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout
        address = re.search(r"http://127\.0\.0\.1:(\d+)(/\?token=\S+)", process.stdout.readline())
        assert address
        begin_to_apply(int(address[1]), address[2])
        wait_for((tmp_path / "mark").exists)
        os.kill(process.pid, number)
        printed, complaints = process.communicate(timeout=LONG)
    assert (process.returncode, complaints) == (0, "")  # as a review ends otherwise
    done = [image for image in images if records_of(out)[image].verdict == "whole"]
    assert 4 <= len(done) < len(images)
    left = len(images) - len(done)
    assert f"interrupted: {left} photos to do; run `detic-crop apply {out}` to continue\n" in printed
    assert sum(row["verdict"] == "whole" for row in rows_of(out)) == len(done)  # the tables follow, too
    api.apply(out, quiet=True)
    api.apply(tmp_path / "reference" / "out", quiet=True)
    assert_same(out, product(tmp_path / "reference" / "out"))


def begin_to_apply(port: int, path: str) -> None:
    """As the page's own browser does."""
    connection = HTTPConnection("127.0.0.1", port, timeout=LONG)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    room, cookie = answer.headers["Location"], answer.headers["Set-Cookie"].partition(";")[0]
    headers = {"Cookie": cookie, "Content-Type": "application/json"}
    connection.request("POST", f"{room}api/apply", "{}", headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


def wait_for(is_so: Callable[[], bool]) -> None:
    """Wait until something holds."""
    until = time.monotonic() + LONG
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)
