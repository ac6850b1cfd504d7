"""Second stage: refine each box three times, and say what is in it.

Cascade R-CNN (Cai and Vasconcelos 2018, arXiv 1712.00726) with Detic's classifier (Zhou et al. 2022,
arXiv 2201.02605): box features are compared with the CLIP embedding of each class name.

Letters: B batch, C channels, H W rows and columns of a map, R boxes of all images of a batch, K classes,
E embedding width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align  # type: ignore[import-untyped]

from detic_crop.detectors.detic.precision import in_float32

# Settings of the published models.
POOLED_SIDE = 7
TEMPERATURE = 50.0
STAGE_WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
"""Per stage: by how much the predicted shift (x, y) and log growth (width, height) are to be divided."""
# A box of 224 px, the size of an ImageNet photo, belongs to P4 (feature pyramid paper, eq. 1).
_CANONICAL_SIDE = 224
_CANONICAL_LEVEL = 4
_FIRST_LEVEL = 3
# A box grows at most from one cell of stride 16 to 1000 px in one step.
_MAX_LOG_GROWTH = math.log(1000 / 16)


class CascadeStage(nn.Module):
    """Pooled features of a box → where the box should be, and its embedding.

    Args:
        channels: number of channels of the pyramid.
        hidden: width of the two layers that both answers share.
        embedding: width of the class embeddings.
    """

    def __init__(self, channels: int, hidden: int, embedding: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels * POOLED_SIDE**2, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.embed = nn.Linear(hidden, embedding)
        self.box_hidden = nn.Linear(hidden, hidden)
        self.box_delta = nn.Linear(hidden, 4)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Return (R, 4) deltas and (R, E) embeddings of length 1 for (R, C, 7, 7) features."""
        hidden: Tensor = functional.relu(self.fc1(pooled.flatten(1)))
        hidden = functional.relu(self.fc2(hidden))
        deltas = in_float32(self.box_delta, functional.relu(self.box_hidden(hidden)))
        return deltas, functional.normalize(in_float32(self.embed, hidden), dim=1)


class Cascade(nn.Module):
    """Three stages, each starting from the boxes of the one before."""

    def __init__(self, channels: int, hidden: int, embedding: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(CascadeStage(channels, hidden, embedding) for _ in STAGE_WEIGHTS)

    def forward(
        self,
        pyramid: Sequence[Tensor],
        strides: Sequence[int],
        boxes: Tensor,
        owner: Tensor,
        limits: Tensor,
        vocabulary: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Refine and classify the boxes of a batch.

        Args:
            pyramid: P3, P4 and P5, (B, C, H, W) each.
            strides: their strides, in pixels of the image.
            boxes: (R, 4) xyxy in input pixels.
            owner: (R,) which image of the batch each box belongs to.
            limits: (R, 4) width, height, width, height of that image without padding.
            vocabulary: (E, K) class embeddings of length 1.

        Returns:
            (R, 4) boxes, which may reach beyond their image, and (R, K) class likelihoods, averaged over the
            stages.
        """
        likelihood = torch.zeros(())
        for i, (stage, weights) in enumerate(zip(self.stages, STAGE_WEIGHTS, strict=True)):
            if i > 0:
                boxes = clip(boxes, limits)
            pooled = pool(pyramid, strides, boxes, owner)  # (R, C, 7, 7)
            deltas, embedding = stage(pooled)
            with torch.autocast(pooled.device.type, enabled=False):
                likelihood = likelihood + (TEMPERATURE * embedding @ vocabulary).sigmoid()  # (R, K)
            boxes = apply_deltas(boxes, deltas, weights)
        return boxes, likelihood * (1.0 / len(STAGE_WEIGHTS))


def pool(pyramid: Sequence[Tensor], strides: Sequence[int], boxes: Tensor, owner: Tensor) -> Tensor:
    """Cut each box out of the level that suits its size: (R, C, 7, 7)."""
    level = pyramid_level(boxes, len(pyramid))
    regions = torch.cat([owner[:, None].to(boxes.dtype), boxes], dim=1)  # (R, 5)
    pooled = boxes.new_zeros(len(boxes), pyramid[0].shape[1], POOLED_SIDE, POOLED_SIDE)
    for i, (features, stride) in enumerate(zip(pyramid, strides, strict=True)):
        here = (level == i).nonzero()[:, 0]
        # As many samples per cell as the box needs, half a pixel shifted: "aligned" RoIAlign.
        pooled[here] = roi_align(
            features, regions[here], POOLED_SIDE, 1.0 / stride, sampling_ratio=-1, aligned=True
        )
    return pooled


def pyramid_level(boxes: Tensor, levels: int) -> Tensor:
    """Return the (R,) index of the level for each box; a box of no area belongs to the finest."""
    sides = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    level = torch.floor(_CANONICAL_LEVEL + torch.log2(sides / _CANONICAL_SIDE + 1e-8))
    return level.clamp(_FIRST_LEVEL, _FIRST_LEVEL + levels - 1).long() - _FIRST_LEVEL


def apply_deltas(boxes: Tensor, deltas: Tensor, weights: Sequence[float]) -> Tensor:
    """Move the centre by a share of the sides, and scale the sides (R-CNN, arXiv 1311.2524, appendix C)."""
    shift_x, shift_y, grow_x, grow_y = (deltas / deltas.new_tensor(weights)).unbind(1)
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    centre_x = shift_x * width + (boxes[:, 0] + 0.5 * width)
    centre_y = shift_y * height + (boxes[:, 1] + 0.5 * height)
    half_width = 0.5 * (grow_x.clamp(max=_MAX_LOG_GROWTH).exp() * width)
    half_height = 0.5 * (grow_y.clamp(max=_MAX_LOG_GROWTH).exp() * height)
    sides = (centre_x - half_width, centre_y - half_height, centre_x + half_width, centre_y + half_height)
    return torch.stack(sides, dim=1)


def clip(boxes: Tensor, limits: Tensor) -> Tensor:
    """Return boxes cut at the edges of their image."""
    return boxes.clamp(min=0).minimum(limits)
