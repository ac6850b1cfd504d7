"""Columns that the tables of a folder have only where they were asked for: they stand after the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from detic_crop.folder.records import Record, files_of


class MoreColumns(Protocol):
    """Columns that belong together."""

    @property
    def columns(self) -> Mapping[str, str]:
        """Name of each column → its meaning, in their order."""
        ...

    @property
    def numbers(self) -> Collection[str]:
        """Names of those that hold numbers."""
        ...

    @property
    def are_of_photo(self) -> bool:
        """Whether they say the same of each animal of a photo, and so stand in animals.csv, too."""
        ...

    def cells(self, record: Record) -> Mapping[str, str]:
        """Return the cells of the row of a photo, by column."""
        ...


class CropCount:
    """How many crops a photo has, with ``--animals all``."""

    columns: Mapping[str, str] = {"n_crops": "number of crops, with --animals all"}
    numbers = ("n_crops",)
    are_of_photo = False

    def cells(self, record: Record) -> Mapping[str, str]:
        """Return the number; none of a photo that failed."""
        if record.status == "failed":
            return {"n_crops": ""}
        return {"n_crops": str(0 if record.status == "rejected" else len(files_of(record)))}


class CropQuality:
    """At which quality crops were encoded, with ``--max-bytes``.

    Args:
        quality: what was asked for.
    """

    columns: Mapping[str, str] = {"quality": "quality of the crop's file, with --max-bytes"}
    numbers = ("quality",)
    are_of_photo = False

    def __init__(self, quality: int) -> None:
        self._quality = quality

    def cells(self, record: Record) -> Mapping[str, str]:
        """Return the quality; none of a photo without a crop."""
        return {"quality": str(record.quality or self._quality) if record.crop_bytes else ""}


class FoundBy:
    """Which of several joined models, or looks, the chosen box is from."""

    columns: Mapping[str, str] = {
        "found_by": "which of several joined models found the box; with --tiles auto also in which look"
    }
    numbers = ()
    are_of_photo = True

    def cells(self, record: Record) -> Mapping[str, str]:
        """Return the model's name; empty where nothing was found."""
        return {"found_by": record.found_by}


REMARKS: Mapping[str, str] = {
    "note": "what a reviewer wrote about the photo, once applied",
    "viewpoint": "from which side a reviewer said the animal is seen, once applied",
}
"""What a reviewer says beside the verdict: name of the column, and of the field of `Record` → its meaning."""


class Remarks:
    """What reviewers said beside the verdict.

    Args:
        names: of `REMARKS`, those that some photo has.
    """

    numbers = ()
    are_of_photo = True

    def __init__(self, names: Collection[str]) -> None:
        self.columns = {name: meaning for name, meaning in REMARKS.items() if name in names}

    def cells(self, record: Record) -> Mapping[str, str]:
        """Return what was said of a photo."""
        return {name: getattr(record, name) for name in self.columns}
