"""The photos of a comparison that are most worth a look, by what is the matter with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detic_crop.report.compare.columns import SideColumns
from detic_crop.report.compare.numbers import is_right
from detic_crop.report.compare.pairs import AgainstTruth, Agreed, Rows
from detic_crop.report.compare.photos import SidesOfPhotos

KINDS: Mapping[str, str] = {
    "only_a_right": "A is right, B is wrong",
    "only_b_right": "B is right, A is wrong",
    "both_wrong": "Both are wrong",
    "differ": "Found in different places",
    "only_a": "Found only by A",
    "only_b": "Found only by B",
}
"""Kind of a row that is worth a look → its heading. With a truth, the first three go before the others."""


@dataclass(frozen=True, slots=True)
class Worst:
    """Photos of one kind.

    Attributes:
        kind: a key of `KINDS`.
        photos: the photos to show, the worst first.
        all: number of photos of this kind, each counted in its first kind only.
    """

    kind: str
    photos: Sequence[int]
    all: int


def worst_photos(sides: SidesOfPhotos, rows: Rows, against: AgainstTruth | None, most: int) -> list[Worst]:
    """Return the worst photos of each kind that there is, together at most `most`.

    All kinds get as many, where they have them. A photo is shown once.
    """
    ranked: dict[str, list[int]] = {}
    is_used = np.zeros(len(sides.keys), np.bool_)
    alike: dict[str, int] = {}
    for kind, places in _rows_by_kind(sides, rows, against):
        photos = rows.photos[places]
        _, first = np.unique(photos, return_index=True)
        fresh = photos[np.sort(first)]
        fresh = fresh[~is_used[fresh]]
        alike[kind] = len(fresh)
        ranked[kind] = fresh[:most].tolist()
        is_used[fresh] = True
    shares = _shares([len(photos) for photos in ranked.values()], most)
    return [
        Worst(kind, photos[:share], alike[kind])
        for (kind, photos), share in zip(ranked.items(), shares, strict=True)
        if photos
    ]


def _shares(lengths: Sequence[int], most: int) -> list[int]:
    """Return how many of each list to take, as evenly as their lengths allow."""
    shares = [0] * len(lengths)
    while sum(shares) < min(most, sum(lengths)):
        for i, length in enumerate(lengths):
            if shares[i] < length and sum(shares) < most:
                shares[i] += 1
    return shares


def _rows_by_kind(
    sides: SidesOfPhotos, rows: Rows, against: AgainstTruth | None
) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Yield each kind and its rows, the worst first."""
    score_a, score_b = _taken(sides.a, rows.a), _taken(sides.b, rows.b)
    is_known = np.zeros(len(rows), np.bool_)
    if against is not None:
        right_a, right_b = is_right(rows, against)
        is_known = against.photos[rows.photos]
        has_truth = rows.truth >= 0
        iou_a, iou_b = _overlaps(against.box_a, rows.a), _overlaps(against.box_b, rows.b)
        gap = np.where(has_truth, iou_a - iou_b, score_b - score_a)
        both = np.where(has_truth, 2 - iou_a - iou_b, score_a + score_b)
        yield "only_a_right", _worst(is_known & right_a & ~right_b, gap)
        yield "only_b_right", _worst(is_known & right_b & ~right_a, -gap)
        yield "both_wrong", _worst(is_known & ~right_a & ~right_b, both)
    unclear = ~is_known
    agreed = rows.agreed
    yield "differ", _worst(unclear & (agreed == Agreed.DIFFER), -np.nan_to_num(rows.iou))
    yield "only_a", _worst(unclear & (agreed == Agreed.ONLY_A), score_a)
    yield "only_b", _worst(unclear & (agreed == Agreed.ONLY_B), score_b)


def _worst(of_kind: NDArray[np.bool_], rank: NDArray[np.float64]) -> NDArray[np.intp]:
    places = np.flatnonzero(of_kind)
    return places[np.argsort(-rank[places], kind="stable")]


def _taken(side: SideColumns, boxes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the score of each box; 0 where there is none."""
    scores = np.zeros(len(boxes))
    has = boxes >= 0
    scores[has] = side.ranking[boxes[has]]
    return scores


def _overlaps(overlaps: NDArray[np.float64], boxes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the overlap of each box with the true one; 0 where there is none."""
    found = np.zeros(len(boxes))
    has = boxes >= 0
    found[has] = np.nan_to_num(overlaps[boxes[has]])
    return found
