"""A detector of transformers as a `Detector`: photos in, boxes out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detic_crop.boxes.detections import Detections
from detic_crop.config import Precision
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.detectors.batches import in_groups, in_parts
from detic_crop.detectors.hf.asking import Answer, Asking


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A photo as the network sees it.

    Attributes:
        pixels: what the image processor made of it: ``pixel_values``, (1, 3, h, w), and perhaps a mask.
        photo_hw: size of the photo, in whose pixels the boxes will be.
    """

    pixels: dict[str, Tensor]
    photo_hw: tuple[int, int]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of all tensors: photos that agree in them can be computed together, without padding."""
        return tuple(tuple(tensor.shape) for tensor in self.pixels.values())


class HfDetector(Detector):
    """Asks a network of transformers. On a CPU it is safe to use from several threads.

    Args:
        network: on `device`, set to evaluation.
        asking: how it is asked.
        info: description of the detector.
        device: device that it runs on.
        precision: number format of most of the network; the post-processing is always in float32.
        size: what the image processor is told instead of its own size; None: its own.
        batch: largest number of photos at a time.
    """

    def __init__(
        self,
        network: Any,
        asking: Asking,
        info: DetectorInfo,
        device: str = "cpu",
        precision: Precision = "float32",
        size: dict[str, int] | None = None,
        batch: int = 1,
    ) -> None:
        self.info = info
        self.preferred_batch = batch
        self._network = network
        self._asking = asking
        self._device = torch.device(device)
        self._half: torch.dtype | None = None if precision == "float32" else getattr(torch, precision)
        self._size: dict[str, Any] = {} if size is None else {"size": size}

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Return boxes in one photo, (H, W, 3) uint8 BGR, best first; `key` is not used."""
        return self.detect_batch([self.prepare(image, key)])[0]

    def prepare(
        self, image: NDArray[np.uint8], key: str = "", photo_hw: tuple[int, int] | None = None
    ) -> Prepared:
        """Return what the model's own image processor makes of a photo; safe on any number of threads.

        Args:
            image: (H, W, 3) uint8 BGR.
            key: not used.
            photo_hw: size of the photo, if `image` is a reduced decode of it; None if `image` is the photo.
        """
        rgb = np.ascontiguousarray(image[:, :, ::-1])
        # The layout is told: a photo 3 pixels high would be taken for one with its channels first.
        made = self._asking.image_processor(
            images=[rgb], return_tensors="pt", input_data_format="channels_last", **self._size
        )
        pixels = {key: made[key] for key in ("pixel_values", "pixel_mask") if key in made}
        return Prepared(pixels, photo_hw or (image.shape[0], image.shape[1]))

    def group_of(self, prepared: Prepared) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of a photo: none is padded to the size of another."""
        return prepared.shapes

    def detect_batch(self, prepared: Sequence[Prepared]) -> list[Detections]:
        """Return boxes in several photos; those of equal shapes are computed together."""
        return in_groups(self._found_together, prepared, self.group_of)

    def _found_together(self, photos: Sequence[Prepared]) -> list[Detections]:
        answers = in_parts(self._answers, photos, self._take_fewer)
        pairs = zip(answers, photos, strict=True)
        return [self._detections(answer, photo.photo_hw) for answer, photo in pairs]

    def _take_fewer(self, batch: int) -> None:
        self.preferred_batch = min(self.preferred_batch, batch)

    def _answers(self, photos: Sequence[Prepared]) -> list[Answer]:
        pixels = {
            key: torch.cat([photo.pixels[key] for photo in photos]).to(self._device)
            for key in photos[0].pixels
        }
        sizes_hw = torch.tensor([photo.photo_hw for photo in photos])
        half = torch.autocast(self._device.type, self._half) if self._half else nullcontext()
        with torch.inference_mode(), half:
            return self._asking(self._network, pixels, sizes_hw)

    def _detections(self, answer: Answer, photo_hw: tuple[int, int]) -> Detections:
        height, width = photo_hw
        xyxy = answer.xyxy.float().cpu().numpy().clip(0, np.array([width, height] * 2, np.float32))
        scores = answer.scores.float().cpu().numpy().clip(0, 1)
        usable = np.isfinite(xyxy).all(axis=1) & np.isfinite(scores) & (xyxy[:, 2:] > xyxy[:, :2]).all(axis=1)
        order = np.argsort(-scores[usable], kind="stable")
        kept = np.flatnonzero(usable)[order]
        classes = answer.classes.tolist()
        names = self._asking.class_names
        return Detections(xyxy[kept], scores[kept], tuple(names[classes[index]] for index in kept))
