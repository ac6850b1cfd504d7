"""Label files in a folder, and what the detector makes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from detic_crop.detectors.boxes_file import BoxesFileDetector, load_boxes_file
from detic_crop.errors import PhotoError, UsageError

Found = list[tuple[list[float], float, str]]  # xyxy in pixels, score, class


def write(root: Path, files: Mapping[str, object]) -> Path:
    """Write files by relative path: bytes and text as they stand, anything else as JSON."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return root


def photo(width: int = 1000, height: int = 500) -> NDArray[np.uint8]:
    """A photo of that size that takes no memory; its pixels must not matter."""
    return np.broadcast_to(np.uint8(0), (height, width, 3))


def found(detector: BoxesFileDetector, key: str, image: NDArray[np.uint8] | None = None) -> Found:
    """The boxes of one photo, to a thousandth of a pixel."""
    seen = detector.detect(photo() if image is None else image, key)
    corners = [[round(float(edge), 3) for edge in box] for box in seen.xyxy]
    scores = [round(float(score), 4) for score in seen.scores]
    return list(zip(corners, scores, seen.class_names, strict=True))


def whole(*box: float, name: str = "unknown", score: float = 1.0) -> tuple[list[float], float, str]:
    return list(box), score, name


def failure(detector: BoxesFileDetector, key: str) -> tuple[str, str]:
    """(reason, message) of the photo that fails."""
    with pytest.raises(PhotoError) as caught:
        detector.detect(photo(), key)
    return caught.value.reason, str(caught.value)


def refusal(path: Path) -> str:
    """What is said when the whole cannot be used."""
    with pytest.raises(UsageError) as caught:
        load_boxes_file(path)
    return str(caught.value)
