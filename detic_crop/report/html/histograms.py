"""How score, presence, area and aspect are spread over a run: inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup

from detic_crop.config import CropConfig
from detic_crop.folder.records import Record
from detic_crop.report.html.markup import html, joined
from detic_crop.report.model import AuditPhoto
from detic_crop.report.suspicion import area_fraction


@dataclass(frozen=True, slots=True)
class _Histogram:
    """One plot.

    Attributes:
        title: in two or three words.
        note: what is counted.
        edges: of the bins; values outside count in the first or last.
        series: one or two lists of values, stacked.
        ticks: value → text on the axis.
        marks: value → what a dashed line there means.
        logarithmic: whether the axis is.
    """

    title: str
    note: Markup
    edges: Sequence[float]
    series: Sequence[Sequence[float]]
    ticks: Mapping[float, str]
    marks: Mapping[float, str] = field(default_factory=dict)
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Position on the axis, 0 to 1."""
        scale: Callable[[float], float] = math.log if self.logarithmic else float
        low, high = scale(self.edges[0]), scale(self.edges[-1])
        return (scale(value) - low) / (high - low)


def histograms(photos: Sequence[AuditPhoto], config: CropConfig) -> Markup:
    """Four plots."""
    crops = [photo.record for photo in photos if photo.is_crop]
    missed = [photo.record for photo in photos if photo.is_not_found]
    unit = [i / 20 for i in range(21)]
    unit_ticks = {0.0: "0", 0.25: "0.25", 0.5: "0.5", 0.75: "0.75", 1.0: "1"}
    conf = config.conf or 0.0
    conf_mark = {conf: f"conf {conf:g}"} if 0 < conf < 1 else {}
    plots = [
        _Histogram(
            "Score",
            Markup("of the chosen box"),
            unit,
            [_known(r.score for r in crops)],
            unit_ticks,
            conf_mark,
        ),
        _Histogram(
            "Presence",
            Markup(
                '<i class="key first"></i>cropped, <i class="key second"></i>nothing found; '
                "right: likely missed"
            ),
            unit,
            [_known(r.presence for r in crops), _known(r.presence for r in missed)],
            unit_ticks,
            conf_mark,
        ),
        _Histogram(
            "Area",
            Markup("of the chosen box, share of the photo"),
            [10 ** (i / 6 - 3) for i in range(19)],
            [_known(map(area_fraction, crops))],
            {0.001: "0.1 %", 0.01: "1 %", 0.1: "10 %", 1.0: "100 %"},
            logarithmic=True,
        ),
        _Histogram(
            "Aspect",
            Markup("of the chosen box, width : height"),
            [2 ** (i / 3 - 4) for i in range(25)],
            [_known(map(_aspect, crops))],
            {1 / 16: "1:16", 1 / 4: "1:4", 1.0: "1:1", 4.0: "4:1", 16.0: "16:1"},
            logarithmic=True,
        ),
    ]
    return html(
        '<h2 id="histograms">Histograms</h2>\n<div class="plots">{plots}</div>\n',
        plots=joined(map(_plot, plots)),
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _aspect(record: Record) -> float | None:
    if record.box is None:
        return None
    left, top, right, bottom = record.box
    return (right - left) / (bottom - top) if bottom > top else None


# The plot's place in an SVG of 320 × 150.
_LEFT, _WIDTH, _TOP, _HEIGHT = 8.0, 304.0, 16.0, 108.0
_FLOOR = _TOP + _HEIGHT


def _plot(histogram: _Histogram) -> Markup:
    """Inline SVG; each bar says its numbers when pointed at."""
    edges = np.asarray(histogram.edges)
    counts = np.array([np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] for v in histogram.series])
    highest = max(1, int(counts.sum(axis=0).max()))  # counts: (series, bins)
    shapes = [
        html('<text x="{x}" y="11" text-anchor="end">{highest:,}</text>', x=_LEFT + _WIDTH, highest=highest),
        *(_bar(histogram, i, counts[:, i].tolist(), highest) for i in range(len(edges) - 1)),
        html('<path class="axis" d="M{x} {y}h{width}"/>', x=_LEFT, y=_FLOOR, width=_WIDTH),
        *(_tick(histogram.at(value), label) for value, label in histogram.ticks.items()),
        *(_mark(histogram.at(value), label) for value, label in histogram.marks.items()),
    ]
    return html(
        "<figure><figcaption>{title}<span>{note}</span></figcaption>"
        '<svg viewBox="0 0 320 150" role="img" aria-label="{title} of {total:,} photos">'
        "{shapes}</svg></figure>\n",
        title=histogram.title,
        note=histogram.note,
        total=sum(map(len, histogram.series)),
        shapes=joined(shapes),
    )


def _bar(histogram: _Histogram, i: int, counts: Sequence[int], highest: int) -> Markup:
    """Bin `i` of every series, one upon the other."""
    low, high = histogram.edges[i], histogram.edges[i + 1]
    left, right = (_LEFT + _WIDTH * histogram.at(edge) for edge in (low, high))
    y = _FLOOR
    parts = []
    for kind, count in zip(("first", "second"), counts, strict=False):
        if count:
            height = _HEIGHT * count / highest
            y -= height
            bar = html(
                '<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">'
                "<title>{low:.3g} to {high:.3g}: {count:,}</title></rect>",
                kind=kind,
                x=left + 0.5,
                y=y,
                width=right - left - 1,
                height=height,
                low=low,
                high=high,
                count=count,
            )
            parts.append(bar)
    return joined(parts)


def _tick(at: float, label: str) -> Markup:
    return html(
        '<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{label}</text>',
        x=_LEFT + _WIDTH * at,
        y=_FLOOR + 16,
        anchor="start" if at < 0.05 else "end" if at > 0.95 else "middle",
        label=label,
    )


def _mark(at: float, label: str) -> Markup:
    x = _LEFT + _WIDTH * at
    anchor, gap = ("start", 3) if at < 0.5 else ("end", -3)
    return html(
        '<path class="mark" d="M{x:.1f} {top}V{floor}"/>'
        '<text x="{at:.1f}" y="{y}" text-anchor="{anchor}">{label}</text>',
        x=x,
        top=_TOP - 10,
        floor=_FLOOR,
        at=x + gap,
        y=_TOP - 5,
        anchor=anchor,
        label=label,
    )
