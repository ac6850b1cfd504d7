"""YOLO-NAS without non-maximum suppression: boxes (B, N, 4), corners in pixels, and scores (B, N, C)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from detic_crop.detectors.onnx_file.heads.grid import grid_of
from detic_crop.detectors.onnx_file.heads.head import (
    FLOOR,
    Answer,
    Array,
    Found,
    Head,
    UnfitNamesError,
    best_class,
    peaks_of,
)

_IOU = 0.7


class YoloNas(Head):
    """Boxes of the cells of a grid, with scores apart."""

    what = "YOLO-NAS"

    def __init__(self, boxes: str, scores: str, n_classes: int) -> None:
        self._boxes, self._scores, self.n_classes = boxes, scores, n_classes

    @classmethod
    def recognise(cls, answer: Answer) -> YoloNas | None:
        outputs = answer.with_sides(3)
        if len(outputs) != 2 or len(answer.outputs) != 2:
            return None
        (first, one), (second, other) = outputs.items()
        if one.shape[1] != other.shape[1] or grid_of(one.shape[1], answer.size_wh) is None:
            return None
        if one.shape[2] != 4 or (other.shape[2] == 4 and "score" in first.lower()):
            first, second = second, first
        boxes, scores = outputs[first], outputs[second]
        if boxes.shape[2] != 4 or (scores < 0).any() or (scores > 1).any():
            return None
        n_classes = scores.shape[2]
        if answer.names is not None and len(answer.names) != n_classes:
            raise UnfitNamesError(len(answer.names), n_classes, second)
        return cls(first, second, n_classes)

    def decode(self, outputs: Mapping[str, Array], index: int) -> Found:
        scores = outputs[self._scores][index]
        best, classes = best_class(scores)
        likely = np.flatnonzero(best >= FLOOR)
        boxes = outputs[self._boxes][index][likely].astype(np.float32)
        found = Found(boxes, best[likely], classes[likely], peaks_of(scores))
        return found.without_overlaps(_IOU)
