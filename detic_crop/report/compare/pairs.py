"""Which box of A belongs to which box of B, and which of each to which true one: a row for each animal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.overlap import best_pairs, iou_of_pairs
from detic_crop.report.compare.columns import SideColumns, State
from detic_crop.report.compare.photos import SidesOfPhotos

GOOD = 0.5
"""IoU from which two boxes are taken for the same, as in PASCAL VOC."""

SAME_ANIMAL = 0.1
"""Of several animals in a photo, two boxes that overlap less are not of the same one."""

_NONE = -1


class Agreed(IntEnum):
    """What A and B say of one animal, or of a photo without one."""

    AGREE = 0
    DIFFER = 1
    ONLY_A = 2
    ONLY_B = 3
    NEITHER = 4
    NOT_COMPARED = 5

    @property
    def word(self) -> str:
        """What it is called in tables."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """R rows: a row for each animal, and one for each photo without any.

    Attributes:
        photos: (R,) int64, the photo of each, ascending.
        a, b, truth: (R,) int64, the box of each side; -1 for none.
        iou: (R,) float64, overlap of the boxes of A and B; NaN where one of them has none.
        agreed: (R,) int8, see `Agreed`.
    """

    photos: NDArray[np.int64]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    truth: NDArray[np.int64]
    iou: NDArray[np.float64]
    agreed: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.photos)


@dataclass(frozen=True, slots=True, eq=False)
class AgainstTruth:
    """How the boxes of both sides lie to T true ones, on the photos that both and the truth have.

    Attributes:
        photos: (N,) bool, whether a photo is one of these.
        boxes: (T,) int64, the true boxes.
        of_photo: (T,) int64, the photo of each.
        a, b: (T,) float64, overlap of each with the box of that side that belongs to it; 0 without one.
        box_a, box_b: box of a side → overlap with the true box that belongs to it: (M,) float64; 0 without
            one, NaN where nothing is known.
    """

    photos: NDArray[np.bool_]
    boxes: NDArray[np.int64]
    of_photo: NDArray[np.int64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    box_a: NDArray[np.float64]
    box_b: NDArray[np.float64]


def compare_boxes(sides: SidesOfPhotos) -> tuple[Rows, AgainstTruth | None]:
    """Return the rows, and how the boxes lie to the true ones.

    Of one box a photo, the boxes of both sides belong together wherever they lie. Of several, those that
    overlap most do, then those that do of the rest; see `SAME_ANIMAL`.
    """
    a, b, truth = sides.a, sides.b, sides.truth
    a_partner, overlap = _matched(a, b)
    against, true_of_a, true_of_b = None, _no_partner(a), _no_partner(b)
    if truth is not None:
        known = (a.states == State.LOOKED) & (b.states == State.LOOKED) & (truth.states == State.LOOKED)
        true_of_a, iou_a = _matched(a, truth)
        true_of_b, iou_b = _matched(b, truth)
        boxes = np.flatnonzero(np.repeat(known, truth.counts))
        against = AgainstTruth(
            known,
            boxes,
            _photo_of_box(truth)[boxes],
            _seen_from(true_of_a, iou_a, truth)[boxes],
            _seen_from(true_of_b, iou_b, truth)[boxes],
            np.where(np.repeat(known, a.counts), np.nan_to_num(iou_a), np.nan),
            np.where(np.repeat(known, b.counts), np.nan_to_num(iou_b), np.nan),
        )
    rows = _rows(sides, a_partner, overlap, true_of_a, true_of_b)
    return rows, against


def _photo_of_box(side: SideColumns) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(side.states)), side.counts)


def _no_partner(side: SideColumns) -> NDArray[np.int64]:
    return np.full(len(side.xyxy), _NONE, np.int64)


def _matched(one: SideColumns, other: SideColumns) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each box of one side that of the other, -1 without one, and their overlap, else NaN."""
    partner, overlap = _no_partner(one), np.full(len(one.xyxy), np.nan)
    ones, others = one.counts, other.counts
    single = (ones == 1) & (others == 1)
    mine, theirs = one.starts[:-1][single], other.starts[:-1][single]
    partner[mine], overlap[mine] = theirs, iou_of_pairs(one.xyxy[mine], other.xyxy[theirs])
    for photo in np.flatnonzero((ones > 0) & (others > 0) & ~single).tolist():
        first, theirs_first = int(one.starts[photo]), int(other.starts[photo])
        boxes = one.xyxy[first : one.starts[photo + 1]]
        their_boxes = other.xyxy[theirs_first : other.starts[photo + 1]]
        for row, column, value in best_pairs(boxes, their_boxes, SAME_ANIMAL):
            partner[first + row], overlap[first + row] = theirs_first + column, value
    return partner, overlap


def _seen_from(
    partner: NDArray[np.int64], overlap: NDArray[np.float64], other: SideColumns
) -> NDArray[np.float64]:
    """Return the overlaps by the boxes of the other side; 0 for one without a partner."""
    seen = np.zeros(len(other.xyxy))
    has_one = partner >= 0
    seen[partner[has_one]] = overlap[has_one]
    return seen


def _rows(
    sides: SidesOfPhotos,
    a_partner: NDArray[np.int64],
    overlap: NDArray[np.float64],
    true_of_a: NDArray[np.int64],
    true_of_b: NDArray[np.int64],
) -> Rows:
    """Return a row for each box of A, each further one of B, each true one that neither has, and the rest."""
    a, b, truth = sides.a, sides.b, sides.truth
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    boxes_a = np.arange(len(a.xyxy))
    has_b = a_partner >= 0
    of_b = np.full(len(a.xyxy), _NONE, np.int64)
    of_b[has_b] = true_of_b[a_partner[has_b]]
    parts.append((_photo_of_box(a), boxes_a, a_partner, np.where(true_of_a >= 0, true_of_a, of_b)))
    boxes_b = np.setdiff1d(np.arange(len(b.xyxy)), a_partner[has_b])
    nothing = np.full(len(boxes_b), _NONE, np.int64)
    parts.append((_photo_of_box(b)[boxes_b], nothing, boxes_b, true_of_b[boxes_b]))
    if truth is not None:
        found = np.concatenate([true_of_a, true_of_b])
        missed = np.setdiff1d(np.arange(len(truth.xyxy)), found)
        nothing = np.full(len(missed), _NONE, np.int64)
        parts.append((_photo_of_box(truth)[missed], nothing, nothing, missed))
    has_row = np.zeros(len(sides.keys), np.bool_)
    for photos, *_ in parts:
        has_row[photos] = True
    rest = np.flatnonzero(~has_row)
    nothing = np.full(len(rest), _NONE, np.int64)
    parts.append((rest, nothing, nothing, nothing))
    photos, of_a, of_b, of_truth = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(photos, kind="stable")
    photos, of_a, of_b, of_truth = photos[order], of_a[order], of_b[order], of_truth[order]
    overlaps = np.full(len(photos), np.nan)
    overlaps[of_a >= 0] = overlap[of_a[of_a >= 0]]
    compared = (a.states[photos] == State.LOOKED) & (b.states[photos] == State.LOOKED)
    agreed = np.select(
        [~compared, overlaps >= GOOD, (of_a >= 0) & (of_b >= 0), of_a >= 0, of_b >= 0],
        [Agreed.NOT_COMPARED, Agreed.AGREE, Agreed.DIFFER, Agreed.ONLY_A, Agreed.ONLY_B],
        Agreed.NEITHER,
    ).astype(np.int8)
    overlaps[~compared] = np.nan
    return Rows(photos, of_a, of_b, of_truth, overlaps, agreed)
