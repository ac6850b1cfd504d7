"""The shapes of a histogram: one or two series in bars."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from detic_crop.wording import counted


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
        about: what is read aloud.
    """

    title: str
    key: Sequence[tuple[str, str]]
    note: str
    total: int
    highest: int
    bars: Sequence[_Bar]
    ticks: Sequence[_Text]
    marks: Sequence[_Text]
    about: str


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
        names: what the bars are called, if their edges do not say it.
        about: what a plot says that is read aloud; empty for the number of photos.
    """

    title: str
    note: str
    edges: Sequence[float]
    series: Sequence[Sequence[float]]
    ticks: Mapping[float, str]
    marks: Mapping[float, str] = field(default_factory=dict)
    key: Sequence[tuple[str, str]] = ()
    logarithmic: bool = False
    names: Sequence[str] = ()
    about: str = ""

    def x(self, value: float) -> float:
        """Return the position of a value on the axis."""
        scale: Callable[[float], float] = math.log if self.logarithmic else float
        low, high = scale(self.edges[0]), scale(self.edges[-1])
        return FRAME.left + FRAME.width * (scale(value) - low) / (high - low)


def plot_of(histogram: Histogram) -> Plot:
    """Return a histogram as it is drawn."""
    edges = np.asarray(histogram.edges)
    counts = np.array(
        [np.histogram(np.clip(np.array(v), edges[0], edges[-1]), edges)[0] for v in histogram.series]
    )
    highest = max(1, int(counts.sum(axis=0).max()))  # counts: (series, bins)
    total = sum(map(len, histogram.series))
    return Plot(
        histogram.title,
        histogram.key,
        histogram.note,
        total,
        highest,
        [bar for i in range(len(edges) - 1) for bar in _bars(histogram, i, counts[:, i].tolist(), highest)],
        [_tick(histogram.x(value), label) for value, label in histogram.ticks.items()],
        [_mark(histogram.x(value), label) for value, label in histogram.marks.items()],
        histogram.about or f"{histogram.title} of {counted(total, 'photo')}",
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
            name = histogram.names[i] if histogram.names else f"{low:.3g} to {high:.3g}"
            words = f"{name}: {count:,}"
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
