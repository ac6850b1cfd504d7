"""TFRecord files as the TPU notebooks of the Happywhale competition read them."""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.crop_size import Sides
from detic_crop.boxes.geometry import PixelBox, area_of, clip, round_out
from detic_crop.columns import as_numpy
from detic_crop.errors import UsageError
from detic_crop.exports.base import Export, Of, Pictures
from detic_crop.exports.job import FOLDER, Job
from detic_crop.exports.picture import Picture
from detic_crop.exports.target import Target
from detic_crop.exports.tf_example import Feature, crc32c, record
from detic_crop.splits.folds import UNSEEN

_COUNT = re.compile(r"-([0-9]*)\.")
"""By this the notebooks look for the number of pictures in a file's path; what it finds first counts."""

_FIFTHS = 5
"""The notebooks take every fifth file, in the order of the names, for one fold."""

_FILE_BYTES = 150_000_000
"""About so large the files become: a TPU reads large ones in one go."""

_MOST_OPEN = 64
"""Files that are open at once; macOS lets a process have 256."""

_NO_BOX = (-1, -1, -1, -1)


class TfRecord(Export):
    """Files of records with the features ``image_name``, ``image``, ``target`` and ``detic_box``."""

    of: ClassVar[tuple[Of, ...]] = ("crops", "photos")
    takes = frozenset({"files", "individual", "label", "part", "test"})
    pictures: ClassVar[Pictures] = "none"
    accepts: ClassVar[tuple[str, ...]] = ("JPEG",)

    def write(self, job: Job) -> None:
        """Write the records, dealt out so that each file has its share of each individual."""
        crc32c()  # refuses before anything is read where it is not installed
        _refuse_path(job.target)
        part = job.asked.part or "train"
        targets = _Targets(job) if part == "train" else None
        plan = _plan(job, targets)
        with _Files(job.target, plan.names) as files:
            for file, picture in zip(plan.files.tolist(), job.each("writing records"), strict=True):
                stored = job.read(picture)
                if stored is None:
                    continue
                files.write(
                    file,
                    {
                        "image_name": os.fsencode(job.spelled(picture)),
                        "image": stored.data,
                        "target": (targets.of(picture) if targets else 0,),
                        "detic_box": _box(picture, stored.sides),
                    },
                )
        if targets:
            job.target.json("individual_ids.json", targets.numbers)


def _refuse_path(target: Target) -> None:
    found = _COUNT.search(os.path.abspath(target.shown) + "/")
    if found:
        raise UsageError(
            "count_in_path",
            f"--out {target.shown}: readers take the first -NUMBER. in a path for the number of pictures in "
            f"that file, and {found[0]!r} would come before it; pass a folder whose path has no such part",
            out="out",
        )


class _Targets:
    """The number of each individual: its place among all, in the order of their names.

    Pictures without an individual are dropped.
    """

    def __init__(self, job: Job) -> None:
        column = job.label_column or job.individual_column
        if column is None:
            raise UsageError(
                "no_individual",
                "tfrecord needs an individual for each picture, and no label column is called individual_id; "
                "pass --individual COLUMN, --label=folder to take the photos' folders, or --part test",
            )
        self._job, self._column = job, column
        without = f"without {'a folder' if column == FOLDER else column}"
        job.leave_out(lambda picture: "" if job.label(picture, column) else without)
        names = {job.label(picture, column) for picture in job.pictures()}
        self.numbers = {name: number for number, name in enumerate(sorted(names))}

    def of(self, picture: Picture) -> int:
        """Return the number of a picture's individual."""
        return self.numbers[self._job.label(picture, self._column)]


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which picture goes into which file.

    Attributes:
        files: (N,) file of each picture.
        names: path of each file, without the number of pictures at its end.
    """

    files: NDArray[np.int64]
    names: list[str]


def _plan(job: Job, targets: _Targets | None) -> _Plan:
    n_folds = job.n_folds if targets else None
    if n_folds:
        job.leave_out(lambda picture: "without a fold: split again" if job.fold(picture) is None else "")
    of_individual, of_fold, bytes_of = array("q"), array("q"), array("q")
    for picture in job.pictures():
        of_individual.append(targets.of(picture) if targets else 0)
        of_fold.append((job.fold(picture) or 0) if n_folds else 0)
        bytes_of.append(picture.record.crop_bytes if picture.crop else picture.record.file_size)
    individuals, folds, sizes = map(as_numpy, (of_individual, of_fold, bytes_of))
    part = "train" if targets else "test"
    seen, unseen = np.flatnonzero(folds != UNSEEN), np.flatnonzero(folds == UNSEEN)
    if not len(seen):
        raise UsageError(
            "nothing_to_export",
            "--to tfrecord: all individuals are held out; split again with fewer --unseen",
        )
    files = np.empty(len(folds), np.int64)
    count = _file_count(job, folds[seen], int(sizes[seen].sum()), n_folds, part)
    files[seen] = dealt(individuals[seen], folds[seen], count, n_folds or 1)
    names = _names("", part, count)
    if len(unseen):
        more = min(len(unseen), 1 + int(sizes[unseen].sum()) // _FILE_BYTES)
        files[unseen] = count + dealt(individuals[unseen], np.zeros(len(unseen), np.int64), more, 1)
        names += _names("unseen/", part, more)
        job.notes.append("individuals held out by the split are in unseen/, where readers do not meet them")
    if n_folds:
        job.notes.append(f"{count} files; fold f of the split is in those whose number % {n_folds} is f")
    elif targets:
        job.notes.append(f"{count} files, each with its share of each individual: every fifth makes a fold")
    return _Plan(files, names)


def _names(folder: str, part: str, count: int) -> list[str]:
    width = len(str(count - 1))  # in the order of the names file 10 must not come before file 2
    return [f"{folder}happywhale-2022-{part}-{number:0{width}}" for number in range(count)]


def _file_count(job: Job, folds: NDArray[np.int64], size: int, n_folds: int | None, part: str) -> int:
    """Return the number of files: as asked, or so that they are neither small nor empty.

    Args:
        job: the export.
        folds: (N,) fold of each picture.
        size: bytes of all pictures.
        n_folds: number of folds; None without a split.
        part: ``train`` or ``test``.
    """
    step = n_folds or (_FIFTHS if part == "train" or len(folds) >= _FIFTHS else 1)
    least = int(np.bincount(folds, minlength=step).min()) if n_folds else len(folds) // step
    asked = job.asked.files
    if asked is not None and (asked < 1 or asked % step):
        why = f"the split has {n_folds} folds" if n_folds else "readers take every fifth file for a fold"
        below = max(step, asked // step * step)
        raise UsageError(
            "not_a_multiple",
            f"--files {asked}: expected a multiple of {step}, since {why}; pass {below} or {below + step}",
        )
    by_size = step * max(-(-_FIFTHS // step), round(size / _FILE_BYTES / step))
    count = min(by_size, step * max(1, least)) if asked is None else asked
    if count > step * least:
        fold = " of the smallest fold" if n_folds else ""
        raise UsageError(
            "empty_files",
            f"--to tfrecord: there are too few {job.of}{fold} for {count} files, and readers stop at an "
            f"empty one; {'export more photos' if count == step else f'pass --files {step * max(1, least)}'}",
        )
    return count


def dealt(
    individuals: NDArray[np.int64], folds: NDArray[np.int64], n_files: int, n_folds: int
) -> NDArray[np.int64]:
    """Deal pictures out so that no two files of a fold differ by more than one picture of any individual.

    Args:
        individuals: (N,) individual of each picture.
        folds: (N,) fold of each, from 0.
        n_files: number of files, a multiple of `n_folds`.
        n_folds: number of folds.

    Returns:
        (N,) file of each picture: file i has pictures of fold i % `n_folds` only.
    """
    order = np.lexsort((individuals, folds))
    begins = np.searchsorted(folds[order], np.arange(n_folds))
    files = np.empty(len(order), np.int64)
    ordered = folds[order]
    place = np.arange(len(order)) - begins[ordered]
    files[order] = ordered + n_folds * (place % (n_files // n_folds))
    return files


def _box(picture: Picture, sides: Sides) -> PixelBox:
    """Return the largest box, whole pixels inside the picture as it is stored; without one four times -1."""
    if not picture.boxes:
        return _NO_BOX
    largest = max(picture.boxes, key=lambda box: area_of(box.xyxy))
    return round_out(clip(largest.xyxy, sides), sides)


class _Files:
    """The files while they are written; their names say in the end how many records each has.

    Args:
        target: where they go.
        names: path of each, without the number of records.
    """

    def __init__(self, target: Target, names: Sequence[str]) -> None:
        self._target, self._names = target, names
        self._counts = [0] * len(names)
        self._open: dict[int, BinaryIO] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        while self._open:
            self._open.popitem()[1].close()
        if kind is None:
            if empty := self._counts.count(0):
                raise UsageError(
                    "empty_files",
                    f"--to tfrecord: there are too few pictures that can be read for {len(self._names)} "
                    f"files, and readers stop at an empty one, of which there would be {empty}; run the "
                    "`run` command again, or pass fewer --files",
                )
            for name, count in zip(self._names, self._counts, strict=True):
                self._target.rename(name, f"{name}-{count}.tfrec")

    def write(self, number: int, features: Mapping[str, Feature]) -> None:
        """Write a record to the file of that number."""
        file = self._open.get(number)
        if file is None:
            if len(self._open) == _MOST_OPEN:
                self._open.pop(next(iter(self._open))).close()
            file = self._open[number] = open(self._target.path(self._names[number]), "ab")  # noqa: SIM115
        file.writelines(record(features))
        self._counts[number] += 1
