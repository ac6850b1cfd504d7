"""What a reviewer decided about a photo: which pixels that means, and what it changes in the record.

What a person said is kept in four forms, each one step further:

- `verdicts.Verdict`: one line of review.csv, word for word, with its time. Lines are only added, and the last
  one of a photo counts; one of them takes the word back.
- `Decision`: what such a line asks for: the verdict and its box, without the time. No verdict means that the
  detector's own crop is wanted.
- The fields `verdict` and `reviewer` of a `Record`: the decision that the crop on disk follows. Where it is
  another crop than the detector's, `detector_box` and `detected` keep what the detector chose, so that the
  decision can be taken back and the detector's mistakes can be counted.
- `work.changes.Change`: the difference: a record that does not follow the last decision yet.

`apply` carries the changes out. Later runs and recrops keep the decisions that records follow.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from detic_crop.boxes.choose import reason_of
from detic_crop.boxes.crop_size import CropSize
from detic_crop.boxes.detections import BOX_DECIMALS, Detections
from detic_crop.boxes.geometry import Box, PixelBox, clip, crop_rectangle, whole
from detic_crop.config import CropConfig
from detic_crop.errors import PhotoError
from detic_crop.folder.records import DetectorChoice, Record, ResumeEntry

# Fields of a record that the detector alone decides, and another box changes.
_CHOSEN = [name for name in DetectorChoice.__struct_fields__ if name != "image"]


class Decision(NamedTuple):
    """What a reviewer decided about one photo.

    Attributes:
        verdict: ``accepted``, ``whole``, ``box`` or ``rejected``; empty if nothing was said, or taken back.
        box: left, top, right, bottom in pixels of the upright photo; None unless the verdict is ``box``.
        reviewer: name of the person; the same decision of two persons means the same crop.
    """

    verdict: str = ""
    box: Box | None = None
    reviewer: str = ""

    def clipped(self, resolution_wh: tuple[int, int]) -> Decision:
        """Return the decision with its box clipped to the photo and rounded to the decimals that are kept.

        Args:
            resolution_wh: width and height of the upright photo, in pixels.

        Raises:
            PhotoError: no part of the box is inside the photo.
        """
        if self.verdict != "box" or self.box is None:
            return self._replace(box=None)
        left, top, right, bottom = (round(edge, BOX_DECIMALS) for edge in clip(self.box, resolution_wh))
        if not (left < right and top < bottom):
            width, height = resolution_wh
            raise PhotoError("box_outside", f"expected a box inside {width}×{height} px, got {self.box}")
        return self._replace(box=(left, top, right, bottom))

    def is_followed_by(self, record: Record | ResumeEntry) -> bool:
        """Return whether the crop of a record is already what was decided."""
        try:
            wanted = self.clipped((record.width, record.height))
        except PhotoError:
            return False
        return wanted._replace(reviewer=record.reviewer) == followed_by(record)

    def rectangle(self, detected: PixelBox, config: CropConfig, resolution_wh: tuple[int, int]) -> PixelBox:
        """Return the pixels to cut out, as left, top, right, bottom.

        Args:
            detected: pixels that the detector's own box would give.
            config: the settings as resolved.
            resolution_wh: width and height of the upright photo, in pixels.

        Raises:
            PhotoError: no part of the box is inside the photo.
        """
        if self.verdict == "whole":
            return whole(resolution_wh)
        box = self.clipped(resolution_wh).box
        return (
            detected if box is None else crop_rectangle(box, config.scale, CropSize.of(config), resolution_wh)
        )

    def record_of_same_crop(self, record: Record) -> Record:
        """Return the record once it follows this decision, where the crop stays the detector's own.

        Args:
            record: record of the detector's own crop, which may have been rejected.
        """
        record = replace(record, verdict=self.verdict, reviewer=self.reviewer, source="review")
        if self.verdict == "rejected":
            return replace(record, status="rejected", reason="reviewed_rejected")
        return _unreject(record) if record.status == "rejected" else record

    def record_of_new_crop(self, record: Record, candidates: Detections) -> Record:
        """Return the record of a photo that was just cropped as decided.

        Args:
            record: record that the detector alone would have given; its `crop_box` is already that of
                `rectangle`.
            candidates: all kept boxes; a decided box that equals one of them takes its class and score.
        """
        if not self.verdict:
            return record
        if self.verdict in ("accepted", "rejected"):
            return self.record_of_same_crop(record)
        # The most confident box of the detector stays known, also where it was the chosen one.
        best = (record.best_class, record.best_score, record.best_box)
        if record.best_box is None:
            best = (record.class_name, record.score, record.box)
        box = self.clipped((record.width, record.height)).box
        name, score = _class_and_score(box, candidates)
        return replace(
            record,
            verdict=self.verdict,
            reviewer=self.reviewer,
            source="review",
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


def followed_by(record: Record | ResumeEntry) -> Decision:
    """Return the decision that the crop of a record follows."""
    return Decision(record.verdict, record.box if record.verdict == "box" else None, record.reviewer)


def detected_box(record: Record) -> Box | None:
    """Return the detector's own box, whatever a reviewer decided."""
    return record.detector_box if record.verdict in ("box", "whole") else record.box


def _unreject(record: Record) -> Record:
    """Return a rejected record with the status and reason that the detector gave it."""
    return replace(
        record,
        status="resized" if record.box is None else "cropped",
        reason=reason_of(record.box, not record.unlisted),
    )


def as_detected(record: Record, config: CropConfig) -> Record | None:
    """Return the record that the detector alone would have left; None where that is not known.

    What was measured on the crop itself (blur, brightness, entropy, hash) stays that of the crop there is.
    """
    if record.detected is not None:
        record = replace(record, **{name: getattr(record.detected, name) for name in _CHOSEN})
        size, box = (record.width, record.height), record.box
        rectangle = (
            whole(size) if box is None else crop_rectangle(box, config.scale, CropSize.of(config), size)
        )
        record = replace(record, crop_box=rectangle)
    elif record.verdict in ("box", "whole"):
        return None
    elif record.verdict == "rejected":
        record = _unreject(record)
    return replace(record, verdict="", reviewer="", detector_box=None, detected=None)
