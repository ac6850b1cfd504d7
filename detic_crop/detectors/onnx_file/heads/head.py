"""What an output head is: arrays in, boxes in pixels of the picture out."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detic_crop.detectors.onnx_file.metadata import Metadata
from detic_crop.detectors.onnx_file.presentation import Fitting, Presentation

Array = NDArray[Any]

FLOOR = 0.05
"""Boxes that score less are left out."""
MOST_BOXES = 300
"""Boxes of one photo; that many have YOLO's own post-processing and the queries of most DETRs."""
_MOST_COMPARED = 30_000  # boxes in non-maximum suppression, the best


class UnknownHeadError(Exception):
    """No head is known that answers like this; the words say why."""


class UnfitNamesError(Exception):
    """The number of class names does not fit the model; the words say how.

    Args:
        n_names: number of class names.
        n_classes: number of classes that the model has.
        where: the output that tells, and what else there is to say.
    """

    def __init__(self, n_names: int, n_classes: int, where: str) -> None:
        super().__init__(f"{n_names} class names for the {n_classes} classes in output {where}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model said to one plain picture, and what is known of it besides.

    Attributes:
        inputs: names of the inputs.
        outputs: name → array; the first side is the photo, 1, in most.
        size_wh: width and height of the picture.
        metadata: what the file says of itself.
        names: class names, from the file or from the user; None where nothing names them.
    """

    inputs: Sequence[str]
    outputs: Mapping[str, Array]
    size_wh: tuple[int, int]
    metadata: Metadata
    names: tuple[str, ...] | None

    def with_sides(self, n_sides: int) -> dict[str, Array]:
        """Return the outputs with that number of sides."""
        return {name: array for name, array in self.outputs.items() if array.ndim == n_sides}

    def named(self, *words: str) -> str | None:
        """Return the first output whose name has one of these words in it."""
        return next((name for name in self.outputs if any(word in name.lower() for word in words)), None)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Boxes in one picture.

    Attributes:
        xyxy: (N, 4) float32, pixels of the picture.
        scores: (N,) float32.
        classes: (N,) whole numbers.
        peaks: (C,) highest score of each class, below the floor, too; None if the model does not tell.
    """

    xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    peaks: NDArray[np.float32] | None = None

    def usable(self, most: int = MOST_BOXES) -> Found:
        """Return the boxes that are finite, have an area and score enough; the best `most`, best first.

        A class below 0 marks a row that is not filled.
        """
        x1, y1, x2, y2 = self.xyxy.T
        with np.errstate(invalid="ignore"):
            keep = np.isfinite(self.xyxy).all(axis=1) & (x2 > x1) & (y2 > y1)
            keep &= (self.scores >= FLOOR) & np.isfinite(self.scores) & (self.classes >= 0)
        order = np.flatnonzero(keep)
        return self.take(order[np.argsort(-self.scores[order], kind="stable")][:most])

    def without_overlaps(self, iou: float) -> Found:
        """Return the boxes that non-maximum suppression leaves, in each class by itself, the best first."""
        import torch

        ops: Any = importlib.import_module("torchvision.ops")  # without types
        some = self.usable(_MOST_COMPARED)
        kept = ops.batched_nms(
            torch.from_numpy(some.xyxy.astype(np.float64)),
            torch.from_numpy(some.scores.astype(np.float64)),
            torch.from_numpy(some.classes),
            iou,
        )
        return some.take(kept.numpy())

    def take(self, indices: NDArray[np.integer]) -> Found:
        """Return the boxes at `indices`, in that order."""
        return Found(self.xyxy[indices], self.scores[indices], self.classes[indices], self.peaks)


class Head(ABC):
    """One kind of output head; `recognise` makes one for a model.

    Attributes:
        what: kind in words, as in docs/models.md.
        n_classes: number of class numbers; None if the answers do not tell.
        names: class of each number as far as the head itself knows; None: as the file or the user says.
        fitting, values: how its trainers show photos to it, see `Presentation`.
        colour: order of channels that it is trained with.
        conf: lowest score that counts, by default.
    """

    what: str
    n_classes: int | None = None
    names: tuple[str | None, ...] | None = None
    fitting: Fitting = "letterbox"
    colour = "rgb"
    values = "0-1"
    conf = 0.25

    @classmethod
    @abstractmethod
    def recognise(cls, answer: Answer) -> Head | None:
        """Return the head if the model has one of this kind.

        Raises:
            UnfitNamesError: it has, but not for this number of class names.
        """

    @abstractmethod
    def decode(self, outputs: Mapping[str, Array], index: int) -> Found:
        """Return the boxes in one picture of a batch, in any order, overlapping ones once.

        Args:
            outputs: what the model answered to the batch.
            index: which picture of it.
        """

    def presentation(self, size_wh: tuple[int, int]) -> Presentation:
        """Return how its trainers show a photo."""
        return Presentation(
            *size_wh,
            self.fitting,
            "bgr" if self.colour == "bgr" else "rgb",
            "imagenet" if self.values == "imagenet" else "0-255" if self.values == "0-255" else "0-1",
        )


def xyxy_of(cxcywh: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return (N, 4) corners of boxes given by centre, width and height."""
    centre, half = cxcywh[:, :2], cxcywh[:, 2:4] / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def best_class(scores: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return score and number of the best class of each row of (N, C)."""
    classes = scores.argmax(axis=1)
    return scores[np.arange(len(scores)), classes].astype(np.float32), classes.astype(np.int64)


def peaks_of(scores: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the highest score of each class, of (N, C)."""
    clean = np.nan_to_num(scores.astype(np.float32), nan=0, posinf=0, neginf=0)
    return np.asarray(clean.max(axis=0, initial=0), np.float32)


def sigmoid(logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return (0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))).astype(np.float32)
