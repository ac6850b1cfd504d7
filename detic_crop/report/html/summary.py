"""The upper part of the page: counts, settings, failed photos and flags of the whole run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from detic_crop.config import CropConfig
from detic_crop.detectors.vocabulary import split_names
from detic_crop.folder.records import Record
from detic_crop.report.html.markup import escaped, html, joined, percent, table
from detic_crop.report.model import AuditPhoto
from detic_crop.report.suspicion import FLAGS, IMAGE_CHECKS
from detic_crop.wording import counted, either

_MAX_FAILURES = 100
_OF_ALL = frozenset({"not_found", "not_listed", "truncated_file", "damaged_file"}) | IMAGE_CHECKS
"""Flags that say nothing against a box: photos that were resized whole may have them, too."""

_STATUSES: Mapping[str, str] = {
    "cropped": "an animal was found; its enlarged box was cut out",
    "resized": "nothing was found, nobody looked, or a reviewer wanted all of it; the whole was resized",
    "rejected": "a reviewer threw the crop out",
    "failed": "the photo could not be used",
}


def navigation(photos: Sequence[AuditPhoto]) -> Markup:
    """Links to the parts of the page that exist."""
    parts = (
        ("review", "Review", any(photo.record.status != "failed" for photo in photos)),
        ("failed", "Failed photos", any(photo.record.status == "failed" for photo in photos)),
        ("flags", "Flags", True),
        ("rates", "Found and not found", True),
        ("histograms", "Histograms", True),
        ("crops", "Most suspicious crops", any(photo.is_crop for photo in photos)),
        ("not-found", "No animal found", any(photo.is_not_found for photo in photos)),
        ("not-listed", "Not in the boxes file", any(photo.is_not_listed for photo in photos)),
    )
    links = (
        html('<a href="#{anchor}">{title}</a>', anchor=anchor, title=title)
        for anchor, title, exists in parts
        if exists
    )
    return html('<nav aria-label="Parts of this page">{links}</nav>\n', links=joined(links, " "))


def counts(photos: Sequence[AuditPhoto], n_rows: int) -> Markup:
    """What became of the photos.

    Args:
        photos: all of the run.
        n_rows: rows of audit.csv.
    """
    by_status: Counter[str] = Counter(photo.record.status for photo in photos)
    tiles = [_tile("photos", len(photos), "one crop each, unless failed or rejected")]
    tiles += [
        _tile(status, by_status[status], meaning)
        for status, meaning in _STATUSES.items()
        if by_status[status] or status != "rejected"
    ]
    flagged = sum(
        photo.is_crop and not photo.record.verdict and bool(photo.doubts.against_the_crop) for photo in photos
    )
    tiles.append(_tile("crops flagged", flagged, "at least one reason to doubt them; see Flags"))
    parts = [html('<dl class="tiles">{tiles}</dl>\n', tiles=joined(tiles))]
    found, missed = by_status["cropped"], by_status["resized"]
    finished = found + missed
    if finished:
        sentence = html(
            "<p>Of {usable}, {found:,} {were} <b>cropped ({share_found})</b> "
            "and {missed:,} <b>only resized ({share_missed})</b>.</p>\n",
            usable=counted(finished, "usable photo"),
            were=either(found, "was", "were"),
            found=found,
            missed=missed,
            share_found=percent(found / finished),
            share_missed=percent(missed / finished),
        )
        parts.append(sentence)
    if unlisted := sum(photo.is_not_listed for photo in photos):
        sentence = html(
            "<p><b>{unlisted:,}</b> of the resized ones {are} <b>not in the boxes file</b>: nobody looked at "
            "{them}.</p>\n",
            unlisted=unlisted,
            are=either(unlisted, "is", "are"),
            them=either(unlisted, "it", "them"),
        )
        parts.append(sentence)
    if n_rows != len(photos):
        several = html(
            '<p class="soft">audit.csv has {n_rows:,} rows: several label rows name the same photo.</p>\n',
            n_rows=n_rows,
        )
        parts.append(several)
    return joined(parts)


def _tile(name: str, number: int, meaning: str) -> Markup:
    return html(
        '<div><dt>{name}</dt><dd class="number">{number:,}</dd><dd class="soft">{meaning}</dd></div>\n',
        name=name,
        number=number,
        meaning=meaning,
    )


def settings(config: CropConfig, inputs: Sequence[str]) -> Markup:
    """What the crops were made with, of which inputs, and where to find the rest."""
    values = {
        **({"photos of": ", ".join(inputs)} if inputs else {}),
        "model": config.model,
        "classes": ", ".join(split_names(config.classes or "any")),  # a journal always has them
        "conf": "the model’s own" if config.conf is None else f"{config.conf:g}",
        "scale": f"{config.scale:g}",
        "size": f"{config.size} × {config.size}",
        "fit": config.fit,
        "format": config.format if config.format == "png" else f"{config.format}, quality {config.quality}",
    }
    items = (
        html("<div><dt>{name}</dt><dd>{value}</dd></div>\n", name=name, value=escaped(value))
        for name, value in values.items()
    )
    return html(
        '<dl class="settings">{items}</dl>\n'
        '<p class="soft">Every photo has a row in <a href="audit.csv">audit.csv</a>; versions and timings '
        'are in <a href="run.json">run.json</a>. Links to these and to crops work while this page lies in '
        "the output folder.</p>\n",
        items=joined(items),
    )


def failures(photos: Sequence[AuditPhoto]) -> Markup:
    """The photos that have no crop, and what to do about them; nothing when all went well."""
    failed = [photo.record for photo in photos if photo.record.status == "failed"]
    if not failed:
        return Markup()
    reasons = Counter(record.reason for record in failed)
    summary = (html("{reason}: {n:,}", reason=escaped(reason), n=n) for reason, n in reasons.most_common())
    rows = (
        html(
            '<tr><td class="name">{image}</td><td>{reason}</td><td class="name">{trouble}</td></tr>\n',
            image=escaped(record.image),
            reason=escaped(record.reason),
            trouble=_trouble(record),
        )
        for record in failed[:_MAX_FAILURES]
    )
    header = ("photo", "reason", "what happened, and what to do")
    return html(
        '<h2 id="failed">Failed photos ({n:,})</h2>\n'
        "<p>They have no crop. Mend them and give the same <code>detic-crop run</code> command again: it "
        "does these and skips the rest. {summary}.</p>\n{table}",
        n=len(failed),
        summary=joined(summary, ", "),
        table=table(header, rows, len(failed), "audit.csv has them all"),
    )


def _trouble(record: Record) -> Markup:
    if not record.reason.endswith("_error") or record.reason == "write_error":
        return escaped(record.error)
    return html(
        "{error} (unexpected: try again; if it fails again, report this line)", error=escaped(record.error)
    )


def flag_table(photos: Sequence[AuditPhoto]) -> Markup:
    """Every flag: how often, and when it is given."""
    n_flagged = Counter(flag for photo in photos for flag in photo.doubts.flags)
    n_crops = sum(photo.is_crop for photo in photos)
    n_finished = n_crops + sum(photo.is_whole for photo in photos)

    def row(flag: str, rule: str) -> Markup:
        of = n_finished if flag in _OF_ALL else n_crops
        return html(
            '<tr{muted}><td><code>{name}</code></td><td class="n">{n:,}</td>'
            '<td class="n">{share}</td><td>{rule}</td></tr>\n',
            muted=Markup() if n_flagged[flag] else Markup(' class="none"'),
            name=joined((html("{part}", part=part) for part in flag.split("_")), "_<wbr>"),
            n=n_flagged[flag],
            share=percent(n_flagged[flag] / of) if of else "",
            rule=rule,
        )

    rows = [row(flag, rule) for flag, rule in FLAGS.items()]
    return html(
        '<h2 id="flags">Flags</h2>\n<p>A flag is a reason to look, not a mistake. Shares are of the crops; '
        "those of <code>truncated_file</code>, <code>damaged_file</code>, <code>not_found</code>, "
        "<code>not_listed</code> and of the last five, which say nothing against a box, of all usable "
        "photos.</p>\n{table}",
        table=table(("flag", "#photos", "#share", "given when"), rows, len(rows)),
    )
