"""From names and files to a running torchvision model, and the hashes that a run records."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from detic_crop.config import Precision
from detic_crop.detectors.base import DetectorInfo
from detic_crop.detectors.catalogue import TORCHVISION, catalogue
from detic_crop.detectors.checkpoints import installed_or_own
from detic_crop.detectors.embeddings import read_names
from detic_crop.detectors.records import sha256_of
from detic_crop.detectors.torchvision_models.build import (
    N_COCO,
    architectures,
    build_filled,
    coco_names,
)
from detic_crop.detectors.torchvision_models.detector import DEFAULT_CONF, FLOOR, TorchvisionDetector
from detic_crop.detectors.vocabulary import default_classes_of
from detic_crop.errors import UsageError

_NO_CLASS = ("__background__", "N/A")


def load_torchvision(
    architecture: str,
    device: str,
    names: Path | None = None,
    weights_file: Path | None = None,
    precision: Precision = "float32",
    detector_size: int | None = None,
    batch_size: int | None = None,
    optimised: bool = True,
) -> TorchvisionDetector:
    """Return a model of torchvision with its weights; see `detic_crop.load_detector`.

    Nothing is downloaded. `optimised=False` leaves the network as it is written, for comparisons.

    Raises:
        UsageError: there is no such model, or the names do not fit its classes.
        WeightsError: weights are missing, damaged, or another model's.
    """
    name = TORCHVISION + architecture
    _check_known(architecture, weights_file)
    tensors, hashes = installed_or_own(name, weights_file, bare=True)
    network, n_classes = build_filled(architecture, tensors, str(weights_file or next(iter(hashes))))
    if names is not None:
        label_names = _own_names(names, n_classes)
        hashes |= {f"names {names.name}": sha256_of(names)}
    elif n_classes == N_COCO:
        label_names = coco_names(architecture)
    else:
        label_names = tuple(f"class {number}" for number in range(n_classes))
    classes = tuple(dict.fromkeys(name for name in label_names if name not in _NO_CLASS))
    is_named = names is not None or n_classes == N_COCO
    info = DetectorInfo(
        name=name,
        class_names=classes,
        default_conf=DEFAULT_CONF,
        weights=hashes,
        default_classes=default_classes_of(classes) if is_named else "any",
        floor=FLOOR,
    )
    return TorchvisionDetector(
        network.to(device), info, label_names, device, precision, detector_size, batch_size, optimised
    )


def _check_known(architecture: str, weights_file: Path | None) -> None:
    """Refuse what torchvision cannot build, or has no published weights for if one's own are not given."""
    published = [name.removeprefix(TORCHVISION) for name in catalogue() if name.startswith(TORCHVISION)]
    buildable = architectures()
    known = buildable if weights_file is not None else [name for name in published if name in buildable]
    if architecture not in known:
        near = difflib.get_close_matches(architecture, known, 1)
        raise UsageError(
            "unknown_model",
            f"--model must be {TORCHVISION}NAME with one of {', '.join(known)}, got {architecture!r}"
            + (f"; did you mean {TORCHVISION}{near[0]}?" if near else ""),
        )


def _own_names(path: Path, n_classes: int) -> Sequence[str]:
    """Return a name for each class number, from a file with or without the background in its first line."""
    names = read_names(path)
    if len(names) == n_classes - 1:
        return "__background__", *names
    if len(names) != n_classes:
        raise UsageError(
            "names_do_not_fit",
            f"the checkpoint has {n_classes} classes, the background among them, --names {path} has "
            f"{len(names)}; pass the names it was trained with, with or without the background's",
        )
    return names
