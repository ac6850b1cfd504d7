"""First stage: where might anything at all be? Class-free CenterNet (Zhou et al. 2021, arXiv 2103.07461).

Letters: B batch, C channels, H W rows and columns of a map, N locations of a level, P proposals of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import nms  # type: ignore[import-untyped]

from detic_crop.detectors.detic.precision import in_float32

# Settings of the published models.
MIN_LIKELIHOOD = 1e-4
MAX_PER_LEVEL = 1000
NMS_IOU = 0.9
MAX_PROPOSALS = 256
MIN_SIDE = 0.01  # px
_TOWER_DEPTH = 4
_GROUPS = 32


class Proposals(NamedTuple):
    """What the first stage proposes for one image, best first.

    Attributes:
        boxes: (P, 4) float32 xyxy in pixels of the network's input; may reach beyond it.
        scores: (P,) float32, square root of the likelihood of a centre.
    """

    boxes: Tensor
    scores: Tensor


class ProposalHead(nn.Module):
    """The same small network on every level: is a centre here, and how far away are the four sides?

    Args:
        channels: number of channels of every pyramid level.
        levels: number of levels; each scales its distances by a factor of its own.
    """

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(_TOWER_DEPTH):
            layers += [
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.GroupNorm(_GROUPS, channels),
                nn.ReLU(),
            ]
        self.tower = nn.Sequential(*layers)
        self.centre = nn.Conv2d(channels, 1, 3, padding=1)
        self.sides = nn.Conv2d(channels, 4, 3, padding=1)
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(1)) for _ in range(levels))

    def forward(self, pyramid: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return for each level (B, 1, H, W) centre likelihoods and (B, 4, H, W) distances in strides."""
        answers: list[tuple[Tensor, Tensor]] = []
        for features, scale in zip(pyramid, self.scales, strict=True):
            hidden: Tensor = self.tower(features)
            centre = in_float32(self.centre, hidden).sigmoid()
            sides = functional.relu(in_float32(self.sides, hidden) * scale)
            answers.append((centre, sides))
        return answers


def propose(levels: Sequence[tuple[Tensor, Tensor]], strides: Sequence[int]) -> list[Proposals]:
    """Return the head's maps → proposals of each image.

    The likeliest locations of every level, duplicates removed across the levels, and then the best of all;
    those that share the last place are all kept.
    """
    batch = len(levels[0][0])
    proposals: list[Proposals] = []
    for i in range(batch):
        per_level = [
            _level_boxes(centre[i, 0], sides[i], stride)
            for (centre, sides), stride in zip(levels, strides, strict=True)
        ]
        boxes = torch.cat([boxes for boxes, _ in per_level])
        scores = torch.cat([scores for _, scores in per_level])
        kept = nms(boxes, scores, NMS_IOU)  # best first
        boxes, scores = boxes[kept], scores[kept]
        if len(scores) > MAX_PROPOSALS:
            good = scores >= scores[MAX_PROPOSALS - 1]
            boxes, scores = boxes[good], scores[good]
        proposals.append(Proposals(boxes, scores))
    return proposals


def _level_boxes(centre: Tensor, sides: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return the likeliest (N, 4) boxes of a level, and their scores.

    Args:
        likelihoods: (H, W).
        distances: (4, H, W).
    """
    height, width = centre.shape
    y = torch.arange(height, device=centre.device, dtype=torch.float32) * stride + stride // 2
    x = torch.arange(width, device=centre.device, dtype=torch.float32) * stride + stride // 2
    likelihood = centre.flatten()  # (H·W,)
    places = (likelihood > MIN_LIKELIHOOD).nonzero()[:, 0]
    likelihood = likelihood[places]
    if len(places) > MAX_PER_LEVEL:
        likelihood, best = likelihood.topk(MAX_PER_LEVEL, sorted=False)
        places = places[best]
    left, top, right, bottom = (sides.flatten(1)[:, places] * stride).unbind()
    centre_x, centre_y = x[places % width], y[places // width]
    x1, y1 = centre_x - left, centre_y - top
    # No box without area may reach the second stage.
    x2 = torch.maximum(centre_x + right, x1 + MIN_SIDE)
    y2 = torch.maximum(centre_y + bottom, y1 + MIN_SIDE)
    return torch.stack([x1, y1, x2, y2], dim=1), likelihood.sqrt()
