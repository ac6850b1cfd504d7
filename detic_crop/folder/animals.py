"""The animals of a photo, with ``--animals all``: from boxes to animals, from animals to crops and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from detic_crop.boxes.geometry import Box, area_of, rectangle_of, whole
from detic_crop.config import CropConfig
from detic_crop.folder.crop_paths import numbered
from detic_crop.folder.records import Animal, DetectorChoice, Record, names_of

_OF_BOTH = Animal.__struct_fields__[2:]
"""Fields of an animal that its photo has of the largest one."""


def numbered_animals(
    found: Sequence[Mapping[str, Any]], config: CropConfig, resolution_wh: tuple[int, int]
) -> tuple[Animal, ...]:
    """Return the animals of a photo, each with the rectangle to cut out, if it is to have a crop.

    Args:
        found: fields of each, with its box, from left to right.
        config: the settings as resolved.
        resolution_wh: width and height of the upright photo, in pixels.
    """
    animals = []
    for number, fields in enumerate(found, start=1):
        rectangle = rectangle_of(fields["box"], config, resolution_wh)
        reason = "too_small" if rectangle is None else ""
        animals.append(Animal(number, reason, **fields, crop_box=rectangle))
    if not found and (rectangle := rectangle_of(None, config, resolution_wh)) is not None:
        animals.append(whole_photo(resolution_wh))
    return tuple(animals)


def whole_photo(resolution_wh: tuple[int, int]) -> Animal:
    """Return what stands for the animals of a photo that is resized as a whole."""
    return Animal(0, crop_box=whole(resolution_wh))


def with_animals(record: Record, animals: Sequence[Animal]) -> Record:
    """Return the record of a photo with its animals, and the fields of the largest one that has a crop."""
    if not animals:
        return replace(record, animals=())
    largest = animals[_largest(animals)]
    return replace(record, animals=tuple(animals), **{name: getattr(largest, name) for name in _OF_BOTH})


def _largest(animals: Sequence[Animal]) -> int:
    """Return the place of the largest animal of those with a crop, or that are to have one; else of all."""

    def rank(place: int) -> tuple[bool, float]:
        animal = animals[place]
        return animal.crop_box is not None, 0.0 if animal.box is None else area_of(animal.box)

    return max(range(len(animals)), key=rank)


def of_animal(record: Record, animal: Animal) -> Record:
    """Return the record of one animal, as if its photo had no other; `n_apart` tells how many there are."""
    fields = {name: getattr(animal, name) for name in _OF_BOTH}
    if animal.reason and record.status != "rejected":
        fields |= {"status": "skipped", "reason": animal.reason}
    return replace(record, **fields, n_apart=max(0, len(record.animals) - 1), animals=(animal,))


class Crop(NamedTuple):
    """A crop of a photo.

    Attributes:
        name: its path below the output folder; of a rejected one where it was.
        record: record of its photo, or of its animal as if the photo had no other.
    """

    name: str
    record: Record


def crops_of(record: Record) -> tuple[Crop, ...]:
    """Return the crops of a photo, or those that are to be made, in the order of its animals."""
    if not record.crop or (record.crop_box is None and not record.crop_bytes):
        return ()
    if not record.animals:
        return (Crop(record.crop, record),)
    return tuple(
        Crop(numbered(record.crop, animal.number), of_animal(record, animal))
        for animal in record.animals
        if animal.crop_box is not None
    )


def with_crops(record: Record, made: Sequence[Mapping[str, Any]]) -> Record:
    """Return the record of a photo whose crops were made.

    Args:
        record: the record so far.
        made: of each of `crops_of` the fields that were measured on it.
    """
    if not made:
        return record
    if not record.animals:
        return replace(record, **made[0])
    fields = iter(made)
    animals = tuple(
        animal if animal.crop_box is None else replace(animal, **next(fields)) for animal in record.animals
    )
    largest = animals[_largest(animals)]
    return replace(record, animals=animals, **{name: getattr(largest, name) for name in made[0]})


def main_crop(record: Record) -> str:
    """Return the path of the crop that stands for a photo: of its largest animal; empty if there is none."""
    if not record.animals:
        return "".join(names_of(record))
    largest = record.animals[_largest(record.animals)]
    return numbered(record.crop, largest.number) if largest.crop_bytes else ""


def boxes_of(record: Record | DetectorChoice) -> tuple[Box, ...]:
    """Return the chosen boxes of a photo, from left to right."""
    boxes = [animal.box for animal in record.animals] if record.animals else [record.box]
    return tuple(box for box in boxes if box is not None)
