"""Made-up weights for torchvision's models, and the models themselves as torchvision loads them."""

from __future__ import annotations

import importlib
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

models: Any = importlib.import_module("torchvision.models")

SMALL = "ssdlite320_mobilenet_v3_large"
"""The smallest model."""
_CLASS_SCORES = (
    "cls_score.weight",
    "classification_head.cls_logits.weight",
    "classification_head.module_list",
)
# So much are the weights of the class scores larger that some boxes score much and few the same.
_SHARPNESS = {"fasterrcnn_mobilenet": 12.0, "ssdlite": 30.0, "retinanet": 1.5}
_N_COCO = 91


def made_weights(architecture: str, n_classes: int = _N_COCO, seed: int = 0) -> dict[str, Tensor]:
    """A checkpoint without counters, as the published ones are; its scores lie apart from each other."""
    plain: Any = models.get_model(
        architecture, weights=None, weights_backbone=None, num_classes=n_classes, progress=False
    )
    return {
        name: _filled(name, tensor, n_classes, seed, _sharpness(architecture))
        for name, tensor in plain.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def write_weights(path: Path, architecture: str = SMALL, n_classes: int = _N_COCO, seed: int = 0) -> Path:
    """`made_weights` in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(made_weights(architecture, n_classes, seed), path)
    return path


def _sharpness(architecture: str) -> float:
    return next((value for name, value in _SHARPNESS.items() if architecture.startswith(name)), 3.0)


def _filled(name: str, tensor: Tensor, n_classes: int, seed: int, sharpness: float) -> Tensor:
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    values = random.standard_normal(tuple(tensor.shape)).astype(np.float32)
    if name.endswith("running_var"):
        values = 0.5 + random.random(tuple(tensor.shape)).astype(np.float32)
    elif tensor.ndim == 1 and name.endswith("weight"):  # of a normalisation
        values = 0.75 + 0.5 * random.random(tuple(tensor.shape)).astype(np.float32)
    elif tensor.ndim < 2:
        values *= 0.1
    else:
        values *= math.sqrt(1 / math.prod(tensor.shape[1:]))
        if any(part in name for part in _CLASS_SCORES) and len(tensor) % n_classes == 0:
            values *= sharpness
    return torch.from_numpy(values)
