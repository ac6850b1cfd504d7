"""How score, presence, area and place are spread over a run."""

from __future__ import annotations

from array import array

from detic_crop.config import CropConfig
from detic_crop.report.html.histograms import Histogram, Plot, plot_of
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.suspicion import area_fraction


class Spread:
    """The numbers that the plots of a run count; the photos are added one by one."""

    def __init__(self) -> None:
        self.scores, self.presences, self.missed_presences = array("d"), array("d"), array("d")
        self.areas = array("d")
        self.boxes = array("f")  # left, top, right, bottom, as shares of the photo's sides

    def add(self, photo: AuditPhoto) -> None:
        """Add the numbers of a photo, as far as they are known."""
        record = photo.record
        if photo.is_crop:
            _add(self.scores, record.score)
            _add(self.presences, record.presence)
            _add(self.areas, area_fraction(record))
            if record.box is not None and record.width and record.height:
                left, top, right, bottom = record.box
                width, height = record.width, record.height
                self.boxes.extend((left / width, top / height, right / width, bottom / height))
        elif photo.is_not_found:
            _add(self.missed_presences, record.presence)


def plots(spread: Spread, config: CropConfig) -> list[Plot]:
    """Return the histograms of a run."""
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
    )
    return list(map(plot_of, histograms))


def _add(values: array[float], value: float | None) -> None:
    if value is not None:
        values.append(value)
