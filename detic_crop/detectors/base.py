"""What every detector offers: pixels in, `Detections` out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.detections import Detections


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """What a run must know of a detector to record it and to choose among its boxes.

    Attributes:
        name: the model name as given to ``--model``.
        class_names: every class it can answer with; empty when the names are open (a boxes file).
        default_conf: the ``--conf`` used when none is given.
        weights: file name → sha256 of every file its answers depend on.
        vocabulary: name of the class list, where the model can have several.
        default_classes: the ``--classes`` used when none are given.
        floor: boxes below this score are never returned, so ``--conf`` cannot be lower.
        concurrent: `detect` may be called from several threads at once, and that is how several cores are
            best used: torch and OpenCV are then given few threads inside an operator.
        looks: it looks at pixels; False: it answers from the key and the size of the photo alone.
        view: pixels it sees of a photo, as bounds on its (shortest, longest) side; a photo is shrunk until it
            keeps both. None: it may want full resolution.
        photo_bytes: memory that looking at one photo takes, beyond the photo itself.
    """

    name: str
    class_names: tuple[str, ...]
    default_conf: float
    weights: Mapping[str, str] = field(default_factory=dict)
    vocabulary: str = ""
    default_classes: str = "marine"
    floor: float = 0.0
    concurrent: bool = False
    looks: bool = True
    view: tuple[int, int] | None = None
    photo_bytes: int = 0


@runtime_checkable
class Detector(Protocol):
    """Finds animals in one photo; knows nothing of runs and files."""

    @property
    def info(self) -> DetectorInfo: ...

    def detect(self, image: NDArray[np.uint8], key: str = "") -> Detections:
        """Boxes in one photo.

        Args:
            image: upright (H, W, 3) uint8 BGR, as `cv2.imread` gives it.
            key: the photo's relative path, for detectors that look their answer up instead of computing it.
        """
        ...


@runtime_checkable
class BatchDetector(Protocol):
    """A detector whose work has two halves, so that preparing photos and computing on them can overlap.

    `detect_prepared([prepare(image, key)])[0]` is `detect(image, key)`.
    """

    @property
    def preferred_batch(self) -> int:
        """How many photos at a time measured best where it runs; 1 when batches gain nothing."""
        ...

    def prepare(
        self, image: NDArray[np.uint8], key: str = "", photo_hw: tuple[int, int] | None = None
    ) -> Any:
        """What `detect_prepared` needs of one photo, without the photo. Any number of threads may call it.

        Args:
            image: as for `Detector.detect`.
            key: as for `Detector.detect`.
            photo_hw: height and width of the photo that `image` is a reduced decode of, in whose pixels the
                boxes shall be. None: `image` is the photo.
        """
        ...

    def group_of(self, prepared: Any) -> Hashable:
        """Photos of one group can be computed together."""
        ...

    def detect_prepared(self, prepared: Sequence[Any]) -> list[Detections]:
        """Boxes of each, in order. To be called from one thread at a time."""
        ...


@runtime_checkable
class RecallingDetector(Protocol):
    """A detector that repeats what another one saw."""

    def seen(self, key: str) -> Literal[0, 1, 2, 4, 8]:
        """The reduction at which that one saw the photo; 0 where nobody noted it."""
        ...

    def intact(self, key: str) -> int | None:
        """CRC-32 of the photo's file, where its data were found undamaged then; else None."""
        ...


@runtime_checkable
class LookupDetector(Protocol):
    """A detector that looks its answers up by key, and so cares which photos there are."""

    def expect(self, photos: Mapping[str, str]) -> None:
        """Be told every photo of the input before the first `detect`: key → where it is."""
        ...

    def notes(self) -> list[str]:
        """What a person should know after the run, a sentence each."""
        ...


@runtime_checkable
class ClassAwareDetector(Protocol):
    """A detector that can tell how present the wanted classes are, below its floor too."""

    def ask_for(self, wanted: Sequence[str] | None) -> None:
        """From now on report the highest score of any of these classes as `Detections.presence`."""
        ...


@runtime_checkable
class PolicyAwareDetector(Protocol):
    """A detector whose notes say what the run leaves out of its boxes."""

    def count_for(self, classes: Sequence[str] | None, conf: float) -> None:
        """Be told what counts: boxes of these classes (None: any) with a score of at least `conf`."""
        ...
