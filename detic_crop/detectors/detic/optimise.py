"""The same network, faster: what can be worked out once, when the weights are loaded.

`optimise` changes how sums are added up and nothing else: features differ from the plain network's by
rounding (`tests/unit/test_optimise.py` holds one against the other). The plain network stays the
one to read, and to measure against.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from detic_crop.detectors.detic.cascade import CascadeStage
from detic_crop.detectors.detic.convnext import ConvNextBlock
from detic_crop.detectors.detic.fused import fuse
from detic_crop.detectors.detic.head_fast import FastProposalHead
from detic_crop.detectors.detic.network import DeticNetwork
from detic_crop.detectors.detic.packed import pack
from detic_crop.detectors.detic.processor import computes_fast, winograd_pays
from detic_crop.detectors.detic.pyramid import FeaturePyramid
from detic_crop.detectors.detic.resnet_fast import make_resnet_fast
from detic_crop.detectors.detic.swin import PatchMerging, SwinBlock, SwinStage
from detic_crop.detectors.detic.swin_fast import FastSwinBlock
from detic_crop.detectors.detic.winograd import WinogradConv2d, can_replace


def optimise(network: DeticNetwork, device: str, dtype: torch.dtype = torch.float32) -> DeticNetwork:
    """Make `network` fast on `device`, in place, and return it.

    Args:
        network: network with its weights in float32, on `device`.
        device: device that it runs on.
        dtype: number format of autocast, float32 for none.
    """
    fold_norms(network)
    if torch.device(device).type == "cpu" and computes_fast(dtype):
        _for_cpu(network, dtype)
    if dtype != torch.float32:
        store_as(network, dtype)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # the order that oneDNN and tensor cores want
            module.to(memory_format=torch.channels_last)
    return network


def fold_norms(network: nn.Module) -> None:
    """Fold every batch normalisation into the convolution before it (Jacob et al. 2018, eq. 14)."""
    for module in list(network.modules()):
        names = [name for name, _ in module.named_children()]
        for before, name in pairwise(names):
            conv, norm = getattr(module, before), getattr(module, name)
            if isinstance(conv, nn.Conv2d) and type(norm) is nn.BatchNorm2d:
                setattr(module, before, fuse_conv_bn_eval(conv, norm).requires_grad_(False))
                setattr(module, name, nn.Identity())


def store_as(network: DeticNetwork, dtype: torch.dtype) -> None:
    """Hold the weights that autocast would cast for each photo in `dtype`; boxes and scores keep float32."""
    kept = set(network.head.modules()) - set(network.head.tower.modules())
    for stage in network.cascade.stages:
        assert isinstance(stage, CascadeStage)
        kept |= {stage.box_delta, stage.embed}
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module not in kept:
            module.to(dtype)


def _for_cpu(network: DeticNetwork, dtype: torch.dtype) -> None:
    for module in list(network.modules()):
        if isinstance(module, SwinStage):
            module.blocks = nn.ModuleList(
                FastSwinBlock(block, dtype) for block in module.blocks if isinstance(block, SwinBlock)
            )
        elif isinstance(module, PatchMerging):
            setattr(module, "reduction", pack(module.reduction, dtype=dtype))  # noqa: B010
        elif isinstance(module, ConvNextBlock):
            for name in ("fc1", "fc2"):
                setattr(module, name, pack(getattr(module, name), dtype=dtype))
        elif isinstance(module, FeaturePyramid):
            module.lateral = nn.ModuleList(
                fuse(conv, dtype=dtype) for conv in module.lateral if isinstance(conv, nn.Conv2d)
            )
        elif isinstance(module, CascadeStage):
            for name in ("fc1", "fc2", "box_hidden"):
                setattr(module, name, pack(getattr(module, name), dtype=dtype))
    make_resnet_fast(network.backbone, dtype)
    setattr(network, "head", FastProposalHead(network.head))  # noqa: B010
    if winograd_pays(dtype):
        for part in (network.pyramid, network.head):
            for module in list(part.modules()):
                for name, child in module.named_children():
                    if isinstance(child, nn.Conv2d) and can_replace(child):
                        setattr(module, name, WinogradConv2d(child))
