"""Requests to the review page from whoever can reach its port: nobody is kept out, little is said."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from detic_crop.photos.keys import STATE
from detic_crop.review_page import page
from detic_crop.web import answers, connections
from tests.kit.folders import crop
from tests.kit.photos import write_photos
from tests.kit.processes import ROOT, posix
from tests.kit.raw_requests import (
    BAD_HOSTS,
    BAD_ORIGINS,
    LONG,
    ODD_METHODS,
    answer,
    closed,
    mutated,
    opened,
    refuses_more,
    status,
)
from tests.kit.review import Client, reviewing


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("requests")
    write_photos(folder / "in", 3)
    crop(folder / "in", folder / "out")
    return folder / "out"


@pytest.fixture
def client(out: Path) -> Iterator[Client]:
    with reviewing(out) as client:
        yield client


def request(
    client: Client, *lines: str, method: str = "GET", path: str = "api/session", body: bytes = b""
) -> bytes:
    """A request of the page's own browser, with more or other header lines."""
    headers = {"host": f"Host: 127.0.0.1:{client.port}", "cookie": f"Cookie: {client.cookie}"}
    headers |= {line.partition(":")[0].lower(): line for line in lines}
    start = f"{method} {client.room}{path} HTTP/1.1"
    return "\r\n".join([start, *headers.values(), "", ""]).encode("latin-1") + body


# ---------------------------------------------------------------- single requests


@pytest.mark.parametrize(
    "host",
    BAD_HOSTS,
)
def test_hosts_that_only_look_like_ours(client: Client, host: str) -> None:
    data = request(client).replace(f"127.0.0.1:{client.port}".encode(), host.encode())
    assert status(answer(opened(client.port, data))) in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:8377", "[::1]"])
def test_hosts_that_are_ours(client: Client, host: str) -> None:
    assert status(answer(opened(client.port, request(client, f"Host: {host}")))) == 200


@pytest.mark.parametrize(
    "origin",
    BAD_ORIGINS,
)
def test_origins_that_are_none(client: Client, origin: str, caplog: pytest.LogCaptureFixture) -> None:
    json = ("Content-Type: application/json", "Content-Length: 2")
    for name in ("Origin", "Referer"):
        data = request(client, *json, f"{name}: {origin}", method="POST", path="api/verdict", body=b"{}")
        assert status(answer(opened(client.port, data))) == (403 if name == "Origin" else 400)
    assert caplog.records == []


@pytest.mark.parametrize("path", ["api/apply", "api/reopen"])
def test_nobody_else_makes_the_page_work(client: Client, out: Path, path: str) -> None:
    """Another site, a form, a link, or somebody without the secret neither applies nor opens anew."""
    json = ("Content-Type: application/json", "Content-Length: 2")

    def said(*lines: str, method: str = "POST", body: bytes = b"{}") -> int:
        return status(
            answer(opened(client.port, request(client, *lines, method=method, path=path, body=body)))
        )

    client.say(client.image(0), "rejected")
    before = (out / STATE / "journal.jsonl").read_bytes()
    assert said(*json, "Origin: https://evil.example") == 403
    assert said(*json, "Sec-Fetch-Site: cross-site") == 403
    assert said(*json, "Cookie: detic-crop-review=guess") == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert said(f"Content-Type: {kind}", "Content-Length: 2") == 415
    assert said("Content-Length: 2") == 415
    assert said(*json, method="PUT") == said(*json, method="DELETE") == 404
    assert said(method="HEAD", body=b"") in (200, 404, 405)
    assert client.get("/api/apply").json()["phase"] == "idle"
    assert client.live.page.edition == 0
    assert (out / STATE / "journal.jsonl").read_bytes() == before
    # What nobody needs is not waited for: the answer comes before the body.
    assert said(json[0], "Content-Length: 1000000000", body=b"") == 200
    client.applied()
    client.say(client.image(0), "undone")
    assert client.row()["total"] == 3


@pytest.mark.parametrize("value", ["a\0b", "a\x01b", "a\x7fb", "a\rb"])
@pytest.mark.parametrize("name", ["Host", "Origin", "Cookie", "X-Other"])
def test_control_characters_in_headers(client: Client, name: str, value: str) -> None:
    said = answer(opened(client.port, request(client, f"{name}: {value}")))
    assert status(said) in (200, 400, 403, 421)
    assert client.row()["total"] == 3


@pytest.mark.parametrize("method", ODD_METHODS)
def test_unknown_methods(client: Client, method: str) -> None:
    json = ("Content-Type: application/json",)
    assert status(answer(opened(client.port, request(client, *json, method=method)))) in (405, 404, 403, 400)
    outside = f"{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    assert status(answer(opened(client.port, outside))) in (403, 400)


def test_head_has_no_body(client: Client) -> None:
    said = answer(opened(client.port, request(client, method="HEAD", path="")))
    assert status(said) == 200
    assert said.endswith(b"\r\n\r\n")


def test_without_the_secret_no_body_is_read(client: Client) -> None:
    """The answer comes before the body, and the connection ends."""
    data = b"POST /api/verdict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
    connection = opened(client.port, data)
    said = connection.recv(65536)
    assert status(said) == 403
    assert b"connection: close" in said.lower()
    assert refuses_more(connection)


def test_larger_bodies_than_allowed(client: Client) -> None:
    json = ("Content-Type: application/json",)
    size = page._MAX_BODY + 1
    for more in ("Content-Length: 1000000000", "Transfer-Encoding: chunked"):
        data = request(client, *json, more, method="POST", path="api/verdict")
        begin = b"%x\r\n" % size if "chunked" in more else b""
        connection = opened(client.port, data + begin + b" " * size)
        assert status(answer(connection)) == 413


def test_larger_headers_than_allowed(client: Client) -> None:
    assert status(answer(opened(client.port, request(client, f"X-Other: {'x' * 400_000}")))) == 400
    lines = [f"X-{number}: {'x' * 50}" for number in range(9000)]
    assert status(answer(opened(client.port, request(client, *lines)))) == 400
    assert status(answer(opened(client.port, b"G" * 40_000))) == 400


def test_a_body_that_does_not_come(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_LONGEST_BODY", 0.05)
    lines = ("Content-Type: application/json", "Content-Length: 100")
    said = answer(opened(client.port, request(client, *lines, method="POST", path="api/verdict", body=b"{")))
    assert status(said) == 408


def test_a_mistake_of_ours_is_one_line(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("secret\nTraceback")

    monkeypatch.setattr(client.page._rows, "mask", fail)
    said = answer(opened(client.port, request(client, path="api/row")))
    assert status(said) == 500
    assert b"secret" not in said
    until = time.monotonic() + LONG
    while not caplog.records and time.monotonic() < until:  # it is said after the answer
        time.sleep(0.01)
    (record,) = caplog.records
    assert record.getMessage() == "the page could not answer GET /api/row: secret Traceback"
    assert record.exc_info is None
    assert client.get("/api/session").status == 200


@pytest.mark.parametrize("special", ["/proc/self/mem", "/dev/zero", "/proc/self/pagemap", "/proc/kmsg", "."])
def test_a_photo_that_became_a_special_file(client: Client, out: Path, special: str) -> None:
    """A link in the place of a photo is followed; what is there is none."""
    photo = out.parent / "in" / client.image(0)
    kept = photo.rename(photo.with_name("kept"))
    photo.symlink_to(special)
    try:
        path = f"photo/{client.id_of(client.image(0))}"
        assert status(answer(opened(client.port, request(client, path=path)))) == 404
    finally:
        kept.replace(photo)


def test_nonsense_after_a_request(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    for path in ("api/session", "../"):
        said = answer(opened(client.port, request(client, path=path) + b"\0\0\0\r\n\r\n"))
        assert status(said) in (200, 400, 404)
    assert client.row()["total"] == 3
    assert caplog.records == []


# ---------------------------------------------------------------- connections


@pytest.mark.parametrize("said", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_who_asks_for_nothing_is_let_go(client: Client, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(connections, "_PATIENCE", 0.05)
    with contextlib.closing(opened(client.port, said)) as connection:
        assert closed(connection)


def test_a_byte_now_and_then_does_not_help(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_PATIENCE", 0.2)
    with contextlib.closing(opened(client.port, b"GET / HTTP/1.1\r\nX-Slow: ")) as connection:
        connection.settimeout(0.01)
        until = time.monotonic() + LONG
        while time.monotonic() < until:
            try:
                connection.sendall(b"x")
                assert connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                pass
            return
    pytest.fail("it was never closed")


def test_many_idle_connections_keep_nobody_out(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_most", lambda: 8)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(contextlib.closing(opened(client.port, b"GET /"))) for _ in range(60)]
        assert client.row()["total"] == 3
        assert closed(idle[0])  # the oldest go first
        assert client.post({"id": "none", "verdict": "accepted"}).status == 400


@posix
@pytest.mark.slow
def test_idle_connections_and_few_files(out: Path, tmp_path: Path) -> None:
    """More connections than this process may have files: the page answers, and says little."""
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))\n"
        "import sys; from detic_crop.cli.main import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", program, "review", str(out), "--port", "0", "--no-browser"]
    with (
        open(tmp_path / "err", "wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT) as process,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(process.terminate)
        assert process.stdout is not None
        address = re.search(rb"http://127\.0\.0\.1:(\d+)(/\?token=\S+)", process.stdout.readline())
        assert address
        port, path = int(address[1]), address[2].decode()
        for _ in range(150):
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=LONG))
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port), timeout=LONG) as ours:
                ours.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                assert status(ours.recv(65536)) == 303
    assert len((tmp_path / "err").read_bytes()) < 2000


# ---------------------------------------------------------------- by chance


def mutated_requests(client: Client, seed: int) -> Iterator[bytes]:
    """Requests of the page's browser and of others, with bytes and lines changed; without end."""
    body = b'{"id": "x", "verdict": "box", "box": [1, 2, 3, 4]}'
    several = b'{"verdicts": [{"id": "x", "verdict": "accepted", "seen": ""}]}'
    json = ("Content-Type: application/json", f"Content-Length: {len(body)}", "Origin: http://127.0.0.1")
    longer = (json[0], f"Content-Length: {len(several)}")
    whole = [
        request(client),
        request(client, path="api/row?at=x&reviewed=no&label:a=b"),
        request(client, path="api/changes?since=9"),
        request(client, path="api/counts?status=cropped&reviewed=no"),
        request(client, path="api/overview?flag=x"),
        request(client, *json, method="POST", path="api/apply", body=body),
        request(client, *json, method="POST", path="api/reopen", body=body),
        request(client, path="photo/x"),
        request(client, path="static/review.js"),
        request(client, *json, method="POST", path="api/verdict", body=body),
        request(client, path="api/grid?after=x&size=30&individual=a&photos=b,c&reviewed=no"),
        request(client, path="api/grid?ids=x,y"),
        request(client, path="thumb/x/0?v=1"),
        request(client, *longer, method="POST", path="api/verdicts", body=several),
        f"GET /?token={client.token} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    ]
    return mutated(whole, seed)


def test_mutated_requests(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    told = set()
    for _, data in zip(range(300), mutated_requests(client, 1), strict=False):
        if said := answer(opened(client.port, data), 0.05):
            told.add(status(said))
            assert b"Traceback" not in said
    assert told <= {200, 303, 400, 403, 404, 405, 408, 409, 413, 415, 421}
    assert {200, 400, 403} <= told
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert client.row()["total"] == 3
