"""Detectors by name. Nothing heavy is imported until a detector is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from detic_crop.config import BoxFormat, Precision, Tiles, parse_onnx_input
from detic_crop.detectors.families import ModelRequest, family_of, parts_of
from detic_crop.detectors.joined.names import Node, models_of, without, written

if TYPE_CHECKING:
    from detic_crop.detectors.base import Detector

__all__ = ["load_detector", "resolve_model"]


def resolve_model(model: str) -> tuple[str, str]:
    """Return the model that ``auto`` stands for, and why; other names stand for themselves.

    Inside of a joined name ``auto`` stands for the same model; where that is named anyhow, for nothing.

    Returns:
        (model name, reason in one phrase).
    """
    node = parts_of(model)
    if "auto" not in models_of(node):
        return written(node), "asked for"
    from detic_crop.detectors.weights import best_installed

    best = best_installed()
    stands_for = "lite" if best is None else best
    reason = (
        "the embedded model; no Detic weights are installed (detic-crop weights pull detic-swinb)"
        if best is None
        else "the best model whose weights are installed"
    )
    if model == "auto":
        return stands_for, reason
    return with_auto(node, stands_for), f"asked for; auto is {stands_for}, {reason}"


def with_auto(node: Node, stands_for: str) -> str:
    """Return a joined name with another model for ``auto``; without it, if that is named there anyhow."""
    if stands_for in models_of(node):
        kept = without(node, "auto")
        return stands_for if kept is None else written(kept)
    return written(node, lambda name: stands_for if name == "auto" else name)


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
    tiles: Tiles = "none",
    onnx_input: str | None = None,
    loaded: Mapping[str, Detector] | None = None,
) -> Detector:
    """Load a model once, to be asked about many photos.

    Args:
        name: ``auto``, ``lite``, ``lite:FILE`` (what `teach` wrote), ``detic-swinb``, ``detic-convnext``,
            ``detic-r50``, ``detic-r18``, ``torchvision:NAME``, ``hf:ID_OR_FOLDER``, ``onnx:FILE``,
            ``boxes:FILE`` (a file, or a folder of labels) or ``detectron2:CONFIG``; or several, joined:
            ``a+b`` asks b where a found nothing, ``wbf(a,b)`` fuses their boxes.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        vocabulary: what Detic looks for: ``openimages`` (default), ``lvis``, ``objects365``, ``coco``,
            a ``.npy`` file, ``checkpoint``, or words joined by commas. A zero-shot ``hf:`` model takes words.
        names: class names of a ``.npy`` file, of the checkpoint's own classifier, of `weights_file` or of an
            ONNX file, one a line.
        weights_file: a checkpoint instead of the pulled one.
        precision: number format of the network; ``bfloat16`` and ``float16`` are faster on hardware that
            has them.
        detector_size: shortest side, in pixels, at which the network sees a photo; side of the picture
            that an ONNX file sees, if it takes any; None: as it was trained.
        batch_size: photos that the network is given at once on a GPU.
        box_format: ``xyxy`` or ``xywh`` for a boxes file; None judges it by the file.
        tiles: ``auto`` looks again, in overlapping tiles, where nothing is found in a photo as a whole.
        onnx_input: how an ONNX file is shown a photo, e.g. ``640x640,letterbox,rgb,0-1``, or parts of that;
            None: as the file says, else as its kind of model is trained.
        loaded: of a joined name the models that are there already, by name.

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
        loaded=loaded or {},
    )
    family.check(request)
    detector = family.load(request)
    if tiles == "none":
        return detector
    from detic_crop.detectors.joined.tiled import with_tiles

    return with_tiles(detector)
