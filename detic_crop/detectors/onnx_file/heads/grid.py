"""The cells that YOLO's boxes belong to: their number tells a head, their places tell its units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEVELS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
"""Pixels of a cell's side at each level: most models; those for 1280; with P2; the tiny ones."""
_PER_CELL = (1, 3)
"""Boxes of a cell: since YOLOX and v6 one, before that three anchors."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """
    Attributes:
        centres: (N, 2) x, y of each box's cell, pixels.
        strides: (N,) side of it, pixels.
        per_cell: boxes of a cell.
    """

    centres: NDArray[np.float64]
    strides: NDArray[np.float64]
    per_cell: int

    @property
    def corners(self) -> NDArray[np.float64]:
        """(N, 2) column and row of each cell, counted from 0."""
        return self.centres / self.strides[:, None] - 0.5


def grid_of(n_boxes: int, size_wh: tuple[int, int]) -> Grid | None:
    """Return the cells of a picture that number of boxes belongs to; None if there are no such."""
    width, height = size_wh
    for levels in _LEVELS:
        cells = [(width // stride, height // stride, stride) for stride in levels]
        for per_cell in _PER_CELL:
            if n_boxes and per_cell * sum(columns * rows for columns, rows, _ in cells) == n_boxes:
                return _grid(cells, per_cell)
    return None


def _grid(cells: list[tuple[int, int, int]], per_cell: int) -> Grid:
    centres, strides = [], []
    for columns, rows, stride in cells:
        y, x = np.mgrid[:rows, :columns]
        level = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) * stride
        centres.append(np.tile(level, (per_cell, 1)))  # the cells of the first anchor, then of the next
        strides.append(np.full(per_cell * columns * rows, float(stride)))
    return Grid(np.concatenate(centres), np.concatenate(strides), per_cell)
