"""Small crops at the top of the page: an even spread over the run, and those to look at first."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from detic_crop.folder.animals import main_crop
from detic_crop.report.html.overview import Tally
from detic_crop.report.html.sources import Sources
from detic_crop.report.model import crop_link
from detic_crop.report.photos import AuditPhoto
from detic_crop.wording import counted

_MOST_SPREAD = 24
_MOST_FIRST = 12
_DOUBTFUL = 0.5  # suspicion from which a crop is marked
_MAX_SHARE = 0.25  # of the bytes of a page, at most
_BYTES_OF_CELL = 3_000  # around the picture, at most


@dataclass(frozen=True, slots=True)
class Cell:
    """One crop of a sheet.

    Attributes:
        anchor: id of the entry of its photo, if the page has one.
        link: address of the crop's file, for a photo without an entry; empty where no program can follow it.
        name: key of the photo.
        jpeg: the picture, base64.
        kind: its species, else its class; the name of its file where all crops are of one kind.
        reason: the first reason to look at it.
        is_doubtful: whether its suspicion is high and nobody has looked yet.
        is_accepted: whether a person has seen it and kept an animal of it.
    """

    anchor: str
    link: str
    name: str
    jpeg: str
    kind: str
    reason: str
    is_doubtful: bool
    is_accepted: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """Crops side by side.

    Attributes:
        anchor: id of the section.
        title: its heading.
        note: which crops these are.
        cells: the crops.
        with_reasons: whether the reasons stand below the crops.
    """

    anchor: str
    title: str
    note: str
    cells: Sequence[Cell]
    with_reasons: bool = False

    @property
    def most_bytes(self) -> int:
        """Number of bytes that it takes on the page, at most."""
        return _BYTES_OF_CELL + sum(len(cell.jpeg) + _BYTES_OF_CELL for cell in self.cells)


def make_sheets(sources: Sources, tally: Tally, max_bytes: int) -> list[Sheet]:
    """Return the sheets of a page; a crop that cannot be read any more is left out.

    Args:
        sources: what the pictures and words are made from.
        tally: where the crops are.
        max_bytes: size limit of the page; the sheets take a part of it.
    """
    audit = sources.audit
    left = max_bytes * _MAX_SHARE

    def cells(photos: Iterable[AuditPhoto]) -> Iterable[Cell]:
        nonlocal left
        for photo in photos:
            jpeg = sources.crops.of(photo.record)[0] or sources.earlier.crop(photo.anchor, photo.record)
            if jpeg is None:
                continue
            cell = _cell(sources, photo, base64.b64encode(jpeg).decode(), tally)
            left -= len(cell.jpeg) + _BYTES_OF_CELL
            if left < 0:
                return
            yield cell

    number = len(tally.crops)
    crop = "cropped photo" if audit.config.animals == "all" else "crop"
    spread = list(cells(audit.photos.at(_even_spread(tally))))
    sheets = []
    if spread:
        among = (
            f"{len(spread)} of {counted(number, crop)}, drawn at random"
            if len(spread) < number
            else f"{'all ' if number > 1 else ''}{counted(number, crop)}"
        )
        over = f", evenly over {tally.kinds_are}" if tally.n_kinds > 1 and len(spread) < number else ""
        which = "; of each the largest animal" if tally.n_crops > number else ""
        sheets.append(Sheet("sheet", "Contact sheet", among + over + which, spread))
    if number > _MOST_SPREAD:
        worst = audit.photos.most_suspicious(np.array(tally.crops, np.intp), _MOST_FIRST)
        first = list(cells(photo for photo in worst if photo.verdict is None))
        if first:
            sheets.append(Sheet("first", "Look at these first", "the most suspicious crops", first, True))
    return sheets


def _cell(sources: Sources, photo: AuditPhoto, jpeg: str, tally: Tally) -> Cell:
    record = photo.record
    return Cell(
        photo.anchor,
        crop_link(sources.folder.crops.path_of(main_crop(record))),
        record.image,
        jpeg,
        tally.kind_of(photo) if tally.n_kinds > 1 else record.image.rpartition("/")[2],
        next(iter(sources.reasons_of(photo)), ""),
        photo.verdict is None and photo.doubts.suspicion >= _DOUBTFUL,
        record.verdict in ("accepted", "box")
        or (photo.verdict is not None and photo.verdict.verdict == "accepted"),
    )


def _even_spread(tally: Tally) -> Sequence[int]:
    """Return the places of some crops: one of each kind in turn, the most frequent kind first.

    The same run always shows the same ones.
    """
    places, kinds = np.array(tally.crops, np.intp), np.array(tally.crop_kinds, np.intp)
    order = np.random.default_rng(0).permutation(len(places))
    counts = np.bincount(kinds, minlength=1)
    turn = np.empty(len(places), np.intp)  # the how manieth of its kind each is
    by_kind = order[np.argsort(kinds[order], kind="stable")]
    starts = np.cumsum(counts) - counts
    turn[by_kind] = np.arange(len(places)) - starts[kinds[by_kind]]
    chosen = np.lexsort((kinds, -counts[kinds], turn))[:_MOST_SPREAD]
    chosen = chosen[np.lexsort((places[chosen], kinds[chosen], -counts[kinds[chosen]]))]
    return [int(place) for place in places[chosen]]
