"""Foam, spray, falling drops and breath."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from rendering.animals import Drawn
from rendering.noise import Floats, lace_tile, noise_tile, sample, sample_points, smoothstep
from rendering.scene import Camera, Scene, Spray
from rendering.water import Sea, Surface


def foam_cover(scene: Scene, sea: Sea, surface: Surface, drawn: Sequence[Drawn]) -> Floats:
    """How much of each sea pixel is foam (H', W), 0 … 1."""
    density = np.zeros_like(surface.x)
    sources = [_waterline_foam(d) for d in drawn if len(d.waterline)] + [_pool_foam(s) for s in scene.sprays]
    for places, weights, reach in sources:
        density += _spread(places, weights, reach, surface)
    crest = smoothstep(1.3, 2.6, surface.height / max(sea.deviation, 1e-6))
    patches = smoothstep(0.7, 1.9, sample(noise_tile(61, 1.5), surface.x / 60, surface.z / 60))
    density += scene.weather.whitecaps * crest * (0.25 + patches)
    scale = 2.2
    lace = sample(lace_tile(62), surface.x / scale, surface.z / scale)
    fine = sample(lace_tile(66), surface.x / 0.6, surface.z / 0.6)
    texture = 0.68 * lace + 0.32 * fine
    cover = 1 - np.exp(-density)
    return smoothstep(0.28, 0.78, cover * (0.42 + 0.75 * texture))


Foam = tuple[Floats, Floats, float]


def _waterline_foam(drawn: Drawn) -> Foam:
    """Foam where a body breaks the surface, and its wake (places (n, 2), weights (n,), reach)."""
    rng = np.random.default_rng(drawn.animal.seed)
    length = drawn.animal.species.length
    line = drawn.waterline[:: max(1, len(drawn.waterline) // 4000)]
    places = [line]
    weights = [np.full(len(line), drawn.animal.foam)]
    if drawn.animal.wake:
        heading = math.radians(drawn.animal.yaw)
        back = rng.random((6, len(line))).astype(np.float32) ** 1.6
        for age in back:
            offset = -age[:, None] * drawn.animal.wake * np.array([math.cos(heading), math.sin(heading)])
            side = rng.standard_normal((len(line), 2)) * 0.05 * length * (0.3 + age[:, None])
            places.append(line + offset + side)
            weights.append(drawn.animal.foam * 0.35 * (1 - age))
    spots = np.concatenate(places).astype(np.float32)
    broken = smoothstep(-0.9, 1.3, sample_points(noise_tile(63, 1.3, 3), spots[:, 0] / 4, spots[:, 1] / 4))
    total = np.asarray(np.concatenate(weights) * (0.12 + 1.5 * broken), np.float32)
    reach = 0.012 * length + 0.04
    return spots, np.asarray(total / max(len(line), 1) * length * reach * 4, np.float32), reach


def _pool_foam(spray: Spray) -> Foam:
    """The white water from which a spray rises."""
    rng = np.random.default_rng(71)
    n = 3000
    places = np.stack(
        [rng.standard_normal(n) * spray.width * 0.5, rng.standard_normal(n) * spray.width * 0.45], -1
    )
    places += (spray.x, spray.z)
    weights = np.full(n, spray.pool * 2.8 * spray.width**2 / n)
    return places.astype(np.float32), weights.astype(np.float32), 0.12 * spray.width


def _spread(places: Floats, weights: Floats, reach: float, surface: Surface) -> Floats:
    """Foam sources smeared over `reach` metres on a chart of the sea, then looked up for every pixel."""
    low, high = places.min(0) - 5 * reach, places.max(0) + 5 * reach
    cell = float(max((high - low).max() / 700, reach / 6))
    shape = np.ceil((high - low) / cell).astype(int) + 1  # x, z
    chart = np.zeros((shape[1], shape[0]), np.float32)
    cells = np.floor((places - low) / cell).astype(int)
    np.add.at(chart, (cells[:, 1], cells[:, 0]), weights)
    chart = cv2.GaussianBlur(chart, (0, 0), reach / cell) + 0.5 * cv2.GaussianBlur(
        chart, (0, 0), 2 * reach / cell
    )
    columns, rows = (surface.x - low[0]) / cell, (surface.z - low[1]) / cell
    found = cv2.remap(chart, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(found / cell**2, np.float32)


def splat_drops(camera: Camera, points: Floats, radii: Floats, opacity: Floats) -> Floats:
    """Soft discs of `radii` metres at `points` (n, 3): coverage (H, W), 0 … 1."""
    columns, rows = camera.project(points)
    sizes = np.maximum(radii * camera.focal / points[:, 2], 0.45)  # pixels
    # A drop smaller than a pixel dims instead of shrinking.
    opacity = opacity * np.minimum(radii * camera.focal / points[:, 2] / 0.45, 1) ** 2
    total = np.zeros((camera.height, camera.width), np.float32)
    edges = np.geomspace(0.45, 80, 16)
    for low, high in pairwise(edges):
        chosen = (sizes >= low) & (sizes < high)
        if chosen.any():
            sigma = math.sqrt(low * high) * 0.8
            dots = _scatter(total.shape, columns[chosen], rows[chosen], opacity[chosen])
            total += cv2.GaussianBlur(dots, (0, 0), sigma) * np.float32(2 * math.pi * sigma * sigma)
    return np.asarray(1 - np.exp(-total), np.float32)


def _scatter(shape: tuple[int, ...], columns: Floats, rows: Floats, weights: Floats) -> Floats:
    """Weights shared out among the four pixels around each place."""
    image = np.zeros(shape, np.float32)
    left, top = np.floor(columns - 0.5).astype(int), np.floor(rows - 0.5).astype(int)
    right, down = columns - 0.5 - left, rows - 0.5 - top
    for dx, dy, share in (
        (0, 0, (1 - right) * (1 - down)),
        (1, 0, right * (1 - down)),
        (0, 1, (1 - right) * down),
        (1, 1, right * down),
    ):
        x, y = left + dx, top + dy
        inside = (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
        np.add.at(image, (y[inside], x[inside]), (weights * share)[inside])
    return image


def spray_drops(spray: Spray, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Positions (n, 3), radii and opacities of the drops of a splash, jet by jet along their parabolas."""
    jets, each = 4 * spray.jets, 110
    start = rng.standard_normal((jets, 1)) * spray.width * 0.4
    across = start / max(spray.width, 1e-6) * 1.5 + rng.standard_normal((jets, 1)) * 0.35 + spray.lean
    speed = spray.speed * np.exp(-1.4 * (start / spray.width) ** 2) * (0.35 + 0.65 * rng.random((jets, 1)))
    stretch = rng.random((jets, each)) ** 0.6
    velocity = speed * (0.25 + 0.75 * stretch)
    time = speed / 9.8 * (0.35 + 0.9 * rng.random((jets, 1)))
    jitter = rng.standard_normal((3, jets, each)) * (0.06 * velocity * time + 0.006 * spray.speed)
    x = spray.x + start + across * velocity * 0.45 * time + jitter[0]
    y = spray.y + velocity * time - 4.9 * time**2 + jitter[1]
    z = spray.z + rng.standard_normal((jets, 1)) * spray.width * 0.3 + jitter[2]
    radii = spray.size * np.exp(0.65 * rng.standard_normal((jets, each)))
    opacity = 0.42 * (0.2 + 0.7 * rng.random((jets, each)))
    above = y > 0
    points = np.stack([x[above], y[above], z[above]], -1).astype(np.float32)
    return points, radii[above].astype(np.float32), opacity[above].astype(np.float32)


def falling_drops(drawn: Drawn, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Positions (n, 3), radii and opacities of the water that runs off a raised animal in threads."""
    threads, each = drawn.animal.drips, 70
    start = drawn.wet[rng.integers(0, len(drawn.wet), threads)][:, None]
    fall = rng.random((threads, 1)) * start[..., 1] * rng.random((threads, each)) ** 0.8
    spread = 0.012 * rng.standard_normal((2, threads, each)) * (1 + 2 * fall)
    points = np.stack([start[..., 0] + spread[0], start[..., 1] - fall, start[..., 2] - 0.05 + spread[1]], -1)
    radii = 0.004 * np.exp(0.5 * rng.standard_normal((threads, each)))
    opacity = 0.30 * rng.random((threads, 1)) * np.ones((threads, each))
    flat = [np.asarray(a, np.float32) for a in (points.reshape(-1, 3), radii.ravel(), opacity.ravel())]
    return flat[0], flat[1], flat[2]


def mist_layer(scene: Scene, rng: np.random.Generator) -> Floats:
    """Coverage (H, W) of the whales' breath."""
    camera = scene.camera
    cover = np.zeros((camera.height, camera.width), np.float32)
    for blow in scene.blows:
        n = 2600
        rise = rng.random(n) ** 0.8
        plume = rng.standard_normal(n) * 0.33 * blow.width * (0.12 + rise**1.2)
        points = np.stack(
            [
                blow.x + plume + blow.lean * rise**2,
                blow.y + blow.height * rise * (1 - 0.12 * (plume / blow.width) ** 2),
                blow.z + rng.standard_normal(n) * 0.1,
            ],
            -1,
        ).astype(np.float32)
        radii = (0.05 * blow.width * (0.25 + 1.3 * rise) * np.exp(0.4 * rng.standard_normal(n))).astype(
            np.float32
        )
        opacity = (0.045 * (1.1 - rise) ** 0.8).astype(np.float32)
        cover = 1 - (1 - cover) * (1 - splat_drops(camera, points, radii, opacity))
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float32)
    wisps = sample(noise_tile(81, 1.4, 4), columns / 900, rows / 900)
    return np.asarray(cover * np.clip(0.85 + 0.22 * wisps, 0.2, 1.1), np.float32).clip(0, 0.92)
