"""The `lite` detector: what pip installs is enough to crop.

A photo is looked at twice by one network. The overview finds the animals. In a close-up each is found again,
larger, and measured, and its colours sharpen the edges. Where all this agrees the box is believed. See
`network` for what is seen, `boxes` and `measure` for how that becomes a box, `judgement` for its score.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
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
from detic_crop.detectors.lite.colour import picture_to_cut, refine_by_colour
from detic_crop.detectors.lite.judgement import Evidence
from detic_crop.detectors.lite.measure import box_of_shares, cells_of, contrast_of, place_cells, shares
from detic_crop.detectors.lite.network import CELL, LiteNetwork, Sight
from detic_crop.detectors.lite.package import WEIGHTS_FILE, WEIGHTS_SHA256
from detic_crop.detectors.lite.views import Box, Pixels, Window, as_tensor, close_up, overview, window_around
from detic_crop.detectors.lite.weights import SHIPPED, LiteWeights, load_network, read_weights

CLASS_NAME = "Marine mammal"
MAX_BOXES = 5
LEAST_FURTHER = 0.2  # probability in the overview of a second box that is worth a close-up
CLOSE_UP_BOXES = 3  # of a close-up, of which one stands for the box that it was made for
NEAR = 0.3  # IoU with the overview's box that counts as much as being certain
# Ridge regression pulls the shares of the cells to their mean, so its boxes are small: on photos that it was
# not fitted on, by about this share of a side at each edge.
SHRUNK = 0.02
SAME_ANIMAL = 0.5  # IoU of two boxes, or share of one inside the other, above which the likelier one stays
PART_INSIDE = 0.85


@dataclass(frozen=True, slots=True)
class Found:
    """A box of one photo, and what speaks for it."""

    box: NDArray[np.float64]
    evidence: Evidence


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the network saw of one animal; the weights of measuring and of believing have no part in it.

    Attributes:
        size: width and height of the photo, pixels.
        first: box of the overview, in pixels of the photo.
        again: box that the network finds again in the close-up.
        window: what the close-up shows.
        fine, coarse: (2, 112, h, w) and (2, 320, h/2, w/2), ImageNet's features of the close-up and of its
            mirror image.
        to_cut: the close-up as `colour` takes it.
        evidence: what speaks for the box before it is measured: `same_measured` and `contrast` are 0.
    """

    size: tuple[int, int]
    first: Box
    again: Box
    window: Window
    fine: torch.Tensor
    coarse: torch.Tensor
    to_cut: Pixels
    evidence: Evidence


class LiteDetector(Detector):
    """Finds marine mammals; safe to share between threads.

    On a CPU a photo is one core's work, so the same photo gives the same bits whatever else goes on.

    Args:
        network: network from `load_network`, on `device`.
        weights: what the network was loaded from.
        device: device of the network.
        name: file name of the weights, for the record.
        model: name of the model, as given to ``--model``.
        one_thread: False leaves torch its threads, to measure against.
    """

    def __init__(
        self,
        network: LiteNetwork,
        weights: LiteWeights,
        device: str = "cpu",
        *,
        name: str = SHIPPED.name,
        model: str = "lite",
        one_thread: bool = True,
    ) -> None:
        self._network, self._weights = network, weights
        self._threads = one_torch_thread if one_thread else nullcontext
        self.info = DetectorInfo(
            name=model,
            class_names=(CLASS_NAME,),
            default_conf=weights.conf,
            weights={WEIGHTS_FILE: WEIGHTS_SHA256, name: weights.sha256},
            thread_safe=device == "cpu",
        )

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Return one to five boxes; the score is the probability that the box is right, see `judgement`.

        Args:
            image: (H, W, 3) uint8 BGR, at least 1 × 1 px.
            key: not used.
        """
        with self._threads():
            return self.answer(self.see(image))

    def answer(self, seen: Sequence[Seen]) -> Detections:
        """Return the boxes of what was seen in a photo."""
        judgement = self._weights.judgement
        found = [self.measure(each) for each in seen]
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
        """Return what is found, one for each box of the overview; at least one."""
        return [self.measure(each) for each in self.see(image)]

    def see(self, image: Pixels) -> list[Seen]:
        """Return what the network sees: one for each box of the overview; at least one."""
        height, width = image.shape[:2]
        with torch.inference_mode():
            below = self._below(overview(image))
            sight: Sight = self._network(below)
            classes = margin(self._network.class_logits(self._network.published(below)[1])[0])
        cells = _array(sight.cells[0])
        boxes, chances = boxes_of_cells(cells, MAX_BOXES)
        scale = _scale(cells, width, height)
        seen = []
        for index, (box, chance) in enumerate(zip(boxes * scale, chances, strict=True)):
            if index and chance < LEAST_FURTHER:
                break
            seen.append(self._look_closer(image, box, float(chance), float(sight.presence[0]), classes))
        return seen

    def _look_closer(
        self, image: Pixels, box: NDArray[np.float64], chance: float, presence: float, classes: float
    ) -> Seen:
        """Look at a box of the overview in a close-up, and at the mirror image of that."""
        height, width = image.shape[:2]
        first = inside_photo(box, width, height)
        window = window_around(first, width, height)
        picture = close_up(image, window)
        with torch.inference_mode():
            below = self._below(picture, picture[:, ::-1])
            sight: Sight = self._network(below[:1])
            fine, coarse = self._network.published(below)
            closer = margin(self._network.class_logits(coarse[:1])[0])
        again, chance_again = _found_again(_array(sight.cells[0]), window, first)
        return Seen(
            size=(width, height),
            first=first,
            again=again,
            window=window,
            fine=fine,
            coarse=coarse,
            to_cut=picture_to_cut(image, window),
            evidence=Evidence(
                middle_overview=_log_odds(chance),
                middle_close_up=_log_odds(chance_again),
                presence_overview=presence,
                presence_close_up=float(sight.presence[0]),
                classes_overview=classes,
                classes_close_up=closer,
                same_close_up=iou_of_pair(box, again),
                same_measured=0.0,
                contrast=0.0,
            ),
        )

    def measure(self, seen: Seen) -> Found:
        """Return the box that the linear map and the colours give, and what speaks for it."""
        with torch.inference_mode():
            fine, coarse = seen.fine, seen.coarse
            place = place_cells(seen.first, seen.window, fine.shape[2], fine.shape[3]).to(fine.device)
            straight = shares(cells_of(fine[0], coarse[0], place), self._weights.measure)
            mirrored = shares(cells_of(fine[1], coarse[1], place.flip(2)), self._weights.measure)
        inside = np.asarray((straight + mirrored[:, ::-1]) / 2, np.float32)
        box = box_of_shares(inside, seen.window)
        if box is None:  # the map sees nothing at all
            measured, contrast = inside_photo(seen.again, *seen.size), 0.0
        else:
            measured = inside_photo(
                _grown(refine_by_colour(seen.to_cut, seen.window, inside, box)), *seen.size
            )
            contrast = contrast_of(inside, seen.window, box)
        same = iou_of_pair(seen.again, measured)
        return Found(np.array(measured), replace(seen.evidence, same_measured=same, contrast=contrast))

    def _below(self, *pictures: Pixels) -> torch.Tensor:
        """Return what both branches see of some pictures of one size.

        One by one: what the first layers make of two is so large that its memory is not kept for the next
        photo, which takes longer than half of the layers.
        """
        device = next(self._network.parameters()).device
        return torch.cat([self._network.below(as_tensor(each[None], device)) for each in pictures])


def _found_again(cells: NDArray[np.float32], window: Window, first: Box) -> tuple[Box, float]:
    """Return the close-up's box that stands for the overview's, in the photo, and its probability."""
    boxes, chances = boxes_of_cells(cells, CLOSE_UP_BOXES)
    scale = _scale(cells, window[2] - window[0], window[3] - window[1])
    in_photo = boxes * scale + np.array([window[0], window[1], window[0], window[1]])
    best = int((chances * (NEAR + iou(first, in_photo))).argmax())
    left, top, right, bottom = in_photo[best].tolist()
    return (left, top, right, bottom), float(chances[best])


def _grown(box: Box) -> Box:
    left, top, right, bottom = box
    x, y = SHRUNK * (right - left), SHRUNK * (bottom - top)
    return left - x, top - y, right + x, bottom + y


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


def _scale(cells: NDArray[np.float32], width: float, height: float) -> NDArray[np.float64]:
    """Return what edges in the picture are multiplied with, of a region of width × height."""
    rows, columns = cells.shape[-2:]
    return np.tile([width / (columns * CELL), height / (rows * CELL)], 2)


def _array(values: torch.Tensor) -> NDArray[np.float32]:
    return np.asarray(values.float().cpu().numpy(), np.float32)


def _log_odds(chance: float) -> float:
    chance = min(max(chance, 1e-4), 1 - 1e-4)
    return float(np.log(chance / (1 - chance)))


def load_lite(device: str = "cpu", file: Path = SHIPPED, *, optimised: bool = True) -> LiteDetector:
    """Return the detector with weights from a file, by default those that are installed, on `device`.

    Args:
        device: device that it runs on.
        file: weights of a whole network; for those that `detic-crop teach` wrote see `teaching.load_taught`.
        optimised: False takes the network as it is written and all of torch's threads, to measure against.

    Raises:
        WeightsError: the file or pip's ImageNet weights are missing, damaged or do not fit.
    """
    weights = read_weights(file)
    network = load_network(weights, device, optimised=optimised)
    return LiteDetector(network, weights, device, name=file.name, one_thread=optimised)
