"""YOLO without non-maximum suppression: a box for every cell of a grid.

Published formats. v5, v7 (N × (5 + C)): centre, width, height in pixels, objectness, classes; a score is
objectness × class. v6 likewise, with an objectness of 1. v8, v9, v11, v12 ((4 + C) × N): no objectness.
YOLOX (N × (5 + C)): centre and size count from the cell, ``(p + cell) · stride`` and ``exp(p) · stride``.
Masks' coefficients and keypoints follow the classes; they are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from detic_crop.detectors.onnx_file.heads.grid import Grid, grid_of
from detic_crop.detectors.onnx_file.heads.head import (
    FLOOR,
    Answer,
    Array,
    Found,
    Head,
    UnfitNamesError,
    best_class,
    peaks_of,
    xyxy_of,
)
from detic_crop.detectors.vocabulary import names_of

_BOX = 4
_COCO = len(names_of("coco"))
_MOST_SHARES = 2.0
"""Boxes whose numbers are all smaller count in shares of the picture: pixels would be more in some cell."""
_TASKS_WITH_TAIL = ("segment", "pose")


class Yolo(Head):
    """Boxes of the cells of a grid.

    Args:
        output: name of the output.
        boxes_first: it is N × numbers; else numbers × N.
        has_objectness: a fifth number tells whether there is an object.
        n_classes: number of classes.
        units: what centre and size count in.
        grid: the cells, for ``cells``.
        size_wh: width and height of the picture.
    """

    def __init__(
        self,
        output: str,
        *,
        boxes_first: bool,
        has_objectness: bool,
        n_classes: int,
        units: Literal["pixels", "shares", "cells"],
        grid: Grid | None,
        size_wh: tuple[int, int],
    ) -> None:
        self.n_classes = n_classes
        self._output, self._boxes_first, self._units = output, boxes_first, units
        self._has_objectness, self._grid, self._size_wh = has_objectness, grid, size_wh
        self._iou = 0.45 if has_objectness else 0.7  # the defaults of YOLOv5 to v7 and X, and of v8 and later
        self.what = "YOLOv5, v6 or v7" if has_objectness else "YOLOv8 or later"
        if units == "cells":
            self.what = "YOLOX"
            self.fitting, self.colour, self.values = "corner", "bgr", "0-255"

    @classmethod
    def recognise(cls, answer: Answer) -> Yolo | None:
        for output, array in answer.with_sides(3).items():
            head = cls._of(output, array[0], answer)
            if head is not None:
                return head
        return None

    @classmethod
    def _of(cls, output: str, array: Array, answer: Answer) -> Yolo | None:
        rows, columns = (grid_of(side, answer.size_wh) for side in array.shape)
        n_names = len(answer.names) if answer.names else None
        n_likely = n_names or _COCO  # what nobody names is most often a model of COCO's
        if (rows is None) == (columns is None):  # of a grid that is not known, or a square: by the names
            across = array.shape[1] in (_BOX + n_likely, _BOX + 1 + n_likely)
            down = array.shape[0] == _BOX + n_likely
            if not (across or down):
                return None
            boxes_first = across and (not down or array.shape[0] > array.shape[1])
        else:
            boxes_first = rows is not None
        grid = rows if boxes_first else columns
        table = array if boxes_first else array.T  # (N, 4 + … + C)
        n_numbers = table.shape[1]
        tail = cls._tail(answer)
        has_anchors = grid is not None and grid.per_cell > 1
        has_objectness = (boxes_first or has_anchors) and n_numbers > _BOX + 1
        if n_numbers == _BOX + n_likely:
            has_objectness, tail = False, 0
        elif n_names is not None:
            if has_objectness and n_numbers == _BOX + 1 + n_names:
                tail = 0
            elif answer.metadata.task in _TASKS_WITH_TAIL:  # as many as the names leave over
                tail = n_numbers - _BOX - has_objectness - n_names
        n_classes = n_numbers - _BOX - has_objectness - tail
        if n_names is not None and (n_classes != n_names or tail < 0):
            there = n_classes if tail >= 0 else n_numbers - _BOX
            raise UnfitNamesError(n_names, there, f"{output} {list(array.shape)}")
        if n_classes < 1:
            return None
        may_be_cells = grid is not None and grid.per_cell == 1 and has_objectness
        return cls(
            output,
            boxes_first=boxes_first,
            has_objectness=has_objectness,
            n_classes=n_classes,
            units=_units(table, grid, answer.size_wh, may_be_cells),
            grid=grid,
            size_wh=answer.size_wh,
        )

    @staticmethod
    def _tail(answer: Answer) -> int:
        """Return how many coefficients of masks there are, by the prototypes that go with them."""
        prototypes = [array.shape[1] for array in answer.with_sides(4).values()]
        return prototypes[0] if len(prototypes) == 1 and len(answer.outputs) == 2 else 0

    def decode(self, outputs: Mapping[str, Array], index: int) -> Found:
        table = outputs[self._output][index].astype(np.float32)
        table = table if self._boxes_first else table.T  # (N, 4 + … + C)
        first = _BOX + self._has_objectness
        assert self.n_classes is not None
        scores = table[:, first : first + self.n_classes]
        if self._has_objectness:
            scores = scores * table[:, _BOX : _BOX + 1]
        best, classes = best_class(scores)
        likely = np.flatnonzero(best >= FLOOR)
        boxes = Found(self._xyxy(table, likely), best[likely], classes[likely], peaks_of(scores))
        return boxes.without_overlaps(self._iou)

    def _xyxy(self, table: Array, which: Array) -> Array:
        boxes = table[which, :_BOX]
        if self._units == "shares":
            boxes = boxes * np.tile(np.array(self._size_wh, np.float32), 2)
        elif self._units == "cells":
            assert self._grid is not None
            strides = self._grid.strides[which, None]
            with np.errstate(over="ignore"):
                sides = np.exp(boxes[:, 2:].astype(np.float64)) * strides
            boxes = np.concatenate([(boxes[:, :2] + self._grid.corners[which]) * strides, sides], axis=1)
        return xyxy_of(boxes)


def _units(
    table: Array, grid: Grid | None, size_wh: tuple[int, int], may_be_cells: bool
) -> Literal["pixels", "shares", "cells"]:
    """Return what the centres count in: boxes are near the cells that they belong to, in most cells."""
    boxes = table[:, :_BOX].astype(np.float64)
    told = np.flatnonzero(np.isfinite(boxes).all(axis=1) & (boxes != 0).any(axis=1))  # zeros tell nothing
    if not len(told):
        return "cells" if may_be_cells else "pixels"
    boxes = boxes[told]
    are_small = bool(np.abs(boxes).max() <= _MOST_SHARES)
    if grid is None:
        return "shares" if are_small else "pixels"
    centres, cells, side = boxes[:, :2], grid.centres[told], grid.strides[told, None]

    def usual(distance: Array) -> float:
        return float(np.median(np.abs(distance)))

    pixels = usual((centres - cells) / side)
    shares = usual((centres * size_wh - cells) / side)
    if may_be_cells and usual(centres - 0.5) < min(pixels, shares):
        return "cells"
    return "shares" if are_small or shares < pixels else "pixels"
