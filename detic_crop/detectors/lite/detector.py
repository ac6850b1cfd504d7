"""The `lite` detector: what pip installs is enough to crop.

A photo is looked at twice by one network: the overview finds the animals, a close-up of each measures it,
and where the two agree the box is believed. See `network` for what the network says, `boxes` for how that
becomes a box, and `judgement` for its score.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from detic_crop.boxes.detections import Detections
from detic_crop.boxes.overlap import inside_share, iou, iou_of_pair
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.detectors.devices import one_torch_thread
from detic_crop.detectors.lite.boxes import boxes_of_cells
from detic_crop.detectors.lite.classes import margin
from detic_crop.detectors.lite.judgement import Evidence
from detic_crop.detectors.lite.network import LiteNetwork, Sight
from detic_crop.detectors.lite.package import WEIGHTS_FILE, WEIGHTS_SHA256
from detic_crop.detectors.lite.views import Box, Pixels, Window, as_tensor, close_up, overview, window_around
from detic_crop.detectors.lite.weights import SHIPPED, LiteWeights, load_network, read_weights

CLASS_NAME = "Marine mammal"
MAX_BOXES = 5
LEAST_FURTHER = 0.2  # probability in the overview of a second box that is worth a close-up
CLOSE_UP_BOXES = 3  # of a close-up, of which one stands for the box that it was made for
OVERVIEW_SHARE = 0.3  # of the overview in the mean of the boxes; the rest is the close-up's
UNLIKE = 0.3  # IoU of the two looks below which the overview's box is not heard
SAME_ANIMAL = 0.5  # IoU of two boxes, or share of one inside the other, above which the likelier one stays
PART_INSIDE = 0.85


@dataclass(frozen=True, slots=True)
class Found:
    """A box of one photo, and what speaks for it."""

    box: NDArray[np.float64]
    evidence: Evidence


class LiteDetector(Detector):
    """Finds marine mammals; safe to share between threads.

    On a CPU a photo is one core's work, so the same photo gives the same bits whatever else goes on.

    Args:
        network: network from `load_network`, on `device`.
        weights: what the network was loaded from.
        device: device of the network.
        name: file name of the weights, for the record.
        one_thread: False leaves torch its threads, to measure against.
    """

    def __init__(
        self,
        network: LiteNetwork,
        weights: LiteWeights,
        device: str = "cpu",
        *,
        name: str = SHIPPED.name,
        one_thread: bool = True,
    ) -> None:
        self._network, self._weights = network, weights
        self._threads = one_torch_thread if one_thread else nullcontext
        self.info = DetectorInfo(
            name="lite",
            class_names=(CLASS_NAME,),
            default_conf=weights.conf,
            weights={WEIGHTS_FILE: WEIGHTS_SHA256, name: weights.sha256},
            thread_safe=device == "cpu",
        )

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Return up to five boxes; the score is the probability that the box holds an animal.

        Args:
            image: (H, W, 3) uint8 BGR, at least 1 × 1 px.
            key: not used.
        """
        with self._threads():
            found = self.look(image)
        judgement = self._weights.judgement
        scored = sorted(((judgement.score(each.evidence), each) for each in found), key=lambda pair: -pair[0])
        kept: list[tuple[float, Found]] = []
        for score, each in scored:
            if not any(_same_animal(each.box, other.box) for _, other in kept):
                kept.append((score, each))
        return Detections(
            xyxy=np.array([each.box for _, each in kept], np.float32),
            scores=np.array([score for score, _ in kept], np.float32),
            class_names=(CLASS_NAME,) * len(kept),
            presence=judgement.presence_of(scored[0][1].evidence),
        )

    def look(self, image: Pixels) -> list[Found]:
        """Return what both looks find, one for each box of the overview; at least one."""
        height, width = image.shape[:2]
        sight, classes = self._see(overview(image)[None], classes=True)
        cells = _array(sight.cells[0])
        boxes, chances = boxes_of_cells(cells, MAX_BOXES)
        scale = _scale(cells, width, height)
        found = []
        for index, (box, chance) in enumerate(zip(boxes * scale, chances, strict=True)):
            if index and chance < LEAST_FURTHER:
                break
            found.append(self._measure(image, box, float(chance), float(sight.presence[0]), classes))
        return found

    def _measure(
        self, image: Pixels, first: NDArray[np.float64], chance: float, presence: float, classes: float
    ) -> Found:
        """Look at a box of the overview closely, and at the mirror image of that."""
        height, width = image.shape[:2]
        left, top, right, bottom = inside_photo(first, width, height)
        window = window_around((left, top, right, bottom), width, height)
        picture = close_up(image, window)
        sight, closer = self._see(np.stack([picture, picture[:, ::-1]]), classes=True)
        cells = _array(sight.cells)
        straight = self._standing_for(first, cells[0], window)
        mirrored = self._standing_for(first, _mirrored(cells[1]), window)
        near = (straight[0] + mirrored[0]) / 2
        same = iou_of_pair(first, near)
        share = OVERVIEW_SHARE if same >= UNLIKE else 0.0
        box = share * first + (1 - share) * near
        return Found(
            np.array(inside_photo(box, width, height)),
            Evidence(
                middle_overview=_log_odds(chance),
                middle_close_up=(_log_odds(straight[1]) + _log_odds(mirrored[1])) / 2,
                presence_overview=presence,
                presence_close_up=float(sight.presence.mean()),
                classes_overview=classes,
                classes_close_up=closer,
                same_box=same,
                same_mirrored=iou_of_pair(straight[0], mirrored[0]),
            ),
        )

    def _standing_for(
        self, first: NDArray[np.float64], cells: NDArray[np.float32], window: Window
    ) -> tuple[NDArray[np.float64], float]:
        """Return the close-up's box that stands for the overview's, in the photo, and its chance."""
        boxes, chances = boxes_of_cells(cells, CLOSE_UP_BOXES)
        scale = _scale(cells, window[2] - window[0], window[3] - window[1])
        in_photo = boxes * scale + np.array([window[0], window[1], window[0], window[1]])
        best = int((chances * (0.3 + iou(first, in_photo))).argmax())
        return in_photo[best], float(chances[best])

    def _see(self, pictures: NDArray[np.uint8], classes: bool) -> tuple[Sight, float]:
        """Return what the network says, and the margin of ImageNet's classes in the first picture."""
        with torch.inference_mode():
            below = self._network.below(as_tensor(pictures, next(self._network.parameters()).device))
            sight: Sight = self._network(below)
            return sight, margin(self._network.class_logits(below[:1])[0]) if classes else 0.0


def inside_photo(box: Box | NDArray[np.float64], width: int, height: int) -> Box:
    """Return the box cut to the photo, at least one pixel wide and high."""
    left, right = _inside(float(box[0]), float(box[2]), width)
    top, bottom = _inside(float(box[1]), float(box[3]), height)
    return left, top, right, bottom


def _inside(low: float, high: float, size: int) -> tuple[float, float]:
    low = min(max(low, 0.0), size - 1.0)
    return low, min(max(high, low + 1.0), float(size))


def _same_animal(box: NDArray[np.float64], likelier: NDArray[np.float64]) -> bool:
    return (
        iou_of_pair(box, likelier) > SAME_ANIMAL or float(inside_share(box, likelier[None])[0]) > PART_INSIDE
    )


def _mirrored(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return cells of a mirrored picture as those of the picture: left and right edges change places."""
    return np.asarray(cells[[0, 3, 2, 1, 4, 5], :, ::-1])


def _scale(cells: NDArray[np.float32], width: float, height: float) -> NDArray[np.float64]:
    """Return what edges in the picture are multiplied with, of a region of width × height."""
    rows, columns = cells.shape[-2:]
    return np.tile([width / (columns * 8), height / (rows * 8)], 2)


def _array(values: torch.Tensor) -> NDArray[np.float32]:
    return np.asarray(values.float().cpu().numpy(), np.float32)


def _log_odds(chance: float) -> float:
    chance = min(max(chance, 1e-4), 1 - 1e-4)
    return float(np.log(chance / (1 - chance)))


def load_lite(device: str = "cpu", file: Path = SHIPPED, *, optimised: bool = True) -> LiteDetector:
    """Return the detector with weights from a file, by default those that are installed, on `device`.

    Args:
        device: device that it runs on.
        file: weights that `detic-crop teach` wrote.
        optimised: False takes the network as it is written and all of torch's threads, to measure against.

    Raises:
        WeightsError: the file or pip's ImageNet weights are missing, damaged or do not fit.
    """
    weights = read_weights(file)
    network = load_network(weights, device, optimised=optimised)
    return LiteDetector(network, weights, device, name=file.name, one_thread=optimised)
