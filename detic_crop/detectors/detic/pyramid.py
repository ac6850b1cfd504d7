"""The feature pyramid P3–P7 (Lin et al. 2017, arXiv 1612.03144; P6 and P7 as in RetinaNet, 1708.02002).

Letters: B batch, C channels, H W rows and columns of a map.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32, 64, 128)
"""Pixels between neighbouring cells of P3, P4, P5, P6 and P7."""


class FeaturePyramid(nn.Module):
    """Three backbone maps → five maps of equal width; what the coarse ones know is added to the fine ones.

    Args:
        in_channels: channels of the backbone's maps of stride 8, 16 and 32.
        channels: number of channels of every level.
    """

    def __init__(self, in_channels: Sequence[int], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in in_channels)
        self.output = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in in_channels)
        self.p6 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.p7 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return five (B, C, H, W) maps of three (B, C_i, H, W); each is half as large as the one before."""
        merged: Tensor = self.lateral[-1](maps[-1])
        levels: list[Tensor] = [self.output[-1](merged)]
        for i in reversed(range(len(maps) - 1)):
            merged = self.lateral[i](maps[i]) + functional.interpolate(
                merged, scale_factor=2.0, mode="nearest"
            )
            levels.insert(0, self.output[i](merged))
        p6: Tensor = self.p6(levels[-1])
        p7: Tensor = self.p7(functional.relu(p6))
        return [*levels, p6, p7]
