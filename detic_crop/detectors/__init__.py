"""Detectors by name. Nothing heavy is imported until a detector is loaded."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from detic_crop.config import MODELS, BoxFormat, Precision
from detic_crop.errors import UsageError

if TYPE_CHECKING:
    from detic_crop.detectors.base import Detector

__all__ = ["load_detector", "path_of", "resolve_model"]

_WITH_PATH = ("boxes:", "lite:")
"""Beginnings of model names that a path follows; detectron2 has names of its own there, too."""


def path_of(model: str) -> tuple[str, str]:
    """Return the beginning of a model's name, and the path that follows it; (name, "") where none does."""
    for beginning in _WITH_PATH:
        if model.startswith(beginning):
            # A shell leaves the ~ of boxes:~/a.csv alone.
            return beginning, os.path.expanduser(model.removeprefix(beginning))
    return model, ""


def resolve_model(model: str) -> tuple[str, str]:
    """Return the model that ``auto`` stands for, and why; other names stand for themselves.

    Returns:
        (model name, reason in one phrase).
    """
    if model != "auto":
        return model, "asked for"
    from detic_crop.detectors.weights import best_installed

    best = best_installed()
    if best is not None:
        return best, "the best model whose weights are installed"
    return "lite", "the embedded model; no Detic weights are installed (detic-crop weights pull detic-swinb)"


def load_detector(
    name: str = "auto",
    device: str = "auto",
    *,
    vocabulary: str | None = None,
    names: Path | None = None,
    weights_file: Path | None = None,
    precision: Precision = "float32",
    detector_size: int | None = None,
    batch_size: int | None = None,
    box_format: BoxFormat | None = None,
) -> Detector:
    """Load a model once, to be asked about many photos.

    Args:
        name: ``auto``, ``lite``, ``lite:FILE`` (what `teach` wrote), ``detic-swinb``, ``detic-convnext``,
            ``detic-r50``, ``detic-r18``, ``boxes:FILE`` (a file, or a folder of labels) or
            ``detectron2:CONFIG``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        vocabulary: what Detic looks for: ``openimages`` (default), ``lvis``, ``objects365``, ``coco``,
            a ``.npy`` file, ``checkpoint``, or words joined by commas.
        names: class names of a ``.npy`` file or of the checkpoint's own classifier, one a line.
        weights_file: a Detic checkpoint instead of the pulled one.
        precision: number format of Detic's network; ``bfloat16`` and ``float16`` are faster on hardware that
            has them.
        detector_size: shortest side, in pixels, at which Detic sees a photo (default 800).
        batch_size: photos that Detic is given at once on a GPU.
        box_format: ``xyxy`` or ``xywh`` for a boxes file; None judges it by the file.

    Raises:
        UsageError: there is no such model, file or device, or an option does not go with the model.
        WeightsError: weights are missing or damaged.
    """
    name, _ = resolve_model(name)
    if box_format is not None and not name.startswith("boxes:"):
        raise UsageError(
            "option_not_applicable",
            f"--box-format {box_format} goes with --model boxes:FILE only, not with {name}; leave it out",
        )
    if name.startswith("detic-"):
        from detic_crop.detectors.detic_loading import load_detic_by_name
        from detic_crop.detectors.devices import resolve_device

        return load_detic_by_name(
            name,
            resolve_device(device),
            vocabulary,
            names,
            weights_file,
            precision,
            detector_size,
            batch_size,
        )
    given = {
        "--vocabulary": vocabulary,
        "--names": names,
        "--weights": weights_file,
        "--precision": None if precision == "float32" else precision,
        "--detector-size": detector_size,
        "--batch-size": batch_size,
    }
    for option, value in given.items():
        if value is not None:
            raise UsageError(
                "option_not_applicable",
                f"{option} {value} goes with a Detic model only, not with {name}; leave it out",
            )
    kind, path = path_of(name)
    if kind == "boxes:":
        from detic_crop.detectors.boxes_file import load_boxes_file

        if not path.strip():
            raise UsageError(
                "no_boxes_path", "expected a boxes file or folder after boxes:, got nothing; write boxes:PATH"
            )
        return load_boxes_file(Path(path), box_format)
    if name.startswith("detectron2:"):
        from detic_crop.detectors.detectron2 import load_detectron2

        return load_detectron2(name.removeprefix("detectron2:"), device)
    if kind == "lite:":
        from detic_crop.detectors.devices import resolve_device
        from detic_crop.detectors.lite.teaching import load_taught

        if not path.strip():
            raise UsageError(
                "no_taught_path",
                "expected a file of `detic-crop teach` after lite:, got nothing; write lite:FILE",
            )
        return load_taught(Path(path), resolve_device(device))
    if name == "lite":
        from detic_crop.detectors.devices import resolve_device
        from detic_crop.detectors.lite.detector import load_lite

        return load_lite(resolve_device(device))
    hint = ""
    if name.endswith(".safetensors"):
        hint = f"; if `teach` wrote it, pass --model lite:{name}"
    elif name and os.path.exists(name):
        hint = f"; if it has boxes, pass --model boxes:{name}"
    elif near := difflib.get_close_matches(name, re.split(", | or ", MODELS), 1):
        hint = f"; did you mean {near[0]}?"
    raise UsageError("unknown_model", f"--model must be {MODELS}, got {name!r}{hint}")
