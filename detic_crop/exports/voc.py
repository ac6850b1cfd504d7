"""Pascal VOC data sets: `JPEGImages`, an XML for each picture in `Annotations`, lists in `ImageSets/Main`.

Edges are whole pixels, counted from 1, of which the last belongs to the box. Scores stand in an element of
their own, `score`, which readers of VOC pass over.
"""

from __future__ import annotations

import math
import os
from contextlib import ExitStack
from xml.sax.saxutils import escape

from detic_crop.boxes.crop_size import Sides
from detic_crop.exports.detection import Parts, TrainingExport, edges_of, program, stems, writable
from detic_crop.exports.job import Job
from detic_crop.exports.picture import ExportedBox, Picture

FOLDER = "JPEGImages"
_LISTS = "ImageSets/Main"


class Voc(TrainingExport):
    """An XML for each picture. Readers append ``.jpg`` to its name, so all pictures are JPEG."""

    accepts = ("JPEG",)

    def write(self, job: Job) -> None:
        """Write the pictures, their XML files, and the lists."""
        self.classes(job)
        stem_of = stems(job, self.accepts)

        def file_name(picture: Picture) -> str:
            if job.has_files:
                return f"{stem_of(picture)}.jpg"
            return stem_of(picture) + os.path.splitext(picture.name)[1]

        job.place_all(lambda picture: f"{FOLDER}/{file_name(picture)}")
        parts = Parts(job)
        lists = _lists_of(parts)
        with ExitStack() as stack:
            files = {name: stack.enter_context(job.target.text(f"{_LISTS}/{name}.txt")) for name in lists}
            for picture in job.each("writing annotations"):
                stem = stem_of(picture)
                text = _annotation(job, picture, file_name(picture))
                job.target.put(text.encode(), f"Annotations/{stem}.xml")
                of_picture = set(parts.of(picture))
                for name, of in lists.items():
                    if not of or of_picture & set(of):
                        files[name].write(f"{stem}\n")
        self.note_unconfirmed(job)
        job.notes.append("edges are whole pixels, as VOC has them: they differ by up to half a pixel")


def _lists_of(parts: Parts) -> dict[str, list[str]]:
    """Return name of a list → the parts that are in it."""
    if not parts.folds:
        return {"trainval": [], "train": []}  # all
    first = parts.folds[0]
    train, val = f"train_fold{first}", f"val_fold{first}"
    return {
        "trainval": [train, val],
        "train": [train],
        "val": [val],
        **{name: [name] for name in parts.names},
    }


def _annotation(job: Job, picture: Picture, name: str) -> str:
    width, height = picture.sides
    lines = [
        "<annotation>",
        f"  <folder>{FOLDER}</folder>",
        f"  <filename>{_text(name)}</filename>",
        f"  <source><database>{_text(f'{program()}, {job.config.model}')}</database></source>",
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
        "  <segmented>0</segmented>",
        *(_object(box, job.class_of(picture, box), picture.sides) for box in picture.boxes),
        "</annotation>",
    ]
    return "\n".join(lines) + "\n"


def _object(box: ExportedBox, label: str, sides: Sides) -> str:
    left, top, right, bottom = edges_of(box, sides)
    xmin, xmax = _whole(left, right, sides[0])
    ymin, ymax = _whole(top, bottom, sides[1])
    score = "" if box.score is None else f"<score>{box.score}</score>"
    return (
        f"  <object><name>{_text(label)}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>0</difficult>{score}"
        f"<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>"
        "</object>"
    )


def _whole(low: float, high: float, side: int) -> tuple[int, int]:
    """Return the first and the last pixel between two edges, counted from 1."""
    first, last = round(low) + 1, round(high)
    if first <= last:
        return first, last
    only = min(math.floor(low) + 1, side)
    return only, only


def _text(text: str) -> str:
    return escape(writable(text))
