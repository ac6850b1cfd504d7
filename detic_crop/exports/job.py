"""What an export works with: the pictures of a finished folder, their boxes, labels and columns; a target.

The pictures can be gone through again and again, and are made one by one: a million take no memory.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.crop_size import CropSize, Sides
from detic_crop.config import CropConfig
from detic_crop.errors import PhotoError
from detic_crop.exports.base import Asked, Boxes, Export, Of
from detic_crop.exports.picture import ExportedBox, Picture, chosen_boxes, each_animal, in_crop, scaled
from detic_crop.exports.pictures import (
    StoredPicture,
    crop_pixels,
    crop_to_link,
    photo_pixels,
    read_crop,
    read_photo,
)
from detic_crop.exports.target import Target
from detic_crop.folder.animals import crops_of
from detic_crop.folder.decisions import detected_box
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import read_candidates
from detic_crop.folder.state import load_sample
from detic_crop.images.headers.read import read_extent
from detic_crop.photos.location import NOWHERE, Location
from detic_crop.report.estimate import Estimate, estimate
from detic_crop.report.groups import INDIVIDUAL_COLUMNS, SPECIES_COLUMNS, column_named, find_column
from detic_crop.report.meetings import Meetings
from detic_crop.report.model import Audit
from detic_crop.report.paper import Origin
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.sample import detected_records
from detic_crop.report.splitting import FoldColumn
from detic_crop.report.table import renamed_columns, row_cells, table_header
from detic_crop.system.memory_budget import MemoryBudget
from detic_crop.wording import counted, either

FOLDER = "folder"
"""Value of ``--label`` that takes the photo's folder."""

VIEWPOINT_COLUMNS = ("viewpoint", "position", "side", "view", "flank", "orientation")
"""Usual names of the label column that says from which side an animal is seen."""

Progress = Callable[[int, str], AbstractContextManager[Callable[[], None]]]
"""Number of pictures and what is done with them → what is called after each, while it is shown."""


class _Again:
    """What a generator yields, from the first on each time."""

    def __init__(self, generate: Callable[[], Iterator[Picture]]) -> None:
        self._generate = generate

    def __iter__(self) -> Iterator[Picture]:
        return self._generate()


class Job:
    """One export of one folder.

    Args:
        export: what is made.
        asked: what was asked for.
        folder: the finished folder.
        audit: its photos, with labels, verdicts and all columns.
        target: where the export goes.
        origin: how the folder was made; without counts.
        progress: shows how far it is.

    Attributes:
        left_out: why pictures were left out → how many.
        notes: sentences that a person should read.
        of, boxes: as asked, or as the export has it.
        has_read: whether a picture's file was asked for.
    """

    def __init__(
        self,
        export: Export,
        asked: Asked,
        folder: OutputFolder,
        audit: Audit,
        target: Target,
        origin: Origin,
        progress: Progress,
    ) -> None:
        self.asked, self.folder, self.audit, self.target = asked, folder, audit, target
        self.origin = origin
        self.of: Of = asked.of or export.of[0]
        self.boxes: Boxes = asked.boxes or export.boxes
        self.config: CropConfig = audit.config
        self.notes: list[str] = []
        self.left_out: Counter[str] = Counter()
        self._export = export
        self._how = asked.pictures or export.pictures
        self._progress = progress
        self._memory = MemoryBudget.of_machine()
        self._size = CropSize.of(audit.config)
        self._of_several_rows: set[str] = set()
        self._dropped: set[tuple[str, int | None]] = set()
        self._reasons: list[Callable[[Picture], str]] = []
        self._candidates: BinaryIO | None = None
        self.has_read = False
        self.count = 0
        self.class_names = self._survey()

    # ------------------------------------------------------------ pictures

    def pictures(self) -> Iterable[Picture]:
        """Return the pictures of the export, in the order of audit.csv; without those that were dropped.

        They can be gone through again and again, and are made one by one.
        """
        return _Again(self._kept)

    def _kept(self) -> Iterator[Picture]:
        for picture in self._found(Counter()):
            if self._dropped and (picture.key, picture.animal) in self._dropped:
                continue
            if not any(reason(picture) for reason in self._reasons):
                yield picture

    def leave_out(self, reason: Callable[[Picture], str]) -> None:
        """Leave out from now on all pictures for which there is a reason; unlike `drop`, it notes none.

        Args:
            reason: returns why a picture is left out, in the words of a summary; empty if it is not.
        """
        found = Counter(filter(None, map(reason, self.pictures())))
        self._reasons.append(reason)
        self.left_out += found
        self.count -= found.total()

    def drop(self, picture: Picture, why: str) -> None:
        """Leave a picture out from now on.

        Args:
            picture: the picture.
            why: in the words of a summary: ``photo is gone``.
        """
        self._dropped.add((picture.key, picture.animal))
        self.left_out[why] += 1
        self.count -= 1

    def _survey(self) -> dict[str, int]:
        """Count what there is; return class → number of boxes, in the order of the names."""
        classes: Counter[str] = Counter()
        for picture in self._found(self.left_out):
            self.count += 1
            classes.update(self.class_of(picture, box) for box in picture.boxes)
        return dict(sorted(classes.items()))

    def _found(self, left_out: Counter[str]) -> Iterator[Picture]:
        for photo in self.audit.photos.in_order():
            why = self._reason_against(photo)
            if why:
                left_out[why] += 1
            elif self.of == "crops":
                yield from self._crops(photo)
            elif self._export.each_animal:
                yield from each_animal(self._whole(photo))
            else:
                yield self._whole(photo)

    def _reason_against(self, photo: AuditPhoto) -> str:
        """Return why a photo is left out; empty if it is not."""
        record = photo.record
        if record.status == "failed":
            return "" if self._export.failed else "failed"
        if record.status == "rejected" and not (self._export.negatives and self.of == "photos"):
            return "rejected"
        if record.status == "skipped" and not (self._export.negatives and self.of == "photos"):
            return "skipped, so without a crop"
        if self._export.negatives and self.of == "photos" and photo.is_not_listed:
            return "not in the boxes file, so nobody looked"
        if self.boxes != "reviewed":
            return ""
        return _unreviewed(photo)

    def _whole(self, photo: AuditPhoto) -> Picture:
        record = photo.record
        boxes = () if record.status == "rejected" else self._boxes(photo)
        return Picture(photo, record, record.image, "", (record.width, record.height), boxes)

    def _crops(self, photo: AuditPhoto) -> Iterator[Picture]:
        of_photo = self.boxes == "all" or self._export.neighbours
        boxes = self._boxes(photo) if of_photo else None
        for crop in crops_of(photo.record):
            rectangle = crop.record.crop_box
            assert rectangle is not None  # only those have one
            sides = rectangle[2] - rectangle[0], rectangle[3] - rectangle[1]
            shown = in_crop(chosen_boxes(crop.record) if boxes is None else boxes, rectangle, self._size)
            canvas = self._size.canvas(sides)
            if crop.record.is_shrunk:
                now = self._sides_of(crop.name)
                shown, canvas = scaled(shown, canvas, now), now
            animal = crop.record.animals[0].number if crop.record.animals else None
            yield Picture(photo, crop.record, crop.name, crop.name, canvas, shown, animal)

    def _sides_of(self, crop: str) -> Sides:
        extent = read_extent(self.folder.crops.read(crop))
        return extent.width, extent.height

    def _boxes(self, photo: AuditPhoto) -> tuple[ExportedBox, ...]:
        """Return the boxes that are asked for, in pixels of the photo."""
        record = photo.record
        decided = record.verdict not in ("", "unsure")
        if self.boxes != "all" or decided or record.candidates is None:
            return chosen_boxes(record)
        if self._candidates is None:
            self._candidates = open(self.folder.layout.candidates, "rb")  # noqa: SIM115 - see `close`
        try:
            kept = read_candidates(self._candidates, record)
        except ValueError:
            return chosen_boxes(record)
        return tuple(ExportedBox(kept.edges(i), kept.class_names[i], kept.score(i)) for i in range(len(kept)))

    def close(self) -> None:
        """Close what was opened."""
        if self._candidates is not None:
            self._candidates.close()

    # ------------------------------------------------------------ their files

    @property
    def has_files(self) -> bool:
        """Whether the pictures themselves are asked for."""
        return self._how != "none"

    def place_all(self, name_of: Callable[[Picture], str]) -> None:
        """Put all pictures into the target, where they are asked for; those that cannot be read are dropped.

        Pictures that readers could not read, or would not show as the boxes mean them (other formats, photos
        on their side, damaged ones) are encoded anew; see `read`.

        Args:
            name_of: path of each below the target; it ends as `names.with_extension_of` makes it.
        """
        if not self.has_files:
            return
        doing = "copying" if self._how == "copy" else "linking"
        with self._progress(self.count, f"{doing} {self.of}") as report:
            for picture in self.pictures():
                self._place(picture, name_of(picture))
                report()

    def _place(self, picture: Picture, name: str) -> None:
        extension = os.path.splitext(name)[1]
        if self._how == "link" and picture.crop:
            path = crop_to_link(self.folder, picture.crop, picture.record.crop_bytes, extension)
            if path:
                self.target.link(path, name)
                return
        stored = self.read(picture, extension)
        if stored is None:
            return
        if stored.path and self._how == "link":
            self.target.link(stored.path, name)
        else:
            self.target.put(stored.data, name)

    def each(self, doing: str) -> Iterator[Picture]:
        """Yield the pictures as `pictures` does, and show how far it is."""
        with self._progress(self.count, doing) as report:
            for picture in self.pictures():
                yield picture
                report()

    def read(self, picture: Picture, extension: str = ".jpg") -> StoredPicture | None:
        """Return the file of a picture as the export stores it; None if it cannot be read, and so is dropped.

        Its own bytes are taken where its format is the one that the extension says, its pixels are stored
        upright, and it is whole; else it is decoded and encoded anew.

        Args:
            picture: the picture.
            extension: how the name of the new file ends.
        """
        with self._dropping(picture):
            if picture.crop:
                return read_crop(self.folder, picture.crop, extension)
            return read_photo(picture.record, self.location(picture), extension, self._memory)
        return None

    def pixels(self, picture: Picture) -> NDArray[np.uint8] | None:
        """Return the upright pixels of a picture, (H, W, 3) uint8, BGR; None as of `read`."""
        with self._dropping(picture):
            if picture.crop:
                return crop_pixels(self.folder, picture.crop)
            return photo_pixels(picture.record, self.location(picture), self._memory)
        return None

    def location(self, picture: Picture) -> Location:
        """Return where the photo is now."""
        return self.audit.whereabouts.locations.get(picture.key, NOWHERE)

    @contextmanager
    def _dropping(self, picture: Picture) -> Iterator[None]:
        """Drop the picture if it cannot be read."""
        self.has_read = True
        try:
            yield
        except PhotoError as error:
            self.drop(picture, f"{self.of[:-1]}: {error.reason}")
        except FileNotFoundError:
            self.drop(picture, "crop is gone; run the `run` command again")

    # ------------------------------------------------------------ labels and columns

    @cached_property
    def estimate(self) -> Estimate | None:
        """What the reviewed sample says of the folder; None without a sample.

        Raises:
            UsageError: the file of the sample is damaged.
        """
        sample = load_sample(self.folder)
        if not sample:
            return None
        current = self.audit.photos.records()
        detected = detected_records(self.folder, current, self.config)
        return estimate(sample, detected, current, self.audit.verdicts)

    @cached_property
    def columns(self) -> list[str]:
        """Names of the columns that a table of the folder has, `animal` among them for several crops."""
        several = ["animal"] if self.of == "crops" and self.config.animals == "all" else []
        return [*table_header(self.audit), *several]

    def cells(self, picture: Picture) -> dict[str, str]:
        """Return the cells of a picture, by `columns`: the label columns, then ours."""
        photo = picture.photo
        doubts = photo.doubts
        if picture.animal is not None:
            numbers = [animal.number for animal in photo.record.animals]
            doubts = self.audit.photos.doubts_of_animals(photo.record)[numbers.index(picture.animal)]
        cells = row_cells(picture.record, doubts)
        for more in self.audit.more:
            cells |= more.cells(photo.record)
        if picture.crop:
            cells["crop"] = picture.crop
        cells["animal"] = "" if picture.animal is None else str(picture.animal)
        if photo.labels:
            cells |= dict(zip(self._label_names, photo.labels[0], strict=True))
        return cells

    @cached_property
    def _label_names(self) -> list[str]:
        return renamed_columns(self.audit)

    @cached_property
    def label_column(self) -> str | None:
        """Name of the label column that says the class, ``folder``, or None where nothing was asked for."""
        if self.asked.label is None:
            return None
        if self.asked.label == FOLDER and not self._has_column(FOLDER):
            return FOLDER
        return self._column(self.asked.label, "--label")

    @cached_property
    def individual_column(self) -> str | None:
        """Name of the label column that says the individual, as asked or as it is usually called."""
        return self._found_column(self.asked.individual, "--individual", INDIVIDUAL_COLUMNS)

    @cached_property
    def species_column(self) -> str | None:
        """Name of the label column that says the species, as asked or as it is usually called."""
        return self._found_column(self.asked.species, "--species", SPECIES_COLUMNS)

    @cached_property
    def viewpoint_column(self) -> str | None:
        """Name of the label column that says from which side an animal is seen, as it is usually called."""
        return self.usual_column(VIEWPOINT_COLUMNS)

    def viewpoint(self, picture: Picture) -> str:
        """Return from which side the animal is seen, as a reviewer said, else as the labels do."""
        return picture.photo.record.viewpoint or self.label(picture, self.viewpoint_column)

    @cached_property
    def has_viewpoints(self) -> bool:
        """Whether a reviewer said from which side animals are seen."""
        return "viewpoint" in self.audit.photos.remarks

    def label(self, picture: Picture, column: str | None) -> str:
        """Return the cell of a label column (or ``folder``) of a picture; empty where there is none."""
        if column is None:
            return ""
        if column == FOLDER and not self._has_column(FOLDER):
            return picture.key.rpartition("/")[0].rpartition("/")[2]
        labels, rows = self.audit.labels, picture.photo.labels
        if labels is None or not rows:
            return ""
        if len(rows) > 1:
            self._of_several_rows.add(column)
        return rows[0][labels.columns.index(column)].strip()

    def ambiguous_labels(self) -> Iterator[str]:
        """Yield a sentence for each column that was used, and in which rows of one photo differ."""
        labels = self.audit.labels
        columns = self._of_several_rows - {labels.key_column if labels else ""}
        if labels is None or not columns:
            return
        places = {column: labels.columns.index(column) for column in sorted(columns)}
        counts: Counter[str] = Counter()
        for picture in self.pictures():
            rows = picture.photo.labels
            counts.update(
                column for column, place in places.items() if len({row[place].strip() for row in rows}) > 1
            )
        for column, count in counts.items():
            one = self.of[:-1]
            yield (
                f"{counted(count, one)} {either(count, 'has', 'have')} label rows that differ in {column}: "
                "the first row counts"
            )

    def spelled(self, picture: Picture) -> str:
        """Return the photo's name as the label table spells it, on which its owner joins; else its key."""
        labels = self.audit.labels
        return self.label(picture, labels.key_column if labels else None) or picture.key

    def usual_column(self, usual: Sequence[str]) -> str | None:
        """Return the label column that has the first of some usual names, in any case; None if none has."""
        return self._found_column(None, "", usual)

    def class_of(self, picture: Picture, box: ExportedBox) -> str:
        """Return the class of a box: as the label column says, if one was asked for, else the detector's."""
        return self.label(picture, self.label_column) or box.class_name

    def fold(self, picture: Picture) -> int | None:
        """Return the fold that `split` gave a picture, -1 for one held out; None without one."""
        cell = "" if self._folds is None else self._folds.cells(picture.photo.record)["fold"]
        return int(cell) if cell else None

    def encounter(self, picture: Picture) -> str:
        """Return the encounter of a picture, if ``--encounter`` asked for them; empty without one."""
        meetings = self._meetings
        return "" if meetings is None else meetings.cells(picture.photo.record)["encounter"]

    @cached_property
    def _folds(self) -> FoldColumn | None:
        return next((more for more in self.audit.more if isinstance(more, FoldColumn)), None)

    @cached_property
    def _meetings(self) -> Meetings | None:
        return next((more for more in self.audit.more if isinstance(more, Meetings)), None)

    @property
    def has_folds(self) -> bool:
        """Whether the folder was split."""
        return self._folds is not None

    @property
    def n_folds(self) -> int | None:
        """Number of folds; None where the folder was not split."""
        return None if self._folds is None else self._folds.saved.asked.folds

    def _has_column(self, name: str) -> bool:
        return self.audit.labels is not None and name in self.audit.labels.columns

    def _column(self, asked: str, option: str) -> str:
        place = column_named(self.audit.labels, asked, f"{option} {asked}")
        assert self.audit.labels is not None
        return self.audit.labels.columns[place]

    def _found_column(self, asked: str | None, option: str, usual: Sequence[str]) -> str | None:
        if asked is not None:
            return self._column(asked, option)
        labels = self.audit.labels
        place = None if labels is None else find_column(labels.columns, usual)
        return None if labels is None or place is None else labels.columns[place]


def _unreviewed(photo: AuditPhoto) -> str:
    """Return why a photo is not among those of which a person said where the animal is; see `truths`."""
    verdict = photo.record.verdict or (photo.verdict.verdict if photo.verdict else "")
    if verdict in ("", "undone"):
        return "not reviewed"
    if verdict == "unsure":
        return "reviewed, but unsure"
    if verdict == "whole" and detected_box(photo.record) is not None:
        return "whole photo taken over a box, which does not say whether an animal is there"
    return ""
