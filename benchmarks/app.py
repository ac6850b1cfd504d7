"""How fast is `POST /crop` beside a plain loop? `python -m benchmarks.app [PHOTOS] [--clients 8]`.

Both crop the same bytes, in turns: eight clients that post to `detic-crop app`, and a loop around
`detic_crop.crop_photo` in this process. Prints photos a second by the clock, processor time, the ratio of
each round, failures, and the memory of the server. Without PHOTOS it makes some, of 4.6 MP on average.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import psutil

import detic_crop
from benchmarks.busy import Others
from benchmarks.photos import describe, read_photos, write_photos
from detic_crop.app.child import TOKEN_VARIABLE

TOKEN = "a-token-of-the-benchmark"


class Took(NamedTuple):
    """Seconds of one turn: by the clock, and of all processors."""

    wall: float
    processors: float
    failures: int = 0


def plain_loop(photos: Sequence[bytes], model: str) -> Took:
    """Crop one after the other, as anybody would write it."""
    wall, processors = time.perf_counter(), time.process_time()
    for data in photos:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        result = detic_crop.crop_photo(np.asarray(image, np.uint8), model)
        cv2.imencode(".jpg", result.crop, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return Took(time.perf_counter() - wall, time.process_time() - processors)


def posted(photos: Sequence[bytes], port: int, model: str, clients: int, server: psutil.Process) -> Took:
    """Post each photo once, from several clients at a time."""

    def post(data: bytes) -> bool:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "image/jpeg"}
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=600)) as connection:
            connection.request("POST", f"/api/v1/crop?model={model}", data, headers)
            answer = connection.getresponse()
            body = answer.read()
        return answer.status == 200 and json.loads(body)["crop"] is not None

    wall, before = time.perf_counter(), server.cpu_times()
    with ThreadPoolExecutor(clients) as pool:
        good = sum(pool.map(post, photos))
    after = server.cpu_times()
    used = after.user + after.system - before.user - before.system
    return Took(time.perf_counter() - wall, used, len(photos) - good)


def measure(photos: Sequence[bytes], port: int, pid: int, given: argparse.Namespace) -> None:
    """Rounds of both, after one of each that does not count."""
    server = psutil.Process(pid)
    plain_loop(photos[:2], given.model)
    posted(photos[: 2 * given.clients], port, given.model, given.clients, server)
    memory = [server.memory_info().rss]
    ratios, by_processor = [], []
    for number in range(given.rounds):
        with Others(server) as others:
            loop = plain_loop(photos, given.model)
            app = posted(photos, port, given.model, given.clients, server)
        memory.append(server.memory_info().rss)
        ratios.append(loop.wall / app.wall)
        by_processor.append(loop.processors / app.processors)
        count = len(photos)
        print(
            f"round {number + 1}: loop {count / loop.wall:.2f}/s, app {count / app.wall:.2f}/s, ratio "
            f"{ratios[-1]:.2f}; processor time a photo: loop {loop.processors / count:.2f} s, app "
            f"{app.processors / count:.2f} s; failures {app.failures}; server {memory[-1] / 1e6:.0f} MB; "
            f"{others}",
            flush=True,
        )
    print(f"throughput, app / loop: median {statistics.median(ratios):.2f} of {given.rounds} rounds")
    print(f"processor time, loop / app: median {statistics.median(by_processor):.2f}")
    print("memory of the server, MB: " + ", ".join(f"{size / 1e6:.0f}" for size in memory))


def main() -> None:
    """Read the arguments, start the server, measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("photos", nargs="?", type=Path)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="lite")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.photos is None:
            paths = write_photos(folder / "photos", given.count)
        else:
            paths = read_photos(given.photos.resolve(), given.count)
        print(describe(paths))
        photos = [path.read_bytes() for path in paths]
        command = [sys.executable, "-m", "detic_crop", "app", "--root", name, "--port", "0", "--no-browser"]
        command += ["--state", str(folder / "state")]
        environment = {**os.environ, TOKEN_VARIABLE: TOKEN}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
            try:
                assert process.stdout is not None
                found = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
                assert found
                measure(photos, int(found[1]), process.pid, given)
            finally:
                process.terminate()


if __name__ == "__main__":
    main()
