"""Fit the heads of the `lite` detector: `python -m benchmarks.fit_lite PHOTOS_FOLDER [--out FILE]`.

PHOTOS_FOLDER holds `images/`, `boxes.csv` (image, xmin, ymin, xmax, ymax, kind, notes) and `negatives/`. The
committed `detic_crop/detectors/lite/head.npz` was fitted on 63 photos of dolphins and whales with hand-drawn
boxes (about half of them one photo-identification survey of bottlenose dolphins) and 42 of boats, shores,
birds, sharks and turtles. It holds some 1,300 numbers, no pixels. Same folder, same machine: same file.

Fitted are two ridge regressions from the features of a cell to the share of it that lies in the box, one for
the overview and one for close-ups (twelve jittered windows per box), the two numbers that turn the class
margin into a probability, and the default `--conf`. Cross-validation leaves out one outing (or one source) at
a time; it is exact, since a ridge regression needs only sums of outer products, which can be left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.labelled_photos import LabelledPhoto, read_set
from detic_crop.boxes.detections import Detections
from detic_crop.detectors.lite.backbone import LiteNetwork, load_network
from detic_crop.detectors.lite.detector import LiteDetector
from detic_crop.detectors.lite.evidence import (
    HEADS_FILE,
    Box,
    Heads,
    Pixels,
    Window,
    class_margin,
    close_up_cells,
    close_up_picture,
    look,
    overview_cells,
    overview_picture,
    place_cells,
    window_around,
)

Matrix = NDArray[np.float64]

RIDGE = 0.1  # penalty per unit of variance of a feature; 0.03 to 0.3 differ by less than 0.01 IoU
JITTERS = 12  # windows per box: the overview's boxes are off by about as much as these
LOST_SHARE = 0.03  # of positives that conf may lose: a little below the wanted 5 %
PAIR_CONF = 0.45  # each of two equal animals in a photo of presence 0.9 passes


def moments(cells: Matrix, share: Matrix, weight: Matrix) -> Matrix:
    """(C + 2, C + 2) weighted sum of outer products of [features, 1, target]: all that ridge needs."""
    rows = np.concatenate([cells.reshape(len(cells), -1), np.ones((1, share.size)), share.reshape(1, -1)])
    return np.asarray((rows * weight.ravel()) @ rows.T)


def solve_ridge(sums: Matrix, ridge: float = RIDGE) -> NDArray[np.float32]:
    """(C + 1,) weights and offset; features penalised by their variance, the offset not at all."""
    total = sums[-2, -2]
    mean = sums[:-1, -2] / total
    variance = np.diag(sums)[:-1] / total - mean**2  # 0 for the constant
    solution = np.linalg.solve(sums[:-1, :-1] + np.diag(ridge * total * (variance + 1e-9)), sums[:-1, -1])
    return solution.astype(np.float32)


def inside_share(box: Box | None, window: Window, height: int, width: int) -> Matrix:
    """(h, w) share of each cell of the window that lies in the box."""
    if box is None:
        return np.zeros((height, width))
    return np.outer(
        _inside_1d(box[1], box[3], window[1], window[3], height),
        _inside_1d(box[0], box[2], window[0], window[2], width),
    )


def overview_moments(network: LiteNetwork, photo: LabelledPhoto, pixels: Pixels) -> tuple[Matrix, float]:
    """Moments of the overview, and the class margin. Inside and outside weigh half a photo each."""
    view = look(network, overview_picture(pixels))
    cells = overview_cells(view).cpu().numpy().astype(np.float64)
    whole = (0, 0, pixels.shape[1], pixels.shape[0])
    share = inside_share(photo.box, whole, *cells.shape[1:])
    weight = 0.5 * (1 - share) / max(float((1 - share).sum()), 1.0)
    if photo.box is not None:
        weight += 0.5 * share / share.sum()
    return moments(cells, share, weight), class_margin(network, view)


def close_up_moments(
    network: LiteNetwork, box: Box, pixels: Pixels, rng: np.random.Generator, jitters: int = JITTERS
) -> Matrix:
    """Moments of jittered close-ups, every second one mirrored; each window weighs the same."""
    height, width = pixels.shape[:2]
    total: Matrix | None = None
    for index in range(jitters):
        guess = jittered(box, width, height, rng)
        window = window_around(guess, width, height)
        picture = close_up_picture(pixels, window)
        mirrored = index % 2 == 1
        view = look(network, picture, mirrored=mirrored)
        grid = view.fine.shape[2], view.fine.shape[3]
        place, share = place_cells(guess, window, *grid), inside_share(box, window, *grid)
        if mirrored:
            place, share = place.flip(2), share[:, ::-1]
        cells = close_up_cells(view, place, int(mirrored)).cpu().numpy().astype(np.float64)
        sums = moments(cells, share, np.full(grid, 1 / share.size))
        total = sums if total is None else total + sums
    assert total is not None
    return total


def jittered(box: Box, width: int, height: int, rng: np.random.Generator) -> Box:
    """The box as an overview might have drawn it, cut to the photo."""
    size = np.exp(rng.normal(0.1, 0.3))
    box_width, box_height = (
        (high - low) * size * np.exp(rng.normal(0, 0.2)) for low, high in ((box[0], box[2]), (box[1], box[3]))
    )
    x = (box[0] + box[2]) / 2 + rng.normal(0, 0.15) * box_width
    y = (box[1] + box[3]) / 2 + rng.normal(0, 0.15) * box_height
    return (
        max(0.0, x - box_width / 2),
        max(0.0, y - box_height / 2),
        min(float(width), x + box_width / 2),
        min(float(height), y + box_height / 2),
    )


def platt(margins: Matrix, present: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Slope and offset of the logistic curve through the margins, by Newton's method.

    With the softened targets of Platt 1999 (section 2.2): where the classes are apart they keep it finite.
    """
    n_present, n_absent = int(present.sum()), int((~present).sum())
    target = np.where(present, (n_present + 1) / (n_present + 2), 1 / (n_absent + 2))
    design = np.stack([margins, np.ones_like(margins)], 1)
    line = np.zeros(2)
    for _ in range(100):
        share = 1 / (1 + np.exp(-(design @ line).clip(-30, 30)))
        hessian = (design * (share * (1 - share))[:, None]).T @ design + 1e-6 * np.eye(2)
        line += np.linalg.solve(hessian, design.T @ (target - share)).clip(-1, 1)
    return line.astype(np.float32)


@dataclass(frozen=True)
class Evidence:
    """Everything a fit needs, gathered once from the photos.

    Attributes:
        overview: outing → moments.
        close_up: outing → moments; only outings with animals.
        margins: (N,) class margin of each photo.
    """

    photos: Sequence[LabelledPhoto]
    overview: dict[str, Matrix]
    close_up: dict[str, Matrix]
    margins: Matrix

    @property
    def present(self) -> NDArray[np.bool_]:
        """(N,) True where there is an animal."""
        return np.array([photo.box is not None for photo in self.photos])


def gather(
    network: LiteNetwork, photos: Sequence[LabelledPhoto], seed: int = 0, jitters: int = JITTERS
) -> Evidence:
    """One pass over the photos; fewer `jitters` take less time and fit a little worse."""
    overview: dict[str, Matrix] = {}
    close_up: dict[str, Matrix] = {}
    margins = []
    for index, photo in enumerate(photos):
        pixels = photo.pixels()
        sums, margin = overview_moments(network, photo, pixels)
        margins.append(margin)
        _add(overview, photo.outing, sums)
        if photo.box is not None:
            rng = np.random.default_rng([seed, index])
            _add(close_up, photo.outing, close_up_moments(network, photo.box, pixels, rng, jitters))
    return Evidence(photos, overview, close_up, np.array(margins))


def fit(evidence: Evidence, left_out: frozenset[str] = frozenset(), conf: float = 0.0) -> Heads:
    """Heads from all outings but those left out."""
    used = np.array([photo.outing not in left_out for photo in evidence.photos])
    return Heads(
        overview=solve_ridge(_sum(m for outing, m in evidence.overview.items() if outing not in left_out)),
        close_up=solve_ridge(_sum(m for outing, m in evidence.close_up.items() if outing not in left_out)),
        presence=platt(evidence.margins[used], evidence.present[used]),
        conf=conf,
    )


def cross_validate(
    network: LiteNetwork, evidence: Evidence, group: Callable[[LabelledPhoto], str]
) -> list[Detections]:
    """Each photo's detections by heads that saw no photo of its group."""
    found: dict[int, Detections] = {}
    for indices in groups(evidence.photos, group):
        left_out = frozenset(evidence.photos[i].outing for i in indices)
        detector = LiteDetector(network, fit(evidence, left_out))
        found |= {i: detector.detect(evidence.photos[i].pixels()) for i in indices}
    return [found[i] for i in range(len(evidence.photos))]


def groups(photos: Sequence[LabelledPhoto], group: Callable[[LabelledPhoto], str]) -> Iterator[list[int]]:
    """Indices of the photos of each group."""
    names = [group(photo) for photo in photos]
    for name in sorted(set(names)):
        yield [i for i, other in enumerate(names) if other == name]


def calibrated_conf(scores: Matrix, present: NDArray[np.bool_]) -> float:
    """Default `--conf` from the best score of each photo.

    At most what 97 % of the positives reach; where that is more than 97 % of the negatives stay below, half
    way between the two, but not so high that two equal animals, half the presence each, lose each other.
    """
    reached = float(np.quantile(scores[present], LOST_SHARE))
    stayed_below = float(np.quantile(scores[~present], 1 - LOST_SHARE))
    half_way = (reached + min(reached, stayed_below)) / 2
    return float(np.floor(100 * min(half_way, PAIR_CONF)) / 100)


def best_score(detections: Detections) -> float:
    """The highest score of a photo, 0 without boxes."""
    return float(detections.scores.max(initial=0.0))


def main() -> None:
    """Fit on all photos, print what was cross-validated, write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, default=Path("detic_crop/detectors/lite") / HEADS_FILE)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order: the same file every time
    network = load_network()
    evidence = gather(network, read_set(arguments.photos))
    by_outing = cross_validate(network, evidence, lambda photo: photo.outing)
    scores, here = np.array([best_score(found) for found in by_outing]), evidence.present
    heads = fit(evidence, conf=calibrated_conf(scores, here))
    np.savez(
        arguments.out,
        overview=heads.overview,
        close_up=heads.close_up,
        presence=heads.presence,
        conf=np.float64(heads.conf),
    )
    print(f"{here.sum()} positives, {(~here).sum()} negatives, {len(evidence.overview)} outings")
    print(f"cross-validated scores at conf {heads.conf:.2f} (itself chosen on them):")
    print(f"  positives that pass {(scores[here] >= heads.conf).mean():.3f}")
    print(f"  negatives that pass {(scores[~here] >= heads.conf).mean():.3f}")
    print(f"wrote {arguments.out}; python -m benchmarks.lite_quality prints the full table")


def _inside_1d(low: float, high: float, start: int, stop: int, cells: int) -> Matrix:
    edges = np.linspace(start, stop, cells + 1)
    covered = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
    return np.asarray(covered.clip(0, None) / np.diff(edges))


def _add(sums: dict[str, Matrix], key: str, value: Matrix) -> None:
    sums[key] = sums[key] + value if key in sums else value


def _sum(matrices: Iterable[Matrix]) -> Matrix:
    first, *rest = matrices
    total = first.copy()
    for matrix in rest:
        total += matrix
    return total


if __name__ == "__main__":
    main()
