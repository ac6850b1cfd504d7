"""The values of the page above the pictures: counts, settings, review, failed photos, flags, rates, plots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detic_crop.config import CropConfig
from detic_crop.detectors.vocabulary import split_names
from detic_crop.report.estimate import Estimate
from detic_crop.report.html.histograms import FRAME, plots
from detic_crop.report.html.overlay import KINDS
from detic_crop.report.intervals import LEVEL
from detic_crop.report.model import Audit, AuditPhoto
from detic_crop.report.rates import class_groups, species_rates
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
_MAX_LEAKS = 10
_OF_ALL = frozenset({"not_found", "not_listed", "truncated_file", "damaged_file"}) | IMAGE_CHECKS
"""Flags that say nothing against a box: photos that were resized whole may have them, too."""


def overview(audit: Audit) -> dict[str, Any]:
    """Return what `page.html.j2` shows of an audit, but for the pictures."""
    photos = list(audit.photos.values())
    statuses = Counter[str](photo.record.status for photo in photos)
    failed = [photo.record for photo in photos if photo.record.status == "failed"]
    return {
        "n_photos": len(photos),
        "n_rows": len(audit.rows),
        "n_not_listed": sum(photo.is_not_listed for photo in photos),
        "n_flagged": sum(photo.is_flagged for photo in photos),
        "n_usable": statuses["cropped"] + statuses["resized"],
        "statuses": statuses,
        "parts": _parts(photos),
        "whereabouts": audit.whereabouts,
        "settings": _settings(audit.config, audit.inputs),
        "conf": f"{audit.config.conf:g}" if audit.config.conf else "",
        "review": _review(photos, audit.estimate),
        "any_verdict": any(photo.verdict for photo in photos),
        "estimate": audit.estimate,
        "level": LEVEL,
        "failed": failed,
        "failed_reasons": Counter(record.reason for record in failed).most_common(),
        "max_failures": _MAX_FAILURES,
        "flags": FLAGS,
        "flag_counts": _flag_counts(photos, statuses),
        "classes": class_groups(photos),
        "species": species_rates(photos, audit.labels),
        "max_groups": _MAX_GROUPS,
        "max_leaks": _MAX_LEAKS,
        "plots": plots(photos, audit.config),
        "frame": FRAME,
        "box_kinds": KINDS,
    }


def _parts(photos: Sequence[AuditPhoto]) -> list[tuple[str, str]]:
    """Return (anchor, title) of the parts of the page that exist."""
    n_failed = sum(photo.record.status == "failed" for photo in photos)
    parts = (
        ("review", "Review", n_failed < len(photos)),
        ("failed", "Failed photos", n_failed),
        ("flags", "Flags", True),
        ("rates", "Found and not found", True),
        ("histograms", "Histograms", True),
        ("crops", "Most suspicious crops", any(photo.is_crop for photo in photos)),
        ("not-found", "No animal found", any(photo.is_not_found for photo in photos)),
        ("not-listed", "Not in the boxes file", any(photo.is_not_listed for photo in photos)),
    )
    return [(anchor, title) for anchor, title, exists in parts if exists]


def _settings(config: CropConfig, inputs: Sequence[str]) -> dict[str, str]:
    """Return what the crops were made with, and of which inputs."""
    return {
        **({"photos of": ", ".join(inputs)} if inputs else {}),
        "model": config.model,
        "classes": ", ".join(split_names(config.classes or "any")),  # a journal always has them
        "conf": "the model’s own" if config.conf is None else f"{config.conf:g}",
        "scale": f"{config.scale:g}",
        "size": f"{config.size} × {config.size}",
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


def _review(photos: Sequence[AuditPhoto], estimate: Estimate | None) -> _Review | None:
    """Return how far review is; None if there is nothing to review."""
    reviewable = [photo for photo in photos if photo.record.status != "failed"]
    if not reviewable:
        return None
    given = Counter(photo.verdict.verdict for photo in reviewable if photo.verdict)
    order = [*VERDICTS, *(verdict for verdict in given if verdict not in VERDICTS)]
    return _Review(
        photos=len(reviewable),
        done=given.total(),
        waiting=sum(photo.is_waiting for photo in reviewable),
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


def _flag_counts(
    photos: Sequence[AuditPhoto], statuses: Mapping[str, int]
) -> list[tuple[str, str, int, int]]:
    """Return (flag, rule, number of photos that have it, number of photos that could) of every flag."""
    counts = Counter(flag for photo in photos for flag in photo.doubts.flags)
    n_crops = statuses["cropped"]
    n_usable = n_crops + statuses["resized"]
    return [
        (flag, rule, counts[flag], n_usable if flag in _OF_ALL else n_crops) for flag, rule in FLAGS.items()
    ]
