"""Groups of photos from several reasons to keep photos together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer]

ALONE = -1
"""Label of a photo that a reason ties to no other."""


def connected(count: int, first: Labels, second: Labels) -> NDArray[np.intp]:
    """Return for each of `count` photos the lowest number that pairs lead to from it: (count,).

    Each round hooks every root that has a pair with a lower one to it, then shortens all ways to the root
    (Shiloach & Vishkin 1982, "An O(log n) parallel connectivity algorithm"), in arrays.

    Args:
        count: number of photos.
        first: (M,) one photo of each pair.
        second: (M,) the other one.
    """
    root = np.arange(count)
    while True:
        ours, theirs = root[first], root[second]
        apart = ours != theirs
        if not apart.any():
            return root
        first, second = first[apart], second[apart]
        ours, theirs = ours[apart], theirs[apart]
        np.minimum.at(root, np.maximum(ours, theirs), np.minimum(ours, theirs))
        while True:
            above = root[root]
            if np.array_equal(above, root):
                break
            root = above


def joined(count: int, *reasons: Labels) -> NDArray[np.intp]:
    """Return the group of each photo, numbered from 0 in the order of the first photos: (count,).

    Photos are in one group if they have the same label for any reason, directly or through others.

    Args:
        count: number of photos.
        *reasons: (count,) labels; `ALONE` ties a photo to no other.
    """
    pairs = [neighbours(labels) for labels in reasons]
    none = np.empty(0, np.intp)
    first = np.concatenate([none, *(pair[0] for pair in pairs)])
    second = np.concatenate([none, *(pair[1] for pair in pairs)])
    return np.asarray(np.unique(connected(count, first, second), return_inverse=True)[1], np.intp)


def neighbours(labels: Labels) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return pairs of photos that chain those of equal labels together."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    same = (ordered[1:] == ordered[:-1]) & (ordered[1:] != ALONE)
    return order[:-1][same], order[1:][same]


def without_single(labels: Labels) -> NDArray[np.intp]:
    """Return labels in which a photo that shares its own with no other is `ALONE`."""
    found = np.array(labels, np.intp)
    known = np.flatnonzero(found != ALONE)
    _, number, counts = np.unique(found[known], return_inverse=True, return_counts=True)
    found[known[counts[number] == 1]] = ALONE
    return found
