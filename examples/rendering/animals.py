"""The animals: their surfaces as points, bent along a spine, drawn with a depth buffer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rendering.noise import (
    Floats,
    along,
    around_trunk,
    bezier,
    noise_tile,
    normalised,
    sample,
    sample_points,
    smoothstep,
    unit,
)
from rendering.scene import Animal, Camera, Fin, Light, Scene, Species
from rendering.sky import sky_colour
from rendering.water import Sea

SUPERSAMPLING = 2  # outlines are drawn at this multiple of the picture, then averaged


@dataclass
class Skin:
    """Points of an animal's surface: world position, outward normal, albedo, all (n, 3)."""

    points: Floats
    normals: Floats
    albedo: Floats

    def __getitem__(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> Skin:
        return Skin(self.points[index], self.normals[index], self.albedo[index])


def build_skin(animal: Animal, camera: Camera, floor: float) -> Skin:
    """Points of the animal, dense enough to leave no gap in the supersampled picture.

    Parts that lie deeper than `floor` metres or outside the picture are left out.
    """
    kind = animal.species
    pixels_per_metre = camera.focal / animal.z * SUPERSAMPLING
    density = pixels_per_metre * kind.length * 1.4  # points per body length, 1.4 to a pixel
    first, last = _shown_part(animal, camera, floor)
    patches = [_body_patch(kind, density, first, last)]
    for fin in kind.fins:
        for mirror in (1, -1) if fin.both_sides else (1,):
            rough = _pose(animal, _fin_patch(fin, 60, mirror, 1))
            if rough.points[:, 1].max() > floor:
                patches += [_fin_patch(fin, density, mirror, face) for face in (1, -1)]
    skins = [_pose(animal, patch) for patch in patches]
    return Skin(
        *(np.concatenate([getattr(s, name) for s in skins]) for name in ("points", "normals", "albedo"))
    )


def _shown_part(animal: Animal, camera: Camera, floor: float) -> tuple[float, float]:
    """The stretch of the trunk, in body lengths, that may be seen."""
    rough = _pose(animal, _body_patch(animal.species, 100, 0, 1)).points.reshape(100, -1, 3)
    columns, _ = camera.project(rough.reshape(-1, 3))
    inside = (columns > -60) & (columns < camera.width + 60)
    rows = np.flatnonzero(((rough[..., 1] > floor) & inside.reshape(rough.shape[:2])).any(1))
    if not len(rows):
        return 0.0, 0.01
    return max(0.0, rows[0] / 99 - 0.03), min(1.0, rows[-1] / 99 + 0.03)


def _body_patch(kind: Species, density: float, first: float, last: float) -> Floats:
    """Body space (s, h, w) of the trunk from `first` to `last` as a grid (nu, nv, 3)."""
    # Denser at the rounded snout.
    start, end = first ** (1 / 1.15), last ** (1 / 1.15)
    s = np.linspace(start, end, int(density * (last - first)) or 2, dtype=np.float32) ** 1.15
    widest = max(radius for _, radius in kind.side + kind.top)
    angle = np.linspace(0, 2 * math.pi, int(density * widest * 6.6), dtype=np.float32)[None]
    taper = np.sqrt(np.clip(s / 0.006, 0, 1))[:, None]
    top, bottom, side = (along(c, s)[:, None] * taper for c in (kind.top, kind.bottom, kind.side))
    h = np.where(np.cos(angle) > 0, top, bottom) * np.cos(angle)
    return np.stack(np.broadcast_arrays(s[:, None], h, side * np.sin(angle)), -1).astype(np.float32)


def _fin_patch(fin: Fin, density: float, mirror: int, face: int) -> Floats:
    """Body space (s, h, w) of one face of a fin as a grid (nu, nv, 3)."""
    size = float(np.linalg.norm(np.ptp(np.array(fin.lead + fin.trail), axis=0)))
    span = np.linspace(0, 1, int(density * size * 1.3) + 8, dtype=np.float32)
    lead, trail = bezier(fin.lead, span)[:, None], bezier(fin.trail, span)[:, None]
    widest = float(np.linalg.norm(trail - lead, axis=-1).max())
    chord = np.linspace(0, 1, int(density * widest * 1.2) + 8, dtype=np.float32)[None, :, None]
    thick = fin.thickness * (1 - 0.75 * span[:, None, None]) * 2.6 * np.sqrt(chord) * (1 - chord)
    patch = lead + (trail - lead) * chord + face * thick * np.array(fin.across, np.float32)
    nicks = sample_points(noise_tile(31, 1.5, 3), span * 0.21, np.full_like(span, 0.37))[:, None, None]
    nicks = nicks * np.sqrt(np.sin(math.pi * span * 0.99))[:, None, None]
    patch = patch + (lead - trail) * fin.ragged * nicks * chord**8  # only the trailing edge is worn
    patch[..., 2] *= mirror
    return np.asarray(patch, np.float32)


def _pose(animal: Animal, patch: Floats) -> Skin:
    """Bend along the spine, turn, move; normals from the bent grid, turned outwards; paint."""
    kind = animal.species
    s, h, w = patch[..., 0], patch[..., 1], patch[..., 2]
    grid = np.linspace(-0.1, 1.4, 601, dtype=np.float32)
    pitch = np.radians(along(animal.spine, grid, 0.05))
    step = (grid[1] - grid[0]) * kind.length
    spine_x = -np.cumsum(np.cos(pitch)) * step
    spine_y = -np.cumsum(np.sin(pitch)) * step
    spine_x -= np.interp(0.45, grid, spine_x)
    spine_y -= np.interp(0.45, grid, spine_y)
    angle = np.interp(s, grid, pitch).astype(np.float32)
    roll, yaw = math.radians(animal.roll), math.radians(animal.yaw)
    h, w = h * math.cos(roll) - w * math.sin(roll), h * math.sin(roll) + w * math.cos(roll)
    x = np.interp(s, grid, spine_x).astype(np.float32) - np.sin(angle) * h * kind.length
    y = np.interp(s, grid, spine_y).astype(np.float32) + np.cos(angle) * h * kind.length
    z = -w * kind.length  # the animal's right side, seen when it swims to the right
    world = np.stack([x * math.cos(yaw) - z * math.sin(yaw), y, x * math.sin(yaw) + z * math.cos(yaw)], -1)
    normals = normalised(
        np.asarray(np.cross(np.gradient(world, axis=0), np.gradient(world, axis=1)), np.float32)
    )
    middle = world.mean(axis=1, keepdims=True)
    outwards = np.sign(((world - middle) * normals).sum(-1, keepdims=True).mean())
    world = world + np.array((animal.x, animal.y, animal.z), np.float32)
    normals = normalised(normals * outwards + _wetness(patch))
    albedo = kind.paint(patch, _bumps(patch, animal.seed))
    flat = [np.asarray(a.reshape(-1, 3), np.float32) for a in (world, normals, albedo)]
    return Skin(flat[0], flat[1], flat[2])


def _wetness(patch: Floats) -> Floats:
    """Small tilts of the surface (nu, nv, 3) that break up highlights, as running water does."""
    u, v = patch[..., 0] * 1.9, around_trunk(patch)
    return np.stack([0.04 * sample(noise_tile(i, 1.25, 4), u + v, v) for i in (43, 44, 45)], -1)


def _bumps(patch: Floats, seed: int) -> Floats:
    """Mottling of the skin (nu, nv), about -2 … 2."""
    return sample(
        noise_tile(41, 1.15, 2), patch[..., 0] * 1.3 + 0.17 * seed, around_trunk(patch) + 0.31 * seed
    )


def visible_points(camera: Camera, points: Floats, scale: int) -> NDArray[np.intp]:
    """Depth buffer (H × scale, W × scale): index of the nearest of `points` (n, 3), or -1."""
    columns, rows = camera.project(points)
    columns, rows = np.floor(columns * scale), np.floor(rows * scale)
    width, height = camera.width * scale, camera.height * scale
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height) & (points[:, 2] > 0.5)
    index = np.flatnonzero(inside)
    index = index[np.argsort(-points[index, 2], kind="stable")]  # the nearest is written last
    nearest = np.full(height * width, -1, np.intp)
    nearest[rows[index].astype(np.intp) * width + columns[index].astype(np.intp)] = index
    return nearest.reshape(height, width)


def shade_skin(camera: Camera, light: Light, skin: Skin, wet: float = 1.0) -> Floats:
    """Colour of each point (n, 3): sky light, sun, light from the water, and the reflection in wet skin."""
    view = normalised(np.array([0, camera.eye, 0], np.float32) - skin.points)
    facing = np.sign((skin.normals * view).sum(-1, keepdims=True))
    normal = skin.normals * np.where(facing == 0, 1, facing)
    sun, sun_colour = unit(light.sun), np.array(light.sun_colour, np.float32)
    up = normal[:, 1:2] * 0.5 + 0.5
    dome = np.array(light.zenith, np.float32) * 0.55 + np.array(light.horizon, np.float32) * 0.45
    ambient = dome * up + (np.array(light.water, np.float32) * 2.2 + 0.1 * dome) * (1 - up)
    lit = np.clip((normal @ sun)[:, None] * 0.9 + 0.1, 0, 1)
    colour = skin.albedo * (ambient * 0.95 + sun_colour * lit * 0.75)
    cosine = np.clip((normal * view).sum(-1, keepdims=True), 0.03, 1)
    fresnel = 0.035 + 0.75 * (1 - cosine) ** 4
    reflected = normalised(2 * cosine * normal - view)
    above = smoothstep(-0.15, 0.25, reflected[:, 1:2])
    mirror = sky_colour(light, reflected) * above + np.array(light.water, np.float32) * 1.5 * (1 - above)
    off = 1 - np.clip((reflected @ sun)[:, None], 0, 1)
    shine = 0.10 * np.exp(-25 * off) + 0.75 * np.exp(-260 * off)
    return np.asarray(colour + wet * (mirror * fresnel + sun_colour * shine), np.float32)


def layer_of(nearest: NDArray[np.intp], colours: Floats, alpha: Floats, scale: int) -> Floats:
    """Premultiplied RGBA (H, W, 4) of drawn points, averaged down by `scale`; `colours`, `alpha` per hit."""
    layer = np.zeros((*nearest.shape, 4), np.float32)
    hit = nearest >= 0
    layer[hit] = np.concatenate([colours * alpha[:, None], alpha[:, None]], -1)
    size = nearest.shape[1] // scale, nearest.shape[0] // scale
    return np.asarray(cv2.resize(layer, size, interpolation=cv2.INTER_AREA), np.float32)


@dataclass
class Drawn:
    """An animal's layers (H, W, 4), premultiplied, and where it meets the sea (n, 2) as x, z."""

    animal: Animal
    above: Floats
    below: Floats
    mirrored: Floats
    waterline: Floats
    wet: Floats  # points (n, 3) from which water drips


def draw_animal(scene: Scene, sea: Sea, animal: Animal) -> Drawn:
    """Split an animal at the surface: what stands out, what shows through, what is mirrored."""
    camera = scene.camera
    skin = build_skin(animal, camera, -1.2)
    nearest = visible_points(camera, skin.points, SUPERSAMPLING)
    seen = skin[nearest[nearest >= 0]]
    ripple = 0.006 * sample_points(noise_tile(51, 1.6, 4), seen.points[:, 0] / 3, seen.points[:, 2] / 3)
    clearance = seen.points[:, 1] - sea.height(seen.points[:, 0], seen.points[:, 2], 70) - ripple
    colours = shade_skin(camera, scene.light, seen)
    colours *= 0.55 + 0.45 * smoothstep(0, 0.16, clearance)[:, None]  # less sky light close to the water
    pixel = animal.z / camera.focal
    out = smoothstep(-pixel / 2, pixel / 2, clearance)
    above = layer_of(nearest, colours, out, SUPERSAMPLING)
    through = np.exp(4.2 * np.minimum(clearance, 0)) * (1 - out) * 0.75
    tint = np.array(scene.light.crest, np.float32) * 0.8 + np.array(scene.light.water, np.float32)
    murky = seen.albedo * (tint * 3.0 + 0.02)
    below = layer_of(nearest, murky, through, SUPERSAMPLING)
    line = np.abs(clearance) < max(0.03, pixel)
    wet = seen.points[clearance > 0.25]
    return Drawn(animal, above, below, _mirror(scene, skin), seen.points[line][:, [0, 2]], wet)


def _mirror(scene: Scene, skin: Skin) -> Floats:
    """The animal upside down, as flat water would show it (H, W, 4)."""
    dry = skin[skin.points[:, 1] > 0.02]
    flipped = dry.points * np.array([1, -1, 1], np.float32)
    nearest = visible_points(scene.camera, flipped, 1)
    colours = shade_skin(scene.camera, scene.light, dry[nearest[nearest >= 0]])
    return layer_of(nearest, colours, np.ones(len(colours), np.float32), 1)
