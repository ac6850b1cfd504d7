"""What a detector is: pixels in, `Detections` out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.detections import Detections
from detic_crop.errors import UsageError


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """What a run needs to know about a detector to record it and to choose among its boxes.

    Attributes:
        name: model name as given to ``--model``.
        class_names: every class it can answer with; empty if the names are open (a boxes file).
        default_conf: the ``--conf`` that is used when none is given.
        weights: file name → sha256 of every file that its answers depend on.
        vocabulary: name of the class list, if the model can have several.
        default_classes: the ``--classes`` that are used when none are given.
        floor: lowest score it returns; ``--conf`` cannot be below it.
        thread_safe: several threads may call `Detector.detect` at once, and that is how it best uses several
            cores: torch and OpenCV then get few threads inside an operator.
        needs_pixels: False: it answers from the key and the size of the photo alone.
        input_size: bounds on the (shortest, longest) side, in pixels, of what `Detector.prepare` makes of a
            photo; a photo is shrunk until it keeps both. None: it may need full resolution. Set it only if
            `prepare` heeds its argument `photo_hw`.
        memory_per_photo: bytes that detection in one photo takes, beyond the photo itself.
        confs: of several joined models, of which one answers for a photo: what `Detections.found_by` may be →
            the lowest score that counts there by default. `default_conf` is the least of them.
    """

    name: str
    class_names: tuple[str, ...]
    default_conf: float
    weights: Mapping[str, str] = field(default_factory=dict)
    vocabulary: str = ""
    default_classes: str = "marine"
    floor: float = 0.0
    thread_safe: bool = False
    needs_pixels: bool = True
    input_size: tuple[int, int] | None = None
    memory_per_photo: int = 0
    confs: Mapping[str, float] = field(default_factory=dict)


class Detector:
    """Finds animals in one photo; knows nothing of runs and output folders.

    A subclass has `info` and `detect`; the other methods have defaults that suit a detector that takes one
    photo at a time and answers from its pixels.

    Attributes:
        info: description of the detector, which a run needs.
        preferred_batch: number of photos at a time that is fastest; 1 if batches gain nothing.
    """

    info: DetectorInfo
    preferred_batch: int = 1

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Return the boxes in one photo.

        Args:
            image: upright (H, W, 3) uint8 BGR, as `cv2.imread` returns it.
            key: relative path of the photo, for detectors that look their answer up.
        """
        raise NotImplementedError

    # Two halves of `detect`, so that preparing photos and computing on them can overlap.

    def prepare(
        self, image: NDArray[np.uint8], key: str = "", photo_hw: tuple[int, int] | None = None
    ) -> Any:
        """Return what `detect_batch` needs of one photo; several threads call this at once.

        Args:
            image: see `detect`.
            key: see `detect`.
            photo_hw: height and width of the photo that `image` is a reduced decode of; boxes are in pixels
                of that photo. It differs from the size of `image` only if `info` has an `input_size`.
        """
        return image, key

    def detect_batch(self, prepared: Sequence[Any]) -> list[Detections]:
        """Return the boxes in several prepared photos, in order; one thread at a time calls this.

        A detector that is `thread_safe` is called from several threads, with one photo at a time.
        """
        return [self.detect(image, key) for image, key in prepared]

    def group_of(self, prepared: Any) -> Hashable:
        """Return the group of a prepared photo; only photos of one group are given to `detect_batch`."""
        return None

    # What a run tells its detector before the first photo, and asks it after the last.

    def ask_for(self, classes: Sequence[str] | None, conf: float = 0.0) -> None:
        """Take note of what the run wants: boxes of these classes (None: any) with at least this score."""

    def count_from(self, confs: Mapping[str, float]) -> None:
        """Take note of the lowest score that counts, for each name in `DetectorInfo.confs`."""

    def expect(self, photos: Mapping[str, str]) -> None:
        """Take note of every photo of the input, key → location.

        Raises:
            UsageError: the detector looks photos up and knows none of these.
        """

    def followed_by(self, name: str) -> None:
        """Take note of which detector is asked about photos in which this one finds nothing."""

    def notes(self) -> list[str]:
        """Return sentences that a person should read after the run."""
        return []


class DetectorLike(Protocol):
    """The least that `detic_crop.run` accepts as a detector; see `Detector`."""

    @property
    def info(self) -> DetectorInfo: ...

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections: ...


class _Adapted(Detector):
    """A `Detector` around an object that has only `info` and `detect`."""

    def __init__(self, given: DetectorLike) -> None:
        self.info = given.info
        self._given = given

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        return self._given.detect(image, key=key)


def as_detector(given: DetectorLike) -> Detector:
    """Return a user's object as a `Detector`.

    Raises:
        UsageError: it has no `info` or no `detect`.
    """
    if isinstance(given, Detector):
        return given
    if isinstance(getattr(given, "info", None), DetectorInfo) and callable(getattr(given, "detect", None)):
        return _Adapted(given)
    raise UsageError(
        "not_a_detector",
        f"expected a detector with info (a DetectorInfo) and detect(image, key), got {given!r}; "
        "use load_detector (or --model NAME), or a subclass of detic_crop.Detector",
    )
