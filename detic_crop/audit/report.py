"""audit.html: what a run did, and the photos most worth a look, in one file that needs nothing else.

No script, no network: style, histograms and thumbnails are inside, so the page works from a mail attachment.
It holds at most `_MAX_PHOTOS` photos and `_MAX_BYTES` however large the run, says nothing about when or where
it was made, and so is the same for the same journal.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import math
import os
import stat
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from detic_crop.audit.suspicion import FLAGS, area_fraction, flags_of, suspicion_of
from detic_crop.audit.table import Row
from detic_crop.boxes.choose import wanted_mask
from detic_crop.boxes.detections import BOX_DECIMALS, Detections
from detic_crop.config import DEFAULT_MAX_PIXELS, CropConfig
from detic_crop.errors import PhotoError
from detic_crop.images.crop import resize
from detic_crop.images.decode import decode
from detic_crop.images.encode import encode
from detic_crop.images.headers import read_header
from detic_crop.images.quiet import quiet_c_stderr
from detic_crop.runs.execute import read_listing
from detic_crop.runs.folder import OutputFolder
from detic_crop.runs.journal import Record, read_candidates
from detic_crop.runs.labels import Labels
from detic_crop.runs.local import default_workers

_MAX_BYTES = 25_000_000  # what mail servers still take
_MAX_PHOTOS = 300
_MAX_NOT_FOUND = 100  # of these photos, unless there are too few crops to fill the rest
_MAX_TABLE_ROWS = 100
_MAX_TEXT = 300  # characters of one name, label or message
_MAX_LABELS = 12  # label columns shown with a photo
_MAX_SCORES = 12  # boxes of one photo whose score is written beside them

_PHOTO_SIDE = 420  # px, long side
_CROP_SIDE = 200
_PHOTO_QUALITY = 75
_CROP_QUALITY = 80

_SPECIES_COLUMNS = ("species", "scientific_name", "common_name", "taxon", "category", "class", "label")
_LEAK_SHARE = 0.2  # a species leaks when its uncropped share differs by so much from all the others',
_LEAK_DEVIATIONS = 3.0  # by so many standard deviations,
_LEAK_PHOTOS = 10  # with at least so many photos on either side

_STATUSES: Mapping[str, str] = {
    "cropped": "an animal was found; its enlarged box was cut out",
    "resized": "nothing was found, or a reviewer wanted the whole photo; all of it was resized",
    "rejected": "a reviewer threw the crop out",
    "failed": "the photo could not be used",
}


def write_report(
    folder: OutputFolder, rows: Sequence[Row], labels: Labels | None, config: CropConfig
) -> None:
    """Write audit.html.

    A photo that has moved or cannot be read any more is shown without its picture; it never stops the page.

    Args:
        folder: the output folder; its listing, candidates and crops are read.
        rows: of audit.csv, in its order; a photo of several rows is shown once.
        labels: the label table, or None.
        config: the settings as resolved.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    photos = _photos(rows, config)
    shown = _most_suspicious(photos)
    head = _overview(photos, len(rows), labels, config)
    budget = _MAX_BYTES - sum(map(len, map(_utf8, (_HEAD, _style(), head, _FOOT)))) - _RESERVED_BYTES
    entries = _entries(folder, shown, labels, config, budget)
    parts = [_HEAD.replace("/*style*/", _style()), head, _galleries(photos, shown, entries, config), _FOOT]
    folder.write(folder.audit_html, _utf8("".join(parts)))


_RESERVED_BYTES = 20_000  # headings, legend and filter of the galleries

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_HEAD = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>detic-crop audit</title>
<style>
/*style*/</style>
</head>
<body>
"""
_FOOT = "</body>\n</html>\n"


def _style() -> str:
    css = resources.files("detic_crop.audit").joinpath("report.css").read_text("utf-8")
    # Filtering without a script: picking a flag hides the entries that lack its class.
    rules = (f"#crops:has(#only-{flag}:checked) .entry:not(.{flag}) {{ display: none; }}\n" for flag in FLAGS)
    return css + "".join(rules)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


# ---------------------------------------------------------------- what there is to say


@dataclass(frozen=True, slots=True)
class _Photo:
    """One photo of the run, with every label row that names it."""

    record: Record
    labels: tuple[Sequence[str], ...]
    flags: list[str]
    suspicion: float

    @property
    def anchor(self) -> str:
        """Its id in the page: the same whatever else the page shows."""
        return "p" + hashlib.blake2s(_utf8(self.record.image), digest_size=6).hexdigest()


def _photos(rows: Sequence[Row], config: CropConfig) -> list[_Photo]:
    """Each photo once, in the order of the rows."""
    records: dict[str, Record] = {}
    labels: dict[str, list[Sequence[str]]] = {}
    for row in rows:
        key = row.record.image
        records.setdefault(key, row.record)
        if row.label:
            labels.setdefault(key, []).append(row.label)
    return [
        _Photo(record, tuple(labels.get(key, ())), flags_of(record, config), suspicion_of(record, config))
        for key, record in records.items()
    ]


@dataclass(frozen=True, slots=True)
class _Shown:
    """The photos that get an entry, each list most suspicious first."""

    crops: list[_Photo]
    not_found: list[_Photo]


def _is_crop(photo: _Photo) -> bool:
    return photo.record.status == "cropped"


def _is_not_found(photo: _Photo) -> bool:
    return photo.record.status == "resized" and photo.record.reason != "reviewed_whole"


def _most_suspicious(photos: Sequence[_Photo]) -> _Shown:
    """At most `_MAX_PHOTOS`; where one kind is rare, the other takes its places."""
    crops = sorted(filter(_is_crop, photos), key=lambda photo: -photo.suspicion)
    not_found = sorted(filter(_is_not_found, photos), key=lambda photo: -photo.suspicion)
    n_not_found = min(len(not_found), max(_MAX_NOT_FOUND, _MAX_PHOTOS - len(crops)), _MAX_PHOTOS)
    return _Shown(crops[: _MAX_PHOTOS - n_not_found], not_found[:n_not_found])


@dataclass(slots=True)
class _Group:
    """What became of the photos of one species or class."""

    statuses: Counter[str] = field(default_factory=Counter)
    flagged: int = 0
    scores: list[float] = field(default_factory=list)

    def add(self, photo: _Photo) -> None:
        self.statuses[photo.record.status] += 1
        if _is_crop(photo):
            self.flagged += bool(photo.flags)
            if photo.record.score is not None:
                self.scores.append(photo.record.score)

    @property
    def finished(self) -> int:
        """Photos with a crop or a whole-photo stand-in."""
        return self.statuses["cropped"] + self.statuses["resized"]

    @property
    def uncropped(self) -> float:
        """Share of the finished photos that were only resized."""
        return _ratio(self.statuses["resized"], self.finished)


def _grouped(photos: Iterable[_Photo], names_of: Callable[[_Photo], Iterable[str]]) -> dict[str, _Group]:
    """Groups by falling number of photos; a photo counts once in each group it belongs to."""
    groups: dict[str, _Group] = {}
    for photo in photos:
        for name in names_of(photo):
            groups.setdefault(name, _Group()).add(photo)
    return dict(sorted(groups.items(), key=lambda item: (-item[1].statuses.total(), item[0])))


def _species_column(labels: Labels | None) -> int | None:
    """Index of the label column that names the species, or None."""
    names = [name.strip().lower().replace(" ", "_") for name in labels.columns] if labels else []
    return next((names.index(wanted) for wanted in _SPECIES_COLUMNS if wanted in names), None)


def _leaks(groups: Mapping[str, _Group]) -> list[tuple[str, float, float]]:
    """Species whose uncropped share differs strongly from the others' together, the worst first.

    Two-proportion z test with the pooled variance.

    Returns:
        (species, its share, the others' share).
    """
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
            leaks.append((name, share, others))
    return sorted(leaks, key=lambda leak: (-abs(leak[1] - leak[2]), leak[0]))


# ---------------------------------------------------------------- the overview


def _overview(photos: Sequence[_Photo], n_rows: int, labels: Labels | None, config: CropConfig) -> str:
    """Everything above the pictures."""
    if not photos:
        return f"<h1>detic-crop audit</h1>\n<p>No photo is finished yet.</p>\n{_settings(config)}"
    column = _species_column(labels)
    species = {} if column is None else _grouped(photos, lambda photo: {row[column] for row in photo.labels})
    leaks = _leaks(species) if species else []
    name = "" if labels is None or column is None else labels.columns[column]
    return "".join(
        (
            "<h1>detic-crop audit</h1>\n",
            _navigation(photos),
            _counts(photos, n_rows),
            _leak_warning(leaks, name),
            _settings(config),
            _failures([photo.record for photo in photos if photo.record.status == "failed"]),
            _flag_table(photos),
            _class_table(photos),
            _species_table(species, name, {leak[0] for leak in leaks}),
            _histograms(photos, config),
        )
    )


def _navigation(photos: Sequence[_Photo]) -> str:
    targets = {
        "Failed photos": any(photo.record.status == "failed" for photo in photos) and "failed",
        "Flags": "flags",
        "Found and not found": "rates",
        "Histograms": "histograms",
        "Most suspicious crops": any(map(_is_crop, photos)) and "crops",
        "No animal found": any(map(_is_not_found, photos)) and "not-found",
    }
    links = (f'<a href="#{target}">{text}</a>' for text, target in targets.items() if target)
    return f"<nav>{' '.join(links)}</nav>\n"


def _counts(photos: Sequence[_Photo], n_rows: int) -> str:
    counts: Counter[str] = Counter(photo.record.status for photo in photos)
    tiles = [_tile("photos", len(photos), "one crop each, unless failed or rejected")]
    tiles += [
        _tile(status, counts[status], meaning)
        for status, meaning in _STATUSES.items()
        if counts[status] or status != "rejected"
    ]
    flagged = sum(1 for photo in photos if _is_crop(photo) and photo.flags)
    tiles.append(_tile("crops flagged", flagged, "at least one reason to doubt them; see Flags"))
    found, missed = counts["cropped"], counts["resized"]
    finished = found + missed
    sentences = []
    if finished:
        sentences.append(
            f"<p>Of {finished:,} usable photos, {found:,} were <b>cropped ({_percent(found / finished)})</b> "
            f"and {missed:,} <b>only resized ({_percent(missed / finished)})</b>.</p>\n"
        )
    if n_rows != len(photos):
        sentences.append(
            f'<p class="soft">audit.csv has {n_rows:,} rows: several label rows name the same photo.</p>\n'
        )
    return f'<dl class="tiles">{"".join(tiles)}</dl>\n{"".join(sentences)}'


def _tile(name: str, number: int, meaning: str) -> str:
    return f'<div><dt>{name}</dt><dd class="number">{number:,}</dd><dd class="soft">{meaning}</dd></div>\n'


def _leak_warning(leaks: Sequence[tuple[str, float, float]], column: str) -> str:
    if not leaks:
        return ""
    items = "; ".join(
        f"{_text(name) or '(empty)'} {_percent(share)} (the others {_percent(others)})"
        for name, share, others in leaks[:10]
    )
    more = f"; and {len(leaks) - 10} more" if len(leaks) > 10 else ""
    return (
        '<div class="warning" id="leak"><p><b>Uncropped photos give the label away.</b> The share of photos '
        f"that were only resized differs strongly between values of <code>{_text(column)}</code>: "
        f"{items}{more}.</p><p>A model trained on these crops can learn “whole photo” as a sign "
        "of the species instead of the animal. Find the missed animals (below), leave uncropped photos out, "
        "or mix uncropped photos into every species.</p></div>\n"
    )


def _settings(config: CropConfig) -> str:
    classes = ", ".join(config.classes.split(","))
    output = config.format if config.format == "png" else f"{config.format}, quality {config.quality}"
    values = {
        "model": config.model,
        "classes": classes,
        "conf": "the model’s own" if config.conf is None else f"{config.conf:g}",
        "scale": f"{config.scale:g}",
        "size": f"{config.size} × {config.size}",
        "fit": config.fit,
        "format": output,
    }
    items = "".join(f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>\n" for name, value in values.items())
    return (
        f'<dl class="settings">{items}</dl>\n'
        '<p class="soft">Every photo has a row in <a href="audit.csv">audit.csv</a>; versions and timings '
        'are in <a href="run.json">run.json</a>. Links to these and to crops work while this page lies in '
        "the output folder.</p>\n"
    )


def _failures(failed: Sequence[Record]) -> str:
    if not failed:
        return ""
    reasons = Counter(record.reason for record in failed)
    summary = ", ".join(f"{_text(reason)}: {n:,}" for reason, n in reasons.most_common())
    rows = (
        f'<tr><td class="name">{_text(record.image)}</td><td>{_text(record.reason)}</td>'
        f'<td class="name">{_trouble(record)}</td></tr>\n'
        for record in failed[:_MAX_TABLE_ROWS]
    )
    header = ("photo", "reason", "what happened, and what to do")
    return (
        f'<h2 id="failed">Failed photos ({len(failed):,})</h2>\n'
        "<p>They have no crop. Mend them and give the same <code>detic-crop run</code> command again: it "
        f"does these and skips the rest. {summary}.</p>\n"
        + _table(header, rows, len(failed), "audit.csv has them all")
    )


def _trouble(record: Record) -> str:
    if not record.reason.endswith("_error") or record.reason == "write_error":
        return _text(record.error)
    return f"{_text(record.error)} (unexpected: try again; if it fails again, report this line)"


def _flag_table(photos: Sequence[_Photo]) -> str:
    counts = Counter(flag for photo in photos for flag in photo.flags)
    n_crops = sum(map(_is_crop, photos))
    n_finished = n_crops + sum(photo.record.status == "resized" for photo in photos)

    def row(flag: str, rule: str) -> str:
        of = n_finished if flag in ("not_found", "truncated_file") else n_crops
        share = _percent(counts[flag] / of) if of else ""
        muted = "" if counts[flag] else ' class="none"'
        name = flag.replace("_", "_<wbr>")
        return (
            f'<tr{muted}><td><code>{name}</code></td><td class="n">{counts[flag]:,}</td>'
            f'<td class="n">{share}</td><td>{escape(rule)}</td></tr>\n'
        )

    rows = [row(flag, rule) for flag, rule in FLAGS.items()]
    return (
        '<h2 id="flags">Flags</h2>\n<p>A flag is a reason to look, not a mistake. Shares are of the crops; '
        "those of <code>not_found</code> and <code>truncated_file</code> of all usable photos.</p>\n"
        + _table(("flag", "#photos", "#share", "given when"), rows, len(rows))
    )


def _class_table(photos: Sequence[_Photo]) -> str:
    """Found by class; what was not found has none."""
    groups = _grouped(filter(_is_crop, photos), lambda photo: (photo.record.class_name,))
    finished = sum(photo.record.status in ("cropped", "resized") for photo in photos)
    missed = sum(photo.record.status == "resized" for photo in photos)

    def row(name: str, n: int, score: str, flagged: str) -> str:
        return (
            f'<tr><td class="name">{name}</td><td class="n">{n:,}</td><td>{_meter(_ratio(n, finished))}</td>'
            f'<td class="n">{score}</td><td class="n">{flagged}</td></tr>\n'
        )

    rows = [
        row(
            _text(name) or "(drawn by a reviewer)",
            group.statuses.total(),
            f"{statistics.median(group.scores):.2f}" if group.scores else "",
            f"{group.flagged:,}",
        )
        for name, group in islice(groups.items(), _MAX_TABLE_ROWS)
    ]
    n_rows = len(groups) + 1
    rows.append(row("<i>not found, only resized</i>", missed, "", ""))
    header = ("class of the chosen box", "#photos", "share of usable photos", "#median score", "#flagged")
    return '<h2 id="rates">Found and not found</h2>\n<h3>By class</h3>\n' + _table(header, rows, n_rows)


def _species_table(groups: Mapping[str, _Group], column: str, leaking: set[str]) -> str:
    if not groups:
        return ""
    largest = list(islice(groups.items(), _MAX_TABLE_ROWS))
    rows = [
        f"<tr{' class=odd' if name in leaking else ''}>"
        f'<td class="name">{_text(name) or "(empty)"}</td>'
        f'<td class="n">{group.statuses.total():,}</td><td class="n">{group.statuses["cropped"]:,}</td>'
        f'<td class="n">{group.statuses["resized"]:,}</td><td class="n">{group.statuses["failed"]:,}</td>'
        f"<td>{_meter(group.uncropped) if group.finished else ''}</td>"
        f'<td class="n">{group.flagged:,}</td></tr>\n'
        for name, group in sorted(largest, key=lambda item: -item[1].uncropped)
    ]
    numbers = ("#photos", "#cropped", "#only resized", "#failed", "share only resized", "#crops flagged")
    note = "" if leaking else '<p class="soft">No value stands out by its share of uncropped photos.</p>\n'
    table = _table((column, *numbers), rows, len(groups), "the most frequent are shown")
    return f"<h3>By label column <code>{_text(column)}</code></h3>\n{note}{table}"


def _table(header: Sequence[str], rows: Iterable[str], n_rows: int, more: str = "") -> str:
    """A table that scrolls on a narrow screen; a column name that begins with # is of numbers."""
    cells = (
        f'<th class="n">{_text(name[1:])}</th>' if name.startswith("#") else f"<th>{_text(name)}</th>"
        for name in header
    )
    body = list(rows)
    left = f'<p class="soft">{n_rows - len(body):,} more; {more}.</p>\n' if n_rows > len(body) else ""
    head = f"<thead><tr>{''.join(cells)}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>\n{"".join(body)}</tbody></table></div>\n{left}'


def _meter(share: float) -> str:
    return f'<span class="meter"><i style="width:{share:.1%}"></i></span> {_percent(share)}'


# ---------------------------------------------------------------- histograms


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
    note: str
    edges: Sequence[float]
    series: Sequence[Sequence[float]]
    ticks: Mapping[float, str]
    marks: Mapping[float, str] = field(default_factory=dict)
    logarithmic: bool = False

    def x(self, value: float) -> float:
        """Position on the axis, 0 to 1."""
        scale: Callable[[float], float] = math.log if self.logarithmic else float
        low, high = scale(self.edges[0]), scale(self.edges[-1])
        return (scale(value) - low) / (high - low)


def _histograms(photos: Sequence[_Photo], config: CropConfig) -> str:
    crops = [photo.record for photo in photos if _is_crop(photo)]
    missed = [photo.record for photo in photos if _is_not_found(photo)]
    unit = [i / 20 for i in range(21)]
    conf = config.conf or 0.0
    conf_mark = {conf: f"conf {conf:g}"} if 0 < conf < 1 else {}
    unit_ticks = {0.0: "0", 0.25: "0.25", 0.5: "0.5", 0.75: "0.75", 1.0: "1"}
    plots = [
        _Histogram(
            "Score", "of the chosen box", unit, [_known(r.score for r in crops)], unit_ticks, conf_mark
        ),
        _Histogram(
            "Presence",
            '<i class="key first"></i>cropped, <i class="key second"></i>nothing found; right: likely missed',
            unit,
            [_known(r.presence for r in crops), _known(r.presence for r in missed)],
            unit_ticks,
            conf_mark,
        ),
        _Histogram(
            "Area",
            "of the chosen box, share of the photo",
            [10 ** (i / 6 - 3) for i in range(19)],
            [_known(area_fraction(record) for record in crops)],
            {0.001: "0.1 %", 0.01: "1 %", 0.1: "10 %", 1.0: "100 %"},
            logarithmic=True,
        ),
        _Histogram(
            "Aspect",
            "of the chosen box, width : height",
            [2 ** (i / 3 - 4) for i in range(25)],
            [_known(map(_aspect, crops))],
            {1 / 16: "1:16", 1 / 4: "1:4", 1.0: "1:1", 4.0: "4:1", 16.0: "16:1"},
            logarithmic=True,
        ),
    ]
    return f'<h2 id="histograms">Histograms</h2>\n<div class="plots">{"".join(map(_plot, plots))}</div>\n'


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


def _plot(histogram: _Histogram) -> str:
    """Inline SVG; each bar says its numbers when pointed at."""
    edges = np.asarray(histogram.edges)
    counts = [np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] for values in histogram.series]
    highest = max(1, int(np.sum(counts, axis=0).max()))
    shapes = [
        f'<text x="{_LEFT + _WIDTH}" y="11" text-anchor="end">{highest:,}</text>',
        *(_bar(histogram, i, [int(count[i]) for count in counts], highest) for i in range(len(edges) - 1)),
        f'<path class="axis" d="M{_LEFT} {_FLOOR}h{_WIDTH}"/>',
    ]
    for value, text in histogram.ticks.items():
        at = histogram.x(value)
        anchor = "start" if at < 0.05 else "end" if at > 0.95 else "middle"
        x = _LEFT + _WIDTH * at
        shapes.append(f'<text x="{x:.1f}" y="{_FLOOR + 16}" text-anchor="{anchor}">{text}</text>')
    for value, text in histogram.marks.items():
        at = histogram.x(value)
        x = _LEFT + _WIDTH * at
        anchor, gap = ("start", 3) if at < 0.5 else ("end", -3)
        shapes.append(f'<path class="mark" d="M{x:.1f} {_TOP - 10}V{_FLOOR}"/>')
        shapes.append(f'<text x="{x + gap:.1f}" y="{_TOP - 5}" text-anchor="{anchor}">{text}</text>')
    total = sum(map(len, histogram.series))
    return (
        f"<figure><figcaption>{histogram.title}<span>{histogram.note}</span></figcaption>"
        f'<svg viewBox="0 0 320 150" role="img" aria-label="{histogram.title} of {total:,} photos">'
        f"{''.join(shapes)}</svg></figure>\n"
    )


def _bar(histogram: _Histogram, i: int, counts: Sequence[int], highest: int) -> str:
    """Bin `i` of every series, one upon the other."""
    low, high = histogram.edges[i], histogram.edges[i + 1]
    left, right = (_LEFT + _WIDTH * histogram.x(edge) for edge in (low, high))
    y = _FLOOR
    parts = []
    for kind, count in zip(("first", "second"), counts, strict=False):
        if count:
            height = _HEIGHT * count / highest
            y -= height
            place = f'x="{left + 0.5:.1f}" y="{y:.1f}" width="{right - left - 1:.1f}" height="{height:.1f}"'
            title = f"<title>{low:.3g} to {high:.3g}: {count:,}</title>"
            parts.append(f'<rect class="{kind}" {place}>{title}</rect>')
    return "".join(parts)


# ---------------------------------------------------------------- the galleries


_BOX_KINDS: Mapping[str, str] = {
    "chosen": "chosen box",
    "cut": "what was cut out",
    "best": "most confident box, where another was chosen",
    "other": "other eligible boxes",
    "weak": "below conf, or of a class not asked for",
}


def _legend() -> str:
    items = (
        f'<li><svg><rect class="b {kind}" x="5" y="4" width="24" height="14"/></svg>{meaning}</li>\n'
        for kind, meaning in _BOX_KINDS.items()
    )
    return (
        f'<h2 id="legend">Reading the pictures</h2>\n<ul class="legend">\n{"".join(items)}</ul>\n'
        '<p class="soft">Numbers beside boxes are scores. The crop beside the photo is what a trainer sees; '
        "it opens the file.</p>\n"
    )


def _galleries(
    photos: Sequence[_Photo], shown: _Shown, entries: Mapping[str, str], config: CropConfig
) -> str:
    if not entries:
        return ""
    crops = [photo for photo in shown.crops if photo.record.image in entries]
    not_found = [photo for photo in shown.not_found if photo.record.image in entries]
    hint = "Falling presence: the likely missed animals first."
    if config.conf:
        hint += (
            f" Where a box below conf {config.conf:g} is right, <code>detic-crop recrop</code> with a lower "
            "<code>--conf</code> takes it without running the model again, as far as such boxes were kept."
        )
    return _legend() + "".join(
        (
            _gallery(
                "crops",
                "Most suspicious crops",
                "Falling suspicion, which weighs the flags and the score.",
                sum(map(_is_crop, photos)),
                crops,
                entries,
                _filter(crops),
            ),
            _gallery(
                "not-found", "No animal found", hint, sum(map(_is_not_found, photos)), not_found, entries
            ),
        )
    )


def _gallery(
    anchor: str,
    title: str,
    hint: str,
    total: int,
    photos: Sequence[_Photo],
    entries: Mapping[str, str],
    controls: str = "",
) -> str:
    if not photos:
        return ""
    part = f"{len(photos):,} of {total:,}; the rest is in audit.csv"
    extent = f"all {total:,}" if len(photos) == total else part
    html = "".join(entries[photo.record.image] for photo in photos)
    return (
        f'<section id="{anchor}">\n<h2>{title} ({extent})</h2>\n<p>{hint}</p>\n{controls}'
        f'<div class="entries">\n{html}</div>\n</section>\n'
    )


def _filter(photos: Sequence[_Photo]) -> str:
    """Radio buttons, one per flag; the style sheet does the rest."""
    counts = Counter(flag for photo in photos for flag in photo.flags)
    if len(counts) < 2:
        return ""
    choices = [("all", f"all {len(photos)}", " checked")]
    choices += [(flag, f"{_spoken(flag)} {counts[flag]}", "") for flag in FLAGS if counts[flag]]
    buttons = (
        f'<label><input type="radio" name="only" id="only-{name}"{checked}>{text}</label>\n'
        for name, text, checked in choices
    )
    legend = "<legend>Show only those flagged</legend>"
    return f'<fieldset class="filter">{legend}\n{"".join(buttons)}</fieldset>\n'


def _spoken(flag: str) -> str:
    return flag.replace("_", " ")


def _entries(
    folder: OutputFolder, shown: _Shown, labels: Labels | None, config: CropConfig, budget: int
) -> dict[str, str]:
    """Key → HTML, for as many photos as fit into `budget` bytes; both kinds in turn, the worst first."""
    order = _in_turn(shown.crops, shown.not_found)
    entries: dict[str, str] = {}
    if not order:
        return entries
    places = _places(folder)
    pool = ThreadPoolExecutor(default_workers(), thread_name_prefix="detic-crop-report")
    try:
        pictures = pool.map(lambda photo: _pictures(photo.record, places, folder.root), order)
        candidates = _candidates(folder, [photo.record for photo in order])
        for photo, picture, detections in zip(order, pictures, candidates, strict=True):
            entry = _entry(photo, picture, detections, labels, config)
            budget -= len(_utf8(entry))
            if budget < 0:
                break
            entries[photo.record.image] = entry
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return entries


def _in_turn(crops: Sequence[_Photo], not_found: Sequence[_Photo]) -> list[_Photo]:
    """Both lists mixed in proportion, so that a page that must end early has some of each."""
    ranked = [((i + 0.5) / len(part), photo) for part in (crops, not_found) for i, photo in enumerate(part)]
    return [photo for _, photo in sorted(ranked, key=lambda item: item[0])]


def _candidates(folder: OutputFolder, records: Sequence[Record]) -> Iterator[Detections | None]:
    """The kept boxes of each photo; None where they cannot be read any more."""
    with contextlib.ExitStack() as stack:
        file = None
        with contextlib.suppress(OSError):
            file = stack.enter_context(open(folder.candidates, "rb"))
        for record in records:
            detections = None
            if file is not None:
                with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                    detections = read_candidates(file, record)
            yield detections


def _entry(
    photo: _Photo,
    pictures: _Pictures,
    candidates: Detections | None,
    labels: Labels | None,
    config: CropConfig,
) -> str:
    record = photo.record
    width, height = _display_size(record)
    frame = f"--width:{width:.0f}px;aspect-ratio:{width:.0f}/{height:.0f}"
    image = _image(pictures.photo, "the photo") if pictures.photo else ""
    boxes = _boxes(record, candidates, config)
    crop = _image(pictures.crop, "its crop") if pictures.crop else ""
    notes = "".join(f'<p class="note">{note}</p>' for note in pictures.notes)
    return (
        f'<article class="{" ".join(("entry", *photo.flags))}" id="{photo.anchor}">\n'
        f'<h3 class="name"><a href="#{photo.anchor}">{_text(record.image)}</a></h3>\n'
        f'<figure class="photo"><div class="frame" style="{frame}">'
        f'{image}<svg viewBox="0 0 {width:.0f} {height:.0f}">{boxes}</svg></div>'
        f"<figcaption>{record.width} × {record.height}</figcaption></figure>\n"
        f'<figure class="crop">{_crop_link(record, crop)}</figure>\n'
        f'<div class="facts">{notes}{_labels(photo, labels)}{_numbers(photo)}{_flags(photo)}</div>\n'
        "</article>\n"
    )


def _image(jpeg: bytes, alt: str) -> str:
    data = base64.b64encode(jpeg).decode()
    return f'<img alt="{alt}" decoding="async" src="data:image/jpeg;base64,{data}">'


def _crop_link(record: Record, image: str) -> str:
    # Quoted whole: a name can be neither an address nor an end of the attribute.
    address = escape(quote(record.crop, errors="surrogateescape"))
    return f'<a href="{address}">{image or "crop file"}</a>'


def _labels(photo: _Photo, labels: Labels | None) -> str:
    if labels is None or not photo.labels:
        return ""
    first = photo.labels[0]
    cells = dict(zip(labels.columns, first, strict=False))
    cells.pop(labels.key_column, None)
    texts = [f"{_text(name)} <b>{_text(value)}</b>" for name, value in islice(cells.items(), _MAX_LABELS)]
    if len(photo.labels) > 1:
        texts.append(f"and {len(photo.labels) - 1} more label rows")
    return f'<p class="name">{" · ".join(texts)}</p>' if texts else ""


def _numbers(photo: _Photo) -> str:
    record = photo.record
    texts = []
    if record.box is not None:
        texts.append(f"<b>{_text(record.class_name) or 'drawn box'}</b>")
        texts.append(f"score <b>{_score(record.score)}</b>")
        if record.best_box is not None and record.best_box != record.box:
            texts.append(f"best {_text(record.best_class)} {_score(record.best_score)}")
        if record.rival_score is not None:
            texts.append(f"also seen as {_text(record.rival_class)} {_score(record.rival_score)}")
        texts.append(f"box {100 * (area_fraction(record) or 0):.2g} % of the photo")
        texts.append(f"{record.n_candidates} eligible")
    texts.append(f"presence {_score(record.presence)}")
    texts.append(f"suspicion <b>{_score(photo.suspicion)}</b>")
    return f'<p class="numbers">{", ".join(f"<span>{text}</span>" for text in texts)}</p>'


def _flags(photo: _Photo) -> str:
    items = "".join(f"<li><b>{_spoken(flag)}</b>: {escape(FLAGS[flag])}</li>" for flag in photo.flags)
    return f"<ul>{items}</ul>" if items else ""


# ---------------------------------------------------------------- boxes over a photo


def _display_size(record: Record) -> tuple[float, float]:
    """Width and height of a photo in the page, px."""
    long_side = max(record.width, record.height, 1)
    return (
        max(1.0, round(_PHOTO_SIDE * record.width / long_side)),
        max(1.0, round(_PHOTO_SIDE * record.height / long_side)),
    )


def _boxes(record: Record, candidates: Detections | None, config: CropConfig) -> str:
    """SVG of every box, the important ones last and so on top."""
    others = _other_boxes(record, candidates, config)
    boxes = others[::-1]
    if record.box is not None:
        if record.best_box is not None and record.best_box != record.box:
            boxes.append(_Box("best", record.best_box, record.best_class, _score(record.best_score)))
        if record.crop_box is not None:
            boxes.append(_Box("cut", record.crop_box))
        boxes.append(_Box("chosen", record.box, record.class_name or "drawn", _score(record.score)))
    return "".join(_shape(box, record) for box in boxes)


class _Box(NamedTuple):
    """A box to draw.

    Attributes:
        kind: a key of `_BOX_KINDS`.
        xyxy: pixels of the photo.
        name: its class; empty for a rectangle that is no detection.
        score: in words.
        text: written in its corner where that is not the score; None writes nothing.
    """

    kind: str
    xyxy: Sequence[float]
    name: str = ""
    score: str = ""
    text: str | None = ""


def _other_boxes(record: Record, candidates: Detections | None, config: CropConfig) -> list[_Box]:
    """All boxes but the chosen and the most confident, eligible ones first, then by falling score."""
    if candidates is None:
        return []
    classes = None if config.classes == "any" else config.classes.split(",")
    wanted = wanted_mask(candidates, classes)
    eligible = wanted & (candidates.scores >= np.float32(config.conf or 0.0))
    drawn = {(record.box, record.class_name), (record.best_box, record.best_class)}
    others: list[_Box] = []
    for i in sorted(range(len(candidates)), key=lambda i: (not eligible[i], -candidates.scores[i])):
        name, score = candidates.class_names[i], _score(float(candidates.scores[i]))
        xyxy = tuple(round(float(edge), BOX_DECIMALS) for edge in candidates.xyxy[i])
        if (xyxy, name) not in drawn:
            text = None if len(others) >= _MAX_SCORES else "" if wanted[i] else f"{name[:16]} {score}"
            others.append(_Box("other" if eligible[i] else "weak", xyxy, name, score, text))
    return others


# Of the dark line beneath the important boxes, px; see report.css for the lines themselves.
_HALOS: Mapping[str, float] = {"chosen": 4.4, "best": 4.0, "cut": 3.4}


def _shape(box: _Box, record: Record) -> str:
    """A rectangle that tells its class when pointed at, and its text in the upper left corner."""
    width, height = _display_size(record)
    ratio_x, ratio_y = width / max(record.width, 1), height / max(record.height, 1)
    left, right = box.xyxy[0] * ratio_x, box.xyxy[2] * ratio_x
    top, bottom = box.xyxy[1] * ratio_y, box.xyxy[3] * ratio_y
    place = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"'
    title = f"<title>{_text(box.name)} {box.score}</title>" if box.name else ""
    shape = f'<rect class="b {box.kind}" {place}>{title}</rect>'
    if box.kind in _HALOS:
        shape = f'<rect class="b halo" {place} stroke-width="{_HALOS[box.kind]}"/>' + shape
    text = box.text or ("" if box.text is None else box.score)
    if text:
        x = max(2.0, min(left + 4, width - 6.5 * len(text)))
        shape += f'<text class="{box.kind}" x="{x:.1f}" y="{top + 13:.1f}">{_text(text)}</text>'
    return shape


# ---------------------------------------------------------------- thumbnails


@dataclass(frozen=True, slots=True)
class _Pictures:
    """JPEG thumbnails of one photo and its crop, None where there is none, and why (as HTML)."""

    photo: bytes | None
    crop: bytes | None
    notes: tuple[str, ...]


def _places(folder: OutputFolder) -> Callable[[str], Path]:
    """Where the photo of a key is, as far as the run knew."""
    listing = read_listing(folder)
    root, paths = listing["root"], listing["paths"]
    return lambda key: Path(paths.get(key) or os.path.join(root, *key.split("/")))


def _pictures(record: Record, places: Callable[[str], Path], root: Path) -> _Pictures:
    notes = []
    photo = crop = None
    try:
        photo = _thumbnail(places(record.image), _PHOTO_SIDE, _PHOTO_QUALITY, record)
    except (PhotoError, OSError, MemoryError, ValueError) as error:
        notes.append(f"The photo cannot be shown: {_text(_reason(error))}.")
    try:
        crop = _thumbnail(root / record.crop, _CROP_SIDE, _CROP_QUALITY, None)
    except (PhotoError, OSError, MemoryError, ValueError) as error:
        notes.append(f"The crop cannot be shown: {_text(_reason(error))}.")
    return _Pictures(photo, crop, tuple(notes))


def _reason(error: Exception) -> str:
    """In words, without a path: the page may be mailed to somebody else."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "it is no longer where it was"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error) or type(error).__name__


def _thumbnail(path: Path, side: int, quality: int, record: Record | None) -> bytes:
    """A small JPEG of an image file, upright.

    Args:
        path: of the photo or crop.
        side: longest side of the result, px; smaller images stay as they are.
        quality: of the JPEG.
        record: of a photo: it must still be the one that was looked at.

    Raises:
        PhotoError: it cannot be decoded, or is another photo now.
        OSError: it cannot be read.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise PhotoError("not_a_file", "it is not a file any more")
    if record is not None and record.file_size not in (0, status.st_size):
        raise _changed()
    image, upright_wh = _decode_small(path.read_bytes(), path.name, side)
    if record is not None and upright_wh != (record.width, record.height):
        raise _changed()
    ratio = side / max(image.shape[:2])
    if ratio < 1:
        image = resize(image, max(1, round(image.shape[1] * ratio)), max(1, round(image.shape[0] * ratio)))
    return encode(image, "jpg", quality)


def _changed() -> PhotoError:
    return PhotoError("changed", "it has changed since the run; give the run command again")


def _decode_small(data: bytes, name: str, side: int) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """(upright (H, W, 3) BGR of at least `side` px where the image has them, (width, height) of the whole).

    The usual JPEG is decoded at 1/2, 1/4 or 1/8, which spares most of the work; everything else as in a run.
    """
    if data.startswith(b"\xff\xd8\xff"):
        header = read_header(data, name)
        reduction = next((n for n in _REDUCED if max(header.width, header.height) >= n * side), None)
        if header.plain and reduction and header.width * header.height <= DEFAULT_MAX_PIXELS:
            with quiet_c_stderr():
                small = cv2.imdecode(
                    np.frombuffer(header.lean, np.uint8), _REDUCED[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
                )
            if small is not None:
                size = (header.width, header.height)
                upright = _upright(np.asarray(small, np.uint8), header.orientation)
                return upright, size if header.orientation < 5 else size[::-1]
    # It was decoded once: a limit that was raised for the run need not be raised for its page.
    image = decode(data, name=name, max_pixels=1 << 40).image
    return image, (image.shape[1], image.shape[0])


_REDUCED = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
}


def _upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo the EXIF orientation (TIFF 6.0, tag 274), as `decode` does."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    flip_x = -1 if orientation in (2, 3, 6, 7) else 1
    flip_y = -1 if orientation in (3, 4, 7, 8) else 1
    return np.ascontiguousarray(image[::flip_y, ::flip_x])


# ---------------------------------------------------------------- words


def _text(value: str) -> str:
    """Safe in HTML, cut where it would be a page of its own."""
    return escape(value if len(value) <= _MAX_TEXT else value[: _MAX_TEXT - 1] + "…")


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.1f}&nbsp;%"
