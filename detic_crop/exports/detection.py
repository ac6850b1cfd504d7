"""What exports of boxes have in common: classes, boxes as they are written, names, and parts of a split."""

from __future__ import annotations

import importlib.metadata
import os
import re
from abc import ABC
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import ClassVar

from detic_crop.boxes.crop_size import Sides
from detic_crop.boxes.geometry import Box, clip
from detic_crop.errors import UsageError
from detic_crop.exports.base import Export, Of
from detic_crop.exports.job import Job
from detic_crop.exports.names import NameOf, UniqueNames, with_extension_of
from detic_crop.exports.picture import UNNAMED_CLASS, ExportedBox, Picture
from detic_crop.wording import counted, either, typed

PICTURES = "images"
"""Folder of the pictures in an export."""

_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_LONGEST_EXTENSION = len(".jpeg")
_LEAST_SIDE = 0.01  # pixels; no smaller box is kept


class BoxExport(Export, ABC):
    """An export whose point is boxes; photos without any belong into it."""

    of: ClassVar[tuple[Of, ...]] = ("photos", "crops")
    takes = frozenset({"boxes", "pictures", "label"})
    negatives = True
    neighbours = True

    def classes(self, job: Job) -> Mapping[str, int]:
        """Return class → place, in the order of the names; there is always one.

        Notes what the classes are, and what has to be known of boxes that nobody has confirmed.

        Raises:
            UsageError: a label is asked for boxes of which most are not what it names.
        """
        if job.label_column is not None and job.boxes == "all":
            raise UsageError(
                "label_of_candidates",
                f"--label {job.asked.label} names the class of the chosen boxes, and --boxes all has others, "
                "too; leave one of them out",
            )
        counts = job.class_names
        shown = ", ".join(f"{name} {count:,}" for name, count in Counter(counts).most_common(8))
        more = ", …" * (len(counts) > 8)
        job.notes.append(f"boxes, by class: {shown or 'none'}{more}")
        if job.label_column is not None:
            self._note_unlabelled(job, job.label_column)
        return {name: place for place, name in enumerate(counts or (UNNAMED_CLASS,))}

    def _note_unlabelled(self, job: Job, column: str) -> None:
        unlabelled = sum(bool(picture.boxes) and not job.label(picture, column) for picture in job.pictures())
        if unlabelled:
            job.notes.append(
                f"{counted(unlabelled, job.of[:-1])} with boxes {either(unlabelled, 'has', 'have')} no "
                f"{column}: there the class is the detector's"
            )


class TrainingExport(BoxExport, ABC):
    """An export that a detector is trained on."""

    def note_unconfirmed(self, job: Job) -> None:
        """Note what a person should know who trains on boxes that nobody has looked at."""
        if job.boxes == "all":
            job.notes.append(
                "--boxes all has every box that was kept, with its score, and is not for training; a run on "
                f"these boxes chooses as this one did with {_policy(job)}"
            )
        elif job.boxes == "chosen":
            job.notes.append(
                "for training a detector pass --boxes reviewed: nobody has confirmed the other boxes, nor "
                "that photos without a box show no animal"
            )


@cache
def program() -> str:
    """Return name and version of this program, for files that say where they come from."""
    return f"detic-crop {importlib.metadata.version('detic-crop')}"


def writable(text: str) -> str:
    """Return a text with a replacement for each character that XML 1.0 has no way to write."""
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _policy(job: Job) -> str:
    """Return the options with which a run chooses among all boxes as the run of this folder did."""
    conf, classes = job.config.conf, job.config.classes
    named = () if classes is None else (f"--classes {typed(classes)}",)
    return " ".join([f"--conf {0 if conf is None else conf:g}", *named])


# ------------------------------------------------------------ boxes


def edges_of(box: ExportedBox, sides: Sides, decimals: int = 2) -> Box:
    """Return a box as it is written: rounded, inside its picture, and not empty.

    Args:
        box: the box, in pixels.
        sides: width and height of the picture.
        decimals: of a pixel; two are what is kept of a detector's box.

    Returns:
        Left, top, right, bottom, in pixels.
    """
    left, top, right, bottom = clip([round(edge, decimals) for edge in box.xyxy], sides)
    if right - left < _LEAST_SIDE:
        left, right = _widened(left, sides[0])
    if bottom - top < _LEAST_SIDE:
        top, bottom = _widened(top, sides[1])
    return left, top, right, bottom


def _widened(low: float, side: int) -> tuple[float, float]:
    low = min(low, side - _LEAST_SIDE)
    return low, low + _LEAST_SIDE


# ------------------------------------------------------------ names


def names_with_extension(job: Job, accepted: Sequence[str]) -> NameOf:
    """Return a name for each picture, which ends as the file that is stored under it; without files its own.

    Args:
        job: the export.
        accepted: formats that need not be encoded anew.
    """

    if not job.has_files:
        return lambda picture: picture.name
    return UniqueNames(job.pictures(), lambda picture: with_extension_of(picture.name, accepted))


def stems(job: Job, accepted: Sequence[str]) -> NameOf:
    """Return a name without an extension for each picture, for formats that join picture and labels by it.

    It is the picture's own, without the extension. What is encoded anew keeps its extension before the new
    one, and so does the second of ``a.jpg`` and ``a.png``: a label file ``a.png.txt`` tells that it is of
    ``a.png``.

    Args:
        job: the export.
        accepted: formats that need not be encoded anew.
    """

    def plain(picture: Picture) -> str:
        if job.has_files and with_extension_of(picture.name, accepted) != picture.name:
            return picture.name
        return os.path.splitext(picture.name)[0]

    first = UniqueNames(job.pictures(), plain, _numbered, _LONGEST_EXTENSION)
    if not first.changed:
        return first
    if not job.has_files:
        job.notes.append(
            f"{counted(first.changed, job.of[:-1])} would share a label file with another of the same name "
            "but for the extension; leave out --pictures none, which names them apart"
        )

    def told_apart(picture: Picture) -> str:
        return plain(picture) if first.keeps(picture) else picture.name

    return UniqueNames(job.pictures(), told_apart, _numbered, _LONGEST_EXTENSION)


def _numbered(stem: str, number: int) -> str:
    return f"{stem}-{number}"


# ------------------------------------------------------------ parts of a split


class Parts:
    """In which files of a split set a picture is: for each fold one to train on and one to validate on.

    Args:
        job: the export.

    Attributes:
        folds: numbers of the folds; none if the folder was not split.
        names: ``train_fold0``, ``val_fold0``, …, and ``test`` if individuals were held out.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        found = Counter(job.fold(picture) for picture in job.pictures()) if job.has_folds else Counter()
        self.folds = sorted(fold for fold in found if fold is not None and fold >= 0)
        self.names = [name for fold in self.folds for name in (f"train_fold{fold}", f"val_fold{fold}")]
        if -1 in found:
            self.names.append("test")
        if without := found[None]:
            job.notes.append(
                f"{counted(without, job.of[:-1])} {either(without, 'has', 'have')} no fold and "
                f"{either(without, 'is', 'are')} in none of the parts; run the `split` command again"
            )

    def of(self, picture: Picture) -> list[str]:
        """Return the names of the parts that a picture is in."""
        if not self.folds:
            return []
        fold = self._job.fold(picture)
        if fold is None:
            return []
        if fold < 0:
            return ["test"]
        return [f"val_fold{other}" if other == fold else f"train_fold{other}" for other in self.folds]
