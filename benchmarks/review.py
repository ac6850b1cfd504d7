"""How quick is the review page? `python -m benchmarks.review [--rows 80000]`.

Writes the folder of a long run (8 photos of 4.6 MP stand behind all rows), starts `detic-crop review` on it
and asks as the page does, over loopback. Prints milliseconds: median and worst of the steps.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.kit.big_run import write_big_run

STEPS = 60


class Page:
    """One connection that stays open, as a browser's does."""

    def __init__(self, address: str) -> None:
        match = re.search(r"http://([\d.]+):(\d+)/\?token=(\S+)", address)
        assert match, address
        self.connection = http.client.HTTPConnection(match[1], int(match[2]))
        self.connection.request("GET", f"/?token={match[3]}")
        answer = self.connection.getresponse()
        answer.read()
        self.folder = answer.headers["Location"].removesuffix("/")
        self.cookie = answer.headers["Set-Cookie"].split(";")[0]

    def ask(self, path: str, value: Any = None) -> bytes:
        """GET, or POST with a value, below the page's folder."""
        headers = {"Cookie": self.cookie, "Content-Type": "application/json"}
        body = None if value is None else json.dumps(value)
        self.connection.request("GET" if value is None else "POST", self.folder + path, body, headers)
        answer = self.connection.getresponse()
        data = answer.read()
        assert answer.status == 200, (path, answer.status, data)
        return data

    def row(self, query: str = "") -> Any:
        """What the page knows of one photo."""
        return json.loads(self.ask(f"/api/row?{query}"))


def milliseconds(function: Callable[..., object], *arguments: object) -> float:
    """Wall time of one call."""
    begun = time.perf_counter()
    function(*arguments)
    return 1000 * (time.perf_counter() - begun)


def show(name: str, times: list[float]) -> None:
    """One line."""
    print(f"{name:48} {statistics.median(times):9.1f} {max(times):9.1f}")


def first_page(page: Page) -> None:
    """All that the browser asks for before the first photo is seen."""
    page.ask("/")
    for name in ("review.css", "review.js", "boxes.js", "drafts.js", "drawing.js"):
        page.ask(f"/static/{name}")
    page.ask("/api/session")
    shown = page.row()["row"]["id"]
    page.ask(f"/photo/{shown}")
    page.ask(f"/crop/{shown}")


def measure(page: Page) -> None:
    """Every kind of step, many times."""
    print(f"{'ms':48} {'median':>9} {'worst':>9}")
    show("first page, with its photo", [milliseconds(first_page, page)])
    at = page.row()["row"]["id"]
    steps, photos, verdicts = [], [], []
    for number in range(STEPS):
        answer = page.row(f"at={at}")
        verdict = {"id": at, "verdict": "accepted"}
        verdicts.append(milliseconds(page.ask, "/api/verdict?", verdict))
        at = answer["next"]
        steps.append(milliseconds(page.row, f"at={at}"))
        if number < 8:  # later ones are remembered
            photos.append(milliseconds(page.ask, f"/photo/{at}"))
    show("verdict, on disk", verdicts)
    show("next photo: what is known of it", steps)
    show("next photo: its picture, 4.6 MP (fetched ahead)", photos)
    for query in ("status=resized", "flag=touches_edge", "label%3Aspecies=orca", "reviewed=no&class=Whale"):
        show(f"filter {query}", [milliseconds(page.row, query) for _ in range(10)])
    show("jump by name", [milliseconds(page.ask, "/api/find?q=IMG_0799") for _ in range(10)])
    show("what other tabs said", [milliseconds(page.ask, "/api/changes?since=0") for _ in range(10)])


def main() -> None:
    """Write, start, measure, stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=80_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        out = write_big_run(Path(folder), rows, width=2624, height=1752)
        command = [sys.executable, "-m", "detic_crop", "review", str(out), "--no-browser", "--port", "0"]
        begun = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            page = Page(process.stdout.readline())
            print(f"{rows:,} rows; from the command to its address: {time.perf_counter() - begun:.1f} s")
            with closing(page.connection):
                measure(page)
            process.terminate()


if __name__ == "__main__":
    main()
