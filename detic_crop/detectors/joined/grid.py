"""Overlapping tiles of a photo, and what of the boxes in them is one animal: no detector here."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.overlap import iou_of_pair

OVERLAP = 0.25
"""Share of a tile's side that its neighbour shows, too: an animal up to that size is whole in one of them."""

SMALLEST = 448
"""Side of the smallest tiles, pixels: as large as the smallest picture that any of our models looks at."""

MOST_ACROSS = 5
"""Most tiles along the longer side of a photo: at 3:2, 20 tiles, whatever the size of the photo."""

_AROUND = 5.0  # side of the part around a box, as a multiple of the box's longer side
_CUT = 0.015  # a box that ends so near an inner edge, as a share of the tile's side, may be cut off there
_SAME = 0.5  # IoU of the parts of two boxes that both tiles show, above which they are of one animal
_FIRM = 0.5  # share of the best score of an animal above which a box has a say in how far it reaches


class Tile(NamedTuple):
    """A part of a photo, in whole pixels; max edges exclusive."""

    left: int
    top: int
    right: int
    bottom: int


class TiledBoxes(NamedTuple):
    """Boxes found in the tiles of a photo.

    Attributes:
        xyxy: (N, 4) float64, pixels of the photo.
        scores: (N,) float64.
        kinds: N names; only boxes of one kind may be of one animal.
        tiles: the tile that each was found in.
    """

    xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    kinds: Sequence[str]
    tiles: Sequence[Tile]


def tiles_of(width: int, height: int) -> list[Tile]:
    """Return the tiles of a photo, row by row; none if it is too small to gain by them.

    They are about square, overlap by a quarter of their sides, and are as small as `SMALLEST` and
    `MOST_ACROSS` allow.

    Args:
        width: of the photo, pixels.
        height: likewise.
    """
    longest = max(width, height)
    side = max(SMALLEST, longest / (MOST_ACROSS - (MOST_ACROSS - 1) * OVERLAP))
    columns, rows = _places(width, side), _places(height, side)
    if len(columns) * len(rows) == 1:
        return []
    return [Tile(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def part_around(box: NDArray[np.float64], width: int, height: int) -> Tile:
    """Return the part of a photo around a (4,) box, five times as large, and not very small.

    Args:
        box: in pixels of the photo.
        width: of the photo, pixels.
        height: likewise.
    """
    side = max(_AROUND * float((box[2:] - box[:2]).max()), SMALLEST / 2)
    middle = (box[:2] + box[2:]) / 2
    places = []
    for centre, length in zip(middle.tolist(), (width, height), strict=True):
        across = min(round(side), length)
        start = round(min(max(0.0, centre - across / 2), length - across))
        places.append((start, start + across))
    (left, right), (top, bottom) = places
    return Tile(left, top, right, bottom)


def _places(length: int, side: float) -> list[tuple[int, int]]:
    """Return the (first, last + 1) pixel of each tile along one side of a photo."""
    step = side * (1 - OVERLAP)
    number = max(1, ceil((length - side) / step - 1e-6) + 1)
    side = min(side, length)
    starts = np.linspace(0, length - side, number)
    return [(int(start), min(length, ceil(start + side))) for start in starts]


def merged(found: TiledBoxes, width: int, height: int) -> list[tuple[NDArray[np.float64], int]]:
    """Return one box for each animal, and the index of its most confident one, by falling score.

    Two boxes from different tiles are of one animal if, in the part of the photo that both tiles show, they
    agree. Of its boxes the most confident one that no tile cuts off counts; if all are cut off, the hull of
    them. Boxes with less than half of its best score do not count.

    Args:
        found: the boxes.
        width: of the photo, pixels.
        height: likewise.
    """
    animals: list[list[int]] = []
    for index in np.lexsort([*found.xyxy.T[::-1], -found.scores]).tolist():
        firm = (one for one in animals if found.scores[index] >= _FIRM * found.scores[one[0]])
        seen = next((one for one in firm if any(_is_same(found, index, other) for other in one)), None)
        if seen is not None:
            seen.append(index)
        elif not any(_is_same(found, index, one[0]) for one in animals):
            animals.append([index])
    return [(_extent(found, one, width, height), one[0]) for one in animals]


def _is_same(found: TiledBoxes, one: int, other: int) -> bool:
    if found.kinds[one] != found.kinds[other] or found.tiles[one] == found.tiles[other]:
        return False
    a, b = np.array(found.tiles[one]), np.array(found.tiles[other])
    shared = np.concatenate([np.maximum(a, b)[:2], np.minimum(a, b)[2:]])
    if (shared[2:] <= shared[:2]).any():
        return False
    low, high = np.tile(shared[:2], 2), np.tile(shared[2:], 2)
    return iou_of_pair(found.xyxy[one].clip(low, high), found.xyxy[other].clip(low, high)) >= _SAME


def _extent(found: TiledBoxes, animal: Sequence[int], width: int, height: int) -> NDArray[np.float64]:
    whole = [i for i in animal if not _is_cut(found.xyxy[i], found.tiles[i], width, height)]
    edges = found.xyxy[whole[:1] or list(animal)]
    return np.concatenate([edges[:, :2].min(0), edges[:, 2:].max(0)])


def _is_cut(box: NDArray[np.float64], tile: Tile, width: int, height: int) -> bool:
    near = _CUT * max(tile.right - tile.left, tile.bottom - tile.top)
    left, top, right, bottom = box.tolist()
    return (
        (tile.left > 0 and left < tile.left + near)
        or (tile.top > 0 and top < tile.top + near)
        or (tile.right < width and right > tile.right - near)
        or (tile.bottom < height and bottom > tile.bottom - near)
    )
