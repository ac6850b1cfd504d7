"""What one side says of many photos, in columns: a few bytes a photo, and 48 a box."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.geometry import Box, area_of
from detic_crop.columns import as_numpy
from detic_crop.detectors.boxes_file.sizes import SizeWH, same_shape


class State(IntEnum):
    """Whether a side has looked at a photo."""

    NOT_LOOKED = 0
    FAILED = 1
    LOOKED = 2


class SideBox(NamedTuple):
    """A box of one side: edges in pixels of the photo; None for a score that nobody gave."""

    xyxy: Box
    score: float | None
    class_name: str


@dataclass(frozen=True, slots=True, eq=False)
class SideColumns:
    """What one side says of N photos; it has M boxes.

    Attributes:
        states: (N,) int8, see `State`.
        sizes: (N, 2) int32, width and height of the photo in pixels; 0 where the side does not know it.
        starts: (N + 1,) int64, where the boxes of each photo begin; the largest of them is the first.
        xyxy: (M, 4) float64, in pixels of the photo.
        scores: (M,) float64; NaN for a box that a person drew.
        classes: (M,) int32, places in `class_names`.
        class_names: names of the classes; "" is none.
    """

    states: NDArray[np.int8]
    sizes: NDArray[np.int32]
    starts: NDArray[np.int64]
    xyxy: NDArray[np.float64]
    scores: NDArray[np.float64]
    classes: NDArray[np.int32]
    class_names: Sequence[str]

    @property
    def counts(self) -> NDArray[np.int64]:
        """(N,) number of boxes of each photo."""
        return np.diff(self.starts)

    @property
    def has_several(self) -> bool:
        """Whether a photo has several boxes."""
        return bool((self.counts > 1).any())

    @property
    def has_scores(self) -> bool:
        """Whether the scores tell boxes apart."""
        return bool(len(self.scores)) and float(self.ranking.min()) < float(self.ranking.max())

    @property
    def ranking(self) -> NDArray[np.float64]:
        """(M,) the scores, 1 for a box that a person drew."""
        return np.nan_to_num(self.scores, nan=1.0)

    def first(self) -> SideColumns:
        """Return the same with the largest box of each photo alone."""
        has_some = self.counts > 0
        kept = self.starts[:-1][has_some]
        starts = np.concatenate([[0], np.cumsum(has_some)])
        return replace(
            self,
            starts=starts,
            xyxy=self.xyxy[kept],
            scores=self.scores[kept],
            classes=self.classes[kept],
        )

    def in_size(self, sizes: NDArray[np.int32]) -> tuple[SideColumns, NDArray[np.int64]]:
        """Return the same in pixels of photos of other sizes, and the photos that cannot have that size.

        Copies of a photo may be larger or smaller. One of another shape is another photo, or is turned: there
        its boxes mean nothing, and it counts as failed.

        Args:
            sizes: (N, 2) width and height of the photos, pixels; 0 where that is unknown.
        """
        differ = ((self.sizes > 0) & (sizes > 0)).all(axis=1) & (self.sizes != sizes).any(axis=1)
        if not differ.any():
            return self, np.empty(0, np.int64)
        xyxy, states = self.xyxy.copy(), self.states.copy()
        others = array("q")
        for photo in np.flatnonzero(differ).tolist():
            own, wanted = _size(self.sizes[photo]), _size(sizes[photo])
            boxes = slice(int(self.starts[photo]), int(self.starts[photo + 1]))
            if same_shape(own, wanted):
                x, y = wanted[0] / own[0], wanted[1] / own[1]
                xyxy[boxes] *= (x, y, x, y)
            else:
                others.append(photo)
                states[photo] = State.FAILED
        return replace(self, xyxy=xyxy, states=states), as_numpy(others)


def _size(sides: NDArray[np.int32]) -> SizeWH:
    width, height = sides.tolist()
    return width, height


class Builder:
    """Puts the photos of one side into columns, one by one."""

    def __init__(self) -> None:
        self._states, self._sizes, self._starts = array("b"), array("i"), array("q", [0])
        self._xyxy, self._scores, self._classes = array("d"), array("d"), array("i")
        self._names: dict[str, int] = {}

    def add(self, state: State, size_wh: SizeWH | None = None, boxes: Iterable[SideBox] = ()) -> None:
        """Put a photo at the end.

        Args:
            state: whether the side has looked at it.
            size_wh: its width and height in pixels, if the side knows them.
            boxes: what it has found, in any order.
        """
        self._states.append(state)
        self._sizes.extend(size_wh or (0, 0))
        for box in sorted(boxes, key=lambda box: -area_of(box.xyxy)):
            self._xyxy.extend(box.xyxy)
            self._scores.append(np.nan if box.score is None else box.score)
            self._classes.append(self._names.setdefault(box.class_name, len(self._names)))
        self._starts.append(len(self._scores))

    def take(self) -> SideColumns:
        """Return the columns; nothing can be added any more."""
        return SideColumns(
            as_numpy(self._states),
            as_numpy(self._sizes).reshape(-1, 2),
            as_numpy(self._starts),
            as_numpy(self._xyxy).reshape(-1, 4),
            as_numpy(self._scores),
            as_numpy(self._classes),
            tuple(self._names),
        )
