"""The `lite` detector: what pip installs is enough to crop.

A photo is looked at twice: the overview finds the animal, the close-up measures it, and its colours sharpen
the edges. See `evidence` for what the network sees and `boxes` for how that becomes a box.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.detections import Detections
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.detectors.devices import one_torch_thread
from detic_crop.detectors.lite.backbone import LiteNetwork, load_network
from detic_crop.detectors.lite.boxes import area, evidence_boxes, overlap, refine_by_colour
from detic_crop.detectors.lite.evidence import (
    Box,
    Heads,
    apply_head,
    class_margin,
    close_up_map,
    look,
    overview_cells,
    overview_picture,
    read_heads,
    read_taught_heads,
    weights_of,
)

CLASS_NAME = "Marine mammal"
MAX_BOXES = 5
LEAST_GAIN = 0.2  # of the first box's: weaker ones are glints and wakes more often than animals
SAME_ANIMAL = 0.5  # of a further box inside the refined first one


class LiteDetector(Detector):
    """Weakly supervised localiser on ImageNet's marine mammals; safe to share between threads.

    On a CPU a photo is one core's work, so the same photo gives the same bits whatever else goes on.

    Args:
        network: network from `load_network`, on `device`.
        heads: the fitted heads.
        device: device of the network.
        one_thread: False leaves torch its threads, to measure against.
    """

    def __init__(
        self, network: LiteNetwork, heads: Heads, device: str = "cpu", *, one_thread: bool = True
    ) -> None:
        self._network = network
        self._threads = one_torch_thread if one_thread else nullcontext
        self._heads = heads
        self.info = DetectorInfo(
            name=f"lite:{heads.taught}" if heads.taught else "lite",
            class_names=(CLASS_NAME,),
            default_conf=heads.conf,
            weights=weights_of(heads),
            thread_safe=device == "cpu",
        )

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Return up to five boxes, the first refined; score = presence × the box's share of the evidence.

        Args:
            image: (H, W, 3) uint8 BGR, at least 1 × 1 px.
            key: not used.
        """
        with self._threads():
            return self._detect(image)

    def _detect(self, image: NDArray[np.uint8]) -> Detections:
        height, width = image.shape[:2]
        view = look(self._network, overview_picture(image))
        presence = self._presence(class_margin(self._network, view))
        evidence = apply_head(overview_cells(view), self._heads.overview)
        found = evidence_boxes(evidence, (0, 0, width, height), MAX_BOXES, LEAST_GAIN)
        if not found:
            return Detections.empty(presence)
        (first, gain), *further = found
        first = self._refine(image, first)
        further = [(box, g) for box, g in further if overlap(box, first) < SAME_ANIMAL * area(box)]
        boxes = [first, *(box for box, _ in further)]
        gains = np.array([gain, *(g for _, g in further)])
        return Detections(
            xyxy=np.array([inside_photo(box, width, height) for box in boxes], np.float32),
            scores=(presence * gains / gains.sum()).astype(np.float32),
            class_names=(CLASS_NAME,) * len(boxes),
            presence=presence,
        )

    def _refine(self, photo: NDArray[np.uint8], box: Box) -> Box:
        evidence, window = close_up_map(self._network, self._heads.close_up, photo, box)
        for measured, _ in evidence_boxes(evidence, window):
            return refine_by_colour(photo, window, evidence, measured)
        return box  # the close-up saw nothing at all

    def _presence(self, margin: float) -> float:
        slope, offset = self._heads.presence
        return 1 / (1 + math.exp(-min(max(float(slope) * margin + float(offset), -50.0), 50.0)))


def inside_photo(box: Box, width: int, height: int) -> Box:
    """Return the box cut to the photo, at least one pixel wide and high."""
    left, right = _inside(box[0], box[2], width)
    top, bottom = _inside(box[1], box[3], height)
    return left, top, right, bottom


def _inside(low: float, high: float, size: int) -> tuple[float, float]:
    low = min(max(low, 0.0), size - 1.0)
    return low, min(max(high, low + 1.0), float(size))


def load_lite(device: str = "cpu", file: Path | None = None, *, optimised: bool = True) -> LiteDetector:
    """Return the detector with the weights that pip installed, on `device`.

    Args:
        device: device that it runs on.
        file: what `detic-crop teach` has fitted, in place of what was shipped.
        optimised: False takes the network as it is written and all of torch's threads, to measure against.

    Raises:
        WeightsError: they are missing, damaged or do not fit; or `file` is.
    """
    heads = heads_of(file)
    network = load_network(device=device, optimised=optimised)
    return LiteDetector(network, heads, device, one_thread=optimised)


def heads_of(file: Path | None) -> Heads:
    """Return the heads in a taught file; without one those that were shipped.

    Raises:
        WeightsError: see `load_lite`.
    """
    return read_heads() if file is None else read_taught_heads(file)
