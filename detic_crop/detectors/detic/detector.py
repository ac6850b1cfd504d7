"""Detic as a detector: photos in, boxes out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from detic_crop.boxes.detections import Detections
from detic_crop.config import Precision
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.detectors.batches import in_groups, in_parts
from detic_crop.detectors.detic.build import EMBEDDING
from detic_crop.detectors.detic.network import DeticNetwork
from detic_crop.detectors.detic.optimise import optimise
from detic_crop.detectors.detic.preprocess import (
    longest_for,
    normalise,
    padded_hw,
    resize,
    resized_hw,
    to_photo,
)
from detic_crop.detectors.detic.processor import slow_precision
from detic_crop.detectors.detic.select import Found
from detic_crop.errors import UsageError

_log = logging.getLogger(__name__)

DEFAULT_CONF = 0.5
"""What the published demo uses."""
FLOOR = 0.05
"""Boxes must score more to be returned."""
DEFAULT_SIZE = 800
_GPU_BATCH = 4
_PIXEL_BYTES = 1600
"""Memory that the largest network takes while it looks, per pixel shown: 1.7 GB for 800×1333."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A photo as it is shown to the network, before normalisation.

    Attributes:
        rgb: (h, w, 3) uint8, contiguous.
        photo_hw: size of the photo, in whose pixels the boxes will be.
    """

    rgb: NDArray[np.uint8]
    photo_hw: tuple[int, int]

    @property
    def shown_hw(self) -> tuple[int, int]:
        """Height and width of `rgb`."""
        return self.rgb.shape[0], self.rgb.shape[1]


class DeticDetector(Detector):
    """Finds what a vocabulary of class names names. Safe to use from several threads.

    Args:
        network: network with its weights, on `device`.
        info: description of the detector; `class_names` in the order of `vocabulary`.
        vocabulary: (512, C) float32 embeddings of the class names, each of length 1.
        device: device that it runs on.
        precision: number format of backbone, pyramid and hidden layers; boxes and scores are always
            computed in float32.
        detector_size: shortest side, in pixels, that a photo is shown at; the longest is at most 5/3 of it.
        wanted: the classes whose presence is asked for, see `ask_for`.
        batch_size: largest number of photos at a time; None takes `default_batch`.
        optimised: whether `network`, which belongs to the detector from now on, is made fast first; else
            it is computed as it is written.
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
        batch_size: int | None = None,
        optimised: bool = True,
    ) -> None:
        # On a CPU one photo per core is faster than one photo on all of them: nothing waits for the slowest.
        on_cpu = torch.device(device).type == "cpu"
        self.info = replace(
            info,
            input_size=(detector_size, longest_for(detector_size)),
            thread_safe=on_cpu,
            memory_per_photo=round(_PIXEL_BYTES * detector_size * longest_for(detector_size))
            if on_cpu
            else 0,
        )
        self.preferred_batch = batch_size or default_batch(device)
        self._device = torch.device(device)
        self._half: torch.dtype | None = None if precision == "float32" else getattr(torch, precision)
        self.network = optimise(network, device, self._half or torch.float32) if optimised else network
        self.vocabulary = vocabulary.to(device)
        if slow_precision(device, precision):
            _log.warning(
                "this processor computes %s more slowly than float32; leave --precision out", precision
            )
        self._shortest = detector_size
        self._longest = longest_for(detector_size)
        self._wanted_columns: list[int] | None = None
        self.ask_for(wanted)

    def ask_for(self, classes: Sequence[str] | None, conf: float = 0.0) -> None:
        """Report the highest score of any of these classes as `Detections.presence`.

        It is the highest at any proposal, even below the floor and behind a better class. The boxes returned
        do not depend on it.

        Args:
            classes: names of the vocabulary; None: report no presence.
            conf: not used.
        """
        if classes is None:
            self._wanted_columns = None
            return
        names = set(classes)
        self._wanted_columns = [i for i, name in enumerate(self.info.class_names) if name in names]

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Return boxes in one photo, (H, W, 3) uint8 BGR, best first; `key` is not used."""
        return self.detect_batch([self.prepare(image, key)])[0]

    def prepare(
        self, image: NDArray[np.uint8], key: str = "", photo_hw: tuple[int, int] | None = None
    ) -> Prepared:
        """Return a photo shrunk to the size it is shown at, on the CPU; safe on any number of threads.

        Args:
            image: (H, W, 3) uint8 BGR.
            key: not used.
            photo_hw: size of the photo, if `image` is a reduced decode of it; None if `image` is the photo.
        """
        photo_hw = photo_hw or (image.shape[0], image.shape[1])
        small = resize(image, resized_hw(photo_hw, self._shortest, self._longest))
        return Prepared(np.ascontiguousarray(small[:, :, ::-1]), photo_hw)

    def group_of(self, prepared: Prepared) -> tuple[int, int]:
        """Return the padded size: photos of one size can be computed together."""
        return padded_hw(prepared.shown_hw)

    def detect_batch(self, prepared: Sequence[Prepared]) -> list[Detections]:
        """Return boxes in several photos; those of equal padded size are computed together.

        Equal to one at a time up to rounding, because convolutions of another batch size add up in another
        order: 0.001 px and 1e-6 in score were the most seen on a CPU. Who needs equal bytes gives one photo.
        """
        return in_groups(self._found_together, prepared, self.group_of)

    def _found_together(self, photos: Sequence[Prepared]) -> list[Detections]:
        found = in_parts(self._run, photos, self._take_fewer)
        return [self._detections(*pair) for pair in zip(found, photos, strict=True)]

    def _take_fewer(self, batch: int) -> None:
        self.preferred_batch = min(self.preferred_batch, batch)

    def _run(self, photos: Sequence[Prepared]) -> list[Found]:
        """Return what the network finds in photos of equal padded size."""
        pixels = torch.stack([self._pixels(photo) for photo in photos])  # (B, 3, H, W)
        sizes_hw = [photo.shown_hw for photo in photos]
        half = torch.autocast(self._device.type, self._half) if self._half else nullcontext()
        with torch.inference_mode(), half:
            found: list[Found] = self.network(pixels, sizes_hw, self.vocabulary, FLOOR)
        return found

    def _pixels(self, photo: Prepared) -> Tensor:
        """Return a photo as (3, H, W) float32 on the device, padded."""
        rgb = torch.from_numpy(photo.rgb)
        if self._device.type == "cuda":  # a quarter of the bytes, and the CPU goes on meanwhile
            rgb = rgb.pin_memory().to(self._device, non_blocking=True)
        return normalise(rgb.to(self._device).permute(2, 0, 1))

    def _detections(self, found: Found, photo: Prepared) -> Detections:
        boxes = to_photo(found.boxes, photo.shown_hw, photo.photo_hw)
        has_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        columns = self._wanted_columns
        presence = None if columns is None else float(found.peaks[columns].max()) if columns else 0.0
        return Detections(
            xyxy=boxes[has_area].cpu().numpy(),
            scores=found.scores[has_area].cpu().numpy(),
            class_names=tuple(self.info.class_names[i] for i in found.classes[has_area].tolist()),
            presence=presence,
        )


def default_batch(device: str) -> int:
    """Return how many photos to detect at a time: one on a CPU; several keep a GPU busy between kernels."""
    return _GPU_BATCH if torch.device(device).type == "cuda" else 1


def vocabulary_matrix(embeddings: NDArray[np.float32], class_names: Sequence[str]) -> Tensor:
    """Return (512, C) embeddings of length 1 for (C, 512) ones of any length.

    Raises:
        UsageError: they do not fit the names.
    """
    if embeddings.ndim != 2 or embeddings.shape[1] != EMBEDDING or len(embeddings) != len(class_names):
        raise UsageError(
            "bad_embeddings",
            f"expected one embedding of {EMBEDDING} values for each of {len(class_names)} class names, "
            f"got an array of shape {embeddings.shape}",
        )
    if not len(class_names):
        raise UsageError("bad_names", "expected at least one class name, got none")
    values = torch.from_numpy(np.array(embeddings, dtype=np.float32)).T.contiguous()  # (512, C)
    if not values.isfinite().all():
        raise UsageError("bad_embeddings", "expected finite class embeddings, got NaN or infinity")
    return functional.normalize(values, dim=0)
