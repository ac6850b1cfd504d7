"""folds.json: the fold of each photo, as `detic-crop split` gave it, and how it was asked."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from detic_crop.columns import Column, Texts
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.photo_lines import Document, document
from detic_crop.folder.there import is_there


class Asked(msgspec.Struct, frozen=True):
    """What `split` was asked for.

    Attributes:
        folds: number of folds.
        by: what was kept together beside copies and bursts; empty for nothing.
        individual: the column of labels that names the individual; empty without one.
        unseen: share of individuals that was held out.
        seed: of the random numbers.
    """

    folds: int
    by: str = ""
    individual: str = ""
    unseen: float = 0.0
    seed: int = 0


@dataclass(slots=True)
class SavedFolds:
    """folds.json.

    Attributes:
        asked: what was asked for.
        keys: keys of the photos that got a fold.
        folds: fold of each; -1 for one that is held out.
    """

    asked: Asked
    keys: Column = field(default_factory=Texts)
    folds: array[int] = field(default_factory=lambda: array("i"), repr=False)

    def fold_of(self, key: str) -> int | None:
        """Return the fold of a photo; None if it got none."""
        row = self.keys.find(key)
        return None if row is None else self.folds[row]


_document = Document(msgspec.json.Decoder(Asked), msgspec.json.Decoder(list[tuple[str, int]]))


def save_folds(folder: OutputFolder, saved: SavedFolds) -> None:
    """Replace folds.json.

    Raises:
        OutputError: the disk is full or the folder cannot be written.
    """
    lines: Iterable[object] = zip(saved.keys, saved.folds, strict=True)
    folder.write_parts(folder.layout.folds, document(saved.asked, lines))


def load_folds(folder: OutputFolder) -> SavedFolds | None:
    """Return the folds as they were saved; None where there are none.

    Raises:
        UsageError: the file is damaged.
    """
    path = folder.layout.folds
    if not is_there(path):
        return None
    keys, folds = Texts(), array("i")

    def take(lines: list[tuple[str, int]]) -> None:
        keys.extend(key for key, _ in lines)
        folds.extend(fold for _, fold in lines)

    try:
        with open(path, "rb") as file:
            return SavedFolds(_document.read(file, take), keys, folds)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            "folds_damaged",
            f"{folder.layout.shown_of(path)} is damaged ({error}); split again: "
            f"detic-crop split {folder.layout.quoted}",
        ) from error
