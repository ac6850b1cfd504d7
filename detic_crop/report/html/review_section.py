"""The part of the page on review: how far it is, what the sample says, and how to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from detic_crop.report.estimate import Estimate
from detic_crop.report.html.markup import escaped, html, joined, percent
from detic_crop.report.intervals import LEVEL, Interval
from detic_crop.report.model import AuditPhoto
from detic_crop.wording import counted, either

VERDICTS: Mapping[str, str] = {
    "accepted": "accepted",
    "whole": "the whole photo",
    "box": "another box",
    "rejected": "rejected",
}
"""What a reviewer can say, in words."""


def review_part(photos: Sequence[AuditPhoto], estimate: Estimate | None) -> Markup:
    """Progress, estimate and commands; nothing where there is nothing to review."""
    reviewable = [photo for photo in photos if photo.record.status != "failed"]
    if not reviewable:
        return Markup()
    return joined(
        (
            Markup('<h2 id="review">Review</h2>\n'),
            _progress(reviewable),
            _estimate(estimate),
            _commands(reviewable, estimate),
        )
    )


def _progress(photos: Sequence[AuditPhoto]) -> Markup:
    said = Counter(photo.verdict.verdict for photo in photos if photo.verdict)
    if not said:
        return Markup("<p>Nobody has reviewed a photo yet.</p>\n")
    words = {verdict: VERDICTS[verdict] for verdict in VERDICTS if said[verdict]}
    words |= {verdict: verdict for verdict in said if said[verdict] and verdict not in VERDICTS}
    done = said.total()
    parts = (
        html("{words} {n:,}", words=escaped(spoken), n=said[verdict]) for verdict, spoken in words.items()
    )
    return html(
        "<p><b>{done:,} of {all} {are} reviewed</b>: {parts}</p>\n",
        done=done,
        all=counted(len(photos), "photo"),
        are=either(done, "is", "are"),
        parts=joined(parts, " · "),
    )


def _estimate(estimate: Estimate | None) -> Markup:
    """The numbers of the sample, and the sentence to copy."""
    if estimate is None:
        return Markup()
    numbers = (
        ("crops that are right", estimate.precision),
        ("uncropped photos that show an animal", estimate.missed),
        ("animals that were missed", estimate.missed_animals),
        ("crops that are right after review", estimate.precision_now),
    )
    tiles = joined(_tile(name, share) for name, share in numbers if share is not None)
    parts = []
    if tiles:
        heading = Markup("<h3>Estimate from the random sample</h3>\n")
        parts += [heading, html('<dl class="tiles">{tiles}</dl>\n', tiles=tiles)]
    if estimate.left:
        left = html(
            '<p class="warning">Photos of the random sample without a verdict yet: {left:,} of '
            "{drawn:,}{so}.</p>\n",
            left=estimate.left,
            drawn=estimate.drawn,
            so="" if tiles else ", so there is no estimate",
        )
        parts.append(left)
    if estimate.come_since:
        since = html(
            '<p class="warning">Photos have come or gone since the sample was drawn; the estimate speaks of '
            "the {n:,} there were. Draw it again.</p>\n",
            n=estimate.crops + estimate.uncropped,
        )
        parts.append(since)
    if estimate.card:
        card = html(
            "<p>For the card of the data set:</p>\n<blockquote>{card}</blockquote>\n",
            card=escaped(estimate.card, 2000),
        )
        parts.append(card)
    return joined(parts)


def _tile(name: str, share: Interval) -> Markup:
    value, low, high = share.percents()
    return html(
        '<div><dt>{name}</dt><dd class="number">{value}&nbsp;%</dd>'
        '<dd class="soft">{level} confidence: {low}&nbsp;% to {high}&nbsp;%</dd></div>\n',
        name=name,
        value=value,
        level=percent(LEVEL, 0),
        low=low,
        high=high,
    )


def _commands(photos: Sequence[AuditPhoto], estimate: Estimate | None) -> Markup:
    """What to type next."""
    steps = [
        Markup(
            "<code>detic-crop review FOLDER</code> opens a page at the most suspicious photo: accept, take "
            "the whole photo, pick or draw another box, reject, one key each."
        )
    ]
    if any(photo.is_waiting for photo in photos):
        waiting = html(
            "<code>detic-crop apply FOLDER</code> crops anew what review has changed: {waiting:,} so far.",
            waiting=sum(photo.is_waiting for photo in photos),
        )
        steps.append(waiting)
    if estimate is None:
        steps.append(
            Markup(
                "<code>detic-crop audit FOLDER --sample 200</code> draws a random sample; once it is "
                "reviewed, this page says how many crops are right and how many animals were missed."
            )
        )
    elif estimate.left:
        steps.append(
            Markup(
                "<code>detic-crop audit FOLDER</code>, once the sample is reviewed, says how many crops are "
                "right and how many animals were missed."
            )
        )
    return html(
        '<h3>How to go on</h3>\n<ul class="steps">\n{items}</ul>\n'
        '<p class="soft">FOLDER is the one this page lies in.</p>\n',
        items=joined(html("<li>{step}</li>\n", step=step) for step in steps),
    )
