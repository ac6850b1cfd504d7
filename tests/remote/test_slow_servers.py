"""A photo of a slow server has a time in all: then it is a failed row, and the next run tries again."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detic_crop.cli import main as cli
from detic_crop.stores import store as store_module
from detic_crop.stores.store import Asking, OutOfTimeError, Store, TimeLeft
from tests.kit.folders import crop, rows_of
from tests.kit.photos import write_photo

pytest.importorskip("aiohttp")

_DRIP = 0.02  # seconds between two bytes; never as long as any limit of a read


class Dripping(socketserver.ThreadingTCPServer):
    """Sends its answer byte by byte from some byte on, and for ever spaces behind it, until it is hurried.

    Attributes:
        body: the photo.
        slow_from: part of the answer that comes slowly: ``head``, ``body`` or ``tail``; empty for none.
        begun: set once bytes are dripping.
    """

    daemon_threads = True
    body = b""
    slow_from = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.begun, self.closing = threading.Event(), threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/photo.jpg"


class _Handler(socketserver.StreamRequestHandler):
    server: Dripping

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        server = self.server
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(server.body)}\r\nConnection: close\r\n".encode()
        whole = head + b"\r\n" + server.body
        quick = {"head": 20, "body": len(head) + 10, "tail": len(whole) - 5, "": len(whole)}[server.slow_from]
        self.wfile.write(whole[:quick])
        slow = whole[quick:] if server.slow_from == "body" else whole[quick:][:3]
        if server.slow_from == "head":
            slow = b"X-More: " + b"x" * 4000
        for byte in slow:
            self.server.begun.set()
            if self.server.closing.wait(_DRIP):
                return
            self.wfile.write(bytes([byte]))
        if server.slow_from:
            self.server.closing.wait()


@pytest.fixture
def server() -> Iterator[Dripping]:
    with Dripping() as dripping:
        threading.Thread(target=dripping.serve_forever, daemon=True).start()
        yield dripping
        dripping.closing.set()
        dripping.shutdown()


@pytest.mark.parametrize("part", ["head", "body", "tail"])
def test_a_byte_now_and_then_is_not_waited_for(server: Dripping, part: str, tmp_path: Path) -> None:
    write_photo(tmp_path / "photo.jpg", 3)
    server.body = (tmp_path / "photo.jpg").read_bytes()
    server.slow_from = part
    (tmp_path / "list.txt").write_text(server.address + "\n")
    crop(tmp_path / "list.txt", tmp_path / "out", photo_timeout=0.5)
    (row,) = rows_of(tmp_path / "out")
    assert server.begun.is_set()
    assert (row["status"], row["reason"]) == ("failed", "timeout")
    assert "within 0.5 s" in row["error"]
    assert "--photo-timeout" in row["error"]
    server.slow_from = ""
    crop(tmp_path / "list.txt", tmp_path / "out")
    (row,) = rows_of(tmp_path / "out")
    assert row["status"] != "failed", row["error"]


def test_the_option_of_the_command_line(server: Dripping, tmp_path: Path) -> None:
    write_photo(tmp_path / "photo.jpg", 3)
    server.body = (tmp_path / "photo.jpg").read_bytes()
    server.slow_from = "body"
    (tmp_path / "list.txt").write_text(server.address + "\n")
    (tmp_path / "boxes.csv").write_text("image,xmin,ymin,xmax,ymax\nphoto.jpg,1,1,30,20\n")
    command = ["run", "--in", str(tmp_path / "list.txt"), "--out", str(tmp_path / "out"), "--quiet"]
    boxes = ["--model", f"boxes:{tmp_path / 'boxes.csv'}"]
    assert cli.main([*command, *boxes, "--photo-timeout", "500ms"]) == 2
    assert cli.main([*command, *boxes, "--photo-timeout", "0.5s", "--strict"]) == 3
    assert [row["reason"] for row in rows_of(tmp_path / "out")] == ["timeout"]


# ---------------------------------------------------------------- tries, with a clock of our own


class Clock:
    """Time that passes when somebody sleeps or asks the store."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Failing:
    """A store whose every answer takes some seconds, and is an error but for the last one."""

    def __init__(self, clock: Clock, seconds: float, failures: int) -> None:
        self.clock, self.seconds, self.failures, self.asked = clock, seconds, failures, 0

    def _strip_protocol(self, address: str) -> str:
        return address

    def cat_file(self, path: str, **given: Any) -> bytes:
        self.asked += 1
        self.clock.now += self.seconds
        if self.asked <= self.failures:
            raise ConnectionResetError("reset")
        return b"photo"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(store_module, "time", clock)
    return clock


@pytest.mark.parametrize("seconds", [0.0, 1.0, 25.0, 59.0, 70.0])
def test_tries_fit_into_the_time(clock: Clock, seconds: float) -> None:
    failing = Failing(clock, seconds, 1000)
    store = Store("s3", failing).asked(Asking(time=TimeLeft(60)))
    with pytest.raises(OSError, match="within 60 s" if seconds > 10 else "reset") as caught:
        store.read("s3://bucket/photo.jpg")
    assert isinstance(caught.value, OutOfTimeError) == (seconds > 10)
    assert failing.asked == (6 if seconds < 10 else 3 if seconds == 25 else 2 if seconds == 59 else 1)
    assert clock.now < 60 + seconds


def test_requests_for_one_photo_share_its_time(clock: Clock) -> None:
    store = Store("s3", Failing(clock, 25.0, 0)).asked(Asking(time=TimeLeft(60)))
    assert store.read("s3://bucket/photo.jpg") == b"photo"
    clock.now += 1000  # waiting for memory is nobody's fault
    assert store.read("s3://bucket/photo.jpg") == b"photo"
    assert store.time is not None
    assert store.time.left == 10
