"""What every export is: its name, what it takes, and how it writes."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from detic_crop.exports.job import Job

Of: TypeAlias = Literal["photos", "crops"]
Boxes: TypeAlias = Literal["chosen", "all", "reviewed"]
Pictures: TypeAlias = Literal["link", "copy", "none"]
Part: TypeAlias = Literal["train", "test"]
OF, BOXES, PICTURES, PART = map(get_args, (Of, Boxes, Pictures, Part))


@dataclass(frozen=True, slots=True)
class Asked:
    """What an export is asked for; None where nothing was said. Each export names those that it `takes`.

    Attributes:
        of: pictures of which the export is made: whole photos, or crops.
        boxes: the ``chosen`` ones, as corrected by review; ``all`` that the detector kept, except where a
            person has decided; or the chosen ones of ``reviewed`` photos only.
        pictures: how pictures get there: as a hard ``link`` where the disk can, else as a copy; always as a
            ``copy``; or not at all (``none``).
        label: label column that names the class; ``folder`` takes the photo's folder.
        individual: label column that names the individual.
        species: label column that names the species.
        part: ``train`` or ``test``, where the consumer tells them apart by name.
        test: another output folder, which becomes the part ``test`` beside this one.
        files: number of files, where there are several.
        title: title of the data set.
        user: name of the account to which it will be uploaded.
        licence: its licence.
    """

    of: Of | None = None
    boxes: Boxes | None = None
    pictures: Pictures | None = None
    label: str | None = None
    individual: str | None = None
    species: str | None = None
    part: Part | None = None
    test: str | os.PathLike[str] | None = None
    files: int | None = None
    title: str | None = None
    user: str | None = None
    licence: str | None = None

    @property
    def of_test(self) -> Asked:
        """What is asked for of the folder that `test` names; its labels may be others."""
        return replace(self, part="test", test=None, label=None, individual=None, species=None)


class Export(ABC):
    """One format that another program reads.

    Attributes:
        name: value of ``--to``; one class may have several.
        of: what it can be made of; the first is the default.
        takes: further fields of `Asked` that mean something here, beside ``of`` where there is a choice.
        boxes: which boxes are written if nothing is said.
        pictures: how pictures get there if nothing is said; ``none``: the format has none.
        accepts: formats of pictures that its readers read, as `Header.format` has them; others are
            encoded anew, as JPEG.
        negatives: whether photos without an animal, rejected ones among them, belong into it; else only
            cropped and resized ones do.
        each_animal: whether a photo of several animals is a picture for each, with its box alone.
        neighbours: whether a crop has the boxes of other animals that are seen in it, too.
        failed: whether photos that could not be read belong into it, without a size or boxes.
    """

    of: ClassVar[tuple[Of, ...]]
    takes: ClassVar[frozenset[str]] = frozenset()
    boxes: ClassVar[Boxes] = "chosen"
    pictures: ClassVar[Pictures] = "link"
    accepts: ClassVar[tuple[str, ...]] = ("JPEG", "PNG")
    negatives: ClassVar[bool] = False
    each_animal: ClassVar[bool] = False
    neighbours: ClassVar[bool] = False
    failed: ClassVar[bool] = False

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def write(self, job: Job) -> None:
        """Write the export, with what `job` gives, into its target; with ``--test`` called for each part.

        Raises:
            UsageError: the folder lacks what this needs; says what to do. Nothing is left behind.
            OutputError: the disk is full, or cannot be written.
        """

    def finish(self, jobs: Sequence[Job]) -> None:  # noqa: B027 - most have nothing to add
        """Write what tells of all parts, after the last one.

        Args:
            jobs: the parts, in the order in which they were written.
        """
