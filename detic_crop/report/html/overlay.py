"""The boxes over a photo, in pixels of the photo as it is shown on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detic_crop.boxes.choose import wanted_mask
from detic_crop.boxes.detections import BOX_DECIMALS, Detections
from detic_crop.config import CropConfig
from detic_crop.detectors.vocabulary import wanted_classes
from detic_crop.folder.decisions import detected_boxes
from detic_crop.folder.records import Animal, Edges, Record
from detic_crop.report.html.rendering import two_digits
from detic_crop.report.photos import AuditPhoto

KINDS: Mapping[str, str] = {
    "taken": "box that a person took or drew",
    "chosen": "the detector's choice",
    "cut": "what was cut out",
    "best": "most confident box, where another was chosen",
    "other": "other boxes that count",
    "weak": "below conf, or of a class not asked for",
}
"""Kind of a box → what it means."""

_MAX_SCORES = 12  # boxes of one photo whose score is written beside them

# Width of the dark line beneath the important boxes, px; see report.css for the lines themselves.
_HALOS: Mapping[str, float] = {"taken": 4.4, "chosen": 4.4, "best": 4.0, "cut": 3.4}


class DrawnBox(NamedTuple):
    """A box to draw.

    Attributes:
        kind: a key of `KINDS`, or another name of its style.
        xyxy: corners, pixels of the photo.
        name: class; empty for a rectangle that is not a detection.
        score: score in words.
        label: text in the upper left corner.
    """

    kind: str
    xyxy: Sequence[float]
    name: str = ""
    score: str = ""
    label: str = ""

    def shape(self, ratio_wh: tuple[float, float], display_width: float, halo: float) -> Shape:
        """Return the box as it is drawn.

        Args:
            ratio_wh: pixels on the page per pixel of the photo, across and down.
            display_width: width of the photo on the page, px.
            halo: width of the dark line beneath, px; 0 for none.
        """
        left, right = self.xyxy[0] * ratio_wh[0], self.xyxy[2] * ratio_wh[0]
        top, bottom = self.xyxy[1] * ratio_wh[1], self.xyxy[3] * ratio_wh[1]
        return Shape(
            self.kind,
            left,
            top,
            right - left,
            bottom - top,
            halo,
            self.name,
            self.score,
            self.label,
            label_x=max(2.0, min(left + 4, display_width - 6.5 * len(self.label))),
            label_y=top + 13,
        )


@dataclass(frozen=True, slots=True)
class Shape:
    """A rectangle of the overlay, which tells its class when pointed at.

    Attributes:
        kind: a key of `KINDS`.
        x: left edge, px on the page.
        y: top edge, px.
        width: width, px.
        height: height, px.
        halo: width of the dark line beneath; 0 for none.
        name: class; empty for a rectangle that is not a detection.
        score: score in words.
        label: text in the corner; empty for none.
        label_x: left end of the text.
        label_y: base line of the text.
    """

    kind: str
    x: float
    y: float
    width: float
    height: float
    halo: float
    name: str
    score: str
    label: str
    label_x: float
    label_y: float


def overlay(
    photo: AuditPhoto, candidates: Detections | None, config: CropConfig, display_wh: tuple[float, float]
) -> list[Shape]:
    """Return every box of one photo, the important ones last and so on top.

    Args:
        photo: the photo.
        candidates: every box that was kept of it; None if they cannot be read any more.
        config: settings of the folder, as resolved.
        display_wh: width and height of the photo on the page, px.
    """
    record = photo.record
    taken = _taken_boxes(photo)
    boxes = [] if candidates is None else _other_boxes(record, candidates, config)[::-1]
    if record.box is not None:
        if record.best_box is not None and record.best_box != record.box:
            score = two_digits(record.best_score)
            boxes.append(DrawnBox("best", record.best_box, record.best_class, score, score))
        if record.crop_box is not None:
            boxes.append(DrawnBox("cut", record.crop_box))
    chosen = detected_boxes(record)
    known = _known_of_boxes(record)
    for box in chosen:
        if box not in taken:
            name, score = known.get(box, ("detector's choice", ""))
            is_labelled = box == record.box or len(chosen) <= _MAX_SCORES
            boxes.append(DrawnBox("chosen", box, name, score, score if is_labelled else ""))
    for box in taken:
        score = two_digits(record.score) if box == record.box and record.score is not None else ""
        boxes.append(
            DrawnBox("taken", box, record.class_name if score else "taken by a person", score, score)
        )
    ratio_wh = display_wh[0] / max(record.width, 1), display_wh[1] / max(record.height, 1)
    return [box.shape(ratio_wh, display_wh[0], _HALOS.get(box.kind, 0.0)) for box in boxes]


def _known_of_boxes(record: Record) -> dict[Edges, tuple[str, str]]:
    """Return (class, score in words) of the chosen box of each animal."""
    found: list[Animal | Record] = [
        *(record.detected.animals if record.detected else ()),
        *record.animals,
        record,
    ]
    return {
        each.box: (each.class_name, two_digits(each.score))
        for each in found
        if each.box is not None and each.score is not None
    }


def _taken_boxes(photo: AuditPhoto) -> Sequence[Edges]:
    """Return the boxes that a person took or drew, also those that are not applied yet."""
    said = photo.verdict
    if said is not None and said.verdict == "box":
        return said.boxes
    if photo.record.box is None or (said.verdict if said else photo.record.verdict) not in (
        "accepted",
        "box",
    ):
        return ()
    return photo.record.reviewed or (photo.record.box,)


def _other_boxes(record: Record, candidates: Detections, config: CropConfig) -> list[DrawnBox]:
    """Return all boxes but the chosen and the most confident: eligible ones first, by falling score."""
    wanted = wanted_mask(candidates, wanted_classes(config.classes))
    eligible = wanted & (candidates.scores >= np.float32(config.conf_of(candidates.found_by)))
    drawn = {(record.box, record.class_name), (record.best_box, record.best_class)}
    drawn |= {(animal.box, animal.class_name) for animal in record.animals}
    others: list[DrawnBox] = []
    for i in np.lexsort((-candidates.scores, ~eligible)):
        name, score = candidates.class_names[i], two_digits(float(candidates.scores[i]))
        xyxy = tuple(round(float(edge), BOX_DECIMALS) for edge in candidates.xyxy[i])
        if (xyxy, name) not in drawn:
            label = score if wanted[i] else f"{name[:16]} {score}"
            kind = "other" if eligible[i] else "weak"
            others.append(DrawnBox(kind, xyxy, name, score, label if len(others) < _MAX_SCORES else ""))
    return others
