"""The photos most worth a look: which they are, and an entry of pictures, boxes and numbers for each."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from markupsafe import Markup

from detic_crop.folder.animals import main_crop
from detic_crop.folder.records import Record
from detic_crop.photos.location import NOWHERE
from detic_crop.report.html.earlier import EarlierPictures
from detic_crop.report.html.overlay import overlay
from detic_crop.report.html.overview import VERDICTS, Tally
from detic_crop.report.html.rendering import environment
from detic_crop.report.html.sources import Sources
from detic_crop.report.html.thumbnails import PHOTO_SIDE, Pictures, crop_stamp, photo_stamp, pictures_of
from detic_crop.report.model import Audit, crop_link
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.reasons import reasons_for
from detic_crop.report.suspicion import area_fraction
from detic_crop.system.leaving import end_pool
from detic_crop.wording import utf8

_MAX_PHOTOS = 300
_MAX_NOT_FOUND = 100  # of these photos, unless there are too few crops to fill the rest
_MAX_LABELS = 12  # label columns shown with a photo
_RESERVED_BYTES = 20_000  # headings, legend and filter
_THREADS = 4  # photos read at once


@dataclass(frozen=True, slots=True)
class Gallery:
    """Photos of one kind, the most suspicious first.

    Attributes:
        anchor: id of the section.
        title: heading of the gallery.
        n_photos: number of photos of this kind in the run.
        entries: HTML of each photo that is shown.
        flag_counts: flag → number of shown photos that have it, if they can be filtered by flag.
        anchors: ids of the entries.
    """

    anchor: str
    title: str
    n_photos: int
    entries: Sequence[Markup]
    flag_counts: Counter[str]
    anchors: frozenset[str]


def make_galleries(sources: Sources, tally: Tally, max_bytes: int) -> list[Gallery]:
    """Return the crops, and the photos in which no animal was found, as far as they fit.

    Args:
        sources: what the entries are made from.
        tally: where the photos of each kind are.
        max_bytes: size limit of all galleries; the least suspicious photos are left out to keep to it.
    """
    places = (tally.crops, tally.not_found, tally.not_listed)
    crops, not_found, not_listed = (
        sources.audit.photos.most_suspicious(np.array(some, np.intp), _MAX_PHOTOS) for some in places
    )
    shown = _most_suspicious(crops, [*not_found, *not_listed])
    entries = _entries(sources, shown, max_bytes - _RESERVED_BYTES)
    flags = Counter(flag for p in crops if p.record.image in entries for flag in p.doubts.flags)
    kinds = (
        ("crops", "Most suspicious crops", crops, flags),
        ("not-found", "No animal found", not_found, Counter[str]()),
        ("not-listed", "Not in the boxes file", not_listed, Counter[str]()),
    )
    galleries = []
    for (anchor, title, photos, flag_counts), some in zip(kinds, places, strict=True):
        of_kind = [photo for photo in photos if photo.record.image in entries]
        if of_kind:
            its_entries = [entries[photo.record.image] for photo in of_kind]
            anchors = frozenset(photo.anchor for photo in of_kind)
            galleries.append(Gallery(anchor, title, len(some), its_entries, flag_counts, anchors))
    return galleries


def _most_suspicious(crops: Sequence[AuditPhoto], not_found: Sequence[AuditPhoto]) -> list[AuditPhoto]:
    """Return at most `_MAX_PHOTOS`; where one kind is rare, the other takes its places.

    Both kinds are mixed in proportion, so that a page that must end early has some of each.
    """
    n_not_found = min(len(not_found), max(_MAX_NOT_FOUND, _MAX_PHOTOS - len(crops)), _MAX_PHOTOS)
    parts = crops[: _MAX_PHOTOS - n_not_found], not_found[:n_not_found]
    ranked = [((i + 0.5) / len(part), photo) for part in parts for i, photo in enumerate(part)]
    return [photo for _, photo in sorted(ranked, key=lambda item: item[0])]


def _entries(sources: Sources, photos: Sequence[AuditPhoto], max_bytes: int) -> dict[str, Markup]:
    """Return key → HTML, for as many of `photos` in their order as fit into `max_bytes`."""
    entries: dict[str, Markup] = {}
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="detic-crop-report")
    try:
        made = pool.map(lambda photo: _entry(sources, photo), photos)
        for photo, entry in zip(photos, made, strict=True):
            max_bytes -= len(utf8(entry))
            if max_bytes < 0:
                break
            entries[photo.record.image] = entry
    finally:
        end_pool(pool)
    return entries


def _entry(sources: Sources, photo: AuditPhoto) -> Markup:
    """Return the HTML of one photo."""
    folder, audit, record = sources.folder, sources.audit, photo.record
    location = audit.whereabouts.locations.get(record.image, NOWHERE)
    fresh = pictures_of(record, location, sources.crops.of(record), sources.memory)
    pictures = _with_earlier(fresh, photo, sources.earlier)
    display_wh = _display_wh(record)
    candidates = sources.candidates_of(photo)
    verdict = photo.verdict.verdict if photo.verdict else ""
    values = {
        "photo": photo,
        "record": record,
        "flags": photo.doubts.flags,
        "reasons": reasons_for(photo, audit.config, audit.photos.standing(record.image), candidates),
        "pictures": pictures,
        "photo_jpeg": base64.b64encode(pictures.photo or b"").decode(),
        "crop_jpeg": base64.b64encode(pictures.crop or b"").decode(),
        "photo_stamp": photo_stamp(record),
        "crop_stamp": crop_stamp(record),
        "crop_link": crop_link(folder.crops.path_of(main_crop(record))),
        "width": display_wh[0],
        "height": display_wh[1],
        "boxes": overlay(photo, candidates, audit.config, display_wh),
        "area": area_fraction(record),
        "label_cells": _label_cells(audit, photo),
        "verdict_words": VERDICTS.get(verdict, verdict),
    }
    return Markup(environment().get_template("entry.html.j2").render(values))


def _with_earlier(fresh: Pictures, photo: AuditPhoto, earlier: EarlierPictures) -> Pictures:
    """Take from the page that is there what cannot be made any more."""
    record = photo.record
    if fresh.photo is None and (kept := earlier.photo(photo.anchor, record)):
        # That many photos have moved is said once, on top; what else is wrong with one, beside it.
        fresh = replace(fresh, photo=kept, photo_trouble="" if fresh.photo_gone else fresh.photo_trouble)
    if fresh.crop is None and (kept := earlier.crop(photo.anchor, record)):
        fresh = replace(fresh, crop=kept)
    return fresh


def _display_wh(record: Record) -> tuple[int, int]:
    """Return width and height of a photo on the page, px."""
    long_side = max(record.width, record.height, 1)
    width, height = (max(1, round(PHOTO_SIDE * side / long_side)) for side in (record.width, record.height))
    return width, height


def _label_cells(audit: Audit, photo: AuditPhoto) -> list[tuple[str, str]]:
    """Return (column, value) of the photo's first label row, without its key."""
    if audit.labels is None or not photo.labels:
        return []
    cells = dict(zip(audit.labels.columns, photo.labels[0], strict=False))
    cells.pop(audit.labels.key_column, None)
    return list(islice(cells.items(), _MAX_LABELS))
