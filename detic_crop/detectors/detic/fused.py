"""Convolutions with a shortcut and a ReLU as one operator of oneDNN, for CPUs.

PyTorch itself hands 1×1 convolutions on one thread to the BLAS, by way of a copy, and adds and clamps in
passes of their own. Here they are added to what is there, so that no new map of up to 60 MB is needed. The
operators are the ones that `torch.compile` uses; where they are missing or wrong, `fuse` makes do without.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# What the probe forgives in values of unit size.
_ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 0.03}


class FusedConv2d(nn.Module):
    """`conv`, plus a shortcut if given, then a ReLU if asked; equal up to rounding.

    Args:
        conv: float32, zeros as padding.
        relu: True if a ReLU follows.
        dtype: number format of the products; sums are float32 in any case.
    """

    def __init__(self, conv: nn.Conv2d, relu: bool = False, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        assert not isinstance(conv.padding, str)
        self._dtype = dtype
        self._relu = relu
        self._geometry = list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups
        self.weight: Tensor
        self.bias: Tensor | None
        weight = torch.empty(conv.weight.shape, dtype=dtype, memory_format=torch.channels_last)
        # Copied, so that 1×1 filters, which lie alike either way, get the strides that oneDNN asks for.
        self.register_buffer("weight", weight.copy_(conv.weight.detach()))
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach().to(dtype))

    def forward(self, maps: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return (B, K, H', W') of (B, C, H, W) and (B, K, H', W'), which is overwritten by the result."""
        maps = maps.to(self._dtype)
        result: Tensor
        if shortcut is None:
            result = torch.ops.mkldnn._convolution_pointwise(
                maps, self.weight, self.bias, *self._geometry, "relu" if self._relu else "none", [], ""
            )
        else:
            result = torch.ops.mkldnn._convolution_pointwise_.binary(
                *(shortcut, maps, self.weight, self.bias, *self._geometry, "add", 1.0),
                *("relu" if self._relu else None, [], None),
            )
        return result


class PlainConv2d(nn.Module):
    """The same for machines where nothing can be fused."""

    def __init__(self, conv: nn.Module, relu: bool = False) -> None:
        super().__init__()
        self._conv = conv
        self._relu = relu

    def forward(self, maps: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return (B, K, H', W') of (B, C, H, W) and (B, K, H', W'), which may be overwritten."""
        result: Tensor = self._conv(maps)
        if shortcut is not None:
            result = result.add_(shortcut)
        return result.relu_() if self._relu else result


def fuse(conv: nn.Conv2d, relu: bool = False, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return the faster of the two that this machine has."""
    return FusedConv2d(conv, relu, dtype) if can_fuse(dtype) else PlainConv2d(conv, relu)


def can_fuse(dtype: torch.dtype = torch.float32) -> bool:
    """Return whether oneDNN's operators are there and agree with PyTorch's on a small example."""
    conv = nn.Conv2d(3, 2, 1, device="cpu").requires_grad_(False)
    maps, shortcut = torch.linspace(-1, 1, 12).view(1, 3, 2, 2), torch.linspace(1, -1, 8).view(1, 2, 2, 2)
    last = torch.channels_last
    try:
        with torch.inference_mode():
            fused = FusedConv2d(conv, relu=True, dtype=dtype)
            added = shortcut.to(dtype).contiguous(memory_format=last)
            ours = fused(maps), fused(maps, added), FusedConv2d(conv, dtype=dtype)(maps)
            theirs = functional.relu(conv(maps)), functional.relu(conv(maps) + shortcut), conv(maps)
    except (AttributeError, RuntimeError):
        return False
    return all(torch.allclose(a.float(), b, atol=_ROUNDING[dtype]) for a, b in zip(ours, theirs, strict=True))
