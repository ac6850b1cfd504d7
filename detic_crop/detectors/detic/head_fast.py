"""The head of the first stage for CPUs: what `proposals.ProposalHead` computes, up to rounding.

Letters: B batch, H W rows and columns of a map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from detic_crop.detectors.detic.fused import fuse
from detic_crop.detectors.detic.precision import in_float32
from detic_crop.detectors.detic.proposals import ProposalHead


class FastProposalHead(nn.Module):
    """The same answers as `head`, whose layers it takes over.

    Centres and sides come from one convolution, since one of five channels takes as long as one of one; and
    the tower clamps in place.
    """

    def __init__(self, head: ProposalHead) -> None:
        super().__init__()
        self.tower, self.scales = head.tower, head.scales
        for layer in self.tower:
            if isinstance(layer, nn.ReLU):
                layer.inplace = True
        both = nn.Conv2d(head.centre.in_channels, 5, 3, padding=1, device="meta")
        both.weight = nn.Parameter(torch.cat([head.centre.weight, head.sides.weight]), requires_grad=False)
        assert head.centre.bias is not None
        assert head.sides.bias is not None
        both.bias = nn.Parameter(torch.cat([head.centre.bias, head.sides.bias]), requires_grad=False)
        self.both = fuse(both)

    def forward(self, pyramid: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return for each level (B, 1, H, W) centre likelihoods and (B, 4, H, W) distances in strides."""
        answers: list[tuple[Tensor, Tensor]] = []
        for features, scale in zip(pyramid, self.scales, strict=True):
            both = in_float32(self.both, self.tower(features))  # (B, 5, H, W)
            answers.append((both[:, :1].sigmoid(), functional.relu(both[:, 1:] * scale)))
        return answers
