"""Boxes beside the photos, a row each, in the dialects that notebooks of the Happywhale competition read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from detic_crop.boxes.geometry import PixelBox, round_out, whole
from detic_crop.detectors.boxes_file.csv_table import PHOTO_SIZE_COLUMNS, SCORE_COLUMNS
from detic_crop.exports.base import Export, Of, Pictures
from detic_crop.exports.job import Job
from detic_crop.exports.label_rows import LabelRows
from detic_crop.exports.picture import ExportedBox, Picture

_EXACT = "box_xyxy"
"""Our own reader takes this column before ``bbox``, whose whole pixels would give crops a pixel off."""

_OURS = ("bbox", _EXACT, "class_name", "conf", "height", "image_id", "width")
_READ = {*_OURS, *SCORE_COLUMNS, *(name for names in PHOTO_SIZE_COLUMNS for name in names)}
"""Names that our own reader would take for ours."""

_FILES = {"boxes-fullbody": "fullbody_{}.csv", "boxes-yolo": "yolov5_{}.csv"}


class BoxTable(Export):
    """A table in which each photo has a box: where none was found the whole photo, with the score 0."""

    of: ClassVar[tuple[Of, ...]] = ("photos",)
    takes = frozenset({"boxes", "part", "test"})
    pictures: ClassVar[Pictures] = "none"
    negatives = True

    def write(self, job: Job) -> None:
        """Write the table, its columns in the order of their names."""
        rows = LabelRows(job, _READ)
        columns = sorted([*_OURS, *rows.columns])
        separator = " " if self.name == "boxes-fullbody" else ", "

        def cells() -> Iterator[list[str]]:
            yield columns
            for picture in job.each("writing boxes"):
                ours = _cells(picture, separator)
                for row in rows.of(picture):
                    found = row | ours | {"image_id": row["image"]}
                    yield [found[column] for column in columns]

        job.target.table(_FILES[self.name].format(job.asked.part or "train"), cells())
        job.notes += rows.note


def _cells(picture: Picture, separator: str) -> dict[str, str]:
    """Return the cells of a photo.

    Args:
        picture: the photo.
        separator: between two numbers; a blank alone makes them as wide as each other, as NumPy prints them.
    """
    boxes = picture.boxes or (ExportedBox(whole(picture.sides), "", 0.0),)
    pixels = [round_out(box.xyxy, picture.sides) for box in boxes]
    scores = [1.0 if box.score is None else box.score for box in boxes]
    return {
        "bbox": f"[{separator.join(f'[{separator.join(texts)}]' for texts in _texts(pixels, separator))}]",
        _EXACT: _exact(boxes),
        "class_name": _classes(boxes),
        "conf": f"[{separator.join(f'{score:.6}' for score in scores)}]",
        "width": str(picture.sides[0]),
        "height": str(picture.sides[1]),
    }


def _texts(boxes: Sequence[PixelBox], separator: str) -> list[list[str]]:
    width = max(len(str(edge)) for box in boxes for edge in box) if separator == " " else 0
    return [[str(edge).rjust(width) for edge in box] for box in boxes]


def _exact(boxes: Sequence[ExportedBox]) -> str:
    texts = [" ".join(f"{edge:.10g}" for edge in box.xyxy) for box in boxes]
    return texts[0] if len(texts) == 1 else f"[{' '.join(f'[{text}]' for text in texts)}]"


def _classes(boxes: Sequence[ExportedBox]) -> str:
    """Return the class of the box, or those of several, as our own reader takes them."""
    names = [box.class_name for box in boxes]
    return names[0] if len(names) == 1 else ";".join(name.replace(";", ",") for name in names)
