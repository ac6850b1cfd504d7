"""Detic as a detector: photos in, boxes out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from detic_crop.boxes.detections import Detections
from detic_crop.config import Precision
from detic_crop.detectors.base import DetectorInfo
from detic_crop.detectors.detic.build import EMBEDDING
from detic_crop.detectors.detic.network import DeticNetwork
from detic_crop.detectors.detic.preprocess import longest_for, normalise, resize, to_photo
from detic_crop.detectors.detic.select import Found
from detic_crop.errors import UsageError

DEFAULT_CONF = 0.5
"""What the published demo uses."""
FLOOR = 0.05
"""Boxes must score more to be returned."""
DEFAULT_SIZE = 800


class DeticDetector:
    """Finds what a vocabulary of class names names. Safe to use from several threads.

    Args:
        network: with its weights, on `device`.
        info: what it is and where its weights come from; `class_names` in the order of `vocabulary`.
        vocabulary: (512, C) float32 embeddings of the class names, each of length 1.
        device: where it runs.
        precision: of backbone, pyramid and hidden layers; boxes and scores are always computed in float32.
        detector_size: shortest side, in pixels, that a photo is shown at; the longest is at most 5/3 of it.
        wanted: the classes whose presence is asked for, see `ask_for`.
    """

    def __init__(
        self,
        network: DeticNetwork,
        info: DetectorInfo,
        vocabulary: Tensor,
        device: str = "cpu",
        precision: Precision = "float32",
        detector_size: int = DEFAULT_SIZE,
        wanted: Sequence[str] | None = None,
    ) -> None:
        self.info = info
        self.network = network
        self.vocabulary = vocabulary.to(device)
        self._device = torch.device(device)
        self._half: torch.dtype | None = None if precision == "float32" else getattr(torch, precision)
        self._shortest = detector_size
        self._longest = longest_for(detector_size)
        self._wanted_columns: list[int] | None = None
        self.ask_for(wanted)

    def ask_for(self, wanted: Sequence[str] | None) -> None:
        """From now on report, as `Detections.presence`, the highest score of any of these classes.

        It is the highest at any proposal, below the floor and behind a better class too. The boxes returned
        do not depend on it. None: report no presence.
        """
        if wanted is None:
            self._wanted_columns = None
            return
        names = set(wanted)
        self._wanted_columns = [i for i, name in enumerate(self.info.class_names) if name in names]

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Boxes in one photo, (H, W, 3) uint8 BGR, best first; `key` is not used."""
        return self.detect_batch([image])[0]

    def detect_batch(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Boxes in several photos; those of equal padded size are computed together.

        Equal to one at a time up to rounding, because convolutions of another batch size add up in another
        order: 0.001 px and 1e-6 in score were the most seen on a CPU. Who needs equal bytes uses `detect`.
        """
        shown = [resize(image, self._shortest, self._longest) for image in images]
        prepared = [self._prepare(small) for small in shown]
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, pixels in enumerate(prepared):
            groups.setdefault(tuple(pixels.shape), []).append(i)
        answers: dict[int, Detections] = {}
        for members in groups.values():
            pixels = torch.stack([prepared[i] for i in members])  # (B, 3, H, W)
            sizes = [(shown[i].shape[0], shown[i].shape[1]) for i in members]
            for i, size, found in zip(members, sizes, self._run(pixels, sizes), strict=True):
                photo_hw = (images[i].shape[0], images[i].shape[1])
                answers[i] = self._detections(found, size, photo_hw)
        return [answers[i] for i in range(len(images))]

    def _prepare(self, bgr: NDArray[np.uint8]) -> Tensor:
        rgb = torch.from_numpy(bgr[:, :, ::-1].transpose(2, 0, 1).copy()).to(self._device)
        return normalise(rgb)

    def _run(self, pixels: Tensor, sizes_hw: Sequence[tuple[int, int]]) -> list[Found]:
        half = torch.autocast(self._device.type, self._half) if self._half else nullcontext()
        with torch.inference_mode(), half:
            found: list[Found] = self.network(pixels, sizes_hw, self.vocabulary, FLOOR)
        return found

    def _detections(self, found: Found, shown_hw: tuple[int, int], photo_hw: tuple[int, int]) -> Detections:
        boxes = to_photo(found.boxes, shown_hw, photo_hw)
        has_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        columns = self._wanted_columns
        presence = None if columns is None else float(found.peaks[columns].max()) if columns else 0.0
        return Detections(
            xyxy=boxes[has_area].cpu().numpy(),
            scores=found.scores[has_area].cpu().numpy(),
            class_names=tuple(self.info.class_names[i] for i in found.classes[has_area].tolist()),
            presence=presence,
        )


def vocabulary_matrix(embeddings: NDArray[np.float32], class_names: Sequence[str]) -> Tensor:
    """(C, 512) embeddings of any length → (512, C) of length 1. UsageError when they do not fit the names."""
    if embeddings.ndim != 2 or embeddings.shape[1] != EMBEDDING or len(embeddings) != len(class_names):
        raise UsageError(
            f"expected one embedding of {EMBEDDING} values for each of {len(class_names)} class names, "
            f"got an array of shape {embeddings.shape}"
        )
    if not len(class_names):
        raise UsageError("expected at least one class name, got none")
    values = torch.from_numpy(np.array(embeddings, dtype=np.float32)).T.contiguous()  # (512, C)
    if not values.isfinite().all():
        raise UsageError("expected finite class embeddings, got NaN or infinity")
    return functional.normalize(values, dim=0)
