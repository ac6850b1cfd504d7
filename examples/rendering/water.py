"""The sea: its waves, what each pixel sees of them, and their colour."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from rendering.noise import Floats, normalised, smoothstep, unit
from rendering.scene import Camera, Light, Weather
from rendering.sky import sky_colour


class Sea:
    """A sum of trochoidal waves; slopes too fine for a pixel are counted, not drawn."""

    COUNT = 120
    LONG = 44  # waves that move the surface far enough to hide what is behind them

    def __init__(self, weather: Weather, rng: np.random.Generator, shortest: float = 0.035) -> None:
        n = self.COUNT
        lengths = weather.longest * (shortest / weather.longest) ** ((np.arange(n) + rng.random(n)) / n)
        spread = np.linspace(0.5, 1.9, n)
        heading = math.radians(weather.heading) + spread * rng.standard_normal(n)
        k = 2 * math.pi / lengths
        share = np.linspace(1.0, 1.1, n) * (0.6 + 0.8 * rng.random(n))
        slope = share / math.sqrt((share**2).sum() / 2) * weather.slope
        self.kx, self.kz = k * np.cos(heading), k * np.sin(heading)
        self.amplitude, self.k, self.slope = slope / k, k, slope
        self.phase = rng.random(n) * 2 * math.pi
        self.deviation = float(np.sqrt((self.amplitude**2).sum() / 2))

    def _undisplaced(self, x: Floats, z: Floats) -> tuple[Floats, Floats]:
        """Where the water now at (x, z) rests: a trochoid bunches it at the crests."""
        dx, dz = np.zeros_like(x), np.zeros_like(z)
        for i in range(self.LONG // 2):
            s = np.sin(self._angle(i, x, z)) * np.float32(0.8 * self.amplitude[i] / self.k[i])
            dx += s * np.float32(self.kx[i])
            dz += s * np.float32(self.kz[i])
        return x + dx, z + dz

    def _angle(self, i: int, x: Floats, z: Floats) -> Floats:
        angle = x * np.float32(self.kx[i]) + z * np.float32(self.kz[i]) + np.float32(self.phase[i])
        return np.asarray(angle, np.float32)

    def height(self, x: Floats, z: Floats, waves: int = LONG) -> Floats:
        """Height of the surface at (x, z), of its longest `waves`."""
        x, z = self._undisplaced(x, z)
        total = np.zeros_like(x)
        for i in range(waves):
            total += np.cos(self._angle(i, x, z)) * np.float32(self.amplitude[i])
        return total

    def slopes(self, x: Floats, z: Floats, fx: Floats, fz: Floats) -> tuple[Floats, Floats, Floats]:
        """Slopes along x and z, and the variance of slope finer than the pixel's footprint `fx` × `fz`."""
        x, z = self._undisplaced(x, z)
        sx, sz, lost = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
        for i in range(self.COUNT):
            kx, kz = np.float32(self.kx[i]), np.float32(self.kz[i])
            seen = np.exp(-0.05 * ((kx * fx) ** 2 + (kz * fz) ** 2))
            wave = np.sin(self._angle(i, x, z)) * np.float32(-self.amplitude[i]) * seen
            sx += wave * kx
            sz += wave * kz
            lost += np.float32(self.slope[i] ** 2 / 2) * (1 - seen * seen)
        return sx, sz, lost


@dataclass
class Surface:
    """What each pixel below the horizon sees of the sea, all (H', W); row 0 is picture row `first_row`."""

    first_row: int
    x: Floats
    z: Floats
    height: Floats
    slope_x: Floats
    slope_z: Floats
    lost: Floats


def trace_sea(camera: Camera, sea: Sea) -> Surface:
    """Follow every pixel's ray to the waves."""
    first_row = max(0, math.ceil(camera.horizon + 1))
    strips = [
        _trace_rows(camera, sea, row, min(row + 48, camera.height))
        for row in range(first_row, camera.height, 48)
    ]
    return Surface(first_row, *(np.concatenate(parts) for parts in zip(*strips, strict=True)))


def _trace_rows(camera: Camera, sea: Sea, first: int, last: int) -> tuple[Floats, ...]:
    rows = np.arange(first, last, dtype=np.float32)[:, None] + 0.5 - camera.horizon
    columns = np.arange(camera.width, dtype=np.float32)[None] + 0.5 - camera.width / 2
    below = np.broadcast_to(rows, (len(rows), camera.width)).astype(np.float32)
    height = np.zeros_like(below)
    for _ in range(3):  # a higher surface is met nearer to the camera
        z = np.minimum((camera.eye - height) * camera.focal / below, 4000).astype(np.float32)
        x = (columns * z / camera.focal).astype(np.float32)
        # Far away a pixel covers whole waves, and their height no longer moves it.
        near = np.exp(-0.5 * (z / (camera.focal * 0.09 + 60)) ** 2)
        height = 0.5 * height + 0.5 * near * np.minimum(sea.height(x, z), 0.6 * camera.eye)
    fx = z / camera.focal
    fz = z * z / (camera.focal * camera.eye)
    return (x, z, height, *sea.slopes(x, z, fx, fz))


def shade_sea(
    camera: Camera, light: Light, sea: Sea, surface: Surface, mirrored: Floats, below: Floats
) -> Floats:
    """Colour of the sea (H', W, 3); `mirrored`, `below` (H', W, 4): animals seen in it and through it."""
    rough = np.sqrt(surface.lost)
    # Of waves too fine to see, mostly the sides that face the camera show.
    grazing = np.clip(1 - 4 * camera.eye / surface.z, 0, 1)
    normal = normalised(
        np.stack(
            [-surface.slope_x, np.ones_like(rough), -surface.slope_z - 0.75 * rough * (0.35 + grazing)], -1
        )
    )
    view = normalised(
        np.stack([-surface.x, camera.eye - surface.height, -surface.z], -1)
    )  # towards the camera
    cosine = np.clip((normal * view).sum(-1), 0.02, 1)
    fresnel = (0.02 + 0.98 * (1 - cosine) ** 5)[..., None]
    reflected = normalised(2 * cosine[..., None] * normal - view)
    reflected[..., 1] = np.abs(reflected[..., 1])
    sky = sky_colour(light, reflected)
    sky = sky * (1 - mirrored[..., 3:]) + mirrored[..., :3]
    crest = smoothstep(0.2, 2.4, surface.height / max(sea.deviation, 1e-6))[..., None]
    steep = np.clip(-surface.slope_z * 1.6, 0, 1)[..., None]
    deep = np.array(light.water, np.float32) + np.array(light.crest, np.float32) * (
        0.65 * crest + 0.5 * steep
    )
    deep = deep * (1 - below[..., 3:]) + below[..., :3]
    colour = sky * fresnel + deep * (1 - fresnel)
    gloss = 1 / (0.0016 + 1.2 * surface.lost[..., None])
    towards = np.clip((reflected @ unit(light.sun))[..., None], 0, 1)
    glint = np.exp(-gloss * (1 - towards)) * np.minimum(gloss, 600) * 0.02
    colour += np.array(light.sun_colour, np.float32) * np.minimum(glint * fresnel, 3.0)
    haze = 1 - np.exp(-surface.z / 2600)[..., None]
    return np.asarray(colour * (1 - haze) + np.array(light.horizon, np.float32) * 0.8 * haze, np.float32)


def ruffle(layer: Floats, surface: Surface, strength: Floats) -> Floats:
    """`layer` (H, W, 4) as waves distort it, cut to the sea's rows; `strength` in pixels per unit slope."""
    cut = layer[surface.first_row :]
    rows, columns = np.mgrid[0 : cut.shape[0], 0 : cut.shape[1]].astype(np.float32)
    strength = np.minimum(strength, 110)
    columns += surface.slope_x * strength
    rows += surface.slope_z * strength * 1.6
    moved = cv2.remap(cut, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(moved, (0, 0), sigmaX=2.0, sigmaY=2.6), np.float32)
