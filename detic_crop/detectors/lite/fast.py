"""The network of the `lite` detector, faster on a CPU: what can be worked out once, when it is loaded.

Every batch normalisation goes into the convolution before it, and the ReLU6 behind it is applied while the
numbers are at hand. The results differ from the plain network's by rounding.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

_PIXELS = 2048
"""Pixels that the weights of `PackedPointwise` are laid out for; any other number computes as well."""
_PROBE = 20, 28
_After: TypeAlias = tuple[str, list[float], str]
"""What oneDNN applies to the results: name, numbers, method."""


def fold_norms(model: nn.Module) -> nn.Module:
    """Put every batch normalisation of timm's `model`, in eval mode, into the convolution before it.

    In place; what stays of a normalisation is the activation that timm lets it carry. Returns the model.
    """
    for module in list(model.modules()):
        names = [name for name, _ in module.named_children()]
        for conv_name, norm_name in pairwise(names):
            conv, norm = getattr(module, conv_name), getattr(module, norm_name)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, norm.act)
    return model


def fuse_activations(model: nn.Module) -> nn.Module:
    """Make each convolution with a bias one operator with the ReLU6 right behind it, in place; CPU only."""
    for module in list(model.modules()):
        children = [*module.named_children(), ("", nn.Identity())]
        for (conv_name, conv), (after_name, after) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and conv.bias is not None:
                relu6 = isinstance(after, nn.ReLU6)
                setattr(module, conv_name, _fused(conv, relu6))
                if relu6:
                    setattr(module, after_name, nn.Identity())
    return model.requires_grad_(False)


class FusedConv2d(nn.Module):
    """A convolution, then a ReLU6 if asked, as one operator of oneDNN; the one that `torch.compile` uses.

    PyTorch itself hands 1×1 convolutions on one thread to another library, and clamps in a second pass.

    Args:
        conv: float32, with a bias.
        relu6: True if a ReLU6 follows.
    """

    def __init__(self, conv: nn.Conv2d, relu6: bool) -> None:
        super().__init__()
        assert conv.bias is not None
        assert not isinstance(conv.padding, str)
        self.weight = nn.Parameter(conv.weight.detach(), requires_grad=False)
        self.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)
        self._kernel, self._same = conv.weight.shape[2:], isinstance(conv, Conv2dSame)
        self._padding = [0, 0] if self._same else list(conv.padding)
        self._stride, self._dilation, self._groups = list(conv.stride), list(conv.dilation), conv.groups
        self.after: _After = ("hardtanh", [0.0, 6.0], "") if relu6 else ("none", [], "")

    def forward(self, image: Tensor) -> Tensor:
        """Return (B, K, H', W'), channels last, of (B, C, H, W)."""
        if not self._same:
            return self._convolve(image, self._padding)
        # TensorFlow's rule: as much padding as is needed, the odd pixel right and below.
        height, width = image.shape[2:]
        if self._groups == 1 or self._stride != [2, 2] or min(self._kernel) < 2 or height % 2 or width % 2:
            return self._convolve(pad_same(image, list(self._kernel), self._stride, self._dilation), [0, 0])
        # The operator pads all sides alike and without a copy. One step more of it, left and above, puts the
        # rest in place, at the price of a row and a column that are dropped. (Not worth it in the stem.)
        result = self._convolve(image, [(side - 2) // 2 + 2 for side in self._kernel])
        return result[:, :, 1 : height // 2 + 1, 1 : width // 2 + 1]

    def _convolve(self, image: Tensor, padding: list[int]) -> Tensor:
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(
            *(image, self.weight, self.bias, padding, self._stride, self._dilation, self._groups),
            *self.after,
        )
        return result


class PackedPointwise(nn.Module):
    """A 1×1 convolution, then a ReLU6 if asked, as a matrix product of the pixels.

    oneDNN lays the weights of a convolution out anew for each picture, since the best layout depends on its
    size. That of a matrix product does not, so its weights are laid out once.

    Args:
        weight: (K, C) float32, on a CPU.
        bias: (K,).
        after: what is applied to the results.
    """

    def __init__(self, weight: Tensor, bias: Tensor, after: _After) -> None:
        super().__init__()
        # No buffer: a packed tensor can neither be saved nor moved.
        self._weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _PIXELS)
        self._bias, self._after = bias, after

    @classmethod
    def of(cls, conv: FusedConv2d) -> PackedPointwise:
        """Return what computes the same as a 1×1 convolution that is neither strided nor grouped."""
        return cls(conv.weight.detach()[:, :, 0, 0], conv.bias.detach(), conv.after)

    def __reduce__(self) -> tuple[type[PackedPointwise], tuple[Tensor, Tensor, _After]]:
        """Take its weights apart to be sent."""
        return type(self), (self._weight.to_dense(), self._bias, self._after)

    def forward(self, image: Tensor) -> Tensor:
        """Return (B, K, H, W), channels last, of (B, C, H, W)."""
        pixels = image.permute(0, 2, 3, 1)
        rows = pixels.reshape(-1, pixels.shape[-1])
        result: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._weight, self._bias, *self._after)
        return result.view(*pixels.shape[:-1], -1).permute(0, 3, 1, 2)


def _fused(conv: nn.Conv2d, relu6: bool) -> nn.Module:
    """Return the faster operator for a convolution, of those that give the same bits as `FusedConv2d`."""
    fused = FusedConv2d(conv, relu6)
    if conv.kernel_size != (1, 1) or conv.stride != (1, 1) or conv.groups != 1 or conv.padding != (0, 0):
        return fused
    packed = PackedPointwise.of(fused)
    height, width = _PROBE
    values = torch.arange(height * width * conv.in_channels, dtype=torch.float32, device="cpu").sin()
    probe = values.view(1, height, width, conv.in_channels).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return packed if torch.equal(packed(probe), fused(probe)) else fused


def can_fuse() -> bool:
    """Return whether oneDNN's operators are there and agree with PyTorch's on a small example."""
    image = torch.linspace(-3, 9, 2 * 3 * 3).view(1, 2, 3, 3)
    conv = nn.Conv2d(2, 2, 1, device="cpu").requires_grad_(False)
    try:
        with torch.inference_mode():
            fused = FusedConv2d(conv, relu6=True), FusedConv2d(conv, relu6=False)
            ours = [each(image) for operator in fused for each in (operator, PackedPointwise.of(operator))]
            theirs = [made for made in (functional.relu6(conv(image)), conv(image)) for _ in range(2)]
    except (AttributeError, RuntimeError):
        return False
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))
