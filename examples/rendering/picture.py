"""From a scene to the picture: layers, lens, film."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from rendering.animals import SUPERSAMPLING, Skin, build_skin, draw_animal, layer_of, visible_points
from rendering.boat import boat_layer, upside_down
from rendering.foam import falling_drops, foam_cover, mist_layer, splat_drops, spray_drops
from rendering.noise import Floats, lace_tile, noise_tile, sample, sample_points, smoothstep
from rendering.scene import Light, Scene
from rendering.sky import paint_coast, paint_sky
from rendering.water import Sea, ruffle, shade_sea, trace_sea


def over(picture: Floats, layer: Floats) -> Floats:
    """Premultiplied RGBA `layer` laid over `picture`."""
    return np.asarray(picture * (1 - layer[..., 3:]) + layer[..., :3], np.float32)


def whiten(picture: Floats, cover: Floats, light: Light, shade: float | Floats = 1.0) -> Floats:
    """`picture` where `cover` (H, W) of it is foam, spray or mist; `shade` (H, W or a number) darkens it."""
    dome = np.array(light.horizon) * 0.5 + np.array(light.zenith) * 0.3
    white = dome * 0.75 + np.array(light.sun_colour) * 0.42
    alpha = cover[..., None]
    return np.asarray(picture * (1 - alpha) + white * np.asarray(shade)[..., None] * alpha, np.float32)


def defocus(picture: Floats, blur: Floats) -> Floats:
    """`picture` blurred by `blur` (H, W) pixels, between a few ready-made blurs."""
    levels = (0.0, 1.0, 2.2, 4.5, 9.0)
    stack = [picture] + [np.asarray(cv2.GaussianBlur(picture, (0, 0), s), np.float32) for s in levels[1:]]
    result = np.zeros_like(picture)
    for i, level in enumerate(levels):
        below = levels[i - 1] if i else -1.0
        beyond = levels[i + 1] if i + 1 < len(levels) else 1e9
        rising = np.clip((blur - below) / (level - below), 0, 1)
        falling = np.clip((beyond - blur) / (beyond - level), 0, 1)
        result += stack[i] * np.minimum(rising, falling)[..., None]
    return result


def develop(picture: Floats, scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Linear light to the 8-bit RGB of a camera: soft lens, vignette, film curve, grain."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.55), np.float32)
    picture = picture * (1 - 0.13 * (rows**2 + columns**2) ** 1.2)[..., None] * scene.light.exposure
    # Narkowicz's fit of the ACES film curve.
    toned = picture * (2.51 * picture + 0.03) / (picture * (2.43 * picture + 0.59) + 0.14)
    encoded = np.clip(toned, 0, 1) ** (1 / 2.2)
    grain = rng.standard_normal((height, width, 3)).astype(np.float32)
    grain = 0.6 * grain + 0.8 * grain.mean(-1, keepdims=True)
    encoded += cv2.GaussianBlur(grain, (0, 0), 0.5) * scene.grain * 1.8
    return np.asarray(np.clip(np.round(encoded * 255), 0, 255), np.uint8)


def render(scene: Scene) -> NDArray[np.uint8]:
    """The picture of `scene`, upright (H, W, 3), RGB."""
    rng = np.random.default_rng(zlib.crc32(scene.name.encode()) + scene.seed)
    sea = Sea(scene.weather, rng)
    picture = render_under_water(scene, rng) if scene.under_water else render_surface(scene, sea, rng)
    return develop(picture, scene, rng)


def render_surface(scene: Scene, sea: Sea, rng: np.random.Generator) -> Floats:
    """A scene seen from above the water, linear light (H, W, 3)."""
    camera, light = scene.camera, scene.light
    picture = paint_sky(scene, rng)
    if scene.coast:
        paint_coast(picture, scene, rng)
    surface = trace_sea(camera, sea)
    drawn = [draw_animal(scene, sea, animal) for animal in scene.animals]
    pixels_per_slope = 0.5 * camera.focal / surface.z
    empty = np.zeros((camera.height, camera.width, 4), np.float32)
    boat = boat_layer(scene) if scene.boat else empty
    mirrored, below = upside_down(scene, boat) if scene.boat else empty, empty
    for each in drawn:
        mirrored, below = _stack(mirrored, each.mirrored), _stack(below, each.below)
    water = shade_sea(
        camera,
        light,
        sea,
        surface,
        ruffle(mirrored, surface, pixels_per_slope),
        ruffle(below, surface, pixels_per_slope * 0.3),
    )
    foam = foam_cover(scene, sea, surface, drawn)
    tint = 0.75 + 0.25 * sample(lace_tile(91), surface.x / 0.9, surface.z / 0.9)
    picture[surface.first_row :] = whiten(water, foam * tint, light)
    if scene.focus:
        blur = np.full(picture.shape[:2], camera.focal / 1300 * 30 / scene.focus, np.float32)
        blur[surface.first_row :] = (
            np.abs(1 - scene.focus / surface.z) * camera.focal / 1300 * 30 / scene.focus
        )
        picture = defocus(picture, np.clip(blur * 0.9 - 0.25, 0, 4))
    picture = over(picture, boat)
    drops = [spray_drops(spray, rng) for spray in scene.sprays]
    drops += [falling_drops(d, rng) for d in drawn if d.animal.drips]
    depth = min((a.z for a in scene.animals), default=0.0) - 1e-3
    picture = _spray_over(picture, scene, drops, lambda z: z > depth)
    for each in sorted(drawn, key=lambda d: -d.animal.z):
        picture = over(picture, each.above)
    picture = _spray_over(picture, scene, drops, lambda z: z <= depth)
    return whiten(picture, mist_layer(scene, rng), light, 0.85)


def _stack(lower: Floats, upper: Floats) -> Floats:
    return np.asarray(lower * (1 - upper[..., 3:]) + upper, np.float32)


def _spray_over(
    picture: Floats,
    scene: Scene,
    drops: Sequence[tuple[Floats, Floats, Floats]],
    wanted: Callable[[Floats], NDArray[np.bool_]],
) -> Floats:
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    billows = 0.62 + 0.42 * smoothstep(-1.6, 1.2, sample(noise_tile(94, 1.5, 5), columns / 700, rows / 700))
    for points, radii, opacity in drops:
        chosen = wanted(points[:, 2])
        if chosen.any():
            cover = splat_drops(scene.camera, points[chosen], radii[chosen], opacity[chosen])
            picture = whiten(picture, cover, scene.light, billows)
    return picture


def render_under_water(scene: Scene, rng: np.random.Generator) -> Floats:
    """A scene seen by a diver, linear light (H, W, 3): light from above, rays, fog, drifting specks."""
    camera, light = scene.camera, scene.light
    rows, columns = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float32)
    up = 1 - rows / camera.height
    across = columns / camera.width
    glow = np.exp(-(((across - 0.42) / 0.55) ** 2)) * up**2.2
    fog = np.array(light.water, np.float32) * (0.35 + 1.2 * up[..., None] ** 1.3)
    fog = fog + np.array(light.crest, np.float32) * glow[..., None]
    angle = np.arctan2(across - 0.40, 1.35 - up)
    rays = sample(noise_tile(95, 0.9, 2), angle * 0.55, np.full_like(angle, 0.2))
    rays = np.clip(1 + 0.22 * rays * up**0.7, 0.5, 1.8)[..., None]
    ripples = sample(lace_tile(96), across * 1.1 / (0.12 + 0.5 * (1 - up)), 0.35 / (0.05 + (1 - up)))
    ceiling = smoothstep(0.80, 1.0, up) * (0.25 + ripples)
    picture = fog * rays + (np.array(light.sun_colour, np.float32) * 0.55) * ceiling[..., None]
    for animal in sorted(scene.animals, key=lambda a: -a.z):
        skin = build_skin(animal, camera, -math.inf)
        nearest = visible_points(camera, skin.points, SUPERSAMPLING)
        seen = skin[nearest[nearest >= 0]]
        colours = _shade_under_water(light, seen)
        layer = layer_of(nearest, colours, np.ones(len(colours), np.float32), SUPERSAMPLING)
        haze = 1 - math.exp(-animal.z / 38)
        layer[..., :3] = layer[..., :3] * (1 - haze) + fog * rays * layer[..., 3:] * haze
        picture = over(picture, layer)
    specks = rng.random((260, 3)).astype(np.float32) * (6, 4, 5) + (-3, -2, 1.2)
    radii = np.asarray(0.0022 * np.exp(0.5 * rng.standard_normal(260)), np.float32)
    return whiten(
        picture, splat_drops(camera, specks, radii, np.full(260, 0.35, np.float32)) * 0.5, light, 0.6
    )


def _shade_under_water(light: Light, skin: Skin) -> Floats:
    """Colour (n, 3) in the dappled light under the surface."""
    dapple = sample_points(lace_tile(97), skin.points[:, 0] / 1.7, skin.points[:, 2] / 1.7)
    down = smoothstep(-0.25, 1.0, skin.normals[:, 1])
    bright = (0.28 + down * (1.1 + 1.5 * dapple))[:, None]
    tint = np.array(light.crest, np.float32) + 2 * np.array(light.water, np.float32)
    grey = tint * 0.55 + tint.mean() * 0.45  # water takes the red first; near the camera some is left
    return np.asarray(skin.albedo * grey * 1.7 * bright, np.float32)
