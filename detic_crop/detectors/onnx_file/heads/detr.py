"""DETRs: a box, as shares of the picture, and logits for each query.

Published formats. RF-DETR: dets (B, N, 4), labels (B, N, C + 1), sigmoid; the last column is no class.
Exports of Hugging Face's models: logits (B, N, …), pred_boxes (B, N, 4). RT-DETR, D-FINE and Deformable DETR
have one column for each class, sigmoid, and the best of all queries × classes count (transformers'
``post_process_object_detection``); DETR and YOLOS have one more for "no object", softmax (Carion 2020).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from detic_crop.detectors.onnx_file.heads.head import (
    Answer,
    Array,
    Found,
    Head,
    UnfitNamesError,
    best_class,
    peaks_of,
    sigmoid,
    xyxy_of,
)
from detic_crop.detectors.vocabulary import names_of

_COCO_IDS = 91
_COCO_GAPS = frozenset({0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
"""Numbers below 91 that COCO gives to no class."""
_CERTAIN = 0.9


class Detr(Head):
    """Boxes and logits of queries.

    Args:
        boxes, logits: names of the outputs.
        softmax: the last column is "no object".
        names: classes by column, if the head knows them.
        n_classes: columns that are classes.
        is_rf: it is RF-DETR's export.
        normalised: pixels have ImageNet's mean and deviation.
        size_wh: width and height of the picture.
    """

    fitting = "stretch"
    conf = 0.5

    def __init__(
        self,
        boxes: str,
        logits: str,
        *,
        softmax: bool,
        names: tuple[str | None, ...] | None,
        n_classes: int,
        is_rf: bool,
        normalised: bool,
        size_wh: tuple[int, int],
    ) -> None:
        self.n_classes, self.names = n_classes, names
        self._boxes, self._logits, self._softmax, self._size_wh = boxes, logits, softmax, size_wh
        self.what = "RF-DETR" if is_rf else "DETR or YOLOS" if softmax else "RT-DETR or D-FINE"
        if normalised:
            self.values = "imagenet"

    @classmethod
    def recognise(cls, answer: Answer) -> Detr | None:
        pair = _outputs(answer)
        if pair is None:
            return None
        boxes, logits = pair
        is_rf = "dets" in boxes.lower()
        columns = answer.outputs[logits].shape[2]
        n_names = len(answer.names) if answer.names else None
        softmax = _is_softmax(answer, logits, columns, n_names, is_rf)
        names: tuple[str | None, ...] | None = None
        n_classes = columns - softmax
        if columns == _COCO_IDS and not softmax and n_names in (None, 80):
            coco = iter(answer.names or names_of("coco"))
            names = tuple(None if number in _COCO_GAPS else next(coco) for number in range(_COCO_IDS))
        elif n_names is not None and n_classes == n_names + 1:  # one more than there are names: no object
            n_classes = n_names
        elif n_names is not None and n_classes != n_names:
            raise UnfitNamesError(
                n_names,
                n_classes,
                f"{logits}; a first class without meaning needs a line, too: background",
            )
        normalised = answer.metadata.normalised
        return cls(
            boxes,
            logits,
            softmax=softmax,
            names=names,
            n_classes=n_classes,
            is_rf=is_rf,
            normalised=is_rf or softmax if normalised is None else normalised,
            size_wh=answer.size_wh,
        )

    def decode(self, outputs: Mapping[str, Array], index: int) -> Found:
        logits, boxes = outputs[self._logits][index], outputs[self._boxes][index]  # (N, K), (N, 4)
        xyxy = xyxy_of(boxes * np.tile(np.array(self._size_wh, np.float32), 2))
        if self._softmax:
            exponents = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
            scores = (exponents / exponents.sum(axis=1, keepdims=True))[:, : self.n_classes]
            best, classes = best_class(scores)
            return Found(xyxy, best, classes, peaks_of(scores))
        scores = sigmoid(logits[:, : self.n_classes])
        flat = scores.reshape(-1)
        first = np.argsort(-flat, kind="stable")[: len(scores)]
        queries, classes = np.divmod(first, scores.shape[1])
        return Found(xyxy[queries], flat[first], classes.astype(np.int64), peaks_of(scores))


def _outputs(answer: Answer) -> tuple[str, str] | None:
    """Return the names of boxes and logits."""
    outputs = answer.with_sides(3)
    for boxes_word, logits_word in (("dets", "labels"), ("pred_boxes", "logits"), ("boxes", "logits")):
        boxes = next((name for name in outputs if boxes_word in name.lower()), None)
        logits = next((name for name in outputs if logits_word in name.lower()), None)
        if boxes and logits and boxes != logits:
            break
    else:
        fours = [name for name, array in outputs.items() if array.shape[2] == 4]
        if len(outputs) != 2 or len(fours) != 1:
            return None
        (boxes,), (logits,) = fours, [name for name in outputs if name not in fours]
    fits = outputs[boxes].shape[2] == 4 and outputs[boxes].shape[1] == outputs[logits].shape[1]
    are_shares = float(np.nan_to_num(np.abs(outputs[boxes])).max(initial=0)) <= 2
    return (boxes, logits) if fits and are_shares else None


def _is_softmax(answer: Answer, logits: str, columns: int, n_names: int | None, is_rf: bool) -> bool:
    """Return whether the last column is "no object" of a softmax.

    It is said, or the names are one fewer than the columns; else nearly all queries see it in a plain
    picture.
    """
    if answer.metadata.softmax is not None:
        return answer.metadata.softmax
    if is_rf or columns < 2:
        return False
    if n_names is not None:
        return columns == n_names + 1
    sure = answer.outputs[logits][0].argmax(axis=1) == columns - 1
    return bool(sure.mean() >= _CERTAIN)
