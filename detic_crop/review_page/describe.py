"""What the review page shows of one photo: plain JSON values, and its pictures."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from detic_crop.boxes.choose import wanted_mask
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.geometry import Box
from detic_crop.detectors.vocabulary import wanted_classes
from detic_crop.folder.animals import main_crop
from detic_crop.folder.decisions import detected_box
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import candidates_of
from detic_crop.folder.records import Record
from detic_crop.folder.same_photo import is_same_photo
from detic_crop.folder.verdict_lines import VERDICTS, Verdict
from detic_crop.photos.location import NOWHERE, Location
from detic_crop.photos.photo import Photo
from detic_crop.report.html.thumbnails import photo_stamp, photo_thumbnail
from detic_crop.report.model import Audit
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.suspicion import FLAGS
from detic_crop.review_page.rows import photo_id
from detic_crop.system.memory_budget import MemoryBudget
from detic_crop.wording import utf8

# px, long side of a photo on the page; photos of 4 MP and more can be decoded at half their size.
PHOTO_SIDE = 1280
_PHOTO_QUALITY = 88
_CACHED_PHOTOS = 12
_MAX_LABELS = 12
_CONTENT_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


_START_AGAIN = "Start the review again with --in FOLDER, where the photos are now."
_BY_CROP = ("accepted", "rejected", "undone")
_TAKEN_BACK = ("undone",)


class Judgeable(NamedTuple):
    """Which verdicts a photo may get.

    Attributes:
        may: the allowed ones of `VERDICTS`.
        problem: why not all are allowed; else empty.
    """

    may: tuple[str, ...]
    problem: str


class Describer:
    """Reads what the page shows of a photo.

    Args:
        folder: the output folder.
        audit: what is known of its photos.
    """

    def __init__(self, folder: OutputFolder, audit: Audit) -> None:
        self._folder = folder
        self._config = audit.config
        self._columns = audit.labels.columns if audit.labels else []
        self._key_column = audit.labels.key_column if audit.labels else ""
        self._locations = audit.whereabouts.locations
        self._moved = audit.whereabouts.given
        self._wanted = wanted_classes(audit.config.classes)
        self._memory = MemoryBudget.of_machine()
        self._cached_jpeg = lru_cache(_CACHED_PHOTOS)(self._jpeg)

    def describe(self, photo: AuditPhoto, verdict: Verdict | None) -> dict[str, Any]:
        """Return everything the page says about one photo."""
        record = photo.record
        labels = zip(self._columns, photo.labels[0] if photo.labels else (), strict=False)
        return {
            "id": photo_id(record.image),
            "image": record.image,
            "status": record.status,
            "reason": record.reason,
            "error": record.error,
            "width": record.width,
            "height": record.height,
            "presence": record.presence,
            "suspicion": round(photo.doubts.suspicion, 4),
            "flags": [[flag.replace("_", " "), FLAGS[flag]] for flag in photo.doubts.flags],
            "labels": [pair for pair in labels if pair[0] != self._key_column][:_MAX_LABELS],
            "detected": detected_box(record),
            "candidates": self._candidates(record),
            "verdict": None if verdict is None else verdict_values(verdict),
            "applied": record.verdict,
            "photo": photo_stamp(record),
            "has_crop": self._has_crop(record),
            **self.judgeable(photo)._asdict(),
        }

    def judgeable(self, photo: AuditPhoto) -> Judgeable:
        """Return which verdicts a photo may get: nobody judges what cannot be seen."""
        record = photo.record
        if record.status == "failed":
            return Judgeable(_TAKEN_BACK, f"This photo failed ({record.reason}): {record.error}")
        now = self._photo_now(record)
        if now.size < 0:
            gone = "The photo is no longer where it was"
            if self._has_crop(record):
                # To accept means the detector's crop; after an applied verdict this is another one.
                may = _BY_CROP[record.verdict in ("box", "whole") :]
                return Judgeable(may, f"{gone}: only its crop can be judged. {_START_AGAIN}")
            return Judgeable(_TAKEN_BACK, f"{gone}, and its crop is not there either. {_START_AGAIN}")
        if not is_same_photo(record, now, self._moved):
            changed = "The photo has changed since the run; run the `run` command again, then review it."
            return Judgeable(_TAKEN_BACK, changed)
        return Judgeable(VERDICTS, "")

    def _has_crop(self, record: Record) -> bool:
        return any(self._folder.crops.size(place) is not None for place in _crop_places(self._folder, record))

    def _photo_now(self, record: Record) -> Photo:
        return Photo.at(record.image, self._locations.get(record.image, NOWHERE))

    def _candidates(self, record: Record) -> list[dict[str, Any]]:
        """Return all kept boxes: the detector's own, then eligible ones, then others, by falling score."""
        own = detected_box(record)
        found = candidates_of(record, self._folder.layout.candidates) or Detections.empty()
        eligible = wanted_mask(found, self._wanted) & (found.scores >= np.float32(self._config.conf or 0.0))
        edges = [found.edges(i) for i in range(len(found))]
        is_own = [edge == own for edge in edges]
        order = np.lexsort((-found.scores, ~eligible, ~np.array(is_own, bool)))
        return [
            {
                "box": edges[i],
                "score": found.score(i),
                "class": found.class_names[i],
                "eligible": bool(eligible[i]),
                "own": is_own[i],
            }
            for i in order
        ]

    # ------------------------------------------------------------ pictures

    def photo_jpeg(self, photo: AuditPhoto) -> bytes:
        """Return an upright JPEG of the photo without metadata, its long side at most `PHOTO_SIDE`.

        Raises:
            PhotoError: it cannot be decoded, or is another photo now.
            OSError: it cannot be read.
        """
        now = self._photo_now(photo.record)
        return self._cached_jpeg(photo.record, now.location, now.version)

    def _jpeg(self, record: Record, location: Location, version: int) -> bytes:
        return photo_thumbnail(record, location, PHOTO_SIDE, _PHOTO_QUALITY, self._memory)

    def crop_file(self, photo: AuditPhoto) -> tuple[bytes, str]:
        """Return the bytes of the crop file, and its content type.

        Raises:
            OSError: it does not exist, or its name leads out of the folder.
        """
        crop = main_crop(photo.record)
        for place in _crop_places(self._folder, photo.record):
            if self._folder.crops.size(place) is not None:
                return self._folder.crops.read(place), _CONTENT_TYPES[os.path.splitext(crop)[1].lower()]
        raise FileNotFoundError(crop)


def _crop_places(folder: OutputFolder, record: Record) -> tuple[str, ...]:
    """Return where the crop of a photo may be: `apply` moves rejected crops."""
    crop = main_crop(record)
    is_picture = os.path.splitext(crop)[1].lower() in _CONTENT_TYPES
    return (crop, folder.aside.find(replace(record, status="rejected"), crop)) if is_picture else ()


def verdict_values(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON values."""
    return {
        "verdict": verdict.verdict,
        "box": verdict.boxes[0] if verdict.boxes else None,
        "boxes": verdict.boxes,
        "note": utf8(verdict.note).decode(),
        "reviewer": utf8(verdict.reviewer).decode(),
        "time": verdict.time,
    }


def box_of(value: object, resolution_wh: tuple[int, int]) -> Box:
    """Return the box that the page sent, clipped to the photo.

    Raises:
        ValueError: it is not a box, or lies outside.
    """
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError("expected four numbers as the box")
    if not all(isinstance(edge, int | float) and not isinstance(edge, bool) for edge in value):
        raise ValueError("expected four numbers as the box")
    edges = np.array(value, np.float64)
    if not np.isfinite(edges).all():
        raise ValueError("expected four numbers as the box")
    width, height = resolution_wh
    left, top, right, bottom = (
        round(float(edge), 2) for edge in np.clip(edges, 0, [width, height, width, height])
    )
    if right - left < 1 or bottom - top < 1:
        raise ValueError(f"expected a box of at least 1 px inside {width}×{height} px")
    return left, top, right, bottom
