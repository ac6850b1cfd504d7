"""One photo, from memory or a file, cropped as a run would."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.choose import Choice, choose_and_keep
from detic_crop.boxes.crop_size import CropSize
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.geometry import Box, PixelBox, crop_rectangle, whole
from detic_crop.commands.settings import PathLike
from detic_crop.config import DEFAULT_MAX_PIXELS, CropConfig, Fit, Size
from detic_crop.detectors import load_detector
from detic_crop.detectors.base import Detector, DetectorInfo, DetectorLike, as_detector
from detic_crop.detectors.joined.several import Several
from detic_crop.detectors.vocabulary import resolve_classes
from detic_crop.errors import PhotoError, UsageError
from detic_crop.images.crop import cut_and_resize
from detic_crop.photos.location import LocalFile
from detic_crop.photos.photo import Photo

if TYPE_CHECKING:
    from PIL.Image import Image

Channels: TypeAlias = Literal["rgb", "bgr"]
"""Order of the colours in an array: RGB as Pillow and matplotlib have it, BGR as OpenCV."""

_MOST_LOADED = 2
"""Detectors named by text that stay in memory."""


@dataclass(frozen=True, slots=True, repr=False)
class CropResult:
    """One photo, cropped. A notebook shows the crop.

    Attributes:
        crop: (H, W, 3) uint8, of the sides that `size` and `fit` make of `crop_box`; its colours are in the
            order of `channels`.
        status: ``cropped`` or ``resized``.
        box: the chosen box, xyxy float, or None.
        crop_box: the pixels used.
        detections: all boxes, as kept.
        choice: the chosen index and the reason.
        channels: order of the colours of `crop`: ``rgb`` or ``bgr``.
    """

    crop: NDArray[np.uint8]
    status: str
    box: Box | None
    crop_box: PixelBox
    detections: Detections
    choice: Choice
    channels: Channels = "bgr"

    @property
    def image(self) -> Image:
        """The crop as a picture of Pillow, whatever the order of `channels`."""
        from PIL.Image import fromarray

        return fromarray(in_order(self.crop, self.channels, "rgb"))

    @property
    def score(self) -> float | None:
        """Score of the chosen box; None where none was chosen."""
        return None if self.choice.index is None else float(self.detections.scores[self.choice.index])

    @property
    def class_name(self) -> str:
        """Class of the chosen box; empty where none was chosen."""
        return "" if self.choice.index is None else self.detections.class_names[self.choice.index]

    def __repr__(self) -> str:
        found = self.choice.reason
        if self.box is not None and self.score is not None:
            edges = " ".join(f"{edge:.0f}" for edge in self.box)
            found = f"{self.class_name} {self.score:.2f}, box {edges}"
        height, width = self.crop.shape[:2]
        return f"<CropResult {self.status}: {found}; {width} × {height} px, {self.channels}>"

    def _repr_png_(self) -> bytes | None:
        """Return what a notebook shows: the crop, smaller if it is large; None: it shows the text."""
        from detic_crop.report.html.thumbnails import shown_png

        try:
            return shown_png(in_order(self.crop, self.channels, "bgr"))
        except Exception:  # whatever somebody made of the array: to look at a result never stops a notebook
            return None


def crop_photo(
    image: PathLike | NDArray[np.uint8] | Image,
    detector: DetectorLike | Detections | str = "auto",
    *,
    channels: Channels | None = None,
    classes: str | None = None,
    conf: float | None = None,
    scale: float = 1.2,
    size: Size = 512,
    fit: Fit = "stretch",
) -> CropResult:
    """Crop one photo, exactly as a run would.

    Args:
        image: path of a photo; or a picture of Pillow; or an upright (H, W, 3) uint8 array. The orientation
            that a file or a picture has in its EXIF is applied.
        detector: name of a detector, which is loaded by the first call and kept; a detector from
            `load_detector`; or boxes you already have.
        channels: order of the colours of the array that you pass, and of `CropResult.crop`. None: ``bgr`` for
            an array, as `cv2.imread` gives it and `cv2.imwrite` takes it; ``rgb`` for a path and a picture,
            as `plt.imshow` takes it.
        classes: as ``--classes``; None takes the detector's default (marine life; any from a boxes file),
            any for given boxes.
        conf: lowest score; None takes the detector's default, 0 for given boxes.
        scale: enlargement of both sides about the centre.
        size: as ``--size``, pixels: 512, ``384x768`` (width x height), ``long:1600`` or ``native``.
        fit: ``stretch``, ``pad`` or ``square``.

    Raises:
        UsageError: a setting is out of range, there is no such file or detector, or what was passed is no
            photo.
        PhotoError: the file cannot be read.
        WeightsError: weights of a detector that is named are missing or damaged.
    """
    config = CropConfig(classes=classes, conf=conf, scale=scale, size=size, fit=fit)  # checks the values
    wanted_size = CropSize.of(config)
    if channels not in (None, "rgb", "bgr"):
        raise UsageError("bad_value", f"--channels must be rgb or bgr, got {channels!r}")
    given_in = channels or ("bgr" if isinstance(image, np.ndarray) else "rgb")
    pixels, key = _bgr_pixels(image, given_in)
    resolution_wh = (pixels.shape[1], pixels.shape[0])
    asked: Detector = _Given(detector) if isinstance(detector, Detections) else _detector_of(detector)
    info = asked.info
    wanted = resolve_classes(classes or info.default_classes, info.class_names, info.name)
    if isinstance(asked, Several):
        asked = asked.apart()  # others may ask the same one for something else
        asked.ask_for(wanted, info.default_conf if conf is None else conf)
        asked.count_from(info.confs if conf is None else dict.fromkeys(info.confs, conf))
    found = asked.detect(pixels, key)
    threshold = info.confs.get(found.found_by, info.default_conf) if conf is None else conf
    kept, choice = choose_and_keep(found, wanted, threshold, resolution_wh)
    box = None if choice.index is None else kept.edges(choice.index)
    crop_box = whole(resolution_wh) if box is None else crop_rectangle(box, scale, wanted_size, resolution_wh)
    crop = in_order(cut_and_resize(pixels, crop_box, wanted_size), "bgr", given_in)
    return CropResult(crop, "resized" if box is None else "cropped", box, crop_box, kept, choice, given_in)


def in_order(image: NDArray[np.uint8], given: Channels, wanted: Channels) -> NDArray[np.uint8]:
    """Return an (H, W, 3) image with its colours in the order that is wanted."""
    return image if given == wanted else np.ascontiguousarray(image[:, :, ::-1])


class _Given(Detector):
    """Answers with boxes that somebody already has."""

    def __init__(self, detections: Detections) -> None:
        names = tuple(dict.fromkeys(detections.class_names))
        self.info = DetectorInfo("given", names, 0.0, default_classes="any")
        self._detections = detections

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        return self._detections


def _detector_of(given: DetectorLike | str) -> Detector:
    return _loaded(given) if isinstance(given, str) else as_detector(given)


@lru_cache(_MOST_LOADED)
def _loaded(name: str) -> Detector:
    try:
        return load_detector(name)
    except UsageError as error:  # what other functions call model, `crop_photo` calls detector
        raise UsageError(error.code, error.message.replace("--model", "--detector")) from None


def _bgr_pixels(
    image: PathLike | NDArray[np.uint8] | Image, channels: Channels
) -> tuple[NDArray[np.uint8], str]:
    """Return upright (H, W, 3) BGR pixels, and the name of the photo where it has one.

    Raises:
        UsageError: it is nothing of the kind, or there is no such file.
        PhotoError: a file cannot be read.
    """
    if isinstance(image, str | os.PathLike):
        path = os.fspath(image)
        try:
            file = Photo.at(os.path.basename(path), LocalFile(path)).open(DEFAULT_MAX_PIXELS, "keep")
        except PhotoError as error:
            if error.reason != "missing_file":
                raise
            raise UsageError("no_such_photo", f"{path} does not exist; pass the path of a photo") from None
        try:
            return file.decode().image, os.path.basename(path)
        finally:
            file.give_back()
    if not isinstance(image, np.ndarray):
        from PIL.Image import Image as Picture

        from detic_crop.images.pixels import bgr_of_picture

        if isinstance(image, Picture):
            return bgr_of_picture(image), os.path.basename(getattr(image, "filename", "") or "")
        raise UsageError(
            "not_a_photo",
            f"expected a path, a picture of Pillow or an array, got {image!r}; does the file that was read "
            "exist?",
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise UsageError(
            "not_a_photo",
            f"expected an (H, W, 3) uint8 photo, got {image.shape} {image.dtype}; {_how_to_convert(image)}",
        )
    return in_order(image, channels, "bgr"), ""


def _how_to_convert(a: NDArray[Any]) -> str:
    """Return how an array that is no photo becomes one, if it may be one in another form."""
    steps = []
    if a.dtype.kind == "f":
        steps.append("(a * 255).astype(np.uint8), if its values are 0 to 1")
    if a.ndim == 2 or a.shape[2:] == (1,):
        steps.append("cv2.cvtColor(a, cv2.COLOR_GRAY2BGR)")
    elif a.shape[2:] == (4,):
        steps.append("a[:, :, :3]")
    return f"convert it: {'; then '.join(steps)}" if steps else "pass one as cv2.imread gives it"
