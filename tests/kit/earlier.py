"""Output folders that an earlier version made, in tests/data/folders, and how they were made.

    git worktree add ../earlier 0e074e8
    PYTHONPATH=../earlier python -m tests.kit.earlier /tmp/folders
    cp -a /tmp/folders/. tests/data/folders

The commands run in the folder that is given, as the command line of that version. Pages (audit.html) and
locks are left out: each version makes its own.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

DATA = Path(__file__).parents[1] / "data" / "folders"

TIME = 1_700_000_000
"""Modification time of all photos, seconds; journals hold it."""

WIDTH, HEIGHT = 64, 48

# Key → boxes (xmin, ymin, xmax, ymax, score, class); None: the boxes file does not speak of the photo.
Boxes = list[tuple[float, float, float, float, float, str]]
PHOTOS: dict[str, Boxes | None] = {
    "beach/a.jpg": [(8.25, 10.5, 50.75, 38, 0.91, "Dolphin")],
    "beach/a.png": [(12, 14, 44.5, 33.25, 0.83, "Dolphin"), (10, 9.5, 58, 40, 0.2, "Dolphin")],
    "beach/b.png": [(5, 5, 30, 40, 0.72, "Whale"), (30, 8, 62, 40, 0.88, "Dolphin")],
    "beach/c.png": [],
    "beach/d.png": [(20.5, 20.5, 41, 35, 0.31, "Whale")],
    "day1/bow.png": [(2, 6, 60, 44, 0.97, "Whale"), (4, 8, 58, 42, 0.55, "Boat")],
    "day1/deep/fin.png": [(22, 11, 39, 30, 0.64, "Dolphin")],
    "day1/deep/tail.png": [(0, 0, 64, 48, 0.58, "Whale")],
    "day1/empty.png": [],
    "day1/group.png": [(3, 4, 20, 18, 0.77, "Dolphin"), (24, 22, 47, 41, 0.81, "Dolphin")],
    "day1/not a photo.jpg": [(1, 1, 9, 9, 0.9, "Whale")],
    "leap.png": [(16, 2, 52, 29, 0.93, "Dolphin")],
    "log.png": [(9, 20, 33, 31, 0.42, "Whale")],
    "pair.png": [(6, 10, 28, 30, 0.66, "Dolphin"), (25, 12, 60, 36, 0.67, "Whale")],
    "turned.jpg": [(10, 12, 40, 50, 0.86, "Dolphin")],  # 48 × 64 when upright
    "unlisted.png": None,
}
LABELS = [
    (key, "humpback" if number % 3 else "orca", f"id{number % 4}") for number, key in enumerate(PHOTOS)
][::-1]

VERDICTS = [  # one line of review.csv each: image, verdict, box
    ("beach/a.png", "rejected", ""),
    ("beach/b.png", "box", "5 5 30 40"),
    ("day1/bow.png", "accepted", ""),
    ("day1/group.png", "box", "4.5 6 33.25 40"),  # drawn
    ("leap.png", "whole", ""),
    ("log.png", "rejected", ""),
    ("day1/empty.png", "accepted", ""),
]
LATER_VERDICTS = [
    ("log.png", "undone", ""),
    ("pair.png", "rejected", ""),
    ("beach/c.png", "box", "10 10 40 40"),  # drawn
    ("leap.png", "accepted", ""),
]
RUN = [
    *("run", "--in", "photos", "--model", "boxes:boxes.csv", "--conf", "0.3"),
    *("--size", "32", "--format", "png", "--quiet", "--workers", "1"),
]


def copy_earlier(base: Path) -> Path:
    """Copy the stored folders, the photos and the tables to `base`; return it."""
    shutil.copytree(DATA, base, dirs_exist_ok=True)
    for key in PHOTOS:
        os.utime(base / "photos" / key, (TIME, TIME))
    return base


def make_folders(base: Path, detic_crop: Callable[..., object]) -> None:
    """Make everything in `base`, which is empty.

    Args:
        base: parent of the photos, tables and output folders.
        detic_crop: run the command line with these arguments in `base`.
    """
    write_photos(base / "photos")
    write_csv(
        base / "boxes.csv", ["image", "xmin", "ymin", "xmax", "ymax", "score", "class_name"], box_rows()
    )
    write_csv(base / "labels.csv", ["image", "species", "individual_id"], [list(row) for row in LABELS])

    # Finished, with labels, a drawn sample, verdicts that were applied and some that were not yet.
    detic_crop(*RUN, "--out", "finished", "--labels", "labels.csv")
    detic_crop("audit", "finished", "--sample", "10", "--seed", "3")
    give_verdicts(base / "finished", VERDICTS)
    detic_crop("apply", "finished", "--quiet")
    give_verdicts(base / "finished", LATER_VERDICTS)
    detic_crop("audit", "finished")

    # Stopped after five photos.
    detic_crop(*RUN, "--out", "stopped", "--limit", "5")

    # Two shards that wait to be merged; in the second folder some photos were done and reviewed before.
    for index in range(2):
        detic_crop(*RUN, "--out", "shards", "--shard", f"{index}/2")
    detic_crop(*RUN, "--out", "reviewed_shards", "--limit", "11")
    give_verdicts(base / "reviewed_shards", VERDICTS[:4])
    detic_crop("apply", "reviewed_shards", "--quiet")
    for index in range(2):
        detic_crop(*RUN, "--out", "reviewed_shards", "--shard", f"{index}/2")

    # Crops in tar files.
    detic_crop(*RUN, "--out", "tar", "--out-format", "tar", "--per-tar", "4")


def said_by(name: str, data: bytes) -> bytes:
    """What a file of a folder says: without the checksums, which that version did not write."""
    if name.endswith("/labels.json"):
        values = json.loads(data)
        return json.dumps({"key_column": values["key_column"], "keys": values["keys"]}).encode()
    if name.endswith(("/listing.json", "/part.json")):
        values = json.loads(data)
        values.pop("crc", None)
        if gaps := values.pop("gaps", None):
            values["places"] = list(itertools.accumulate(gaps[1:], initial=gaps[0] - 1))
        return json.dumps(values, sort_keys=True).encode()
    if name.endswith("/sample.csv"):
        return re.sub(rb',"(crc|[0-9a-f]{8})"\n', b"\n", data)
    return data


def give_verdicts(folder: Path, verdicts: list[tuple[str, str, str]]) -> None:
    """Append lines to review.csv."""
    path = folder / ".detic-crop" / "review.csv"
    rows = [[*verdict, "somebody", "2026-01-02T03:04:05+0000"] for verdict in verdicts]
    if not path.exists():
        rows = [["image", "verdict", "box", "reviewer", "time"], *rows]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    with open(path, "ab") as file:
        file.write(text.getvalue().encode())


def write_photos(folder: Path) -> None:
    """Rendered animals in a rendered sea."""
    for number, key in enumerate(PHOTOS):
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(sea(number))
        draw = ImageDraw.Draw(picture)
        for left, top, right, bottom, _, name in PHOTOS[key] or []:
            dark = 40 if name == "Whale" else 70
            draw.ellipse((left, top, right, bottom), fill=(dark, dark + 10, dark + 30))
            draw.polygon(
                [(right, top), (right - 6, (top + bottom) / 2), (right, bottom)], fill=(dark, dark, dark)
            )
        if "not a photo" in key:
            path.write_bytes(b"This is not a photo.\n")
        elif path.suffix == ".jpg":
            exif = Image.Exif()
            exif[0x0112] = 6 if key == "turned.jpg" else 1  # orientation: turn clockwise
            picture.save(path, quality=90, exif=exif)
        else:
            picture.save(path, optimize=True)
        os.utime(path, (TIME, TIME))


def sea(number: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: sky above, waves below, unlike for each number."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = 12 * np.sin(x / (3 + number % 5) + y / 2 + number) * (y > HEIGHT // 4)
    blue = 200 - 1.5 * y + waves
    return np.stack([blue / 3, blue / 2 + 3 * number, blue], axis=-1).clip(0, 255).astype(np.uint8)


def box_rows() -> list[list[object]]:
    """The lines of the boxes file; a photo without boxes has one with empty cells."""
    rows: list[list[object]] = []
    for key, boxes in PHOTOS.items():
        if boxes is not None:
            rows += [[key, *box] for box in boxes] or [[key, *[""] * 6]]
    return rows


def write_csv(path: Path, header: list[str], rows: list[list[object]] | list[list[str]]) -> None:
    """A table, lines ended by a line feed."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def main(base: Path) -> None:
    """Make the folders with the `detic_crop` that Python finds outside this one."""

    def detic_crop(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "detic_crop", *arguments], cwd=base, check=True)

    base.mkdir()
    make_folders(base, detic_crop)
    # Two of three shards, merged in part, which only that version can do.
    for index in range(2):
        detic_crop(*RUN, "--out", "merged_in_part", "--shard", f"{index}/3")
    detic_crop("merge", "merged_in_part", "--partial", "--quiet")
    for path in [*base.rglob("audit.html"), *base.rglob("*lock*")]:
        path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
