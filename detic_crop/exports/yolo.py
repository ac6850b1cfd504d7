"""YOLO data sets, as ultralytics reads them: `images`, `labels`, `data.yaml`, and lists for each fold.

Its rules, by its documentation: the labels of a picture are where its path says after the last ``/images/``
became ``/labels/`` and the extension ``.txt``; a file without lines is a picture without an object; lists of
pictures begin their lines with ``./`` and lie in the folder that is meant; data.yaml needs ``train``, ``val``
and ``names``, with paths from ``path``, which is its own folder if it does not say another.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import ExitStack

import yaml

from detic_crop.exports.detection import PICTURES, Parts, TrainingExport, edges_of, stems
from detic_crop.exports.job import Job
from detic_crop.exports.names import NameOf, with_extension_of
from detic_crop.exports.picture import ExportedBox, Picture

LABELS = "labels"

_DIGITS = 9  # a hundredth of a pixel is told apart in photos of any size


class Yolo(TrainingExport):
    """A text file for each picture, with a line for each box: class, centre and size in shares."""

    def write(self, job: Job) -> None:
        """Write the pictures, their label files, data.yaml and the lists of the folds."""
        classes = self.classes(job)
        named = _names(job, stems(job, self.accepts))
        job.place_all(named)
        for picture in job.each("writing labels"):
            lines = [_line(job, picture, box, classes) for box in picture.boxes]
            job.target.put("".join(lines).encode(), label_file(named(picture)))
        parts = Parts(job)
        _write_lists(job, parts, named)
        _write_yaml(job, "data.yaml", parts, parts.folds[0] if parts.folds else None, classes)
        for fold in parts.folds[1:]:
            _write_yaml(job, f"data_fold{fold}.yaml", parts, fold, classes)
        if not parts.folds:
            job.notes.append(
                "nothing was split: data.yaml validates on the photos that it trains on, which says nothing "
                "of other photos; run the `split` command, then export again"
            )
        self.note_unconfirmed(job)


def label_file(picture: str) -> str:
    """Return where the labels of a picture are looked for.

    Args:
        picture: its path, below a folder `images`.
    """
    before, _, after = f"/{picture}".rpartition(f"/{PICTURES}/")
    return os.path.splitext(f"{before}/{LABELS}/{after}"[1:])[0] + ".txt"


def _names(job: Job, stem_of: NameOf) -> NameOf:
    def name(picture: Picture) -> str:
        stored = with_extension_of(picture.name, Yolo.accepts) if job.has_files else picture.name
        return f"{PICTURES}/{stem_of(picture)}{os.path.splitext(stored)[1]}"

    return name


def _line(job: Job, picture: Picture, box: ExportedBox, classes: Mapping[str, int]) -> str:
    width, height = picture.sides
    left, top, right, bottom = edges_of(box, picture.sides)
    numbers = (
        (left + right) / 2 / width,
        (top + bottom) / 2 / height,
        (right - left) / width,
        (bottom - top) / height,
    )
    line = " ".join([str(classes[job.class_of(picture, box)]), *(f"{part:.{_DIGITS}f}" for part in numbers)])
    if job.boxes == "all":
        line += f" {1.0 if box.score is None else box.score:.6f}"
    return line + "\n"


def _write_lists(job: Job, parts: Parts, named: NameOf) -> None:
    with ExitStack() as stack:
        files = {part: stack.enter_context(job.target.text(f"{part}.txt")) for part in parts.names}
        for picture in job.pictures() if files else ():
            for part in parts.of(picture):
                files[part].write(f"./{named(picture)}\n")


def _write_yaml(job: Job, name: str, parts: Parts, fold: int | None, classes: Mapping[str, int]) -> None:
    with job.target.text(name) as file:
        file.write("# Paths begin at the folder of this file. Old programs ask for it: path: /where/it/is\n")
        if fold is None:
            file.write(f"train: {PICTURES}\nval: {PICTURES}  # the same: nothing was split\n")
        else:
            file.write(f"train: train_fold{fold}.txt\nval: val_fold{fold}.txt\n")
        if "test" in parts.names:
            file.write("test: test.txt  # of individuals that are in no fold\n")
        names = {number: label for label, number in classes.items()}
        yaml.safe_dump({"names": names}, file, allow_unicode=True, width=math.inf)
