"""How large the animal in a close-up is: cells of 16 px → the share of each that lies in the box → the box.

The shares are a linear map (ridge regression, `benchmarks/train_lite.py`) of the features of ImageNet's own
branch and of the place of the cell seen from the box that the overview found: so few numbers that a few
hundred photos tell them, and that `teach` can fit them anew to another camera and another sea.

Letters: C features, h w cells of 16 px of the close-up.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from numpy.typing import NDArray
from torch import Tensor

from detic_crop.detectors.lite.views import Box, Window

Map = NDArray[np.float32]  # (h, w)
Matrix = NDArray[np.float64]

FEATURES = 112 + 112 + 320 + 8
INSIDE = 0.45  # a cell of which more than this share is thought to lie in the box speaks for it
PEAK_SHARE = 0.8  # of the highest cell: the bar where none passes INSIDE, so that a faint animal has a box
PENALTY = 0.03  # of ridge regression, per unit of variance of a feature
FINER = 4  # sub-cells per cell side: box edges fall on 4 px of the shrunken picture


def cells_of(fine: Tensor, coarse: Tensor, place: Tensor) -> Tensor:
    """Return (552, h, w): fine features, the same blurred, coarse ones, and the place seen from the box.

    Args:
        fine: (112, h, w), ImageNet's features at a stride of 16 px.
        coarse: (320, h/2, w/2), at 32 px.
        place: (8, h, w) from `place_cells`.
    """
    blurred = F.avg_pool2d(fine[None], 3, stride=1, padding=1, count_include_pad=False)[0]
    grown = F.interpolate(coarse[None], fine.shape[-2:], mode="bilinear", align_corners=False)[0]
    return torch.cat([fine, blurred, grown, place])


def place_cells(box: Box, window: Window, height: int, width: int) -> Tensor:
    """Return (8, h, w): where the cells of a window are, in half boxes from the centre of the first box."""
    x = window[0] + (np.arange(width) + 0.5) / width * (window[2] - window[0])
    y = window[1] + (np.arange(height) + 0.5) / height * (window[3] - window[1])
    u, v = np.meshgrid(
        (2 * x - box[0] - box[2]) / (box[2] - box[0]), (2 * y - box[1] - box[3]) / (box[3] - box[1])
    )
    near_x, near_y = np.exp(-(u**2)), np.exp(-(v**2))
    place = np.stack([u**2, v**2, abs(u), abs(v), v, near_x, near_y, near_x * near_y])
    # A thin box in a wide window has far cells; beyond six half boxes farther means nothing.
    return torch.from_numpy(place.clip(-6, 6).astype(np.float32))


def shares(cells: Tensor, weights: NDArray[np.float32]) -> Map:
    """Return the (h, w) share of each cell in the animal's box of (C, h, w) features, (C + 1,) weights."""
    head = torch.from_numpy(weights).to(cells.device)
    with torch.inference_mode():
        return np.asarray((torch.tensordot(head[:-1], cells, dims=1) + head[-1]).cpu().numpy(), np.float32)


def box_of_shares(inside: Map, window: Window) -> Box | None:
    """Return the likeliest box of a map that covers `window`; None if no cell speaks for one."""
    height, width = inside.shape
    finer = cv2.resize(inside, (width * FINER, height * FINER), interpolation=cv2.INTER_LINEAR)
    gains = finer - min(INSIDE, PEAK_SHARE * float(finer.max()))
    cells, gain = best_rectangle(gains)
    return in_photo(cells, gains.shape, window) if gain > 0 else None


def moments(cells: Matrix, share: Matrix) -> Matrix:
    """Return all that ridge regression needs of a window: the mean outer product of [features, 1, share].

    Args:
        cells: (C, h, w) features.
        share: (h, w) true share of each cell in the box.

    Returns:
        (C + 2, C + 2); those of several windows may be added.
    """
    rows = np.concatenate([cells.reshape(len(cells), -1), np.ones((1, share.size)), share.reshape(1, -1)])
    return np.asarray(rows @ rows.T / share.size)


def moments_of_close_up(
    fine: Tensor, coarse: Tensor, guess: Box, window: Window, box: Box, mirrored: bool
) -> Matrix:
    """Return the moments of one close-up of an animal, see `moments`.

    Args:
        fine: (112, h, w), see `cells_of`.
        coarse: (320, h/2, w/2).
        guess: the box that the window was laid around.
        window: what the close-up shows.
        box: the true box.
        mirrored: whether `fine` and `coarse` are of the mirror image.
    """
    grid = fine.shape[1], fine.shape[2]
    place, share = place_cells(guess, window, *grid), true_shares(box, window, *grid)
    if mirrored:
        place, share = place.flip(2), share[:, ::-1]
    return moments(cells_of(fine, coarse, place).numpy().astype(np.float64), share)


def solve(sums: Matrix) -> NDArray[np.float32]:
    """Return the (C + 1,) weights and offset of ridge regression from (C + 2, C + 2) moments."""
    return solve_near(sums, np.zeros(len(sums) - 1), PENALTY * sums[-2, -2])


def solve_near(sums: Matrix, before: NDArray[np.floating], penalty: float) -> NDArray[np.float32]:
    """Return the weights and offset of ridge regression whose penalty is on the distance from earlier ones.

    Minimises Σ (w·x − y)² + penalty · Σ var(x_i) (w_i − before_i)². The offset has no variance, so it is not
    penalised.

    Args:
        sums: (C + 2, C + 2) moments.
        before: (C + 1,) earlier weights and offset.
        penalty: weight of the distance, in windows.
    """
    total = sums[-2, -2]
    mean = sums[:-1, -2] / total
    variance = np.diag(sums)[:-1] / total - mean**2  # 0 for the constant
    start = before.astype(np.float64)
    distance = np.diag(penalty * (variance + 1e-9))
    change = np.linalg.solve(sums[:-1, :-1] + distance, sums[:-1, -1] - sums[:-1, :-1] @ start)
    return np.asarray(start + change, np.float32)


def true_shares(box: Box, window: Window, height: int, width: int) -> Matrix:
    """Return the (h, w) share of each cell of the window that lies in the box."""
    return np.outer(
        _share(box[1], box[3], window[1], window[3], height),
        _share(box[0], box[2], window[0], window[2], width),
    )


def contrast_of(inside: Map, window: Window, box: Box) -> float:
    """Return the mean share of the cells whose middles lie in the box, less that of all others."""
    height, width = inside.shape
    x = window[0] + (np.arange(width) + 0.5) / width * (window[2] - window[0])
    y = window[1] + (np.arange(height) + 0.5) / height * (window[3] - window[1])
    within = ((y > box[1]) & (y < box[3]))[:, None] & ((x > box[0]) & (x < box[2]))
    if not within.any() or within.all():
        return 0.0
    return float(inside[within].mean() - inside[~within].mean())


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


def in_photo(cells: tuple[int, int, int, int], shape: tuple[int, ...], window: Window) -> Box:
    """Return cells of a map of this shape that covers `window` as pixels of the photo."""
    x_scale, y_scale = (window[2] - window[0]) / shape[1], (window[3] - window[1]) / shape[0]
    return (
        window[0] + cells[0] * x_scale,
        window[1] + cells[1] * y_scale,
        window[0] + cells[2] * x_scale,
        window[1] + cells[3] * y_scale,
    )


def _share(low: float, high: float, start: int, stop: int, cells: int) -> Matrix:
    edges = np.linspace(start, stop, cells + 1)
    covered = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
    return np.asarray(covered.clip(0, None) / np.diff(edges))
