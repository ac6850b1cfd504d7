"""What a detector says about one photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

# Two decimals of a pixel and six of a score are far below what any detector means, survive a float32
# round trip for photos up to 65,536 px a side, and make what is kept on disk equal to what was used.
BOX_DECIMALS = 2
SCORE_DECIMALS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Boxes found in one photo, in any order.

    Attributes:
        xyxy: (N, 4) float32, left, top, right, bottom in pixels of the upright photo; max edges exclusive.
        scores: (N,) float32 in [0, 1].
        class_names: N names from the detector's vocabulary.
        presence: how sure the detector is that a wanted animal is in the photo at all, in [0, 1]; None
            if it has no such number; then the highest score of a wanted class is used.
        listed: False if the boxes come from a file that does not name the photo, so nobody looked at it.
        found_by: which of several joined models gave these boxes; empty if there is only one.

    Raises:
        ValueError: the lengths differ, or a box, score or presence is not finite.
    """

    xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_names: tuple[str, ...]
    presence: float | None = None
    listed: bool = True
    found_by: str = ""

    def __post_init__(self) -> None:
        xyxy = np.asarray(self.xyxy, dtype=np.float32).reshape(-1, 4)
        scores = np.asarray(self.scores, dtype=np.float32).reshape(-1)
        names = tuple(map(str, self.class_names))  # plain text also where it came from an array
        if not len(xyxy) == len(scores) == len(names):
            raise ValueError(
                f"expected one score and one class per box, got {len(xyxy)} boxes, "
                f"{len(scores)} scores and {len(names)} classes"
            )
        certain = np.isfinite(0.0 if self.presence is None else self.presence)
        if not (np.isfinite(xyxy).all() and np.isfinite(scores).all() and certain):
            raise ValueError("expected finite boxes and scores, got NaN or infinity")
        object.__setattr__(self, "xyxy", xyxy)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "class_names", names)

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls, presence: float | None = None, listed: bool = True) -> Detections:
        """Return no boxes."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), (), presence, listed)

    @property
    def areas(self) -> NDArray[np.float64]:
        """(N,) box areas in square pixels; inverted boxes count as zero.

        Computed in whole hundredths of a pixel, so that two boxes of one size have one area wherever they
        are, however float32 rounds their edges.
        """
        units = 10**BOX_DECIMALS
        edges = np.rint(self.xyxy.astype(np.float64) * units)
        sides = np.maximum(edges[:, 2:] - edges[:, :2], 0)
        areas: NDArray[np.float64] = sides[:, 0] * sides[:, 1] / units**2
        return areas

    def edges(self, index: int) -> tuple[float, float, float, float]:
        """Return left, top, right, bottom of one box, with the decimals that are kept."""
        left, top, right, bottom = (round(float(edge), BOX_DECIMALS) for edge in self.xyxy[index])
        return left, top, right, bottom

    def score(self, index: int) -> float:
        """Return the score of one box, with the decimals that are kept."""
        return round(float(self.scores[index]), SCORE_DECIMALS)

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> Detections:
        """Return the detections at `indices`, in that order."""
        order = np.asarray(indices, dtype=np.intp)
        names = tuple(self.class_names[i] for i in order)
        return replace(self, xyxy=self.xyxy[order], scores=self.scores[order], class_names=names)

    def rounded(self) -> Detections:
        """Return the same with the few decimals that are kept on disk (idempotent)."""
        return replace(
            self,
            xyxy=np.round(self.xyxy.astype(np.float64), BOX_DECIMALS).astype(np.float32),
            scores=np.round(self.scores.astype(np.float64), SCORE_DECIMALS).astype(np.float32),
            presence=None if self.presence is None else round(float(self.presence), SCORE_DECIMALS),
        )
