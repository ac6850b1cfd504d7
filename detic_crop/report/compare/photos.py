"""The photos of a comparison: which there are, how large they are, and what each side says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from detic_crop.columns import Column, Texts, in_column
from detic_crop.detectors.boxes_file.sizes import SizeWH
from detic_crop.errors import UsageError
from detic_crop.photos.table import OwnPaths, Photos
from detic_crop.report.compare.columns import SideColumns
from detic_crop.report.compare.sides import NoneInCommonError, Side
from detic_crop.wording import counted, either

_EXAMPLES = 2


@dataclass(frozen=True, slots=True, eq=False)
class SidesOfPhotos:
    """N photos, and what each side says of them.

    Attributes:
        keys: the photos: those of A first, in its order, or those of B if A knows them by shorter names.
        sizes: (N, 2) int32, width and height in pixels; 0 where nobody knows them.
        a, b: what the sides say, in pixels of these sizes.
        truth: likewise; None without a truth.
    """

    keys: Column
    sizes: NDArray[np.int32]
    a: SideColumns
    b: SideColumns
    truth: SideColumns | None


def read_sides(
    a: Side,
    b: Side,
    truth: Side | None,
    photos: Photos | None = None,
    size_of: Callable[[int], SizeWH | None] | None = None,
) -> SidesOfPhotos:
    """Find out which photos there are, and ask the sides about them.

    Args:
        a, b: the sides.
        truth: the truth; of photos that it alone knows nothing is said.
        photos: where neither side is a folder, the photos, if the user has them.
        size_of: returns the size in pixels of a row of these; None if that one cannot be read.

    Raises:
        UsageError: there is no photo that both sides know, or none that the truth knows.
    """
    keys = _common(a, b, photos)
    sides = [side for side in (a, b, truth) if side is not None]
    if truth is not None:
        _expect_truth(truth, keys, sides)
    sizes = np.zeros((len(keys), 2), np.int32)
    found: dict[int, SideColumns] = {}
    for number, side in enumerate(sides):
        if side.has_sizes:
            found[number] = side.read(keys, sizes)
            _fill(sizes, found[number].sizes)
    if size_of is not None:
        for row in np.flatnonzero(sizes[:, 0] == 0).tolist():
            sizes[row] = size_of(row) or (0, 0)
    for side in sides:
        if not side.has_sizes:
            for row in np.flatnonzero(sizes[:, 0] == 0).tolist():
                sizes[row] = side.size(keys[row]) or (0, 0)
    for number, side in enumerate(sides):
        if not side.has_sizes:
            found[number] = side.read(keys, sizes)
        found[number], others = found[number].in_size(sizes)
        for row in others.tolist():
            side.fail(
                keys[row],
                "other_size",
                "this side has a photo of another shape under that name, or a turned one",
            )
    return SidesOfPhotos(keys, sizes, found[0], found[1], found.get(2))


def _fill(sizes: NDArray[np.int32], known: NDArray[np.int32]) -> None:
    unknown = (sizes == 0).any(axis=1)
    sizes[unknown] = known[unknown]


def _common(a: Side, b: Side, photos: Photos | None) -> Column:
    """Return the photos, once both sides were told of them.

    Raises:
        UsageError: no photo is known to both.
    """
    if photos is not None:
        for called, side in (("A", a), ("B", b)):
            try:
                left = side.expect(OwnPaths(photos))
            except NoneInCommonError as error:
                raise UsageError(
                    "no_common_photos",
                    f"--in has none of the photos of {called}: {_examples(called, side.names)}, "
                    f"{_examples('--in', photos.keys)}; pass the folder that the boxes are of",
                ) from error
            if left:
                side.notes.append(
                    f"{counted(len(left), 'photo')} that it names {either(len(left), 'is', 'are')} not in "
                    f"--in, and left out (first: {left[0]})"
                )
        return photos.keys
    first, other = (a, b) if a.rank >= b.rank else (b, a)
    first.expect(first.paths)
    try:
        left = other.expect(first.paths)
    except NoneInCommonError as error:
        raise UsageError(
            "no_common_photos",
            "expected two results for the same photos, got no photo that both have: "
            f"{_examples('A', a.names)}, {_examples('B', b.names)}; pass results for the same "
            "photos, named alike",
        ) from error
    return Texts(chain(first.names, left)) if left else in_column(first.names)


def _expect_truth(truth: Side, keys: Column, sides: Sequence[Side]) -> None:
    """Tell the truth of the photos.

    Raises:
        UsageError: it has none of them.
    """
    try:
        left = truth.expect(_Paths(keys, sides))
    except NoneInCommonError as error:
        raise UsageError(
            "no_common_photos",
            "expected the truth of photos that A or B has, got none of them: "
            f"{_examples('--truth', truth.names)}, {_examples('A and B', keys)}; pass the truth "
            "of these photos, named alike",
        ) from error
    if left:
        truth.notes.append(
            f"{counted(len(left), 'photo')} that it names {either(len(left), 'is', 'are')} neither in A nor "
            f"in B (first: {left[0]})"
        )


def _examples(called: str, names: Sequence[str]) -> str:
    """Return how many photos somebody has, and the names of the first."""
    if not len(names):
        return f"{called} has no photo"
    shown = ", ".join(names[i] for i in range(min(_EXAMPLES, len(names))))
    return f"{called} has {counted(len(names), 'photo')} ({shown}{', …' * (len(names) > _EXAMPLES)})"


class _Paths(Mapping[str, str]):
    """Key → path of a photo, as far as a side knows where it is."""

    def __init__(self, keys: Column, sides: Sequence[Side]) -> None:
        self._keys, self._sides = keys, sides

    def __getitem__(self, key: str) -> str:
        if key not in self._keys:
            raise KeyError(key)
        return next(filter(None, (side.location(key).own_path for side in self._sides)), "")

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)
