"""Crops side by side, to be looked at: which ones, and what there is to say below each."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from detic_crop.folder.animals import crops_of, main_crop
from detic_crop.folder.crop_paths import numbered
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.records import Record
from detic_crop.report.html.overview import VERDICTS
from detic_crop.report.html.thumbnails import crop_picture
from detic_crop.report.model import Audit
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.suspicion import Doubts
from detic_crop.system.memory_budget import MemoryBudget


@dataclass(frozen=True, slots=True)
class SheetCrop:
    """A crop on a sheet.

    Attributes:
        name: key of the photo, with the number of the animal where each has a crop.
        crop: path of the crop below the output folder.
        found: class and score, and what a reviewer said, in words.
        flags: what is doubtful.
        suspicion: how much it deserves a look, 0 to 1.
        jpeg: thumbnail, None without one.
        trouble: why there is no thumbnail; else empty.
    """

    name: str
    crop: str
    found: str
    flags: tuple[str, ...]
    suspicion: float
    jpeg: bytes | None = None
    trouble: str = ""


class MostSuspicious:
    """The most suspicious of the photos that are added, by `AuditPhoto.rank`; the others are not kept.

    Args:
        most: number of photos to keep.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._added = 0
        self._kept: list[tuple[bool, float, int, AuditPhoto]] = []  # a heap: the least suspicious first

    def add(self, photo: AuditPhoto) -> None:
        """Add a photo; of equal ones the earlier is kept."""
        self._added += 1
        judged, negative = photo.rank
        entry = (not judged, -negative, -self._added, photo)
        if len(self._kept) < self._most:
            heapq.heappush(self._kept, entry)
        else:
            heapq.heappushpop(self._kept, entry)

    @property
    def photos(self) -> list[AuditPhoto]:
        """The photos, most suspicious first."""
        return [photo for *_, photo in sorted(self._kept, key=lambda entry: entry[:3], reverse=True)]


def crops_to_show(photos: Sequence[AuditPhoto], audit: Audit, most: int) -> list[SheetCrop]:
    """Return the crops of some photos, in their order; of one photo the most suspicious first.

    Args:
        photos: photos that have crops.
        audit: what they are from.
        most: number of crops to return.
    """
    crops = (crop for photo in photos for crop in _crops_of(photo, audit))
    return [crop for _, crop in zip(range(most), crops, strict=False)]


def _crops_of(photo: AuditPhoto, audit: Audit) -> Iterator[SheetCrop]:
    record = photo.record
    said = "" if photo.verdict is None else VERDICTS.get(photo.verdict.verdict, photo.verdict.verdict)
    if not record.animals:
        yield _crop(record.image, main_crop(record), record, photo.doubts, said)
        return
    numbers = (animal.number for animal in record.animals)
    doubts = dict(zip(numbers, audit.photos.doubts_of_animals(record), strict=True))
    crops = [(crop, doubts[crop.record.animals[0].number]) for crop in crops_of(record)]
    for crop, doubt in sorted(crops, key=lambda pair: -pair[1].suspicion):
        number = crop.record.animals[0].number
        name = numbered(record.image, number) if number else record.image
        yield _crop(name, crop.name, crop.record, doubt, said)


def _crop(name: str, crop: str, record: Record, doubts: Doubts, said: str) -> SheetCrop:
    if record.box is None:
        found = "whole photo"
    elif record.score is None:
        found = record.class_name or "drawn box"
    else:
        found = f"{record.class_name} {record.score:.2f}"
    found = f"{found}, reviewed: {said}" if said else found
    return SheetCrop(name, crop, found, tuple(doubts.flags), doubts.suspicion)


def with_pictures(crops: Sequence[SheetCrop], folder: OutputFolder, memory: MemoryBudget) -> list[SheetCrop]:
    """Return the crops with their thumbnails; one that cannot be read says why it has none.

    Args:
        crops: crops of the folder.
        folder: the output folder.
        memory: where memory for a crop is borrowed.
    """
    shown = []
    for crop in crops:
        jpeg, trouble = crop_picture(partial(folder.crops.read, crop.crop), crop.crop, memory)
        shown.append(replace(crop, jpeg=jpeg, trouble=trouble))
    return shown
