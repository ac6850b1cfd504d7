"""Final boxes, scores and classes as outputs of their own.

Published formats. EfficientNMS and YOLO-NAS with NMS: number of boxes (B, 1), boxes (B, N, 4), scores (B, N),
classes (B, N), in pixels. RT-DETR, D-FINE and DEIM, by their authors: labels, boxes, scores, in pixels of the
size that the input ``orig_target_sizes`` asks for (width, height).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from detic_crop.detectors.onnx_file.heads.head import Answer, Array, Found, Head

SIZES = "orig_target_sizes"
"""Input of the DETRs: width and height of what the boxes are to be in."""


class Decoded(Head):
    """Boxes, scores and classes.

    Args:
        boxes, scores, classes, count: names of the outputs; None: all boxes count.
        is_detr: it is one of the DETRs.
    """

    def __init__(self, boxes: str, scores: str, classes: str, count: str | None, is_detr: bool) -> None:
        self._boxes, self._scores, self._classes, self._count = boxes, scores, classes, count
        self.what = "YOLO with NMS (boxes, scores, classes)"
        if is_detr:
            self.what = "RT-DETR, D-FINE or DEIM"
            self.fitting, self.conf = "stretch", 0.5

    @classmethod
    def recognise(cls, answer: Answer) -> Decoded | None:
        count = answer.named("num")
        lists = {name: array for name, array in answer.with_sides(2).items() if name != count}
        boxes = [name for name, array in answer.with_sides(3).items() if array.shape[2] == 4]
        if len(boxes) != 1 or len(lists) != 2 or len(answer.outputs) != 3 + (count is not None):
            return None
        if any(array.shape[1] != answer.outputs[boxes[0]].shape[1] for array in lists.values()):
            return None
        scores = [name for name in lists if "score" in name.lower() or "conf" in name.lower()]
        if len(scores) != 1:
            scores = [name for name, array in lists.items() if array.dtype.kind == "f"]
        if len(scores) != 1:
            return None
        (classes,) = (name for name in lists if name != scores[0])
        return cls(boxes[0], scores[0], classes, count, SIZES in answer.inputs)

    def decode(self, outputs: Mapping[str, Array], index: int) -> Found:
        boxes, scores = outputs[self._boxes][index], outputs[self._scores][index]
        n_boxes = len(scores)
        if self._count is not None:
            n_boxes = min(n_boxes, max(0, int(outputs[self._count].reshape(-1)[index])))
        numbers = np.nan_to_num(
            outputs[self._classes][index].astype(np.float64), nan=-1, posinf=-1, neginf=-1
        )
        return Found(
            boxes[:n_boxes].astype(np.float32),
            scores[:n_boxes].astype(np.float32),
            np.rint(numbers[:n_boxes]).astype(np.int64),
        )
