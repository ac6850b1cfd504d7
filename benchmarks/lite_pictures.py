"""Training pictures for `lite`: photos zoomed, coloured, joined, and animals put on other seas.

A picture is a window of a photo at the size that the network sees, with the boxes of the animals in it. Half
of the windows are an overview of the photo, half a close-up around a box as the overview might have drawn
it, since the same network looks at both. Everything is drawn from the generator that is given: same seed,
same pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.labelled_photos import LabelledPhoto
from detic_crop.detectors.lite.views import Pixels, jittered, window_around

LONGEST = 1600  # px of a photo that are kept in memory
SHAPES = ((352, 352), (416, 288), (288, 416), (384, 320), (448, 256))  # width, height of a batch's pictures
SHAPE_SHARES = (0.28, 0.34, 0.1, 0.18, 0.1)
POSITIVES = 0.62  # share of photos with an animal, before any is put into another
MOSAICS = 0.12
PASTED = 0.35  # share of photos without an animal that get one
PASTED_TOO = 0.12  # share of overviews with an animal that get another
LEAST_SHOWN = 0.4  # share of an animal in the window that is still to be found
LEAST_SEEN = 0.03  # below this it may be forgotten; between the two nothing is asked
CUT_SIDE = 160  # px, long side of the picture that an animal is cut out of
LEAST_CUT = 0.15  # share of the box that a cut-out animal fills

Rng = np.random.Generator
Edges = NDArray[np.float64]  # (4,) left, top, right, bottom


@dataclass(frozen=True)
class Prepared:
    """A photo in memory.

    Attributes:
        levels: (H, W, 3) BGR pictures of it, each half as wide and high as the one before.
        scale: pixels of the first level in a pixel of the photo.
        mask: (h, w) uint8, 1 on the animal, of the box; None if colours do not tell.
    """

    photo: LabelledPhoto
    levels: Sequence[Pixels]
    scale: float
    mask: NDArray[np.uint8] | None

    @property
    def boxes(self) -> list[Edges]:
        """Boxes of all animals, the largest first."""
        first = [self.photo.box] if self.photo.box else []
        return [np.array(box) for box in (*first, *self.photo.further)]

    @property
    def all_known(self) -> bool:
        """False if there are animals that nobody has boxed."""
        return not self.photo.several or bool(self.photo.further or self.photo.ignored)


@dataclass
class Picture:
    """What the network is shown, and what it is to answer.

    Attributes:
        pixels: (H, W, 3) BGR.
        boxes: animals to find, pixels of the picture.
        ignored: regions where any answer is right.
        all_known: False: outside the boxes any answer is right.
    """

    pixels: Pixels
    boxes: list[Edges] = field(default_factory=list)
    ignored: list[Edges] = field(default_factory=list)
    all_known: bool = True

    @property
    def present(self) -> bool | None:
        """Whether there is an animal; None where that is not known."""
        if self.boxes:
            return True
        return None if self.ignored or not self.all_known else False


def prepare(photo: LabelledPhoto) -> Prepared:
    """Read a photo and cut its animal out."""
    pixels = photo.pixels()
    scale = min(1.0, LONGEST / max(pixels.shape))
    if scale < 1:
        size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    levels = [pixels]
    while max(levels[-1].shape) > 500:
        half = max(1, levels[-1].shape[1] // 2), max(1, levels[-1].shape[0] // 2)
        levels.append(np.asarray(cv2.resize(levels[-1], half, interpolation=cv2.INTER_AREA), np.uint8))
    mask = None if photo.box is None else cut_out(pixels, np.array(photo.box) * scale)
    return Prepared(photo, levels, scale, mask)


def cut_out(pixels: Pixels, box: Edges) -> NDArray[np.uint8] | None:
    """Return 1 on the animal in a box, by GrabCut (Rother et al. 2004); None if it is hardly to be seen."""
    margin = (box[2:] - box[:2]) / 4
    left, top = np.maximum(box[:2] - margin, 0).astype(int)
    right, bottom = np.minimum(box[2:] + margin, (pixels.shape[1], pixels.shape[0])).astype(int)
    scale = CUT_SIDE / max(right - left, bottom - top)
    size = max(8, int((right - left) * scale)), max(8, int((bottom - top) * scale))
    small = cv2.resize(pixels[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
    x0, y0, x1, y1 = ((box - (left, top, left, top)) * scale).round().astype(int)
    mask = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    mask[y0:y1, x0:x1] = cv2.GC_PR_FGD
    if not (mask == cv2.GC_BGD).any():  # the box is the photo
        return None
    cv2.setRNGSeed(1)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, mask, (0, 0, 0, 0), *models, 4, cv2.GC_INIT_WITH_MASK)
    animal = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)[y0:y1, x0:x1]
    return animal if animal.size and animal.mean() >= LEAST_CUT else None


class Pictures:
    """Draws training pictures.

    Photos of a source that has many are drawn less often: in proportion to one over the root of their number.

    Args:
        photos: with and without animals.
    """

    def __init__(self, photos: Sequence[Prepared]) -> None:
        self._with = [photo for photo in photos if photo.photo.box is not None]
        self._without = [photo for photo in photos if photo.photo.box is None]
        self._weights = {id(group): _weights(group) for group in (self._with, self._without)}

    def batch(self, count: int, rng: Rng) -> list[Picture]:
        """Return so many pictures of one size."""
        width, height = SHAPES[rng.choice(len(SHAPES), p=SHAPE_SHARES)]
        return [self.draw(width, height, rng) for _ in range(count)]

    def draw(self, width: int, height: int, rng: Rng) -> Picture:
        """Return one picture."""
        if rng.random() < MOSAICS:
            return self._mosaic(width, height, rng)
        photo, close_up = self._photo(rng), rng.random() < 0.5
        picture = windowed(photo, width, height, close_up, rng)
        has_animal = photo.photo.box is not None
        if rng.random() < (0.0 if has_animal and close_up else PASTED_TOO if has_animal else PASTED):
            for _ in range(1 + (rng.random() < 0.3) + (rng.random() < 0.15)):
                paste(picture, self._of(self._with, rng), rng)
        picture.pixels = coloured(picture.pixels, rng)
        return picture

    def _mosaic(self, width: int, height: int, rng: Rng) -> Picture:
        """Four pictures in one: several animals, small ones, and edges that mean nothing."""
        x, y = int(width * rng.uniform(0.35, 0.65)), int(height * rng.uniform(0.35, 0.65))
        joined = Picture(np.zeros((height, width, 3), np.uint8))
        for left, top, right, bottom in (
            (0, 0, x, y),
            (x, 0, width, y),
            (0, y, x, height),
            (x, y, width, height),
        ):
            part = windowed(self._photo(rng), right - left, bottom - top, rng.random() < 0.3, rng)
            joined.pixels[top:bottom, left:right] = coloured(part.pixels, rng)
            shift = np.array([left, top, left, top], float)
            joined.boxes += [box + shift for box in part.boxes]
            joined.ignored += [box + shift for box in part.ignored]
            if not part.all_known:
                joined.ignored.append(np.array([left, top, right, bottom], float))
        return joined

    def _photo(self, rng: Rng) -> Prepared:
        return self._of(self._with if rng.random() < POSITIVES else self._without, rng)

    def _of(self, group: list[Prepared], rng: Rng) -> Prepared:
        return group[rng.choice(len(group), p=self._weights[id(group)])]


def windowed(photo: Prepared, width: int, height: int, close_up: bool, rng: Rng) -> Picture:
    """Return a window of a photo, perhaps mirrored, without its colours changed."""
    aspect = width / height
    window = _close_up_window(photo, aspect, rng) if close_up else _overview_window(photo, aspect, rng)
    picture = Picture(_warped(photo, window, width, height, _border(rng)), all_known=photo.all_known)
    for box in photo.boxes:
        shown, share = _within(box, window, width, height)
        if share >= LEAST_SHOWN and shown[2] - shown[0] > 6 and shown[3] - shown[1] > 4:
            picture.boxes.append(shown)
        elif share > LEAST_SEEN:
            picture.ignored.append(shown)
    for region in photo.photo.ignored:
        shown, share = _within(np.array(region), window, width, height)
        if share > 0:
            picture.ignored.append(shown)
    if rng.random() < 0.5:
        _mirror(picture, axis=0)
    if photo.photo.kind == "aerial" and rng.random() < 0.4:
        _mirror(picture, axis=1)
    return picture


def paste(picture: Picture, donor: Prepared, rng: Rng) -> None:
    """Put the animal of another photo into the picture, partly in the light of its new sea."""
    if donor.mask is None or donor.photo.box is None:
        return
    box = np.array(donor.photo.box)
    high, wide = picture.pixels.shape[:2]
    size = (box[2:] - box[:2]) / (box[2] - box[0]) * wide * np.exp(rng.uniform(np.log(0.1), np.log(0.6)))
    size *= min(1.0, 0.8 * high / size[1])
    width, height = size.astype(int)
    if width < 12 or height < 8:
        return
    x, y = int(rng.integers(0, max(1, wide - width))), int(rng.integers(0, max(1, high - height)))
    place = np.array([x, y, x + width, y + height], float)
    if any(_hides(place, other) for other in picture.boxes):
        return
    animal = _warped(donor, box, width, height, None).astype(np.float32)
    weight = cv2.resize(donor.mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        animal, weight = animal[:, ::-1], weight[:, ::-1]
    weight = cv2.GaussianBlur(np.pad(weight, 2), (0, 0), 1.2)[2:-2, 2:-2]
    ys, xs = np.nonzero(weight > 0.5)
    if len(ys) < 40:
        return
    under = picture.pixels[y : y + height, x : x + width]
    light = under.reshape(-1, 3).mean(0) - animal[ys, xs].mean(0)
    blend = under * (1 - weight[..., None]) + (animal + rng.uniform(0, 0.5) * light) * weight[..., None]
    picture.pixels[y : y + height, x : x + width] = blend.clip(0, 255).astype(np.uint8)
    picture.boxes.append(np.array([x + xs.min(), y + ys.min(), x + xs.max() + 1, y + ys.max() + 1], float))


def coloured(pixels: Pixels, rng: Rng) -> Pixels:
    """Return the picture in another light, by another camera."""
    picture = pixels.astype(np.float32)
    grey = picture.mean(2, keepdims=True)
    if rng.random() < 0.12:
        picture = np.repeat(grey, 3, 2)
    else:
        picture = grey + (picture - grey) * np.exp(rng.normal(0, 0.3))
        picture *= np.exp(rng.normal(0, 0.08, 3)).astype(np.float32)
    mean = picture.mean()
    picture = (mean + (picture - mean) * np.exp(rng.normal(0, 0.2))) * np.exp(rng.normal(0, 0.2))
    picture = picture.clip(0, 255)
    if rng.random() < 0.4:
        picture = 255 * (picture / 255) ** np.exp(rng.normal(0, 0.25))
    if rng.random() < 0.15:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 1.6))
    if rng.random() < 0.2:
        picture = picture + rng.normal(0, rng.uniform(2, 9), picture.shape)
    result = np.asarray(picture.clip(0, 255), np.uint8)
    if rng.random() < 0.2:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 80))]
        result = np.asarray(
            cv2.imdecode(cv2.imencode(".jpg", result, quality)[1], cv2.IMREAD_COLOR), np.uint8
        )
    return result


def _close_up_window(photo: Prepared, aspect: float, rng: Rng) -> Edges:
    width, height = photo.photo.size
    if photo.boxes:
        box = photo.boxes[0 if rng.random() < 0.5 else rng.integers(len(photo.boxes))]
        guess = jittered(box, width, height, rng)
    else:
        side = np.exp(rng.uniform(np.log(0.08), np.log(0.6))) * width
        sides = np.array([side, side / np.exp(rng.normal(0.3, 0.4))])
        centre = rng.uniform(0, 1, 2) * (width, height)
        left, top = np.maximum(centre - sides / 2, 0).tolist()
        right, bottom = np.minimum(centre + sides / 2, (width, height)).tolist()
        guess = left, top, max(right, left + 8), max(bottom, top + 8)
    window = _of_aspect(np.array(window_around(guess, width, height), float), aspect, 0.1, rng)
    for low, high, side in ((0, 2, width), (1, 3, height)):  # inside the photo where it fits
        if window[high] - window[low] <= side:
            window[[low, high]] += max(0.0, -window[low]) - max(0.0, window[high] - side)
    return window


def _overview_window(photo: Prepared, aspect: float, rng: Rng) -> Edges:
    width, height = photo.photo.size
    whole = _of_aspect(np.array([0, 0, width, height], float), aspect, 0.15, rng)
    sides = whole[2:] - whole[:2]
    zoom = np.exp(rng.normal(-0.12, 0.28)) if rng.random() < 0.75 else rng.uniform(0.3, 0.7)
    low, high = np.zeros(2), np.array([width, height]) - sides * zoom
    if photo.photo.box is not None and rng.random() < 0.85:  # with the whole animal
        box = np.array(photo.photo.box)
        zoom = max(zoom, float((1.02 * (box[2:] - box[:2]) / sides).max()))
        low, high = box[2:] - sides * zoom, box[:2]
    low, high = np.minimum(low, high), np.maximum(low, high)
    room = np.array([width, height]) - sides * zoom  # inside the photo, or the photo inside it
    inner = np.maximum(low, np.minimum(room, 0)), np.minimum(high, np.maximum(room, 0))
    fits = inner[0] <= inner[1]
    corner = rng.uniform(np.where(fits, inner[0], low), np.where(fits, inner[1], high))
    return np.concatenate([corner, corner + sides * zoom])


def _of_aspect(window: Edges, aspect: float, spread: float, rng: Rng) -> Edges:
    """Return the window grown to about this aspect."""
    sides, centre = window[2:] - window[:2], (window[:2] + window[2:]) / 2
    aspect *= np.exp(rng.normal(0, spread))
    sides = np.array([max(sides[0], sides[1] * aspect), max(sides[1], sides[0] / aspect)])
    return np.concatenate([centre - sides / 2, centre + sides / 2])


def _border(rng: Rng) -> tuple[int, int, int] | None:
    """Return the colour of what is not in the photo; None repeats its edge."""
    if rng.random() < 0.5:
        return None
    return (0, 0, 0) if rng.random() < 0.4 else tuple(rng.integers(0, 255, 3).tolist())


def _warped(
    photo: Prepared, window: Edges, width: int, height: int, border: tuple[int, int, int] | None
) -> Pixels:
    """Return a window at another size, from the level that has few more pixels than that."""
    level, step = 0, (window[2] - window[0]) / width * photo.scale
    while level + 1 < len(photo.levels) and step > 1.7:
        level, step = level + 1, step / 2
    source = photo.levels[level]
    scale = np.array([source.shape[1] / photo.photo.size[0], source.shape[0] / photo.photo.size[1]])
    x_step, y_step = (window[2:] - window[:2]) * scale / (width, height)
    x, y = window[:2] * scale + (x_step / 2 - 0.5, y_step / 2 - 0.5)
    mode = cv2.BORDER_REPLICATE if border is None else cv2.BORDER_CONSTANT
    return np.asarray(
        cv2.warpAffine(
            source,
            np.array([[x_step, 0, x], [0, y_step, y]]),
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=mode,
            borderValue=border or (0, 0, 0),
        ),
        np.uint8,
    )


def _within(box: Edges, window: Edges, width: int, height: int) -> tuple[Edges, float]:
    """Return a box in pixels of the picture, cut to it, and the share that is left of it."""
    scale = np.tile((width, height) / (window[2:] - window[:2]), 2)
    whole = (box - np.tile(window[:2], 2)) * scale
    shown = whole.clip(0, (width, height, width, height))
    areas = [float(np.prod(edges[2:] - edges[:2])) for edges in (shown, whole)]
    return shown, areas[0] / areas[1]


def _mirror(picture: Picture, axis: int) -> None:
    picture.pixels = np.ascontiguousarray(np.flip(picture.pixels, 1 - axis))
    side = picture.pixels.shape[1 - axis]
    for boxes in (picture.boxes, picture.ignored):
        for box in boxes:
            box[[axis, axis + 2]] = side - box[[axis + 2, axis]]


def _hides(place: Edges, other: Edges) -> bool:
    low, high = np.maximum(place[:2], other[:2]), np.minimum(place[2:], other[2:])
    shared = float(np.prod((high - low).clip(0)))
    return shared > 0.2 * min(float(np.prod(box[2:] - box[:2])) for box in (place, other))


def _weights(group: Sequence[Prepared]) -> NDArray[np.float64]:
    counts = Counter(photo.photo.source for photo in group)
    weights = np.array([counts[photo.photo.source] ** -0.5 for photo in group])
    return np.asarray(weights / weights.sum())
