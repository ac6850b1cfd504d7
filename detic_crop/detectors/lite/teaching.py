"""Teaches `lite` from a few photos: looks at them once, refits the last layers, answers as the taught one.

The two ridge heads (see `evidence`) are fitted again, with the shipped heads as the centre of the penalty in
place of zero: the fewer the lessons, the less they change. The line that turns the class margin into a
presence moves in the same way, once there are photos without an animal to teach it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from detic_crop.boxes.detections import Detections
from detic_crop.detectors.devices import one_torch_thread
from detic_crop.detectors.lite.backbone import load_network
from detic_crop.detectors.lite.detector import LiteDetector, heads_of
from detic_crop.detectors.lite.evidence import (
    Box,
    Heads,
    Pixels,
    View,
    Window,
    class_margin,
    close_up_cells,
    close_up_picture,
    look,
    overview_cells,
    overview_picture,
    place_cells,
    resize,
    window_around,
)
from detic_crop.detectors.lite.taught_file import write_taught

STRENGTHS = (0.0, 0.1, 0.3, 1.0, 3.0)
"""How much the lessons count against what was shipped; 0 is the shipped detector."""

_SHIPPED_PHOTOS = 6.0
"""Penalty of strength 1 per unit of variance of a feature, in photos: that of the shipped heads was 6.3."""
_SHIPPED_LINE = 2.0
"""Penalty on the line of presence at strength 1, in photos of each kind."""
_LEAST_EMPTY = 3
"""Photos of each kind from which the line of presence is fitted."""
_WINDOWS = 4
"""Close-ups per lesson, jittered as the overview's boxes are off; every second one is mirrored."""
_KEPT_SIDE = 1600
"""Longest side in pixels of the picture that is kept to answer from."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CloseUp:
    """What the network saw of one window, with what it shall say of it.

    Attributes:
        guess: the box that the window was laid around.
        window: the window in pixels of the photo.
        fine, coarse: (112, h, w) and (320, h/2, w/2) float16 features.
        mirrored: whether it saw the mirror image.
    """

    guess: Box
    window: Window
    fine: NDArray[np.float16]
    coarse: NDArray[np.float16]
    mirrored: bool


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What is kept of one photo, about a megabyte.

    Attributes:
        picture: the photo as a JPEG, no larger than is needed to answer.
        size: width and height of the photo, pixels.
        box: around the animal, in pixels of the photo; None: there is none.
        fine, coarse: (112, h, w) and (320, h/2, w/2) float16 features of the whole photo.
        margin: its class margin.
        close_ups: windows around the box.
    """

    picture: bytes
    size: tuple[int, int]
    box: Box | None
    fine: NDArray[np.float16]
    coarse: NDArray[np.float16]
    margin: float
    close_ups: tuple[CloseUp, ...]


class Pupil:
    """A `lite` that can be taught.

    Args:
        file: a taught file to go on from; None begins with what was shipped.
        device: device of the network.
    """

    def __init__(self, file: Path | None = None, device: str = "cpu") -> None:
        self._network = load_network(device=device)
        self._device = device
        self._shipped = heads_of(file)
        self._sums: tuple[list[int], Matrix, Matrix | None] | None = None

    def look_at(self, image: Pixels, box: Box | None, seed: int) -> Lesson:
        """Return what one photo teaches.

        Args:
            image: (H, W, 3) uint8 BGR.
            box: around the animal, in pixels; None: there is no animal.
            seed: of the windows that are shown.
        """
        height, width = image.shape[:2]
        with one_torch_thread():
            view = look(self._network, overview_picture(image))
            margin = class_margin(self._network, view)
            close_ups = () if box is None else tuple(self._close_ups(image, box, seed))
        return Lesson(_jpeg(image), (width, height), box, *_halved(view, 0), margin, close_ups)

    def _close_ups(self, image: Pixels, box: Box, seed: int) -> list[CloseUp]:
        height, width = image.shape[:2]
        rng = np.random.default_rng(seed)
        found = []
        for index in range(_WINDOWS):
            guess = jittered(box, width, height, rng)
            window = window_around(guess, width, height)
            mirrored = index % 2 == 1
            view = look(self._network, close_up_picture(image, window), mirrored=mirrored)
            found.append(CloseUp(guess, window, *_halved(view, int(mirrored)), mirrored))
        return found

    def fit(self, lessons: Sequence[Lesson], strength: float) -> Heads:
        """Return heads fitted to lessons; the same lessons in the same order give the same heads.

        Args:
            lessons: what was seen.
            strength: how much they count against what was shipped; 0 gives that.
        """
        if strength <= 0 or not lessons:
            return self._shipped
        overview, close_up = self._sums_of(lessons)
        return replace(
            self._shipped,
            overview=_refitted(self._shipped.overview, overview, strength),
            close_up=self._shipped.close_up
            if close_up is None
            else _refitted(self._shipped.close_up, close_up, strength),
            presence=_refitted_line(self._shipped.presence, lessons, strength),
        )

    def _sums_of(self, lessons: Sequence[Lesson]) -> tuple[Matrix, Matrix | None]:
        """Return the moments of both looks; those of the last lessons are kept, for another strength."""
        ids = [id(lesson) for lesson in lessons]
        if self._sums is None or self._sums[0] != ids:
            overview = sum(
                (_overview_moments(lesson) for lesson in lessons[1:]), _overview_moments(lessons[0])
            )
            windows = [(lesson.box, window) for lesson in lessons for window in lesson.close_ups]
            close_up = None
            for box, window in windows:
                moments = _close_up_moments(box, window) / _WINDOWS
                close_up = moments if close_up is None else close_up + moments
            self._sums = ids, overview, close_up
        return self._sums[1], self._sums[2]

    def detector(self, heads: Heads) -> LiteDetector:
        """Return a detector with these heads."""
        return LiteDetector(self._network, heads, self._device)

    def answer(self, lesson: Lesson, heads: Heads) -> Detections:
        """Return what the detector with these heads says of a photo, in pixels of the photo."""
        picture = cv2.imdecode(np.frombuffer(lesson.picture, np.uint8), cv2.IMREAD_COLOR)
        image = np.asarray(picture, np.uint8)
        found = self.detector(heads).detect(image)
        (width, height), (kept_height, kept_width) = lesson.size, image.shape[:2]
        x, y = width / kept_width, height / kept_height
        return replace(found, xyxy=found.xyxy * np.array([x, y, x, y], np.float32))

    def save(self, heads: Heads, path: Path, about: Mapping[str, str]) -> str:
        """Write heads as a file for ``--model lite:FILE``; return its SHA-256.

        Args:
            heads: from `fit`.
            path: where the file goes.
            about: what is to be known of them, for people.

        Raises:
            OutputError: it cannot be written.
        """
        numbers: dict[str, NDArray[Any]] = {
            "overview": heads.overview,
            "close_up": heads.close_up,
            "presence": heads.presence,
            "conf": np.array(heads.conf, np.float64),
        }
        return write_taught(path, numbers, about, LiteDetector(self._network, heads_of(None)).info.weights)


def jittered(box: Box, width: int, height: int, rng: np.random.Generator) -> Box:
    """Return the box as an overview might have drawn it, cut to the photo."""
    size = np.exp(rng.normal(0.1, 0.3))
    box_width, box_height = (
        (high - low) * size * np.exp(rng.normal(0, 0.2)) for low, high in ((box[0], box[2]), (box[1], box[3]))
    )
    x = (box[0] + box[2]) / 2 + rng.normal(0, 0.15) * box_width
    y = (box[1] + box[3]) / 2 + rng.normal(0, 0.15) * box_height
    left, right = _inside(x - box_width / 2, x + box_width / 2, width)
    top, bottom = _inside(y - box_height / 2, y + box_height / 2, height)
    return left, top, right, bottom


def inside_share(box: Box | None, window: Window, height: int, width: int) -> Matrix:
    """Return the (h, w) share of each cell of the window that lies in the box."""
    if box is None:
        return np.zeros((height, width))
    return np.outer(
        _inside_1d(box[1], box[3], window[1], window[3], height),
        _inside_1d(box[0], box[2], window[0], window[2], width),
    )


def moments(cells: Matrix, share: Matrix, weight: Matrix) -> Matrix:
    """Return the (C + 2, C + 2) weighted sum of outer products of [features, 1, target], for a ridge."""
    rows = np.concatenate([cells.reshape(len(cells), -1), np.ones((1, share.size)), share.reshape(1, -1)])
    return np.asarray((rows * weight.ravel()) @ rows.T)


def _overview_moments(lesson: Lesson) -> Matrix:
    """Return the moments of a whole photo. Inside and outside weigh half a photo each."""
    cells = _doubled(overview_cells(_view(lesson.fine, lesson.coarse)))
    share = inside_share(lesson.box, (0, 0, *lesson.size), *cells.shape[1:])
    weight = 0.5 * (1 - share) / max(float((1 - share).sum()), 1.0)
    if lesson.box is not None:
        weight += 0.5 * share / max(float(share.sum()), 1e-9)
    return moments(cells, share, weight)


def _close_up_moments(box: Box | None, seen: CloseUp) -> Matrix:
    """Return the moments of one window, which weighs 1."""
    grid = seen.fine.shape[1], seen.fine.shape[2]
    place, share = place_cells(seen.guess, seen.window, *grid), inside_share(box, seen.window, *grid)
    if seen.mirrored:
        place, share = place.flip(2), share[:, ::-1]
    cells = _doubled(close_up_cells(_view(seen.fine, seen.coarse), place))
    return moments(cells, share, np.full(grid, 1 / share.size))


def _refitted(shipped: NDArray[np.float32], sums: Matrix, strength: float) -> NDArray[np.float32]:
    """Return the ridge regression whose penalty is on the distance from the shipped weights.

    Minimises Σ (w·x − y)² + λ Σ var(x_i) (w_i − shipped_i)², over the photos of the sums.
    """
    total = sums[-2, -2]
    mean = sums[:-1, -2] / total
    variance = np.diag(sums)[:-1] / total - mean**2  # 0 for the constant
    before = shipped.astype(np.float64)
    penalty = np.diag(_SHIPPED_PHOTOS / strength * (variance + 1e-9))
    change = np.linalg.solve(sums[:-1, :-1] + penalty, sums[:-1, -1] - sums[:-1, :-1] @ before)
    return np.asarray(before + change, np.float32)


def _refitted_line(
    shipped: NDArray[np.float32], lessons: Sequence[Lesson], strength: float
) -> NDArray[np.float32]:
    """Return slope and offset of presence, pulled to the shipped ones, by Newton's method.

    Both kinds of photos weigh the same: how many of each a person has reviewed says nothing of the sea.
    """
    present = np.array([lesson.box is not None for lesson in lessons])
    if min(present.sum(), (~present).sum()) < _LEAST_EMPTY:
        return shipped
    margins = np.array([lesson.margin for lesson in lessons])
    design = np.stack([margins, np.ones_like(margins)], 1)
    weight = np.where(present, 1 / present.sum(), 1 / (~present).sum()) * min(present.sum(), (~present).sum())
    before = shipped.astype(np.float64)
    spread = np.diag([margins.var() + 1e-9, 1.0]) * _SHIPPED_LINE / strength
    line = before.copy()
    for _ in range(50):
        share = 1 / (1 + np.exp(-(design @ line).clip(-30, 30)))
        hessian = (design * (weight * share * (1 - share))[:, None]).T @ design + spread
        gradient = design.T @ (weight * (present - share)) - spread @ (line - before)
        line += np.linalg.solve(hessian, gradient).clip(-1, 1)
    return np.asarray(line, np.float32)


def _halved(view: View, index: int) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    fine, coarse = view.fine[index].cpu().numpy(), view.coarse[index].cpu().numpy()
    return fine.astype(np.float16), coarse.astype(np.float16)


def _view(fine: NDArray[np.float16], coarse: NDArray[np.float16]) -> View:
    return View(*(torch.from_numpy(part.astype(np.float32))[None] for part in (fine, coarse)))


def _doubled(cells: torch.Tensor) -> Matrix:
    return np.asarray(cells.cpu().numpy(), np.float64)


def _jpeg(image: Pixels) -> bytes:
    height, width = image.shape[:2]
    scale = _KEPT_SIDE / max(height, width)
    if scale < 1:
        image = resize(image, max(1, round(width * scale)), max(1, round(height * scale)))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return data.tobytes()


def _inside(low: float, high: float, size: int) -> tuple[float, float]:
    low = min(max(low, 0.0), size - 1.0)
    return low, min(max(high, low + 1.0), float(size))


def _inside_1d(low: float, high: float, start: int, stop: int, cells: int) -> Matrix:
    edges = np.linspace(start, stop, cells + 1)
    covered = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
    return np.asarray(covered.clip(0, None) / np.diff(edges))
