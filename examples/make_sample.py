"""Render the sample photos of `examples/train_images` and their table `examples/train.csv`.

    python examples/make_sample.py

No pixel comes from a photo: sea, sky and animals are computed (`rendering/`). The sea is a sum of waves
seen through a pinhole camera; the animals are lofted surfaces bent along a spine and drawn with a depth
buffer; foam and spray are noise and particles. Every picture has its own seed, taken from its name, so it can
be rendered alone and comes out the same.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rendering.picture import render
from rendering.scene import Animal, Blow, Camera, Light, Scene, Spray, Weather
from rendering.species import BELUGA, BLUE_WHALE, DOLPHIN, HUMPBACK, ORCA

HERE = Path(__file__).resolve().parent
PHOTOS = HERE / "train_images"
TABLE = HERE / "train.csv"
COLUMNS = ("image", "species", "individual_id")
EXIF_ORIENTATION = 0x0112

BLUE_DAY = Light(
    sun=(-0.5, 0.75, -0.55),
    sun_colour=(1.0, 0.95, 0.86),
    horizon=(0.44, 0.58, 0.76),
    zenith=(0.09, 0.22, 0.52),
    water=(0.008, 0.032, 0.06),
    crest=(0.012, 0.05, 0.06),
)
OVERCAST = Light(
    sun=(0.2, 0.95, -0.2),
    sun_colour=(0.30, 0.30, 0.30),
    horizon=(0.62, 0.66, 0.70),
    zenith=(0.40, 0.44, 0.49),
    water=(0.018, 0.034, 0.036),
    crest=(0.012, 0.028, 0.026),
    clouds=0.9,
)
GREEN_BAY = replace(
    OVERCAST, water=(0.018, 0.048, 0.042), crest=(0.02, 0.06, 0.048), sun_colour=(0.5, 0.5, 0.47)
)
BACKLIT = Light(
    sun=(0.35, 0.36, 0.85),
    sun_colour=(1.0, 0.86, 0.66),
    horizon=(0.62, 0.66, 0.70),
    zenith=(0.16, 0.26, 0.42),
    water=(0.006, 0.022, 0.036),
    crest=(0.012, 0.04, 0.045),
    exposure=1.0,
)
DUSK = Light(
    sun=(-0.12, 0.11, 1.0),
    sun_colour=(1.0, 0.62, 0.30),
    horizon=(0.86, 0.52, 0.30),
    zenith=(0.13, 0.20, 0.38),
    water=(0.008, 0.018, 0.028),
    crest=(0.02, 0.03, 0.03),
    clouds=0.45,
    exposure=1.1,
)
BLUE_DEPTH = Light(
    sun=(0.0, 1.0, 0.0),
    sun_colour=(0.8, 1.0, 1.0),
    horizon=(0.2, 0.45, 0.6),
    zenith=(0.2, 0.45, 0.6),
    water=(0.012, 0.10, 0.20),
    crest=(0.14, 0.42, 0.50),
)
ROLLING = (
    (0.0, -16.0),
    (0.25, -8.0),
    (0.45, 0.0),
    (0.7, 12.0),
    (1.0, 26.0),
)  # the spine of a dolphin taking breath
LEAPING = ((0.0, -32.0), (0.3, -12.0), (0.45, 5.0), (0.7, 30.0), (1.0, 62.0))
DIVING = ((0.0, -10.0), (0.4, -22.0), (0.6, -50.0), (0.8, -74.0), (1.0, -84.0))

SCENES: tuple[Scene, ...] = (
    Scene(
        name="dolphin_surfacing.jpg",
        species="bottlenose_dolphin",
        individual="bd-001",
        camera=Camera(1280, 800, 7600, -640, 3.2),
        light=BLUE_DAY,
        weather=Weather(0.17, 5.0, 70),
        animals=(Animal(DOLPHIN, 0.0, 23.0, -0.03, yaw=-14, spine=ROLLING, foam=0.8, wake=1.4),),
        sprays=(Spray(1.2, 22.6, 0.4, 1.5, 30, pool=0.5),),
        focus=23.0,
    ),
    Scene(
        name="dolphin_breach.jpg",
        species="bottlenose_dolphin",
        individual="bd-002",
        camera=Camera(1280, 854, 3700, 200, 2.6),
        light=BLUE_DAY,
        weather=Weather(0.16, 8.0, 100, 0.3),
        animals=(Animal(DOLPHIN, 0.25, 16.0, 1.55, yaw=-15, roll=-10, spine=LEAPING, foam=0),),
        sprays=(Spray(-1.05, 16.2, 1.0, 5.0, 260, size=0.003, pool=1.3),),
        coast=60,
        focus=16.0,
    ),
    Scene(
        name="orca_tall_fin.jpg",
        species="killer_whale",
        individual="kw-001",
        camera=Camera(1280, 800, 4300, 80, 4.0),
        light=replace(OVERCAST, horizon=(0.5, 0.56, 0.62), clouds=0.6),
        weather=Weather(0.15, 9.0, 80, 0.3),
        animals=(
            Animal(
                ORCA,
                -0.2,
                30.0,
                -0.16,
                yaw=-12,
                spine=((0.0, 14.0), (0.3, 7.0), (0.45, 2.0), (0.7, 10.0), (1.0, 18.0)),
                foam=0.9,
                wake=3.0,
            ),
        ),
        sprays=(Spray(2.2, 28.8, 0.7, 2.0, 40, pool=0.7),),
        focus=30.0,
    ),
    Scene(
        name="humpback_fluke.jpg",
        species="humpback_whale",
        individual="hw-001",
        camera=Camera(1280, 854, 6200, -260, 5.0),
        light=replace(BLUE_DAY, water=(0.008, 0.026, 0.04)),
        weather=Weather(0.16, 9.0, 100, 0.3),
        animals=(Animal(HUMPBACK, 0.0, 44.0, -4.9, yaw=80, spine=DIVING, foam=1.0, drips=260),),
        sprays=(Spray(0.0, 41.6, 1.8, 2.4, 110, size=0.004, pool=1.3),),
        focus=40.0,
    ),
    Scene(
        name="blue_whale_blow.jpg",
        species="blue_whale",
        individual="bw-001",
        camera=Camera(1400, 788, 5700, 170, 6.0),
        light=BACKLIT,
        weather=Weather(0.13, 14.0, 60),
        animals=(
            Animal(
                BLUE_WHALE,
                -1.2,
                88.0,
                -0.75,
                yaw=-14,
                spine=((0.0, -8.0), (0.2, -2.0), (0.45, -1.0), (0.7, 3.0), (1.0, 13.0)),
                foam=0.6,
                wake=6.0,
            ),
        ),
        blows=(Blow(4.9, 87.0, 0.4, 5.8, 3.8, -1.0),),
        focus=88.0,
    ),
    Scene(
        name="survey2/beluga.jpg",
        species="beluga",
        individual="be-001",
        camera=Camera(1280, 854, 3300, -930, 4.5),
        light=replace(GREEN_BAY, exposure=0.85),
        weather=Weather(0.10, 3.0, 50),
        animals=(
            Animal(
                BELUGA,
                0.1,
                10.8,
                -0.2,
                yaw=24,
                roll=4,
                spine=((0.0, -6.0), (0.45, 0.0), (1.0, 10.0)),
                foam=0.35,
                wake=0.8,
            ),
        ),
    ),
    Scene(
        name="dolphin_underwater.png",
        species="bottlenose_dolphin",
        individual="bd-003",
        camera=Camera(800, 500, 833, 250, 0.0),
        light=BLUE_DEPTH,
        weather=Weather(0.1, 5, 0),
        animals=(
            Animal(DOLPHIN, 0.05, 4.4, 0.0, yaw=-28, roll=14, spine=((0.0, 2.0), (0.45, 8.0), (1.0, 22.0))),
        ),
        under_water=True,
        grain=0.0,
    ),
    Scene(
        name="two_dolphins.jpg",
        species="bottlenose_dolphin",
        individual="bd-001",
        camera=Camera(1280, 800, 4900, -240, 3.0),
        light=GREEN_BAY,
        weather=Weather(0.15, 6.0, 110),
        animals=(
            Animal(DOLPHIN, -1.5, 21.0, -0.05, yaw=-8, spine=ROLLING, foam=0.7, wake=1.2, seed=4),
            Animal(DOLPHIN, 1.6, 24.4, -0.04, yaw=-13, spine=ROLLING, foam=0.7, wake=1.2, seed=7),
        ),
        focus=23.0,
    ),
    Scene(
        name="cut_by_the_edge.jpg",
        species="bottlenose_dolphin",
        individual="bd-004",
        camera=Camera(1280, 854, 7400, -700, 3.0),
        light=OVERCAST,
        weather=Weather(0.14, 4.0, 95),
        animals=(Animal(DOLPHIN, 1.25, 17.0, -0.02, yaw=168, spine=ROLLING, foam=0.7, wake=1.0, seed=9),),
        focus=17.0,
    ),
    Scene(
        name="far_fin.jpg",
        species="bottlenose_dolphin",
        individual="bd-005",
        camera=Camera(1280, 800, 3600, 170, 3.0),
        light=BLUE_DAY,
        weather=Weather(0.14, 7.0, 60),
        animals=(Animal(DOLPHIN, 4.0, 105.0, -0.12, yaw=8, spine=ROLLING, foam=0.4, wake=1.0),),
        coast=40,
    ),
    Scene(
        name="phone_portrait.jpg",
        species="bottlenose_dolphin",
        individual="bd-002",
        camera=Camera(900, 1200, 1800, 300, 2.2),
        light=replace(BLUE_DAY, clouds=0.5),
        weather=Weather(0.15, 6.0, 80, 0.2),
        animals=(Animal(DOLPHIN, 0.0, 6.6, 0.02, yaw=-22, spine=ROLLING, foam=0.7, wake=1.2, seed=3),),
        sprays=(Spray(1.1, 6.2, 0.3, 1.4, 24, pool=0.5),),
        orientation=6,
    ),
    Scene(
        name="boat_only.jpg",
        camera=Camera(1280, 800, 3000, 250, 2.8),
        light=BLUE_DAY,
        weather=Weather(0.13, 6.0, 60),
        boat=(0.4, 34.0),
        coast=70,
        focus=34.0,
    ),
    Scene(
        name="evening_leap.jpg",
        species="bottlenose_dolphin",
        individual="bd-006",
        camera=Camera(1280, 854, 3700, 200, 2.6),
        light=DUSK,
        weather=Weather(0.16, 8.0, 100, 0.3),
        animals=(Animal(DOLPHIN, 0.25, 16.0, 1.55, yaw=-15, roll=-10, spine=LEAPING, foam=0),),
        sprays=(Spray(-1.05, 16.2, 1.0, 5.0, 260, size=0.003, pool=1.3),),
        focus=16.0,
    ),
)


def save(scene: Scene, picture: NDArray[np.uint8], folder: Path) -> Path:
    """Write `picture` as the file `scene` names; a turned phone picture is stored turned, with its tag."""
    path = folder / scene.name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture)
    if path.suffix == ".png":
        image.save(path, optimize=True)
        return path
    exif = Image.Exif()
    if (
        scene.orientation == 6
    ):  # the camera was turned clockwise: the stored rows run down the upright picture
        image = image.transpose(Image.Transpose.ROTATE_90)
        exif[EXIF_ORIENTATION] = 6
    image.save(path, quality=scene.quality, optimize=True, exif=exif.tobytes() if len(exif) else b"")
    return path


def write_table(path: Path) -> None:
    """The labels, one row per picture that shows an animal."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((s.name, s.species, s.individual) for s in SCENES if s.species)


def main(arguments: Sequence[str] | None = None) -> None:
    """Render the pictures named on the command line, or all of them and the table."""
    parser = argparse.ArgumentParser(description="Render the sample photos of detic-crop.")
    parser.add_argument("names", nargs="*", help="pictures to render; all of them by default")
    parser.add_argument("--out", type=Path, default=PHOTOS, help="folder for the pictures")
    given = parser.parse_args(arguments)
    for scene in SCENES:
        if not given.names or scene.name in given.names:
            path = save(scene, render(scene), given.out)
            print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")
    if not given.names and given.out == PHOTOS:
        write_table(TABLE)


if __name__ == "__main__":
    main()
