"""3×3 convolutions with a quarter of the multiplications, for CPUs.

Winograd's minimal filtering F(4×4, 3×3) (Lavin and Gray 2016, arXiv 1509.09308): a tile of 6×6 inputs and the
filter are transformed, multiplied number by number, and transformed back to 4×4 outputs. The multiplications
of all tiles and channels are 36 matrix products. oneDNN's own 3×3 convolution already runs at the peak of the
processor, so fewer multiplications are the only way to less time. In float32 only: it rounds like a direct
sum there, but with eight bits it would round four times as much as one.

Letters: B batch, C and K channels in and out, H W rows and columns, T tiles.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from detic_crop.detectors.detic.processor import pays_to_pack

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
        relu: True if a ReLU follows.
    """

    def __init__(self, conv: nn.Conv2d, relu: bool = False) -> None:
        super().__init__()
        self._relu = relu
        self.out_channels, self.in_channels = conv.out_channels, conv.in_channels
        filters = torch.einsum("ia,jb,kcab->ijck", _FILTER, _FILTER, conv.weight.detach().double())
        self.into: Tensor
        self.back: Tensor
        self.bias: Tensor | None
        filters = filters.reshape(_PLACES, conv.in_channels, -1).float()
        self.products = (
            GroupedProducts(filters)
            if pays_to_pack(torch.float32) and can_group()
            else BatchedProducts(filters)
        )
        self.register_buffer("into", torch.kron(_INPUT, _INPUT).float())  # (36, 36)
        self.register_buffer("back", torch.kron(_OUTPUT, _OUTPUT).float())  # (16, 36)
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach().clone())

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, K, H, W) float32, channels last in memory, of (B, C, H, W)."""
        with torch.autocast("cpu", enabled=False):
            return self._convolve(maps)

    def _convolve(self, maps: Tensor) -> Tensor:
        batch, _, height, width = maps.shape
        rows, columns = -(-height // TILE), -(-width // TILE)
        result = maps.new_empty(batch, rows, TILE, columns, TILE, self.out_channels, dtype=torch.float32)
        strips = -(-rows // max(1, _TILES // columns))
        bounds = [rows * i // strips for i in range(strips + 1)]  # of equal height, or one more
        for image, answer in zip(maps.permute(0, 2, 3, 1), result, strict=True):
            for first, last in pairwise(bounds):
                # A row above and one below; what is not in the map is zero.
                top, bottom = first * TILE - 1, last * TILE + 1
                strip = image[max(0, top) : bottom].float()  # (y, W, C)
                above = max(0, -top)
                below, right = bottom - top - above - len(strip), columns * TILE - width + 1
                outputs = self._strip(functional.pad(strip, (0, 0, 1, right, above, below)))
                answer[first:last] = outputs.view(-1, columns, TILE, TILE, self.out_channels).transpose(1, 2)
        grid = result.view(batch, rows * TILE, columns * TILE, -1)[:, :height, :width]
        return grid.contiguous().permute(0, 3, 1, 2)

    def _strip(self, cells: Tensor) -> Tensor:
        """Return the outputs of some rows of tiles, (T, 16, K), of (4t + 2, W', C)."""
        tiles = cells.unfold(0, _READ, TILE).unfold(1, _READ, TILE)  # (t, W/4, C, 6, 6)
        values = tiles.permute(0, 1, 3, 4, 2).reshape(-1, _PLACES, self.in_channels)  # (T, 36, C)
        products = self.products(torch.matmul(self.into, values))  # (T, 36, K)
        outputs = torch.matmul(self.back, products)  # (T, 16, K)
        if self.bias is not None:
            outputs += self.bias
        return outputs.relu_() if self._relu else outputs


class BatchedProducts(nn.Module):
    """Each place's values times its filters, as a batch of matrix products.

    Args:
        filters: (36, C, K).
    """

    def __init__(self, filters: Tensor) -> None:
        super().__init__()
        self.filters: Tensor
        self.register_buffer("filters", filters.contiguous())

    def forward(self, values: Tensor) -> Tensor:
        """Return (T, 36, K) of (T, 36, C)."""
        return torch.bmm(values.transpose(0, 1), self.filters).transpose(0, 1)


class GroupedProducts(nn.Module):
    """The same as a 1×1 convolution in 36 groups, one for each place: for oneDNN, which keeps filters packed.

    103 instead of 84 GFLOP/s, of 112 at most, where the BLAS packs the filters again for each strip.

    Args:
        filters: (36, C, K).
    """

    def __init__(self, filters: Tensor) -> None:
        super().__init__()
        places, channels, _ = filters.shape
        weight = filters.transpose(1, 2).reshape(-1, channels, 1, 1).contiguous()  # (36·K, C, 1, 1)
        size = [1, places * channels, _TILES, 1]
        # No buffer: a packed tensor can neither be saved nor moved.
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(
            weight, [0, 0], [1, 1], [1, 1], places, size
        )

    def forward(self, values: Tensor) -> Tensor:
        """Return (T, 36, K) of (T, 36, C)."""
        count, places, _ = values.shape
        image = values.view(1, count, 1, -1).permute(0, 3, 1, 2)  # (1, 36·C, T, 1), channels last
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(
            *(image, self._weight, None, [0, 0], [1, 1], [1, 1], places), "none", [], ""
        )
        return result.permute(0, 2, 3, 1).reshape(count, places, -1)


def can_group() -> bool:
    """Return whether oneDNN's operators are there and agree with PyTorch's on a small example."""
    filters, values = torch.linspace(-1, 1, 2 * 3 * 4).view(2, 3, 4), torch.linspace(-1, 1, 30).view(5, 2, 3)
    try:
        with torch.inference_mode():
            return torch.allclose(
                GroupedProducts(filters)(values), BatchedProducts(filters)(values), atol=1e-6
            )
    except (AttributeError, RuntimeError):
        return False


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
