"""How far crops of ``--decode scaled`` are from those of a full decode.

    python -m benchmarks.decode_quality PHOTOS [--draws 12]

For JPEG photos in a folder, random rectangles and crop sizes at which a reduction or the quick averaging is
just allowed, and up to half as large again. Prints the least, the 5th percentile and the median of the PSNR;
exit code 1 when one is below 40 dB.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from math import prod
from pathlib import Path

import cv2
import numpy as np

from detic_crop.images.crop import Image, cut_and_resize, resize_exactly, resize_quickly
from detic_crop.images.decode import PhotoFile
from detic_crop.images.partial import LEAST_PIXELS, MARGINS, REDUCTIONS, snapped

BOUND = 40.0
_LEAST_SIZE = 48
_RATIOS = (1.6, 2.6, 3.2, 4.2)


def main() -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path, help="a folder, searched through")
    parser.add_argument("--draws", type=int, default=12, help="rectangles of each photo")
    options = parser.parse_args()
    paths = sorted(path for path in options.photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    random = np.random.default_rng(0)
    found: defaultdict[str, list[float]] = defaultdict(list)
    used = 0
    for path in paths:
        photo = PhotoFile(path.read_bytes())
        if photo.resolution_wh is None or prod(photo.resolution_wh) < LEAST_PIXELS:
            continue
        used += 1
        for _ in range(options.draws):
            for what, ours, exact in (*reduced(photo, random), *averaged(photo, random)):
                found[what].append(cv2.PSNR(ours, exact))
    if not found:
        parser.error(f"expected JPEG photos of 1 MP and more in {options.photos}, got none")
    print(f"{used} photos of 1 MP and more; PSNR in dB against a full decode and exact averaging:")
    print(f"{'least, 5th percentile, median':>65}")
    for what, values in sorted(found.items()):
        low, median = np.percentile(values, [5, 50])
        print(f"{what:<46} {min(values):5.1f} {low:5.1f} {median:5.1f}  ({len(values)} crops)")
    return int(min(min(values) for values in found.values()) < BOUND)


def reduced(photo: PhotoFile, random: np.random.Generator) -> Iterator[tuple[str, Image, Image]]:
    """Crops from a reduced decode, and from a full one."""
    assert photo.resolution_wh is not None
    width, height = photo.resolution_wh
    for reduction in REDUCTIONS:
        if reduction == 1 or not photo.can_reduce(reduction):
            continue
        region = snapped(_rectangle(width, height, random), reduction, (width, height))
        least = min(region[2] - region[0], region[3] - region[1])
        size = int(least / reduction / MARGINS[reduction] / random.uniform(1, 1.5))
        if size < _LEAST_SIZE:
            continue
        crops = []
        for r in (reduction, 1):
            decoded = photo.decode(region, r)
            crops.append(cut_and_resize(decoded.image, decoded.in_image(region), size, "stretch"))
        yield f"decoded at 1/{reduction}, {MARGINS[reduction]} px and more a pixel", crops[0], crops[1]


def averaged(photo: PhotoFile, random: np.random.Generator) -> Iterator[tuple[str, Image, Image]]:
    """Crops averaged quickly, and exactly."""
    image = photo.decode().image
    height, width = image.shape[:2]
    x1, y1, x2, y2 = _rectangle(width, height, random)
    region = image[y1:y2, x1:x2]
    for ratio in _RATIOS:
        size = int((x2 - x1) / ratio), int((y2 - y1) / ratio)
        if min(size) >= _LEAST_SIZE:
            yield (
                f"averaged by samples, {ratio} to 1",
                resize_quickly(region, *size),
                resize_exactly(region, *size),
            )


def _rectangle(width: int, height: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    w, h = int(width * random.uniform(0.3, 1)), int(height * random.uniform(0.3, 1))
    x, y = int(random.integers(0, width - w + 1)), int(random.integers(0, height - h + 1))
    return x, y, x + max(w, 16), y + max(h, 16)


if __name__ == "__main__":
    sys.exit(main())
