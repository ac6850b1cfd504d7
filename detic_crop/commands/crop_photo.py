"""One photo in memory, cropped as a run would."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.choose import Choice, choose_and_keep
from detic_crop.boxes.crop_size import CropSize
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.geometry import Box, PixelBox, crop_rectangle, whole
from detic_crop.config import CropConfig, Fit, Size
from detic_crop.detectors.base import DetectorInfo, DetectorLike, as_detector
from detic_crop.detectors.vocabulary import resolve_classes
from detic_crop.errors import UsageError
from detic_crop.images.crop import cut_and_resize


@dataclass(frozen=True, slots=True)
class CropResult:
    """One photo, cropped.

    Attributes:
        crop: (H, W, 3) uint8, of the sides that `size` and `fit` make of `crop_box`; channels in the photo's
            order.
        status: ``cropped`` or ``resized``.
        box: the chosen box, xyxy float, or None.
        crop_box: the pixels used.
        detections: all boxes, as kept.
        choice: the chosen index and the reason.
    """

    crop: NDArray[np.uint8]
    status: str
    box: Box | None
    crop_box: PixelBox
    detections: Detections
    choice: Choice


def crop_photo(
    image: NDArray[np.uint8],
    detector: DetectorLike | Detections,
    *,
    classes: str | None = None,
    conf: float | None = None,
    scale: float = 1.2,
    size: Size = 512,
    fit: Fit = "stretch",
) -> CropResult:
    """Crop one photo in memory, exactly as a run would.

    Args:
        image: upright (H, W, 3) uint8; BGR, as `cv2.imread` gives it, when a detector is to look at it.
        detector: a detector from `load_detector`, or boxes you already have.
        classes: as ``--classes``; None takes the detector's default (marine life; any from a boxes file),
            any for given boxes.
        conf: lowest score; None takes the detector's default, 0 for given boxes.
        scale: enlargement of both sides about the centre.
        size: as ``--size``, pixels: 512, ``384x768`` (width x height), ``long:1600`` or ``native``.
        fit: ``stretch``, ``pad`` or ``square``.

    Raises:
        UsageError: a setting is out of range, or the array is not a photo.
    """
    config = CropConfig(classes=classes, conf=conf, scale=scale, size=size, fit=fit)  # checks the values
    wanted_size = CropSize.of(config)
    if not isinstance(image, np.ndarray):
        raise UsageError(
            "not_a_photo", f"expected a photo as an array, got {image!r}; does the file that was read exist?"
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise UsageError("not_a_photo", f"expected an (H, W, 3) uint8 photo, got {image.shape} {image.dtype}")
    resolution_wh = (image.shape[1], image.shape[0])
    if isinstance(detector, Detections):
        names = tuple(dict.fromkeys(detector.class_names))
        found, info = detector, DetectorInfo("given", names, 0.0, default_classes="any")
    else:
        asked = as_detector(detector)
        found, info = asked.detect(image), asked.info
    wanted = resolve_classes(classes or info.default_classes, info.class_names, info.name)
    threshold = info.default_conf if conf is None else conf
    kept, choice = choose_and_keep(found, wanted, threshold, resolution_wh)
    box = None if choice.index is None else kept.edges(choice.index)
    crop_box = whole(resolution_wh) if box is None else crop_rectangle(box, scale, wanted_size, resolution_wh)
    crop = cut_and_resize(image, crop_box, wanted_size)
    return CropResult(crop, "resized" if box is None else "cropped", box, crop_box, kept, choice)
