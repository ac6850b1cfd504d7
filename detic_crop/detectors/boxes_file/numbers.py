"""Numbers of one box, checked: corners, or left, top, width and height, and scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

from detic_crop.detectors.boxes_file.table import RowError

# Far beyond any photo, and far below where float32 turns to infinity.
MAX_PIXEL = 1e7
# A normalised box may reach a little past the photo; a number this large is a pixel.
MAX_NORMALISED = 2.0
SHOWN_CHARACTERS = 60


def numbers_of(texts: Sequence[str]) -> list[float] | None:
    # float() also reads "1_000", which is a file name rather than a number.
    try:
        return None if "_" in "".join(texts) else [float(text) for text in texts]
    except ValueError:
        return None


def edges(numbers: Sequence[float], limit: float, cure: str) -> tuple[float, float, float, float]:
    """Return checked corners, in pixels or shares of the photo; `cure`: what to do if they are sizes."""
    xmin, ymin, xmax, ymax = numbers
    check_range(numbers, limit)
    if not (xmin < xmax and ymin < ymax):
        raise RowError(
            f"expected xmin < xmax and ymin < ymax, got {joined(numbers)}; "
            f"if these are left, top, width, height, {cure}"
        )
    return xmin, ymin, xmax, ymax


def edges_of_size(numbers: Sequence[float], limit: float = MAX_PIXEL) -> tuple[float, float, float, float]:
    """Return the corners of left, top, width, height, in pixels or shares of the photo, checked."""
    left, top, width, height = numbers
    check_range(numbers, limit)
    if not (width > 0 and height > 0):
        raise RowError(f"expected a width and height above 0, got {joined(numbers)}")
    return left, top, left + width, top + height


def check_range(numbers: Sequence[float], limit: float) -> None:
    if not all(map(math.isfinite, numbers)):
        raise RowError(f"expected finite numbers, got {joined(numbers)}")
    if max(numbers) > limit or min(numbers) < -limit:
        unit = "normalised numbers, 0 to 1" if limit == MAX_NORMALISED else f"at most {limit:,.0f} px"
        raise RowError(f"expected {unit}, got {joined(numbers)}")


def checked_score(score: float) -> float:
    if not 0 <= score <= 1:
        raise RowError(f"expected a score from 0 to 1, got {score:g}")
    return score


def joined(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:.10g}" for number in numbers)


def shown(value: object) -> str:
    """Return a value for a message: quoted, and cut if it is long."""
    try:
        text = repr(value)
    except ValueError:  # whole numbers of more than 4,300 digits are not printed
        text = f"a {type(value).__name__} too long to print"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
