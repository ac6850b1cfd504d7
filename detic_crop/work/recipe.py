"""What a run wants made of its photos, in a form that every worker can be sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from detic_crop.boxes.detections import Detections
from detic_crop.config import DEFAULT_PHOTO_TIMEOUT, CropConfig
from detic_crop.detectors import load_detector
from detic_crop.detectors.base import Detector
from detic_crop.detectors.vocabulary import wanted_classes
from detic_crop.folder.decisions import Decision
from detic_crop.folder.records import Record
from detic_crop.photos.photo import Photo
from detic_crop.system.memory_budget import MemoryBudget


class Job(NamedTuple):
    """One photo to work on.

    Attributes:
        photo: which one.
        crop: path of its crop, relative to the output folder, or the one after which its crops are numbered.
        decision: what a reviewer decided; it takes precedence over the detector's choice.
        earlier: record of the run whose kept boxes are used instead of a detector.
    """

    photo: Photo
    crop: str
    decision: Decision | None = None
    earlier: Record | None = None


class Outcome(NamedTuple):
    """A photo that was worked on.

    Attributes:
        record: what was done with it.
        candidates: its boxes; None if it failed.
        crops: bytes of each of its crops, in the order of `crops_of`.
    """

    record: Record
    candidates: Detections | None = None
    crops: tuple[bytes, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of all crops."""
        return sum(map(len, self.crops))


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything a worker needs to make jobs into outcomes; pickle can write it.

    Attributes:
        config: resolved settings.
        max_pixels: larger photos fail.
        record_source: ``run``, ``recrop`` or ``review``; see `Record.source`.
        model: name of the model for `load_detector`; empty if the detector cannot be loaded by a name.
        model_settings: further arguments of `load_detector`.
        photo_timeout: seconds that a store or web server has for one photo.
        memory: bytes that photos may take together on each machine; None: half of what there is.
        parts: processes that share a machine.
    """

    config: CropConfig
    max_pixels: int
    record_source: str = "run"
    model: str = ""
    model_settings: Mapping[str, Any] = field(default_factory=dict)
    memory: int | None = None
    photo_timeout: float = DEFAULT_PHOTO_TIMEOUT
    parts: int = 1

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Wanted class names; None for any."""
        return wanted_classes(self.config.classes)

    def memory_budget(self) -> MemoryBudget:
        """Return what this process may take of the memory."""
        return MemoryBudget.of_machine(self.memory, self.parts)

    def load_detector(self, device: str) -> Detector:
        """Load the model and tell it what is wanted.

        Raises:
            UsageError, WeightsError: see `load_detector`.
        """
        detector = load_detector(self.model, device, **self.model_settings)
        detector.ask_for(self.classes, self.config.conf or 0.0)
        detector.count_from(self.config.confs)
        return detector
