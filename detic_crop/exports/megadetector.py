"""MegaDetector's JSON, format 1.6: boxes in shares of the photo, for programs for camera traps.

Every box is an ``animal``, the category that such programs go by; its class is its classification. The class
of another thing than an animal, with ``--boxes all``, is a category of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.detectors.boxes_file.megadetector import CLASSES_ARE_CLASSIFICATIONS, THRESHOLD
from detic_crop.detectors.vocabulary import wanted_classes
from detic_crop.exports.base import Of, Pictures
from detic_crop.exports.detection import BoxExport, edges_of, program
from detic_crop.exports.job import Job
from detic_crop.exports.picture import UNNAMED_CLASS, ExportedBox, Picture

FILE = "megadetector.json"
_ANIMAL = "1"
_FIRST_OTHER = 4  # 2 and 3 are MegaDetector's person and vehicle
_DECIMALS = 9


class MegaDetector(BoxExport):
    """One JSON, with photos that failed, and with the paths below the folder of the photos."""

    of: ClassVar[tuple[Of, ...]] = ("photos",)
    takes = frozenset({"boxes", "label"})
    pictures: ClassVar[Pictures] = "none"
    failed = True

    def write(self, job: Job) -> None:
        """Write the photos, one by one."""
        classes = _Classes(job, self.classes(job))
        failed = 0
        with job.target.text(FILE) as file:
            file.write(json.dumps(_head(job, classes))[:-1] + ',\n"images": [')
            for number, picture in enumerate(job.each(f"writing {FILE}")):
                failed += picture.record.status == "failed"
                file.write((",\n" if number else "\n") + json.dumps(_image(job, picture, classes)))
            file.write("\n]\n}\n")
        if failed:
            job.notes.append(f"photos that could not be read, in the JSON with their `failure`: {failed:,}")


class _Classes:
    """Categories of detections and of classifications.

    Args:
        job: the export.
        places: class → its place.
    """

    def __init__(self, job: Job, places: Mapping[str, int]) -> None:
        animals = None if job.label_column else wanted_classes(job.config.classes)
        others = [
            name
            for name in places
            if animals is not None and name not in (*animals, UNKNOWN_CLASS, UNNAMED_CLASS)
        ]
        self._other = {name: str(number) for number, name in enumerate(others, _FIRST_OTHER)}
        named = [name for name in places if name not in self._other and name != UNNAMED_CLASS]
        self._of_animal = {name: str(number) for number, name in enumerate(named)}

    @property
    def detections(self) -> dict[str, str]:
        """Id of each category of detections → its name."""
        return {_ANIMAL: "animal", **{number: name for name, number in self._other.items()}}

    @property
    def classifications(self) -> dict[str, str]:
        """Id of each category of classifications → its name."""
        return {number: name for name, number in self._of_animal.items()}

    def detection(self, label: str) -> str:
        """Return the category of a box of a class."""
        return self._other.get(label, _ANIMAL)

    def classification(self, label: str) -> str | None:
        """Return the classification of a box of a class; None if its category says it all."""
        return self._of_animal.get(label)


def _head(job: Job, classes: _Classes) -> dict[str, Any]:
    conf = job.config.conf
    info: dict[str, Any] = {
        "format_version": "1.6",
        "detector": job.config.model,
        "detector_metadata": {} if conf is None else {THRESHOLD: conf},
        "contributor": program(),
        CLASSES_ARE_CLASSIFICATIONS: True,
    }
    return {
        "info": info,
        "detection_categories": classes.detections,
        "classification_categories": classes.classifications,
    }


def _image(job: Job, picture: Picture, classes: _Classes) -> dict[str, Any]:
    record = picture.record
    if record.status == "failed":
        return {"file": picture.name, "failure": record.reason or "failed", "detections": None}
    boxes = [_detection(job, picture, box, classes) for box in picture.boxes]
    return {"file": picture.name, "detections": boxes}


def _detection(job: Job, picture: Picture, box: ExportedBox, classes: _Classes) -> dict[str, Any]:
    width, height = picture.sides
    left, top, right, bottom = edges_of(box, picture.sides)
    label = job.class_of(picture, box)
    conf = 1.0 if box.score is None else float(box.score)
    shares = (left / width, top / height, (right - left) / width, (bottom - top) / height)
    found: dict[str, Any] = {
        "category": classes.detection(label),
        "conf": conf,
        "bbox": [round(share, _DECIMALS) for share in shares],
    }
    classification = classes.classification(label)
    if classification is not None:
        found["classifications"] = [[classification, 1.0 if job.label_column else conf]]
    return found
