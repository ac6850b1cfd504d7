"""The app, answering while a test looks at it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detic_crop.app.jobs import Jobs
from detic_crop.app.reviews import Reviews
from detic_crop.app.roots import Roots
from detic_crop.app.service import Service
from detic_crop.app.site import BODIES, make_site
from detic_crop.commands.crop_posted import PhotoCropper
from detic_crop.web.guard import Guard, Programs
from detic_crop.web.server import listen, make_server
from tests.kit.review import Answer

PATIENCE = 600.0  # seconds that are never needed


@dataclass(frozen=True)
class AppClient:
    """Talks to the app as a program would, unless told otherwise."""

    port: int
    guard: Guard
    service: Service

    @property
    def cookie(self) -> str:
        """What the page's browser sends."""
        return f"detic-crop-app-{self.port}={self.guard.secret}"

    @property
    def as_page(self) -> dict[str, str | None]:
        """Headers of the page's browser."""
        return {"Cookie": self.cookie, "Authorization": None, "Content-Type": "application/json"}

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Answer:
        """A request; a header of None is left out; the path goes as it stands."""
        given: dict[str, str | None] = {
            "Host": f"127.0.0.1:{self.port}",
            "Authorization": f"Bearer {self.guard.token}",
        }
        given |= headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                if value is not None:
                    connection.putheader(name, value)
            if body is not None or method == "POST":
                connection.putheader("Content-Length", str(len(body or b"")))
            connection.endheaders(body)
            answer = connection.getresponse()
            headers_back = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, headers_back, answer.read())

    def api(self, method: str, path: str, value: Any = None) -> Any:
        """What the API answers; an error of it fails the test."""
        answer = self.told(method, path, value)
        assert answer.status in (200, 201), (answer.status, answer.body)
        return json.loads(answer.body)

    def told(self, method: str, path: str, value: Any = None) -> Answer:
        """What the API answers, with its status."""
        body = None if value is None else json.dumps(value).encode()
        return self.ask(method, f"/api/v1{path}", body, {"Content-Type": "application/json"})

    def refused(self, method: str, path: str, value: Any = None) -> tuple[int, str]:
        """Status and code of a refusal, which must be one line."""
        answer = self.told(method, path, value)
        error = json.loads(answer.body)["error"]
        assert error["message"]
        assert "\n" not in error["message"]
        return answer.status, error["code"]

    def until(self, number: int, *states: str) -> Any:
        """The job once it is in one of some states."""
        until = time.monotonic() + PATIENCE
        while (job := self.api("GET", f"/jobs/{number}"))["state"] not in states:
            assert time.monotonic() < until, job
            assert states == ("ended",) or job["state"] not in ("failed",), job
            time.sleep(0.05)
        return job


@contextlib.contextmanager
def serving(
    roots: Sequence[Path], state: Path, *, at_once: int = 1, token: str | None = None, work: bool = True
) -> Iterator[AppClient]:
    """The app on a free port, until the block ends.

    Args:
        roots: folders that may be chosen from.
        state: where its jobs are.
        at_once: jobs at work at once.
        token: what programs show; None: a random one.
        work: whether jobs are begun.
    """
    jobs = Jobs(state, at_once)
    allowed = Roots(roots, [state])
    service = Service(allowed, jobs, Reviews(allowed, jobs), PhotoCropper(), "tester")
    listener = listen("127.0.0.1", 0)
    programs = Programs(token, BODIES)
    server, guard = make_server(make_site(service), "app", listener, "127.0.0.1", programs)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    if work:
        jobs.start()
    try:
        yield AppClient(listener.getsockname()[1], guard, service)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        service.cropper.close()
        jobs.close()
