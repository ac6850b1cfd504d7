"""Kinds of output heads: which one a file has, asked one after the other.

A new head is a module with a `Head`, and its line in `HEADS`.
"""

from __future__ import annotations

from detic_crop.detectors.onnx_file.heads.decoded import Decoded
from detic_crop.detectors.onnx_file.heads.detr import Detr
from detic_crop.detectors.onnx_file.heads.head import Answer, Found, Head, UnfitNamesError, UnknownHeadError
from detic_crop.detectors.onnx_file.heads.rows import Rows
from detic_crop.detectors.onnx_file.heads.rtdetr_rows import RtDetrRows
from detic_crop.detectors.onnx_file.heads.yolo import Yolo
from detic_crop.detectors.onnx_file.heads.yolo_nas import YoloNas

__all__ = ["HEADS", "Answer", "Found", "Head", "UnfitNamesError", "UnknownHeadError", "head_of"]

HEADS: tuple[type[Head], ...] = (Decoded, YoloNas, Detr, RtDetrRows, Rows, Yolo)
"""In the order in which they are asked; each says no to what another one knows better."""


def head_of(answer: Answer) -> Head:
    """Return the head of a model.

    Args:
        answer: what the model said to a plain picture.

    Raises:
        UnknownHeadError: it is none of these, or one without upright boxes and classes.
        UnfitNamesError: the number of class names is another than that of the head's classes.
    """
    if answer.metadata.task in ("obb", "classify", "semantic", "depth"):
        raise UnknownHeadError(f"its task is {answer.metadata.task!r}, which has no upright boxes")
    for kind in HEADS:
        head = kind.recognise(answer)
        if head is not None:
            return head
    raise UnknownHeadError("its outputs are those of no detector that is known here")
