"""How far crops of ``--decode scaled`` are from those of a full decode.

    python -m benchmarks.decode_quality PHOTOS [--draws 12]

For JPEG photos in a folder, random rectangles and crop sizes at which a reduction or the quick averaging is
just allowed, and up to twice as large. Prints the least, the 5th percentile and the median of the PSNR, and
of how many crops the reduced pixels were found fine enough; exit code 1 when one of those is below 40 dB.
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

from detic_crop.boxes.crop_size import crop_size
from detic_crop.images.crop import Image, cut_and_resize, resize_exactly, resize_quickly, resize_reduced
from detic_crop.images.decode import PhotoFile
from detic_crop.images.partial import LEAST_PIXELS, MARGINS, REDUCTIONS, is_fine_enough, snapped

BOUND = 40.0
_LEAST_SIZE = 48
_RATIOS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0)


def main() -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path, help="a folder, searched through")
    parser.add_argument("--draws", type=int, default=12, help="rectangles of each photo")
    options = parser.parse_args()
    paths = sorted(path for path in options.photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    random = np.random.default_rng(0)
    found: defaultdict[str, list[float]] = defaultdict(list)
    tried: defaultdict[str, int] = defaultdict(int)
    used = 0
    for path in paths:
        photo = PhotoFile(path.read_bytes())
        if photo.resolution_wh is None or prod(photo.resolution_wh) < LEAST_PIXELS:
            continue
        used += 1
        for _ in range(options.draws):
            for what, ours, exact in (*reduced(photo, random), *averaged(photo, random)):
                tried[what] += 1
                if ours is not None:
                    found[what].append(cv2.PSNR(ours, exact))
    if not found:
        parser.error(
            f"expected JPEG photos of {LEAST_PIXELS:,} pixels and more in {options.photos}, got none"
        )
    print(
        f"{used} photos of {LEAST_PIXELS:,} pixels and more; PSNR in dB against full decode, exact averaging:"
    )
    print(f"{'least, 5th percentile, median, crops':>72}")
    for what, count in sorted(tried.items()):
        values = found[what]
        low, median = np.percentile(values, [5, 50]) if values else (np.nan, np.nan)
        row = f"{min(values, default=np.nan):5.1f} {low:5.1f} {median:5.1f}"
        print(f"{what:<44} {row}  {len(values)} of {count}")
    return int(min(min(values) for values in found.values() if values) < BOUND)


def reduced(photo: PhotoFile, random: np.random.Generator) -> Iterator[tuple[str, Image | None, Image]]:
    """Crops from a reduced decode, None where it was not fine enough, and from a full one."""
    assert photo.resolution_wh is not None
    width, height = photo.resolution_wh
    for reduction in REDUCTIONS:
        if reduction == 1 or not photo.can_reduce(reduction):
            continue
        region = snapped(_rectangle(width, height, random), reduction, (width, height))
        spare = random.uniform(1, 2)
        size = int(min(region[2] - region[0], region[3] - region[1]) / reduction / MARGINS[reduction] / spare)
        if size < _LEAST_SIZE:
            continue
        few, full = photo.decode(region, reduction), photo.decode(region)
        x1, y1, x2, y2 = few.in_image(region)
        ours = None
        if is_fine_enough(few.image[y1:y2, x1:x2], size, size):
            ours = cut_and_resize(few.image, few.in_image(region), crop_size(size, "stretch"), resize_reduced)
        pixels = MARGINS[reduction] * (1 if spare < 1.25 else 1.25 if spare < 1.5 else 1.5)
        exact = cut_and_resize(full.image, full.in_image(region), crop_size(size, "stretch"))
        yield f"decoded at 1/{reduction}, {pixels:.1f} px and more a pixel", ours, exact


def averaged(photo: PhotoFile, random: np.random.Generator) -> Iterator[tuple[str, Image, Image]]:
    """Crops averaged quickly, and exactly."""
    image = photo.decode().image
    height, width = image.shape[:2]
    x1, y1, x2, y2 = _rectangle(width, height, random)
    region = image[y1:y2, x1:x2]
    for most in _RATIOS:
        ratios = random.uniform(most - 1, most), random.uniform(1, most)
        across, down = ratios if random.random() < 0.5 else ratios[::-1]
        size = int((x2 - x1) / across), int((y2 - y1) / down)
        if min(size) >= _LEAST_SIZE:
            what = f"averaged by samples, {most - 1:.1f} to {most:.1f} px a pixel"
            yield what, resize_quickly(region, *size), resize_exactly(region, *size)


def _rectangle(width: int, height: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    w, h = int(width * random.uniform(0.3, 1)), int(height * random.uniform(0.3, 1))
    x, y = int(random.integers(0, width - w + 1)), int(random.integers(0, height - h + 1))
    return x, y, x + max(w, 16), y + max(h, 16)


if __name__ == "__main__":
    sys.exit(main())
