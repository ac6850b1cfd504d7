"""How good boxes are: from labelled photos and what a detector said of them to figures with intervals.

Intervals are those of the bootstrap over sources (percentiles 2.5 and 97.5 of seeded draws of as many
sources, with replacement): photos of one source are not independent. In such a draw each photo counts as
often as its source was drawn, so every figure here takes weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.labelled_photos import Box, LabelledPhoto
from benchmarks.spoiled_rows import RIGHT_IOU, record_of
from detic_crop.boxes.choose import choose
from detic_crop.boxes.detections import Detections
from detic_crop.boxes.overlap import inside_share, iou
from detic_crop.config import CropConfig
from detic_crop.detectors.lite.detector import CLASS_NAME
from detic_crop.report.comparison import doubts_of_all

DRAWS = 2000
CROP_SCALE = 1.2
COVERED = 0.9
REACHED = 0.95  # share of the positives at whose presence false alarms are counted, too
BINS = 10

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Statistic = Callable[[Floats], Floats]
"""(D, N) weights of the photos in each draw → (D,) the figure; NaN where a draw has no such photo."""


# ---------------------------------------------------------------- predictions


@dataclass(frozen=True)
class Prediction:
    """What one detector said of one photo.

    Attributes:
        row: name of the detector in the tables.
        photo: key of the photo.
        conf: lowest score of a box that counts.
    """

    row: str
    photo: str
    conf: float
    found: Detections

    def to_line(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(
            {
                "row": self.row,
                "photo": self.photo,
                "conf": self.conf,
                "presence": self.found.presence,
                "boxes": [list(self.found.edges(i)) for i in range(len(self.found))],
                "scores": [self.found.score(i) for i in range(len(self.found))],
            }
        )

    @classmethod
    def from_line(cls, line: str) -> Prediction:
        """Return what `to_line` wrote."""
        values = json.loads(line)
        names = (CLASS_NAME,) * len(values["scores"])
        found = Detections(
            np.array(values["boxes"], np.float32).reshape(-1, 4),
            np.array(values["scores"], np.float32),
            names,
            values["presence"],
        )
        return cls(values["row"], values["photo"], values["conf"], found)


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write one line for each."""
    path.write_text("".join(prediction.to_line() + "\n" for prediction in predictions), encoding="utf-8")


def read_predictions(path: Path) -> dict[str, dict[str, Prediction]]:
    """Row → photo → prediction, in the order of the file."""
    rows: dict[str, dict[str, Prediction]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        prediction = Prediction.from_line(line)
        rows.setdefault(prediction.row, {})[prediction.photo] = prediction
    return rows


# ---------------------------------------------------------------- one photo


def chosen_box(found: Detections, conf: float, size: tuple[int, int]) -> Box:
    """The raw box a run would choose; the whole photo (width, height) where it finds none."""
    index = choose(found, (CLASS_NAME,), conf).index
    if index is None:
        return 0.0, 0.0, float(size[0]), float(size[1])
    left, top, right, bottom = (float(edge) for edge in found.xyxy[index])
    return left, top, right, bottom


def covered(box: Box, truth: Box, size: tuple[int, int]) -> float:
    """Share of the truth inside the box enlarged 1.2× (cut to the photo, which holds the truth anyway)."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half_width, half_height = CROP_SCALE * (box[2] - box[0]) / 2, CROP_SCALE * (box[3] - box[1]) / 2
    crop = (
        max(0.0, x - half_width),
        max(0.0, y - half_height),
        min(float(size[0]), x + half_width),
        min(float(size[1]), y + half_height),
    )
    return float(inside_share(truth, np.array([crop]))[0])


def found_of(truths: Sequence[Box], found: Detections, conf: float) -> int:
    """How many of the true boxes a box that reaches conf agrees with (IoU ≥ 0.5)."""
    boxes = found.xyxy[found.scores >= np.float32(conf)]
    return sum(bool((iou(truth, boxes) >= RIGHT_IOU).any()) for truth in truths)


# ---------------------------------------------------------------- all photos


@dataclass(frozen=True, eq=False)
class Measured:
    """One detector's answers, measured photo by photo; N photos in the order of `photos`.

    Attributes:
        ious: (N,) IoU of the chosen box with the truth; 0 without an animal.
        coverage: (N,) see `covered`; 0 without an animal.
        presence: (N,) how sure the detector is that there is an animal.
        passed: (N,) a box reaches conf.
        further, further_found: (N,) animals besides the largest one that have a box, and those found.
        suspicion: (N,) as the audit would have it in a run of these photos without labels.
        surest, surest_right: (N,) score of the surest box (NaN without boxes); it agrees with an animal.
    """

    photos: Sequence[LabelledPhoto]
    ious: Floats
    coverage: Floats
    presence: Floats
    passed: Bools
    further: Floats
    further_found: Floats
    suspicion: Floats
    surest: Floats
    surest_right: Bools

    @cached_property
    def animal(self) -> Bools:
        """(N,) True where there is an animal."""
        return np.array([photo.box is not None for photo in self.photos])


def measure(photos: Sequence[LabelledPhoto], predictions: Sequence[Prediction]) -> Measured:
    """Compare what was found with the truth.

    Args:
        predictions: one for each photo.
    """
    ious, coverage, surest, surest_right = [], [], [], []
    for photo, said in zip(photos, predictions, strict=True):
        box = chosen_box(said.found, said.conf, photo.size)
        truths = np.array([*([photo.box] if photo.box else []), *photo.further]).reshape(-1, 4)
        ious.append(0.0 if photo.box is None else float(iou(photo.box, [box])[0]))
        coverage.append(0.0 if photo.box is None else covered(box, photo.box, photo.size))
        best = int(said.found.scores.argmax()) if len(said.found) else None
        surest.append(np.nan if best is None else said.found.score(best))
        surest_right.append(
            best is not None and bool((iou(said.found.xyxy[best], truths) >= RIGHT_IOU).any())
        )
    return Measured(
        photos=photos,
        ious=np.array(ious),
        coverage=np.array(coverage),
        presence=np.array([float(said.found.presence or 0.0) for said in predictions]),
        passed=np.array([best_score(said.found) >= np.float32(said.conf) for said in predictions]),
        further=np.array([float(len(photo.further)) for photo in photos]),
        further_found=np.array(
            [
                float(found_of(photo.further, said.found, said.conf))
                for photo, said in zip(photos, predictions, strict=True)
            ]
        ),
        suspicion=suspicion_of(photos, predictions),
        surest=np.array(surest),
        surest_right=np.array(surest_right, bool),
    )


def best_score(found: Detections) -> float:
    """The highest score of a photo, 0 without boxes."""
    return float(found.scores.max(initial=0.0))


def suspicion_of(photos: Sequence[LabelledPhoto], predictions: Sequence[Prediction]) -> Floats:
    """(N,) what audit.csv would say if these photos were a run; photos of one conf are one run."""
    suspicion = np.zeros(len(photos))
    confs = np.array([said.conf for said in predictions])
    for conf in np.unique(confs):
        here = np.flatnonzero(confs == conf).tolist()
        config = CropConfig(model="lite", conf=float(conf))
        records = [record_of(photos[i].key, predictions[i].found, photos[i].size, config) for i in here]
        suspicion[here] = doubts_of_all([(record, ()) for record in records], config).suspicion
    return suspicion


# ---------------------------------------------------------------- figures


class Figure(NamedTuple):
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return it as ``0.73 [0.70, 0.76]``; a dash where there is nothing to measure."""
        if np.isnan(self.value):
            return "–"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def draws_of(sources: Sequence[str], draws: int = DRAWS, seed: int = 0) -> Floats:
    """(draws, N) how often each photo counts in each draw of as many sources as there are."""
    names, place = np.unique(np.array(sources), return_inverse=True)
    counts = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), draws)
    return np.asarray(counts[:, place], np.float64)


def figure(statistic: Statistic, weights: Floats) -> Figure:
    """The statistic of all photos once each, and its interval over the draws that have such photos."""
    value = float(statistic(np.ones((1, weights.shape[1])))[0])
    drawn = statistic(weights)
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Figure(value, np.nan, np.nan)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figure(value, float(low), float(high))


def mean_over(values: ArrayLike, mask: Bools) -> Statistic:
    """The mean of values (N,) over the photos of the mask."""
    return ratio(np.where(mask, np.asarray(values, np.float64), 0.0), mask)


def ratio(above: ArrayLike, below: ArrayLike) -> Statistic:
    """The sum of `above` (N,) by the sum of `below` (N,)."""
    numerator, denominator = np.asarray(above, np.float64), np.asarray(below, np.float64)

    def statistic(weights: Floats) -> Floats:
        return _divide(weights @ numerator, weights @ denominator)

    return statistic


def auroc_of(values: Floats, positive: Bools, negative: Bools) -> Statistic:
    """The share of pairs of a positive and a negative photo that are in the right order, ties half."""
    levels, place = np.unique(values, return_inverse=True)

    def statistic(weights: Floats) -> Floats:
        high, low = (_by_level(weights * mask, place, len(levels)) for mask in (positive, negative))
        below = low.cumsum(1) - low / 2  # negatives at a lower value, and half of those at the same one
        return _divide((high * below).sum(1), high.sum(1) * low.sum(1))

    return statistic


def at_reached(values: Floats, positive: Bools, counted: Bools, reached: float = REACHED) -> Statistic:
    """The share of the counted photos at or above the highest value that so many of the positives reach."""
    levels, place = np.unique(values, return_inverse=True)

    def statistic(weights: Floats) -> Floats:
        above = [
            _by_level(weights * mask, place, len(levels))[:, ::-1].cumsum(1)[:, ::-1]
            for mask in (positive, counted)
        ]
        wanted = reached * above[0][:, :1] - 1e-9
        bar = (above[0] >= wanted).sum(1) - 1  # the shares fall with the level
        return _divide(above[1][np.arange(len(bar)), bar], above[1][:, 0]) + _nan_where(above[0][:, 0] == 0)

    return statistic


def reliability(scores: Floats, right: Bools, bins: int = BINS) -> list[tuple[int, float, float]]:
    """(boxes, mean score, share of right boxes) of each bin of the score that has boxes."""
    places = np.minimum((scores * bins).astype(int), bins - 1)
    return [
        (int(here.sum()), float(scores[here].mean()), float(right[here].mean()))
        for here in (places == number for number in range(bins))
        if here.any()
    ]


def calibration_error(scores: Floats, right: Bools) -> float:
    """Mean over the boxes of |mean score − share right| of their bin (Naeini et al. 2015, section 2)."""
    rows = reliability(scores, right)
    return float(sum(n * abs(score - share) for n, score, share in rows) / max(1, len(scores)))


def auroc(positives: Floats, negatives: Floats) -> float:
    """Share of pairs in the right order, ties half."""
    values = np.concatenate([positives, negatives])
    positive = np.arange(len(values)) < len(positives)
    return float(auroc_of(values, positive, ~positive)(np.ones((1, len(values))))[0])


def _by_level(weights: Floats, place: NDArray[np.intp], levels: int) -> Floats:
    """(D, L) sums of weights (D, N) over the photos of each level."""
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(levels))
    return np.asarray(np.add.reduceat(weights[:, order], starts, axis=1))


def _divide(above: Floats, below: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(below > 0, above / below, np.nan))


def _nan_where(mask: Bools) -> Floats:
    return np.where(mask, np.nan, 0.0)
