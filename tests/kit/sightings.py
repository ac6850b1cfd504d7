"""Photos of known individuals under names that hurt, with labels; a detector that finds what is bright."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detic_crop.boxes.detections import Detections
from detic_crop.detectors.base import Detector, DetectorInfo
from tests.kit.exif import ORIENTATION, ORIGINAL, exif
from tests.kit.folders import crop

WIDTH, HEIGHT = 120, 80
BRIGHT = (30, 20, 90, 60)
"""xyxy of the animal in most of the photos."""
LEFT, RIGHT = (8, 10, 48, 70), (70, 12, 112, 64)
"""xyxy of the animals in the photo of two."""

LABELS = {
    "day 1/Wal ä.jpg": ("anna", "humpback_whale", "left", "2019-07-04", "north"),
    "day_1/Wal_a.jpg": ("anna", "humpback_whale", "left", "2019-07-04", "north"),
    "day2/Wal ä.jpg": ("007", "bottlenose_dolpin", "", "2019-07-05", "north"),
    "day2/č-ř.JPG": ("new_individual", "Tursiops truncatus", "right", "", "south"),
    "flat.tif": ("007", "minke_whale", "right", "2019", "south"),
    "side.jpg": ("berta", "killer_whale", "left", "", "south"),  # lies on its side; its EXIF has a time
    "cut.jpg": ("berta", "killer_whale", "left", "04/07/2019", "3"),
    "grey.jpg": ("", "", "", "", "3"),
    "clear.png": ("NA", "sea serpent", "", "20190706", ""),
    "con.jpg": ("anna", "humpback_whale", "", "2019-07-04 10:07:00", "north"),
    "two.jpg": ("anna", "humpback_whale", "", "2019-07-04", "north"),
}
"""Key → individual, species, side, date, encounter."""


@dataclass
class BrightDetector(Detector):
    """Finds every bright rectangle in a dark photo."""

    def __post_init__(self) -> None:
        self.info = DetectorInfo("bright", ("Whale",), 0.3, {"bright.bin": "0" * 64}, thread_safe=True)

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """One box for each; see `Detector`."""
        mask = (image.min(axis=2) > 128).astype(np.uint8)
        _, _, found, _ = cv2.connectedComponentsWithStats(mask)
        boxes = [(x, y, x + w, y + h) for x, y, w, h, area in found[1:].tolist() if area > 50]
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.full(len(boxes), 0.9, np.float32),
            ("Whale",) * len(boxes),
        )


def bright(*boxes: tuple[int, int, int, int], width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """A dark photo with bright rectangles, RGB."""
    image = np.full((height, width, 3), 30, np.uint8)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = 240
    return image


def write_sightings(folder: Path) -> Path:
    """Write the photos of `LABELS` into ``in`` and labels.csv beside it; return the path of this."""
    for key in LABELS:
        path = folder / "in" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_photo(key))
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "individual_id", "species", "side", "date", "trip"])
        writer.writerows([key, *cells] for key, cells in LABELS.items())
    return folder / "labels.csv"


def crop_sightings(folder: Path, **settings: Any) -> Path:
    """A run on `write_sightings`; the crops are squares of 64 pixels."""
    labels = write_sightings(folder)
    return Path(
        crop(
            folder / "in", folder / "cropped", labels=labels, detector=BrightDetector(), size=64, **settings
        ).folder.layout.root
    )


def _photo(key: str) -> bytes:
    image = Image.fromarray(bright(LEFT, RIGHT) if key == "two.jpg" else bright(BRIGHT))
    file = io.BytesIO()
    if key == "side.jpg":
        block = exif({ORIENTATION: 6}, {ORIGINAL: "2019:07:07 09:30:00"})
        image.rotate(90, expand=True).save(file, "JPEG", quality=95, exif=b"Exif\0\0" + block)
    elif key == "grey.jpg":
        image.convert("L").save(file, "JPEG", quality=95)
    elif key == "clear.png":
        image.convert("RGBA").save(file, "PNG")
    elif key == "flat.tif":
        image.save(file, "TIFF")
    else:
        image.save(file, "JPEG", quality=95)
    return file.getvalue()[:-40] if key == "cut.jpg" else file.getvalue()
