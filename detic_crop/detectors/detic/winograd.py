"""3×3 convolutions with a quarter of the multiplications, for CPUs.

Winograd's minimal filtering F(4×4, 3×3) (Lavin and Gray 2016, arXiv 1509.09308): a tile of 6×6 inputs and the
filter are transformed, multiplied number by number, and transformed back to 4×4 outputs. The multiplications
of all tiles and channels are 36 matrix products. oneDNN's own 3×3 convolution already runs at the peak of the
processor, so fewer multiplications are the only way to less time.

Letters: B batch, C and K channels in and out, H W rows and columns, T tiles.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

TILE = 4
"""Outputs along each side of a tile; it reads two rows and columns more."""
_READ = TILE + 2
_PLACES = _READ * _READ
# Tiles per step: few enough for the caches, enough for a matrix product.
_TILES = 160

# Where the polynomials are evaluated, beside infinity. The usual 0, ±1, ±2 lose twice as much to rounding
# (2e-6 against 9e-7, which is the direct sum's; 256 channels of unit size).
_POINTS = (0.0, 0.625, -0.625, 1.5, -1.5)


def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Return Toom and Cook's matrices, float64: (6, 6) of inputs, (6, 3) of filters, (4, 6) of outputs."""
    points = np.array(_POINTS)
    inputs, filters, outputs = np.zeros((_READ, _READ)), np.zeros((_READ, 3)), np.zeros((TILE, _READ))
    for i, point in enumerate(points):
        others = np.delete(points, i)
        inputs[i, :-1] = np.poly(others)[::-1]  # coefficients of Π (x − other), constant first
        filters[i] = point ** np.arange(3) / np.prod(point - others)
        outputs[:, i] = point ** np.arange(TILE)
    inputs[-1], filters[-1, -1], outputs[-1, -1] = np.poly(points)[::-1], 1, 1  # infinity
    return torch.from_numpy(inputs), torch.from_numpy(filters), torch.from_numpy(outputs)


_INPUT, _FILTER, _OUTPUT = _transforms()


class WinogradConv2d(nn.Module):
    """What `conv` computes, up to rounding: about as much as a direct sum differs from the exact one.

    Args:
        conv: see `can_replace`; its filters are transformed once, in float64.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.out_channels, self.in_channels = conv.out_channels, conv.in_channels
        filters = torch.einsum("ia,jb,kcab->ijck", _FILTER, _FILTER, conv.weight.detach().double())
        self.filters: Tensor
        self.into: Tensor
        self.back: Tensor
        self.bias: Tensor | None
        self.register_buffer("filters", filters.reshape(_PLACES, conv.in_channels, -1).float().contiguous())
        self.register_buffer("into", torch.kron(_INPUT, _INPUT).float())  # (36, 36)
        self.register_buffer("back", torch.kron(_OUTPUT, _OUTPUT).float())  # (16, 36)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach().clone())

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, K, H, W), channels last in memory, of (B, C, H, W) float32."""
        batch, _, height, width = maps.shape
        rows, columns = -(-height // TILE), -(-width // TILE)
        below, right = rows * TILE - height + 1, columns * TILE - width + 1
        cells = functional.pad(maps.permute(0, 2, 3, 1), (0, 0, 1, right, 1, below))  # (B, H', W', C)
        result = maps.new_empty(batch, rows, TILE, columns, TILE, self.out_channels)
        step = max(1, _TILES // columns)
        for image, answer in zip(cells, result, strict=True):
            for first in range(0, rows, step):
                last = min(first + step, rows)
                strip = image[first * TILE : last * TILE + 2]
                outputs = self._strip(strip).view(TILE, TILE, last - first, columns, self.out_channels)
                answer[first:last] = outputs.permute(2, 0, 3, 1, 4)
        grid = result.view(batch, rows * TILE, columns * TILE, -1)[:, :height, :width]
        return grid.contiguous().permute(0, 3, 1, 2)

    def _strip(self, cells: Tensor) -> Tensor:
        """Return the outputs of some rows of tiles, (4, 4, T, K) by row and column, of (4t + 2, W', C)."""
        tiles = cells.unfold(0, _READ, TILE).unfold(1, _READ, TILE)  # (t, W/4, C, 6, 6)
        values = tiles.permute(3, 4, 0, 1, 2).reshape(_PLACES, -1)  # (36, T·C)
        products = torch.bmm(
            (self.into @ values).view(_PLACES, -1, self.in_channels), self.filters
        )  # (36, T, K)
        outputs: Tensor = (self.back @ products.flatten(1)).view(TILE, TILE, -1, self.out_channels)
        return outputs if self.bias is None else outputs.add_(self.bias)


def can_replace(conv: nn.Module, least_channels: int = 128) -> bool:
    """Return whether `conv` is a plain 3×3 convolution of stride 1, and wide enough to gain from it."""
    return (
        isinstance(conv, nn.Conv2d)
        and conv.kernel_size == (3, 3)
        and conv.stride == conv.padding == conv.dilation == (1, 1)
        and conv.groups == 1
        and conv.padding_mode == "zeros"
        and min(conv.in_channels, conv.out_channels) >= least_channels
    )
