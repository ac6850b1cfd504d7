"""The whole network: pixels → features → proposals → refined, classified boxes → the ones to report.

Letters: B batch, H W rows and columns of pixels, K classes, E embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detic_crop.detectors.detic.cascade import Cascade
from detic_crop.detectors.detic.proposals import ProposalHead, Proposals, propose
from detic_crop.detectors.detic.pyramid import STRIDES
from detic_crop.detectors.detic.select import Found, class_scores, select

_ROI_LEVELS = 3  # boxes are cut out of P3, P4 and P5


class DeticNetwork(nn.Module):
    """Detic for inference, without masks.

    Args:
        backbone: pixels → maps of strides 8, 16 and 32.
        pyramid: these → P3–P7.
        head: P3–P7 → centres and sides.
        cascade: proposals → boxes and class likelihoods.
    """

    def __init__(self, backbone: nn.Module, pyramid: nn.Module, head: ProposalHead, cascade: Cascade) -> None:
        super().__init__()
        self.backbone = backbone
        self.pyramid = pyramid
        self.head = head
        self.cascade = cascade

    def forward(
        self, pixels: Tensor, sizes_hw: Sequence[tuple[int, int]], vocabulary: Tensor, floor: float
    ) -> list[Found]:
        """Return boxes of a batch of images.

        Args:
            pixels: (B, 3, H, W) normalised, zero where padded; H and W multiples of 32.
            sizes_hw: height and width of each image without its padding.
            vocabulary: (E, K) class embeddings of length 1.
            floor: boxes must score more.
        """
        features = self.features(pixels)
        proposals = self.propose(features)
        refined = self.refine(features, proposals, sizes_hw, vocabulary)
        return [
            select(boxes, scores, size, floor)
            for (boxes, scores), size in zip(refined, sizes_hw, strict=True)
        ]

    def features(self, pixels: Tensor) -> list[Tensor]:
        """Return P3–P7, (B, 256, H/stride, W/stride) float32 each."""
        levels: list[Tensor] = self.pyramid(self.backbone(pixels))
        return [level.float() for level in levels]

    def propose(self, features: Sequence[Tensor]) -> list[Proposals]:
        """Return where there might be something, per image."""
        return propose(self.head(features), STRIDES)

    def refine(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[Proposals],
        sizes_hw: Sequence[tuple[int, int]],
        vocabulary: Tensor,
    ) -> list[tuple[Tensor, Tensor]]:
        """Return for each image (P, 4) refined boxes and (P, K) scores."""
        counts = [len(found.scores) for found in proposals]
        boxes = torch.cat([found.boxes for found in proposals])  # (R, 4)
        each = torch.tensor(counts, device=boxes.device)
        owner = torch.arange(len(counts), device=boxes.device).repeat_interleave(each)  # (R,)
        limits = boxes.new_tensor([(width, height, width, height) for height, width in sizes_hw])[
            owner
        ]  # (R, 4)
        # Once here, or RoIAlign would reorder maps that are channels last at each stage.
        maps = [level.contiguous() for level in features[:_ROI_LEVELS]]
        boxes, likelihood = self.cascade(maps, STRIDES[:_ROI_LEVELS], boxes, owner, limits, vocabulary)
        return [
            (image_boxes, class_scores(image_likelihood, found.scores))
            for image_boxes, image_likelihood, found in zip(
                boxes.split(counts), likelihood.split(counts), proposals, strict=True
            )
        ]
