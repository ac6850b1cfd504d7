"""The app's API: folders, jobs from the queue to the result, and who is let in."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from detic_crop import api
from detic_crop.app import serve
from detic_crop.app.child import TOKEN_VARIABLE
from detic_crop.app.jobs import Jobs
from tests.kit.app import PATIENCE, AppClient, serving
from tests.kit.errors import refused
from tests.kit.folders import crop
from tests.kit.photos import write_photos
from tests.kit.processes import posix

BOXES = "image,xmin,ymin,xmax,ymax\nphoto000.jpg,10,10,40,30\nphoto003.jpg,5,5,30,30\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A root with photos, boxes and a table."""
    root = tmp_path / "data"
    write_photos(root / "photos", 4)
    (root / "boxes.csv").write_text(BOXES)
    return root


@pytest.fixture
def client(data: Path, tmp_path: Path) -> Iterator[AppClient]:
    with serving([data], tmp_path / "state") as client:
        yield client


@pytest.fixture
def idle(data: Path, tmp_path: Path) -> Iterator[AppClient]:
    """An app that begins no job."""
    with serving([data], tmp_path / "state", work=False) as client:
        yield client


def a_run(**settings: object) -> dict[str, object]:
    return {
        "command": "run",
        "input": "photos",
        "output": "cropped",
        "settings": {"model": "boxes:boxes.csv", "size": 32, **settings},
    }


# ---------------------------------------------------------------- folders


def test_what_is_in_a_folder(idle: AppClient, data: Path) -> None:
    (data / ".hidden").mkdir()
    (data / "cropped" / ".detic-crop").mkdir(parents=True)
    seen = idle.api("GET", "/folders")
    assert (seen["path"], seen["above"], seen["photos"]) == (str(data), None, 0)
    found = {folder["name"]: (folder["photos"], folder["is_output"]) for folder in seen["folders"]}
    assert found == {"photos": (2, False), "cropped": (0, True)}
    assert [table["name"] for table in seen["tables"]] == ["boxes.csv"]
    photos = next(folder for folder in seen["folders"] if folder["name"] == "photos")
    inside = idle.api("GET", f"/folders?{photos['query']}")
    assert inside["above"] == seen["query"]
    assert [folder["name"] for folder in inside["folders"]] == ["day1", "day2"]


@pytest.mark.parametrize("path", ["/etc", "..", "photos/../..", "/", "~root", "link", "link/inside"])
def test_nobody_looks_outside(idle: AppClient, data: Path, path: str) -> None:
    (data.parent / "secret" / "inside").mkdir(parents=True)
    (data / "link").symlink_to(data.parent / "secret")
    assert idle.refused("GET", f"/folders?path={path}") == (403, "outside_root")
    assert "link" not in [folder["name"] for folder in idle.api("GET", "/folders")["folders"]]


@pytest.mark.parametrize("path", [".hidden", "photos/.detic-crop", ".hidden/deep"])
def test_hidden_folders_are_not_shown(idle: AppClient, data: Path, path: str) -> None:
    (data / path).mkdir(parents=True)
    assert idle.refused("GET", f"/folders?path={path}") == (403, "hidden")


@posix
def test_names_that_are_no_text(idle: AppClient, data: Path) -> None:
    name = os.fsdecode(b"caf\xe9 & co")
    (data / name).mkdir()
    (found,) = [f for f in idle.api("GET", "/folders")["folders"] if f["name"].startswith("caf")]
    assert found["path"] == str(data / name)
    assert idle.api("GET", f"/folders?{found['query']}")["path"] == str(data / name)
    assert idle.api("POST", "/folders", {"path": found["path"], "name": "more"})["path"] == str(
        data / name / "more"
    )


def test_a_new_folder(idle: AppClient, data: Path) -> None:
    assert idle.api("POST", "/folders", {"path": str(data), "name": "new one"})["folders"] == []
    assert (data / "new one").is_dir()
    for name, told in (("new one", (409, "exists")), ("../x", (400, "bad_name")), (".x", (400, "bad_name"))):
        assert idle.refused("POST", "/folders", {"path": str(data), "name": name}) == told


@pytest.mark.parametrize("name", ["", " ", " a", "a\n", "a\nb", "a\tb", "a\x1b[31m", "a\x7f", "a/b", ".."])
def test_names_that_no_folder_gets(idle: AppClient, data: Path, name: str) -> None:
    assert idle.refused("POST", "/folders", {"path": "photos", "name": name}) == (400, "bad_name")


def test_names_that_a_folder_may_have(idle: AppClient, data: Path) -> None:
    for name in ("größe 'zwölf' \"süd\"", "👩\u200d🔬 & 100 %", "#a?b=c"):
        made = idle.api("POST", "/folders", {"path": "photos", "name": name})
        assert (data / "photos" / name).is_dir()
        assert idle.api("GET", f"/folders?{made['query']}")["name"] == name


# ---------------------------------------------------------------- jobs


def test_a_run_from_the_queue_to_its_result(client: AppClient, data: Path) -> None:
    job = client.api("POST", "/jobs", a_run())
    assert job["input"] == str(data / "photos")
    assert job["settings"]["model"] == f"boxes:{data / 'boxes.csv'}"
    done = client.until(job["id"], "done")
    assert done["may"] == ["remove"]
    assert (data / "cropped" / "photo000.jpg").is_file()
    result = client.api("GET", f"/results?{done['folder_query']}")
    assert result["counts"] == {"cropped": 2, "resized": 2}
    assert [step["action"] for step in result["next"]] == ["review", "export"]
    assert client.api("GET", f"/jobs/{job['id']}/log")[-1] == done["message"]
    assert done["exit_code"] == 0


def test_a_job_that_fails_says_why_in_a_line(client: AppClient, data: Path) -> None:
    (data / "empty").mkdir()
    job = client.api("POST", "/jobs", a_run() | {"input": "empty"})
    failed = client.until(job["id"], "ended", "failed")
    assert "holds no photos" in failed["message"]
    assert failed["exit_code"] == 2
    assert failed["may"] == ["continue", "remove"]
    write_photos(data / "empty", 1)
    client.api("POST", f"/jobs/{job['id']}/continue")
    assert client.until(job["id"], "done")["attempts"] == 2


def test_jobs_wait_and_are_taken_out(idle: AppClient) -> None:
    first, second = (idle.api("POST", "/jobs", a_run())["id"] for _ in range(2))
    assert [job["id"] for job in idle.api("GET", "/jobs")] == [second, first]
    assert idle.api("GET", f"/jobs/{second}")["waits_for"] == 1
    assert idle.api("GET", f"/jobs/{first}")["waits_for"] == 0
    assert idle.refused("DELETE", f"/jobs/{first}") == (409, "not_ended")
    assert idle.api("POST", f"/jobs/{first}/stop")["state"] == "interrupted"
    assert idle.refused("POST", f"/jobs/{first}/stop") == (409, "not_running")
    assert idle.told("DELETE", f"/jobs/{first}").status == 200
    assert idle.refused("GET", f"/jobs/{first}") == (404, "no_such_job")
    assert idle.api("POST", f"/jobs/{second}/stop")["state"] == "interrupted"
    assert idle.api("POST", f"/jobs/{second}/continue")["state"] == "queued"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"command": "weights"}, (400, "no_such_command")),
        ({"input": "nowhere"}, (404, "no_such_folder")),
        ({"input": ""}, (400, "missing_input")),
        ({"input": "/etc"}, (403, "outside_root")),
        ({"output": "/tmp/x"}, (403, "outside_root")),
        ({"output": "."}, (400, "output_is_root")),
        ({"output": None}, (400, "missing_output")),
        ({"settings": {"size": "9x"}}, (400, "bad_value")),
        ({"settings": {"sise": 9}}, (400, "unknown_setting")),
        ({"settings": {"shard": "0/2"}}, (400, "unknown_setting")),
        ({"settings": {"model": "boxes:/etc/passwd"}}, (403, "outside_root")),
        ({"settings": {"labels": "/etc/passwd"}}, (403, "outside_root")),
        ({"settings": {"labels": 5}}, (400, "bad_value")),
        ({"settings": {"labels": True}}, (400, "bad_value")),
        ({"settings": {"labels": ["a.csv"]}}, (400, "bad_value")),
        ({"settings": {"model": "--out=/tmp"}}, (400, "unknown_model")),
        ({"settings": {"gps": True}}, (400, "option_not_applicable")),
        ({"more": 1}, (400, "bad_body")),
        ({"settings": 3}, (400, "bad_body")),
    ],
)
def test_what_no_job_can_be(idle: AppClient, change: dict[str, object], told: tuple[int, str]) -> None:
    assert idle.refused("POST", "/jobs", a_run() | change) == told
    assert idle.api("GET", "/jobs") == []


def test_one_app_for_each_list_of_jobs(idle: AppClient, tmp_path: Path) -> None:
    with refused("app_is_running", names=[str(tmp_path / "state")]):
        Jobs(tmp_path / "state")


# ---------------------------------------------------------------- results


def test_review_and_apply(client: AppClient, data: Path) -> None:
    crop(data / "photos", data / "cropped")
    address = client.api("POST", "/reviews", {"path": "cropped", "reviewer": "Ada"})["address"]
    page = f"{client.guard.room}{address}"
    assert b"review.js" in client.ask("GET", page, headers=client.as_page).body
    session = client.ask("GET", f"{page}api/session", headers=client.as_page).json()
    assert (session["reviewer"], session["total"]) == ("Ada", 4)
    row = client.ask("GET", f"{page}api/row", headers=client.as_page).json()["row"]
    verdict = json.dumps({"id": row["id"], "verdict": "rejected"}).encode()
    assert client.ask("POST", f"{page}api/verdict", verdict, client.as_page).status == 200
    result = client.api("GET", "/results?path=cropped")
    assert (result["reviewed"], result["waiting"]) == (1, 1)
    assert [step["action"] for step in result["next"]] == ["apply", "review", "export"]
    assert result["next"][0]["why"] == "1 verdict waits to be applied"
    assert client.ask("POST", f"{page}api/apply", b"{}", client.as_page).json()["is_running"]
    job = client.until(1, "done")
    assert job["command"] == "apply"
    until = time.monotonic() + PATIENCE
    while (told := client.ask("GET", f"{page}api/apply", headers=client.as_page).json())["is_running"]:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert (told["phase"], told["edition"]) == ("done", 1)
    assert client.api("GET", "/results?path=cropped")["waiting"] == 0
    assert client.api("GET", "/results?path=cropped")["counts"]["rejected"] == 1


def test_reviews_are_reopened_and_few_are_open(idle: AppClient, data: Path) -> None:
    crop(data / "photos", data / "cropped")
    addresses = [
        idle.api("POST", "/reviews", {"path": "cropped", "reviewer": f"person {n}"})["address"]
        for n in range(6)
    ]
    assert len(set(addresses)) == 6
    assert len(idle.service.reviews._open) == 4
    first = idle.ask("GET", f"{idle.guard.room}{addresses[0]}api/session", headers=idle.as_page).json()
    assert first["reviewer"] == "person 0"
    assert idle.ask("GET", f"{idle.guard.room}review/{'0' * 24}/", headers=idle.as_page).status == 404
    assert idle.ask("GET", f"/{addresses[0]}").status == 403  # a page is for browsers


def test_what_cannot_be_reviewed(idle: AppClient, data: Path) -> None:
    assert idle.refused("POST", "/reviews", {"path": "/etc"}) == (403, "outside_root")
    no_output = (409, "no_output_folder")
    assert idle.refused("POST", "/reviews", {"path": "photos"}) == no_output
    for what in ("results", "audit", "crops"):
        assert idle.refused("GET", f"/{what}?path=photos") == no_output


def test_the_results_of_a_name_that_is_too_long(idle: AppClient) -> None:
    """Its job says why it failed, and the page that shows the job goes on."""
    job = idle.api("POST", "/jobs", a_run() | {"output": "x" * 300})
    assert idle.api("GET", f"/results?{job['folder_query']}")["has_audit"] is False


def test_the_audit_may_show_pictures_and_nothing_else(idle: AppClient, data: Path) -> None:
    crop(data / "photos", data / "cropped")
    told = idle.told("GET", "/audit?path=cropped")
    assert told.body == (data / "cropped" / "audit.html").read_bytes()
    policy = told.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


@posix
def test_an_audit_that_is_a_link_to_elsewhere(idle: AppClient, data: Path, tmp_path: Path) -> None:
    crop(data / "photos", data / "cropped")
    secret = tmp_path / "secret.html"
    secret.write_text("not below the root")
    (data / "cropped" / "audit.html").unlink()
    (data / "cropped" / "audit.html").symlink_to(secret)
    assert idle.refused("GET", "/audit?path=cropped") == (404, "no_audit")


def test_a_model_does_not_tell_what_is_outside(idle: AppClient, tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("something")

    def told(name: str) -> bytes:
        answer = idle.told("POST", "/jobs", a_run() | {"settings": {"model": str(tmp_path / name)}})
        assert answer.status == 400
        return answer.body.replace(name.encode(), b"")

    assert told("here.txt") == told("gone.txt")


def test_models_that_are_there(idle: AppClient) -> None:
    told = idle.api("GET", "/models")
    assert told["installed"][0]["name"] == "lite"
    assert ["boxes:FILE"] in [kind["forms"] for kind in told["kinds"]]


# ---------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"short", "must hold 20 to 1024"),
        (b"x" * 2000, "must hold"),
        (b"\xe9" * 30, "not ASCII"),
        (None, "No such"),
    ],
)
def test_tokens_that_keep_nobody_out(tmp_path: Path, text: bytes | None, why: str) -> None:
    file = tmp_path / "token"
    if text is not None:
        file.write_bytes(text)
    with refused("bad_token", names=[str(file), why]):
        api.app(root=tmp_path, token_file=file, open_browser=False, state=tmp_path / "state")


def test_the_variable_is_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "short")
    with refused("bad_token", names=[TOKEN_VARIABLE]):
        api.app(root=tmp_path, open_browser=False, state=tmp_path / "state")
    monkeypatch.setenv(TOKEN_VARIABLE, "x" * 30)
    assert serve._token(None) == "x" * 30
    (tmp_path / "token").write_text("y" * 30 + "\n")
    assert serve._token(tmp_path / "token") == "y" * 30


def test_a_token_outlives_the_server(data: Path, tmp_path: Path) -> None:
    """The address of the page stays, and a cookie tells nothing of the token."""
    token = "z" * 30
    told = []
    for _ in range(2):
        with serving([data], tmp_path / "state", token=token, work=False) as client:
            assert client.ask("GET", "/api/v1/about").status == 200
            entry = client.ask("GET", f"/?token={token}", headers={"Authorization": None})
            assert entry.status == 303
            assert token not in entry.headers["set-cookie"]
            told.append((client.guard.room, client.guard.secret))
    assert told[0] == told[1]


def test_what_the_command_refuses(data: Path, tmp_path: Path) -> None:
    with refused("bad_root", names=["boxes.csv"]):
        api.app(root=data / "boxes.csv", open_browser=False, state=tmp_path / "state")
    with refused("bad_value", names=["--at-once"]):
        api.app(root=data, open_browser=False, state=tmp_path / "state", at_once=0)
    (tmp_path / "file").write_text("")
    with refused("unwritable_state", names=[str(tmp_path / "file")]):
        Jobs(tmp_path / "file")


# ---------------------------------------------------------------- who is let in


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer x", "Basic abc", "bearer \xff"])
def test_programs_need_the_token(idle: AppClient, authorization: str | None) -> None:
    answer = idle.ask("GET", "/api/v1/about", headers={"Authorization": authorization})
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_the_token_alone_is_not_enough_for_another_site(idle: AppClient) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert idle.ask("GET", "/api/v1/about", headers=headers).status == 403
    assert idle.ask("GET", "/api/v1/about", headers={"Host": "evil.example"}).status == 421


def test_the_page_comes_by_its_cookie(idle: AppClient) -> None:
    path = f"{idle.guard.room}api/v1/jobs"
    assert idle.ask("GET", path, headers=idle.as_page).status == 200
    assert idle.ask("GET", path, headers=idle.as_page | {"Cookie": None}).status == 403
    assert idle.ask("POST", path, b"{}", idle.as_page | {"Content-Type": "text/plain"}).status == 415
    assert idle.ask("POST", path, b"{}", idle.as_page | {"Origin": "http://evil.example"}).status == 403
    assert idle.ask("GET", "/api/v1/jobs", headers=idle.as_page).status == 401
