"""Boxes files for tests: write one, load it, ask for a photo's boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from detic_crop.config import BoxFormat
from detic_crop.detectors.base import Detector
from detic_crop.detectors.boxes_file import BoxesFileDetector, load_boxes_file
from detic_crop.errors import PhotoError


class Load(Protocol):
    """Write a boxes file (text as it stands, anything else as JSON) and load it."""

    def __call__(
        self, content: object, name: str = "", box_format: BoxFormat | None = None
    ) -> BoxesFileDetector: ...


def loader(folder: Path) -> Load:
    """A `Load` that writes into that folder."""

    def load(content: object, name: str = "", box_format: BoxFormat | None = None) -> BoxesFileDetector:
        text = content if isinstance(content, str) else json.dumps(content)
        path = folder / (name or ("boxes.csv" if isinstance(content, str) else "boxes.json"))
        path.write_bytes(text.encode())
        return load_boxes_file(path, box_format)

    return load


def photo(width: int = 4000, height: int = 3000) -> NDArray[np.uint8]:
    """A photo of that size that takes no memory; its pixels must not matter."""
    return np.broadcast_to(np.uint8(0), (height, width, 3))


def boxes(
    detector: Detector, key: str = "a.jpg", image: NDArray[np.uint8] | None = None
) -> list[list[float]]:
    """Left, top, right, bottom of each."""
    found = detector.detect(photo() if image is None else image, key)
    return [[float(edge) for edge in box] for box in found.xyxy]


def failure(
    detector: Detector, key: str = "a.jpg", image: NDArray[np.uint8] | None = None
) -> tuple[str, str]:
    """(reason, message) of the photo that fails."""
    with pytest.raises(PhotoError) as caught:
        detector.detect(photo() if image is None else image, key)
    return caught.value.reason, str(caught.value)
