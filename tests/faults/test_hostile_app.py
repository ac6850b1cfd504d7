"""Requests to the app from whoever can reach its port, by the page's way in and by that of programs."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from detic_crop.app import endpoint, routes
from detic_crop.web import answers, connections
from tests.kit.app import AppClient, serving
from tests.kit.folders import crop
from tests.kit.photos import write_photos
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
    whole_answer,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile")
    write_photos(root / "photos", 3)
    crop(root / "photos", root / "cropped")
    (root / "boxes.csv").write_text("image,xmin,ymin,xmax,ymax\nphoto000.jpg,5,5,30,30\n")
    return root


@dataclass(frozen=True)
class Way:
    """How a request comes in.

    Attributes:
        client: the app.
        room: what addresses begin with.
        secret: the header line that opens it.
        kept_out: status without it.
    """

    client: AppClient
    room: str
    secret: str
    kept_out: int

    def request(
        self,
        *lines: str,
        method: str = "GET",
        path: str = "api/v1/about",
        body: bytes = b"",
        secret: bool = True,
    ) -> bytes:
        """A request, with more or other header lines."""
        headers = {"host": f"Host: 127.0.0.1:{self.client.port}"}
        headers |= {"secret": self.secret} if secret else {}
        headers |= {line.partition(":")[0].lower(): line for line in lines}
        start = f"{method} {self.room}{path} HTTP/1.1"
        return "\r\n".join([start, *headers.values(), "", ""]).encode("latin-1") + body

    def send(self, data: bytes) -> bytes:
        """What comes back, with its body."""
        return whole_answer(opened(self.client.port, data))


@pytest.fixture(params=["page", "program"])
def way(request: pytest.FixtureRequest, data: Path, tmp_path: Path) -> Iterator[Way]:
    with serving([data], tmp_path / "state", work=False) as client:
        if request.param == "page":
            yield Way(client, client.guard.room, f"Cookie: {client.cookie}", 403)
        else:
            yield Way(client, "/", f"Authorization: Bearer {client.guard.token}", 401)


JSON = "Content-Type: application/json"


def is_well(way: Way) -> bool:
    """Whether it answers its own client."""
    return status(way.send(way.request())) == 200


def error_of(said: bytes) -> str:
    """The code of a refusal, which is one line of JSON."""
    error = json.loads(said.partition(b"\r\n\r\n")[2])["error"]
    assert "\n" not in error["message"]
    return str(error["code"])


# ---------------------------------------------------------------- single requests


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_hosts_that_only_look_like_ours(way: Way, host: str) -> None:
    data = way.request().replace(f"127.0.0.1:{way.client.port}".encode(), host.encode())
    assert status(way.send(data)) in (400, 421)


@pytest.mark.parametrize("origin", BAD_ORIGINS)
def test_origins_of_other_sites(way: Way, origin: str, caplog: pytest.LogCaptureFixture) -> None:
    data = way.request(
        JSON, "Content-Length: 2", f"Origin: {origin}", method="POST", path="api/v1/jobs", body=b"{}"
    )
    assert status(way.send(data)) == 403
    assert way.client.api("GET", "/jobs") == []
    assert caplog.records == []


def test_nobody_comes_without_the_secret(way: Way) -> None:
    said = way.send(way.request(secret=False))
    assert status(said) == way.kept_out
    assert error_of(said) == "refused" if way.room == "/" else b"/" in said


@pytest.mark.parametrize("value", ["a\0b", "a\x01b", "a\x7fb", "a\rb"])
@pytest.mark.parametrize("name", ["Host", "Origin", "Cookie", "Authorization", "Accept", "X-Other"])
def test_control_characters_in_headers(way: Way, name: str, value: str) -> None:
    assert status(way.send(way.request(f"{name}: {value}"))) in (200, 400, 401, 403, 421)
    assert is_well(way)


@pytest.mark.parametrize("method", ODD_METHODS)
def test_unknown_methods(way: Way, method: str) -> None:
    assert status(way.send(way.request(JSON, method=method))) in (405, 404, 403, 400)
    assert is_well(way)


def test_without_the_secret_no_body_is_read(way: Way) -> None:
    """The answer comes before the body, and the connection ends."""
    data = way.request(JSON, "Content-Length: 1000000000", method="POST", path="api/v1/crop", secret=False)
    connection = opened(way.client.port, data)
    said = connection.recv(65536)
    assert status(said) == way.kept_out
    assert b"connection: close" in said.lower()
    assert refuses_more(connection)


@pytest.mark.parametrize("more", ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
def test_larger_documents_than_allowed(way: Way, more: str) -> None:
    size = endpoint.MAX_DOCUMENT + 1
    data = way.request(JSON, more, method="POST", path="api/v1/jobs")
    begin = b"%x\r\n" % size if "chunked" in more else b""
    said = way.send(data + begin + b" " * size)
    assert (status(said), error_of(said)) == (413, "bad_body")


def test_a_photo_that_is_said_to_be_too_large(way: Way) -> None:
    """It is refused before it comes."""
    kind = "Content-Type: image/jpeg"
    said = way.send(way.request(kind, "Content-Length: 1000000000", method="POST", path="api/v1/crop"))
    assert (status(said), error_of(said)) == (413, "too_large")


def test_a_body_that_does_not_come(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_LONGEST_BODY", 0.05)
    data = way.request(JSON, "Content-Length: 100", method="POST", path="api/v1/jobs", body=b"{")
    assert status(way.send(data)) == 408


def test_larger_headers_than_allowed(way: Way) -> None:
    assert status(way.send(way.request(f"X-Other: {'x' * 400_000}"))) == 400
    assert is_well(way)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"NaN",
        b'"\\ud800"',
        b"\xff\xfe",
        b"9" * 9000,
        b'{"path": 1e999}',
    ],
)
def test_documents_that_are_none(way: Way, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    for path in ("jobs", "folders", "reviews"):
        length = f"Content-Length: {len(body)}"
        said = way.send(way.request(JSON, length, method="POST", path=f"api/v1/{path}", body=body))
        assert (status(said), error_of(said)) == (400, "bad_body")
    assert caplog.records == []


@pytest.mark.parametrize(
    "path",
    [
        "%00",
        "\\..\\..",
        "%2e%2e/%2e%2e",
        "..%2f..%2fetc",
        "/proc/self/root/etc",
        "/dev",
        "a" * 5000,
        "%ff%fe",
        "~",
    ],
)
def test_paths_that_lead_nowhere_or_outside(way: Way, path: str, caplog: pytest.LogCaptureFixture) -> None:
    said = way.send(way.request(path=f"api/v1/folders?path={path}"))
    assert status(said) in (400, 403, 404)
    assert error_of(said) in ("bad_path", "outside_root", "no_such_folder", "hidden")
    assert caplog.records == []


@pytest.mark.parametrize(
    "path",
    ["static/../site.py", "static/%2e%2e/site.py", "static/..%2fsite.py", "static/app.py", "review/x/../../"],
)
def test_files_of_the_program_are_not_served(way: Way, path: str) -> None:
    said = way.send(way.request(path=path))
    assert status(said) in (401, 403, 404, 307)
    assert b"import" not in said


def test_a_mistake_of_ours_is_one_line(
    way: Way, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("secret\nTraceback")

    monkeypatch.setattr(routes, "RootView", fail)
    said = way.send(way.request())
    assert (status(said), error_of(said)) == (500, "our_mistake")
    assert b"secret" not in said
    until = time.monotonic() + LONG
    while not caplog.records and time.monotonic() < until:  # it is said after the answer
        time.sleep(0.01)
    (record,) = caplog.records
    assert record.getMessage() == "the page could not answer GET /api/v1/about: secret Traceback"
    assert record.exc_info is None


def test_nonsense_after_a_request(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    for path in ("api/v1/about", "../"):
        said = way.send(way.request(path=path) + b"\0\0\0\r\n\r\n")
        assert status(said) in (200, 400, 403, 404)
    assert is_well(way)
    assert caplog.records == []


# ---------------------------------------------------------------- connections


@pytest.mark.parametrize("said", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_who_asks_for_nothing_is_let_go(way: Way, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(connections, "_PATIENCE", 0.05)
    with contextlib.closing(opened(way.client.port, said)) as connection:
        assert closed(connection)


def test_many_idle_connections_keep_nobody_out(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_most", lambda: 8)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(contextlib.closing(opened(way.client.port, b"GET /"))) for _ in range(60)]
        assert is_well(way)
        assert closed(idle[0])  # the oldest go first


def test_a_client_that_goes_before_its_crop_comes(way: Way, data: Path) -> None:
    """Its place is free again, and nobody else notices."""
    photo = (data / "photos" / "photo000.jpg").read_bytes()
    lines = ("Content-Type: image/jpeg", f"Content-Length: {len(photo)}")
    for cut in (0, len(photo) // 2, len(photo)):
        request = way.request(
            *lines, method="POST", path="api/v1/crop?model=boxes:boxes.csv", body=photo[:cut]
        )
        connection = opened(way.client.port, request)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
    whole = way.request(*lines, method="POST", path="api/v1/crop?model=boxes:boxes.csv", body=photo)
    assert status(way.send(whole)) == 200


# ---------------------------------------------------------------- by chance


def test_mutated_requests(way: Way, data: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    job = b'{"command": "run", "input": "photos", "output": "new", "settings": {"size": "64"}}'
    photo = (data / "photos" / "photo000.jpg").read_bytes()
    posted = (f"Content-Length: {len(job)}", f"Origin: http://127.0.0.1:{way.client.port}")
    whole = [
        way.request(),
        way.request(path="api/v1/folders?path=photos"),
        way.request(path="api/v1/results?path=cropped"),
        way.request(path="api/v1/jobs/1/log?most=9"),
        way.request(JSON, *posted, method="POST", path="api/v1/jobs", body=job),
        way.request(JSON, "Content-Length: 2", method="POST", path="api/v1/jobs/1/stop", body=b"{}"),
        way.request(
            "Content-Type: image/jpeg",
            f"Content-Length: {len(photo)}",
            method="POST",
            path="api/v1/crop?model=boxes:boxes.csv&size=64",
            body=photo,
        ),
    ]
    told = set()
    for _, request in zip(range(250), mutated(whole, 1), strict=False):
        if said := answer(opened(way.client.port, request), 0.05):
            told.add(status(said))
            assert b"Traceback" not in said
    known = {200, 201, 204, 303, 307, 400, 401, 403, 404, 405, 408, 409, 413, 415, 421, 422, 503}
    assert told <= known
    assert {200, 400, way.kept_out} <= told
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert is_well(way)
