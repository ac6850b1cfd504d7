"""The photos most worth a look: which they are, and an entry of pictures, boxes and numbers for each."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

from markupsafe import Markup

from detic_crop.config import CropConfig
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import candidates_of
from detic_crop.folder.records import Record
from detic_crop.photos.labels import Labels
from detic_crop.report.html.earlier import EarlierPictures
from detic_crop.report.html.markup import escaped, html, joined, two_digits
from detic_crop.report.html.overlay import legend, overlay
from detic_crop.report.html.review_section import VERDICTS
from detic_crop.report.html.thumbnails import PHOTO_SIDE, Pictures, crop_stamp, photo_stamp, pictures_of
from detic_crop.report.model import AuditPhoto, crop_link
from detic_crop.report.suspicion import FLAGS, area_fraction
from detic_crop.system.leaving import end_pool
from detic_crop.wording import counted, utf8

_MAX_PHOTOS = 300
_MAX_NOT_FOUND = 100  # of these photos, unless there are too few crops to fill the rest
_MAX_LABELS = 12  # label columns shown with a photo
_RESERVED_BYTES = 20_000  # headings, legend and filter
_NOT_LISTED = Markup(
    "Nobody looked at these photos. Add them to the boxes file and give <code>detic-crop run</code> with "
    "another <code>--out</code>, or review them."
)
_THREADS = 4  # photos read at once


def galleries(
    folder: OutputFolder,
    photos: Sequence[AuditPhoto],
    labels: Labels | None,
    config: CropConfig,
    max_bytes: int,
    paths: Mapping[str, str],
) -> Markup:
    """The crops and the photos without a found animal, each most suspicious first.

    Args:
        folder: the output folder; its candidates, crops and the page there is are read.
        photos: all of the run.
        labels: the label table, or None.
        config: the settings as resolved.
        max_bytes: of the result; the least suspicious of `_MAX_PHOTOS` are left out to keep to it.
        paths: where the photos are, by key.
    """
    crops = sorted((p for p in photos if p.is_crop), key=lambda photo: photo.rank)
    not_found = sorted((p for p in photos if p.is_not_found), key=lambda photo: photo.rank)
    not_listed = sorted((p for p in photos if p.is_not_listed), key=lambda photo: photo.rank)
    order = _most_suspicious(crops, [*not_found, *not_listed])
    entries = _entries(folder, order, labels, config, max_bytes - _RESERVED_BYTES, paths)
    if not entries:
        return Markup()
    reviewed = " Reviewed ones come last." if any(photo.verdict for photo in photos) else ""
    hint = html("Falling presence: the likely missed animals first.{reviewed}", reviewed=reviewed)
    if config.conf:
        lower = html(
            " Where a box below conf {conf:g} is right, <code>detic-crop recrop</code> with a lower "
            "<code>--conf</code> takes it without running the model again, as far as such boxes were kept.",
            conf=config.conf,
        )
        hint = joined((hint, lower))
    shown = [photo for photo in crops if photo.record.image in entries]
    crops_hint = html(
        "Falling suspicion, which weighs the flags, the score, and how unusual the box is in its group."
        "{reviewed}",
        reviewed=reviewed,
    )
    return joined(
        (
            legend(),
            _gallery("crops", "Most suspicious crops", crops_hint, crops, entries, _filter(shown)),
            _gallery("not-found", "No animal found", hint, not_found, entries, Markup()),
            _gallery("not-listed", "Not in the boxes file", _NOT_LISTED, not_listed, entries, Markup()),
        )
    )


def _most_suspicious(crops: Sequence[AuditPhoto], not_found: Sequence[AuditPhoto]) -> list[AuditPhoto]:
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
    hint: Markup,
    photos: Sequence[AuditPhoto],
    entries: Mapping[str, Markup],
    controls: Markup,
) -> Markup:
    """All of one kind that have an entry; nothing where none has."""
    shown = [entries[photo.record.image] for photo in photos if photo.record.image in entries]
    if not shown:
        return Markup()
    part = f"{len(shown):,} of {len(photos):,}; the rest is in audit.csv"
    return html(
        '<section id="{anchor}">\n<h2>{title} ({extent})</h2>\n<p>{hint}</p>\n{controls}'
        '<div class="entries">\n{entries}</div>\n</section>\n',
        anchor=anchor,
        title=title,
        extent=f"all {len(photos):,}" if len(shown) == len(photos) else part,
        hint=hint,
        controls=controls,
        entries=joined(shown),
    )


# ---------------------------------------------------------------- filtering by flag


def _filter(photos: Sequence[AuditPhoto]) -> Markup:
    """Radio buttons, one per flag; `filter_style` does the rest."""
    counts = Counter(flag for photo in photos for flag in photo.doubts.flags)
    if len(counts) < 2:
        return Markup()
    choices = [("all", f"all {len(photos)}", Markup(" checked"))]
    choices += [(flag, f"{_spoken(flag)} {counts[flag]}", Markup()) for flag in FLAGS if counts[flag]]
    buttons = (
        html(
            '<label><input type="radio" name="only" id="only-{name}"{checked}>{text}</label>\n',
            name=name,
            checked=checked,
            text=text,
        )
        for name, text, checked in choices
    )
    return html(
        '<fieldset class="filter"><legend>Show only those flagged</legend>\n{buttons}</fieldset>\n',
        buttons=joined(buttons),
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
    folder: OutputFolder,
    photos: Sequence[AuditPhoto],
    labels: Labels | None,
    config: CropConfig,
    max_bytes: int,
    paths: Mapping[str, str],
) -> dict[str, Markup]:
    """Key → HTML, for as many of `photos` in their order as fit into `max_bytes`."""
    entries: dict[str, Markup] = {}
    earlier = EarlierPictures(lambda: folder.read_at_most(folder.layout.audit_html, 2 * max_bytes))
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="detic-crop-report")
    try:
        made = pool.map(lambda photo: _entry(photo, folder, paths, earlier, labels, config), photos)
        for photo, entry in zip(photos, made, strict=True):
            max_bytes -= len(utf8(entry))
            if max_bytes < 0:
                break
            entries[photo.record.image] = entry
    finally:
        end_pool(pool)
    return entries


def _entry(
    photo: AuditPhoto,
    folder: OutputFolder,
    paths: Mapping[str, str],
    earlier: EarlierPictures,
    labels: Labels | None,
    config: CropConfig,
) -> Markup:
    """One photo: its picture with boxes, its crop, and what there is to say about it."""
    record = photo.record
    # As far as the run knew; one that has left the input may still be there.
    fresh = pictures_of(record, paths.get(record.image, ""), lambda: folder.crops.read(record.crop))
    pictures = _with_earlier(fresh, photo, earlier)
    width, height = _display_wh(record)
    crop = _image(pictures.crop, "its crop") if pictures.crop else Markup("crop file")
    if address := crop_link(folder.crops.path_of(record.crop)):
        crop = html('<a href="{address}">{crop}</a>', address=address, crop=crop)
    return html(
        '<article class="{classes}" id="{anchor}">\n'
        '<h3 class="name"><a href="#{anchor}">{name}</a></h3>\n'
        '<figure class="photo" data-of="{photo_stamp}">'
        '<div class="frame" style="--width:{width:.0f}px;aspect-ratio:{width:.0f}/{height:.0f}">'
        "{image}{boxes}</div>"
        "<figcaption>{full_width} × {full_height}</figcaption></figure>\n"
        '<figure class="crop" data-of="{crop_stamp}">{crop}</figure>\n'
        '<div class="facts">{notes}{verdict}{labels}{numbers}{flags}</div>\n'
        "</article>\n",
        classes=" ".join(("entry", *photo.doubts.flags)),
        anchor=photo.anchor,
        name=escaped(record.image),
        photo_stamp=photo_stamp(record),
        width=width,
        height=height,
        image=_image(pictures.photo, "the photo") if pictures.photo else Markup(),
        boxes=overlay(record, candidates_of(record, folder.layout.candidates), config, (width, height)),
        full_width=record.width,
        full_height=record.height,
        crop_stamp=crop_stamp(record),
        crop=crop,
        notes=_notes(pictures),
        verdict=_verdict(photo),
        labels=_labels(photo, labels),
        numbers=_numbers(photo),
        flags=_flags(photo),
    )


def _with_earlier(fresh: Pictures, photo: AuditPhoto, earlier: EarlierPictures) -> Pictures:
    """What cannot be made any more is as the page that there is shows it."""
    record = photo.record
    if fresh.photo is None and (kept := earlier.photo(photo.anchor, record)):
        # That many photos have moved is said once, on top; what else is wrong with one, beside it.
        fresh = replace(fresh, photo=kept, photo_trouble="" if fresh.photo_gone else fresh.photo_trouble)
    if fresh.crop is None and (kept := earlier.crop(photo.anchor, record)):
        fresh = replace(fresh, crop=kept)
    return fresh


def _notes(pictures: Pictures) -> Markup:
    troubles = (
        ("photo", pictures.photo, pictures.photo_trouble),
        ("crop", pictures.crop, pictures.crop_trouble),
    )
    return joined(
        html(
            '<p class="note">The {what} cannot be shown: {trouble}.{kept}</p>',
            what=what,
            trouble=escaped(trouble),
            kept=" The picture is that of an earlier page." if kept else "",
        )
        for what, kept, trouble in troubles
        if trouble
    )


def _display_wh(record: Record) -> tuple[float, float]:
    """Width and height of a photo in the page, px."""
    long_side = max(record.width, record.height, 1)
    width, height = (max(1.0, round(PHOTO_SIDE * side / long_side)) for side in (record.width, record.height))
    return width, height


def _image(jpeg: bytes, alt: str) -> Markup:
    data = base64.b64encode(jpeg).decode()
    return html('<img alt="{alt}" decoding="async" src="data:image/jpeg;base64,{data}">', alt=alt, data=data)


def _verdict(photo: AuditPhoto) -> Markup:
    if photo.verdict is None:
        return Markup()
    waits = Markup("; <code>detic-crop apply</code> has not cropped it anew yet")
    return html(
        '<p class="verdict">Reviewed{by}: <b>{words}</b>{waits}</p>',
        by=html(" by {name}", name=escaped(photo.verdict.reviewer)) if photo.verdict.reviewer else "",
        words=escaped(VERDICTS.get(photo.verdict.verdict, photo.verdict.verdict)),
        waits=waits if photo.is_waiting else "",
    )


def _labels(photo: AuditPhoto, labels: Labels | None) -> Markup:
    if labels is None or not photo.labels:
        return Markup()
    cells = dict(zip(labels.columns, photo.labels[0], strict=False))
    cells.pop(labels.key_column, None)
    texts = [
        html("{name} <b>{value}</b>", name=escaped(name), value=escaped(value))
        for name, value in islice(cells.items(), _MAX_LABELS)
    ]
    if len(photo.labels) > 1:
        texts.append(html("and {more}", more=counted(len(photo.labels) - 1, "more label row")))
    return html('<p class="name">{texts}</p>', texts=joined(texts, " · ")) if texts else Markup()


def _numbers(photo: AuditPhoto) -> Markup:
    record = photo.record
    texts = []
    if record.box is not None:
        texts.append(html("<b>{name}</b>", name=escaped(record.class_name) or "drawn box"))
        texts.append(html("score <b>{score}</b>", score=two_digits(record.score)))
        if record.best_box is not None and record.best_box != record.box:
            best = html(
                "best {name} {score}", name=escaped(record.best_class), score=two_digits(record.best_score)
            )
            texts.append(best)
        if record.rival_score is not None:
            rival = html(
                "also seen as {name} {score}",
                name=escaped(record.rival_class),
                score=two_digits(record.rival_score),
            )
            texts.append(rival)
        texts.append(html("box {share:.2g} % of the photo", share=100 * (area_fraction(record) or 0)))
        texts.append(html("{n} eligible", n=escaped(record.n_candidates)))
    texts.append(html("presence {presence}", presence=two_digits(record.presence)))
    texts.append(html("suspicion <b>{suspicion}</b>", suspicion=two_digits(photo.doubts.suspicion)))
    spans = joined((html("<span>{text}</span>", text=text) for text in texts), ", ")
    return html('<p class="numbers">{spans}</p>', spans=spans)


def _flags(photo: AuditPhoto) -> Markup:
    items = [
        html("<li><b>{flag}</b>: {rule}</li>", flag=_spoken(flag), rule=FLAGS[flag])
        for flag in photo.doubts.flags
    ]
    return html("<ul>{items}</ul>", items=joined(items)) if items else Markup()
