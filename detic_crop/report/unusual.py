"""How unusual a box is among the boxes of its group, by counting: nothing is trained or assumed."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_GROUP = 20
"""A smaller group says too little about what is usual; the next wider one is used."""

_TOGETHER = 1 << 14
"""Boxes that are measured together."""


def unusual_shares(
    boxes: Floats, resolution_wh: Floats, groups: Sequence[Sequence[str]], min_group: int = MIN_GROUP
) -> Floats:
    """Return for each box the share of ordinary boxes that are by chance as unusual in size, shape and place.

    Three shares are counted in the box's group, itself included:

    - size: twice the share of boxes that cover as small a part of their photo, or as large a part, whichever
      are fewer;
    - shape: boxes that are as narrow for their height (a part of a long animal is shorter than the animal);
    - place: boxes whose centre is as far from that of the photo, in photo sides (people aim at animals).

    They are combined by Fisher's method (Fisher 1925, "Statistical Methods for Research Workers", section
    21.1): of three independent shares whose product is P, a product as small has the probability
    ``P (1 + L + L²/2)``, ``L = −ln P``. Equal boxes are not unusual, whatever they look like.

    Args:
        boxes: (N, 4) xyxy of positive area, pixels of each photo.
        resolution_wh: (N, 2) width and height of each photo, pixels.
        groups: for each box, the groups it belongs to, the narrowest first; the whole run is the last resort.
        min_group: number of boxes that a group needs.

    Returns:
        (N,) in (0, 1]; 1 if even the whole run is too small.
    """
    return shares_of(_measures(boxes, resolution_wh), groups, min_group)


def measures_of(box: Sequence[float], resolution_wh: Sequence[int]) -> Floats:
    """Return what is compared of one box, (3,): share of the photo, width / height, distance of the centres.

    Args:
        box: xyxy of positive area, pixels of the photo.
        resolution_wh: width and height of the photo, pixels.
    """
    measured: Floats = _measures(np.array(box, np.float64), np.array(resolution_wh, np.float64))[0]
    return measured


class Measures:
    """What is compared of boxes that come one by one: 24 bytes each."""

    def __init__(self) -> None:
        self._parts: list[Floats] = []
        self._boxes, self._sizes = array("d"), array("d")

    def add(self, box: Sequence[float], resolution_wh: Sequence[int]) -> None:
        """Add a box, xyxy of positive area, pixels of a photo of this width and height."""
        self._boxes.extend(box)
        self._sizes.extend(resolution_wh)
        if len(self._boxes) >= 4 * _TOGETHER:
            self._measure()

    def take(self) -> Floats:
        """Return the measures of all boxes, (N, 3), for `shares_of`, and keep none."""
        self._measure()
        parts, self._parts = self._parts, []
        return np.concatenate(parts)

    def _measure(self) -> None:
        self._parts.append(_measures(np.array(self._boxes), np.array(self._sizes)))
        self._boxes, self._sizes = array("d"), array("d")


def shares_of(measures: Floats, groups: Sequence[Sequence[str]], min_group: int = MIN_GROUP) -> Floats:
    """Return the shares of `unusual_shares` from the measures of the boxes, (N, 3)."""
    count = len(measures)
    members = Counter(name for names in groups for name in set(names))
    everybody = "" if count >= min_group else None
    chosen = [next((n for n in names if members[n] >= min_group), everybody) for names in groups]
    wanted = {name for name in chosen if name is not None}
    belonging: dict[str, Sequence[int]] = {}
    several = {name: array("q") for name in wanted}
    for index, names in enumerate(groups):
        for name in wanted.intersection(names):
            several[name].append(index)
    belonging.update(several)
    if "" in wanted:
        belonging[""] = range(count)
    place = np.full(count, -1)
    order = {name: number for number, name in enumerate(sorted(wanted))}
    place[:] = [-1 if name is None else order[name] for name in chosen]
    result = np.ones(count)
    for name, number in order.items():
        indices = np.array(belonging[name], np.intp)
        group = measures if len(indices) == count else measures[indices]
        mine = place[indices] == number
        result[indices[mine]] = _shares_in_group(group)[mine]
    return result


def fisher(shares: Floats) -> Floats:
    """Return the probability of a product as small, (N,), of independent shares, (N, 3)."""
    log = -np.log(shares).sum(axis=1)
    return np.asarray(np.minimum(1.0, np.exp(-log) * (1 + log + log**2 / 2)))


def _measures(boxes: Floats, resolution_wh: Floats) -> Floats:
    """Return (N, 3): share of the photo, width / height, distance of the centres.

    They are rounded, so that boxes that differ only in the last bit are equal on every machine.
    """
    boxes, resolution_wh = boxes.reshape(-1, 4), resolution_wh.reshape(-1, 2)
    sides = boxes[:, 2:] - boxes[:, :2]
    area = sides.prod(axis=1) / resolution_wh.prod(axis=1)
    shape = sides[:, 0] / sides[:, 1]
    offset = (boxes[:, :2] + boxes[:, 2:]) / 2 / resolution_wh - 0.5
    return np.stack([area.round(6), shape.round(4), np.hypot(offset[:, 0], offset[:, 1]).round(4)], axis=1)


def _shares_in_group(measures: Floats) -> Floats:
    """Return the shares of one group, (N,), from its measures, (N, 3)."""
    area, shape, offset = measures.T
    size = np.minimum(1.0, 2 * np.minimum(_share_as_large(-area), _share_as_large(area)))
    return fisher(np.stack([size, _share_as_large(-shape), _share_as_large(offset)], axis=1))


def _share_as_large(values: Floats) -> Floats:
    """Return for each value the share of the values that are at least as large, itself included, (N,)."""
    below = np.searchsorted(np.sort(values), values, side="left")
    return np.asarray((len(values) - below) / len(values))
