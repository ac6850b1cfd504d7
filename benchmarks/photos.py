"""Photos made up for benchmarks: as large and as hard to decode as those of the Happywhale competition.

Its 78,989 photos are 62 GB: 4.6 MP on average (median 4.0, largest 16.8), 1.4 bits of file a pixel. Sizes are
drawn from a log-normal distribution of that median and mean, cut at the largest; pictures are smooth
noise of several octaves with some grain, coded as JPEG with 4:2:0 chroma, and come out at about those bits.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

MEDIAN_MP, MEAN_MP, LARGEST_MP = 4.0, 4.6, 16.8
_SIGMA = math.sqrt(2 * math.log(MEAN_MP / MEDIAN_MP))
_ASPECT = 1.5
_SEA = 6000, 4000  # what photos are cut out of, pixels; larger than the largest
_OCTAVES = 9
_GRAIN = 2.5  # standard deviation, grey levels
_QUALITY = 92


def sizes(count: int, seed: int) -> list[tuple[int, int]]:
    """Width and height of photos, pixels."""
    random = np.random.default_rng(seed)
    megapixels = np.minimum(np.exp(random.normal(math.log(MEDIAN_MP), _SIGMA, count)), LARGEST_MP)
    return [
        (round(math.sqrt(mp * 1e6 * _ASPECT) / 2) * 2, round(math.sqrt(mp * 1e6 / _ASPECT) / 2) * 2)
        for mp in megapixels
    ]


def picture(width: int, height: int, seed: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR noise, the same for the same arguments."""
    random = np.random.default_rng(seed)
    field = np.zeros((height, width, 3), np.float32)
    for octave in range(_OCTAVES):
        cells = 3 * 2**octave
        if cells > width:
            break
        coarse = random.normal(0, 60 / 1.6**octave, (max(2, cells * 2 // 3), cells, 3)).astype(np.float32)
        coarse[..., 1:] = 0.4 * coarse[..., 1:] + 0.6 * coarse[..., :1]  # colours go together, as in the sea
        field += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = random.standard_normal((height, width, 1), np.float32) * _GRAIN
    return np.asarray(np.clip(field + grain + 120, 0, 255), np.uint8)


def write_photos(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """`count` photos in `folder`, whose sum of pixels and bytes `describe` tells; those there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    sea: NDArray[np.uint8] | None = None
    random = np.random.default_rng(seed + 1)
    for number, (width, height) in enumerate(sizes(count, seed)):
        path = folder / f"{seed}-{number:05}.jpg"
        x, y, flip = random.random(), random.random(), int(random.integers(-1, 2))
        if not path.exists():
            if sea is None:
                sea = picture(*_SEA, seed)
            left, top = int(x * (_SEA[0] - width)), int(y * (_SEA[1] - height))
            photo = cv2.flip(sea[top : top + height, left : left + width], flip)
            cv2.imwrite(str(path), photo, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        paths.append(path)
    return paths


def read_photos(folder: Path, count: int) -> list[Path]:
    """At most `count` JPEG files of a folder and those below it, evenly spread; no two of one name."""
    paths = {
        path.name: path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")
    }
    if not paths:
        raise SystemExit(f"expected photos (.jpg, .jpeg) in {folder}, got none")
    every = -(-len(paths) // count)
    return sorted(paths.values())[::every]


def describe(paths: list[Path]) -> str:
    """How large they are."""
    megapixels = []
    for path in paths:
        with Image.open(path) as photo:
            megapixels.append(photo.width * photo.height / 1e6)
    bits = 8 * sum(path.stat().st_size for path in paths) / (1e6 * sum(megapixels))
    return (
        f"{len(paths)} photos, {np.mean(megapixels):.1f} MP on average, median {np.median(megapixels):.1f}, "
        f"largest {max(megapixels):.1f}, {bits:.2f} bits a pixel"
    )
