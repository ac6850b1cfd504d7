"""An ONNX file as a detector: photos in, boxes out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.boxes.detections import Detections
from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.detectors.onnx_file.heads.head import Found, Head
from detic_crop.detectors.onnx_file.inputs import Inputs
from detic_crop.detectors.onnx_file.presentation import Placement, Presentation
from detic_crop.detectors.onnx_file.session import Session
from detic_crop.errors import DeticCropError


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A photo as it is shown: the picture, (H, W, 3) uint8, and where in it the photo is."""

    picture: NDArray[np.uint8]
    placement: Placement


class OnnxDetector(Detector):
    """Finds what the model was trained on. Safe to use from several threads.

    Args:
        session: the model.
        inputs: how pictures become its inputs.
        head: what its answers mean.
        presentation: how photos are shown to it.
        info: description of the detector.
        names: class by number; None: it is no class. Empty: nobody knows, all boxes are of `UNKNOWN_CLASS`.
        batch_size: photos at a time.
        notes: what a person should read after the run.
    """

    def __init__(
        self,
        session: Session,
        inputs: Inputs,
        head: Head,
        presentation: Presentation,
        info: DetectorInfo,
        names: Sequence[str | None],
        batch_size: int = 1,
        notes: Sequence[str] = (),
    ) -> None:
        self.info = info
        self.head, self.presentation = head, presentation
        self.preferred_batch = batch_size
        self._session, self._inputs, self._names, self._notes = session, inputs, names, tuple(notes)
        self._is_class = np.array([name is not None for name in names], bool)
        self._wanted: NDArray[np.bool_] | None = None

    def ask_for(self, classes: Sequence[str] | None, conf: float = 0.0) -> None:
        """Report the highest score of any of these classes as `Detections.presence`, if it is known."""
        self._wanted = None if classes is None else np.array([name in classes for name in self._names], bool)

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Return boxes in one photo, (H, W, 3) uint8 BGR, best first; `key` is not used."""
        return self.detect_batch([self.prepare(image, key)])[0]

    def prepare(
        self, image: NDArray[np.uint8], key: str = "", photo_hw: tuple[int, int] | None = None
    ) -> Prepared:
        """Return the photo as it is shown; safe on any number of threads."""
        placement = self.presentation.place(photo_hw or (image.shape[0], image.shape[1]))
        return Prepared(self.presentation.draw(image, placement), placement)

    def group_of(self, prepared: Any) -> Hashable:
        """Return one group: all pictures have one size."""
        return None

    def detect_batch(self, prepared: Sequence[Prepared]) -> list[Detections]:
        """Return boxes in several photos, as many at a time as the model takes."""
        answers: list[Detections] = []
        most = self._inputs.batch or len(prepared)
        for first in range(0, len(prepared), most):
            some = prepared[first : first + most]
            pictures = np.stack([photo.picture for photo in some])
            outputs = self._session.run(self._inputs.feeds(self.presentation.numbers(pictures)))
            answers += [self._detections(outputs, index, photo) for index, photo in enumerate(some)]
        return answers

    def notes(self) -> list[str]:
        """See `Detector.notes`."""
        return list(self._notes)

    def _detections(self, outputs: Mapping[str, NDArray[Any]], index: int, photo: Prepared) -> Detections:
        found = self.head.decode(outputs, index).usable()
        if not len(self._names):
            names: tuple[str, ...] = (UNKNOWN_CLASS,) * len(found.scores)
        else:
            found = self._of_a_class(found)
            names = tuple(str(self._names[number]) for number in found.classes)
        xyxy = photo.placement.to_photo(found.xyxy)
        has_area = np.flatnonzero((xyxy[:, 2:] > xyxy[:, :2]).all(axis=1))  # not in the bars alone
        return Detections(
            xyxy[has_area],
            found.scores.clip(0, 1)[has_area],
            tuple(names[i] for i in has_area),
            presence=self._presence(found),
        )

    def _of_a_class(self, found: Found) -> Found:
        numbers = found.classes
        highest = int(numbers.max(initial=0))
        if highest >= len(self._names):
            raise DeticCropError(
                "names_do_not_fit",
                f"{self.info.name} answers with class {highest}, and there are {len(self._names)} class "
                "names; pass the names it was trained with as --names TXT",
            )
        return found.take(np.flatnonzero(self._is_class[numbers]))

    def _presence(self, found: Found) -> float | None:
        if self._wanted is None or found.peaks is None or not self._wanted.any():
            return None
        return min(float(found.peaks[: len(self._wanted)][self._wanted[: len(found.peaks)]].max()), 1.0)
