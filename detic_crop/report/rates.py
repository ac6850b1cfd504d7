"""How many photos were cropped, by class and by species, and whether that gives a label away."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from markupsafe import Markup

from detic_crop.photos.labels import Labels
from detic_crop.report.groups import SPECIES_COLUMNS, find_column
from detic_crop.report.html.markup import escaped, html, joined, meter, percent, table
from detic_crop.report.model import AuditPhoto

_MAX_GROUPS = 100
_MAX_LEAKS = 10

_LEAK_SHARE = 0.2  # a species leaks when its uncropped share differs by so much from all the others',
_LEAK_DEVIATIONS = 3.0  # by so many standard deviations,
_LEAK_PHOTOS = 10  # with at least so many photos on either side


@dataclass(slots=True)
class _Group:
    """What became of the photos of one species or class."""

    statuses: Counter[str] = field(default_factory=Counter)
    flagged: int = 0
    scores: list[float] = field(default_factory=list)

    def add(self, photo: AuditPhoto) -> None:
        self.statuses[photo.record.status] += 1
        if photo.is_crop:
            self.flagged += bool(photo.doubts.against_the_crop)
            if photo.record.score is not None:
                self.scores.append(photo.record.score)

    @property
    def finished(self) -> int:
        """Photos with a crop or a whole-photo stand-in."""
        return self.statuses["cropped"] + self.statuses["resized"]

    @property
    def uncropped(self) -> float:
        """Share of the finished photos that were only resized."""
        return self.statuses["resized"] / self.finished if self.finished else 0.0


def _grouped(
    photos: Iterable[AuditPhoto], names_of: Callable[[AuditPhoto], Iterable[str]]
) -> dict[str, _Group]:
    """Groups by falling number of photos; a photo counts once in each group it belongs to."""
    groups: dict[str, _Group] = {}
    for photo in photos:
        for name in names_of(photo):
            groups.setdefault(name, _Group()).add(photo)
    return dict(sorted(groups.items(), key=lambda item: (-item[1].statuses.total(), item[0])))


# ---------------------------------------------------------------- by class


def class_table(photos: Sequence[AuditPhoto]) -> Markup:
    """Found by class; what was not found has none."""
    crops = [photo for photo in photos if photo.is_crop]
    unlisted = sum(photo.is_not_listed for photo in photos)
    missed = sum(photo.is_whole for photo in photos) - unlisted
    finished = len(crops) + missed + unlisted
    groups = _grouped(crops, lambda photo: (photo.record.class_name,))

    def row(name: Markup, n: int, score: str, flagged: str) -> Markup:
        return html(
            '<tr><td class="name">{name}</td><td class="n">{n:,}</td><td>{share}</td>'
            '<td class="n">{score}</td><td class="n">{flagged}</td></tr>\n',
            name=name,
            n=n,
            share=meter(n / finished if finished else 0.0),
            score=score,
            flagged=flagged,
        )

    rows = [
        row(
            escaped(name) or Markup("(drawn by a reviewer)"),
            group.statuses.total(),
            f"{statistics.median(group.scores):.2f}" if group.scores else "",
            f"{group.flagged:,}",
        )
        for name, group in islice(groups.items(), _MAX_GROUPS)
    ]
    rows.append(row(Markup("<i>not found, only resized</i>"), missed, "", ""))
    if unlisted:
        rows.append(row(Markup("<i>not in the boxes file, only resized</i>"), unlisted, "", ""))
    header = ("class of the chosen box", "#photos", "share of usable photos", "#median score", "#flagged")
    return html(
        '<h2 id="rates">Found and not found</h2>\n<h3>By class</h3>\n{table}',
        table=table(header, rows, len(groups) + 1 + bool(unlisted)),
    )


# ---------------------------------------------------------------- by species


class _Leak(NamedTuple):
    """A species whose uncropped share differs strongly from the others' together."""

    species: str
    share: float
    others: float


@dataclass(frozen=True, slots=True)
class SpeciesRates:
    """What became of each species, the most frequent first, and those that stand out, the worst first."""

    column: str
    groups: Mapping[str, _Group]
    leaks: Sequence[_Leak]


def species_rates(photos: Sequence[AuditPhoto], labels: Labels | None) -> SpeciesRates | None:
    """Counts by the label column that names the species; None where no label does."""
    column = find_column(labels.columns, SPECIES_COLUMNS) if labels else None
    if labels is None or column is None:
        return None
    groups = _grouped(photos, lambda photo: {row[column] for row in photo.labels})
    return SpeciesRates(labels.columns[column], groups, _leaks(groups)) if groups else None


def _leaks(groups: Mapping[str, _Group]) -> list[_Leak]:
    """Two-proportion z test with the pooled variance, of each species against all the others."""
    total = sum(group.finished for group in groups.values())
    resized = sum(group.statuses["resized"] for group in groups.values())
    leaks = []
    for name, group in groups.items():
        n, mine = group.finished, group.statuses["resized"]
        if min(n, total - n) < _LEAK_PHOTOS:
            continue
        share, others, pooled = mine / n, (resized - mine) / (total - n), resized / total
        deviation = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / (total - n)))
        difference = abs(share - others)
        if difference >= _LEAK_SHARE and difference >= _LEAK_DEVIATIONS * deviation:
            leaks.append(_Leak(name, share, others))
    return sorted(leaks, key=lambda leak: (-abs(leak.share - leak.others), leak.species))


def leak_warning(rates: SpeciesRates | None) -> Markup:
    """What a trainer must know before the crops are used; nothing when no species stands out."""
    if rates is None or not rates.leaks:
        return Markup()
    items = (
        html(
            "{species} {share} (the others {others})",
            species=escaped(leak.species) or "(empty)",
            share=percent(leak.share),
            others=percent(leak.others),
        )
        for leak in rates.leaks[:_MAX_LEAKS]
    )
    left = len(rates.leaks) - _MAX_LEAKS
    return html(
        '<div class="warning" id="leak"><p><b>Uncropped photos give the label away.</b> The share of photos '
        "that were only resized differs strongly between values of <code>{column}</code>: "
        "{items}{more}.</p><p>A model trained on these crops can learn “whole photo” as a sign "
        "of the species instead of the animal. Find the missed animals (below), leave uncropped photos out, "
        "or mix uncropped photos into every species.</p></div>\n",
        column=escaped(rates.column),
        items=joined(items, "; "),
        more=f"; and {left} more" if left > 0 else "",
    )


def species_table(rates: SpeciesRates | None) -> Markup:
    """The most frequent species, by falling share of uncropped photos; nothing without species."""
    if rates is None:
        return Markup()
    leaking = {leak.species for leak in rates.leaks}
    largest = islice(rates.groups.items(), _MAX_GROUPS)
    rows = [
        html(
            '<tr{odd}><td class="name">{name}</td><td>{uncropped}</td>'
            '<td class="n">{total:,}</td><td class="n">{cropped:,}</td>'
            '<td class="n">{resized:,}</td><td class="n">{failed:,}</td>'
            '<td class="n">{flagged:,}</td></tr>\n',
            odd=Markup(" class=odd") if name in leaking else Markup(),
            name=escaped(name) or "(empty)",
            uncropped=meter(group.uncropped) if group.finished else "",
            total=group.statuses.total(),
            cropped=group.statuses["cropped"],
            resized=group.statuses["resized"],
            failed=group.statuses["failed"],
            flagged=group.flagged,
        )
        for name, group in sorted(largest, key=lambda item: -item[1].uncropped)
    ]
    numbers = ("share only resized", "#photos", "#cropped", "#only resized", "#failed", "#crops flagged")
    note = Markup('<p class="soft">No value stands out by its share of uncropped photos.</p>\n')
    return html(
        "<h3>By label column <code>{column}</code></h3>\n{note}{table}",
        column=escaped(rates.column),
        note=Markup() if leaking else note,
        table=table((rates.column, *numbers), rows, len(rates.groups), "the most frequent are shown"),
    )
