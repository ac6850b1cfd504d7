"""compare.html: how far two sets of boxes agree, and where they do not, in one file that needs nothing else.

No script, no network, no path of this machine; a bounded number of photos, however many are compared.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from detic_crop.folder.records import Record
from detic_crop.photos.location import NOWHERE, Location
from detic_crop.report.compare.columns import SideColumns, State
from detic_crop.report.compare.comparison import Comparison
from detic_crop.report.compare.pairs import GOOD
from detic_crop.report.compare.table import state_word
from detic_crop.report.compare.worst import KINDS, Worst
from detic_crop.report.html.histograms import FRAME, Histogram, Plot, plot_of
from detic_crop.report.html.overlay import DrawnBox, Shape
from detic_crop.report.html.rendering import COLOURS, environment, style, two_digits
from detic_crop.report.html.thumbnails import PHOTO_SIDE, photo_picture
from detic_crop.report.intervals import LEVEL
from detic_crop.system.memory_budget import MemoryBudget
from detic_crop.wording import counted, utf8

_MAX_BYTES = 18_000_000  # mail servers take 25 MB, in which attachments are a third larger
_MAX_GROUPS = 100
_MAX_LINES = 6  # animals of one photo that are told
_MAX_BOXES = 40  # of one side that are drawn
_HALO = 4.4  # px
_UNIT = [i / 20 for i in range(21)]
_TICKS = {0.0: "0", 0.25: "0.25", 0.5: "0.5", 0.75: "0.75", 1.0: "1"}

PhotoOf = Callable[[str], tuple[Location, int]]
"""Key → where the photo is, and the bytes of its file; 0 if they are unknown."""


@dataclass(frozen=True, slots=True)
class _Gallery:
    """The photos of one kind.

    Attributes:
        kind: a key of `KINDS`.
        title: its heading.
        all: number of photos of this kind.
        entries: HTML of those that are shown.
    """

    kind: str
    title: str
    all: int
    entries: Sequence[Markup]


class _Part(NamedTuple):
    """What one side says of an animal."""

    called: str
    words: str
    verdict: str = ""


class _Line(NamedTuple):
    """What is said of one animal."""

    iou: float | None
    parts: Sequence[_Part]


def compare_page(
    comparison: Comparison,
    worst: Sequence[Worst],
    photo_of: PhotoOf,
    memory: MemoryBudget,
    step: Callable[[], None],
) -> bytes:
    """Return the page.

    Args:
        comparison: what it shows.
        worst: the photos to show.
        photo_of: where the photos are.
        memory: where memory for photos is borrowed.
        step: called after each photo that is shown.
    """
    template = environment().get_template("compare.html.j2")
    numbers = comparison.numbers
    galleries = _galleries(comparison, worst, photo_of, memory, step)
    values = {
        "css": Markup(style(COLOURS, "report.css", "compare.css")),
        "a": comparison.a,
        "b": comparison.b,
        "truth": comparison.truth,
        "parts": _parts(comparison, galleries),
        "numbers": numbers,
        "unit": comparison.unit,
        "several": comparison.several,
        "missing": comparison.missing,
        "notes": comparison.notes,
        "level": LEVEL,
        "plots": _plots(comparison),
        "frame": FRAME,
        "max_groups": _MAX_GROUPS,
        "galleries": galleries,
    }
    return b"".join(map(utf8, template.generate(values)))


def _parts(comparison: Comparison, galleries: Sequence[_Gallery]) -> list[tuple[str, str]]:
    """Return (anchor, title) of the parts of the page that exist."""
    numbers = comparison.numbers
    return [
        *([("truth", "Against the truth")] if numbers.truth else []),
        ("histograms", "Overlap"),
        *((f"by-{place}", f"By {by}") for place, by in enumerate(numbers.groups, start=1)),
        *([("classes", "Classes")] if numbers.classes else []),
        *((gallery.kind, gallery.title) for gallery in galleries),
    ]


def _plots(comparison: Comparison) -> list[Plot]:
    pairs = comparison.rows.iou
    histograms = [_histogram("A and B", "IoU where both have a box", pairs[~np.isnan(pairs)])]
    if comparison.against is not None:
        for called, overlaps in (("A", comparison.against.a), ("B", comparison.against.b)):
            histograms.append(
                _histogram(f"{called} and the truth", "IoU, of all animals; 0: missed", overlaps)
            )
    return list(map(plot_of, histograms))


def _histogram(title: str, note: str, overlaps: NDArray[np.float64]) -> Histogram:
    return Histogram(title, note, _UNIT, [overlaps.tolist()], _TICKS, {GOOD: "same"})


def _galleries(
    comparison: Comparison,
    worst: Sequence[Worst],
    photo_of: PhotoOf,
    memory: MemoryBudget,
    step: Callable[[], None],
) -> list[_Gallery]:
    """Return the photos to show, as far as they fit into the page."""
    left = _MAX_BYTES
    galleries = []
    for some in worst:
        entries = []
        for photo in some.photos:
            entry = _entry(comparison, photo, photo_of, memory)
            step()
            left -= len(utf8(entry))
            if left < 0:
                break
            entries.append(entry)
        if entries:
            galleries.append(_Gallery(some.kind, KINDS[some.kind], some.all, entries))
    return galleries


def _entry(comparison: Comparison, photo: int, photo_of: PhotoOf, memory: MemoryBudget) -> Markup:
    """Return the HTML of one photo."""
    sides = comparison.sides
    key = sides.keys[photo]
    width, height = sides.sizes[photo].tolist()
    location, file_size = photo_of(key)
    jpeg, trouble = None, ""
    if width * height and location != NOWHERE:
        record = Record(key, "cropped", width=width, height=height, file_size=file_size)
        jpeg, trouble = photo_picture(record, location, memory)
    shown = PHOTO_SIDE / max(width, height, 1)
    display_wh = max(1, round(width * shown)), max(1, round(height * shown))
    lines = _lines(comparison, photo)
    labelling = comparison.labelling
    code = -1 if labelling is None else int(labelling.codes[photo])
    values = {
        "anchor": "p" + hashlib.blake2s(utf8(key), digest_size=6).hexdigest(),
        "key": key,
        "width": display_wh[0] if width * height else 0,
        "height": display_wh[1],
        "jpeg": base64.b64encode(jpeg or b"").decode(),
        "boxes": _shapes(comparison, photo, display_wh) if width * height else [],
        "trouble": trouble,
        "lines": lines[:_MAX_LINES],
        "left_out": counted(len(lines) - _MAX_LINES, comparison.unit) if len(lines) > _MAX_LINES else "",
        "label": "" if labelling is None or code < 0 else f"{labelling.by}: {labelling.names[code]}",
    }
    return Markup(environment().get_template("pair.html.j2").render(values))


def _shapes(comparison: Comparison, photo: int, display_wh: tuple[int, int]) -> list[Shape]:
    """Return the boxes of one photo: the truth's beneath, then B's, then A's."""
    sides = comparison.sides
    width, height = sides.sizes[photo].tolist()
    ratio_wh = display_wh[0] / width, display_wh[1] / height
    shapes = []
    for kind, called, side in (("true", "", sides.truth), ("side-b", "B", sides.b), ("side-a", "A", sides.a)):
        if side is None:
            continue
        first, end = int(side.starts[photo]), int(side.starts[photo + 1])
        for box in range(first, min(end, first + _MAX_BOXES)):
            name, score = _name(side, box), _score(side, box)
            label = f"{called} {score}".strip() if called else ""
            shape = DrawnBox(kind, side.xyxy[box].tolist(), name, score, label).shape(
                ratio_wh, display_wh[0], _HALO
            )
            if called == "B":  # in another corner than A's
                shape = replace(shape, label_y=shape.y + shape.height - 5)
            shapes.append(shape)
    return shapes


def _lines(comparison: Comparison, photo: int) -> list[_Line]:
    """Return what is to be said of each animal of a photo."""
    rows, sides, against = comparison.rows, comparison.sides, comparison.against
    first, end = np.searchsorted(rows.photos, [photo, photo + 1]).tolist()
    known = against is not None and bool(against.photos[photo])
    lines = []
    for row in range(first, end):
        true = int(rows.truth[row])
        parts = []
        for called, side, box, overlaps in (
            ("A", sides.a, int(rows.a[row]), None if against is None else against.box_a),
            ("B", sides.b, int(rows.b[row]), None if against is None else against.box_b),
        ):
            overlap = None if overlaps is None or not known else float(overlaps[box]) if box >= 0 else 0.0
            parts.append(_Part(called, _said(side, photo, box), _verdict(overlap, box, true)))
        if known and sides.truth is not None:
            parts.append(_Part("truth", _true_words(sides.truth, true)))
        iou = float(rows.iou[row])
        lines.append(_Line(None if np.isnan(iou) else iou, parts))
    return lines


def _said(side: SideColumns, photo: int, box: int) -> str:
    if box < 0:
        looked = int(side.states[photo]) == State.LOOKED
        return "nothing" if looked else state_word(side, photo).replace("_", " ")
    return f"{_name(side, box) or 'drawn'} {_score(side, box)}".strip()


def _verdict(overlap: float | None, box: int, true: int) -> str:
    """Return whether a side is right, and how far its box overlaps with the true one."""
    if overlap is None:
        return ""
    if true < 0:
        return "right" if box < 0 else "false alarm"
    if box < 0:
        return "missed"
    return f"{'right' if overlap >= GOOD else 'wrong'} (IoU {two_digits(overlap)})"


def _true_words(truth: SideColumns, true: int) -> str:
    return (_name(truth, true) or "animal") if true >= 0 else "no animal there"


def _name(side: SideColumns, box: int) -> str:
    name = side.class_names[int(side.classes[box])]
    return "" if name == "unknown" else name


def _score(side: SideColumns, box: int) -> str:
    score = float(side.scores[box])
    return "" if np.isnan(score) else two_digits(score)
