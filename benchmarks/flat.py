"""Memory of each step with millions of photos: list, plan, shards, merge, tables, resume.

The photos are a list of names: a thousand small files, seen through as many links to their folder as needed.
The crops are empty files of their own; shards' journals are written by a stand-in, the first photos by the
program itself. Every step is a process of its own and says how much memory it had at most (VmHWM).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from detic_crop import api
from detic_crop.boxes.detections import Detections
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import Journal, replay
from detic_crop.folder.shard import Shard
from detic_crop.photos.find import discover
from tests.kit import photos as photo_files
from tests.kit.detectors import FakeDetector

SHARDS = 4
FEW = 40
"""Photos that the program does itself."""
_IN_FOLDER = 1000
_TEN_MILLION = 10_000_000


class Place:
    """Where the photos and the crops of one size are.

    Args:
        folder: a folder for them.
        count: number of photos; of whole thousands.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.count = count
        self.list = folder / "photos.txt"
        self.out = folder / "out"

    def write_photos(self) -> None:
        """Write a thousand photos, the links to their folder, and the list."""
        base = self.folder / "base"
        first = photo_files.write_photo(base / "IMG_0000.jpg", 1, width=64, height=48)
        for number in range(1, _IN_FOLDER):
            shutil.copy(first, base / f"IMG_{number:04}.jpg")
        with open(self.list, "w", encoding="utf-8") as file:
            for day in range(self.count // _IN_FOLDER):
                (self.folder / f"survey_{day:05}").symlink_to(base)
                file.writelines(f"survey_{day:05}/IMG_{number:04}.jpg\n" for number in range(_IN_FOLDER))

    def write_shards(self) -> None:
        """Write what shards leave that have done all photos; the first few they have done."""
        photos, made = discover(self.list).photos, set[Path]()
        for index in range(SHARDS):
            shard = Shard(index, SHARDS)
            folder = OutputFolder(self.out, shard)
            layout = folder.layout
            records = replay(layout.journal).records
            like = next(record for record in records.values() if record.status == "cropped")
            done = set(records)
            boxes = Detections(np.array([[4, 4, 40, 40]], np.float32), np.ones(1, np.float32), ("Dolphin",))
            with closing(Journal(layout.journal, layout.candidates, folder.inside)) as journal:
                for photo in photos.of(shard.own_rows(photos.keys)):
                    if photo.key in done:
                        continue
                    span = journal.append_candidates(photo.key, photo.key, boxes)
                    digest = hashlib.blake2b(photo.key.encode(), digest_size=8).hexdigest()
                    record = replace(
                        like,
                        image=photo.key,
                        crop=photo.key,
                        crop_hash=digest,
                        score=int(digest[:4], 16) / 0xFFFF,
                        file_size=photo.size,
                        file_time=photo.version,
                        crop_bytes=0,
                        candidates=span,
                    )
                    journal.append(record)
                    crop = self.out / photo.key
                    if crop.parent not in made:
                        crop.parent.mkdir(exist_ok=True)
                        made.add(crop.parent)
                    os.close(os.open(crop, os.O_CREAT | os.O_WRONLY))


def _list(place: Place) -> int:
    return len(discover(place.list).photos)


def _plan(place: Place) -> int:
    return _run(place, dry_run=True)


def _shard(index: int) -> Callable[[Place], int]:
    return lambda place: _run(place, shard=f"{index}/{SHARDS}")


def _merge(place: Place) -> int:
    return api.merge(place.out).counts.total()


def _audit(place: Place) -> int:
    return api.write_audit(place.out).counts.total()


def _run(place: Place, **settings: Any) -> int:
    result = api.run(place.list, place.out, detector=FakeDetector(), quiet=True, **settings)
    return result.skipped + result.remaining + result.done


STEPS: dict[str, Callable[[Place], int]] = {
    "list": _list,
    "plan of a new run": _plan,
    **{f"shard {index} of {SHARDS}, again": _shard(index) for index in range(SHARDS)},
    "merge, audit.csv, audit.html": _merge,
    "audit.csv, audit.html again": _audit,
    "run, again": _run,
}


def main(folder: Path, count: int, step: str) -> int:
    """Do one step and print the photos it saw, its most memory in bytes, and the seconds."""
    begun = time.perf_counter()
    seen = STEPS[step](Place(folder, count))
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [peak] = re.findall(r"VmHWM:\s*(\d+) kB", status)
    print(seen, int(peak) * 1024, time.perf_counter() - begun, flush=True)
    return 0


def measured(folder: Path, count: int) -> dict[str, tuple[int, float]]:
    """Return of each step the most memory in bytes, and the seconds.

    Args:
        folder: an absent folder for the files; removed at the end.
        count: number of photos; of whole thousands.
    """
    folder.mkdir(parents=True)
    place = Place(folder, count)
    try:
        place.write_photos()
        found = {}
        for step in STEPS:
            if step == next(name for name in STEPS if name.startswith("shard")):
                for index in range(SHARDS):
                    _run(place, shard=f"{index}/{SHARDS}", limit=FEW)
                place.write_shards()
            command = [sys.executable, "-m", "benchmarks.scale", "--flat", str(folder), str(count), step]
            said = subprocess.run(command, capture_output=True, check=False, text=True)
            if said.returncode:
                raise RuntimeError(f"{step}: {said.stderr[-2000:]}")
            seen, peak, seconds = said.stdout.split()
            print(
                f"  {step}: {int(seen):,} photos, {int(peak) / 1e6:.0f} MB, {float(seconds):.0f} s",
                flush=True,
            )
            found[step] = int(peak), float(seconds)
        return found
    finally:
        shutil.rmtree(folder)


def show(folder: Path, count: int) -> bool:
    """Print what `count` photos take and ten million would; return whether no step took more than 2 GB."""
    few = max(1000, count // 10 // 1000 * 1000)
    print(f"{few:,} photos", flush=True)
    small = measured(folder / "few", few)
    print(f"{count:,} photos", flush=True)
    large = measured(folder / "many", count)
    print(f"| step | {count:,} photos | bytes a photo | 10,000,000 photos, reckoned |\n|---|---|---|---|")
    ok = True
    for step, (peak, seconds) in large.items():
        each = (peak - small[step][0]) / (count - few)
        reckoned = peak + each * (_TEN_MILLION - count)
        ok = ok and peak <= 2e9
        longer = seconds * _TEN_MILLION / count / 60
        took, then = f"{peak / 1e6:.0f} MB, {seconds:.0f} s", f"{reckoned / 1e9:.1f} GB, {longer:.0f} min"
        print(f"| {step} | {took} | {each:.0f} | {then} |")
    return ok
