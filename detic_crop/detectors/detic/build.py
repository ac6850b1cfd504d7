"""The four published models: which parts, of which size. The only file that knows the variants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import timm
import torch
from torch import nn

from detic_crop.detectors.detic.cascade import Cascade
from detic_crop.detectors.detic.convnext import ConvNextBackbone
from detic_crop.detectors.detic.network import DeticNetwork
from detic_crop.detectors.detic.proposals import ProposalHead
from detic_crop.detectors.detic.pyramid import STRIDES, FeaturePyramid
from detic_crop.detectors.detic.swin import SwinBackbone
from detic_crop.errors import UsageError

EMBEDDING = 512
"""Width of a CLIP ViT-B/32 text embedding."""

_PYRAMID_CHANNELS = 256
_HIDDEN = 1024


@dataclass(frozen=True, slots=True)
class Variant:
    """One published model.

    Attributes:
        published: name of its checkpoint, without ``.pth``.
        backbone: makes the backbone without weights.
        channels: number of channels of the backbone's maps of stride 8, 16 and 32.
    """

    published: str
    backbone: Callable[[], nn.Module]
    channels: tuple[int, int, int]


def _swin_b() -> nn.Module:
    return SwinBackbone(width=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32), window=7)


def _convnext_t() -> nn.Module:
    return ConvNextBackbone(widths=(96, 192, 384, 768), depths=(3, 3, 9, 3))


def _resnet50() -> nn.Module:
    return _resnet("resnet50")


def _resnet18() -> nn.Module:
    return _resnet("resnet18")


def _resnet(architecture: str) -> nn.Module:
    # Of its five maps the last three: strides 8, 16 and 32.
    network: nn.Module = timm.create_model(
        architecture, pretrained=False, features_only=True, out_indices=(2, 3, 4)
    )
    return network


VARIANTS = {
    "detic-swinb": Variant("Detic_LCOCOI21k_CLIP_SwinB_896b32_4x_ft4x_max-size", _swin_b, (256, 512, 1024)),
    "detic-convnext": Variant(
        "Detic_LCOCOI21k_CLIP_CXT21k_640b32_4x_ft4x_max-size", _convnext_t, (192, 384, 768)
    ),
    "detic-r50": Variant("Detic_LCOCOI21k_CLIP_R5021k_640b32_4x_ft4x_max-size", _resnet50, (512, 1024, 2048)),
    "detic-r18": Variant("Detic_LCOCOI21k_CLIP_R18_640b32_4x_ft4x_max-size", _resnet18, (128, 256, 512)),
}


def build(name: str) -> DeticNetwork:
    """Return the network of one variant on the meta device: shapes only, to be filled from a checkpoint.

    Raises:
        UsageError: there is no such variant.
    """
    if name not in VARIANTS:
        raise UsageError(
            "unknown_model", f"expected a Detic model, one of {', '.join(VARIANTS)}, got {name!r}"
        )
    variant = VARIANTS[name]
    with torch.device("meta"):
        network = DeticNetwork(
            backbone=variant.backbone(),
            pyramid=FeaturePyramid(variant.channels, _PYRAMID_CHANNELS),
            head=ProposalHead(_PYRAMID_CHANNELS, levels=len(STRIDES)),
            cascade=Cascade(_PYRAMID_CHANNELS, _HIDDEN, EMBEDDING),
        )
    return network.eval().requires_grad_(False)
