"""What a model wants as inputs, and how pictures become that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detic_crop.config import MAX_SIZE
from detic_crop.detectors.onnx_file.heads.decoded import SIZES
from detic_crop.detectors.onnx_file.session import Port

_MASK = "pixel_mask"
_MOST_AT_ONCE = 256
_KINDS = (np.float32, np.float16, np.float64, np.uint8)


class UnknownInputsError(Exception):
    """The model wants other inputs than a picture; the words say which."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """
    Attributes:
        picture: the input that takes pictures.
        channels_last: as (B, H, W, 3), not (B, 3, H, W).
        others: inputs beside it: the size that boxes are to be in, or a mask of what is picture.
        width, height: sides of the picture; None where any will do.
        batch: pictures that it takes at once; None: any number.
    """

    picture: Port
    channels_last: bool
    others: tuple[Port, ...]
    width: int | None
    height: int | None
    batch: int | None

    @property
    def takes_bytes(self) -> bool:
        """Whether it takes whole numbers from 0 to 255."""
        return self.picture.dtype is np.uint8

    def feeds(self, pictures: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return input → array, of (B, H, W, 3) numbers; filled up with zeros to the batch that it takes."""
        count, height, width, _ = pictures.shape
        if self.batch is not None and count < self.batch:
            pictures = np.concatenate(
                [pictures, np.zeros((self.batch - count, height, width, 3), np.float32)]
            )
        if not self.channels_last:
            pictures = pictures.transpose(0, 3, 1, 2)
        feeds: dict[str, NDArray[Any]] = {
            self.picture.name: np.ascontiguousarray(pictures, dtype=self.picture.dtype)
        }
        for port in self.others:
            if port.name == SIZES:
                feeds[port.name] = np.tile(np.array([width, height], port.dtype), (len(pictures), 1))
            else:
                sides = tuple(
                    side or whole for side, whole in zip(port.shape[1:], (height, width), strict=True)
                )
                feeds[port.name] = np.ones((len(pictures), *sides), port.dtype)
        return feeds


def inputs_of(ports: Sequence[Port]) -> Inputs:
    """Return how to feed a model.

    Raises:
        UnknownInputsError: it does not take one picture in three colours, or takes more than is known here.
    """
    pictures = [port for port in ports if len(port.shape) == 4]
    if len(pictures) != 1 or pictures[0].dtype not in _KINDS:
        raise UnknownInputsError("expected one input for a picture, of floats or bytes, with 4 sides")
    (picture,) = pictures
    channels_last = picture.shape[1] != 3 and picture.shape[3] == 3
    if not channels_last and picture.shape[1] not in (3, None):
        raise UnknownInputsError("expected pictures of 3 channels")
    others = tuple(port for port in ports if port is not picture)
    for port in others:
        sides = {SIZES: 2, _MASK: 3}.get(port.name)
        if sides != len(port.shape) or port.dtype is None:
            raise UnknownInputsError(f"expected no input beside the picture but {SIZES} or {_MASK}")
    height, width = picture.shape[1:3] if channels_last else picture.shape[2:]
    if max(height or 0, width or 0) > MAX_SIZE or (picture.shape[0] or 0) > _MOST_AT_ONCE:
        raise UnknownInputsError(
            f"expected at most {_MOST_AT_ONCE} pictures at once, with sides of at most {MAX_SIZE}"
        )
    return Inputs(picture, channels_last, others, width, height, picture.shape[0])
