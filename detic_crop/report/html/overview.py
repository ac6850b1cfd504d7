"""The values of the page above the pictures: counts, settings, review, failed photos, flags, rates, plots."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detic_crop.boxes.crop_size import CropSize
from detic_crop.config import CropConfig
from detic_crop.detectors.vocabulary import split_names
from detic_crop.folder.animals import crops_of
from detic_crop.folder.records import Record
from detic_crop.folder.times_file import Times
from detic_crop.report.agreement import WORDS
from detic_crop.report.estimate import Estimate
from detic_crop.report.groups import SPECIES_COLUMNS, find_column
from detic_crop.report.html.frame_map import COLUMNS, ROWS, frame_map
from detic_crop.report.html.head import Made
from detic_crop.report.html.histograms import FRAME
from detic_crop.report.html.overlay import KINDS
from detic_crop.report.html.photo_times import PhotoTimes, times_plot
from detic_crop.report.html.score_rows import WIDTH, score_rows
from detic_crop.report.html.spread import Spread, plots
from detic_crop.report.intervals import LEVEL
from detic_crop.report.kappa import METHOD
from detic_crop.report.model import Audit
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.rates import Rates
from detic_crop.report.suspicion import FLAGS, IMAGE_CHECKS

VERDICTS: Mapping[str, str] = {
    "accepted": "accepted",
    "whole": "the whole photo",
    "box": "another box",
    "rejected": "rejected",
}
"""What a reviewer can say, in words."""

_MAX_FAILURES = 100
_MAX_GROUPS = 100
_FIRST_GROUPS = 12  # rows that are not folded away
_MAX_LEAKS = 10
_OF_ALL = frozenset({"not_found", "not_listed", "truncated_file", "damaged_file"}) | IMAGE_CHECKS
"""Flags that say nothing against a box: photos that were resized whole may have them, too."""


class Tally:
    """What the page counts of the photos, which are read once through.

    Args:
        audit: what the page shows.
        times: when photos were taken, as far as that was looked up after the run.

    Attributes:
        statuses: number of photos by status.
        n_crops: number of crops of the photos in which an animal was found; with ``--animals all`` a photo
            may have several.
        crop_kinds: for each of the crops the number of its kind: its species, else its class.
        crops, not_found, not_listed: places of the photos of these kinds, in the order of the photos.
    """

    def __init__(self, audit: Audit, times: Times) -> None:
        columns = audit.labels.columns if audit.labels else ()
        self._species = find_column(columns, SPECIES_COLUMNS)
        self.kinds_are = "classes" if self._species is None else f"values of {columns[self._species]}"
        self._kinds: dict[str, int] = {}
        self.crop_kinds = array("i")
        self.statuses = Counter[str]()
        self.crops, self.not_found, self.not_listed = array("q"), array("q"), array("q")
        self.n_flagged = self.n_waiting = self.n_crops = 0
        self.failures: list[Record] = []
        self.reasons = Counter[str]()
        self.flags = Counter[str]()
        self.verdicts = Counter[str]()
        self.any_verdict = False
        self.rates = Rates(audit.labels)
        self.spread = Spread()
        self.times = PhotoTimes(times)
        for place, photo in enumerate(audit.photos.in_order()):
            self._add(place, photo)

    def _add(self, place: int, photo: AuditPhoto) -> None:
        record = photo.record
        self.statuses[record.status] += 1
        self.flags.update(photo.doubts.flags)
        self.any_verdict |= photo.verdict is not None
        self.n_flagged += photo.is_flagged
        if photo.is_not_found:
            self.not_found.append(place)
        elif photo.is_not_listed:
            self.not_listed.append(place)
        elif photo.is_crop:
            self.crops.append(place)
            self.n_crops += len(crops_of(photo.record)) if photo.record.animals else 1
            self.crop_kinds.append(self._kinds.setdefault(self.kind_of(photo), len(self._kinds)))
        if record.status == "failed":
            self.reasons[record.reason] += 1
            if len(self.failures) < _MAX_FAILURES:
                self.failures.append(record)
        else:
            self.n_waiting += photo.is_waiting
            if photo.verdict:
                self.verdicts[photo.verdict.verdict] += 1
        self.rates.add(photo)
        self.spread.add(photo)
        self.times.add(photo)

    def kind_of(self, photo: AuditPhoto) -> str:
        """Return the species of a photo by its first label row, else the class of its box."""
        if self._species is not None and photo.labels:
            return photo.labels[0][self._species]
        return photo.record.class_name

    @property
    def n_usable(self) -> int:
        """Number of photos that could be used: all but those that failed or were rejected."""
        return sum(self.statuses[status] for status in ("cropped", "resized", "skipped"))

    @property
    def n_kinds(self) -> int:
        """Number of kinds among the crops."""
        return len(self._kinds)


def overview(audit: Audit, tally: Tally, made: Made) -> dict[str, Any]:
    """Return what `page.html.j2` shows of an audit, but for the pictures."""
    statuses = tally.statuses
    histograms = [*plots(tally.spread, audit.config), *filter(None, [times_plot(tally.times)])]
    boxes = frame_map(tally.spread.boxes)
    has_plots = boxes is not None or any(plot.total for plot in histograms)
    return {
        "made": made,
        "n_photos": len(audit.photos),
        "n_rows": len(audit.rows),
        "n_not_listed": len(tally.not_listed),
        "n_flagged": tally.n_flagged,
        "n_usable": tally.n_usable,
        "n_crops": tally.n_crops,
        "several": audit.config.animals == "all",
        "statuses": statuses,
        "parts": _parts(tally, has_plots),
        "has_plots": has_plots,
        "plots": histograms,
        "score_rows": score_rows(tally.rates, audit.config.conf),
        "frame_map": boxes,
        "whereabouts": audit.whereabouts,
        "settings": _settings(audit.config, audit.inputs),
        "conf": f"{audit.config.conf:g}" if audit.config.conf else "",
        "review": _review(tally, audit.estimate),
        "any_verdict": tally.any_verdict,
        "estimate": audit.estimate,
        "agreements": audit.agreements,
        "agreement_words": WORDS,
        "kappa_method": METHOD,
        "level": LEVEL,
        "failures": tally.failures,
        "failed_reasons": tally.reasons.most_common(),
        "flags": FLAGS,
        "flag_counts": _flag_counts(tally),
        "classes": tally.rates.classes(),
        "species": tally.rates.species(),
        "max_groups": _MAX_GROUPS,
        "first_groups": _FIRST_GROUPS,
        "max_leaks": _MAX_LEAKS,
        "score_width": WIDTH,
        "frame_cells": (COLUMNS, ROWS),
        "frame": FRAME,
        "box_kinds": KINDS,
    }


def _parts(tally: Tally, has_plots: bool) -> list[tuple[str, str]]:
    """Return (anchor, title) of the parts of the page that exist."""
    n_failed = tally.statuses["failed"]
    parts = (
        ("numbers", "In numbers", True),
        ("plots", "Plots", has_plots),
        ("review", "Review", n_failed < tally.statuses.total()),
        ("failed", "Failed photos", n_failed),
        ("rates", "Found and not found", tally.n_usable or tally.rates.species()),
        ("flags", "Flags", True),
        ("crops", "Most suspicious crops", tally.crops),
        ("not-found", "No animal found", tally.not_found),
        ("not-listed", "Not in the boxes file", tally.not_listed),
    )
    return [(anchor, title) for anchor, title, exists in parts if exists]


def _settings(config: CropConfig, inputs: Sequence[str]) -> dict[str, str]:
    """Return what the crops were made with, and of which inputs."""
    return {
        **({"photos of": ", ".join(inputs)} if inputs else {}),
        "model": config.model,
        "classes": ", ".join(split_names(config.classes or "any")),  # a journal always has them
        "conf": config.conf_text,
        "scale": f"{config.scale:g}",
        "size": CropSize.of(config).text,
        "fit": config.fit,
        "format": config.format if config.format == "png" else f"{config.format}, quality {config.quality}",
    }


@dataclass(frozen=True, slots=True)
class _Review:
    """How far review is.

    Attributes:
        photos: number of photos that can be reviewed.
        done: number of photos with a verdict.
        waiting: number of verdicts that are not applied yet.
        verdicts: (verdict in words, number of photos).
        shares: (name, (estimate, lower, upper limit)) of the known shares, in per cent.
    """

    photos: int
    done: int
    waiting: int
    verdicts: Sequence[tuple[str, int]]
    shares: Sequence[tuple[str, tuple[str, str, str]]]


def _review(tally: Tally, estimate: Estimate | None) -> _Review | None:
    """Return how far review is; None if there is nothing to review."""
    reviewable = tally.statuses.total() - tally.statuses["failed"]
    if not reviewable:
        return None
    given = tally.verdicts
    order = [*VERDICTS, *(verdict for verdict in given if verdict not in VERDICTS)]
    return _Review(
        photos=reviewable,
        done=given.total(),
        waiting=tally.n_waiting,
        verdicts=[(VERDICTS.get(verdict, verdict), given[verdict]) for verdict in order if given[verdict]],
        shares=[] if estimate is None else _shares(estimate),
    )


def _shares(estimate: Estimate) -> list[tuple[str, tuple[str, str, str]]]:
    shares = (
        ("crops that are right", estimate.precision),
        ("uncropped photos that show an animal", estimate.missed),
        ("animals that were missed", estimate.missed_animals),
        ("crops that are right after review", estimate.precision_now),
    )
    return [(name, share.percents()) for name, share in shares if share is not None]


def _flag_counts(tally: Tally) -> list[tuple[str, str, int, int]]:
    """Return (flag, rule, number of photos that have it, number of photos that could) of every flag."""
    n_cropped = tally.statuses["cropped"]
    return [
        (flag, rule, tally.flags[flag], tally.n_usable if flag in _OF_ALL else n_cropped)
        for flag, rule in FLAGS.items()
    ]
