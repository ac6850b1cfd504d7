"""A folder for each class, as torchvision, timm and Hugging Face read it, with a table beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, ClassVar

from detic_crop.errors import UsageError
from detic_crop.exports.base import Export, Of
from detic_crop.exports.job import FOLDER, Job
from detic_crop.exports.names import FreeNames, UniqueNames, fitting, flat, with_extension_of
from detic_crop.exports.picture import Picture
from detic_crop.folder.names import FILE_RULES
from detic_crop.report.table import BOX_COLUMNS, NUMBER_COLUMNS

_TABLE = "metadata.jsonl"
_NAMES_A_SPLIT = re.compile(
    r"(?<![a-z0-9])(train(ing)?|val(id(ation)?)?|dev|test(ing)?|eval(uation)?)(?![a-z0-9])"
)
_LONGEST_NUMBER = 12  # bytes of what tells two classes apart, at most

_RENAMED = {"image": "photo", "file_name": "label_file_name", "label": "label_label"}
"""Columns that mean something else to Hugging Face: the picture itself, its path, its class."""


class ImageFolder(Export):
    """Pictures in folders called after their class, and metadata.jsonl."""

    of: ClassVar[tuple[Of, ...]] = ("crops", "photos")
    takes = frozenset({"pictures", "label"})

    def write(self, job: Job) -> None:
        """Write a folder for each class, and one line of metadata.jsonl for each picture."""
        column = job.label_column or job.individual_column or job.species_column
        if column is None:
            raise UsageError(
                "no_class",
                f"imagefolder needs a class for each picture, and {_what_there_is(job)}; pass --label=folder "
                "to take the photos' folders",
            )
        without = f"without {'a folder' if column == FOLDER else column}"
        job.leave_out(lambda picture: "" if job.label(picture, column) else without)
        folders = _Folders()

        def wanted(picture: Picture) -> str:
            name = flat(with_extension_of(picture.name, self.accepts))
            return f"{folders.of(job.label(picture, column))}/{name}"

        names = UniqueNames(job.pictures(), wanted)
        job.place_all(names)
        typed = _Typed(job)
        with job.target.text(_TABLE) as file:
            for picture in job.each(f"writing {_TABLE}"):
                label = job.label(picture, column)
                line = {"file_name": names(picture), "label": label, **typed.of(picture)}
                file.write(json.dumps(line) + "\n")  # in ASCII: U+2028 ends a line to some readers
        job.notes.append(f"classes, by {column}: {folders.count:,}")
        if splits := [name for name in folders.names if _NAMES_A_SPLIT.search(name)]:
            job.notes.append(
                f"Hugging Face takes folders such as {splits[0]} for parts of a split, not classes; pass it "
                'data_files={"train": "FOLDER/**"} instead of data_dir'
            )


def _what_there_is(job: Job) -> str:
    """Return why no class is known, and what would help where there are labels."""
    if job.audit.labels is None:
        return "this folder has no labels, which `detic-crop run` takes with --labels CSV"
    columns = ", ".join(job.audit.labels.columns)
    return f"no label column is called individual_id or species: pass --label COLUMN, one of {columns}"


class _Folders:
    """Names of the folders of classes: what a disk allows, and no two classes share one."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}
        self._free = FreeNames(_TABLE)

    def of(self, label: str) -> str:
        found = self._of.get(label)
        if found is None:
            # torchvision and timm take a folder that begins with a dot for one to be passed over, or not.
            plain = fitting(label.replace("/", "_").lstrip("."), _LONGEST_NUMBER)
            found = self._of[label] = self._free.take(FILE_RULES.file_name(plain, "") or "_")
        return found

    @property
    def names(self) -> Collection[str]:
        return self._of.values()

    @property
    def count(self) -> int:
        return len(self._of)


class _Typed:
    """The columns of a picture as JSON has them: numbers, lists of numbers, texts, null.

    Args:
        job: the export.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._columns = frozenset(job.columns)
        self._numbers = {
            *NUMBER_COLUMNS,
            *(name for more in job.audit.more for name in more.numbers),
            "animal",
        }

    def of(self, picture: Picture) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, cell in self._job.cells(picture).items():
            if name not in self._columns:
                continue
            if name in BOX_COLUMNS:
                values[name] = [int(edge) for edge in cell.split()] or None
            elif name in self._numbers:
                values[name] = _number(cell)
            else:
                values[_RENAMED.get(name, name)] = cell
        return values


def _number(cell: str) -> float | None:
    if not cell:
        return None
    return int(cell) if cell.lstrip("-").isdigit() else float(cell)
