"""What a scene consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rendering.noise import Curve, Floats, Vector


@dataclass(frozen=True)
class Camera:
    """A pinhole camera held level; `horizon` is the horizon's row, above the picture when negative."""

    width: int
    height: int
    focal: float  # pixels
    horizon: float  # row
    eye: float  # metres above the sea

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Columns and rows of world `points` (n, 3)."""
        columns = self.width / 2 + self.focal * points[:, 0] / points[:, 2]
        rows = self.horizon + self.focal * (self.eye - points[:, 1]) / points[:, 2]
        return columns, rows


@dataclass(frozen=True)
class Light:
    """Sun, sky and the colour of the water."""

    sun: Vector  # direction towards it, any length
    sun_colour: Vector
    horizon: Vector
    zenith: Vector
    water: Vector  # light that comes back out of deep water
    crest: Vector  # what thin crests add to it
    clouds: float = 0.3  # 0 none … 1 overcast
    exposure: float = 1.0


@dataclass(frozen=True)
class Weather:
    """The waves."""

    slope: float  # root mean square of the surface slope
    longest: float  # metres
    heading: float  # degrees; 90 runs away from the camera
    whitecaps: float = 0.0


@dataclass(frozen=True)
class Fin:
    """A fin in body space (s along the body in lengths, h above and w beside the spine)."""

    lead: tuple[Vector, ...]  # Bézier control points, root to tip
    trail: tuple[Vector, ...]
    thickness: float
    across: Vector  # direction of the thickness
    both_sides: bool = True
    ragged: float = 0.0


@dataclass(frozen=True)
class Species:
    """Shape and paint of one kind of animal; lengths in body lengths."""

    length: float  # metres
    top: Curve  # (s, radius) from snout to tail
    bottom: Curve
    side: Curve
    fins: tuple[Fin, ...]
    paint: Callable[[Floats, Floats], Floats]  # body space (nu, nv, 3), mottling (nu, nv) → albedo


@dataclass(frozen=True)
class Animal:
    """One animal in a scene."""

    species: Species
    x: float
    z: float
    y: float = 0.0  # of the spine at mid-body
    yaw: float = 0.0  # degrees; 0 swims to the right, 90 away
    roll: float = 0.0
    spine: Curve = ((0.0, 0.0), (1.0, 0.0))  # (s, pitch in degrees)
    foam: float = 1.0
    wake: float = 0.0  # metres of foam behind it
    drips: int = 0  # threads of water running off it
    seed: int = 1


@dataclass(frozen=True)
class Spray:
    """Droplets thrown up from the sea around (x, z)."""

    x: float
    z: float
    width: float  # metres, along x
    speed: float  # metres per second
    jets: int
    y: float = 0.0
    lean: float = 0.0
    size: float = 0.0022  # metres
    pool: float = 1.0  # strength of the foam under it


@dataclass(frozen=True)
class Blow:
    """A whale's breath."""

    x: float
    z: float
    y: float
    height: float
    width: float
    lean: float = 0.0


@dataclass(frozen=True)
class Scene:
    """One picture of the sample and its row of the table (none without `species`)."""

    name: str
    camera: Camera
    light: Light
    weather: Weather
    species: str = ""
    individual: str = ""
    animals: tuple[Animal, ...] = ()
    sprays: tuple[Spray, ...] = ()
    blows: tuple[Blow, ...] = ()
    coast: float = 0.0  # height of the hills on the horizon, pixels
    boat: tuple[float, float] | None = None  # x, z
    focus: float = 0.0  # metres; 0: everything is sharp
    under_water: bool = False
    quality: int = 85
    grain: float = 0.007
    orientation: int = 1  # EXIF
    seed: int = 0
