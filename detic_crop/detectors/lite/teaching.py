"""Teaches `lite` from a few photos: looks at them once, refits the last numbers, answers as the taught one.

Fitted again are the linear map that measures a close-up (see `measure`) and the two curves that say how much
a box is to be believed (see `judgement`); the network stays. The penalty is on the distance from what was
shipped, so the fewer the lessons, the less changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from detic_crop.boxes.detections import Detections
from detic_crop.boxes.overlap import iou_of_pair
from detic_crop.detectors.devices import one_torch_thread
from detic_crop.detectors.lite.detector import LiteDetector, Seen, inside_photo
from detic_crop.detectors.lite.judgement import Judgement
from detic_crop.detectors.lite.judging import GOOD_BOX
from detic_crop.detectors.lite.measure import moments_of_close_up, solve_near
from detic_crop.detectors.lite.package import WEIGHTS_FILE, WEIGHTS_SHA256
from detic_crop.detectors.lite.taught_file import read_taught, write_taught
from detic_crop.detectors.lite.views import (
    Box,
    Pixels,
    Window,
    as_tensor,
    close_up,
    jittered,
    window_around,
)
from detic_crop.detectors.lite.weights import (
    FILE,
    SHIPPED,
    SHIPPED_SHA256,
    LiteWeights,
    load_network,
    read_weights,
)
from detic_crop.errors import WeightsError

STRENGTHS = (0.0, 0.1, 0.3, 1.0, 3.0)
"""How much the lessons count against what was shipped; 0 is the shipped detector."""

_BASE = {WEIGHTS_FILE: WEIGHTS_SHA256, FILE: SHIPPED_SHA256}
_SHIPPED_PHOTOS = 20.0
"""Penalty of strength 1 on measuring, per unit of variance of a feature, in photos."""
_SHIPPED_BOXES = 20.0
"""Penalty of strength 1 on believing, per unit of variance of a feature, in boxes."""
_LEAST_OF_A_KIND = 3
"""Right and wrong boxes from which it is fitted how much to believe."""
_WINDOWS = 4
"""Close-ups per lesson, jittered as the first look's boxes are off; every second one is mirrored."""

Matrix = NDArray[np.float64]
Heads = LiteWeights


@dataclass(frozen=True, slots=True, eq=False)
class CloseUp:
    """What the network saw of one close-up.

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
        seen: what the network saw of each animal, likeliest first, its features in float16.
        box: around the animal, in pixels of the photo; None: there is none.
        evidence: (N, 9) what spoke for each box that was found, the likeliest first; see
            `judgement.FEATURES`.
        right: (N,) whether that box is the animal's.
        close_ups: windows around the animal.
    """

    seen: tuple[Seen, ...]
    box: Box | None
    evidence: Matrix
    right: NDArray[np.bool_]
    close_ups: tuple[CloseUp, ...]


class Pupil:
    """A `lite` that can be taught.

    Args:
        file: a whole network's weights to begin with, as training writes them; None: the shipped ones.
        device: device of the network.
    """

    def __init__(self, file: Path | None = None, device: str = "cpu") -> None:
        self._shipped = read_weights(SHIPPED if file is None else file)
        self._network = load_network(self._shipped, device)
        self._device = device
        self._sums: tuple[list[Lesson], Matrix | None] = ([], None)

    def look_at(self, image: Pixels, box: Box | None, seed: int) -> Lesson:
        """Return what one photo teaches.

        Args:
            image: (H, W, 3) uint8 BGR.
            box: around the animal, in pixels; None: there is no animal.
            seed: of the windows that are shown.
        """
        judgement = self._shipped.judgement
        with one_torch_thread():
            detector = self.detector(self._shipped)
            pairs = [(detector.measure(seen), seen) for seen in detector.see(image)]
            pairs.sort(key=lambda pair: -judgement.score(pair[0].evidence))
            close_ups = () if box is None else tuple(self._close_ups(image, box, seed))
        return Lesson(
            tuple(_halved_features(seen) for _, seen in pairs),
            box,
            np.stack([found.evidence.array() for found, _ in pairs]),
            np.array([box is not None and iou_of_pair(found.box, box) >= GOOD_BOX for found, _ in pairs]),
            close_ups,
        )

    def _close_ups(self, image: Pixels, box: Box, seed: int) -> list[CloseUp]:
        height, width = image.shape[:2]
        rng = np.random.default_rng(seed)
        found = []
        for index in range(_WINDOWS):
            guess = inside_photo(jittered(np.array(box), width, height, rng), width, height)
            window = window_around(guess, width, height)
            mirrored = index % 2 == 1
            picture = close_up(image, window)[None]
            pixels = as_tensor(picture[:, :, ::-1] if mirrored else picture, self._device)
            with torch.inference_mode():
                fine, coarse = self._network.published(self._network.below(pixels))
            found.append(CloseUp(guess, window, _halved(fine[0]), _halved(coarse[0]), mirrored))
        return found

    def fit(self, lessons: Sequence[Lesson], strength: float) -> Heads:
        """Return weights fitted to lessons; the same lessons in the same order give the same weights.

        Args:
            lessons: what was seen.
            strength: how much they count against what was shipped; 0 gives that.
        """
        shipped = self._shipped
        if strength <= 0 or not lessons:
            return shipped
        sums = self._sums_of(lessons)
        first = [lesson.evidence[:1] for lesson in lessons]
        animal = np.array([lesson.box is not None for lesson in lessons])
        judgement = Judgement(
            _refitted_curve(
                shipped.judgement.box,
                np.concatenate([lesson.evidence for lesson in lessons]),
                np.concatenate([lesson.right for lesson in lessons]),
                strength,
            ),
            _refitted_curve(shipped.judgement.presence, np.concatenate(first), animal, strength),
        )
        measure = (
            shipped.measure if sums is None else solve_near(sums, shipped.measure, _SHIPPED_PHOTOS / strength)
        )
        return replace(shipped, measure=measure, judgement=judgement, sha256="")

    def _sums_of(self, lessons: Sequence[Lesson]) -> Matrix | None:
        """Return the moments of all windows; those of the last lessons are kept, for another strength."""
        # The lessons themselves are kept, since the identity of one that is gone is given to another.
        if self._sums[0] != list(lessons):  # `Lesson` compares by identity
            total: Matrix | None = None
            for box, seen in ((each.box, seen) for each in lessons for seen in each.close_ups):
                assert box is not None  # there are no close-ups of nothing
                sums = _moments(box, seen) / _WINDOWS
                total = sums if total is None else total + sums
            self._sums = list(lessons), total
        return self._sums[1]

    def detector(self, heads: Heads) -> LiteDetector:
        """Return a detector with these weights."""
        return LiteDetector(self._network, heads, self._device)

    def answer(self, lesson: Lesson, heads: Heads) -> Detections:
        """Return what the detector with these weights says of a photo, in pixels of the photo.

        From what the network saw when it looked at the photo, up to the rounding to float16.
        """
        with one_torch_thread():
            return self.detector(heads).answer([_restored(seen) for seen in lesson.seen])

    def save(self, heads: Heads, path: Path, about: Mapping[str, str]) -> str:
        """Write weights as a file for ``--model lite:FILE``; return its SHA-256.

        Args:
            heads: from `fit`.
            path: where the file goes.
            about: what is to be known of them, for people.

        Raises:
            OutputError: it cannot be written.
        """
        return write_taught(path, _numbers_of(heads), about, _BASE)


def _numbers_of(heads: Heads) -> dict[str, NDArray[Any]]:
    """Return what is taught of the weights, by the names in the file."""
    return {
        "measure": heads.measure,
        "judgement.box": heads.judgement.box,
        "judgement.presence": heads.judgement.presence,
        "conf": np.array(heads.conf, np.float64),
    }


def load_taught(path: Path, device: str = "cpu") -> LiteDetector:
    """Return the detector with the weights that `detic-crop teach` wrote.

    Raises:
        WeightsError: see `read_taught_weights`; or the weights that were taught are missing or damaged.
    """
    weights = read_taught_weights(path)
    network = load_network(weights, device)
    return LiteDetector(network, weights, device, name=path.name, model=f"lite:{path.name}")


def read_taught_weights(path: Path) -> LiteWeights:
    """Return the shipped weights with the numbers in a file of `detic-crop teach`.

    Raises:
        WeightsError: see `taught_file.read_taught`; or a number is missing, extra, misshapen, of another
            kind, or out of range.
    """
    taught, shipped = read_taught(path, _BASE), read_weights()
    numbers = taught.numbers
    wanted = {name: (array.dtype, array.shape) for name, array in _numbers_of(shipped).items()}
    found = {name: (array.dtype, array.shape) for name, array in numbers.items()}
    finite = all(np.isfinite(array).all() for array in numbers.values())
    if found != wanted or not finite or not 0 < numbers["conf"] < 1:
        raise WeightsError(
            "damaged_weights",
            f"{path} is damaged (its numbers are not those of lite); copy it again, or teach again",
        )
    return replace(
        shipped,
        measure=numbers["measure"],
        judgement=Judgement(numbers["judgement.box"], numbers["judgement.presence"]),
        conf=float(numbers["conf"]),
        about=taught.about,
        sha256=taught.sha256,
    )


def _moments(box: Box, seen: CloseUp) -> Matrix:
    """Return the moments of one window, which weighs 1."""
    fine, coarse = (torch.from_numpy(part.astype(np.float32)) for part in (seen.fine, seen.coarse))
    return moments_of_close_up(fine, coarse, seen.guess, seen.window, box, seen.mirrored)


def _refitted_curve(
    shipped: NDArray[np.float32], evidence: Matrix, right: NDArray[np.bool_], strength: float
) -> NDArray[np.float32]:
    """Return the logistic curve through (N, F) evidence, pulled to the shipped one, by Newton's method."""
    if min(right.sum(), (~right).sum()) < _LEAST_OF_A_KIND:
        return shipped
    design = np.concatenate([evidence, np.ones((len(evidence), 1))], 1)
    before = shipped.astype(np.float64)
    spread = np.diag([*(evidence.var(0) + 1e-9), 1.0]) * _SHIPPED_BOXES / strength
    curve = before.copy()
    for _ in range(50):
        share = 1 / (1 + np.exp(-(design @ curve).clip(-30, 30)))
        hessian = (design * (share * (1 - share))[:, None]).T @ design + spread
        curve += np.linalg.solve(hessian, design.T @ (right - share) - spread @ (curve - before)).clip(-1, 1)
    return np.asarray(curve, np.float32)


def _halved(features: torch.Tensor) -> NDArray[np.float16]:
    return np.asarray(features.cpu().numpy(), np.float16)


def _halved_features(seen: Seen) -> Seen:
    return replace(seen, fine=seen.fine.half().cpu(), coarse=seen.coarse.half().cpu())


def _restored(seen: Seen) -> Seen:
    return replace(seen, fine=seen.fine.float(), coarse=seen.coarse.float())
