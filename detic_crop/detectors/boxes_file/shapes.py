"""Shapes that people draw, as the upright boxes around them; numbers as JSON and XML write them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from detic_crop.detectors.boxes_file.numbers import numbers_of, shown
from detic_crop.detectors.boxes_file.table import RowError

Edges = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax


def number(value: object) -> float:
    """A number, or a text that is one; whether it is finite, `numbers.edges_of_size` checks.

    Raises:
        RowError: it is anything else.
    """
    if isinstance(value, str):
        numbers = numbers_of([value.strip()])
        if numbers is not None:
            return numbers[0]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    raise RowError(f"expected a number, got {'none' if value is None else shown(value)}")


def size_of(width: object, height: object) -> tuple[int, int] | None:
    """A photo's stated (width, height) in pixels; None where there is none (0, empty, absent)."""
    try:
        sides = number(width), number(height)
    except RowError:
        return None
    whole = all(side >= 1 and side.is_integer() for side in sides)
    return (int(sides[0]), int(sides[1])) if whole else None


def points_of(values: object) -> list[tuple[float, float]]:
    """Points of a list of [x, y].

    Raises:
        RowError: it is no such list.
    """
    pairs: list[Any] = values if isinstance(values, list) else []
    if not pairs or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise RowError(f"expected points of two numbers, got {shown(values)}")
    return [(number(x), number(y)) for x, y in pairs]


def around(points: Iterable[Sequence[float]]) -> Edges:
    """The upright box around points."""
    points = list(points)
    if not points:
        raise RowError("expected points, got none")
    across, down = zip(*points, strict=True)
    return min(across), min(down), max(across), max(down)


def around_turned(
    centre: tuple[float, float], half: tuple[float, float], radians: float, *, ellipse: bool = False
) -> Edges:
    """The upright box around a rectangle, or an ellipse, that is turned about its centre.

    Args:
        centre: x, y.
        half: half of its own width and height.
        radians: angle; its sign makes no difference to the box around it.
    """
    if not math.isfinite(radians):
        raise RowError(f"expected a finite angle, got {radians:g}")
    cos, sin = abs(math.cos(radians)), abs(math.sin(radians))
    (x, y), (a, b) = centre, (abs(half[0]), abs(half[1]))
    if ellipse:
        across, down = math.hypot(a * cos, b * sin), math.hypot(a * sin, b * cos)
    else:
        across, down = a * cos + b * sin, a * sin + b * cos
    return x - across, y - down, x + across, y + down
