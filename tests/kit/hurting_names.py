"""Photos whose names hurt the formats of other programs, and one that is stored on its side."""

from __future__ import annotations

from pathlib import Path

from tests.kit.exif import ORIENTATION, exif, photo_with
from tests.kit.photos import write_photo

PLAIN = ("plain.jpg", "pic.png", "more/plain2.jpg")
"""Names that hurt no program."""

HURTING = (
    "UPPER.JPG",
    "a.b.c.jpg",
    "a__b.jpg",
    "a/b.jpg",
    "day1/same.jpg",
    "day2/same.jpg",
    "deep/images/in.jpg",
    "label/of.jpg",
    "labels/in.png",
    "long.jpeg",
    "per%20cent 100%.jpg",
    "scan.tif",
    "scan/scan.TIF",
    "twin.jpg",
    "twin.png",
    "twin.tif",
    "Grün & <Wal> 'n\".jpg",
    "12 0.5 0.5 0.1 0.1.jpg",
)
"""Names with blanks, umlauts, marks of XML and addresses; equal but for the folder, case or extension; in
folders that mean something to a program; of formats that are encoded anew."""

TURNED = "turned.jpg"
"""Stored on its side: orientation 6."""


def write_hurting(folder: Path) -> list[str]:
    """Write them all, each with another picture and of another size; return their keys in order."""
    for number, key in enumerate((*PLAIN, *HURTING)):
        write_photo(folder / key, number, width=60 + number, height=40 + number % 7)
    (folder / TURNED).write_bytes(photo_with(exif({ORIENTATION: 6}), width=70, height=50))
    return sorted((*PLAIN, *HURTING, TURNED))
