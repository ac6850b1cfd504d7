"""What a reviewer decided of a photo: which pixels that means, and what it changes in the record."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from detic_crop.boxes.choose import reason_of
from detic_crop.boxes.detections import BOX_DECIMALS, Detections
from detic_crop.boxes.geometry import Box, PixelBox, clip, crop_rectangle, whole
from detic_crop.config import CropConfig
from detic_crop.errors import PhotoError
from detic_crop.folder.records import DetectorChoice, Record, ResumeEntry

# What the detector alone decides of a record, and another box changes.
_CHOSEN = [name for name in DetectorChoice.__struct_fields__ if name != "image"]


class Decision(NamedTuple):
    """A reviewer's word on one photo.

    Attributes:
        verdict: ``accepted``, ``whole``, ``box``, ``rejected``, or empty: nothing was said, or taken back.
        box: with ``box``: xyxy in pixels of the upright photo.
        reviewer: who said it; two that say the same mean the same crop.
    """

    verdict: str = ""
    box: Box | None = None
    reviewer: str = ""

    def within(self, resolution_wh: tuple[int, int]) -> Decision:
        """The same, its box cut to the photo and rounded to the decimals that are kept.

        Raises:
            PhotoError: nothing of the box is inside the photo.
        """
        if self.verdict != "box" or self.box is None:
            return self._replace(box=None)
        left, top, right, bottom = (round(edge, BOX_DECIMALS) for edge in clip(self.box, resolution_wh))
        if not (left < right and top < bottom):
            width, height = resolution_wh
            raise PhotoError("box_outside", f"expected a box inside {width}×{height} px, got {self.box}")
        return self._replace(box=(left, top, right, bottom))

    def is_followed_by(self, record: Record) -> bool:
        """Whether the crop of a record is already what was decided."""
        try:
            wanted = self.within((record.width, record.height))
            return wanted._replace(reviewer=record.reviewer) == decision_in(record)
        except PhotoError:
            return False

    def rectangle(self, detected: PixelBox, config: CropConfig, resolution_wh: tuple[int, int]) -> PixelBox:
        """The pixels to cut out; `detected` is what the detector's own box would give."""
        if self.verdict == "whole":
            return whole(resolution_wh)
        box = self.within(resolution_wh).box
        return detected if box is None else crop_rectangle(box, config.scale, config.fit, resolution_wh)

    def decide(self, record: Record, candidates: Detections) -> Record:
        """The record of a photo that the detector alone would have given `record`.

        Args:
            record: the detector's own; its `crop_box` is already that of `rectangle`.
            candidates: all kept boxes; a decided box that equals one of them takes its class and score.
        """
        if not self.verdict:
            return record
        record = replace(record, verdict=self.verdict, reviewer=self.reviewer, source="review")
        if self.verdict == "accepted":
            return record
        if self.verdict == "rejected":
            return replace(record, status="rejected", reason="reviewed_rejected")
        # The most confident box of the detector stays known, also where it was the chosen one.
        best = (record.best_class, record.best_score, record.best_box)
        if record.best_box is None:
            best = (record.class_name, record.score, record.box)
        box = self.within((record.width, record.height)).box
        name, score = _class_and_score(box, candidates)
        return replace(
            record,
            status="resized" if box is None else "cropped",
            reason="reviewed_whole" if box is None else "reviewed_box",
            class_name=name,
            score=score,
            box=box,
            detector_box=record.box,
            best_class=best[0],
            best_score=best[1],
            best_box=best[2],
            n_apart=0,  # a person has looked at the others
            rival_class="",
            rival_score=None,
            larger_score=None,
            detected=DetectorChoice(record.image, **{name: getattr(record, name) for name in _CHOSEN}),
        )


def _class_and_score(box: Box | None, candidates: Detections) -> tuple[str, float | None]:
    for i in range(len(candidates)) if box is not None else ():
        if candidates.edges(i) == box:
            return candidates.class_names[i], candidates.score(i)
    return "", None


def is_followed(decision: Decision, entry: ResumeEntry) -> bool:
    """Return whether the crop of a finished photo is what was decided."""
    if entry.reviewed is None:
        return not decision.verdict
    return decision.is_followed_by(entry.reviewed)


def decision_in(record: Record) -> Decision:
    """What the crop of a record follows."""
    return Decision(record.verdict, record.box if record.verdict == "box" else None, record.reviewer)


def detected_box(record: Record) -> Box | None:
    """The detector's own box, whatever a reviewer made of it."""
    return record.detector_box if record.verdict in ("box", "whole") else record.box


def not_rejected(record: Record) -> Record:
    """A rejected record with the status and reason that the detector gave it."""
    return replace(
        record,
        status="resized" if record.box is None else "cropped",
        reason=reason_of(record.box, not record.unlisted),
    )


def as_detected(record: Record, config: CropConfig) -> Record | None:
    """The record that the detector alone would have left; None where that is not known.

    What was measured on the crop itself (blur, brightness, entropy, hash) stays that of the crop there is.
    """
    if record.detected is not None:
        record = replace(record, **{name: getattr(record.detected, name) for name in _CHOSEN})
        size, box = (record.width, record.height), record.box
        rectangle = whole(size) if box is None else crop_rectangle(box, config.scale, config.fit, size)
        record = replace(record, crop_box=rectangle)
    elif record.verdict in ("box", "whole"):
        return None
    elif record.verdict == "rejected":
        record = not_rejected(record)
    return replace(record, verdict="", reviewer="", detector_box=None, detected=None)
