"""Linear layers whose weights lie as oneDNN wants them, for CPUs.

PyTorch hands float32 linear layers to the BLAS, which packs the weights again for each photo. oneDNN can keep
them packed, and adds the GELU or a shortcut while the numbers are at hand. The operators are the ones that
`torch.compile` uses; where they are missing, wrong or slower, `pack` makes do without.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Packing is for this many rows; any other number computes as well.
_ROWS = 4096


class PackedLinear(nn.Module):
    """`linear`, then a GELU if asked, plus a shortcut if given; equal up to rounding.

    Args:
        linear: float32, on a CPU. Its weights are copied.
        gelu: True if a GELU (the exact one) follows.
    """

    def __init__(self, linear: nn.Linear, gelu: bool = False) -> None:
        super().__init__()
        self.out_features = linear.out_features
        self._after = "gelu" if gelu else "none"
        self._bias = None if linear.bias is None else linear.bias.detach()
        # No buffer: a packed tensor can neither be saved nor moved.
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().contiguous(), _ROWS)

    def forward(self, rows: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Return (..., K) of (..., C) and (..., K)."""
        if not rows.numel():  # oneDNN knows no empty product
            return rows.new_empty(*rows.shape[:-1], self.out_features)
        result: Tensor
        if shortcut is not None:
            result = torch.ops.mkldnn._linear_pointwise.binary(
                rows, shortcut, self._weight, self._bias, "add"
            )
        else:
            result = torch.ops.mkldnn._linear_pointwise(
                rows, self._weight, self._bias, self._after, [], "none" if self._after == "gelu" else ""
            )
        return result


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
        return result if shortcut is None else result.add_(shortcut)


def pack(linear: nn.Linear, gelu: bool = False) -> nn.Module:
    """Return the faster of the two that this machine has."""
    return PackedLinear(linear, gelu) if pays_to_pack() and can_pack() else PlainLinear(linear, gelu)


def pays_to_pack() -> bool:
    """Return whether oneDNN is the faster one, judged by the processor, so that each run judges alike.

    With AVX2 and no AVX-512, Intel's BLAS multiplies 10 to 20 % faster, and oneDNN's GELU halves the speed of
    the layer it follows (measured on Zen 3).
    """
    return torch.backends.cpu.get_cpu_capability() != "AVX2" or not torch._C.has_mkl


def can_pack() -> bool:
    """Return whether oneDNN's operators are there and agree with PyTorch's on a small example."""
    linear = nn.Linear(3, 2, device="cpu").requires_grad_(False)
    rows, shortcut = torch.linspace(-1, 1, 12).view(4, 3), torch.ones(4, 2)
    try:
        with torch.inference_mode():
            ours = PackedLinear(linear)(rows, shortcut), PackedLinear(linear, gelu=True)(rows)
            theirs = linear(rows) + shortcut, functional.gelu(linear(rows))
    except (AttributeError, RuntimeError):
        return False
    return all(torch.allclose(a, b, atol=1e-6) for a, b in zip(ours, theirs, strict=True))
