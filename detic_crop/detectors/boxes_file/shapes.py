"""Shapes that people draw, as the upright boxes around them; numbers as JSON and XML write them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.detectors.boxes_file.drafts import Draft, Drafts
from detic_crop.detectors.boxes_file.numbers import numbers_of, shown
from detic_crop.detectors.boxes_file.table import RowError

_P = ParamSpec("_P")

Edges = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax


def number(value: object) -> float:
    """Return a number, or a text that is one; whether it is finite is checked later.

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


def points_of(values: object) -> list[tuple[float, float]]:
    """Return the points of a list of [x, y].

    Raises:
        RowError: it is not such a list.
    """
    pairs: list[Any] = values if isinstance(values, list) else []
    if not pairs or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise RowError(f"expected points of two numbers, got {shown(values)}")
    return [(number(x), number(y)) for x, y in pairs]


def around(points: Iterable[Sequence[float]]) -> Edges:
    """Return the upright box around points."""
    points = list(points)
    if not points:
        raise RowError("expected points, got none")
    across, down = zip(*points, strict=True)
    return min(across), min(down), max(across), max(down)


def around_ellipse(x: float, y: float, a: float, b: float, radians: float = 0.0) -> Edges:
    """Return the upright box around an ellipse with the half axes a and b that is turned about its centre."""
    if not math.isfinite(radians):
        raise RowError(f"expected a finite angle, got {radians:g}")
    across = math.hypot(a * math.cos(radians), b * math.sin(radians))
    down = math.hypot(a * math.sin(radians), b * math.cos(radians))
    return x - across, y - down, x + across, y + down


def draft(edges: Edges, class_name: object = None, score: float = 1.0, degrees: float = 0.0) -> Draft:
    """Return a box by its edges, to be checked later.

    Args:
        edges: left, top, right, bottom, in pixels or shares of the photo.
        class_name: name of the class in the file; None or empty means `unknown`.
        score: 0 to 1.
        degrees: angle by which the box is turned about its centre.
    """
    left, top, right, bottom = edges
    # As a size, since corners in the wrong order would be taken for a size given as corners.
    numbers = left, top, right - left, bottom - top
    return Draft(numbers, score, str(class_name or "").strip() or UNKNOWN_CLASS, "xywh", degrees)


def add_made(
    drafts: Drafts, place: str, path: str, make: Callable[_P, Draft], *args: _P.args, **kwargs: _P.kwargs
) -> None:
    """Add the box that `make(*args, **kwargs)` makes, or say why it makes none."""
    try:
        box = make(*args, **kwargs)
    except RowError as error:
        drafts.add_problem(place, str(error), path)
    else:
        drafts.add(place, path, [box])
