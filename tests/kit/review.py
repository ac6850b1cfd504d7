"""A review page that answers while a test looks at it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from detic_crop.commands.review import open_live
from detic_crop.folder.folder import OutputFolder
from detic_crop.review_page.live import LivePage
from detic_crop.review_page.page import ReviewPage
from detic_crop.web.guard import Guard
from detic_crop.web.server import listen, make_server

LONG = 120.0  # seconds that are never needed


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body."""
        assert self.status == 200, (self.status, self.body)
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """Talks to the page as its own browser would, unless told otherwise."""

    port: int
    token: str
    live: LivePage
    guard: Guard
    cookie: str
    room: str

    @property
    def page(self) -> ReviewPage:
        """The page as it was opened last."""
        return self.live.page

    @property
    def address(self) -> str:
        """What `detic-crop review` prints."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """A request below the page's folder; a header of None is left out; the path goes as it stands."""
        return self.ask_outside(method, self.room.removesuffix("/") + path, body, headers)

    def ask_outside(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """`ask` for a path that begins where the server's do."""
        given: dict[str, str | None] = {"Host": f"127.0.0.1:{self.port}", "Cookie": self.cookie}
        given |= headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                if value is not None:
                    connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            headers_back = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, headers_back, answer.read())

    def get(self, path: str, **headers: str | None) -> Answer:
        """GET; header names with _ for -."""
        return self.ask(
            "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    def get_outside(self, path: str, **headers: str | None) -> Answer:
        """`get` for a path that begins where the server's do."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask_outside("GET", path, headers=given)

    def post(self, value: Any, **headers: str | None) -> Answer:
        """POST a verdict."""
        return self.post_to("/api/verdict", value, **headers)

    def post_to(self, path: str, value: Any, **headers: str | None) -> Answer:
        """POST to an address of the page."""
        given = {"Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}  # type: ignore[misc]
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.ask("POST", path, body, given)

    def say(self, image: str, verdict: str, box: object = None) -> Answer:
        """Give a verdict on a photo named in full."""
        return self.post({"id": self.id_of(image), "verdict": verdict, "box": box})

    def apply(self) -> Answer:
        """Begin to apply the verdicts."""
        return self.post_to("/api/apply", {})

    def applied(self) -> Any:
        """What the page says of it once it is over."""
        until = time.monotonic() + LONG
        while (state := self.get("/api/apply").json())["is_running"]:
            assert time.monotonic() < until, state
            time.sleep(0.01)
        return state

    def overview(self, **query: str) -> Any:
        """What the page says of all photos."""
        return self.get("/api/overview?" + urlencode(query)).json()

    def id_of(self, image: str) -> str:
        """The page's address of a photo."""
        return next(id for id, rank in self.page._rows.rank_of.items() if self.image(rank) == image)

    def image(self, rank: int) -> str:
        """The photo of a rank."""
        return self.page._rows.photos[rank].record.image

    def row(self, **query: str) -> Any:
        """What the page knows of a photo."""
        return self.get("/api/row?" + "&".join(f"{name}={value}" for name, value in query.items())).json()


@contextlib.contextmanager
def reviewing(
    out: Path, input: Path | None = None, reviewer: str = "tester", *, blind: bool = False
) -> Iterator[Client]:
    """The page of a folder on a free port, until the block ends."""
    live = open_live(OutputFolder(out), input, reviewer, blind=blind)
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server, guard = make_server(live.app(), "review", listener, "127.0.0.1")
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        cookie = f"detic-crop-review-{port}={guard.secret}"
        yield Client(port, guard.secret, live, guard, cookie, guard.room)
    finally:
        live.end()
        server.should_exit = True
        thread.join()
        listener.close()
