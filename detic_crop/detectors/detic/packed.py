"""Linear layers whose weights lie as oneDNN wants them, for CPUs.

PyTorch hands float32 linear layers to the BLAS, which packs the weights again for each photo, and bfloat16
ones to oneDNN, which does so too. oneDNN can keep them packed, and adds the GELU or a shortcut while the
numbers are at hand. The operators are the ones that `torch.compile` uses; where they are missing, wrong or
slower, `pack` makes do without.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from detic_crop.detectors.detic.processor import pays_to_pack

# Packing is for this many rows; any other number computes as well.
_ROWS = 4096
# What the probe forgives in values of unit size.
_ROUNDING = {torch.float32: 1e-6, torch.bfloat16: 0.03}


class PackedLinear(nn.Module):
    """`linear`, then a GELU if asked, plus a shortcut if given; equal up to rounding.

    Args:
        linear: float32, on a CPU. Its weights are copied.
        gelu: True if a GELU (the exact one) follows.
        dtype: number format of the products; sums are float32 in any case.
    """

    def __init__(self, linear: nn.Linear, gelu: bool = False, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.out_features = linear.out_features
        self._dtype = dtype
        self._after = "gelu" if gelu else "none"
        self._bias = None if linear.bias is None else linear.bias.detach().to(dtype)
        weight = linear.weight.detach().to(dtype).contiguous()
        # No buffer: a packed tensor can neither be saved nor moved.
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)

    def forward(self, rows: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return (..., K) of (..., C) and (..., K).

        It is of the number format of the products, or of a shortcut, which keeps its own.
        """
        if not rows.numel():  # oneDNN knows no empty product
            dtype = self._dtype if shortcut is None else shortcut.dtype
            return rows.new_empty(*rows.shape[:-1], self.out_features, dtype=dtype)
        rows = rows.to(self._dtype)
        result: Tensor
        if shortcut is not None and shortcut.dtype == self._dtype:
            result = torch.ops.mkldnn._linear_pointwise.binary(
                rows, shortcut, self._weight, self._bias, "add"
            )
            return result
        result = torch.ops.mkldnn._linear_pointwise(
            rows, self._weight, self._bias, self._after, [], "none" if self._after == "gelu" else ""
        )
        # Not shortcut + result: of two formats PyTorch adds one number at a time.
        return result if shortcut is None else result.to(shortcut.dtype).add_(shortcut)


class PlainLinear(nn.Module):
    """The same for machines where nothing can be packed."""

    def __init__(self, linear: nn.Linear, gelu: bool = False) -> None:
        super().__init__()
        self._linear = linear
        self._gelu = gelu

    def forward(self, rows: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return (..., K) of (..., C) and (..., K)."""
        result: Tensor = self._linear(rows)
        if self._gelu:
            result = functional.gelu(result)
        return result if shortcut is None else result.to(shortcut.dtype).add_(shortcut)


def pack(linear: nn.Linear, gelu: bool = False, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return the faster of the two that this machine has."""
    if pays_to_pack(dtype) and can_pack(dtype):
        return PackedLinear(linear, gelu, dtype)
    return PlainLinear(linear, gelu)


def can_pack(dtype: torch.dtype = torch.float32) -> bool:
    """Return whether oneDNN's operators are there and agree with PyTorch's on a small example."""
    linear = nn.Linear(3, 2, device="cpu").requires_grad_(False)
    rows, shortcut = torch.linspace(-1, 1, 12).view(4, 3), torch.ones(4, 2)
    try:
        with torch.inference_mode():
            ours = (
                PackedLinear(linear, dtype=dtype)(rows, shortcut.to(dtype)),
                PackedLinear(linear, gelu=True, dtype=dtype)(rows),
            )
            theirs = linear(rows) + shortcut, functional.gelu(linear(rows))
    except (AttributeError, RuntimeError):
        return False
    return all(torch.allclose(a.float(), b, atol=_ROUNDING[dtype]) for a, b in zip(ours, theirs, strict=True))
