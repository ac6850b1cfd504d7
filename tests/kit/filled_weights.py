"""Deterministic pseudo-random weights for Detic, so that two implementations can be held against each other.

The values are part of the goldens in `tests/data/detic`: they depend on (seed, published name, shape) only,
through NumPy's PCG64 generator, whose stream is fixed. The scales keep activations near unit size through
deep stacks, so that a wrong stride, padding or normalisation shows.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DATA = Path(__file__).parents[1] / "data" / "detic"
N_CLASSES = 500
EMBEDDING = 512

SHORT_NAMES = {"detic-swinb": "swinb", "detic-convnext": "cxt", "detic-r50": "r50", "detic-r18": "r18"}
"""Model name → the name of its goldens."""


def filled(name: str, shape: Sequence[int], seed: int) -> Tensor:
    """The tensor of one published name: float32, or int64 zero for a counter."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(tuple(shape), dtype=torch.int64)
    generator = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
    values = generator.standard_normal(tuple(shape), dtype=np.float32)
    return torch.from_numpy(np.ascontiguousarray(_scaled(name, values), dtype=np.float32))


def _scaled(name: str, noise: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standard normal noise → values of the size that a parameter of this name has in a trained network."""
    leaf = name.split(".")[-1]
    is_vector = leaf == "weight" and noise.ndim == 1
    if name.endswith("cls_score.zs_weight"):  # columns of unit length; the last one, background, is zero
        noise = noise / (np.linalg.norm(noise, axis=0, keepdims=True) + 1e-12)
        noise[:, -1] = 0
    elif leaf == "running_var":
        noise = np.exp(0.2 * noise)
    elif leaf == "running_mean":
        noise = 0.1 * noise
    elif leaf == "relative_position_bias_table":
        noise = 0.5 * noise
    elif leaf == "gamma":  # ConvNeXt's layer scale
        noise = 0.5 + 0.1 * noise
    elif is_vector and ".base.layer" in name:  # batch normalisation within ResNet's residual blocks
        noise = 0.4 + 0.05 * noise
    elif is_vector or leaf == "scale":
        noise = 1 + 0.1 * noise
    elif leaf == "bias":
        noise = 0.05 * noise
    elif noise.ndim >= 2:
        gain = 1.0 if "agn_hm" in name or "bbox_pred" in name else math.sqrt(2.0)
        noise = noise * (gain / math.sqrt(math.prod(noise.shape[1:])))
    if name.endswith("agn_hm.bias"):  # a few confident centres rather than centres everywhere
        noise = noise - 3.0
    return noise


def published_shapes(model: str, folder: Path = DATA / "state_dicts") -> dict[str, list[int]]:
    """Published name → shape of every tensor of one model's checkpoint."""
    shapes: dict[str, list[int]] = json.loads((folder / f"{SHORT_NAMES[model]}.json").read_text())
    return shapes


def filled_checkpoint(shapes: Mapping[str, Sequence[int]], seed: int) -> dict[str, Tensor]:
    """All tensors of a checkpoint but its vocabulary (135 MB that are ignored) and the constants."""
    left_out = ("relative_position_index", "zs_weight")
    return {name: filled(name, shape, seed) for name, shape in shapes.items() if not name.endswith(left_out)}


def filled_vocabulary(seed: int) -> NDArray[np.float32]:
    """(500, 512) float32 class embeddings that go with the filled weights."""
    values: NDArray[np.float32] = filled("vocabulary", (EMBEDDING, N_CLASSES), seed).numpy()
    return np.ascontiguousarray(values.T)
