"""The main path: one photo through every step, in order.

    decode → detect → choose → enlarge → crop → resize → encode → record

The path is cut in three where another thread may take over: `decode` and `finish` run on worker threads,
`detect` on the one thread that owns the model. `process` is all of it for one photo.

No more is decoded than is needed: a detector that does not need pixels answers before any are decoded, and of
a photo that was found undamaged before, only the rows down to the last one of the crop are decoded. With
``decode="scaled"`` photos are also decoded no finer than the detector and the crop need, see
`images.partial`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.crop_size import CropSize, Sides
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.geometry import PixelBox
from detic_crop.detectors.base import Detector
from detic_crop.errors import DeticCropError, OutputError, PhotoError, one_line
from detic_crop.folder.animals import crops_of, with_crops
from detic_crop.folder.decisions import Decision
from detic_crop.folder.records import Record
from detic_crop.images.checks import check_crop
from detic_crop.images.crop import cut_and_resize, resize_exactly, resize_quickly, resize_reduced
from detic_crop.images.decode import Decoded, PhotoFile
from detic_crop.images.embed_exif import embed_exif
from detic_crop.images.encode import check_sides, encode
from detic_crop.images.exif import MOST_BYTES, Exif
from detic_crop.images.memory_use import BYTES_PER_PIXEL_OF_CROP
from detic_crop.images.most_bytes import CropFile, file_within
from detic_crop.images.partial import (
    LEAST_PIXELS,
    REDUCTIONS,
    Reduction,
    is_fine_enough,
    reduction_for,
    reduction_to_show,
    snapped,
)
from detic_crop.system.memory_budget import Loan
from detic_crop.work.recipe import Job, Outcome, Recipe
from detic_crop.work.record_of import fields_of_exif, record_as_detected
from detic_crop.work.timing import StageTimes

_NO_PIXEL = np.zeros(3, np.uint8)
MAX_DETECTOR_CRASHES = 25
"""Crashes in a row after which a plain picture tells whether the detector is broken, or the photos are."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPhoto:
    """A photo on its way to the detector.

    Attributes:
        job: the job it belongs to.
        resolution_wh: width and height of the upright photo.
        checksum: CRC-32 of the file.
        decoded: its pixels; None if the detector does not need any.
        file: the file, to decode from again; None if `decoded` is all that is needed.
        prepared: what `Detector.prepare` made of it.
        loan: memory that was borrowed for it; None: none was.
        exif: what of its EXIF was asked for.
    """

    job: Job
    resolution_wh: tuple[int, int]
    checksum: int
    decoded: Decoded | None
    file: PhotoFile | None
    prepared: Any = None
    loan: Loan | None = None
    exif: Exif | None = None

    def give_back(self) -> None:
        """Give back the memory that was borrowed for it; may be called twice."""
        if self.loan is not None:
            self.loan.give_back()


@dataclass(frozen=True, slots=True, eq=False)
class Detected:
    """A photo between detection and cropping."""

    photo: DecodedPhoto
    detections: Detections


class Pipeline:
    """The steps of the main path.

    Args:
        recipe: what is wanted.
        detector: finds animals; already told what is wanted.

    Attributes:
        memory: where memory for a photo is borrowed, from before it is read until there is an outcome.
    """

    def __init__(self, recipe: Recipe, detector: Detector) -> None:
        self.recipe = recipe
        self.detector = detector
        self.config = recipe.config
        self.size = CropSize.of(recipe.config)
        self.classes = recipe.classes
        self.conf = recipe.config.conf if recipe.config.conf is not None else detector.info.default_conf
        self.memory = recipe.memory_budget()
        self.times = StageTimes()
        self._crashes = 0

    @property
    def batch_size(self) -> int:
        """Photos that are given to the detector at once."""
        return self.detector.preferred_batch

    def group_of(self, photo: DecodedPhoto) -> Hashable:
        """Return the group of a photo; only photos of one group are given to the detector together."""
        return self.detector.group_of(photo.prepared)

    def process(self, job: Job) -> Outcome:
        """Take one photo through every step.

        Raises:
            DeticCropError: the detector is broken, or what it answers from cannot be read.
        """
        photo = self.decode(job)
        if isinstance(photo, Outcome):
            return photo
        try:
            (detected,) = self.detect([photo])
            return detected if isinstance(detected, Outcome) else self.finish(detected)
        finally:  # also when the detector is broken: others may wait for the memory, and this photo for them
            photo.give_back()

    def decode(self, job: Job) -> DecodedPhoto | Outcome:
        """Read a photo and decode what the detector needs; a failure is an outcome, not an error."""
        try:
            with self.times.measure("read"):
                file = job.photo.open(
                    self.recipe.max_pixels,
                    self.config.truncated,
                    self.memory,
                    self._bytes_of_crop,
                    self.recipe.photo_timeout,
                    self.config.reads_exif,
                )
        except CancelledError:
            raise
        except Exception as error:
            return self._failed(job, "decode", error)
        photo: DecodedPhoto | Outcome | None = None
        try:
            photo = self._decoded(job, file)
            return photo
        finally:  # also when an output folder cannot be read: others may wait for the memory
            if not isinstance(photo, DecodedPhoto):
                file.give_back()

    def _decoded(self, job: Job, file: PhotoFile) -> DecodedPhoto | Outcome:
        try:
            earlier = job.earlier
            if earlier is not None and _was_undamaged(earlier) and earlier.checksum == file.checksum:
                file.vouch()
            if not self.detector.info.needs_pixels and file.resolution_wh is not None:
                resolution_wh, checksum = file.resolution_wh, file.checksum
                return self._prepared(
                    DecodedPhoto(job, resolution_wh, checksum, None, file, loan=file.loan, exif=file.exif)
                )
            with self.times.measure("decode"):
                decoded = file.decode(reduction=self._reduction_to_show(file))
        except Exception as error:
            return self._failed(job, "decode", error)
        again = file if decoded.reduction > 1 else None
        if again is None and file.loan is not None:  # no more than these pixels is needed from now on
            file.loan.keep(decoded.image.nbytes + self._bytes_of_crop(decoded.resolution_wh))
        return self._prepared(
            DecodedPhoto(
                job, decoded.resolution_wh, file.checksum, decoded, again, loan=file.loan, exif=file.exif
            )
        )

    def _bytes_of_crop(self, resolution_wh: Sides) -> int:
        return BYTES_PER_PIXEL_OF_CROP[self.config.format] * self.size.most_pixels(resolution_wh)

    def _reduction_to_show(self, file: PhotoFile) -> Reduction:
        if file.resolution_wh is None or not self._may_scale(file.resolution_wh):
            return 1
        wanted = reduction_to_show(file.resolution_wh, self.detector.info.input_size)
        return wanted if file.can_reduce(wanted) else 1

    def _may_scale(self, resolution_wh: tuple[int, int]) -> bool:
        return self.config.decode == "scaled" and prod(resolution_wh) >= LEAST_PIXELS

    def _prepared(self, photo: DecodedPhoto) -> DecodedPhoto | Outcome:
        width, height = photo.resolution_wh
        if photo.decoded is not None:
            image = photo.decoded.image
        else:
            image = np.broadcast_to(_NO_PIXEL, (height, width, 3))  # a size that takes no memory
        try:
            with self.times.measure("prepare"):
                prepared = self.detector.prepare(image, photo.job.photo.key, (height, width))
        except Exception as error:
            return self._failed(photo.job, "detect", error, photo)
        return replace(photo, prepared=prepared)

    def detect(self, photos: Sequence[DecodedPhoto]) -> list[Detected | Outcome]:
        """Ask the detector about some photos, all at once.

        Raises:
            DeticCropError: the detector crashed on `MAX_DETECTOR_CRASHES` photos in a row and on a plain
                picture.
            OutputError: the output folder that it answers from cannot be read.
        """
        if len(photos) > 1:
            try:
                with self.times.measure("detect", len(photos)):
                    answers = self.detector.detect_batch([photo.prepared for photo in photos])
                self._crashes = 0
                return [Detected(*pair) for pair in zip(photos, answers, strict=True)]
            except Exception:
                pass  # one photo may be at fault: each by itself will tell which
        return [self._detect_one(photo) for photo in photos]

    def _detect_one(self, photo: DecodedPhoto) -> Detected | Outcome:
        try:
            with self.times.measure("detect"):
                (detections,) = self.detector.detect_batch([photo.prepared])
        except Exception as error:
            photo.give_back()
            self._crashes += not isinstance(error, PhotoError)
            if self._crashes >= MAX_DETECTOR_CRASHES and self._detector_is_broken():
                raise DeticCropError(
                    "broken_detector",
                    f"model {self.detector.info.name} failed on {self._crashes} photos in a row, the last "
                    f"time with {type(error).__name__}: {one_line(error, 300)}; fix that and run the same "
                    "command again",
                ) from error
            return self._failed(photo.job, "detect", error, photo)
        self._crashes = 0
        return Detected(photo, detections)

    def _detector_is_broken(self) -> bool:
        """Return whether it crashes on a plain grey picture, too; if not, the photos are at fault."""
        try:
            self.detector.detect(np.full((64, 96, 3), 128, np.uint8))
        except PhotoError:
            pass
        except Exception:
            return True
        self._crashes = 0
        return False

    def finish(self, detected: Detected) -> Outcome:
        """Choose, enlarge, crop, resize and encode."""
        try:
            return self._finished(detected)
        finally:
            detected.photo.give_back()

    def _finished(self, detected: Detected) -> Outcome:
        photo = detected.photo
        stage = "crop"
        try:
            blank = msgspec.structs.replace(
                self._blank(photo.job, photo), crop=photo.job.crop, seen=self._seen(photo)
            )
            record, candidates = record_as_detected(
                blank, detected.detections, self.config, self.classes, self.conf
            )
            decision = photo.job.decision or Decision()
            record = decision.record_of_new_crop(record, candidates, self.config)
            cuts = (crop.record.crop_box for crop in crops_of(record))
            rectangles = [rectangle for rectangle in cuts if rectangle is not None]
            full = _FullDecode(self, photo, rectangles)
            made, data = [], []
            of_file: dict[str, Any] = {}
            for rectangle in rectangles:
                stage = "decode"
                decoded, rectangle = self._pixels_of(photo, rectangle, full)
                stage = "crop"
                file = self._file_of_crop(decoded, rectangle, photo.exif)
                with self.times.measure("check"):
                    checks = check_crop(file.crop)
                data.append(file.data)
                lowered = file.quality if file.quality != self.config.quality else 0
                made.append(
                    {
                        "crop_box": rectangle,
                        "crop_bytes": len(file.data),
                        "quality": lowered,
                        "is_shrunk": file.is_shrunk,
                        **checks._asdict(),
                    }
                )
                of_file = {"truncated": decoded.truncated, "damaged": decoded.damaged}
            record = msgspec.structs.replace(with_crops(record, made), **of_file)
        except Exception as error:
            return self._failed(photo.job, stage, error, None if stage == "decode" else photo)
        return Outcome(record, candidates, tuple(data))

    def _pixels_of(
        self, photo: DecodedPhoto, rectangle: PixelBox, full: _FullDecode
    ) -> tuple[Decoded, PixelBox]:
        """Return pixels that hold the rectangle, no coarser than the crop allows, and the rectangle."""
        decoded, file = photo.decoded, photo.file
        if decoded is not None and decoded.reduction == 1:
            return decoded, rectangle
        assert file is not None
        # Not coarser than what the detector saw: a later crop of the same box, without the detector, is then
        # the same to the byte.
        coarsest = min(self._reduction_to_crop(rectangle, photo.resolution_wh), self._seen(photo) or 8)
        for reduction in REDUCTIONS:
            if 1 < reduction <= coarsest and file.can_reduce(reduction):
                region = snapped(rectangle, reduction, photo.resolution_wh)
                if decoded is None or decoded.reduction > reduction:
                    decoded = self.decode_for_crop(file, region, reduction, again=decoded is not None)
                    if decoded.reduction == 1:  # of damaged data another decoder has made what it could
                        return decoded, rectangle
                if self._is_fine_enough(decoded, region):
                    return decoded, region
        return full.decode(again=decoded is not None), rectangle

    def decode_for_crop(
        self, file: PhotoFile, region: PixelBox, reduction: Reduction, again: bool
    ) -> Decoded:
        """Decode a region, and note whether the photo was decoded before."""
        with self.times.measure("decode again" if again else "decode"):
            return file.decode(region, reduction)

    def _is_fine_enough(self, decoded: Decoded, region: PixelBox) -> bool:
        with self.times.measure("crop", photos=0):  # the crop itself will be the photo's
            x1, y1, x2, y2 = decoded.in_image(region)
            width, height = self.size.picture((x2 - x1, y2 - y1))
            return is_fine_enough(decoded.image[y1:y2, x1:x2], width, height)

    def _seen(self, photo: DecodedPhoto) -> Reduction | Literal[0]:
        """Return the reduction at which a detector saw the photo; 0 if none did or it is not reduced."""
        if not self._may_scale(photo.resolution_wh):
            return 0
        if photo.decoded is not None:
            return photo.decoded.reduction
        return photo.job.earlier.seen if photo.job.earlier is not None else 0

    def _reduction_to_crop(self, rectangle: PixelBox, resolution_wh: tuple[int, int]) -> Reduction:
        if not self._may_scale(resolution_wh):
            return 1
        x1, y1, x2, y2 = rectangle
        return reduction_for((x2 - x1, y2 - y1), self.size)

    def _file_of_crop(self, decoded: Decoded, rectangle: PixelBox, exif: Exif | None) -> CropFile:
        """Return a crop and its file, which is as small as is asked for."""
        x1, y1, x2, y2 = rectangle
        sides = x2 - x1, y2 - y1
        check_sides(self.size.canvas(sides), self.config.format)

        def cut(size: CropSize) -> NDArray[np.uint8]:
            with self.times.measure("crop"):
                return self._crop(decoded, rectangle, size)

        def encoded(crop: NDArray[np.uint8], quality: int) -> bytes:
            with self.times.measure("encode"):
                return self._encode(crop, quality, exif)

        most, format, quality = self.config.max_bytes, self.config.format, self.config.quality
        return file_within(most, self.size, sides, format, quality, cut, encoded)

    def _crop(self, decoded: Decoded, rectangle: PixelBox, size: CropSize) -> NDArray[np.uint8]:
        resize = resize_exactly
        if self._may_scale(decoded.resolution_wh):
            resize = resize_quickly if decoded.reduction == 1 else resize_reduced
        return cut_and_resize(decoded.image, decoded.in_image(rectangle), size, resize)

    def _encode(self, crop: NDArray[np.uint8], quality: int, exif: Exif | None) -> bytes:
        data = encode(crop, self.config.format, quality)
        if exif is None or self.config.exif == "strip":
            return data
        height, width = crop.shape[:2]
        # Most of a small file is for the picture: a photo with much EXIF must not fail for that.
        most = MOST_BYTES if self.config.max_bytes is None else self.config.max_bytes // 4
        block = exif.of_crop(width, height, gps=self.config.gps, most=most)
        return embed_exif(data, self.config.format, block, width, height)

    def _blank(self, job: Job, photo: DecodedPhoto | None = None) -> Record:
        width, height = photo.resolution_wh if photo else (0, 0)
        known = (photo.decoded or job.earlier) if photo else None
        return Record(
            image=job.photo.key,
            status="failed",
            width=width,
            height=height,
            truncated=known.truncated if known else False,
            damaged=known.damaged if known else None,
            checksum=photo.checksum if photo else None,
            model=self.detector.info.name,
            source=self.recipe.record_source,
            file_size=job.photo.size,
            file_time=job.photo.version,
            **fields_of_exif(photo.exif if photo else None, self.config),
        )

    def failed_for(self, job: Job, reason: str, message: str) -> Outcome:
        """Return the failed row of a photo that no worker survived."""
        return self._failed(job, "work", PhotoError(reason, message))

    def _failed(self, job: Job, stage: str, error: Exception, photo: DecodedPhoto | None = None) -> Outcome:
        """Return the row of a photo that failed; an unforeseen error becomes a row, too.

        Raises:
            OutputError: the error is one of an output folder, and says nothing of the photo.
        """
        if isinstance(error, OutputError):
            raise error
        reason, message = f"{stage}_error", f"{type(error).__name__}: {one_line(error, 300)}"
        if isinstance(error, PhotoError):
            reason, message = error.reason, one_line(error, 300)
        return Outcome(
            msgspec.structs.replace(self._blank(job, photo), reason=reason, stage=stage, error=message)
        )


class _FullDecode:
    """The pixels around all rectangles of a photo, not reduced; decoded when they are first asked for.

    Args:
        pipeline: decodes.
        photo: the photo.
        rectangles: what is to be cut out.
    """

    def __init__(self, pipeline: Pipeline, photo: DecodedPhoto, rectangles: Sequence[PixelBox]) -> None:
        self._pipeline, self._photo, self._rectangles = pipeline, photo, rectangles
        self._decoded: Decoded | None = None

    def decode(self, *, again: bool) -> Decoded:
        """Return the pixels; `again` tells whether any were decoded before."""
        if self._decoded is None:
            assert self._photo.file is not None
            left, top, right, bottom = zip(*self._rectangles, strict=True)
            around = min(left), min(top), max(right), max(bottom)
            self._decoded = self._pipeline.decode_for_crop(self._photo.file, around, 1, again)
        return self._decoded


def _was_undamaged(record: Record) -> bool:
    return record.damaged is False and not record.truncated
