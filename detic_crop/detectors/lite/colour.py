"""Where the animal's colours end: the last say about a box's edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.overlap import iou_of_pair
from detic_crop.detectors.lite.measure import Map, in_photo
from detic_crop.detectors.lite.views import Box, Pixels, Window, resize

CUT_SIDE = 192  # px, long side of the picture that is cut by colour
CUT_ROUNDS = 3
SURELY_OUT = 0.3  # share below which a pixel is never animal
LIKELY_IN = 0.65  # share above which the first guess is animal
LEAST_PIXELS = 20  # a colour model of five Gaussians needs some
KEPT_PIECE = 0.15  # of the heaviest piece's evidence: a fin cut off by a wave still belongs
TAIL = 0.005  # share of the animal's pixels that may stick out at each edge: single pixels are noise
TRUSTED_IOU = 0.5  # colour is heard where it agrees this much with the evidence; a cut gone wrong is not


def picture_to_cut(photo: Pixels, window: Window) -> Pixels:
    """Return the window so small that its animal is quickly cut out."""
    left, top, right, bottom = window
    scale = CUT_SIDE / max(right - left, bottom - top)
    width, height = (max(16, int(side * scale)) for side in (right - left, bottom - top))
    return resize(photo[top:bottom, left:right], width, height)


def refine_by_colour(picture: Pixels, window: Window, inside: Map, box: Box) -> Box:
    """Pull the edges of `box` half way to where the animal's colours end; unchanged where they disagree.

    Args:
        picture: `picture_to_cut` of the window.
        window: what `picture` and `inside` cover, in pixels of the photo.
        inside: share of each cell in the animal's box.
        box: what the shares say.
    """
    cut = colour_box(picture, window, inside)
    if cut is None or iou_of_pair(cut, box) <= TRUSTED_IOU:
        return box
    left, top, right, bottom = ((ours + theirs) / 2 for ours, theirs in zip(box, cut, strict=True))
    return left, top, right, bottom


def colour_box(picture: Pixels, window: Window, inside: Map) -> Box | None:
    """Return the box of the animal that GrabCut (Rother et al. 2004) cuts out, started from the shares."""
    height, width = picture.shape[:2]
    weight = cv2.resize(inside, (width, height), interpolation=cv2.INTER_LINEAR).clip(0, 1)
    animal = _grab_cut(picture, weight)
    if animal is None:
        return None
    animal &= _heavy_pieces(animal, weight)
    if not animal.any():
        return None
    x0, x1 = _extent(animal.sum(0))
    y0, y1 = _extent(animal.sum(1))
    return in_photo((x0, y0, x1, y1), animal.shape, window)


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
