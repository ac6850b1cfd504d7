"""ConvNeXt (Liu et al. 2022, arXiv 2201.03545) as a detection backbone, inference only.

Own code instead of timm's, because of one habit of the timm version that the published Detic checkpoint was
trained and evaluated with (0.5): the normalisation before each downsampling estimates the variance over the
channels with n − 1 instead of n. That moves the features by 0.4 % of their standard deviation.

Letters: B batch, C channels, H W rows and columns of a map. Everything is kept channels last, as the
normalisations and linear layers want it; convolutions see it through a permuted view.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_MLP_RATIO = 4
_EPS = 1e-6


class ConvNextBackbone(nn.Module):
    """Pixels → the maps of the last three of four stages, of strides 8, 16 and 32.

    Args:
        widths: channels of each stage.
        depths: blocks of each stage.
    """

    def __init__(self, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], kernel_size=4, stride=4)
        self.stem_norm = nn.LayerNorm(widths[0], eps=_EPS)
        incoming = [None, *widths[:-1]]
        self.stages = nn.ModuleList(
            ConvNextStage(before, width, depth)
            for before, width, depth in zip(incoming, widths, depths, strict=True)
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return three (B, C, H, W) maps, finest first, of (B, 3, 32a, 32b) normalised pixels."""
        cells: Tensor = self.stem_norm(convolve(self.stem, pixels.permute(0, 2, 3, 1)))  # (B, H, W, C)
        maps: list[Tensor] = []
        for stage in self.stages:
            cells = stage(cells)
            maps.append(cells.permute(0, 3, 1, 2))  # (B, C, H, W)
        return maps[1:]


class ConvNextStage(nn.Module):
    """Halve the map, unless `before` is None, then refine it block by block."""

    def __init__(self, before: int | None, width: int, depth: int) -> None:
        super().__init__()
        self.downsample = None if before is None else Downsample(before, width)
        self.blocks = nn.Sequential(*(ConvNextBlock(width) for _ in range(depth)))

    def forward(self, cells: Tensor) -> Tensor:
        if self.downsample is not None:
            cells = self.downsample(cells)
        result: Tensor = self.blocks(cells)
        return result


class Downsample(nn.Module):
    """Normalise, then merge each square of 2×2 cells."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(before, eps=_EPS)
        self.conv = nn.Conv2d(before, width, kernel_size=2, stride=2)

    def forward(self, cells: Tensor) -> Tensor:
        # Not self.norm(cells): the variance is divided by n − 1 here, see the top of this file.
        variance, mean = torch.var_mean(cells.float(), dim=-1, keepdim=True, correction=1)
        normal = (cells - mean) * torch.rsqrt(variance + _EPS)
        return convolve(self.conv, normal * self.norm.weight + self.norm.bias)


class ConvNextBlock(nn.Module):
    """A wide depthwise convolution, then a perceptron at each cell, and a shortcut around both (fig. 4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(width, width, kernel_size=7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.fc1 = nn.Linear(width, _MLP_RATIO * width)
        self.fc2 = nn.Linear(_MLP_RATIO * width, width)
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, cells: Tensor) -> Tensor:
        hidden: Tensor = self.norm(convolve(self.spread, cells))
        hidden = self.fc2(functional.gelu(self.fc1(hidden)))
        return cells + hidden * self.gamma  # (B, H, W, C)


def convolve(layer: nn.Conv2d, cells: Tensor) -> Tensor:
    """Return a convolution of (B, H, W, C) cells."""
    result: Tensor = layer(cells.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return result
