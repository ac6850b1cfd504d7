"""The main path: one photo through every step, in order.

    decode → detect → choose → enlarge → crop → resize → encode → record

The path is cut in three where the work changes hands: `decode` and `finish` run on worker threads, `detect`
on the one thread that owns the model. `process` is the whole of it for one photo.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from types import MappingProxyType

import numpy as np

from detic_crop.boxes.choose import Choice, choose_and_keep, presence_of
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.geometry import PixelBox, crop_rectangle, whole
from detic_crop.config import CropConfig
from detic_crop.detectors.base import Detector
from detic_crop.errors import DeticCropError, PhotoError
from detic_crop.images.crop import cut_and_resize
from detic_crop.images.decode import Decoded, read_photo
from detic_crop.images.encode import encode
from detic_crop.runs.decisions import Decision
from detic_crop.runs.discover import Source
from detic_crop.runs.journal import Record

MAX_DETECTOR_CRASHES = 25
"""After so many crashes in a row the detector is asked about a plain picture: is it broken, or are they?"""


@dataclass(frozen=True, slots=True)
class Job:
    """One photo to do, and where its crop goes (relative to the output folder)."""

    source: Source
    crop: str


@dataclass(frozen=True, slots=True)
class Detected:
    """A photo between detection and cropping."""

    job: Job
    decoded: Decoded
    detections: Detections


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished photo: its record and, unless it failed, its boxes and the crop file to be placed."""

    record: Record
    candidates: Detections | None = None
    temporary: Path | None = None


@dataclass(slots=True)
class StageTimes:
    """Seconds spent in each stage, summed over threads."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _lock: Lock = field(default_factory=Lock)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time of a block to `stage`."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[stage] += time.perf_counter() - begun


class Pipeline:
    """The steps of the main path with everything they need.

    Args:
        detector: finds animals.
        classes: wanted class names, None for any.
        config: resolved settings.
        write_temporary: stores the bytes of a crop, returns the file; raises OutputError.
        max_pixels: larger photos fail.
        record_source: ``run``, ``recrop`` or ``review``.
        decisions: what a reviewer decided, by key; it goes before the detector's choice.
    """

    def __init__(
        self,
        detector: Detector,
        classes: tuple[str, ...] | None,
        config: CropConfig,
        write_temporary: Callable[[bytes], Path],
        max_pixels: int,
        record_source: str = "run",
        decisions: Mapping[str, Decision] = MappingProxyType({}),
    ) -> None:
        self.detector = detector
        self.classes = classes
        self.config = config
        self.conf = config.conf if config.conf is not None else detector.info.default_conf
        self.write_temporary = write_temporary
        self.max_pixels = max_pixels
        self.record_source = record_source
        self.decisions = decisions
        self.times = StageTimes()
        self._crashes = 0

    def process(self, job: Job) -> Outcome:
        """One photo from file to crop."""
        decoded = self.decode(job)
        if isinstance(decoded, Outcome):
            return decoded
        detected = self.detect(job, decoded)
        if isinstance(detected, Outcome):
            return detected
        return self.finish(detected)

    def decode(self, job: Job) -> Decoded | Outcome:
        """Read a photo; a failure is an outcome, not an error."""
        try:
            with self.times.measure("decode"):
                return read_photo(
                    job.source.path, max_pixels=self.max_pixels, truncated=self.config.truncated
                )
        except Exception as error:
            return self._failed(job, "decode", error)

    def detect(self, job: Job, decoded: Decoded) -> Detected | Outcome:
        """Ask the detector.

        Raises:
            DeticCropError: the detector crashed on `MAX_DETECTOR_CRASHES` photos in a row and on a plain
                picture.
        """
        try:
            with self.times.measure("detect"):
                detections = self.detector.detect(decoded.image, key=job.source.key)
        except Exception as error:
            self._crashes += not isinstance(error, PhotoError)
            if self._crashes >= MAX_DETECTOR_CRASHES and self._detector_is_broken():
                raise DeticCropError(
                    f"model {self.detector.info.name} failed on {self._crashes} photos in a row, lastly with "
                    f"{type(error).__name__}: {_one_line(error)}; mend that and give the same command again"
                ) from error
            return self._failed(job, "detect", error, decoded)
        self._crashes = 0
        return Detected(job, decoded, detections)

    def _detector_is_broken(self) -> bool:
        """Whether it crashes on a plain grey picture too; else the photos were at fault."""
        try:
            self.detector.detect(np.full((64, 96, 3), 128, np.uint8))
        except PhotoError:
            pass
        except Exception:
            return True
        self._crashes = 0
        return False

    def finish(self, detected: Detected) -> Outcome:
        """Choose, enlarge, crop, resize and encode; the crop waits under a temporary name.

        Raises:
            OutputError: the output disk is full or gone.
        """
        job, decoded = detected.job, detected.decoded
        try:
            image = decoded.image
            resolution_wh = (image.shape[1], image.shape[0])
            candidates, choice = self._choose(detected.detections, resolution_wh)
            decision = self.decisions.get(job.source.key, Decision())
            detected_rectangle = self._rectangle(candidates, choice, resolution_wh)
            rectangle = decision.rectangle(detected_rectangle, self.config, resolution_wh)
            with self.times.measure("crop"):
                crop = cut_and_resize(image, rectangle, self.config.size, self.config.fit)
            with self.times.measure("encode"):
                data = encode(crop, self.config.format, self.config.quality)
            record = self._record(job, decoded, candidates, choice, rectangle, len(data))
            record = decision.decide(record, candidates)
        except Exception as error:
            return self._failed(job, "crop", error, decoded)
        with self.times.measure("write"):
            return Outcome(record, candidates, self.write_temporary(data))

    def _choose(self, detections: Detections, resolution_wh: tuple[int, int]) -> tuple[Detections, Choice]:
        """The boxes to keep and the choice; with the presence, which later only kept boxes could tell."""
        kept, choice = choose_and_keep(detections, self.classes, self.conf, resolution_wh)
        return replace(kept, presence=presence_of(detections.rounded(), self.classes)), choice

    def _rectangle(self, candidates: Detections, choice: Choice, resolution_wh: tuple[int, int]) -> PixelBox:
        if choice.index is None:
            return whole(resolution_wh)
        chosen = candidates.edges(choice.index)
        return crop_rectangle(chosen, self.config.scale, self.config.fit, resolution_wh)

    def _record(
        self,
        job: Job,
        decoded: Decoded,
        candidates: Detections,
        choice: Choice,
        rectangle: PixelBox,
        crop_bytes: int,
    ) -> Record:
        record = self._blank(job, decoded)._replace(
            status="resized" if choice.index is None else "cropped",
            reason=choice.reason,
            crop=job.crop,
            presence=candidates.presence,
            crop_box=rectangle,
            n_candidates=choice.n_candidates,
            n_apart=choice.n_apart,
            crop_bytes=crop_bytes,
        )
        if choice.index is not None:
            record = record._replace(
                class_name=candidates.class_names[choice.index],
                score=candidates.score(choice.index),
                box=candidates.edges(choice.index),
            )
        if choice.best is not None and choice.best != choice.index:
            record = record._replace(
                best_class=candidates.class_names[choice.best],
                best_score=candidates.score(choice.best),
                best_box=candidates.edges(choice.best),
            )
        if choice.rival is not None:
            record = record._replace(
                rival_class=candidates.class_names[choice.rival], rival_score=candidates.score(choice.rival)
            )
        return record

    def _blank(self, job: Job, decoded: Decoded | None = None) -> Record:
        height, width = decoded.image.shape[:2] if decoded else (0, 0)
        return Record(
            image=job.source.key,
            status="failed",
            width=width,
            height=height,
            truncated=decoded.truncated if decoded else False,
            model=self.detector.info.name,
            source=self.record_source,
            file_size=job.source.size,
            file_time=job.source.mtime_ns,
        )

    def _failed(self, job: Job, stage: str, error: Exception, decoded: Decoded | None = None) -> Outcome:
        """A photo that failed is a row; what we did not foresee is one too, and says what it was."""
        reason, message = f"{stage}_error", f"{type(error).__name__}: {_one_line(error)}"
        if isinstance(error, PhotoError):
            reason, message = error.reason, _one_line(error)
        return Outcome(self._blank(job, decoded)._replace(reason=reason, stage=stage, error=message))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or "no message"
