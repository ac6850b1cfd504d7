"""From evidence maps to boxes: no network here."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.overlap import iou_of_pair
from detic_crop.detectors.lite.evidence import Box, Map, Pixels, Window, resize

INSIDE = 0.45  # a cell of which more than this share is thought to lie in the box speaks for it
PEAK_SHARE = 0.8  # of the highest cell: the bar where none passes INSIDE, so that a faint animal has a box
FINER = 4  # sub-cells per cell side: box edges fall on 4 px of the shrunken picture

CUT_SIDE = 192  # px, long side of the picture that is cut by colour
CUT_ROUNDS = 3
SURELY_OUT = 0.3  # evidence below which a pixel is never animal
LIKELY_IN = 0.65  # evidence above which the first guess is animal
LEAST_PIXELS = 20  # a colour model of five Gaussians needs some
KEPT_PIECE = 0.15  # of the heaviest piece's evidence: a fin cut off by a wave still belongs
TAIL = 0.005  # share of the animal's pixels that may stick out at each edge: single pixels are noise
TRUSTED_IOU = 0.5  # colour is heard where it agrees this much with the evidence; a cut gone wrong is not


def best_rectangle(gains: NDArray[np.floating]) -> tuple[tuple[int, int, int, int], float]:
    """Return the (left, top, right, bottom) sub-rectangle of (h, w) gains with the largest sum, and that sum.

    Of independent cells, each with the log-odds of lying in the box as its gain, it is the most likely box:
    the task of Lampert et al. 2008 ("Beyond sliding windows"), small enough here to try all pairs of rows,
    with Kadane's scan along the columns.
    """
    height, width = gains.shape
    corner = np.zeros((height + 1, width + 1))  # sum of all that is above and left
    np.cumsum(gains.cumsum(0, dtype=np.float64), axis=1, out=corner[1:, 1:])
    top, bottom = np.triu_indices(height + 1, 1)
    sums = corner[bottom] - corner[top]  # (pairs, w + 1), prefix sums of each band
    best = sums[:, 1:] - np.minimum.accumulate(sums[:, :-1], axis=1)  # best band ending at each column
    pair, column = divmod(int(best.argmax()), width)
    left = int(sums[pair, : column + 1].argmin())
    return (left, int(top[pair]), column + 1, int(bottom[pair])), float(best[pair, column])


def evidence_boxes(
    evidence: Map, window: Window, limit: int = 1, least: float = 0.0
) -> list[tuple[Box, float]]:
    """Return the best boxes of a map that covers `window`, with their gains; none overlap.

    Args:
        limit: largest number of boxes.
        least: share of the first box's gain that a further one must have.
    """
    height, width = evidence.shape
    fine = cv2.resize(evidence, (width * FINER, height * FINER), interpolation=cv2.INTER_LINEAR)
    gains = fine - min(INSIDE, PEAK_SHARE * float(fine.max()))
    found: list[tuple[Box, float]] = []
    while len(found) < limit:
        (left, top, right, bottom), gain = best_rectangle(gains)
        if gain <= 0 or (found and gain < least * found[0][1]):
            break
        found.append((_to_photo((left, top, right, bottom), gains.shape, window), gain))
        gains[top:bottom, left:right] = -1
    return found


def refine_by_colour(photo: Pixels, window: Window, evidence: Map, box: Box) -> Box:
    """Pull the edges of `box` half way to where the animal's colours end; unchanged where they disagree."""
    cut = colour_box(photo, window, evidence)
    if cut is None or iou_of_pair(cut, box) <= TRUSTED_IOU:
        return box
    left, top, right, bottom = ((ours + theirs) / 2 for ours, theirs in zip(box, cut, strict=True))
    return left, top, right, bottom


def colour_box(photo: Pixels, window: Window, evidence: Map) -> Box | None:
    """Return the box of the animal that GrabCut (Rother et al. 2004) cuts out, started from the evidence."""
    left, top, right, bottom = window
    scale = CUT_SIDE / max(right - left, bottom - top)
    width, height = (max(16, int(side * scale)) for side in (right - left, bottom - top))
    picture = resize(photo[top:bottom, left:right], width, height)
    weight = cv2.resize(evidence, (width, height), interpolation=cv2.INTER_LINEAR).clip(0, 1)
    animal = _grab_cut(picture, weight)
    if animal is None:
        return None
    animal &= _heavy_pieces(animal, weight)
    if not animal.any():
        return None
    x0, x1 = _extent(animal.sum(0))
    y0, y1 = _extent(animal.sum(1))
    return _to_photo((x0, y0, x1, y1), animal.shape, window)


def overlap(a: Box, b: Box) -> float:
    """Return the area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def area(box: Box) -> float:
    """Return the area of a box in square pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


def _grab_cut(picture: Pixels, weight: Map) -> NDArray[np.bool_] | None:
    """Return (h, w) True on the animal; None if too few pixels start on one side."""
    mask = np.where(weight > LIKELY_IN, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    mask[weight < SURELY_OUT] = cv2.GC_BGD
    inside = int((mask == cv2.GC_PR_FGD).sum())
    if min(inside, mask.size - inside) < LEAST_PIXELS:
        return None
    # GrabCut's k-means draws from OpenCV's generator of this thread: the same photo must give the same cut.
    cv2.setRNGSeed(1)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    everywhere = (0, 0, 0, 0)  # with a mask the rectangle is not read
    cv2.grabCut(picture, mask, everywhere, *models, CUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    return np.asarray((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD))


def _heavy_pieces(animal: NDArray[np.bool_], weight: Map) -> NDArray[np.bool_]:
    _, labels = cv2.connectedComponents(animal.astype(np.uint8))
    weights = np.bincount(labels.ravel(), weight.ravel().astype(np.float64))
    weights[0] = 0  # label 0 is the water
    kept = (weights >= KEPT_PIECE * weights.max()) & (weights > 0)
    return np.asarray(kept[labels])


def _extent(counts: NDArray[np.integer]) -> tuple[int, int]:
    """Return the first and one past the last index of a profile, without its outer half percents."""
    share = counts.cumsum() / counts.sum()
    return int(share.searchsorted(TAIL)), min(len(counts), int(share.searchsorted(1 - TAIL)) + 1)


def _to_photo(cells: tuple[int, int, int, int], shape: tuple[int, ...], window: Window) -> Box:
    x_scale, y_scale = (window[2] - window[0]) / shape[1], (window[3] - window[1]) / shape[0]
    return (
        window[0] + cells[0] * x_scale,
        window[1] + cells[1] * y_scale,
        window[0] + cells[2] * x_scale,
        window[1] + cells[3] * y_scale,
    )
