"""The sample photos are what their script and their table say."""

from __future__ import annotations

import csv
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PHOTOS = EXAMPLES / "train_images"
WITHOUT_ANIMAL = {"boat_only.jpg"}
GPS_TAG = 0x8825


def _committed() -> dict[str, Path]:
    return {path.relative_to(PHOTOS).as_posix(): path for path in PHOTOS.rglob("*") if path.is_file()}


def _pixels(path: Path) -> NDArray[np.int16]:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(np.int16)


def test_the_table_names_every_photo_with_an_animal() -> None:
    with (EXAMPLES / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "species", "individual_id"]
    named = [row["image"] for row in rows]
    assert len(named) == len(set(named))
    assert set(named) == set(_committed()) - WITHOUT_ANIMAL
    assert all(row["species"] and row["individual_id"] for row in rows)


def test_photos_are_small_readable_and_without_position() -> None:
    photos = _committed()
    assert sum(path.stat().st_size for path in photos.values()) <= 2.5e6
    orientations = set()
    for path in photos.values():
        with Image.open(path) as image:
            image.load()
            exif = image.getexif()
        assert GPS_TAG not in exif
        orientations.add(exif.get(0x0112, 1))
    assert orientations == {1, 6}
    assert {path.suffix for path in photos.values()} == {".jpg", ".png"}
    assert any("/" in name for name in photos)


def test_the_script_makes_the_committed_photo(tmp_path: Path) -> None:
    # The way a user does it; far_fin.jpg is the quickest picture with sea, sky, coast and an animal.
    command = [sys.executable, str(EXAMPLES / "make_sample.py"), "far_fin.jpg", "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    made, committed = _pixels(tmp_path / "far_fin.jpg"), _pixels(PHOTOS / "far_fin.jpg")
    assert made.shape == committed.shape
    # Another libjpeg, or another processor's sine, differs by a step or two; a changed script by far more. A
    # point that rounding moves to the next pixel may change one block of 8 × 8, hence not quite all.
    assert (np.abs(made - committed) <= 2).mean() > 0.999


@pytest.mark.slow
def test_the_grid_shows_the_crops_as_they_are(tmp_path: Path) -> None:
    runpy.run_path(str(EXAMPLES / "make_grid.py"))["main"](tmp_path / "grid.jpg")
    made, committed = _pixels(tmp_path / "grid.jpg"), _pixels(EXAMPLES / "grid.jpg")
    assert made.shape == committed.shape
    # Another processor's rounding may move an edge by a pixel; another box or rendering changes whole crops.
    assert np.abs(made - committed).mean() < 3


def test_the_dataset_skips_failed_rows(tmp_path: Path) -> None:
    for name, colour in (("a.jpg", (255, 0, 0)), ("b.jpg", (0, 0, 255))):
        Image.new("RGB", (8, 8), colour).save(tmp_path / name, quality=95)
    (tmp_path / "audit.csv").write_text(
        "image,species,crop,status\n"
        "a.jpg,killer_whale,a.jpg,cropped\nx.jpg,beluga,,failed\nb.jpg,,b.jpg,resized\n",
        encoding="utf-8",
    )
    crops = runpy.run_path(str(EXAMPLES / "crops_dataset.py"))["Crops"](tmp_path)
    assert len(crops) == 2
    image, label = crops[0]
    assert tuple(image.shape) == (3, 8, 8)
    assert image[0].mean().item() == pytest.approx(1, abs=0.02)  # JPEG's loss
    assert image[2].mean().item() == pytest.approx(0, abs=0.02)
    assert (crops.species, label, crops[1][1]) == (["killer_whale"], 0, -1)
