"""The parts of timm's ResNets for CPUs: the same answers, up to rounding, with less moved and multiplied.

Their batch normalisations must have been folded into the convolutions before (`optimise.fold_norms`).

Letters: B batch, C and K channels in and out, H W rows and columns.
"""

from __future__ import annotations

import torch
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn
from torch.nn import functional

from detic_crop.detectors.detic.fused import PlainConv2d, fuse
from detic_crop.detectors.detic.winograd import WinogradConv2d, can_replace

# What a strip of the stem's map, which is pooled at once and never whole, may take.
_STRIP_BYTES = 2**22


def make_resnet_fast(backbone: nn.Module, dtype: torch.dtype = torch.float32) -> None:
    """Replace what can be replaced in a ResNet of timm, in place; leave any other network as it is.

    Args:
        backbone: float32, on a CPU, in eval mode.
        dtype: number format of the products.
    """
    for module in list(backbone.modules()):
        for name, child in module.named_children():
            if _can_take_over(child):
                setattr(module, name, FastResidualBlock(child, dtype))
    stem = dict(backbone.named_children())
    if list(stem)[:4] == ["conv1", "bn1", "act1", "maxpool"]:
        setattr(backbone, "conv1", FastStem(stem["conv1"], dtype))  # noqa: B010
        for name in ("act1", "maxpool"):
            setattr(backbone, name, nn.Identity())


class FastResidualBlock(nn.Module):
    """The same answers as `block`, whose weights it takes over. It may overwrite what it is given.

    Args:
        block: a basic or bottleneck block of timm.
        dtype: number format of the products.
    """

    def __init__(self, block: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        parts = dict(block.named_children())
        *first, last = [parts[name] for name in ("conv1", "conv2", "conv3") if name in parts]
        self.first = nn.Sequential(*(_convolution(conv, dtype) for conv in first))
        self.last = _convolution(last, dtype, shortcut=True)
        self.downsample: nn.Module | None = None
        if "downsample" in parts:
            conv, *_ = parts["downsample"].children()
            assert isinstance(conv, nn.Conv2d)
            self.downsample = fuse(conv, dtype=dtype)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, K, H', W'), channels last in memory, of (B, C, H, W)."""
        hidden = self.first(maps)
        result: Tensor = self.last(hidden, maps if self.downsample is None else self.downsample(maps))
        return result


def _convolution(conv: nn.Module, dtype: torch.dtype, shortcut: bool = False) -> nn.Module:
    """Return the fastest form of a convolution with a ReLU behind it, and a shortcut before that if asked."""
    assert isinstance(conv, nn.Conv2d)
    if dtype != torch.float32 or not can_replace(conv):
        return fuse(conv, relu=True, dtype=dtype)
    return PlainConv2d(WinogradConv2d(conv), relu=True) if shortcut else WinogradConv2d(conv, relu=True)


def _can_take_over(block: nn.Module) -> bool:
    """Return whether `block` is one of those in the published models, without what timm offers beside."""
    return (
        isinstance(block, BasicBlock | Bottleneck)
        and block.se is None
        and block.drop_path is None
        and all(
            isinstance(layer, nn.Identity) for layer in (block.bn1, block.bn2, block.drop_block, block.aa)
        )
        and all(isinstance(layer, nn.ReLU) for layer in (block.act1, block.act2))
        and (block.downsample is None or _is_one_convolution(block.downsample))
    )


def _is_one_convolution(layers: nn.Module) -> bool:
    """Return whether all that `layers` do is a convolution."""
    first, *others = layers.children()
    return isinstance(first, nn.Conv2d) and all(isinstance(other, nn.Identity) for other in others)


class FastStem(nn.Module):
    """The first convolution, a ReLU and 3×3 pooling of stride 2, strip by strip.

    The map between them, 62 MB in float32, would cost more for its memory pages than for its numbers; and
    PyTorch pools bfloat16 slowly.

    Args:
        conv: 7×7, stride 2, padding 3; what becomes of its padding is decided here.
        dtype: number format of the products.
    """

    def __init__(self, conv: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        assert isinstance(conv, nn.Conv2d)
        assert (conv.kernel_size, conv.stride, conv.padding) == ((7, 7), (2, 2), (3, 3))
        self._channels = conv.out_channels
        self._row_bytes = 2 * conv.out_channels * dtype.itemsize  # of two rows of the map, a column
        conv.padding = 0, 3  # strips bring the rows above and below along
        self.conv = fuse(conv, relu=True, dtype=dtype)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (B, K, H/4, W/4), channels last in memory, of (B, 3, H, W); H and W multiples of 4."""
        batch, _, height, width = pixels.shape
        rows, columns = height // 4, width // 4
        step = max(1, _STRIP_BYTES // (2 * columns * self._row_bytes))
        strips = [self._strip(pixels, first, min(first + step, rows)) for first in range(0, rows, step)]
        result = strips[0].new_empty(batch, rows, columns, self._channels)
        return torch.cat(strips, 1, out=result).permute(0, 3, 1, 2)

    def _strip(self, pixels: Tensor, first: int, last: int) -> Tensor:
        """Return the pooled rows `first` to `last`, (B, n, W/4, K)."""
        # Row y is the maximum of three rows of the map, 2y − 1 to 2y + 1; each of them reads seven of pixels.
        height = pixels.shape[2]
        top, bottom = 4 * first - 5, 4 * last + 2
        some = pixels[:, :, max(0, top) : bottom]
        maps = self.conv(functional.pad(some, (0, 0, max(0, -top), max(0, bottom - height))))
        if not first:
            maps[:, :, 0] = 0  # there is no row −1; after a ReLU, 0 is never the only maximum
        cells = maps.permute(0, 2, 3, 1)  # (B, 2n + 1, W/2, K)
        tall = torch.maximum(cells[:, :-1:2], cells[:, 1::2])
        torch.maximum(tall, cells[:, 2::2], out=tall)  # (B, n, W/2, K)
        pooled = torch.maximum(tall[:, :, ::2], tall[:, :, 1::2])  # (B, n, W/4, K)
        right = pooled[:, :, 1:]
        torch.maximum(right, tall[:, :, 1:-1:2], out=right)
        return pooled
