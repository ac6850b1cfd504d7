"""How fast a run is, against the loop that everybody writes first.

    python -m benchmarks.speed [PART ...] [--folder FOLDER] [--photos FOLDER] [--rounds N]
        [--detic-photos N]

Parts: pipeline, resize, checking, workers, lite, detic, alone, resume, memory; all of them by default.
Everything is a ratio of two ways measured in turn in one process (`alone`: each in a process of its own, on
one thread, in processor time), several rounds, the median printed with the extremes; photos are made up
(`benchmarks.photos`) and kept in `--folder`, or those of `--photos`. Each line says how much of the
processors other work used meanwhile. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from benchmarks.busy import Others
from benchmarks.photos import describe, read_photos, write_photos
from benchmarks.plain_loop import plain_loop
from detic_crop import api
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.geometry import Box
from detic_crop.config import ALGORITHM, Precision
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.detectors.detic.detector import DeticDetector
from detic_crop.detectors.detic.processor import slow_precision
from detic_crop.detectors.lite.detector import load_lite
from detic_crop.folder.journal import replay
from detic_crop.images.area import shrink
from detic_crop.images.decode import PhotoFile
from detic_crop.system.memory import return_freed_memory
from tests.kit.parity_checks import filled_detector, pairwise_iou

PARTS = ("pipeline", "resize", "checking", "workers", "lite", "detic", "alone", "resume", "memory")
_PHOTOS = 200
_IN_MEMORY = 24  # photos whose pixels are kept
_ENTRIES = 100_000
_LINKS = 10_000  # names for one file; file systems have limits
# Of Detic's network alone, on a processor with avx512_bf16: float32, bfloat16.
_ALONE_TARGETS = {"detic-r50": (1.7, 3.0), "detic-swinb": (1.55, 2.9)}
_ALONE_PHOTOS = 2
_SMALL = 64, 48  # photos of the parts that are about their number


class InstantDetector(Detector):
    """Answers at once with one box of 20–100 % of each side, drawn from the photo's name.

    Args:
        looks: it wants the pixels, whole, as a detector does that has no fixed size of view.
    """

    def __init__(self, looks: bool = False) -> None:
        self.info = DetectorInfo("instant", ("Dolphin",), 0.5, thread_safe=True, needs_pixels=looks)
        self.first_asked: float | None = None

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """See `Detector`."""
        if self.first_asked is None:
            self.first_asked = time.perf_counter()
        (height, width), (w, h, x, y) = image.shape[:2], drawn(key)
        w, h = width * w, height * h
        x, y = (width - w) * x, (height - h) * y
        return Detections(np.array([[x, y, x + w, y + h]], np.float32), np.array([0.9]), ("Dolphin",))


@lru_cache(maxsize=_PHOTOS)
def drawn(key: str) -> tuple[float, float, float, float]:
    """Width, height, left and top of a photo's box, as shares. To seed a generator is no answer at once."""
    random = np.random.default_rng(list(os.fsencode(key)))
    return random.uniform(0.2, 1), random.uniform(0.2, 1), random.uniform(), random.uniform()


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """A row of the table: times as fast as what it is compared with, one number a round."""

    what: str
    ratios: Sequence[float]
    target: float | None
    note: str = ""

    @property
    def missed(self) -> bool:
        """Whether the median is below the target."""
        return self.target is not None and statistics.median(self.ratios) < self.target

    def __str__(self) -> str:
        target = "" if self.target is None else f"target ≥ {self.target}{' MISSED' if self.missed else ''}"
        extremes = f"({min(self.ratios):.2f}–{max(self.ratios):.2f})"
        return f"{statistics.median(self.ratios):5.2f} {extremes} {self.what}; {target} {self.note}"


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Let OpenCV work as in a worker."""
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(-1)


def paired(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> list[float]:
    """Their seconds ÷ ours, measured in turn; the order alternates, so that a drift harms both alike."""
    ratios = []
    for number in range(rounds):
        if number % 2:
            ratios.append(1 / ours() * theirs())
        else:
            ratios.append(theirs() / ours())
    return ratios


class Bench:
    """Photos, a place to write to, and the parts."""

    def __init__(self, folder: Path, photos: Path | None, rounds: int, detic_photos: int) -> None:
        self.folder = folder
        self.rounds = rounds
        self.paths = read_photos(photos, _PHOTOS) if photos else write_photos(folder / "photos", _PHOTOS)
        self.detic_paths = self.paths[:detic_photos]
        self.detic_rounds = max(1, rounds // 2)
        self.scratch = folder / "out"
        return_freed_memory()  # as every run does
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, cv2 {cv2.__version__}"
        )
        print(describe(self.paths))

    def ours(self, paths: Sequence[Path], detector: Detector, **settings: Any) -> float:
        """Seconds of a run of this package into a new folder, until the last photo is recorded.

        The tables that follow are left out: audit.html shows 300 photos at most, of 200 as of 80,000.
        """
        shutil.rmtree(self.scratch, ignore_errors=True)
        listing = self.folder / "photos.txt"
        listing.write_text("\n".join(str(path.absolute()) for path in paths))
        result = api.run(listing, self.scratch, detector=detector, classes="any", quiet=True, **settings)
        assert result.counts["failed"] == 0
        return result.seconds

    def plain(
        self, paths: Sequence[Path], detector: Detector, conf: float, boxes: dict[str, Box | None]
    ) -> float:
        """Seconds of the plain loop into a new folder; adds its boxes to `boxes`."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        begun = time.perf_counter()
        boxes.update(plain_loop(paths, self.scratch, detector, conf))
        return time.perf_counter() - begun

    def pipeline(self) -> Iterable[Result]:
        """Everything but the detector, against decoding alone."""
        threads = len(os.sched_getaffinity(0))
        for looks, decode, size, target in (
            (False, "scaled", 512, 1.0),
            (False, "full", 512, None),
            (False, "scaled", 256, None),
            (True, "full", 512, None),
        ):
            run = partial(
                self.ours, self.paths, InstantDetector(looks), decode=decode, size=size, workers=threads
            )
            run()  # photos, boxes and code are in memory for both
            ratios = paired(run, partial(self.decode_alone, threads), self.rounds)
            wants = "all pixels" if looks else "no pixels"
            what = f"pipeline ÷ decoding alone (detector wants {wants}, --decode {decode}, --size {size})"
            yield Result(what, ratios, target, f"{threads} threads")

    def decode_alone(self, threads: int) -> float:
        """Seconds that OpenCV takes for the same photos on as many threads."""
        with _one_opencv_thread(), ThreadPoolExecutor(threads) as pool:
            begun = time.perf_counter()
            pixels = sum(pool.map(lambda path: np.asarray(cv2.imread(str(path))).size, self.paths))
            seconds = time.perf_counter() - begun
        assert pixels
        return seconds

    def resize(self) -> Iterable[Result]:
        """Averaging the areas of crops, against OpenCV's; processor time of one thread."""
        regions = [self._region(path) for path in self.paths[:_IN_MEMORY]]

        def opencv(region: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
            return np.asarray(cv2.resize(region, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

        def seconds(way: Callable[[NDArray[np.uint8], int, int], NDArray[np.uint8]]) -> float:
            begun = time.thread_time()
            for region in regions:
                way(region, min(512, region.shape[1]), min(512, region.shape[0]))
            return time.thread_time() - begun

        assert all(np.array_equal(shrink(region, 64, 64), opencv(region, 64, 64)) for region in regions)
        with _one_opencv_thread():
            ratios = paired(partial(seconds, shrink), partial(seconds, opencv), self.rounds)
        yield Result("averaging by rows ÷ INTER_AREA, 512 px", ratios, 1.4, f"{len(regions)} regions")

    def _region(self, path: Path) -> NDArray[np.uint8]:
        image = np.asarray(cv2.imread(str(path)), np.uint8)
        (height, width), (w, h, x, y) = image.shape[:2], drawn(path.name)
        left, top = int((1 - w) * x * width), int((1 - h) * y * height)
        return image[top : top + math.ceil(h * height), left : left + math.ceil(w * width)]

    def checking(self) -> Iterable[Result]:
        """To look for damage, against taking every photo for whole; processor time of one thread."""
        files = [path.read_bytes() for path in self.paths]
        for what, target in (("all pixels", 0.97), ("the rows of its box", None)):
            way = partial(self._decoding, files, rows_only=target is None)
            ratios = paired(partial(way, known=False), partial(way, known=True), self.rounds)
            yield Result(f"decoding known photos ÷ unknown ones ({what} needed)", ratios, target)

    def _decoding(self, files: Sequence[bytes], *, rows_only: bool, known: bool) -> float:
        begun = time.thread_time()
        for number, data in enumerate(files):
            photo = PhotoFile(data)
            if known:
                photo.vouch()
            assert photo.resolution_wh
            width, height = photo.resolution_wh
            _, h, _, y = drawn(str(number))
            bottom = round(height * (h + (1 - h) * y))
            photo.decode((0, 0, width, max(1, bottom)) if rows_only else None)
        return time.thread_time() - begun

    def workers(self) -> Iterable[Result]:
        """Two workers against one."""
        for decode in ("full", "scaled"):
            run = partial(self.ours, self.paths, InstantDetector(), decode=decode)
            ratios = paired(partial(run, workers=2), partial(run, workers=1), self.rounds)
            yield Result(f"2 workers ÷ 1, --decode {decode}", ratios, 1.6)

    def lite(self) -> Iterable[Result]:
        """The embedded model."""
        detector, plain_detector = load_lite(), load_lite(optimised=False)
        boxes = dict[str, Box | None]()
        plain = partial(self.plain, self.paths, plain_detector, detector.info.default_conf, boxes)
        ratios = paired(partial(self.ours, self.paths, detector), plain, self.rounds)
        self.ours(self.paths, detector)
        note = f"{len(self.paths)} photos; chosen boxes: {self.agreement(boxes)}"
        yield Result("lite ÷ plain loop with lite", ratios, 1.5, note)
        yield self._lite_alone(detector)

    def _lite_alone(self, detector: Detector) -> Result:
        """Decoding not included, as a worker runs it; processor time of one thread."""
        images = [np.asarray(cv2.imread(str(path)), np.uint8) for path in self.paths[:_IN_MEMORY]]
        seconds = []
        with _one_opencv_thread():
            for _ in range(self.rounds):
                begun = time.thread_time()
                for image in images:
                    detector.detect(image)
                seconds.append((time.thread_time() - begun) / len(images))
        print(f"lite: {1000 * statistics.median(seconds):.0f} ms a photo")
        return Result("0.25 s ÷ lite's processor time of a photo", [0.25 / each for each in seconds], 1.0)

    def detic(self) -> Iterable[Result]:
        """Detic in float32 and, where the processor has it, bfloat16."""
        for model in ("detic-r50", "detic-swinb"):
            plain = filled_detector(model, 0, optimised=False)
            targets: dict[Precision, float] = {"float32": 1.15, "bfloat16": 1.8}
            for precision, target in targets.items():
                if precision == "bfloat16" and slow_precision("cpu", precision):
                    print(f"{model} bfloat16: not measured, this processor has no bfloat16 products")
                    continue
                yield self._detic(model, plain, precision, target)

    def _detic(self, model: str, plain: DeticDetector, precision: Precision, target: float) -> Result:
        detector = filled_detector(model, 0, precision=precision)
        paths, boxes = self.detic_paths, dict[str, Box | None]()
        plain_way = partial(self.plain, paths, plain, plain.info.default_conf, boxes)
        ratios = paired(partial(self.ours, paths, detector), plain_way, self.detic_rounds)
        self.ours(paths, detector)
        note = f"{len(paths)} photos; chosen boxes: {self.agreement(boxes)}"
        return Result(f"{model} {precision} ÷ plain loop", ratios, target, note)

    def alone(self) -> Iterable[Result]:
        """Detic's network on one thread, each way in a process of its own."""
        paths = self.paths[:_ALONE_PHOTOS]
        for model, targets in _ALONE_TARGETS.items():
            precisions: tuple[Precision, ...] = ("float32", "bfloat16")
            for precision, target in zip(precisions, targets, strict=True):
                if slow_precision("cpu", precision):
                    print(f"{model} {precision}: not measured, this processor lacks its products")
                    continue
                ours = partial(in_own_process, model, precision, True, paths)
                plain = partial(in_own_process, model, "float32", False, paths)
                ratios = paired(ours, plain, self.detic_rounds)
                yield Result(f"{model} {precision} ÷ as it is written, processor time", ratios, target)

    def agreement(self, boxes: dict[str, Box | None]) -> str:
        """How the boxes in audit.csv and those of the plain loop agree."""
        records = replay(self.scratch / ".detic-crop" / "journal.jsonl").records
        overlaps = []
        for record in records.values():
            theirs = boxes[Path(record.image).name]
            if record.box is None or theirs is None:
                overlaps.append(float(record.box is theirs))
            else:
                overlaps.append(float(pairwise_iou(np.array([record.box]), np.array([theirs]))[0, 0]))
        good = sum(iou >= 0.999 for iou in overlaps)
        return f"least IoU {min(overlaps):.5f}, {good} of {len(overlaps)} ≥ 0.999"

    def resume(self) -> Iterable[Result]:
        """Seconds until the first photo of a resume is looked at, with 100,000 finished ones."""
        photos, out = self._many()
        detector = InstantDetector()
        api.run(photos, out, detector=detector, classes="any", size=32, quiet=True)
        seconds = []
        for _ in range(self.rounds):
            added = photos / f"added{time.time_ns()}.jpg"
            shutil.copy(next(photos.iterdir()), added)
            detector = InstantDetector()
            begun = time.perf_counter()
            api.run(photos, out, detector=detector, classes="any", size=32, quiet=True)
            assert detector.first_asked is not None
            seconds.append(detector.first_asked - begun)
        print(f"start of a resume with {_ENTRIES:,} finished photos: {statistics.median(seconds):.1f} s")
        yield Result("3 s ÷ start of a resume with 100,000 finished photos", [3 / s for s in seconds], 1.0)

    def memory(self) -> Iterable[Result]:
        """Memory after the first 1,000 photos against the most until the last one is recorded."""
        photos, out = self._many()
        shutil.rmtree(out, ignore_errors=True)
        process = psutil.Process()
        sizes: list[int] = []

        class Watching(InstantDetector):
            def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
                sizes.append(process.memory_info().rss if not len(sizes) % 500 else 0)
                return super().detect(image, key)

        api.run(photos, out, detector=Watching(), classes="any", size=32, quiet=True)
        settled, most = sizes[1000], max(sizes[1000:])
        print(f"memory: {settled >> 20} MB after 1,000 photos, at most {most >> 20} MB until {len(sizes):,}")
        print(f"with the tables at the end: {process.memory_info().rss >> 20} MB")
        yield Result("memory after 1,000 photos ÷ the most afterwards", [settled / most], 0.9)

    def _many(self) -> tuple[Path, Path]:
        photos = self.folder / "many"
        if not photos.exists():
            photos.mkdir()
            noise = np.random.default_rng(0)
            first = photos / "0.jpg"
            cv2.imwrite(str(first), noise.integers(0, 255, (_SMALL[1], _SMALL[0], 3), dtype=np.uint8))
            for number in range(1, _ENTRIES):
                path = photos / f"{number}.jpg"
                if number % _LINKS:
                    os.link(first, path)
                else:
                    first = Path(shutil.copy(first, path))
        return photos, self.folder / f"many-out-{ALGORITHM}"  # what another version has left would be refused


def in_own_process(model: str, precision: Precision, optimised: bool, paths: Sequence[Path]) -> float:
    """Return what `processor_seconds` does, measured in a process that has done nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(processor_seconds, model, precision, optimised, paths).result()


def processor_seconds(model: str, precision: Precision, optimised: bool, paths: Sequence[Path]) -> float:
    """Return the processor time that Detic takes for the photos on one thread, decoded and warmed up."""
    torch.set_num_threads(1)
    detector = filled_detector(model, 0, precision=precision, optimised=optimised)
    images = [np.asarray(cv2.imread(str(path)), np.uint8) for path in paths]
    detector.detect(images[0])
    begun = time.process_time()
    for image in images:
        detector.detect(image)
    return time.process_time() - begun


def watched(results: Iterable[Result]) -> Iterable[tuple[Result, Others]]:
    """Yield each result with how busy the machine was while it was measured."""
    following = iter(results)
    while True:
        with Others() as others:
            result = next(following, None)
        if result is None:
            return
        yield result, others


def main() -> int:
    """Run the parts; see the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "detic-crop-speed")
    parser.add_argument("--photos", type=Path, help="folder of JPEG files instead of photos that are made up")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--detic-photos", type=int, default=24)
    options = parser.parse_args()
    if unknown := set(options.parts).difference(PARTS):
        parser.error(f"expected parts of {', '.join(PARTS)}, got {', '.join(unknown)}")
    bench = Bench(options.folder, options.photos, options.rounds, options.detic_photos)
    results = []
    for part in options.parts or PARTS:
        for result, others in watched(getattr(bench, part)()):
            print(f"{result} {others}", flush=True)
            results.append(result)
    return int(any(result.missed for result in results))


if __name__ == "__main__":
    sys.exit(main())
