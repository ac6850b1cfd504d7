"""From what the cascade says about every proposal to the boxes that are reported.

Letters: P proposals of one image, K classes, N boxes.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torchvision.ops import batched_nms  # type: ignore[import-untyped]

# Settings of the published models.
NMS_IOU = 0.5
MAX_BOXES = 300


class Found(NamedTuple):
    """The boxes of one image, best first.

    Attributes:
        boxes: (N, 4) float32 xyxy within the image, in pixels of the network's input.
        scores: (N,) float32 in [0, 1].
        classes: (N,) int64 rows of the vocabulary.
        peaks: (K,) float32, the highest score of each class at any proposal, reported or not.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    peaks: Tensor


def class_scores(likelihood: Tensor, proposal_scores: Tensor) -> Tensor:
    """Return the geometric mean of (P, K) class likelihoods and (P,) proposal scores (CenterNet2, sec. 4)."""
    return (likelihood * proposal_scores[:, None]) ** 0.5


def select(boxes: Tensor, scores: Tensor, size_hw: tuple[int, int], floor: float) -> Found:
    """Report the boxes worth reporting.

    Every proposal keeps its best class only (all of them, when several are equally good); boxes above `floor`
    remain; of those of one class that overlap, the best remains.

    All classes of the vocabulary must take part, also when few are wanted: whether a proposal shows a dolphin
    rather than a boat is known only after both have been scored. So who wants few classes takes their boxes
    out of the answer, and they are the same boxes. (Scoring 500 classes takes 3 ms on two cores.)

    Args:
        boxes: (P, 4) refined boxes.
        scores: (P, K).
        size_hw: size of the image without padding.
        floor: boxes must score more.
    """
    peaks = scores.amax(dim=0) if len(scores) else scores.new_zeros(scores.shape[1])
    scores = scores * (scores == scores.amax(dim=1, keepdim=True))
    usable = boxes.isfinite().all(dim=1) & scores.isfinite().all(dim=1)
    height, width = size_hw
    boxes = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
    row, column = ((scores > floor) & usable[:, None]).nonzero(as_tuple=True)
    boxes, chosen = boxes[row], scores[row, column]
    # torchvision's, whose rounding the published results contain: it moves the classes apart in float32.
    kept = batched_nms(boxes, chosen, column, NMS_IOU)[:MAX_BOXES]
    return Found(boxes[kept], chosen[kept], column[kept], peaks.nan_to_num(0.0))
