"""How much memory photos take: each kind by itself, and many at a time under a budget.

    python -m benchmarks.memory table [--megapixels N] [NAME ...]
    python -m benchmarks.memory crops [--megapixels N]
    python -m benchmarks.memory run [--megapixels N] [--memory 4GB] [--workers N ...] [--copies N] [NAME ...]

The photos are made up (`benchmarks.memory_photos` has the names), in a temporary folder or in --folder.

`table` decodes one photo of each kind in a process of its own and prints the most memory that it took above
what the process had before, as bytes a pixel, and its part of what `images.memory_use` says. Exit code 1 if
that said too little.

`crops` does the same for crops that are as large as their photo, of noise, which takes most: in each format,
as the photo is and with bars.

`run` crops all of them in one process for each number of workers, with a detector that sees all pixels, by
itself on every worker or on one thread. Every photo must get a row: a crop, or `out_of_memory` if it takes
more than --memory. Prints the most memory above that before the run, and its part of --memory.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.memory_photos import PHOTOS, make
from detic_crop.config import parse_bytes
from detic_crop.images.memory_use import BYTES_PER_PIXEL_OF_CROP

_SMALL = 0.01
"""Megapixels of the photo that is decoded first: so libraries are loaded before memory is counted."""
_SLACK = 320 << 20
"""Bytes that a process may take besides: code that is loaded, what the allocator keeps for each thread."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["table", "crops", "run", "one", "crop", "finish"])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--megapixels", type=float)
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--one-thread", action="store_true")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_intermixed_args(arguments)
    if given.what == "one":
        return _one(Path(given.names[0]), Path(given.names[1]))
    if given.what == "crop":
        return _crop(Path(given.names[0]), given.memory, given.workers[0], given.one_thread)
    if given.what == "finish":
        return _finish(given.names[0], given.names[1], given.megapixels)
    if given.what == "crops":
        return _crops(given.megapixels or 24)
    if unknown := set(given.names) - set(PHOTOS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(PHOTOS)}")
    names = given.names or list(PHOTOS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if given.what == "table":
            return _table(folder, names, given.megapixels or 36)
        return _runs(folder, names, given)


def _table(folder: Path, names: Sequence[str], megapixels: float) -> int:
    worst = 0.0
    print("| photo | file, bytes a pixel | most memory, bytes a pixel | part of what is reserved |")
    print("|---|---|---|---|", flush=True)
    for name in names:
        photos = make(folder, name, megapixels), make(folder, name, _SMALL)
        told = _told("one", *map(str, photos))
        part = float(told["peak"]) / float(told["reserved"])
        worst = max(worst, part)
        file, peak = (float(told[what]) / float(told["pixels"]) for what in ("file", "peak"))
        print(f"| {name} | {file:.2f} | {peak:.1f} | {part:.2f} |", flush=True)
    return int(worst > 1)


def _crops(megapixels: float) -> int:
    worst = 0.0
    print("| crop | file, bytes a pixel | most memory, bytes a pixel | part of what is reserved |")
    print("|---|---|---|---|", flush=True)
    for format, reserved in BYTES_PER_PIXEL_OF_CROP.items():
        for fit in ("stretch", "pad"):
            told = _told("finish", format, fit, "--megapixels", str(megapixels))
            file, peak = (float(told[what]) / float(told["pixels"]) for what in ("file", "peak"))
            worst = max(worst, peak / reserved)
            print(f"| {format}, {fit} | {file:.2f} | {peak:.1f} | {peak / reserved:.2f} |", flush=True)
    return int(worst > 1)


def _runs(folder: Path, names: Sequence[str], given: argparse.Namespace) -> int:
    limit = parse_bytes(given.memory)
    photos = [make(folder, name, given.megapixels or 200) for name in names]
    bad = 0
    print("| workers | detector on | crops | failed | most memory above the base, MB | part of --memory |")
    print("|---|---|---|---|---|---|", flush=True)
    for workers in given.workers:
        for one_thread in (False, True):
            with tempfile.TemporaryDirectory(dir=folder) as place:
                (inside := Path(place) / "in").mkdir()
                for copy in range(given.copies):
                    for photo in photos:
                        os.link(photo, inside / f"{copy}-{photo.name}")
                how = ["--memory", given.memory, "--workers", str(workers)]
                told = _told("crop", place, *how, *(["--one-thread"] if one_thread else []))
            peak = int(told["peak"])
            rows = int(told["cropped"]) + int(told["failed"])
            bad += rows != len(photos) * given.copies or peak > limit + _SLACK
            bad += told["reasons"] not in ("", "out_of_memory")
            where = "one thread" if one_thread else "each worker"
            failed = f"{told['failed']} {told['reasons']}"
            size = f"{peak / 1e6:,.0f} | {peak / limit:.2f}"
            print(f"| {workers} | {where} | {told['cropped']} | {failed} | {size} |", flush=True)
    return int(bad > 0)


def _told(what: str, *arguments: str) -> dict[str, str]:
    """Return what a process of its own measured: name=value in each line."""
    command = [sys.executable, "-m", "benchmarks.memory", what, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{what} ended with {done.returncode}: {' '.join(arguments)}")
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def _memory(what: str) -> int:
    """Return a line of /proc/self/status, bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(what + ":"))


def _begin() -> int:
    """Return the memory of this process in bytes, and let the most of it be counted from now on."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _one(photo: Path, small: Path) -> int:
    from detic_crop.images.decode import PhotoFile
    from detic_crop.photos.location import LocalFile
    from detic_crop.photos.photo import Photo

    def decode(path: Path) -> tuple[PhotoFile, int]:
        file = Photo.at(path.name, LocalFile(str(path))).open(1 << 40, "keep")
        image = file.decode().image
        return file, image.shape[0] * image.shape[1]

    decode(small)
    base = _begin()
    file, pixels = decode(photo)
    assert file.loan is not None
    print(f"peak={_memory('VmHWM') - base}\nreserved={file.loan.size}\npixels={pixels}")
    print(f"file={photo.stat().st_size}")
    return 0


def _finish(format: Any, fit: Any, megapixels: float) -> int:
    import numpy as np

    from detic_crop.boxes.crop_size import crop_size
    from detic_crop.images.checks import check_crop
    from detic_crop.images.crop import cut_and_resize
    from detic_crop.images.encode import encode

    def finish(photo: np.ndarray) -> tuple[int, int]:
        crop = cut_and_resize(photo, (0, 0, photo.shape[1], photo.shape[0]), crop_size("native", fit))
        data = encode(crop, format, 100)
        check_crop(crop)
        return crop.shape[0] * crop.shape[1], len(data)

    height = round((megapixels * 1e6 / 1.5) ** 0.5)
    noise = np.random.default_rng(0).integers(0, 256, (height, height * 3 // 2, 3), dtype=np.uint8)
    finish(noise[:64, :64])
    base = _begin()
    pixels, file = finish(noise)
    print(f"peak={_memory('VmHWM') - base}\npixels={pixels}\nfile={file}")
    return 0


def _crop(place: Path, memory: str, workers: int, one_thread: bool) -> int:
    import numpy as np

    import detic_crop

    class Middle(detic_crop.Detector):
        info = detic_crop.DetectorInfo(
            "middle", ("Whale",), default_conf=0.5, default_classes="any", thread_safe=not one_thread
        )

        def detect(self, image: np.ndarray, key: str = "") -> detic_crop.Detections:
            height, width = image.shape[:2]
            box = np.array([[0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height]], np.float32)
            return detic_crop.Detections(box, np.ones(1, np.float32), ("Whale",))

    base = _begin()
    result = detic_crop.run(
        place / "in", place / "out", detector=Middle(), memory=memory, workers=workers, size=64, quiet=True
    )
    reasons: Counter[str] = result.failures
    print(f"peak={_memory('VmHWM') - base}\ncropped={result.counts['cropped']}")
    print(f"failed={result.counts['failed']}\nreasons={','.join(sorted(reasons))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
