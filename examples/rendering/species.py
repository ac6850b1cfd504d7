"""Shape and paint of the animals; lengths in body lengths."""

from __future__ import annotations

import math

import numpy as np

from rendering.noise import Curve, Floats, Vector, around_trunk, noise_tile, sample, smoothstep
from rendering.scene import Fin, Species


def _mix(a: Vector, b: Vector, t: Floats) -> Floats:
    """Colour `a` where `t` is 0, `b` where it is 1."""
    t = np.clip(t, 0, 1)[..., None]
    return np.asarray(np.array(a, np.float32) * (1 - t) + np.array(b, np.float32) * t, np.float32)


def _blot(colour: Floats, ink: Vector, t: Floats) -> Floats:
    """`colour` covered with `ink` where `t` is 1."""
    t = np.clip(t, 0, 1)[..., None]
    return np.asarray(colour * (1 - t) + np.array(ink, np.float32) * t, np.float32)


def _ellipse(body: Floats, s: float, h: float, long: float, high: float, tilt: float = 0.0) -> Floats:
    """1 inside an ellipse on the flank, 0 outside, soft between."""
    ds, dh = body[..., 0] - s, body[..., 1] - h
    u = ds * math.cos(tilt) + dh * math.sin(tilt)
    v = -ds * math.sin(tilt) + dh * math.cos(tilt)
    return smoothstep(1.12, 0.9, np.hypot(u / long, v / high))


def paint_dolphin(body: Floats, bumps: Floats) -> Floats:
    """Bottlenose dolphin: dark cape, grey sides, pale belly, a mouth line and an eye."""
    s, h = body[..., 0], body[..., 1]
    flipper = smoothstep(0.07, 0.1, np.abs(body[..., 2]))
    belly = smoothstep(-0.02, -0.06, h + 0.006 * bumps) * (1 - flipper)
    cape = flipper + smoothstep(-0.01, 0.05, h + 0.02 * np.sin(s * 9) + 0.006 * bumps)
    colour = _mix((0.125, 0.128, 0.135), (0.058, 0.06, 0.068), cape)
    colour = _blot(colour, (0.44, 0.41, 0.40), belly)
    mouth = smoothstep(0.0028, 0.0012, np.abs(h + 0.006 - 0.09 * np.maximum(s - 0.05, 0))) * (s < 0.115)
    colour = _blot(
        colour, (0.03, 0.03, 0.03), 0.8 * mouth + 0.95 * _ellipse(body, 0.137, 0.003, 0.0075, 0.0055)
    )
    return np.asarray(colour * (1 + 0.09 * bumps[..., None]), np.float32)


def paint_orca(body: Floats, bumps: Floats) -> Floats:
    """Killer whale: black, white belly with a lobe up the flank, eye patch, grey saddle."""
    s, h = body[..., 0], body[..., 1]
    flipper = smoothstep(0.085, 0.115, np.abs(body[..., 2]))
    edge = -0.052 + 0.018 * smoothstep(0.12, 0.0, s) + 0.0025 * bumps
    belly = smoothstep(0.003, -0.003, h - edge) * (s < 0.62)
    lobe = _ellipse(body, 0.66, -0.035, 0.11, 0.022, 0.28)
    patch = _ellipse(body, 0.145, 0.030, 0.042, 0.0165, -0.12)
    saddle = _ellipse(body, 0.585, 0.105, 0.075, 0.03, -0.3)
    colour = _mix((0.012, 0.012, 0.014), (0.011, 0.011, 0.012), flipper)
    colour = _blot(colour, (0.14, 0.145, 0.15), saddle * (0.7 + 0.2 * bumps) * (s > 0.46))
    return _blot(colour, (0.72, 0.72, 0.70), np.maximum(np.maximum(belly, lobe), patch) * (1 - flipper))


def paint_humpback(body: Floats, bumps: Floats) -> Floats:
    """Humpback: black and scarred, the underside of the flukes white with a dark rim and blots."""
    s, h, w = body[..., 0], body[..., 1], np.abs(body[..., 2])
    fine = sample(noise_tile(42, 0.8, 5), s * 3.1, body[..., 2] * 4.3)
    colour = _mix((0.022, 0.023, 0.026), (0.05, 0.05, 0.055), smoothstep(0.6, 2.2, bumps))
    knobs = smoothstep(2.0, 2.4, fine) * (s < 0.9)
    under = (s > 0.94) & (h <= 0.0004)
    middle = smoothstep(0.012, 0.04, w - 0.012 * bumps)
    rim = smoothstep(0.0, 0.035, 1.055 + 0.012 * bumps - s + 0.25 * (w - 0.08))
    white = under * middle * rim * (1 - 0.85 * smoothstep(0.5, 1.2, bumps + 0.45 * fine))
    return _blot(_blot(colour, (0.3, 0.29, 0.27), 0.6 * knobs), (0.60, 0.60, 0.58), white)


def paint_blue_whale(body: Floats, bumps: Floats) -> Floats:
    """Blue whale: slate blue with pale mottling."""
    mottle = sample(noise_tile(46, 0.85, 6), body[..., 0] * 5, around_trunk(body) * 3.5)
    colour = _mix((0.07, 0.088, 0.108), (0.17, 0.195, 0.22), smoothstep(-0.7, 1.6, mottle + 0.5 * bumps))
    return np.asarray(colour, np.float32)


def paint_beluga(body: Floats, bumps: Floats) -> Floats:
    """Beluga: white, a little yellow and scratched."""
    colour = np.array((0.66, 0.65, 0.61), np.float32) * (1 + 0.035 * bumps[..., None])
    colour = np.broadcast_to(colour, body.shape).astype(np.float32)
    return _blot(colour, (0.05, 0.05, 0.05), _ellipse(body, 0.115, 0.005, 0.006, 0.005))


def _flukes(half_span: float, chord: float, ragged: float = 0.02) -> Fin:
    """Tail flukes, the notch between them at the end of the spine."""
    tip = (0.965 + 1.25 * chord, -0.008, half_span)
    return Fin(
        lead=(
            (0.95, 0, 0),
            (0.958, 0, 0.48 * half_span),
            (0.975 + 0.3 * chord, -0.002, 0.92 * half_span),
            tip,
        ),
        trail=(
            (0.95 + 0.92 * chord, 0, 0),
            (0.955 + 1.45 * chord, 0, 0.2 * half_span),
            (0.945 + chord, -0.002, 0.68 * half_span),
            tip,
        ),
        thickness=0.007,
        across=(0, 1, 0),
        ragged=ragged,
    )


def _flippers(size: float, chord: float, s: float = 0.22, h: float = -0.045, w: float = 0.06) -> Fin:
    """Pectoral fins, pointing down, out and back."""
    tip = (s + 0.75 * size, h - 0.38 * size, w + 0.5 * size)
    return Fin(
        lead=(
            (s, h, w),
            (s + 0.1 * size, h - 0.15 * size, w + 0.28 * size),
            (s + 0.4 * size, h - 0.3 * size, w + 0.45 * size),
            tip,
        ),
        trail=(
            (s + chord, h, w),
            (s + chord, h - 0.1 * size, w + 0.14 * size),
            (s + chord + 0.15 * size, h - 0.25 * size, w + 0.36 * size),
            tip,
        ),
        thickness=0.009,
        across=(0, 0.8, 0.6),
    )


def _dorsal(start: float, base: float, root: float, height: float, sweep: float, ragged: float = 0.02) -> Fin:
    """A dorsal fin of `height` above `root`, its tip `sweep` behind the start of its `base`."""
    tip = (start + sweep, root + height, 0.0)
    return Fin(
        lead=(
            (start, root, 0),
            (start + 0.36 * sweep, root + 0.22 * height, 0),
            (start + 0.58 * sweep, root + height, 0),
            tip,
        ),
        trail=(
            (start + 1.22 * base, root - 0.01, 0),
            (start + 0.70 * base + 0.05 * sweep, root + 0.2 * height, 0),
            (start + 0.30 * base + 0.52 * sweep, root + 0.72 * height, 0),
            tip,
        ),
        thickness=0.011,
        across=(0, 0, 1),
        both_sides=False,
        ragged=ragged,
    )


def _radii(head: str, trunk: str) -> Curve:
    """Radii along the body: "s radius, s radius …" of the head, then those at s = 0.2, 0.3 … 0.9, 0.95, 1."""
    points = [tuple(map(float, pair.split())) for pair in head.split(",")]
    stations = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
    points += zip(stations, map(float, trunk.split()), strict=True)
    return tuple((s, radius) for s, radius in points)


DOLPHIN = Species(
    length=3.0,
    top=_radii(
        "0 0.009, 0.03 0.015, 0.052 0.019, 0.066 0.03, 0.085 0.05, 0.13 0.068",
        "0.084 0.097 0.102 0.098 0.085 0.066 0.046 0.03 0.021 0.01",
    ),
    bottom=_radii(
        "0 0.011, 0.03 0.018, 0.066 0.025, 0.1 0.036, 0.14 0.05",
        "0.068 0.09 0.098 0.092 0.076 0.055 0.038 0.026 0.019 0.008",
    ),
    side=_radii(
        "0 0.009, 0.03 0.016, 0.066 0.025, 0.09 0.044, 0.14 0.063",
        "0.079 0.093 0.096 0.088 0.07 0.048 0.027 0.015 0.011 0.005",
    ),
    fins=(_dorsal(0.385, 0.16, 0.075, 0.125, 0.19, 0.035), _flippers(0.17, 0.075), _flukes(0.125, 0.085)),
    paint=paint_dolphin,
)
ORCA = Species(
    length=6.5,
    top=_radii(
        "0 0.016, 0.02 0.038, 0.05 0.056, 0.09 0.07, 0.14 0.084",
        "0.096 0.108 0.114 0.11 0.096 0.076 0.055 0.036 0.026 0.012",
    ),
    bottom=_radii(
        "0 0.014, 0.02 0.028, 0.05 0.04, 0.09 0.05, 0.14 0.066",
        "0.084 0.102 0.108 0.102 0.086 0.066 0.046 0.03 0.022 0.01",
    ),
    side=_radii(
        "0 0.016, 0.02 0.036, 0.05 0.054, 0.09 0.07, 0.14 0.086",
        "0.1 0.112 0.114 0.104 0.084 0.058 0.034 0.018 0.012 0.006",
    ),
    fins=(_dorsal(0.365, 0.155, 0.09, 0.255, 0.135), _flippers(0.19, 0.11, w=0.075), _flukes(0.145, 0.10)),
    paint=paint_orca,
)
HUMPBACK = Species(
    length=13.0,
    top=_radii(
        "0 0.008, 0.03 0.02, 0.08 0.038, 0.14 0.058",
        "0.078 0.096 0.104 0.102 0.092 0.072 0.05 0.032 0.024 0.012",
    ),
    bottom=_radii(
        "0 0.008, 0.03 0.03, 0.08 0.055, 0.14 0.08", "0.1 0.116 0.112 0.096 0.076 0.056 0.04 0.027 0.02 0.01"
    ),
    side=_radii(
        "0 0.008, 0.03 0.025, 0.08 0.05, 0.14 0.078",
        "0.1 0.112 0.11 0.098 0.078 0.054 0.033 0.02 0.015 0.008",
    ),
    fins=(
        _dorsal(0.60, 0.10, 0.075, 0.040, 0.09),
        _flippers(0.32, 0.07, w=0.08),
        _flukes(0.172, 0.095, 0.06),
    ),
    paint=paint_humpback,
)
BLUE_WHALE = Species(
    length=24.0,
    top=_radii(
        "0 0.008, 0.03 0.018, 0.08 0.03, 0.15 0.047, 0.17 0.055, 0.185 0.053",
        "0.053 0.062 0.066 0.067 0.064 0.056 0.043 0.028 0.02 0.01",
    ),
    bottom=_radii(
        "0 0.008, 0.03 0.03, 0.08 0.05, 0.15 0.062",
        "0.068 0.074 0.074 0.068 0.058 0.046 0.034 0.022 0.016 0.008",
    ),
    side=_radii(
        "0 0.008, 0.03 0.03, 0.08 0.05, 0.15 0.062",
        "0.068 0.074 0.073 0.068 0.058 0.044 0.029 0.016 0.011 0.006",
    ),
    fins=(_dorsal(0.735, 0.035, 0.045, 0.022, 0.04), _flippers(0.13, 0.04), _flukes(0.115, 0.06)),
    paint=paint_blue_whale,
)
BELUGA = Species(
    length=4.0,
    top=_radii(
        "0 0.018, 0.015 0.042, 0.045 0.068, 0.08 0.074, 0.115 0.066, 0.15 0.07",
        "0.086 0.108 0.118 0.114 0.1 0.078 0.054 0.034 0.024 0.012",
    ),
    bottom=_radii(
        "0 0.016, 0.02 0.028, 0.06 0.038, 0.12 0.05",
        "0.08 0.104 0.112 0.106 0.088 0.066 0.046 0.03 0.022 0.01",
    ),
    side=_radii(
        "0 0.018, 0.015 0.036, 0.045 0.056, 0.08 0.062, 0.13 0.066",
        "0.094 0.116 0.12 0.112 0.092 0.066 0.04 0.022 0.016 0.008",
    ),
    fins=(_flippers(0.12, 0.08, w=0.075), _flukes(0.12, 0.085)),
    paint=paint_beluga,
)
