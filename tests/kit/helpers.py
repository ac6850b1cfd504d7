"""Small builders that several test files use."""

from __future__ import annotations

from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import get_args

import numpy as np

from detic_crop.boxes.detections import Detections
from detic_crop.config import Fit

Found = tuple[Sequence[float], float, str]
"""xyxy, score, class name."""

FITS: tuple[Fit, ...] = get_args(Fit)


def write(path: Path, data: bytes = b"x") -> Path:
    """A file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def counting_file(sizes: list[int]) -> type[FileIO]:
    """A kind of file that notes in `sizes` how many bytes each reading has given."""

    class Counting(FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size) or b""
            sizes.append(len(data))
            return data

    return Counting


def detections(*found: Found, presence: float | None = None) -> Detections:
    """Detections from (xyxy, score, class name) triples."""
    return Detections(
        np.array([box for box, _, _ in found], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in found], np.float32),
        tuple(name for _, _, name in found),
        presence,
    )


def as_found(found: Detections) -> list[tuple[tuple[float, ...], float, str]]:
    """Detections as plain comparable values."""
    boxes = [tuple(float(edge) for edge in box) for box in found.xyxy]
    return list(zip(boxes, (float(score) for score in found.scores), found.class_names, strict=True))
