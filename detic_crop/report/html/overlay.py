"""The boxes over a photo: inline SVG in the photo's size on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from detic_crop.boxes.choose import wanted_mask
from detic_crop.boxes.detections import BOX_DECIMALS, Detections
from detic_crop.config import CropConfig
from detic_crop.detectors.vocabulary import wanted_classes
from detic_crop.folder.records import Record
from detic_crop.report.html.markup import escaped, html, joined, two_digits

_MAX_SCORES = 12  # boxes of one photo whose score is written beside them

_KINDS: Mapping[str, str] = {
    "chosen": "chosen box",
    "cut": "what was cut out",
    "best": "most confident box, where another was chosen",
    "other": "other eligible boxes",
    "weak": "below conf, or of a class not asked for",
}

# Of the dark line beneath the important boxes, px; see report.css for the lines themselves.
_HALOS: Mapping[str, float] = {"chosen": 4.4, "best": 4.0, "cut": 3.4}


class _Box(NamedTuple):
    """A box to draw.

    Attributes:
        kind: a key of `_KINDS`.
        xyxy: pixels of the photo.
        name: its class; empty for a rectangle that is no detection.
        score: in words.
        label: written in its corner.
    """

    kind: str
    xyxy: Sequence[float]
    name: str = ""
    score: str = ""
    label: str = ""


def legend() -> Markup:
    """What the kinds of boxes mean."""
    items = (
        html(
            '<li><svg aria-hidden="true"><rect class="b {kind}" x="5" y="4" width="24" height="14"/></svg>'
            "{meaning}</li>\n",
            kind=kind,
            meaning=meaning,
        )
        for kind, meaning in _KINDS.items()
    )
    return html(
        '<h2 id="legend">Reading the pictures</h2>\n<ul class="legend">\n{items}</ul>\n'
        '<p class="soft">Numbers beside boxes are scores. The crop beside the photo is what a trainer sees; '
        "it opens the file.</p>\n",
        items=joined(items),
    )


def overlay(
    record: Record, candidates: Detections | None, config: CropConfig, display_wh: tuple[float, float]
) -> Markup:
    """SVG of every box of one photo, the important ones last and so on top.

    Args:
        record: of the photo.
        candidates: every box that was kept of it; None where they cannot be read any more.
        config: the settings as resolved.
        display_wh: width and height of the photo on the page, px.
    """
    boxes = [] if candidates is None else _other_boxes(record, candidates, config)[::-1]
    if record.box is not None:
        if record.best_box is not None and record.best_box != record.box:
            score = two_digits(record.best_score)
            boxes.append(_Box("best", record.best_box, record.best_class, score, score))
        if record.crop_box is not None:
            boxes.append(_Box("cut", record.crop_box))
        score = two_digits(record.score)
        boxes.append(_Box("chosen", record.box, record.class_name or "drawn", score, score))
    width, height = display_wh
    ratio_wh = width / max(record.width, 1), height / max(record.height, 1)
    # Aloud it would be loose numbers; the text beside it says what matters.
    return html(
        '<svg aria-hidden="true" viewBox="0 0 {width:.0f} {height:.0f}">{shapes}</svg>',
        width=width,
        height=height,
        shapes=joined(_shape(box, ratio_wh, width) for box in boxes),
    )


def _other_boxes(record: Record, candidates: Detections, config: CropConfig) -> list[_Box]:
    """All boxes but the chosen and the most confident, eligible ones first, then by falling score."""
    wanted = wanted_mask(candidates, wanted_classes(config.classes))
    eligible = wanted & (candidates.scores >= np.float32(config.conf or 0.0))
    drawn = {(record.box, record.class_name), (record.best_box, record.best_class)}
    others: list[_Box] = []
    for i in np.lexsort((-candidates.scores, ~eligible)):
        name, score = candidates.class_names[i], two_digits(float(candidates.scores[i]))
        xyxy = tuple(round(float(edge), BOX_DECIMALS) for edge in candidates.xyxy[i])
        if (xyxy, name) not in drawn:
            label = score if wanted[i] else f"{name[:16]} {score}"
            kind = "other" if eligible[i] else "weak"
            others.append(_Box(kind, xyxy, name, score, label if len(others) < _MAX_SCORES else ""))
    return others


def _shape(box: _Box, ratio_wh: tuple[float, float], width: float) -> Markup:
    """A rectangle that tells its class when pointed at, and its label in the upper left corner."""
    left, right = box.xyxy[0] * ratio_wh[0], box.xyxy[2] * ratio_wh[0]
    top, bottom = box.xyxy[1] * ratio_wh[1], box.xyxy[3] * ratio_wh[1]
    place = html(
        'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"',
        x=left,
        y=top,
        width=right - left,
        height=bottom - top,
    )
    parts = []
    if box.kind in _HALOS:
        width_of_line = _HALOS[box.kind]
        parts.append(
            html('<rect class="b halo" {place} stroke-width="{line}"/>', place=place, line=width_of_line)
        )
    title = Markup()
    if box.name:
        title = html("<title>{name} {score}</title>", name=escaped(box.name), score=box.score)
    parts.append(
        html('<rect class="b {kind}" {place}>{title}</rect>', kind=box.kind, place=place, title=title)
    )
    if box.label:
        label = html(
            '<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{label}</text>',
            kind=box.kind,
            x=max(2.0, min(left + 4, width - 6.5 * len(box.label))),
            y=top + 13,
            label=escaped(box.label),
        )
        parts.append(label)
    return joined(parts)
