"""Loopback servers for the tests: a web server that can stumble, and an S3 of one process."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote
from urllib.request import Request, urlopen

import fsspec  # type: ignore[import-untyped]
import pytest

from detic_crop.stores import store as stores


@dataclass
class Web:
    """What a web server serves, and what was asked of it.

    Attributes:
        files: path with its ``/`` → bytes.
        answers: path → status codes to answer with first, one a request; 0 breaks the connection.
        asked: requests of each path with its query.
        agent: what the last one called itself.
        signature: without this query all is refused, if it is not empty.
        address: ``http://127.0.0.1:PORT``.
    """

    files: Mapping[str, bytes]
    answers: dict[str, list[int]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    agent: str = ""
    signature: str = ""
    address: str = ""


class QuietHandler(BaseHTTPRequestHandler):
    """Prints nothing of what it is asked."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def loopback_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """A server on this machine's own address, until the block ends: its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def web_server(files: Mapping[str, bytes]) -> Iterator[Web]:
    """A web server of `files`, until the block ends."""
    web = Web(files)

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            web.asked[self.path] += 1
            web.agent = self.headers["User-Agent"]
            path, _, query = self.path.partition("?")
            path = unquote(path)
            waiting = web.answers.get(path)
            status = waiting.pop(0) if waiting else 200 if path in web.files else 404
            if web.signature not in ("", query):
                status = 403
            body = web.files[path] if status == 200 else b"no"
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with loopback_server(Handler) as port:
        web.address = f"http://127.0.0.1:{port}"
        yield web


@contextlib.contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch, bucket: str) -> Iterator[stores.Store]:
    """A store with an empty bucket, which ``s3://`` means until the block ends."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    forget_stores()
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()  # of earlier tests
    try:
        store = stores.store_of("s3://")
        store.fs.mkdir(bucket)
        yield store
    finally:
        forget_stores()
        server.stop()


def forget_stores() -> None:
    """Let the next address find its store anew."""
    stores._store.cache_clear()
    for name in ("s3", "http", "memory"):
        with contextlib.suppress(ImportError):
            fsspec.get_filesystem_class(name).clear_instance_cache()


@contextlib.contextmanager
def memory_store() -> Iterator[stores.Store]:
    """An empty ``memory://``."""
    store = stores.store_of("memory://")
    store.fs.store.clear()
    store.fs.pseudo_dirs[:] = [""]
    yield store
    store.fs.store.clear()


@contextlib.contextmanager
def endless_server(start: bytes, size: int | None = None) -> Iterator[str]:
    """A web server whose every answer begins with `start` and never ends, until the block does: its address.

    Args:
        start: first bytes of each answer.
        size: how long it says that the answer is; None: it does not say.
    """
    ended = threading.Event()

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if size is not None:
                self.send_header("Content-Length", str(size))
            self.end_headers()
            with contextlib.suppress(OSError):  # the other side has had enough
                self.wfile.write(start)
                while not ended.is_set():
                    self.wfile.write(bytes(1 << 16))

    with loopback_server(Handler) as port:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            ended.set()
