"""Sky, clouds and coast."""

from __future__ import annotations

import numpy as np

from rendering.noise import Floats, noise_tile, normalised, sample, smoothstep, unit
from rendering.scene import Light, Scene


def sky_colour(light: Light, direction: Floats) -> Floats:
    """Colour of the clear sky towards `direction` (..., 3), unit vectors."""
    up = np.clip(direction[..., 1:2], 0, 1)
    mix = 1 - np.exp(-4.5 * up)
    colour = np.array(light.horizon, np.float32) * (1 - mix) + np.array(light.zenith, np.float32) * mix
    towards = np.clip(direction @ unit(light.sun), 0, 1)[..., None]
    return np.asarray(colour + np.array(light.sun_colour, np.float32) * (0.10 * towards**6), np.float32)


def paint_sky(scene: Scene, rng: np.random.Generator) -> Floats:
    """Sky over the whole picture (H, W, 3)."""
    camera, light = scene.camera, scene.light
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float32)
    across = (columns - camera.width / 2) / camera.focal
    up = (camera.horizon - rows) / camera.focal
    colour = sky_colour(light, normalised(np.stack([across, up, np.ones_like(up)], -1)))
    # Cloud banks flatten towards the horizon.
    height = np.maximum(up, 0) * camera.focal / camera.width
    u = across * camera.focal / camera.width * 0.7 + rng.random()
    v = np.sqrt(height + 0.01) * 1.5 + rng.random()
    cover = sample(noise_tile(11, 1.75), u, v)
    alpha = smoothstep(1.1 - 1.9 * light.clouds, 2.3 - 1.9 * light.clouds, cover)[..., None] * 0.8
    shadow = sample(noise_tile(11, 1.75), u, v - 0.02)
    bright = 0.82 + 0.28 * smoothstep(-1.5, 2, cover - shadow * 0.6)[..., None]
    cloud = (np.array(light.horizon) * 0.5 + np.array(light.sun_colour) * 0.05 + 0.32) * bright
    return np.asarray(colour * (1 - alpha) + cloud * alpha, np.float32)


def paint_coast(picture: Floats, scene: Scene, rng: np.random.Generator) -> None:
    """Two ranges of hazy hills standing on the horizon."""
    camera = scene.camera
    columns = np.arange(camera.width, dtype=np.float32)[None] / camera.width
    rows = np.arange(camera.height, dtype=np.float32)[:, None]
    horizon = np.array(scene.light.horizon, np.float32)
    for tall, haze, tint in ((1.0, 0.72, (0.10, 0.15, 0.20)), (0.55, 0.42, (0.11, 0.13, 0.07))):
        start = rng.random()
        ridge = sample(noise_tile(21, 1.7), columns * 0.35 + start, np.full_like(columns, start))
        ridge = np.maximum(scene.coast * tall * (0.55 + 0.3 * ridge), 1)
        alpha = smoothstep(-0.8, 0.8, rows - (camera.horizon - ridge))
        alpha = (alpha * (rows < camera.horizon + 2))[..., None]
        grid = np.broadcast_to(columns, alpha.shape[:2])
        texture = sample(noise_tile(22, 1.0, 4), grid * 1.3, np.broadcast_to(rows / 260, alpha.shape[:2]))
        land = np.array(tint, np.float32) * (1 + 0.28 * texture[..., None])
        picture[:] = picture * (1 - alpha) + (land * (1 - haze) + horizon * 0.75 * haze) * alpha
