"""Detectors by name. Nothing heavy is imported until a detector is loaded."""

from __future__ import annotations

from pathlib import Path

from detic_crop.detectors.base import Detector, DetectorInfo
from detic_crop.errors import UsageError

__all__ = ["Detector", "DetectorInfo", "load_detector", "resolve_model"]


def resolve_model(model: str) -> tuple[str, str]:
    """The model that ``auto`` stands for, and why; other names stand for themselves.

    Returns:
        (model name, reason in one phrase).
    """
    if model != "auto":
        return model, "asked for"
    return "lite", "the embedded model; it needs no download"


def load_detector(name: str = "auto", device: str = "auto") -> Detector:
    """Load a model once, to be asked about many photos.

    Args:
        name: ``auto``, ``lite`` or ``boxes:FILE``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        UsageError: there is no such model, boxes file or device.
        WeightsError: its weights are missing or damaged.
    """
    name, _ = resolve_model(name)
    if name.startswith("boxes:"):
        from detic_crop.detectors.boxes_file import load_boxes_file

        return load_boxes_file(Path(name.removeprefix("boxes:")))
    if name == "lite":
        from detic_crop.detectors.devices import resolve_device
        from detic_crop.detectors.lite import load_lite

        return load_lite(resolve_device(device))
    raise UsageError(f"--model must be auto, lite or boxes:FILE, got {name!r}")
