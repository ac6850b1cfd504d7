"""A torchvision model as a detector: photos in, boxes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from detic_crop.boxes.detections import Detections
from detic_crop.config import Precision
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.detectors.batches import in_groups, in_parts
from detic_crop.detectors.detic.detector import default_batch
from detic_crop.detectors.detic.preprocess import to_photo
from detic_crop.detectors.torchvision_models.build import optimise
from detic_crop.errors import UsageError

DEFAULT_CONF = 0.5
FLOOR = 0.05
"""Boxes must score more to be returned."""

_ANY_LENGTH = 1 << 30
_PIXEL_BYTES = 700
"""Memory that the largest network takes while it looks, per pixel shown: RetinaNet v2, 513 measured."""


@dataclass(frozen=True, slots=True)
class View:
    """The size at which a network is shown a photo.

    Attributes:
        shortest: shortest side in pixels, unless the longest would exceed its limit.
        longest: limit of the longest side.
        fixed_hw: height and width of every photo, stretched; None: proportions are kept.
        multiple: both sides are padded to multiples of it.
    """

    shortest: int
    longest: int
    fixed_hw: tuple[int, int] | None
    multiple: int

    def shown_hw(self, photo_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the size of a photo as shown; torchvision rounds down."""
        if self.fixed_hw is not None:
            return self.fixed_hw
        scale = min(self.shortest / min(photo_hw), self.longest / max(photo_hw))
        height, width = photo_hw
        return max(1, int(height * scale)), max(1, int(width * scale))

    def padded_hw(self, shown_hw: tuple[int, int]) -> tuple[int, int]:
        """Return both sides rounded up to what the network takes."""
        height, width = shown_hw
        return height + -height % self.multiple, width + -width % self.multiple


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A photo as it is shown to the network.

    Attributes:
        rgb: (3, h, w) float32 from 0 to 1.
        photo_hw: size of the photo, in whose pixels the boxes will be.
    """

    rgb: Tensor
    photo_hw: tuple[int, int]

    @property
    def shown_hw(self) -> tuple[int, int]:
        """Height and width of `rgb`."""
        return self.rgb.shape[1], self.rgb.shape[2]


class TorchvisionDetector(Detector):
    """Finds what a network of torchvision was trained on, without masks. Safe to use from several threads.

    Args:
        network: network of `build_filled`, which belongs to the detector from now on, on `device`.
        info: description of the detector.
        label_names: a name for each class number of the network. Boxes whose name is not in
            `info.class_names` are left out: COCO has numbers without a class.
        device: device that it runs on.
        precision: number format of the hidden layers; boxes and scores are always computed in float32.
        detector_size: shortest side, in pixels, that a photo is shown at; None: as the network was trained.
        batch_size: largest number of photos at a time; None takes `default_batch`.
        optimised: whether `network` is made fast first; else it is computed as it is written.

    Raises:
        UsageError: the network sees every photo at one size, and another is asked for.
    """

    def __init__(
        self,
        network: nn.Module,
        info: DetectorInfo,
        label_names: Sequence[str],
        device: str = "cpu",
        precision: Precision = "float32",
        detector_size: int | None = None,
        batch_size: int | None = None,
        optimised: bool = True,
    ) -> None:
        self._device = torch.device(device)
        self._network = _boxes_only(network)
        self.view = _view_of(self._network.transform, detector_size, info.name)
        self._network.transform.resize = _as_prepared
        if optimised:
            optimise(self._network, device, getattr(torch, precision))
        _settle_scales(self._network, self._device)
        # On a CPU one photo per core is faster than one photo on all of them: nothing waits for the slowest.
        on_cpu = self._device.type == "cpu"
        height, width = self.view.fixed_hw or (self.view.shortest, self.view.longest)
        self.info = replace(
            info,
            input_size=(self.view.shortest, self.view.longest if self.view.fixed_hw is None else _ANY_LENGTH),
            thread_safe=on_cpu,
            memory_per_photo=_PIXEL_BYTES * height * width if on_cpu else 0,
        )
        self.preferred_batch = batch_size or default_batch(device)
        self._names = [name if name in info.class_names else None for name in label_names]

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Return boxes in one photo, (H, W, 3) uint8 BGR, best first; `key` is not used."""
        return self.detect_batch([self.prepare(image, key)])[0]

    def prepare(
        self, image: NDArray[np.uint8], key: str = "", photo_hw: tuple[int, int] | None = None
    ) -> Prepared:
        """Return a photo at the size it is shown at, on the CPU; safe on any number of threads.

        Bilinear without antialiasing, as the models were trained.

        Args:
            image: (H, W, 3) uint8 BGR.
            key: not used.
            photo_hw: size of the photo, if `image` is a reduced decode of it; None if `image` is the photo.
        """
        photo_hw = photo_hw or (image.shape[0], image.shape[1])
        shown_hw = self.view.shown_hw(photo_hw)
        rgb = torch.empty(3, *shown_hw)
        for channel, colour in enumerate((2, 1, 0)):  # one at a time: as float32 a photo is large
            plane = torch.from_numpy(image[:, :, colour].astype(np.float32))[None, None]
            shown = functional.interpolate(plane, size=shown_hw, mode="bilinear", align_corners=False)
            torch.div(shown[0, 0], 255, out=rgb[channel])
        return Prepared(rgb, photo_hw)

    def group_of(self, prepared: Prepared) -> tuple[int, int]:
        """Return the padded size: photos of one size can be computed together."""
        return self.view.padded_hw(prepared.shown_hw)

    def detect_batch(self, prepared: Sequence[Prepared]) -> list[Detections]:
        """Return boxes in several photos; those of equal padded size are computed together.

        Equal to one at a time up to rounding.
        """
        return in_groups(self._found_together, prepared, self.group_of)

    def _found_together(self, photos: Sequence[Prepared]) -> list[Detections]:
        found = in_parts(self._run, photos, self._take_fewer)
        return [self._detections(*pair) for pair in zip(found, photos, strict=True)]

    def _take_fewer(self, batch: int) -> None:
        self.preferred_batch = min(self.preferred_batch, batch)

    def _run(self, photos: Sequence[Prepared]) -> list[dict[str, Tensor]]:
        """Return boxes (N, 4) in pixels shown, scores (N,) and labels (N,) of photos of one padded size."""
        with torch.inference_mode():
            found: list[dict[str, Tensor]] = self._network([photo.rgb.to(self._device) for photo in photos])
        return found

    def _detections(self, found: dict[str, Tensor], photo: Prepared) -> Detections:
        boxes = to_photo(found["boxes"], photo.shown_hw, photo.photo_hw).cpu()
        names = [self._names[label] for label in found["labels"].tolist()]
        has_name = torch.tensor([name is not None for name in names], dtype=torch.bool)
        kept = torch.nonzero((boxes[:, 2:] > boxes[:, :2]).all(dim=1) & has_name)[:, 0]
        return Detections(
            boxes[kept].numpy(),
            found["scores"].cpu()[kept].numpy(),
            tuple(name for i in kept.tolist() if (name := names[i]) is not None),
        )


def _as_prepared(image: Tensor, target: None = None) -> tuple[Tensor, None]:
    """Stand in for the network's own resizing, which `TorchvisionDetector.prepare` has done."""
    return image, target


def _view_of(transform: Any, detector_size: int | None, model: str) -> View:
    shortest, longest = transform.min_size[-1], transform.max_size
    if transform.fixed_size is not None:
        width, height = transform.fixed_size
        if detector_size not in (None, shortest):
            raise UsageError(
                "option_not_applicable",
                f"--detector-size {detector_size} goes with models of any size only, not with {model}, which "
                f"sees every photo at {width} × {height}; leave it out",
            )
        return View(shortest, longest, (height, width), transform.size_divisible)
    if detector_size is not None:
        shortest, longest = detector_size, round(detector_size * longest / shortest)
    return View(shortest, longest, None, transform.size_divisible)


def _boxes_only(network: Any) -> Any:
    """Return the network without what computes masks, and with `FLOOR` as its threshold.

    A lower or higher threshold changes no box above it: suppression and both limits go by score.
    """
    if hasattr(network, "roi_heads"):
        network.roi_heads.score_thresh = FLOOR
        network.roi_heads.mask_roi_pool = None
        network.roi_heads.mask_head = None
        network.roi_heads.mask_predictor = None
    else:
        network.score_thresh = FLOOR
    return network


def _settle_scales(network: Any, device: torch.device) -> None:
    """Let the pooling of regions learn the scales of the feature maps from an ordinary picture.

    It learns them from the first one that it is given, and keeps them: a long and narrow photo would spoil
    the boxes of all that follow.
    """
    if not hasattr(network, "roi_heads"):
        return
    side = 256
    with torch.inference_mode():
        features = network.backbone(torch.zeros(1, 3, side, side, device=device))
        box = torch.tensor([[0.0, 0.0, side / 2, side / 2]], device=device)
        network.roi_heads.box_roi_pool(features, [box], [(side, side)])
