"""When the photos of a run were taken, as far as that is known: one histogram by hour, day, month or year."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import numpy as np

from detic_crop.folder.times_file import Times
from detic_crop.report.html.head import MONTHS
from detic_crop.report.html.histograms import Histogram, Plot, plot_of
from detic_crop.report.photos import AuditPhoto
from detic_crop.wording import counted

_MOST_BARS = 48
_HOUR = len("2026-11-29T13")


class PhotoTimes:
    """How many photos were taken in each hour. They are added one by one.

    Args:
        known: times that were looked up after the run; a record may have its own.
    """

    def __init__(self, known: Times) -> None:
        self._known = known
        self.hours = Counter[str](), Counter[str]()  # of crops, and of photos that were resized whole
        self.unknown = 0

    def add(self, photo: AuditPhoto) -> None:
        """Count a photo that has a picture in the run."""
        record = photo.record
        if record.status not in ("cropped", "resized"):
            return
        taken = record.taken
        if not taken and len(self._known):
            taken = (self._known.of(record) or ("", ""))[0]
        if taken:
            self.hours[record.status == "resized"][taken[:_HOUR]] += 1
        else:
            self.unknown += 1


def times_plot(times: PhotoTimes) -> Plot | None:
    """Return the photos by time; None if no time is known, or all were taken in one hour."""
    by_moment = [{_parsed(hour): number for hour, number in hours.items()} for hours in times.hours]
    moments = sorted({moment for hours in by_moment for moment in hours if moment is not None})
    if len(moments) < 2:
        return None
    begin, end = moments[0], moments[-1]
    unit = next((unit for unit in _UNITS if unit.place(end) - unit.place(begin) < _MOST_BARS), _UNITS[-1])
    first = unit.place(begin)
    step = -(-(unit.place(end) - first + 1) // _MOST_BARS)
    bars = (unit.place(end) - first) // step + 1
    series = []
    for hours in by_moment:
        numbers = np.zeros(bars, np.int64)
        for moment, number in hours.items():
            if moment is not None:
                numbers[(unit.place(moment) - first) // step] += number
        series.append(np.repeat(np.arange(bars) + 0.5, numbers).tolist())
    total = counted(sum(map(len, series)), "photo")
    names = [""] * bars
    for moment in reversed(moments):
        names[(unit.place(moment) - first) // step] = unit.said(moment) + (" and later" if step > 1 else "")
    also = f"; {counted(times.unknown, 'photo')} without a time" if times.unknown else ""
    return plot_of(
        Histogram(
            f"Photos by {unit.name}",
            f" as their EXIF says{also}",
            [float(edge) for edge in range(bars + 1)],
            series,
            {(unit.place(moment) - first) // step + 0.5: unit.said(moment) for moment in (begin, end)},
            key=(("first", "cropped"), ("second", "only resized,")),
            names=names,
            about=f"{total} by {unit.name}, {unit.said(begin)} to {unit.said(end)}",
        )
    )


def _parsed(hour: str) -> datetime | None:
    try:
        return datetime.strptime(hour, "%Y-%m-%dT%H")
    except ValueError:
        return None


def _month(moment: datetime) -> str:
    return f"{MONTHS[moment.month - 1]} {moment.year}"


class _Unit(NamedTuple):
    """What a bar stands for: its name, its number, and what it is called."""

    name: str
    place: Callable[[datetime], int]
    said: Callable[[datetime], str]


_UNITS = (
    _Unit(
        "hour",
        lambda moment: moment.toordinal() * 24 + moment.hour,
        lambda moment: f"{moment.day} {_month(moment)}, {moment.hour}:00",
    ),
    _Unit("day", lambda moment: moment.toordinal(), lambda moment: f"{moment.day} {_month(moment)}"),
    _Unit("month", lambda moment: 12 * moment.year + moment.month, _month),
    _Unit("year", lambda moment: moment.year, lambda moment: str(moment.year)),
)
