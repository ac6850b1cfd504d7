"""The photos most worth a look: which they are, and an entry of pictures, boxes and numbers for each."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from itertools import islice
from typing import Any
from urllib.parse import quote

from detic_crop.audit.markup import escaped, two_digits, utf8
from detic_crop.audit.overlay import legend, overlay
from detic_crop.audit.photos import Photo
from detic_crop.audit.reviewing import VERDICTS
from detic_crop.audit.suspicion import FLAGS, area_fraction
from detic_crop.audit.thumbnails import PHOTO_SIDE, pictures_of
from detic_crop.boxes.detections import Detections
from detic_crop.config import CropConfig
from detic_crop.runs.execute import photo_paths, read_listing
from detic_crop.runs.folder import OutputFolder
from detic_crop.runs.journal import Record, read_candidates
from detic_crop.runs.labels import Labels
from detic_crop.runs.tar_crops import place_of

_MAX_PHOTOS = 300
_MAX_NOT_FOUND = 100  # of these photos, unless there are too few crops to fill the rest
_MAX_LABELS = 12  # label columns shown with a photo
_RESERVED_BYTES = 20_000  # headings, legend and filter
_NOT_LISTED = (
    "Nobody looked at these photos. Add them to the boxes file and give <code>detic-crop run</code> with "
    "another <code>--out</code>, or review them."
)
_THREADS = 4  # photos read at once


def galleries(
    folder: OutputFolder, photos: Sequence[Photo], labels: Labels | None, config: CropConfig, max_bytes: int
) -> str:
    """The crops and the photos without a found animal, each most suspicious first.

    Args:
        folder: the output folder; its listing, candidates and crops are read.
        photos: all of the run.
        labels: the label table, or None.
        config: the settings as resolved.
        max_bytes: of the result; the least suspicious of `_MAX_PHOTOS` are left out to keep to it.
    """
    crops = sorted((p for p in photos if p.is_crop), key=lambda photo: photo.rank)
    not_found = sorted((p for p in photos if p.is_not_found), key=lambda photo: photo.rank)
    not_listed = sorted((p for p in photos if p.is_not_listed), key=lambda photo: photo.rank)
    order = _most_suspicious(crops, [*not_found, *not_listed])
    entries = _entries(folder, order, labels, config, max_bytes - _RESERVED_BYTES)
    if not entries:
        return ""
    reviewed = " Reviewed ones come last." if any(photo.verdict for photo in photos) else ""
    hint = f"Falling presence: the likely missed animals first.{reviewed}"
    if config.conf:
        hint += (
            f" Where a box below conf {config.conf:g} is right, <code>detic-crop recrop</code> with a lower "
            "<code>--conf</code> takes it without running the model again, as far as such boxes were kept."
        )
    shown = [photo for photo in crops if photo.record.image in entries]
    crops_hint = (
        "Falling suspicion, which weighs the flags, the score, and how unusual the box is in its group."
        f"{reviewed}"
    )
    return (
        legend()
        + _gallery("crops", "Most suspicious crops", crops_hint, crops, entries, _filter(shown))
        + _gallery("not-found", "No animal found", hint, not_found, entries)
        + _gallery("not-listed", "Not in the boxes file", _NOT_LISTED, not_listed, entries)
    )


def _most_suspicious(crops: Sequence[Photo], not_found: Sequence[Photo]) -> list[Photo]:
    """At most `_MAX_PHOTOS`; where one kind is rare, the other takes its places.

    Both kinds are mixed in proportion, so that a page that must end early has some of each.
    """
    n_not_found = min(len(not_found), max(_MAX_NOT_FOUND, _MAX_PHOTOS - len(crops)), _MAX_PHOTOS)
    parts = crops[: _MAX_PHOTOS - n_not_found], not_found[:n_not_found]
    ranked = [((i + 0.5) / len(part), photo) for part in parts for i, photo in enumerate(part)]
    return [photo for _, photo in sorted(ranked, key=lambda item: item[0])]


def _gallery(
    anchor: str,
    title: str,
    hint: str,
    photos: Sequence[Photo],
    entries: Mapping[str, str],
    controls: str = "",
) -> str:
    """All of one kind that have an entry; nothing where none has."""
    shown = [entries[photo.record.image] for photo in photos if photo.record.image in entries]
    if not shown:
        return ""
    part = f"{len(shown):,} of {len(photos):,}; the rest is in audit.csv"
    extent = f"all {len(photos):,}" if len(shown) == len(photos) else part
    return (
        f'<section id="{anchor}">\n<h2>{title} ({extent})</h2>\n<p>{hint}</p>\n{controls}'
        f'<div class="entries">\n{"".join(shown)}</div>\n</section>\n'
    )


# ---------------------------------------------------------------- filtering by flag


def _filter(photos: Sequence[Photo]) -> str:
    """Radio buttons, one per flag; `filter_style` does the rest."""
    counts = Counter(flag for photo in photos for flag in photo.doubts.flags)
    if len(counts) < 2:
        return ""
    choices = [("all", f"all {len(photos)}", " checked")]
    choices += [(flag, f"{_spoken(flag)} {counts[flag]}", "") for flag in FLAGS if counts[flag]]
    buttons = (
        f'<label><input type="radio" name="only" id="only-{name}"{checked}>{text}</label>\n'
        for name, text, checked in choices
    )
    return (
        f'<fieldset class="filter"><legend>Show only those flagged</legend>\n{"".join(buttons)}</fieldset>\n'
    )


def filter_style() -> str:
    """CSS that filters without a script: picking a flag hides the entries that lack its class."""
    return "".join(
        f"#crops:has(#only-{flag}:checked) .entry:not(.{flag}) {{ display: none; }}\n" for flag in FLAGS
    )


def _spoken(flag: str) -> str:
    return flag.replace("_", " ")


# ---------------------------------------------------------------- entries of single photos


def _entries(
    folder: OutputFolder, photos: Sequence[Photo], labels: Labels | None, config: CropConfig, max_bytes: int
) -> dict[str, str]:
    """Key → HTML, for as many of `photos` in their order as fit into `max_bytes`."""
    entries: dict[str, str] = {}
    listing = read_listing(folder) if photos else {}
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="detic-crop-report")
    try:
        made = pool.map(lambda photo: _entry(photo, folder, listing, labels, config), photos)
        for photo, entry in zip(photos, made, strict=True):
            max_bytes -= len(utf8(entry))
            if max_bytes < 0:
                break
            entries[photo.record.image] = entry
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return entries


def _entry(
    photo: Photo,
    folder: OutputFolder,
    listing: Mapping[str, Any],
    labels: Labels | None,
    config: CropConfig,
) -> str:
    """One photo: its picture with boxes, its crop, and what there is to say about it."""
    record = photo.record
    # As far as the run knew; one that has left the input may still be there.
    key = record.image
    place = folder.secret_places.get(key) or photo_paths({**listing, "keys": [key]})[key]
    pictures = pictures_of(record, place, lambda: folder.read_crop(record.crop))
    width, height = _display_wh(record)
    frame = f"--width:{width:.0f}px;aspect-ratio:{width:.0f}/{height:.0f}"
    image = _image(pictures.photo, "the photo") if pictures.photo else ""
    boxes = overlay(record, _candidates(folder, record), config, (width, height))
    crop = _image(pictures.crop, "its crop") if pictures.crop else "crop file"
    notes = "".join(f'<p class="note">{note}</p>' for note in pictures.notes)
    # Quoted whole: a name can be neither an address nor an end of the attribute.
    address = escape(quote(record.crop, errors="surrogateescape"))
    if not place_of(record.crop):  # a browser does not look into tar files
        crop = f'<a href="{address}">{crop}</a>'
    return (
        f'<article class="{" ".join(("entry", *photo.doubts.flags))}" id="{photo.anchor}">\n'
        f'<h3 class="name"><a href="#{photo.anchor}">{escaped(record.image)}</a></h3>\n'
        f'<figure class="photo"><div class="frame" style="{frame}">{image}{boxes}</div>'
        f"<figcaption>{record.width} × {record.height}</figcaption></figure>\n"
        f'<figure class="crop">{crop}</figure>\n'
        f'<div class="facts">{notes}{_verdict(photo)}{_labels(photo, labels)}'
        f"{_numbers(photo)}{_flags(photo)}</div>\n"
        "</article>\n"
    )


def _candidates(folder: OutputFolder, record: Record) -> Detections | None:
    """The kept boxes of a photo; None where they cannot be read any more."""
    try:
        with open(folder.candidates, "rb") as file:
            return read_candidates(file, record)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _display_wh(record: Record) -> tuple[float, float]:
    """Width and height of a photo in the page, px."""
    long_side = max(record.width, record.height, 1)
    width, height = (max(1.0, round(PHOTO_SIDE * side / long_side)) for side in (record.width, record.height))
    return width, height


def _image(jpeg: bytes, alt: str) -> str:
    data = base64.b64encode(jpeg).decode()
    return f'<img alt="{alt}" decoding="async" src="data:image/jpeg;base64,{data}">'


def _verdict(photo: Photo) -> str:
    if photo.verdict is None:
        return ""
    words = escaped(VERDICTS.get(photo.verdict.verdict, photo.verdict.verdict))
    by = f" by {escaped(photo.verdict.reviewer)}" if photo.verdict.reviewer else ""
    waits = "; <code>detic-crop apply</code> has not cropped it anew yet" if photo.waits else ""
    return f'<p class="verdict">Reviewed{by}: <b>{words}</b>{waits}</p>'


def _labels(photo: Photo, labels: Labels | None) -> str:
    if labels is None or not photo.labels:
        return ""
    cells = dict(zip(labels.columns, photo.labels[0], strict=False))
    cells.pop(labels.key_column, None)
    texts = [f"{escaped(name)} <b>{escaped(value)}</b>" for name, value in islice(cells.items(), _MAX_LABELS)]
    if len(photo.labels) > 1:
        texts.append(f"and {len(photo.labels) - 1} more label rows")
    return f'<p class="name">{" · ".join(texts)}</p>' if texts else ""


def _numbers(photo: Photo) -> str:
    record = photo.record
    texts = []
    if record.box is not None:
        texts.append(f"<b>{escaped(record.class_name) or 'drawn box'}</b>")
        texts.append(f"score <b>{two_digits(record.score)}</b>")
        if record.best_box is not None and record.best_box != record.box:
            texts.append(f"best {escaped(record.best_class)} {two_digits(record.best_score)}")
        if record.rival_score is not None:
            texts.append(f"also seen as {escaped(record.rival_class)} {two_digits(record.rival_score)}")
        texts.append(f"box {100 * (area_fraction(record) or 0):.2g} % of the photo")
        texts.append(f"{record.n_candidates} eligible")
    texts.append(f"presence {two_digits(record.presence)}")
    texts.append(f"suspicion <b>{two_digits(photo.doubts.suspicion)}</b>")
    return f'<p class="numbers">{", ".join(f"<span>{text}</span>" for text in texts)}</p>'


def _flags(photo: Photo) -> str:
    items = "".join(f"<li><b>{_spoken(flag)}</b>: {escape(FLAGS[flag])}</li>" for flag in photo.doubts.flags)
    return f"<ul>{items}</ul>" if items else ""
