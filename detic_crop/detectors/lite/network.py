"""The trained network of the `lite` detector: a picture → what every cell of 8 px says of an animal.

EfficientNet-Lite0 is cut after its third stage. What lies below is ImageNet's and stays as it is. Above it
there are two branches: ImageNet's own stages with their classifier, and a copy of the stages that was
trained to find marine mammals, whose features of 8, 16 and 32 px are joined from coarse to fine (Lin et al.
2017, "Feature pyramid networks") and say for each cell how likely it is the middle of an animal, and where
its edges are (Zhou et al. 2019, "Objects as points"; Tian et al. 2019, "FCOS").

Letters: B pictures, H W their sides in pixels, h w cells of 8 px.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

SHARED_STAGES = 3
CELL = 8  # px: a cell's side
SIDE_STEP = 32  # px: sides of a picture are multiples of it, so that the cells of all strides line up
CHANNELS = 96
POOLED = 640
OUTPUTS = 6  # of a cell: middle, left, top, right, bottom, inside
LOG_REACH = (-2.0, 4.5)  # of the distance to an edge, in cells: from about 1 to 720 px


@dataclass(frozen=True, slots=True)
class Sight:
    """What the network says of some pictures.

    Attributes:
        cells: (B, 6, h, w): log-odds that the cell is the middle of an animal; natural logarithms of the
            distances in cells to its left, top, right and bottom edge; log-odds that the cell lies in a box.
        presence: (B,) log-odds that there is an animal.
        features: (B, 96, h, w), of which `cells` is a linear map.
        pooled: (B, 640), of which `presence` is a linear map.
    """

    cells: Tensor
    presence: Tensor
    features: Tensor
    pooled: Tensor


class LiteNetwork(nn.Module):
    """The network.

    Args:
        imagenet: timm's `tf_efficientnet_lite0` with ImageNet's weights, in eval mode, norms folded.
    """

    def __init__(self, imagenet: nn.Module) -> None:
        super().__init__()
        stages = list(imagenet.get_submodule("blocks").children())
        self.shared = nn.Sequential(
            imagenet.get_submodule("conv_stem"), imagenet.get_submodule("bn1"), *stages[:SHARED_STAGES]
        )
        self.stages = nn.ModuleList(copy.deepcopy(stages[SHARED_STAGES:]))
        self.imagenet = nn.ModuleList(stages[SHARED_STAGES:])
        self.classes = nn.Sequential(imagenet.get_submodule("conv_head"), imagenet.get_submodule("bn2"))
        self.classifier = imagenet.get_submodule("classifier")
        self.from_8, self.from_16, self.from_32 = (nn.Conv2d(n, CHANNELS, 1) for n in (40, 112, 320))
        self.context = nn.Linear(320, CHANNELS)
        self.join_16, self.join_8, self.last = (_separable(kernel) for kernel in (5, 3, 5))
        self.cells = nn.Conv2d(CHANNELS, OUTPUTS, 1)
        self.presence = nn.Linear(POOLED, 1)

    def trained_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield name and value of the parameters that are not ImageNet's."""
        for name, parameter in self.named_parameters():
            if name.split(".")[0] not in ("shared", "imagenet", "classes", "classifier"):
                yield name, parameter

    def below(self, pixels: Tensor) -> Tensor:
        """Return what both branches see, (B, 40, h, w), of (B, 3, H, W) RGB pixels in [-1, 1].

        H and W are multiples of 32.
        """
        shared: Tensor = self.shared(pixels)
        return shared

    def forward(self, below: Tensor) -> Sight:
        """Return what the trained branch makes of `below`."""
        fine, coarse = _two(self.stages, below)
        mean, highest = coarse.mean((2, 3)), coarse.amax((2, 3))
        far = self.from_32(coarse) + self.context(mean)[:, :, None, None]
        middle = self.join_16(F.relu6(self.from_16(fine) + _grown(far, fine)))
        features = self.last(self.join_8(F.relu6(self.from_8(below) + _grown(middle, below))))
        pooled = torch.cat([mean, highest], 1)
        return Sight(self.cells(features), self.presence(pooled)[:, 0], features, pooled)

    def published(self, below: Tensor) -> tuple[Tensor, Tensor]:
        """Return ImageNet's own fine (B, 112, h/2, w/2) and coarse (B, 320, h/4, w/4) features of `below`."""
        return _two(self.imagenet, below)

    def class_logits(self, coarse: Tensor) -> Tensor:
        """Return the (B, h/4, w/4, 1000) ImageNet logits of ImageNet's coarse features.

        The classifier's own rows at every cell instead of at the pooled features (class activation mapping,
        Zhou et al. 2016, section 2): the mean over the cells is the logit of the whole picture.
        """
        logits: Tensor = self.classifier(self.classes(coarse).permute(0, 2, 3, 1))
        return logits


def _two(stages: nn.ModuleList, below: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features after the second stage and after the last."""
    first, second, *rest = stages
    fine: Tensor = second(first(below))
    coarse = fine
    for stage in rest:
        coarse = stage(coarse)
    return fine, coarse


def _separable(kernel: int) -> nn.Sequential:
    spread = nn.Conv2d(CHANNELS, CHANNELS, kernel, padding=kernel // 2, groups=CHANNELS)
    return nn.Sequential(spread, nn.Conv2d(CHANNELS, CHANNELS, 1), nn.ReLU6())


def _grown(coarse: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(coarse, like.shape[-2:], mode="bilinear", align_corners=False)
