"""What a reviewer decided about a photo: which pixels that means, and what it changes in the record.

What a person said is kept in four forms, each one step further:

- `verdicts.Verdict`: one line of review.csv, word for word, with its time. Lines are only added, and the last
  one of a photo counts; one of them takes the word back.
- `Decision`: what such a line asks for: the verdict, its boxes, note and viewpoint, without the time. No
  verdict means that the detector's own crops are wanted.
- The fields `verdict`, `reviewer`, `reviewed`, `note` and `viewpoint` of a `Record`: the decision that the
  crops on disk follow. Where they are others than the detector's, `detector_box` and `detected` keep what the
  detector chose, so that the decision can be taken back and the detector's mistakes can be counted.
- `work.changes.Change`: the difference: a record that does not follow the last decision yet.

`apply` carries the changes out. Later runs and recrops keep the decisions that records follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec.structs import replace

from detic_crop.boxes.detections import BOX_DECIMALS, Detections
from detic_crop.boxes.geometry import Box, area_of, clip, rectangle_of, whole
from detic_crop.config import CropConfig
from detic_crop.errors import PhotoError
from detic_crop.folder.animals import boxes_of, numbered_animals, whole_photo, with_animals
from detic_crop.folder.records import DetectorChoice, Record, ResumeEntry, status_and_reason

# Fields of a record that the detector alone decides, and another box changes.
_CHOSEN = [name for name in DetectorChoice.__struct_fields__ if name != "image"]


KEEPS_DETECTOR_CROP = ("", "accepted", "unsure")
"""Verdicts after which the crops are the detector's own."""


class Decision(NamedTuple):
    """What a reviewer decided about one photo.

    Attributes:
        verdict: ``accepted``, ``whole``, ``box``, ``rejected`` or ``unsure``; empty if nothing was said, or
            taken back.
        boxes: of each animal left, top, right, bottom in pixels of the upright photo; none unless the verdict
            is ``box``.
        reviewer: name of the person; the same decision of two persons means the same crop.
        note: what the person wrote about the photo.
        viewpoint: from which side the person says the animal is seen; see `VIEWPOINTS`.
    """

    verdict: str = ""
    boxes: tuple[Box, ...] = ()
    reviewer: str = ""
    note: str = ""
    viewpoint: str = ""

    @property
    def remarks(self) -> Mapping[str, str]:
        """What was said that changes no crop, by field of `Record`."""
        return {"note": self.note, "viewpoint": self.viewpoint}

    def without_verdict(self) -> Decision:
        """Return what is left where the verdict does not count any more."""
        return Decision().with_remarks_of(self)

    def with_remarks_of(self, other: Decision) -> Decision:
        """Return the same verdict with what another decision says beside it."""
        return self._replace(note=other.note, viewpoint=other.viewpoint)

    def clipped(self, resolution_wh: tuple[int, int]) -> Decision:
        """Return the decision with its boxes clipped to the photo and rounded to the decimals that are kept.

        Args:
            resolution_wh: width and height of the upright photo, in pixels.

        Raises:
            PhotoError: no part of a box is inside the photo.
        """
        if self.verdict != "box":
            return self._replace(boxes=())
        boxes = {_clipped(box, resolution_wh): None for box in self.boxes}  # the same one twice is one animal
        return self._replace(boxes=tuple(sorted(boxes)))

    def is_followed_by(self, record: Record | ResumeEntry) -> bool:
        """Return whether the crops of a record are already what was decided, and its remarks are there."""
        try:
            wanted = self.clipped((record.width, record.height))
        except PhotoError:
            return False
        return wanted._replace(reviewer=record.reviewer) == followed_by(record)

    def agrees_with(self, detected: Record) -> bool:
        """Return whether the boxes are those that the detector chose; in `largest`, whether the largest is.

        Args:
            detected: record as the detector alone would have left it.
        """
        try:
            boxes = self.clipped((detected.width, detected.height)).boxes
        except PhotoError:
            return False
        if not detected.animals:
            return bool(boxes) and max(boxes, key=area_of) == detected.box
        return boxes == tuple(sorted(boxes_of(detected)))

    def needs_other_crops_than(self, record: Record) -> bool:
        """Return whether other crops are decided on than those that a record follows now."""
        return not self.with_remarks_of(followed_by(record)).is_followed_by(record)

    def record_of_same_crop(self, record: Record) -> Record:
        """Return the record once it follows this decision, where the crop stays the detector's own.

        Args:
            record: record of the detector's own crop, which may have been rejected.
        """
        record = replace(
            record, verdict=self.verdict, reviewer=self.reviewer, source="review", **self.remarks
        )
        if self.verdict == "rejected":
            return replace(record, status="rejected", reason="reviewed_rejected")
        return _unreject(record) if record.status == "rejected" else record

    def record_of_new_crop(self, record: Record, candidates: Detections, config: CropConfig) -> Record:
        """Return the record of a photo that is about to be cropped as decided, with the pixels to cut out.

        Args:
            record: record that the detector alone would have given.
            candidates: all kept boxes; a decided box that equals one of them takes its class and score.
            config: the settings as resolved.

        Raises:
            PhotoError: no part of a box is inside the photo.
        """
        if not self.verdict:
            return replace(record, reviewer=self.reviewer, **self.remarks)
        if self.verdict not in ("whole", "box"):
            return self.record_of_same_crop(record)
        size = record.width, record.height
        boxes = self.clipped(size).boxes
        found = [_fields_of(box, candidates) for box in boxes]
        detected = DetectorChoice(record.image, **{name: getattr(record, name) for name in _CHOSEN})
        # The most confident box of the detector stays known, also where it was the chosen one.
        best = (record.best_class, record.best_score, record.best_box)
        if record.best_box is None:
            best = (record.class_name, record.score, record.box)
        detector_box = record.box
        if config.animals == "all":
            animals = numbered_animals(found, config, size) if found else (whole_photo(size),)
            record = with_animals(record, animals)
        else:
            fields = max(found, key=lambda fields: area_of(fields["box"]), default=_NO_BOX)
            rectangle = rectangle_of(fields["box"], config, size) if found else whole(size)
            record = replace(record, **fields, crop_box=rectangle)
        status, reason = status_and_reason(record)
        if status != "skipped":
            reason = "reviewed_box" if found else "reviewed_whole"
        return replace(
            record,
            verdict=self.verdict,
            reviewer=self.reviewer,
            **self.remarks,
            reviewed=boxes if len(boxes) > 1 else (),
            source="review",
            status=status,
            reason=reason,
            detector_box=detector_box,
            best_class=best[0],
            best_score=best[1],
            best_box=best[2],
            n_apart=0,  # a person has looked at the others
            rival_class="",
            rival_score=None,
            larger_score=None,
            detected=detected,
        )


_NO_BOX: Mapping[str, Any] = {"class_name": "", "score": None, "box": None}


def _fields_of(box: Box, candidates: Detections) -> dict[str, Any]:
    """Return class, score and box of an animal that a person decided on."""
    same = next((i for i in range(len(candidates)) if candidates.edges(i) == box), None)
    if same is None:
        return {**_NO_BOX, "box": box}
    return {"class_name": candidates.class_names[same], "score": candidates.score(same), "box": box}


def _clipped(box: Box, resolution_wh: tuple[int, int]) -> Box:
    left, top, right, bottom = (round(edge, BOX_DECIMALS) for edge in clip(box, resolution_wh))
    if not (left < right and top < bottom):
        width, height = resolution_wh
        raise PhotoError("box_outside", f"expected a box inside {width}×{height} px, got {box}")
    return left, top, right, bottom


def followed_by(record: Record | ResumeEntry) -> Decision:
    """Return the decision that the crops of a record follow."""
    boxes: tuple[Box, ...] = ()
    if record.verdict == "box":
        boxes = record.reviewed or ((record.box,) if record.box is not None else ())
    return Decision(record.verdict, boxes, record.reviewer, record.note, record.viewpoint)


def detected_box(record: Record) -> Box | None:
    """Return the detector's own box, of its largest animal, whatever a reviewer decided."""
    return record.detector_box if record.verdict in ("box", "whole") else record.box


def detected_boxes(record: Record) -> tuple[Box, ...]:
    """Return the boxes of all animals that the detector chose, whatever a reviewer decided."""
    if record.detected is not None:
        return boxes_of(record.detected)
    if record.verdict in ("box", "whole"):  # of an earlier version
        return () if record.detector_box is None else (record.detector_box,)
    return boxes_of(record)


def _unreject(record: Record) -> Record:
    """Return a rejected record with the status and reason that the detector gave it."""
    status, reason = status_and_reason(record)
    return replace(record, status=status, reason=reason)


def as_detected(record: Record, config: CropConfig) -> Record | None:
    """Return the record that the detector alone would have left; None where that is not known.

    What was measured on the crop itself (blur, brightness, entropy, hash) stays that of the crop there is.
    """
    if record.detected is not None:
        record = replace(record, **{name: getattr(record.detected, name) for name in _CHOSEN})
        if not record.animals:
            rectangle = rectangle_of(record.box, config, (record.width, record.height))
            record = replace(record, crop_box=rectangle)
    elif record.verdict in ("box", "whole"):
        return None
    elif record.verdict == "rejected":
        record = _unreject(record)
    return replace(unsaid(record), reviewed=(), detector_box=None, detected=None)


def unsaid(record: Record) -> Record:
    """Return a record without what a person said."""
    return replace(record, verdict="", reviewer="", **Decision().remarks)
