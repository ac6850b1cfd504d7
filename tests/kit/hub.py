"""A loopback server that speaks as much of the hub's API as pulling a model needs."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.kit.servers import QuietHandler, loopback_server


@dataclass
class FakeHub:
    """What the server has, and what was asked of it.

    Attributes:
        id: ``OWNER/NAME`` of its only model.
        files: name → bytes; those that end in ``.safetensors`` are kept as the hub keeps large files.
        commit: the commit that every revision means.
        revisions: names that are known beside the commit.
        refusal: status code and error word with which everything is answered, if any.
        break_after: bytes after which a download of a large file is dropped, as often as `breaks` says.
        breaks: how many more downloads are dropped.
        sent: bytes that were sent of each file.
        asked: requests by method and path.
        address: ``http://127.0.0.1:PORT``.
    """

    id: str
    files: dict[str, bytes]
    commit: str = "0123456789abcdef" * 2 + "01234567"
    revisions: tuple[str, ...] = ("main",)
    refusal: tuple[int, str] | None = None
    break_after: int = 1000
    breaks: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    address: str = ""

    def listing(self) -> dict[str, object]:
        """The model as the API describes it."""
        siblings = []
        for name, data in self.files.items():
            git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
            one: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": git}
            if name.endswith(".safetensors"):
                sha256 = hashlib.sha256(data).hexdigest()
                one |= {"lfs": {"sha256": sha256, "size": len(data), "pointerSize": 134}}
            siblings.append(one)
        return {
            "id": self.id,
            "modelId": self.id,
            "sha": self.commit,
            "private": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "siblings": siblings,
            "cardData": {"license": "apache-2.0"},
        }


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by name."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@contextlib.contextmanager
def hub_server(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve a model until the block ends."""

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            hub.asked[f"{self.command} {path}"] += 1
            api, resolve = f"/api/models/{hub.id}", f"/{hub.id}/resolve/"
            if hub.refusal is not None:
                self.refuse(*hub.refusal)
            elif path == api:
                self.send_json(hub.listing())
            elif path.startswith(f"{api}/revision/"):
                revision = path.removeprefix(f"{api}/revision/").replace("%2F", "/")
                known = revision in (hub.commit, *hub.revisions)
                self.send_json(hub.listing()) if known else self.refuse(404, "RevisionNotFound")
            elif path.startswith(resolve):
                _, _, name = path.removeprefix(resolve).partition("/")
                self.send_file(name, with_body) if name in hub.files else self.refuse(404, "EntryNotFound")
            else:
                self.refuse(404, "RepoNotFound")

        def refuse(self, status: int, word: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", word)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send_json(self, value: object) -> None:
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def send_file(self, name: str, with_body: bool) -> None:
            data = hub.files[name]
            is_large = name.endswith(".safetensors")
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
            self.send_response(206 if start else 200)
            etag = hashlib.sha256(data).hexdigest() if is_large else f"{name}-{len(data)}"
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", hub.commit)
            if is_large:
                self.send_header("X-Linked-Etag", f'"{etag}"')
                self.send_header("X-Linked-Size", str(len(data)))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            if not with_body:
                return
            body = data[start:]
            if is_large and hub.breaks:
                hub.breaks -= 1
                body = body[: hub.break_after]
                self.close_connection = True
            hub.sent[name] += len(body)
            self.wfile.write(body)

    with loopback_server(Handler) as port:
        hub.address = f"http://127.0.0.1:{port}"
        yield hub
