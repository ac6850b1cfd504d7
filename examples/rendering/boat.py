"""A small motor boat, drawn from outlines."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rendering.noise import Floats, Vector, noise_tile, sample, smoothstep
from rendering.scene import Scene

# Bow to the right, back to front: part, albedo, outline "x y, x y …" in metres from the waterline's middle.
BOAT: tuple[tuple[str, Vector, str], ...] = (
    ("outboard motor", (0.05, 0.05, 0.06), "-3 0.2, -2.75 0.25, -2.7 1.25, -2.95 1.3, -3.1 0.9"),
    (
        "man in orange",
        (0.75, 0.28, 0.06),
        "-1.67 0.78, -1.33 0.78, -1.29 1.28, -1.31 1.46, -1.42 1.53, -1.58 1.53, -1.69 1.46, -1.71 1.28",
    ),
    ("arm", (0.54, 0.202, 0.043), "-1.52 1.44, -1.4 1.42, -1.36 1.18, -1.16 1.08, -1.17 0.98, -1.45 1.06"),
    ("head", (0.42, 0.28, 0.2), "-1.58 1.54, -1.42 1.54, -1.39 1.68, -1.43 1.8, -1.57 1.8, -1.61 1.68"),
    ("cap", (0.05, 0.06, 0.08), "-1.62 1.71, -1.32 1.71, -1.33 1.74, -1.4 1.81, -1.5 1.84, -1.59 1.81"),
    (
        "man in blue",
        (0.05, 0.1, 0.26),
        "0.13 0.84, 0.47 0.84, 0.51 1.34, 0.49 1.52, 0.38 1.59, 0.22 1.59, 0.11 1.52, 0.09 1.34",
    ),
    ("arm", (0.036, 0.072, 0.187), "0.28 1.5, 0.4 1.48, 0.44 1.24, 0.64 1.14, 0.63 1.04, 0.35 1.12"),
    ("head", (0.42, 0.28, 0.2), "0.22 1.6, 0.38 1.6, 0.41 1.74, 0.37 1.86, 0.23 1.86, 0.19 1.74"),
    ("cap", (0.05, 0.06, 0.08), "0.18 1.77, 0.48 1.77, 0.47 1.8, 0.4 1.87, 0.3 1.9, 0.21 1.87"),
    (
        "console",
        (0.8, 0.8, 0.8),
        "0.5 0.7, 1.45 0.7, 1.3 1.15, 0.95 1.2, 0.85 1.62, 0.8 1.62, 0.82 1.2, 0.55 1.2",
    ),
    ("windscreen", (0.12, 0.16, 0.2), "0.9 1.2, 1.25 1.16, 0.95 1.58, 0.86 1.6"),
    (
        "hull",
        (0.85, 0.85, 0.83),
        "-2.8 -0.3, -2.8 0.85, -1.5 0.82, 0.4 0.86, 1.8 0.98, 3.2 1.22, 3.05 1, 2.6 0.45, 2 -0.3",
    ),
    (
        "stripe",
        (0.5, 0.06, 0.05),
        "-2.8 0.58, -2.8 0.72, 0.4 0.72, 1.9 0.83, 3.1 1.07, 3.02 0.95, 1.9 0.69, 0.4 0.58",
    ),
)


def boat_layer(scene: Scene) -> Floats:
    """A small open motor boat with two people, premultiplied (H, W, 4); drawn from outlines in metres."""
    assert scene.boat is not None
    camera, (x, z) = scene.camera, scene.boat
    scale = 4
    metre = camera.focal / z * scale
    left = (camera.width / 2 + camera.focal * x / z) * scale
    keel = (camera.horizon + camera.focal * camera.eye / z) * scale
    canvas = np.zeros((camera.height * scale, camera.width * scale, 4), np.float32)
    light = np.array(scene.light.zenith) * 0.5 + np.array(scene.light.sun_colour) * 0.55
    for _, colour, outline in BOAT:
        curve = _rounded(outline) * (metre, -metre) + (left, keel)
        paint = [float(c) for c in np.array(colour) * light]
        cv2.fillPoly(canvas, [np.round(curve * 16).astype(np.int32)], (*paint, 1.0), cv2.LINE_8, 4)
    small = cv2.resize(canvas, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    rows = np.arange(camera.height, dtype=np.float32)[:, None, None]
    height = (keel / scale - rows) / (metre / scale)  # metres above the waterline
    small[..., :3] *= 0.72 + 0.28 * np.clip(height / 1.1, 0, 1)  # hulls are darker towards the water
    columns = np.arange(camera.width, dtype=np.float32)[None]
    line = 0.015 * sample(noise_tile(98, 1.6, 3), columns * 0.0012, np.zeros_like(columns))
    return np.asarray(small * smoothstep(-0.01, 0.01, height[..., 0] - line)[..., None], np.float32)


def _rounded(text: str) -> NDArray[np.float64]:
    """The closed outline `text` (n, 2) with its corners cut twice (Chaikin)."""
    outline = np.array([[float(value) for value in pair.split()] for pair in text.split(",")])
    for _ in range(2):
        after = np.roll(outline, -1, axis=0)
        outline = np.stack([0.82 * outline + 0.18 * after, 0.18 * outline + 0.82 * after], 1).reshape(-1, 2)
    return outline


def upside_down(scene: Scene, layer: Floats) -> Floats:
    """`layer` mirrored at the waterline of the boat."""
    assert scene.boat is not None
    keel = scene.camera.horizon + scene.camera.focal * scene.camera.eye / scene.boat[1]
    turn = np.array([[1, 0, 0], [0, -1, 2 * keel]], np.float32)
    size = scene.camera.width, scene.camera.height
    return np.asarray(cv2.warpAffine(layer, turn, size, flags=cv2.INTER_LINEAR), np.float32)
