"""RT-DETR as Ultralytics exports it: (B, N, 4 + C), centre, width, height as shares of the picture, scores.

By its shape it may be a YOLO: the file says that it is RT-DETR, or its rows are no grid and its boxes shares.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from detic_crop.detectors.onnx_file.heads.grid import grid_of
from detic_crop.detectors.onnx_file.heads.head import (
    Answer,
    Array,
    Found,
    Head,
    UnfitNamesError,
    best_class,
    peaks_of,
    xyxy_of,
)

_BOX = 4
_MOST_ROWS = 1000


class RtDetrRows(Head):
    """Queries of RT-DETR with their scores in one output."""

    what = "RT-DETR of Ultralytics"
    fitting = "stretch"
    conf = 0.5

    def __init__(self, output: str, n_classes: int, size_wh: tuple[int, int]) -> None:
        self.n_classes = n_classes
        self._output, self._size_wh = output, size_wh

    @classmethod
    def recognise(cls, answer: Answer) -> RtDetrRows | None:
        if len(answer.outputs) != 1 or not answer.with_sides(3) or answer.metadata.ends_with_nms:
            return None
        ((output, array),) = answer.outputs.items()
        n_rows, n_columns = array.shape[1:]
        said = "rtdetr" in answer.metadata.about.lower().replace("-", "")
        n_classes = n_columns - _BOX
        fits = answer.names is None or len(answer.names) == n_classes
        if not said:
            boxes, scores = array[0, :, :_BOX], array[0, :, _BOX:]
            is_grid = any(grid_of(side, answer.size_wh) for side in (n_rows, n_columns))
            shares = bool((boxes >= 0).all() and (boxes <= 1.5).all() and (boxes > 0).any())
            are_scores = bool((scores >= 0).all() and (scores <= 1).all())
            if is_grid or n_rows > _MOST_ROWS or n_classes < 1 or not (fits and shares and are_scores):
                return None
        if not fits or n_classes < 1:
            raise UnfitNamesError(len(answer.names or ()), n_classes, output)
        return cls(output, n_classes, answer.size_wh)

    def decode(self, outputs: Mapping[str, Array], index: int) -> Found:
        table = outputs[self._output][index]
        scores = table[:, _BOX:]
        best, classes = best_class(scores)
        boxes = table[:, :_BOX] * np.tile(np.array(self._size_wh, np.float32), 2)
        return Found(xyxy_of(boxes), best, classes, peaks_of(scores))
