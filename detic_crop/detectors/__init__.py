"""Detectors by name. Nothing heavy is imported until a detector is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from detic_crop.config import BoxFormat, Precision, parse_onnx_input
from detic_crop.detectors.families import ModelRequest, family_of

if TYPE_CHECKING:
    from detic_crop.detectors.base import Detector

__all__ = ["load_detector", "resolve_model"]


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
    onnx_input: str | None = None,
) -> Detector:
    """Load a model once, to be asked about many photos.

    Args:
        name: ``auto``, ``lite``, ``lite:FILE`` (what `teach` wrote), ``detic-swinb``, ``detic-convnext``,
            ``detic-r50``, ``detic-r18``, ``boxes:FILE`` (a file, or a folder of labels), ``onnx:FILE`` or
            ``detectron2:CONFIG``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        vocabulary: what Detic looks for: ``openimages`` (default), ``lvis``, ``objects365``, ``coco``,
            a ``.npy`` file, ``checkpoint``, or words joined by commas.
        names: class names of a ``.npy`` file, of the checkpoint's own classifier, or of an ONNX file, one a
            line.
        weights_file: a Detic checkpoint instead of the pulled one.
        precision: number format of Detic's network; ``bfloat16`` and ``float16`` are faster on hardware that
            has them.
        detector_size: shortest side, in pixels, at which Detic sees a photo (default 800); side of the
            picture that an ONNX file sees, if it takes any.
        batch_size: photos that Detic or an ONNX file is given at once on a GPU.
        box_format: ``xyxy`` or ``xywh`` for a boxes file; None judges it by the file.
        onnx_input: how an ONNX file is shown a photo, e.g. ``640x640,letterbox,rgb,0-1``, or parts of that;
            None: as the file says, else as its kind of model is trained.

    Raises:
        UsageError: there is no such model, file or device, or an option does not go with the model.
        WeightsError: weights are missing or damaged.
    """
    name, _ = resolve_model(name)
    family = family_of(name)
    request = ModelRequest(
        name=name,
        device=device,
        vocabulary=vocabulary,
        names=names,
        weights_file=weights_file,
        precision=precision,
        detector_size=detector_size,
        batch_size=batch_size,
        box_format=box_format,
        onnx_input=None if onnx_input is None else parse_onnx_input(onnx_input),
    )
    family.check(request)
    return family.load(request)
