"""Labelled photos: which there are, what is known of each, and how they are parted for cross-validation.

A set is a folder with `images/`, `boxes.csv` (image, xmin, ymin, xmax, ymax, label, kind, notes) and
`negatives/`; the set is called like its folder. The part of a file name before the first `_` is the photo's
source: a collection, a survey, a web site. Photos of one source are not independent, in whichever sets.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]  # left, top, right, bottom; pixels of the photo, max edges exclusive

FURTHER_BOXES = Path(__file__).with_name("data") / "lite_more_boxes.csv"
"""Boxes of the animals that are not the largest one: set, image, xmin, ymin, xmax, ymax, what."""

NEGATIVE = "negative"
_KINDS = {"above_water": "surface", "aquarium": "underwater"}  # names of the first set
_SET_WITH_OUTINGS = "photos"
_OUTING = re.compile(r"naukma_(?:train|val)_(IMG_49|SB\d\d-\d{4})")


@dataclass(frozen=True)
class LabelledPhoto:
    """One labelled photo.

    Attributes:
        set: name of the folder it is from.
        path: the file.
        size: width and height in pixels, upright.
        box: around the largest animal; None where there is no marine mammal.
        further: boxes of other animals; empty where nobody has drawn them.
        ignored: boxes of what may or may not count as an animal.
        source: whose collection it is.
        outing: photos of one outing are of one camera, sea and day; the source where no more is known.
        kind: surface, leap, underwater (pools, too), aerial, fluke, land or other; `NEGATIVE` without a box.
        label: species or group; empty without a box.
        several: there are other animals in the photo.
    """

    set: str
    path: Path
    size: tuple[int, int]
    box: Box | None
    source: str
    outing: str
    kind: str
    label: str = ""
    several: bool = False
    further: tuple[Box, ...] = ()
    ignored: tuple[Box, ...] = ()

    @property
    def key(self) -> str:
        """Name of the photo in predictions and folds."""
        return f"{self.set}/{self.path.name}"

    @property
    def share(self) -> float:
        """Share of the photo that the box takes; 0 without one."""
        if self.box is None:
            return 0.0
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top) / (self.size[0] * self.size[1])

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) BGR, as `cv2.imread` shows it."""
        image = cv2.imread(str(self.path))
        if image is None:
            raise SystemExit(f"cannot read {self.path}")
        return np.asarray(image, np.uint8)


def read_sets(folders: Sequence[Path], further: Path | None = FURTHER_BOXES) -> list[LabelledPhoto]:
    """Photos of all sets, one set after the other: see `read_set`.

    Args:
        folders: one for each set.
        further: table of further boxes; it may be absent, and may name sets and photos that are not there.
    """
    names = [folder.resolve().name for folder in folders]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SystemExit(f"expected sets of different names, got {twice[0]} twice; rename a folder")
    known = _further_boxes(further) if further is not None and further.exists() else {}
    return [photo for folder in folders for photo in read_set(folder, known)]


def read_set(
    folder: Path, further: Mapping[str, Sequence[tuple[Box, str]]] | None = None
) -> list[LabelledPhoto]:
    """Positives in the order of boxes.csv, then negatives by name."""
    name = folder.resolve().name
    table = pd.read_csv(folder / "boxes.csv", keep_default_na=False)
    photos = []
    for row in table.to_dict("records"):
        more = (further or {}).get(f"{name}/{row['image']}", ())
        photos.append(
            LabelledPhoto(
                set=name,
                path=folder / "images" / row["image"],
                size=_size(folder / "images" / row["image"]),
                box=_box(row),
                source=source_of(row["image"]),
                outing=outing_of(row["image"], name),
                kind=_kind(row["kind"], row["notes"]),
                label=row["label"],
                several="multi" in row["notes"],
                further=tuple(box for box, what in more if what == "animal"),
                ignored=tuple(box for box, what in more if what == "ignore"),
            )
        )
    return photos + [
        LabelledPhoto(
            name, path, _size(path), None, source_of(path.name), outing_of(path.name, name), NEGATIVE
        )
        for path in sorted((folder / "negatives").iterdir())
    ]


def source_of(name: str) -> str:
    """Whose collection a photo is from, by its file name."""
    return name.split("_")[0]


def outing_of(name: str, set_name: str = _SET_WITH_OUTINGS) -> str:
    """The smallest group that a photo is left out with.

    In the first set that is the survey's day, the small source, the class of boats, or a web picture by
    itself; in the others the source.
    """
    if set_name != _SET_WITH_OUTINGS:
        return source_of(name)
    survey = _OUTING.match(name)
    if survey:
        return survey.group(1)
    if name.startswith(("zythe", "naresh")):
        return source_of(name)
    if "_image_" in name and "caltech101_image" not in name:
        return re.sub(r"_image_\d+\.jpg$", "", name)
    return name


def folds(
    photos: Sequence[LabelledPhoto],
    k: int,
    seed: int = 0,
    group: Callable[[LabelledPhoto], str] = lambda photo: photo.source,
) -> NDArray[np.intp]:
    """(N,) number of the fold of each photo: groups stay together, folds are alike. Same input, same folds.

    Groups are dealt out one by one, the largest first (equal ones in an order drawn by the seed), each to
    the fold where the counts of positives, of negatives and of each kind stay nearest to equal parts: the sum
    over these of the squared share that the fold then has.

    Args:
        photos: in any order.
        k: number of folds, at most as many as there are groups.
        seed: of the order of equal groups.
        group: what has to stay together; by default the source, across sets.
    """
    names = [group(photo) for photo in photos]
    counted = ["animal", *sorted({photo.kind for photo in photos})]  # `NEGATIVE` is a kind
    counts: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(len(counted)))
    for name, photo in zip(names, photos, strict=True):
        counts[name] += [photo.box is not None, *(photo.kind == kind for kind in counted[1:])]
    if not 1 < k <= len(counts):
        raise ValueError(f"expected 2 to {len(counts)} folds for as many groups, got {k}")
    total = np.maximum(sum(counts.values(), np.zeros(len(counted))), 1)
    order = np.random.default_rng(seed).permutation(sorted(counts)).tolist()
    order.sort(key=lambda name: -float((counts[name] / total).sum()))  # stable: equal ones as drawn
    shares = np.zeros((k, len(counted)))
    fold_of = {}
    for name in order:
        added = counts[name] / total
        costs = ((shares + added) ** 2 - shares**2).sum(1)
        fold = int(np.argmin(costs.round(12)))
        shares[fold] += added
        fold_of[name] = fold
    return np.array([fold_of[name] for name in names], np.intp)


def _further_boxes(path: Path) -> dict[str, list[tuple[Box, str]]]:
    found: dict[str, list[tuple[Box, str]]] = defaultdict(list)
    for row in pd.read_csv(path, keep_default_na=False).to_dict("records"):
        if row["what"] not in ("animal", "ignore"):
            raise SystemExit(f"expected what = animal or ignore in {path}, got {row['what']!r}")
        found[f"{row['set']}/{row['image']}"].append((_box(row), row["what"]))
    return found


def _box(row: Mapping[object, object]) -> Box:
    left, top, right, bottom = (float(str(row[edge])) for edge in ("xmin", "ymin", "xmax", "ymax"))
    return left, top, right, bottom


def _kind(kind: str, notes: str) -> str:
    if kind == "other" and "aerial" in notes:
        return "aerial"
    if kind == "other" and "jump" in notes:
        return "leap"
    return _KINDS.get(kind, kind)


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        turned = image.getexif().get(0x0112, 1) >= 5  # EXIF orientation: lying on its side
        return (image.height, image.width) if turned else (image.width, image.height)
