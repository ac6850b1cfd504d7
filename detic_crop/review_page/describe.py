"""What the review page shows of one photo: plain JSON values, and its pictures."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from detic_crop.boxes.choose import wanted_mask
from detic_crop.boxes.detections import Detections
from detic_crop.detectors.vocabulary import wanted_classes
from detic_crop.folder.animals import main_crop
from detic_crop.folder.crop_paths import numbered
from detic_crop.folder.decisions import detected_boxes
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import candidates_of
from detic_crop.folder.records import Record
from detic_crop.folder.same_photo import is_same_photo
from detic_crop.folder.verdict_lines import VERDICTS, Verdict
from detic_crop.photos.location import NOWHERE, Location
from detic_crop.photos.photo import Photo
from detic_crop.report.html.thumbnails import crop_stamp, crop_thumbnail, photo_stamp, photo_thumbnail
from detic_crop.report.model import Audit
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.reasons import reasons_for
from detic_crop.report.suspicion import FLAGS
from detic_crop.review_page.cutouts import DecodedPhotos, Tile
from detic_crop.review_page.rows import photo_id
from detic_crop.system.memory_budget import MemoryBudget
from detic_crop.wording import utf8

# px, long side of a photo on the page; photos of 4 MP and more can be decoded at half their size.
PHOTO_SIDE = 1280
_PHOTO_QUALITY = 88
CROP_SIDE = 512  # px, long side of a crop among many: two screen pixels for each of a card's
_CACHED_PHOTOS = 12
_MAX_LABELS = 12
_CONTENT_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


GONE = "The photo is no longer where it was"
START_AGAIN = "Start the review again with --in FOLDER, where the photos are now."
_WITHOUT_CROP = {
    "not_found": "no crop: no animal was found",
    "not_listed": "no crop: the boxes file does not name the photo",
    "too_small": "no crop: the animal is smaller than --min-side",
}
_BY_DETECTORS_CROP = ("accepted", "unsure", "rejected", "undone")
_BY_OTHER_CROP = ("rejected", "undone")
TAKEN_BACK = ("undone",)
"""All that may be said of a photo that cannot be seen."""


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

    Attributes:
        is_blind: whether what others said and what the detector thought of it is left out.
    """

    is_blind: bool = False

    def __init__(self, folder: OutputFolder, audit: Audit) -> None:
        self._folder = folder
        self._config = audit.config
        self._columns = audit.labels.columns if audit.labels else []
        self._key_column = audit.labels.key_column if audit.labels else ""
        self._locations = audit.whereabouts.locations
        self._standing = audit.photos.standing
        self._moved = audit.whereabouts.given
        self._wanted = wanted_classes(audit.config.classes)
        self._memory = MemoryBudget.of_machine()
        self._decoded = DecodedPhotos(self._memory)
        self._cached_jpeg = lru_cache(_CACHED_PHOTOS)(self._jpeg)

    def describe(self, photo: AuditPhoto, last: Verdict | None) -> dict[str, Any]:
        """Return everything the page says about one photo.

        Args:
            photo: the photo.
            last: the last word on it, or None.
        """
        record = photo.record
        return {
            "id": photo_id(record.image),
            "image": record.image,
            "status": record.status,
            "reason": record.reason,
            "error": record.error,
            "width": record.width,
            "height": record.height,
            "presence": record.presence,
            "found_by": record.found_by,
            "suspicion": round(photo.doubts.suspicion, 4),
            "reasons": self._reasons(photo),
            "flags": [[flag.replace("_", " "), FLAGS[flag]] for flag in photo.doubts.flags],
            "labels": self.label_cells(photo),
            "detected": detected_boxes(record),
            "candidates": self._candidates(record),
            **last_word(last),
            "applied": record.verdict,
            "photo": photo_stamp(record),
            "has_crop": self._has_crop(record),
            "crops": self._crops(record),
            **self.judgeable(photo)._asdict(),
        }

    def judgeable(self, photo: AuditPhoto) -> Judgeable:
        """Return which verdicts a photo may get: nobody judges what cannot be seen."""
        record = photo.record
        if record.status == "failed":
            return Judgeable(TAKEN_BACK, f"This photo failed ({record.reason}): {record.error}")
        now = self._photo_now(record)
        if now.size < 0:
            return self._judgeable_by_crop(record)
        if not is_same_photo(record, now, self._moved):
            changed = "The photo has changed since the run; run the `run` command again, then review it."
            return Judgeable(TAKEN_BACK, changed)
        return Judgeable(VERDICTS, "")

    def _judgeable_by_crop(self, record: Record) -> Judgeable:
        """Return which verdicts a photo may get that is gone."""
        if self._has_crop(record):
            # To accept means the detector's crop; after an applied verdict this is another one.
            may = _BY_OTHER_CROP if record.verdict in ("box", "whole") else _BY_DETECTORS_CROP
            return Judgeable(may, f"{GONE}: only its crop can be judged. {START_AGAIN}")
        return Judgeable(TAKEN_BACK, f"{GONE}, and its crop is not there either. {START_AGAIN}")

    def judgeable_by_crop(self, photo: AuditPhoto) -> Judgeable:
        """Return which verdicts a photo may get from whoever sees its crops and nothing else."""
        record = photo.record
        by_photo = self.judgeable(photo)
        if "accepted" not in by_photo.may:
            return by_photo
        if not self._has_crop(record):
            return Judgeable(TAKEN_BACK, _WITHOUT_CROP.get(record.reason, "its crop is not there"))
        if record.verdict in ("box", "whole"):
            return Judgeable(TAKEN_BACK, "its crop is no longer the detector's; open it to judge it")
        return Judgeable(("accepted", "undone"), "")

    def crop_numbers(self, photo: AuditPhoto) -> list[int]:
        """Return the number of each animal whose crop is there; 0 for the one crop of a photo."""
        if photo.record.animals:
            return [crop["number"] for crop in self._crops(photo.record)]
        return [0] if self._has_crop(photo.record) else []

    def label_cells(self, photo: AuditPhoto) -> list[tuple[str, str]]:
        """Return label column and cell of a photo's first label row, without the column of its name."""
        labels = zip(self._columns, photo.labels[0] if photo.labels else (), strict=False)
        return [pair for pair in labels if pair[0] != self._key_column][:_MAX_LABELS]

    def crop_version(self, photo: AuditPhoto) -> str:
        """Return a text that differs between the crops that a photo has had."""
        place = self._place_of(photo.record, main_crop(photo.record))
        size = None if place is None else self._folder.crops.size(place)
        return f"{crop_stamp(photo.record)}-{size}"

    def crop_jpeg(self, photo: AuditPhoto, number: int) -> bytes:
        """Return a JPEG of a crop without metadata, its long side at most `CROP_SIDE`.

        Args:
            photo: the photo.
            number: one of `crop_numbers`.

        Raises:
            PhotoError: it cannot be decoded.
            OSError: it does not exist.
        """
        data, _ = self.crop_file(photo, number or None)
        return crop_thumbnail(data, photo.record.crop, CROP_SIDE, _PHOTO_QUALITY, self._memory)

    def _has_crop(self, record: Record) -> bool:
        return self._place_of(record, main_crop(record)) is not None

    def _crops(self, record: Record) -> list[dict[str, Any]]:
        """Return number and box of each animal whose crop is there; none without ``--animals all``."""
        return [
            {"number": animal.number, "box": animal.box}
            for animal in record.animals
            if animal.crop_bytes and self._place_of(record, numbered(record.crop, animal.number)) is not None
        ]

    def _place_of(self, record: Record, crop: str) -> str | None:
        """Return where a crop of a photo is; `apply` moves rejected ones."""
        if os.path.splitext(crop)[1].lower() not in _CONTENT_TYPES:
            return None
        aside = self._folder.aside.find(replace(record, status="rejected"), crop)
        return next((place for place in (crop, aside) if self._folder.crops.size(place) is not None), None)

    def _photo_now(self, record: Record) -> Photo:
        return Photo.at(record.image, self._locations.get(record.image, NOWHERE))

    def _reasons(self, photo: AuditPhoto) -> list[str]:
        """Return why the photo deserves a look, in words with numbers."""
        record = photo.record
        found = candidates_of(record, self._folder.layout.candidates)
        return reasons_for(photo, self._config, self._standing(record.image), found)

    def _candidates(self, record: Record) -> list[dict[str, Any]]:
        """Return all kept boxes: the detector's own, then eligible ones, then others, by falling score."""
        own = detected_boxes(record)
        found = candidates_of(record, self._folder.layout.candidates) or Detections.empty()
        conf = self._config.conf_of(found.found_by)
        eligible = wanted_mask(found, self._wanted) & (found.scores >= np.float32(conf))
        edges = [found.edges(i) for i in range(len(found))]
        is_own = [edge in own for edge in edges]
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

    def forget(self) -> None:
        """Drop the pictures and pixels that are kept."""
        self._decoded.forget()
        self._cached_jpeg.cache_clear()

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

    def tile_jpeg(self, photo: AuditPhoto, tile: Tile) -> bytes:
        """Return a part of the photo in full resolution, upright and without metadata.

        Raises:
            PhotoError: it cannot be decoded, or is another photo now.
            OSError: it cannot be read.
            ValueError: the tile lies outside the photo.
        """
        record = photo.record
        tile.region((record.width, record.height))  # nothing is decoded for a tile that is not there
        now = self._photo_now(record)
        return tile.jpeg(self._decoded.pixels(record, now.location, now.version))

    def crop_file(self, photo: AuditPhoto, number: int | None) -> tuple[bytes, str]:
        """Return the bytes of a crop file, and its content type.

        Args:
            photo: the photo.
            number: number of the animal, with ``--animals all``; None: of the largest one.

        Raises:
            OSError: it does not exist, or its name leads out of the folder.
        """
        record = photo.record
        crop = main_crop(record)
        if number is not None:
            has_one = any(animal.number == number for animal in record.animals)
            crop = numbered(record.crop, number) if has_one else ""
        place = self._place_of(record, crop)
        if place is None:
            raise FileNotFoundError(crop)
        return self._folder.crops.read(place), _CONTENT_TYPES[os.path.splitext(crop)[1].lower()]


def last_word(last: Verdict | None) -> dict[str, Any]:
    """Return the last word on a photo as JSON values: its verdict, its note and its viewpoint."""
    return {
        "verdict": None if last is None or last.verdict == "undone" else _verdict_values(last),
        "note": "" if last is None else utf8(last.note).decode(),
        "viewpoint": "" if last is None else last.viewpoint,
    }


def _verdict_values(verdict: Verdict) -> dict[str, Any]:
    return {
        "verdict": verdict.verdict,
        "boxes": verdict.boxes,
        "reviewer": utf8(verdict.reviewer).decode(),
        "time": verdict.time,
    }
