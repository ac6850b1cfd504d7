"""Final boxes, one a row: models with non-maximum suppression inside, or that need none.

Published formats. Ultralytics with ``nms=True``, YOLOv10 and YOLO26 (B, N, 6): left, top, right, bottom in
pixels, score, class; coefficients of masks or keypoints follow. YOLOv7's end2end (N, 7): photo, box, class,
score. YOLO-NAS's flat format (N, 7): photo, box, score, class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from detic_crop.detectors.onnx_file.heads.grid import grid_of
from detic_crop.detectors.onnx_file.heads.head import Answer, Array, Found, Head

_MOST_ROWS = 1000


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which column is what."""

    box: int
    score: int
    class_number: int
    photo: int | None = None


_OF_ULTRALYTICS = _Columns(box=0, score=4, class_number=5)
_OF_YOLOV7 = _Columns(photo=0, box=1, class_number=5, score=6)
_OF_YOLO_NAS = _Columns(photo=0, box=1, score=5, class_number=6)


class Rows(Head):
    """Rows of final boxes."""

    def __init__(self, output: str, columns: _Columns, what: str) -> None:
        self._output, self._columns, self.what = output, columns, what

    @classmethod
    def recognise(cls, answer: Answer) -> Rows | None:
        for output, array in answer.with_sides(2).items():
            if array.shape[1] == 7:
                if "flat" in output.lower():
                    return cls(output, _OF_YOLO_NAS, "YOLO-NAS with NMS")
                return cls(output, _OF_YOLOV7, "YOLOv7 with NMS")
        for output, array in answer.with_sides(3).items():
            if _are_final(array[0], answer):
                return cls(output, _OF_ULTRALYTICS, "YOLOv10, 26, or YOLO with NMS")
        return None

    def decode(self, outputs: Mapping[str, Array], index: int) -> Found:
        table, columns = outputs[self._output], self._columns
        table = table[index] if columns.photo is None else table[table[:, columns.photo] == index]
        numbers = np.nan_to_num(table[:, columns.class_number], nan=-1, posinf=-1, neginf=-1)
        return Found(
            table[:, columns.box : columns.box + 4].astype(np.float32),
            table[:, columns.score].astype(np.float32),
            np.rint(numbers).astype(np.int64),
        )


def _are_final(table: Array, answer: Answer) -> bool:
    """Return whether (N, 6 or more) are final boxes, and not those of the cells of a grid."""
    n_rows, n_columns = table.shape
    if answer.metadata.ends_with_nms:
        return bool(n_columns >= 6)
    has_tail = answer.metadata.task in ("segment", "pose")
    if n_columns != 6 and not (has_tail and n_columns > 6 and n_rows <= _MOST_ROWS):
        return False
    if n_rows > _MOST_ROWS or grid_of(n_rows, answer.size_wh) is not None:
        return False
    if has_tail and grid_of(n_columns, answer.size_wh) is not None:
        return False
    numbers = table[np.isfinite(table).all(axis=1), 5]  # rows that are not filled may hold anything
    whole = np.all((numbers == np.rint(numbers)) & (numbers >= -1))
    return bool(whole)
