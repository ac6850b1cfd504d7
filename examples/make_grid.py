"""Make `examples/grid.jpg`: sample photos with the box that was found, each beside its crop.

python examples/make_grid.py
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

import detic_crop

HERE = Path(__file__).resolve().parent
SHOWN = (
    "dolphin_breach.jpg",
    "humpback_fluke.jpg",
    "orca_tall_fin.jpg",
    "dolphin_surfacing.jpg",
    "survey2/beluga.jpg",
    "evening_leap.jpg",
    "blue_whale_blow.jpg",
    "two_dolphins.jpg",
    "phone_portrait.jpg",
)
COLUMNS = 3
HEIGHT = 240  # of photo and crop
WIDTH = 340  # of a photo, cut to this shape around its middle
GAP = 8  # between a photo and its crop
MARGIN = 28  # between pairs
YELLOW, DARK, WHITE = (255, 221, 51), (20, 30, 40), (255, 255, 255)


def photo_with_box(path: Path, box: str) -> Image.Image:
    """Return the upright photo with `box` ("xmin ymin xmax ymax") drawn, WIDTH × HEIGHT."""
    with Image.open(path) as file:
        photo = ImageOps.exif_transpose(file).convert("RGB")
    edges = [int(edge) for edge in box.split()]
    draw = ImageDraw.Draw(photo)
    line = max(photo.size) // 150
    draw.rectangle(edges, outline=DARK, width=line + 4)
    draw.rectangle([edges[0] + 2, edges[1] + 2, edges[2] - 2, edges[3] - 2], outline=YELLOW, width=line)
    # A tall photo is cut to the shape of the others around its animal, not around its middle.
    middle = (edges[1] + edges[3]) / 2 / photo.height
    return ImageOps.fit(
        photo, (WIDTH, HEIGHT), centering=(0.5, middle if photo.height > photo.width else 0.5)
    )


def main(path: Path = HERE / "grid.jpg") -> None:
    """Crop the sample photos, and lay those of `SHOWN` out in a grid, saved at `path`."""
    rows = -(-len(SHOWN) // COLUMNS)
    pair = WIDTH + GAP + HEIGHT
    size = (COLUMNS * (pair + MARGIN) - MARGIN, rows * (HEIGHT + MARGIN) - MARGIN)
    grid = Image.new("RGB", size, WHITE)
    with tempfile.TemporaryDirectory() as folder:
        detic_crop.run(HERE / "train_images", folder, model="lite", size=HEIGHT, quiet=True)
        with (Path(folder) / "audit.csv").open(encoding="utf-8", newline="") as file:
            audit = {row["image"]: row for row in csv.DictReader(file)}
        for place, name in enumerate(SHOWN):
            row = audit[name]
            left = place % COLUMNS * (pair + MARGIN)
            top = place // COLUMNS * (HEIGHT + MARGIN)
            grid.paste(photo_with_box(HERE / "train_images" / name, row["box"]), (left, top))
            with Image.open(Path(folder) / row["crop"]) as crop:
                grid.paste(crop, (left + WIDTH + GAP, top))
    grid.save(path, quality=88, optimize=True)


if __name__ == "__main__":
    main()
