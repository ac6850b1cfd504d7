"""How score, presence, area and aspect are spread over a run: the shapes of four plots."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from detic_crop.config import CropConfig
from detic_crop.folder.records import Record
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.suspicion import area_fraction


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where a plot lies in its SVG of 320 × 150."""

    left: float = 8.0
    width: float = 304.0
    top: float = 16.0
    height: float = 108.0

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def floor(self) -> float:
        return self.top + self.height


FRAME = _Frame()


@dataclass(frozen=True, slots=True)
class _Bar:
    """A bar, which says its numbers when pointed at."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    words: str


@dataclass(frozen=True, slots=True)
class _Text:
    """A text on the axis, or beside a dashed line at `x`."""

    x: float
    label_x: float
    anchor: str
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A histogram as it is drawn.

    Attributes:
        title: name of what is counted.
        key: (kind, words) of the colours; empty if there is only one.
        note: what is counted, in words.
        total: number of values.
        highest: number of values in the highest bar.
        bars: bars of all series.
        ticks: texts below the axis.
        marks: dashed lines.
    """

    title: str
    key: Sequence[tuple[str, str]]
    note: str
    total: int
    highest: int
    bars: Sequence[_Bar]
    ticks: Sequence[_Text]
    marks: Sequence[_Text]


@dataclass(frozen=True, slots=True)
class Histogram:
    """What a plot shows.

    Attributes:
        title: name of what is counted.
        note: what is counted, in words.
        edges: edges of the bins; values outside count in the first or last.
        series: one or two lists of values, stacked.
        ticks: value → text on the axis.
        marks: value → what a dashed line there means.
        key: (kind, words) of the colours.
        logarithmic: True if the axis is.
    """

    title: str
    note: str
    edges: Sequence[float]
    series: Sequence[Sequence[float]]
    ticks: Mapping[float, str]
    marks: Mapping[float, str] = field(default_factory=dict)
    key: Sequence[tuple[str, str]] = ()
    logarithmic: bool = False

    def x(self, value: float) -> float:
        """Return the position of a value on the axis."""
        scale: Callable[[float], float] = math.log if self.logarithmic else float
        low, high = scale(self.edges[0]), scale(self.edges[-1])
        return FRAME.left + FRAME.width * (scale(value) - low) / (high - low)


class Spread:
    """The numbers that the plots of a run count; the photos are added one by one."""

    def __init__(self) -> None:
        self.scores, self.presences, self.missed_presences = array("d"), array("d"), array("d")
        self.areas, self.aspects = array("d"), array("d")

    def add(self, photo: AuditPhoto) -> None:
        """Add the numbers of a photo, as far as they are known."""
        record = photo.record
        if photo.is_crop:
            _add(self.scores, record.score)
            _add(self.presences, record.presence)
            _add(self.areas, area_fraction(record))
            _add(self.aspects, _aspect(record))
        elif photo.is_not_found:
            _add(self.missed_presences, record.presence)


def plots(spread: Spread, config: CropConfig) -> list[Plot]:
    """Return the four plots of a run."""
    unit = [i / 20 for i in range(21)]
    unit_ticks = {0.0: "0", 0.25: "0.25", 0.5: "0.5", 0.75: "0.75", 1.0: "1"}
    conf = config.conf or 0.0
    conf_mark = {conf: f"conf {conf:g}"} if 0 < conf < 1 else {}
    histograms = (
        Histogram("Score", "of the chosen box", unit, [spread.scores], unit_ticks, conf_mark),
        Histogram(
            "Presence",
            "; right: likely missed",
            unit,
            [spread.presences, spread.missed_presences],
            unit_ticks,
            conf_mark,
            key=(("first", "cropped"), ("second", "nothing found")),
        ),
        Histogram(
            "Area",
            "of the chosen box, share of the photo",
            [10 ** (i / 6 - 3) for i in range(19)],
            [spread.areas],
            {0.001: "0.1 %", 0.01: "1 %", 0.1: "10 %", 1.0: "100 %"},
            logarithmic=True,
        ),
        Histogram(
            "Aspect",
            "of the chosen box, width : height",
            [2 ** (i / 3 - 4) for i in range(25)],
            [spread.aspects],
            {1 / 16: "1:16", 1 / 4: "1:4", 1.0: "1:1", 4.0: "4:1", 16.0: "16:1"},
            logarithmic=True,
        ),
    )
    return list(map(plot_of, histograms))


def _add(values: array[float], value: float | None) -> None:
    if value is not None:
        values.append(value)


def _aspect(record: Record) -> float | None:
    if record.box is None:
        return None
    left, top, right, bottom = record.box
    return (right - left) / (bottom - top) if bottom > top else None


def plot_of(histogram: Histogram) -> Plot:
    edges = np.asarray(histogram.edges)
    counts = np.array(
        [np.histogram(np.clip(np.array(v), edges[0], edges[-1]), edges)[0] for v in histogram.series]
    )
    highest = max(1, int(counts.sum(axis=0).max()))  # counts: (series, bins)
    return Plot(
        histogram.title,
        histogram.key,
        histogram.note,
        sum(map(len, histogram.series)),
        highest,
        [bar for i in range(len(edges) - 1) for bar in _bars(histogram, i, counts[:, i].tolist(), highest)],
        [_tick(histogram.x(value), label) for value, label in histogram.ticks.items()],
        [_mark(histogram.x(value), label) for value, label in histogram.marks.items()],
    )


def _bars(histogram: Histogram, i: int, counts: Sequence[int], highest: int) -> list[_Bar]:
    """Return bin `i` of every series, one upon the other."""
    low, high = histogram.edges[i], histogram.edges[i + 1]
    left, right = histogram.x(low), histogram.x(high)
    y = FRAME.floor
    bars = []
    for kind, count in zip(("first", "second"), counts, strict=False):
        if count:
            height = FRAME.height * count / highest
            y -= height
            words = f"{low:.3g} to {high:.3g}: {count:,}"
            bars.append(_Bar(kind, left + 0.5, y, right - left - 1, height, words))
    return bars


def _tick(x: float, label: str) -> _Text:
    at = (x - FRAME.left) / FRAME.width
    return _Text(x, x, "start" if at < 0.05 else "end" if at > 0.95 else "middle", label)


def _mark(x: float, label: str) -> _Text:
    """Return a dashed line with its text on the side where there is more room."""
    if x < FRAME.left + FRAME.width / 2:
        return _Text(x, x + 3, "start", label)
    return _Text(x, x - 3, "end", label)
