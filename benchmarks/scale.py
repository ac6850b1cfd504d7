"""Past one machine: shards and Ray on this machine's cores against one process, faults, ten million photos.

    python -m benchmarks.scale [PART ...] [--folder FOLDER] [--photos N] [--rounds N] [--flat-photos N]

Parts: efficiency, transfer, faults, paper, flat; all of them by default. The detector computes: it multiplies
matrices on one thread until the processor time that it was calibrated to, 200 ms, is spent. One that sleeps
would let two processes share one core and look perfect. Exit code 1 when a target is missed or a fault cost
anything.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import psutil
from msgspec.structs import replace
from numpy.typing import NDArray

from benchmarks import flat
from benchmarks.photos import write_photos
from detic_crop import api
from detic_crop.boxes.detections import Detections
from detic_crop.detectors.base import DetectorInfo
from detic_crop.folder import mirror
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import replay
from detic_crop.folder.records import Record
from detic_crop.folder.shard import owner
from detic_crop.folder.state import Given, save_listing
from detic_crop.photos.find import discover
from detic_crop.photos.keys import STATE
from detic_crop.work.executors.ray_cluster import connected
from tests.kit import detectors, folders
from tests.kit import photos as photo_files

PARTS = ("efficiency", "transfer", "faults", "paper", "flat")
_TARGET = 0.9
_SIDE = 64
_TRIAL = 20_000  # products
_MILLION = 1_000_000
_PHOTOS, _GPUS, _MS = 10_000_000, 16, 46.0
_PHOTO_BYTES, _CROP_BYTES = 62e9 / 78_989, 60_000  # Happywhale; a crop of 512 pixels at quality 95


@dataclass(frozen=True)
class BusyDetector:
    """Keeps one core busy and answers with boxes drawn from the photo's name.

    Attributes:
        products: of small matrices.
    """

    products: int

    @property
    def info(self) -> DetectorInfo:
        """Any number of threads may ask."""
        return DetectorInfo("busy", detectors.VOCABULARY, 0.3, thread_safe=True)

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """See `Detector`."""
        work(self.products)
        return detectors.fake_boxes(key, image.shape[1], image.shape[0])


def work(products: int) -> None:
    """Processor time on this thread alone: matrices too small for the library to share them out."""
    matrix = np.eye(_SIDE, dtype=np.float32)
    for _ in range(products):
        np.matmul(matrix, matrix)


def products_in(seconds: float) -> int:
    """How many products take so much processor time; the best of five trials, since others work here too."""
    trials = []
    for _ in range(5):
        begun = time.thread_time()
        work(_TRIAL)
        trials.append(time.thread_time() - begun)
    return round(_TRIAL * seconds / min(trials))


class Bench:
    """Photos, a place to write to, and the parts."""

    def __init__(self, folder: Path, photos: int, rounds: int, flat_photos: int) -> None:
        self.folder = folder
        self.photos = folder / f"photos{photos}"
        write_photos(self.photos, photos)
        self.rounds = rounds
        self.flat_photos = flat_photos
        self.products = products_in(0.2)
        self.ok = True
        print(f"{os.cpu_count()} cores, {photos} photos of 4.6 MP on average")

    # --- runs, each in processes of their own

    def begin(
        self,
        out: Path | str,
        *arguments: str,
        photos: Path | str | None = None,
        delay: int | None = None,
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """A process that runs the benchmark's detector; `arguments` are field=value of `RunOptions`."""
        command = [sys.executable, "-m", "benchmarks.scale", "--child", str(photos or self.photos), str(out)]
        products = self.products if delay is None else delay
        return subprocess.Popen(
            [*command, str(products), "workers=1", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **env},
        )

    def finish(self, *processes: Any) -> list[tuple[int, str]]:
        """Exit codes and what was said."""
        said = [process.communicate()[1].decode() for process in processes]
        return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]

    def done(self, out: Path, *argument_lists: Sequence[str], **settings: Any) -> None:
        """Runs side by side, all of which must succeed."""
        shutil.rmtree(out, ignore_errors=True)
        for code, text in self.finish(*(self.begin(out, *given, **settings) for given in argument_lists)):
            assert code == 0, text

    # --- parts

    def efficiency(self) -> None:
        """Two processes ÷ twice one, from the first crop to the last."""
        one, two = self.folder / "one", self.folder / "two"
        ways = {"2 shards": [["shard=0/2"], ["shard=1/2"]], "Ray, 2 processes": [["executor=ray"]]}
        ratios: dict[str, list[float]] = {way: [] for way in ways}
        costs: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(self.rounds):
            for way, arguments in ways.items():
                self.done(one, [])
                self.done(two, *arguments)
                alone, together = rate(one), rate(two)
                ratios[way].append(together / (2 * alone))
                costs[way].append(1000 * (2 / together - 1 / alone))
        for way, values in ratios.items():
            ratio, missed = statistics.median(values), statistics.median(values) < _TARGET
            self.ok &= not missed
            print(
                f"{way}: efficiency {ratio:.2f} ({min(values):.2f}–{max(values):.2f}), target ≥ {_TARGET}"
                f"{' MISSED' if missed else ''}; overhead {statistics.median(costs[way]):.0f} ms a photo"
            )

    def transfer(self) -> None:
        """What it costs to send a decoded photo to another process through Ray's object store."""
        pixels, file = 14_000_000, round(_PHOTO_BYTES)
        with connected(None, "cpu", split=True, workers=1) as cluster:
            ray = cluster.ray
            made = ray.remote(num_cpus=1)(_make)
            looked = ray.remote(num_cpus=1)(_Looking).remote()
            ray.get(looked.look.remote(made.remote(pixels)))

            def moved() -> None:
                ray.get([looked.look.remote(made.remote(pixels)) for _ in range(8)])

            def here() -> None:
                ray.get([looked.make_and_look.remote(pixels) for _ in range(8)])

            pairs = [(seconds(moved), seconds(here)) for _ in range(5 * self.rounds)]
        more = statistics.median((a - b) / 8 * 1000 for a, b in pairs)
        print(
            f"a photo of 14 MB through the object store: {more:.1f} ms more than in one process; "
            f"between nodes {pixels / file:.0f} times the bytes of the file, and "
            f"{pixels * 8 / (_MS / 1000) / 1e9:.1f} Gbit/s for each GPU at {_MS:.0f} ms"
        )

    def faults(self) -> None:
        """Kill, fill and forbid; then the same command again; then compare with an undisturbed run."""
        photos = self.folder / "small"
        if not photos.exists():
            photo_files.write_photos(photos, 60)
        few = self.products // 4
        reference = self.folder / "reference"
        self.done(reference, [], photos=photos, delay=few)
        for name, fault in FAULTS.items():
            out = self.folder / "fault"
            _remove(out)
            shards = fault.shards
            lists = [[f"shard={k}/2"] for k in range(2)] if shards else [[*fault.arguments]]
            slow = few * fault.slower
            processes = [self.begin(out, *given, photos=photos, delay=slow) for given in lists]
            happened = fault.strike(out, photos, processes)
            first = self.finish(*processes)
            fault.mend(out, photos)
            again = self.finish(*(self.begin(out, *given, photos=photos, delay=few) for given in lists))
            if shards:
                api.merge(out)
            problem = compare(out, reference, photos) if not any(code for code, _ in again) else again[0][1]
            self.ok &= not problem
            codes = " ".join(str(code) for code, _ in first)
            print(f"| {name} | {happened} | {codes} | {problem or _NOTHING_LOST} |")
        self._store_fault(photos, reference, few)

    def _store_fault(self, photos: Path, reference: Path, products: int) -> None:
        """Photos and crops in a store that fails, and the run killed besides."""
        with failing_store(each=10) as store:
            for path in photos.rglob("*.*"):
                store.put("photos/" + path.relative_to(photos).as_posix(), path.read_bytes())
            begin = partial(
                self.begin,
                f"{store.address}/out",
                "batch=8",
                photos=f"{store.address}/photos",
                delay=products,
                env=store.environment,
            )
            first = begin()
            while len(store.names("out/.detic-crop/journal/")) < 3:
                time.sleep(0.02)
            first.kill()
            failed, codes = store.failed, self.finish(first)[0][0]
            [(code, said)] = self.finish(begin())
            out = self.folder / "fault"
            _remove(out)
            for name in store.names("out/"):
                path = out / name.removeprefix("out/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(store.get(name))
            problem = said if code else compare(out, reference, photos)
        self.ok &= not problem
        happened = f"{failed} and {store.failed - failed} requests answered 500, and kill -9"
        print(f"| an S3 that fails one time in ten | {happened} | {codes} | {problem or _NOTHING_LOST} |")

    def flat(self) -> None:
        """Memory of each step with so many photos (``--flat-photos``), and what ten million would take."""
        self.ok &= flat.show(self.folder / "flat", self.flat_photos)

    def paper(self) -> None:
        """Ten million photos on sixteen GPUs, from what one million names cost here."""
        factor = _PHOTOS / _MILLION
        tree = self.folder / "million"
        _make_names(tree)
        process = psutil.Process()
        before, begun = process.memory_info().rss, time.perf_counter()
        listing = discover(tree)
        listed = time.perf_counter() - begun
        memory = (process.memory_info().rss - before) / _MILLION
        folder = OutputFolder(self.folder / "paper")
        _remove(folder.root)
        save_listing(
            folder, listing.photos, [Given(str(tree), str(tree), [photo.key for photo in listing.photos])]
        )
        listing_bytes = folder.layout.listing.stat().st_size / _MILLION
        begun = time.perf_counter()
        largest = np.bincount([owner(photo.key, _GPUS) for photo in listing.photos]).max()
        split = time.perf_counter() - begun
        record, candidates = _typical_record(self.folder)
        journal_bytes, seen = len(record.to_line()), 100_000
        with open(folder.layout.journal, "wb") as file:
            for photo in listing.photos[:seen]:
                file.write(replace(record, image=photo.key, crop=photo.key).to_line())
        before, begun = process.memory_info().rss, time.perf_counter()
        records = replay(folder.layout.journal).records
        replayed = (time.perf_counter() - begun) / len(records)
        record_memory = (process.memory_info().rss - before) / len(records)
        hours = _PHOTOS * _MS / 1000 / _GPUS / 3600
        rate_all = _GPUS * 1000 / _MS
        shard = _PHOTOS * (largest / _MILLION)
        rows = {
            "listing, one process": f"{listed * factor:.0f} s, {memory * _PHOTOS / 1e9:.1f} GB",
            "listing.json": f"{listing_bytes * _PHOTOS / 1e6:.0f} MB",
            "finding a shard's photos": f"{split * factor:.0f} s",
            "largest of 16 shards": f"{shard:,.0f} photos, {largest * _GPUS / _MILLION:.3f} of an equal part",
            "journal": f"{journal_bytes * _PHOTOS / 1e9:.1f} GB ({journal_bytes} bytes a photo)",
            "candidates": f"{candidates * _PHOTOS / 1e9:.1f} GB ({candidates} bytes a photo)",
            "reading the journal: merge, audit, unsharded resume": f"{replayed * _PHOTOS / 60:.0f} min, "
            f"{record_memory * _PHOTOS / 1e9:.0f} GB",
            "reading it: resume of one of 16 shards": f"{replayed * shard:.0f} s, "
            f"{record_memory * shard / 1e9:.1f} GB",
            "work at 46 ms": f"{hours:.1f} h, {hours * _GPUS:.0f} GPU hours, {rate_all:.0f} photos/s",
            "reading photos": _traffic(rate_all, _PHOTO_BYTES),
            "writing crops": _traffic(rate_all, _CROP_BYTES),
        }
        print("| 10,000,000 photos on 16 GPUs | reckoned |\n|---|---|")
        for what, how_much in rows.items():
            print(f"| {what} | {how_much} |")


# --- faults


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong in mid-run.

    Attributes:
        strike: does it, to a run into a folder of some photos by some processes; says what it did.
        arguments: of the run.
        shards: two shards instead.
        mend: before the same command is given again.
        slower: so many times as slow a detector, so that it is noticed before the end.
    """

    strike: Callable[[Path, Path, Sequence[Any]], str]
    arguments: tuple[str, ...] = ()
    shards: bool = False
    mend: Callable[[Path, Path], None] = lambda out, photos: None
    slower: int = 1


def _kill_shard(out: Path, photos: Path, processes: Sequence[Any]) -> str:
    _wait_for(out, 10)
    processes[0].kill()
    return "kill -9 of one of two"


def _kill_ray(name: str) -> Callable[[Path, Path, Sequence[Any]], str]:
    def strike(out: Path, photos: Path, processes: Sequence[Any]) -> str:
        _wait_for(out, 10)
        for child in psutil.Process(processes[0].pid).children(recursive=True):
            if name == child.name() or " ".join(child.cmdline()).startswith(name):
                child.send_signal(signal.SIGKILL)
                return f"kill -9 of {name}"
        raise AssertionError(f"no {name} is running")

    return strike


def _small_disk(out: Path, photos: Path, processes: Sequence[Any]) -> str:
    return "files may be 2,000 bytes long (RLIMIT_FSIZE), as on a disk that is full"


def _read_only(out: Path, photos: Path, processes: Sequence[Any]) -> str:
    for path in (photos, *photos.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    may = " (as root, who may write all the same)" if os.access(photos, os.W_OK) else ""
    return f"chmod a-w of all photos and folders{may}"


def _writable(out: Path, photos: Path) -> None:
    for path in (photos, *photos.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


FAULTS = {
    "a shard killed": Fault(_kill_shard, shards=True),
    "a Ray worker killed": Fault(_kill_ray("ray::RayWorker"), ("executor=ray",)),
    "the Ray head killed": Fault(_kill_ray("gcs_server"), ("executor=ray",), slower=12),
    "a full disk": Fault(_small_disk, ("full=2000",)),
    "a read-only input": Fault(_read_only, mend=_writable),
}


_NOTHING_LOST = "every photo one record, same crops"


@dataclass
class FailingStore:
    """An S3 of this process, with an empty bucket, that answers 500 instead of some requests.

    Attributes:
        address: of the bucket.
        environment: variables with which another process finds it.
        failed: requests that it did not answer.
    """

    address: str
    environment: dict[str, str]
    client: Any
    failed: int = 0

    def put(self, name: str, data: bytes) -> None:
        """Store an object, whatever it takes."""
        self.client.put_object(Bucket="bucket", Key=name, Body=data)

    def get(self, name: str) -> bytes:
        """An object's bytes."""
        data: bytes = self.client.get_object(Bucket="bucket", Key=name)["Body"].read()
        return data

    def names(self, prefix: str) -> list[str]:
        """The names of all objects that begin so."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]


@contextmanager
def failing_store(each: int) -> Iterator[FailingStore]:
    """A store that fails one request in `each`, by chance, seeded."""
    import boto3  # type: ignore[import-untyped]
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    chance, moto = random.Random(1), DomainDispatcherApplication(create_backend_app)

    def answer(environ: Any, start: Any) -> Any:
        if environ["HTTP_USER_AGENT"].startswith("Boto3") or chance.randrange(each):  # not what we ask here
            return moto(environ, start)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        store.failed += 1
        start("500 Internal Server Error", [("Content-Length", "0")])
        return [b""]

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, answer, threaded=True)
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
        region_name="us-east-1",
    )
    store = FailingStore("s3://bucket", environment, client)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        client.create_bucket(Bucket="bucket")
        yield store
    finally:
        server.shutdown()
        thread.join()


def compare(out: Path, reference: Path, photos: Path) -> str:
    """What differs between two finished runs; empty: nothing."""
    try:
        folders.assert_one_row_each(out, [p.relative_to(photos).as_posix() for p in photos.rglob("*.*")])
        folders.assert_same(out, folders.product(reference))
    except AssertionError as error:
        return f"DIFFERS: {' '.join(str(error).split())[:200]}"
    return ""


def _wait_for(out: Path, photos: int) -> None:
    """Until so many are recorded, by all processes together."""
    while sum(path.read_bytes().count(b"\n") for path in out.glob(f"{STATE}/**/journal.jsonl")) <= photos:
        time.sleep(0.02)


# --- pieces


def rate(out: Path) -> float:
    """Crops a second, from the first to the last."""
    times = sorted(path.stat().st_mtime for path in out.rglob("*.jpg"))
    return (len(times) - 1) / (times[-1] - times[0])


def seconds(act: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def _make(count: int) -> NDArray[np.uint8]:
    pixels = np.empty(count, np.uint8)
    pixels[:] = 7
    return pixels


class _Looking:
    """An actor that looks at photos."""

    def look(self, pixels: NDArray[np.uint8]) -> int:
        return int(pixels[::64].sum())

    def make_and_look(self, count: int) -> int:
        return self.look(_make(count))


def _make_names(tree: Path) -> None:
    """A million empty photos in a thousand folders."""
    if (tree / "done").exists():
        return
    for folder in range(1000):
        place = tree / f"survey{folder:04}"
        place.mkdir(parents=True, exist_ok=True)
        for number in range(_MILLION // 1000):
            os.close(os.open(place / f"IMG_{folder:04}{number:04}.jpg", os.O_CREAT | os.O_WRONLY))
    (tree / "done").touch()


def _traffic(photos_per_second: float, size: float) -> str:
    return f"{photos_per_second * size / 1e6:.0f} MB/s, {_PHOTOS * size / 1e12:.1f} TB"


def _typical_record(folder: Path) -> tuple[Record, int]:
    """A record of ordinary length, and the bytes of its boxes."""
    photos, out = folder / "few", folder / "few-out"
    _remove(out)
    keys = photo_files.write_photos(photos, 60, width=640, height=480)
    folders.crop(photos, out)
    assert keys
    state = OutputFolder(out)
    lines = sorted(replay(state.layout.journal).records.values(), key=lambda record: len(record.to_line()))
    return lines[len(lines) // 2], state.layout.candidates.stat().st_size // len(lines)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def child(photos: str, out: str, products: str, *fields: str) -> int:
    """One run, in a process of its own."""
    from detic_crop.errors import DeticCropError

    settings: dict[str, Any] = dict(field.split("=", 1) for field in fields)
    if limit := settings.pop("full", None):
        _limit_once(Path(out), int(limit))
    if batch := settings.pop("batch", None):
        mirror.BATCH = int(batch)
    settings["workers"] = int(settings["workers"])
    try:
        api.run(photos, out, detector=BusyDetector(int(products)), quiet=True, **settings)
    except DeticCropError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _limit_once(out: Path, size: int) -> None:
    """No file may grow past `size` bytes; not the second time."""
    import resource

    if out.exists():
        return
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def main(arguments: Iterable[str] | None = None) -> int:
    """Run the parts; see the top of this file."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--child"]:
        return child(*given[1:])
    if given[:1] == ["--flat"]:
        return flat.main(Path(given[1]), int(given[2]), given[3])
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "detic-crop-scale")
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flat-photos", type=int, default=2_000_000)
    options = parser.parse_args(given)
    if unknown := set(options.parts).difference(PARTS):
        parser.error(f"expected parts of {', '.join(PARTS)}, got {', '.join(unknown)}")
    bench = Bench(options.folder, options.photos, options.rounds, options.flat_photos)
    for part in options.parts or PARTS:
        getattr(bench, part)()
    return int(not bench.ok)


if __name__ == "__main__":
    sys.exit(main())
