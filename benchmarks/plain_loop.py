"""What `benchmarks.speed` is measured against: the loop that everybody writes first.

One photo at a time: `cv2.imread`, the model in float32, the largest box, `cv2.imwrite`; torch and OpenCV at
their own numbers of threads. Detic runs through the network as it is written, without what
`detic_crop.detectors.detic.optimise` makes of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from detic_crop.boxes.geometry import Box
from detic_crop.detectors.base import Detector

_SCALE = 1.2
_SIZE = 512
_QUALITY = 95


def plain_loop(paths: Sequence[Path], out: Path, detector: Detector, conf: float) -> dict[str, Box | None]:
    """Crop the largest box of every photo into `out`; returns the boxes, xyxy in pixels, by file name."""
    out.mkdir(parents=True, exist_ok=True)
    chosen: dict[str, Box | None] = {}
    for path in paths:
        image = np.asarray(cv2.imread(str(path)), np.uint8)
        found = detector.detect(image, path.name)
        wanted = np.flatnonzero(found.scores >= conf)
        box = None
        if len(wanted):
            left, top, right, bottom = found.xyxy[wanted[np.argmax(found.areas[wanted])]].tolist()
            box = left, top, right, bottom
        crop = _crop(image, box)
        shrinks = crop.shape[0] > _SIZE and crop.shape[1] > _SIZE
        resized = cv2.resize(
            crop, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        )
        cv2.imwrite(str(out / path.name), resized, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        chosen[path.name] = box
    return chosen


def _crop(image: np.ndarray, box: Box | None) -> np.ndarray:
    if box is None:
        return image
    height, width = image.shape[:2]
    left, top, right, bottom = box
    grow_x, grow_y = (right - left) * (_SCALE - 1) / 2, (bottom - top) * (_SCALE - 1) / 2
    x1, y1 = max(0, int(left - grow_x)), max(0, int(top - grow_y))
    x2, y2 = min(width, int(np.ceil(right + grow_x))), min(height, int(np.ceil(bottom + grow_y)))
    return image[y1:y2, x1:x2]
