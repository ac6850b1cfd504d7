"""What does a second look in tiles find? `python -m benchmarks.tiles_quality SET [SET …] [--model lite]`.

Each SET is a folder of labelled photos (see `labelled_photos`). Three kinds of pictures are looked at, as a
whole and with `--tiles auto`: the photos themselves, by the size of the animal; far animals, which are real
ones shrunk and cloned (Pérez et al. 2003, "Poisson image editing") into the rendered seas of `empty_seas`, so
that their size is known; and the photos without an animal, for false alarms. Far animals are the same ones
every time. They are not photos: sharper than real ones, in water that is not theirs.

A box is right if its IoU with the true one is 0.5 or more. `--limit N` takes every photo that stands at a
multiple of what leaves N of a kind.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.empty_seas import render_seas
from benchmarks.labelled_photos import Box, LabelledPhoto, read_sets
from detic_crop.boxes.choose import choose
from detic_crop.boxes.overlap import iou_of_pair
from detic_crop.detectors import load_detector
from detic_crop.detectors.base import Detector
from detic_crop.detectors.joined.grid import tiles_of
from detic_crop.detectors.joined.several import default_wanted

WIDTHS = (30, 45, 60, 90, 120)
"""Widths of far animals, pixels, in photos of 2,200."""

_LONG_SIDE = 2200
_MARGIN = 0.3  # of the animal's sides, cloned with it
_SHARES = ((0.0, 0.01), (0.01, 0.05), (0.05, 1.01))


@dataclass
class Count:
    """What was found in the pictures of one row.

    Attributes:
        pictures: how many there are.
        found: number in which a box counts, after the look at the whole, and after that in tiles.
        right: number of those whose box is right.
        overlaps: sum of the IoU of the chosen box, 0 where none is.
    """

    pictures: int = 0
    found: tuple[int, int] = (0, 0)
    right: tuple[int, int] = (0, 0)
    overlaps: tuple[float, float] = (0.0, 0.0)

    def add(self, overlap: float | None, in_tiles: bool) -> None:
        """Add a picture: the IoU of its chosen box, None if none counts, and whether a tile has it."""
        looks = np.array([not in_tiles, True])
        found, right = overlap is not None, (overlap or 0.0) >= 0.5
        self.pictures += 1
        self.found = _plus(self.found, looks & found)
        self.right = _plus(self.right, looks & right)
        whole, tiles = self.overlaps
        self.overlaps = whole + (overlap or 0.0) * (not in_tiles), tiles + (overlap or 0.0)


def _plus(counts: tuple[int, int], more: NDArray[np.bool_]) -> tuple[int, int]:
    return counts[0] + int(more[0]), counts[1] + int(more[1])


def pictures(
    photos: Sequence[LabelledPhoto], limit: int | None
) -> Iterator[tuple[str, NDArray[np.uint8], Box | None]]:
    """Yield (row, picture, true box) of every kind."""
    animals = [photo for photo in photos if photo.box is not None]
    empty = [photo for photo in photos if photo.box is None]
    for low, high in _SHARES:
        of_size = [photo for photo in animals if low <= photo.share < high]
        name = f"photos, animal of {100 * low:.0f} to {100 * min(high, 1):.0f} %"
        for photo in _some(of_size, limit):
            yield name, photo.pixels(), photo.box
    with tempfile.TemporaryDirectory() as folder:
        render_seas(Path(folder))
        yield from far_animals(animals, sorted(Path(folder).rglob("*.jpg")), limit)
    for photo in _some(empty, limit):
        yield "photos without an animal", photo.pixels(), None


def far_animals(
    animals: Sequence[LabelledPhoto], seas: Sequence[Path], limit: int | None
) -> Iterator[tuple[str, NDArray[np.uint8], Box]]:
    """Yield (row, picture, true box) of animals cloned into empty seas, in each of `WIDTHS`."""
    clear = [photo for photo in animals if photo.kind in ("surface", "leap") and not photo.several]
    for number, photo in enumerate(_some(clear, limit)):
        assert photo.box is not None
        sea = cv2.imread(str(seas[number % len(seas)]))
        assert sea is not None
        scale = _LONG_SIDE / max(sea.shape[:2])
        water = np.asarray(cv2.resize(sea, None, fx=scale, fy=scale), np.uint8)
        for width in WIDTHS:
            place = np.random.default_rng(number).uniform((0.15, 0.6), (0.85, 0.85))
            yield f"far animals, {width} px wide", *cloned(photo.pixels(), photo.box, water, width, place)


def cloned(
    photo: NDArray[np.uint8], box: Box, into: NDArray[np.uint8], width: int, place: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], Box]:
    """Return a picture with the animal of another in it, and the animal's box.

    Args:
        photo: (H, W, 3) uint8 BGR, where the animal is from.
        box: of the animal.
        into: (H, W, 3) uint8 BGR.
        width: of the animal in the new picture, pixels.
        place: (2,) x and y of its middle, as shares of the sides.
    """
    height, across = photo.shape[:2]
    x, y = _MARGIN * (box[2] - box[0]), _MARGIN * (box[3] - box[1])
    left, top = max(0, int(box[0] - x)), max(0, int(box[1] - y))
    right, bottom = min(across, int(box[2] + x)), min(height, int(box[3] + y))
    scale = width / (box[2] - box[0])
    size = max(8, round((right - left) * scale)), max(8, round((bottom - top) * scale))
    patch = cv2.resize(photo[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    mask = np.zeros(patch.shape[:2], np.uint8)
    mask[1:-1, 1:-1] = 255
    middle = int(place[0] * into.shape[1]), int(place[1] * into.shape[0])
    picture = np.asarray(cv2.seamlessClone(patch, into, mask, middle, cv2.NORMAL_CLONE), np.uint8)
    corner = np.array([middle[0] - size[0] // 2, middle[1] - size[1] // 2])
    edges = (np.array(box) - [left, top, left, top]) * scale + np.tile(corner, 2)
    return picture, (float(edges[0]), float(edges[1]), float(edges[2]), float(edges[3]))


def _some(photos: Sequence[LabelledPhoto], limit: int | None) -> Sequence[LabelledPhoto]:
    return photos if limit is None else photos[:: max(1, -(-len(photos) // limit))]


def look(detector: Detector, picture: NDArray[np.uint8], box: Box | None) -> tuple[float | None, bool]:
    """Return the IoU of the chosen box with the true one, None if none counts, and whether a tile has it."""
    found = detector.detect(picture)
    conf = detector.info.confs.get(found.found_by, detector.info.default_conf)
    choice = choose(found, default_wanted(detector.info), conf)
    if choice.index is None:
        return None, False
    overlap = 0.0 if box is None else iou_of_pair(found.xyxy[choice.index], box)
    return overlap, found.found_by.endswith(", tiles")


def main(arguments: Sequence[str] | None = None) -> None:
    """Look at all pictures and print a table."""
    parser = argparse.ArgumentParser(description="Measure what a second look in tiles finds.")
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET")
    parser.add_argument("--model", default="lite")
    parser.add_argument("--limit", type=int, help="pictures of each kind")
    given = parser.parse_args(arguments)
    detector = load_detector(given.model, tiles="auto")
    counts: dict[str, Count] = defaultdict(Count)
    tiles: list[int] = []
    for row, picture, box in pictures(read_sets(given.sets), given.limit):
        counts[row].add(*look(detector, picture, box))
        if box is None:
            tiles.append(len(tiles_of(picture.shape[1], picture.shape[0])))
    print("| whole, with tiles | number | found | right | mean IoU |")
    print("|---|---|---|---|---|")
    for row, count in counts.items():
        found, right = ("{}, {}".format(*pair) for pair in (count.found, count.right))
        mean = ", ".join(f"{overlap / count.pictures:.2f}" for overlap in count.overlaps)
        cells = (found, "", "") if row.endswith("without an animal") else (found, right, mean)
        print(f"| {row} | {count.pictures} | {' | '.join(cells)} |")
    if tiles:
        print(f"\nTiles of a photo without an animal: {np.mean(tiles):.0f} on average.")


if __name__ == "__main__":
    main()
