"""The upper part of the page: counts, settings, failed photos and flags of the whole run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from detic_crop.audit.markup import escaped, percent, table
from detic_crop.audit.photos import Photo
from detic_crop.audit.suspicion import FLAGS, IMAGE_CHECKS
from detic_crop.config import CropConfig
from detic_crop.detectors.vocabulary import split_names
from detic_crop.runs.journal import Record

_MAX_FAILURES = 100

_STATUSES: Mapping[str, str] = {
    "cropped": "an animal was found; its enlarged box was cut out",
    "resized": "nothing was found, nobody looked, or a reviewer wanted all of it; the whole was resized",
    "rejected": "a reviewer threw the crop out",
    "failed": "the photo could not be used",
}


def navigation(photos: Sequence[Photo]) -> str:
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
    links = (f'<a href="#{anchor}">{title}</a>' for anchor, title, exists in parts if exists)
    return f'<nav aria-label="Parts of this page">{" ".join(links)}</nav>\n'


def counts(photos: Sequence[Photo], n_rows: int) -> str:
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
    html = f'<dl class="tiles">{"".join(tiles)}</dl>\n'
    found, missed = by_status["cropped"], by_status["resized"]
    finished = found + missed
    if finished:
        html += (
            f"<p>Of {finished:,} usable photos, {found:,} were <b>cropped ({percent(found / finished)})</b> "
            f"and {missed:,} <b>only resized ({percent(missed / finished)})</b>.</p>\n"
        )
    if unlisted := sum(photo.is_not_listed for photo in photos):
        html += (
            f"<p><b>{unlisted:,}</b> of these only resized are <b>not in the boxes file</b>: nobody looked "
            "at them.</p>\n"
        )
    if n_rows != len(photos):
        html += (
            f'<p class="soft">audit.csv has {n_rows:,} rows: several label rows name the same photo.</p>\n'
        )
    return html


def _tile(name: str, number: int, meaning: str) -> str:
    return f'<div><dt>{name}</dt><dd class="number">{number:,}</dd><dd class="soft">{meaning}</dd></div>\n'


def settings(config: CropConfig, inputs: Sequence[str]) -> str:
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
    items = "".join(
        f"<div><dt>{name}</dt><dd>{escaped(value)}</dd></div>\n" for name, value in values.items()
    )
    return (
        f'<dl class="settings">{items}</dl>\n'
        '<p class="soft">Every photo has a row in <a href="audit.csv">audit.csv</a>; versions and timings '
        'are in <a href="run.json">run.json</a>. Links to these and to crops work while this page lies in '
        "the output folder.</p>\n"
    )


def failures(photos: Sequence[Photo]) -> str:
    """The photos that have no crop, and what to do about them; nothing when all went well."""
    failed = [photo.record for photo in photos if photo.record.status == "failed"]
    if not failed:
        return ""
    reasons = Counter(record.reason for record in failed)
    summary = ", ".join(f"{escaped(reason)}: {n:,}" for reason, n in reasons.most_common())
    rows = (
        f'<tr><td class="name">{escaped(record.image)}</td><td>{escaped(record.reason)}</td>'
        f'<td class="name">{_trouble(record)}</td></tr>\n'
        for record in failed[:_MAX_FAILURES]
    )
    header = ("photo", "reason", "what happened, and what to do")
    return (
        f'<h2 id="failed">Failed photos ({len(failed):,})</h2>\n'
        "<p>They have no crop. Mend them and give the same <code>detic-crop run</code> command again: it "
        f"does these and skips the rest. {summary}.</p>\n"
        + table(header, rows, len(failed), "audit.csv has them all")
    )


def _trouble(record: Record) -> str:
    if not record.reason.endswith("_error") or record.reason == "write_error":
        return escaped(record.error)
    return f"{escaped(record.error)} (unexpected: try again; if it fails again, report this line)"


def flag_table(photos: Sequence[Photo]) -> str:
    """Every flag: how often, and when it is given."""
    n_flagged = Counter(flag for photo in photos for flag in photo.doubts.flags)
    n_crops = sum(photo.is_crop for photo in photos)
    n_finished = n_crops + sum(photo.is_whole for photo in photos)

    def row(flag: str, rule: str) -> str:
        of = n_finished if flag in ("not_found", "not_listed", "truncated_file", *IMAGE_CHECKS) else n_crops
        share = percent(n_flagged[flag] / of) if of else ""
        muted = "" if n_flagged[flag] else ' class="none"'
        name = flag.replace("_", "_<wbr>")
        return (
            f'<tr{muted}><td><code>{name}</code></td><td class="n">{n_flagged[flag]:,}</td>'
            f'<td class="n">{share}</td><td>{escape(rule)}</td></tr>\n'
        )

    rows = [row(flag, rule) for flag, rule in FLAGS.items()]
    return (
        '<h2 id="flags">Flags</h2>\n<p>A flag is a reason to look, not a mistake. Shares are of the crops; '
        "those of <code>not_found</code>, <code>not_listed</code>, <code>truncated_file</code> and of the "
        "last five, which say nothing against a box, of all usable photos.</p>\n"
        + table(("flag", "#photos", "#share", "given when"), rows, len(rows))
    )
