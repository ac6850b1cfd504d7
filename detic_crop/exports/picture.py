"""One picture of an export, a photo or a crop, and the boxes in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from detic_crop.boxes.crop_size import CropSize, Sides
from detic_crop.boxes.geometry import Box, PixelBox, area_of, clip
from detic_crop.folder.animals import of_animal
from detic_crop.folder.records import Animal, DetectorChoice, Record
from detic_crop.report.photos import AuditPhoto

UNNAMED_CLASS = "animal"
"""Class of a box that a person drew where the detector had found nothing."""

_MOSTLY_INSIDE = 0.25


class ExportedBox(NamedTuple):
    """A box in a picture.

    Attributes:
        xyxy: left, top, right, bottom in pixels of the picture as it is stored; inside it.
        class_name: never empty.
        score: of the detector; None where a person chose or drew the box.
    """

    xyxy: Box
    class_name: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of an export.

    Attributes:
        photo: the photo that it is, or is cut from.
        record: record of the photo; of a crop that of its animal, as if the photo had no other.
        name: key of the photo, or path of the crop below the output folder: with ``/``.
        crop: path of the crop; empty of a whole photo.
        sides: width and height, pixels.
        boxes: the boxes in it, from left to right.
        animal: number of the animal in its photo, of one of several crops, and of a photo by `each_animal`;
            else None.
    """

    photo: AuditPhoto
    record: Record
    name: str
    crop: str
    sides: Sides
    boxes: tuple[ExportedBox, ...]
    animal: int | None = None

    @property
    def key(self) -> str:
        """Key of the photo."""
        return self.record.image


def chosen_boxes(record: Record) -> tuple[ExportedBox, ...]:
    """Return the boxes that were chosen, by the detector or a person, in pixels of the photo."""
    sides = record.width, record.height
    chosen: Sequence[Record | Animal] = record.animals or (record,)
    by_person = record.verdict == "box"  # who may have picked one that the detector hardly believed in
    fallback = _class_of(record.detected) or UNNAMED_CLASS
    return tuple(
        ExportedBox(clip(one.box, sides), one.class_name or fallback, None if by_person else one.score)
        for one in chosen
        if one.box is not None
    )


def each_animal(picture: Picture) -> Iterator[Picture]:
    """Yield a picture for each animal in it, as if it showed no other; one that has no crop is left out.

    A photo of a run without ``--animals all``, and a crop, are of one animal and yielded as they are.
    """
    if picture.crop or not picture.record.animals:
        yield picture
        return
    for animal in picture.record.animals:
        if animal.crop_box is not None:
            record = of_animal(picture.record, animal)
            yield replace(picture, record=record, boxes=chosen_boxes(record), animal=animal.number)


def _class_of(detected: DetectorChoice | None) -> str:
    return "" if detected is None else detected.class_name


def in_crop(boxes: Sequence[ExportedBox], rectangle: PixelBox, size: CropSize) -> tuple[ExportedBox, ...]:
    """Return the boxes of a photo as they lie in a crop of it, clipped; those hardly in it are left out.

    Args:
        boxes: in pixels of the photo.
        rectangle: the pixels that became the crop.
        size: what became of them.
    """
    found = []
    for box in boxes:
        placed = placed_in_crop(box.xyxy, rectangle, size)
        inside = clip(placed, size.canvas(_sides(rectangle)))
        if area_of(inside) >= _MOSTLY_INSIDE * area_of(placed) > 0:
            found.append(box._replace(xyxy=inside))
    return tuple(found)


def placed_in_crop(xyxy: Sequence[float], rectangle: PixelBox, size: CropSize) -> Box:
    """Return a box of a photo in pixels of a crop of it; may reach outside.

    Args:
        xyxy: left, top, right, bottom in pixels of the upright photo.
        rectangle: the pixels that became the crop.
        size: what became of them: with ``pad`` the picture lies in the middle of its canvas.
    """
    sides = _sides(rectangle)
    picture, canvas = size.picture(sides), size.canvas(sides)
    left, top = ((outer - inner) // 2 for outer, inner in zip(canvas, picture, strict=True))
    across, down = (inner / side for inner, side in zip(picture, sides, strict=True))
    return (
        left + (xyxy[0] - rectangle[0]) * across,
        top + (xyxy[1] - rectangle[1]) * down,
        left + (xyxy[2] - rectangle[0]) * across,
        top + (xyxy[3] - rectangle[1]) * down,
    )


def scaled(boxes: Sequence[ExportedBox], before: Sides, now: Sides) -> tuple[ExportedBox, ...]:
    """Return boxes in pixels of a picture that was resized."""
    across, down = now[0] / before[0], now[1] / before[1]
    return tuple(
        box._replace(
            xyxy=(box.xyxy[0] * across, box.xyxy[1] * down, box.xyxy[2] * across, box.xyxy[3] * down)
        )
        for box in boxes
    )


def _sides(rectangle: PixelBox) -> Sides:
    return rectangle[2] - rectangle[0], rectangle[3] - rectangle[1]
