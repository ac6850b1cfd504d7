"""The part of the page on review: how far it is, what the sample says, and how to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from detic_crop.audit.estimate import Estimate
from detic_crop.audit.intervals import LEVEL, Interval
from detic_crop.audit.markup import escaped, percent
from detic_crop.audit.photos import Photo

VERDICTS: Mapping[str, str] = {
    "accepted": "accepted",
    "whole": "the whole photo",
    "box": "another box",
    "rejected": "rejected",
}
"""What a reviewer can say, in words."""


def review_part(photos: Sequence[Photo], estimate: Estimate | None) -> str:
    """Progress, estimate and commands; nothing where there is nothing to review."""
    reviewable = [photo for photo in photos if photo.record.status != "failed"]
    if not reviewable:
        return ""
    return (
        '<h2 id="review">Review</h2>\n'
        f"{_progress(reviewable)}{_estimate(estimate)}{_commands(reviewable, estimate)}"
    )


def _progress(photos: Sequence[Photo]) -> str:
    said = Counter(photo.verdict.verdict for photo in photos if photo.verdict)
    if not said:
        return "<p>Nobody has reviewed a photo yet.</p>\n"
    parts = [f"{words} {said.pop(verdict):,}" for verdict, words in VERDICTS.items() if said[verdict]]
    parts += [f"{escaped(verdict)} {n:,}" for verdict, n in said.items() if n]
    done = sum(photo.verdict is not None for photo in photos)
    return f"<p><b>{done:,} of {len(photos):,} photos are reviewed</b>: {' · '.join(parts)}</p>\n"


def _estimate(estimate: Estimate | None) -> str:
    """The numbers of the sample, and the sentence to copy."""
    if estimate is None:
        return ""
    numbers = (
        ("crops that are right", estimate.precision),
        ("uncropped photos that show an animal", estimate.missed),
        ("animals that were missed", estimate.missed_animals),
        ("crops that are right after review", estimate.precision_now),
    )
    tiles = "".join(_tile(name, share) for name, share in numbers if share is not None)
    html = f'<h3>Estimate from the random sample</h3>\n<dl class="tiles">{tiles}</dl>\n' if tiles else ""
    if estimate.left:
        html += (
            f'<p class="warning">{estimate.left:,} of the {estimate.drawn:,} photos of the random sample '
            f"have no verdict yet{'' if tiles else ', so there is no estimate'}.</p>\n"
        )
    if estimate.come_since:
        html += (
            '<p class="warning">Photos have come or gone since the sample was drawn; the estimate speaks of '
            f"the {estimate.crops + estimate.uncropped:,} there were. Draw it again.</p>\n"
        )
    if estimate.card:
        html += (
            f"<p>For the card of the data set:</p>\n<blockquote>{escaped(estimate.card, 2000)}</blockquote>\n"
        )
    return html


def _tile(name: str, share: Interval) -> str:
    value, low, high = (f"{number}&nbsp;%" for number in share.percents())
    limits = f"{percent(LEVEL, 0)} confidence: {low} to {high}"
    return f'<div><dt>{name}</dt><dd class="number">{value}</dd><dd class="soft">{limits}</dd></div>\n'


def _commands(photos: Sequence[Photo], estimate: Estimate | None) -> str:
    """What to type next."""
    steps = [
        "<code>detic-crop review FOLDER</code> opens a page at the most suspicious photo: accept, take the "
        "whole photo, pick or draw another box, reject, one key each."
    ]
    if any(photo.waits for photo in photos):
        waiting = sum(photo.waits for photo in photos)
        steps.append(
            f"<code>detic-crop apply FOLDER</code> crops anew what review has changed: {waiting:,} so far."
        )
    if estimate is None:
        steps.append(
            "<code>detic-crop audit FOLDER --sample 200</code> draws a random sample; once it is reviewed, "
            "this page says how many crops are right and how many animals were missed."
        )
    elif estimate.left:
        steps.append(
            "<code>detic-crop audit FOLDER</code>, once the sample is reviewed, says how many crops are "
            "right and how many animals were missed."
        )
    items = "".join(f"<li>{step}</li>\n" for step in steps)
    return (
        f'<h3>How to go on</h3>\n<ul class="steps">\n{items}</ul>\n'
        '<p class="soft">FOLDER is the one this page lies in.</p>\n'
    )
