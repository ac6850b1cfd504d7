"""What exporters write into an ONNX file, or beside it, about the model: class names, size, task.

Ultralytics (YOLOv5 to YOLO26, RT-DETR) writes ``names``, ``imgsz``, ``stride``, ``task`` and ``args`` as
Python's text for them. Hugging Face's exports have `config.json` and `preprocessor_config.json` beside the
file, or in the folder above a folder `onnx`.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detic_crop.errors import one_line

_MOST_TEXT = 1 << 20
_MOST_CLASSES = 100_000
_MOST_SIDE = 8192
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_SOFTMAX = ("detr", "yolos", "table-transformer")
"""Hugging Face's kinds of models whose last class means that there is no object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """
    Attributes:
        names: class names in the order of the model's numbers; None where nothing names them.
        size_wh: width and height of the picture, pixels.
        stride: both sides are multiples of it.
        task: detect, segment, pose, obb or classify; empty if it is not said.
        ends_with_nms: the boxes are the final ones; None: it is not said.
        about: name of the model in the exporter's words.
        softmax: scores are a softmax with a last class for no object; None: it is not said.
        normalised: pixels have ImageNet's mean and deviation; None: it is not said.
        sources: files beside the ONNX file that say so.
    """

    names: tuple[str, ...] | None = None
    size_wh: tuple[int, int] | None = None
    stride: int | None = None
    task: str = ""
    ends_with_nms: bool | None = None
    about: str = ""
    softmax: bool | None = None
    normalised: bool | None = None
    sources: tuple[Path, ...] = field(default=())


def metadata_of(path: Path, written: Mapping[str, str]) -> Metadata:
    """Return what is said in the file, else in files beside it; what cannot be understood counts as unsaid.

    Args:
        path: the ONNX file.
        written: the metadata in it.
    """
    values = {
        key: _value(text) for key, text in written.items() if key in ("names", "imgsz", "stride", "args")
    }
    arguments = values.get("args")
    nms = arguments.get("nms") if isinstance(arguments, dict) else None
    ends = written.get("end2end", "").strip().lower() == "true" or nms is True
    names, size_wh = _names(values.get("names")), _size(values.get("imgsz"))
    config, preprocessor = _beside(path, "config.json"), _beside(path, "preprocessor_config.json")
    kind = config.get("model_type")
    sources = [at for at in (_at(path, "config.json"), _at(path, "preprocessor_config.json")) if at]
    stride = values.get("stride")
    return Metadata(
        names=names or _names(config.get("id2label")),
        size_wh=size_wh or _size(preprocessor.get("size")),
        stride=stride if type(stride) is int and 0 < stride <= _MOST_SIDE else None,
        task=written.get("task", "").strip().lower(),
        ends_with_nms=ends if ends or "task" in written else None,
        about=one_line(written.get("description", ""), 100) if "description" in written else "",
        softmax=kind in _SOFTMAX if isinstance(kind, str) else None,
        normalised=_is_normalised(preprocessor),
        sources=tuple(sources),
    )


def _value(text: str) -> Any:
    """Return the value of a Python or JSON literal; None if it is none."""
    if len(text) > _MOST_TEXT:
        return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return _json(text)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _names(value: Any) -> tuple[str, ...] | None:
    """Return names given as a list, or as number → name; a number in between without one is ``class N``."""
    if isinstance(value, Mapping):
        try:
            numbered = {int(key): name for key, name in value.items()}
        except (ValueError, TypeError):
            return None
        if len(numbered) != len(value) or not all(0 <= number < _MOST_CLASSES for number in numbered):
            return None
        value = [numbered.get(number, "") for number in range(max(numbered, default=-1) + 1)]
    if not isinstance(value, list | tuple) or not 0 < len(value) <= _MOST_CLASSES:
        return None
    if not all(isinstance(name, str | int) for name in value):
        return None
    return tuple(_name(str(name), number) for number, name in enumerate(value))


def _name(name: str, number: int) -> str:
    """Return a name that goes on one line of a table."""
    plain = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e]", " ", name[:200]).split())
    return plain or f"class {number}"


def _size(value: Any) -> tuple[int, int] | None:
    """Return width and height of a side, of [height, width], or of Hugging Face's size."""
    if isinstance(value, Mapping):
        value = [value.get("height"), value.get("width")]
    if type(value) is int:
        value = [value, value]
    if isinstance(value, list | tuple) and len(value) == 1:
        value = [*value, *value]
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    if not all(type(side) is int and 0 < side <= _MOST_SIDE for side in value):
        return None
    return value[1], value[0]


def _is_normalised(preprocessor: Mapping[str, Any]) -> bool | None:
    if "do_normalize" not in preprocessor:
        return None
    mean = preprocessor.get("image_mean")
    if not preprocessor["do_normalize"] or not isinstance(mean, list):
        return False
    return len(mean) == 3 and all(
        isinstance(ours, float) and math.isclose(ours, theirs, abs_tol=0.01)
        for ours, theirs in zip(mean, IMAGENET_MEAN, strict=True)
    )


def _at(path: Path, name: str) -> Path | None:
    folders = [path.parent, *([path.parent.parent] if path.parent.name == "onnx" else [])]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _beside(path: Path, name: str) -> Mapping[str, Any]:
    at = _at(path, name)
    try:
        if at is None or at.stat().st_size > _MOST_TEXT:
            return {}
        value = _json(at.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, Mapping) else {}
