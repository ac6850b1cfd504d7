"""A side of a comparison: an output folder, or a boxes file, asked what it says of some photos."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detic_crop.boxes.choose import wanted_mask
from detic_crop.boxes.geometry import clip
from detic_crop.columns import Column, Texts
from detic_crop.config import CropConfig
from detic_crop.detectors.boxes_file import BoxesFileDetector
from detic_crop.detectors.boxes_file.sizes import SizeWH
from detic_crop.errors import PhotoError, UsageError
from detic_crop.folder.decisions import detected_box
from detic_crop.folder.records import Record
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.naming import NameIndex
from detic_crop.photos.labels import Labels
from detic_crop.photos.location import NOWHERE, Location
from detic_crop.report.compare.columns import Builder, SideBox, SideColumns, State
from detic_crop.report.photos import AuditPhoto
from detic_crop.report.suspicion import Doubts
from detic_crop.wording import counted, either


class NoneInCommonError(Exception):
    """No photo of a side is among those that it was told of."""


class LabelsOfSide(NamedTuple):
    """The label table of an output folder.

    Attributes:
        table: the table.
        matches: key of the photo of each row; None where there is none.
    """

    table: Labels
    matches: Sequence[str | None]


class Side(ABC):
    """Boxes of photos that belong together: A, B or the truth.

    Attributes:
        given: how the user named it, without secrets.
        about: what it is, in words.
        notes: sentences that a person should read.
        failures: reason → number of photos that could not be read.
        labels: the label table of its photos; None without one.
        has_sizes: whether it has the size of every photo that it has looked at.
    """

    has_sizes: ClassVar[bool]

    def __init__(self, given: str, about: str) -> None:
        self.given, self.about = given, about
        self.notes: list[str] = []
        self.failures: Counter[str] = Counter()
        self.labels: LabelsOfSide | None = None
        self._first_failure = ""

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """The photos that it knows, as it calls them, in its order."""

    @property
    @abstractmethod
    def paths(self) -> Mapping[str, str]:
        """Name → path of the photo, empty where that is unknown, in the order of the names."""

    @property
    @abstractmethod
    def rank(self) -> float:
        """How well its names tell photos apart: those of the side that does it best are taken as keys."""

    @abstractmethod
    def expect(self, photos: Mapping[str, str]) -> Sequence[str]:
        """Match its names to photos, key → path; return those that mean none of them.

        Raises:
            NoneInCommonError: there is no photo that it knows.
        """

    @abstractmethod
    def own_name(self, key: str) -> str | None:
        """Return what it calls a photo, one that it was told of or one of its own; None if it has none."""

    def key_of(self, name: str) -> str:
        """Return the key of one of its photos, by the name that it has there."""
        return name

    @abstractmethod
    def size(self, key: str) -> SizeWH | None:
        """Return width and height of a photo in pixels, as far as it knows them."""

    @abstractmethod
    def read(self, keys: Column, sizes: NDArray[np.int32]) -> SideColumns:
        """Return what it says of some photos.

        Args:
            keys: photos that it was told of, and those that it alone knows.
            sizes: (N, 2) width and height of each in pixels; 0 where that is unknown.
        """

    @abstractmethod
    def gives_all(self, said: SideColumns) -> bool:
        """Return whether it has every animal of a photo, not only the largest.

        Args:
            said: what it says of the photos.
        """

    @abstractmethod
    def location(self, key: str) -> Location:
        """Return where a photo is."""

    def file_size(self, key: str) -> int:
        """Return the bytes of a photo's file; 0 if that is unknown."""
        return 0

    def fail(self, key: str, reason: str, message: str) -> None:
        """Note that a photo cannot be used."""
        self.failures[reason] += 1
        self._first_failure = self._first_failure or f"{key}: {message}"

    def sentences(self, called: str) -> list[str]:
        """Return what a person should know of it.

        Args:
            called: ``A``, ``B`` or ``truth``.
        """
        said = [f"{called}: {note}" for note in self.notes]
        if number := self.failures.total():
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.failures.most_common(5))
            photos = f"{counted(number, 'photo')} cannot be used ({reasons})"
            said.append(f"{called}: {photos}; first {self._first_failure}")
        return said


class FolderSide(Side):
    """The output folder of a run: what it says now, with what reviewers changed and `apply` carried out.

    Args:
        given: see `Side`.
        records: last record of each photo, by key.
        keys: keys of the records, in the order of audit.csv.
        config: settings of the folder, as resolved.
        locations: key → where the photo is.
        labels: see `Side`.
        verdicts: key → the reviewer's last word.
    """

    has_sizes = True

    def __init__(
        self,
        given: str,
        records: Mapping[str, Record],
        keys: Column,
        config: CropConfig,
        locations: Mapping[str, Location],
        labels: LabelsOfSide | None,
        verdicts: Mapping[str, Verdict],
    ) -> None:
        super().__init__(given, _about_folder(config))
        self.labels = labels
        self.config = config
        self._records, self._keys, self._locations = records, keys, locations
        self._other_names: dict[str, str] = {}
        self._keys_of: dict[str, str] = {}
        self.waiting = sum(
            AuditPhoto(records[key], (), Doubts((), 0.0), verdicts.get(key)).is_waiting
            for key in verdicts
            if key in records
        )

    @property
    def names(self) -> Sequence[str]:
        return self._keys

    @property
    def paths(self) -> Mapping[str, str]:
        return _PathsOf(self._keys, self._locations)

    @property
    def rank(self) -> float:
        return 2.0

    def expect(self, photos: Mapping[str, str]) -> Sequence[str]:
        mine = self._keys
        same = Texts(key for key in photos if key in mine)
        left = {key: photos[key] for key in photos if key not in same}
        free = Texts(key for key in mine if key not in same) if same else mine
        if not left:
            return free
        matching = NameIndex(free).match(left)
        if not same and not matching.name_of:
            raise NoneInCommonError
        self._other_names = dict(matching.name_of)
        self._keys_of = {name: key for key, name in self._other_names.items()}
        if matching.note_on_moved:
            self.notes.append(matching.note_on_moved)
        return Texts(key for key in free if key not in matching.photo_of)

    def own_name(self, key: str) -> str | None:
        name = self._other_names.get(key)
        return key if name is None and key in self._records else name

    def key_of(self, name: str) -> str:
        return self._keys_of.get(name, name)

    def size(self, key: str) -> SizeWH | None:
        record = self._record(key)
        return None if record is None or not record.width * record.height else (record.width, record.height)

    def file_size(self, key: str) -> int:
        record = self._record(key)
        return 0 if record is None else record.file_size

    def gives_all(self, said: SideColumns) -> bool:
        return self.config.animals == "all"

    def location(self, key: str) -> Location:
        name = self.own_name(key)
        return NOWHERE if name is None else self._locations.get(name, NOWHERE)

    def read(self, keys: Column, sizes: NDArray[np.int32]) -> SideColumns:
        columns = Builder()
        for key in keys:
            record = self._record(key)
            if record is None:
                columns.add(State.NOT_LOOKED)
            elif record.status == "failed":
                self.fail(key, record.reason, record.error)
                columns.add(State.FAILED)
            else:
                state = self._state(record)
                boxes = _boxes_of(record) if state == State.LOOKED else ()
                columns.add(state, (record.width, record.height), boxes)
        return columns.take()

    def _state(self, record: Record) -> State:
        """Return whether anybody looked at a photo that could be read."""
        return State.NOT_LOOKED if record.unlisted and not record.verdict else State.LOOKED

    def _record(self, key: str) -> Record | None:
        return self._records.get(self._other_names.get(key, key))

    def sentences(self, called: str) -> list[str]:
        said = super().sentences(called)
        if self.waiting:
            what = f"{counted(self.waiting, 'verdict waits', 'verdicts wait')} to be applied"
            said.append(
                f"{called}: {what}, so {either(self.waiting, 'its box is', 'their boxes are')} those of "
                "before the review; `detic-crop apply` makes the folder follow"
            )
        return said


class ReviewedSide(FolderSide):
    """An output folder as the truth: what reviewers said; of a folder that nobody reviewed, all of it."""

    def read(self, keys: Column, sizes: NDArray[np.int32]) -> SideColumns:
        self._any_verdict = any(record.verdict for record in self._records.values())
        if not self._any_verdict and not self.config.model.startswith("boxes:"):
            self.notes.append(
                f"nobody has reviewed it, so what the model {self.config.model} found counts as true"
            )
        return super().read(keys, sizes)

    def _state(self, record: Record) -> State:
        if not self._any_verdict:
            return super()._state(record)
        unclear = record.verdict == "whole" and detected_box(record) is not None
        return State.NOT_LOOKED if record.verdict in ("", "unsure") or unclear else State.LOOKED


class FileSide(Side):
    """A boxes file, or a folder of label files.

    Args:
        given: see `Side`.
        boxes: the file.
    """

    has_sizes = False

    def __init__(self, given: str, boxes: BoxesFileDetector) -> None:
        super().__init__(given, f"boxes of {counted(boxes.listed, 'photo')}")
        self._boxes = boxes
        self._alone: Column = Texts()
        self.count_only(None, None)

    @property
    def class_names(self) -> Sequence[str]:
        """Names of its classes; none where it has no classes."""
        return self._boxes.info.class_names

    def count_only(self, classes: Sequence[str] | None, conf: float | None) -> None:
        """Say which of its boxes count.

        Args:
            classes: classes that count; None for all.
            conf: lowest score that counts; None for what it proposes itself.
        """
        self._classes = classes
        self._conf = self._boxes.info.default_conf if conf is None else conf
        self._boxes.ask_for(self._classes, self._conf)

    @property
    def names(self) -> Sequence[str]:
        return self._boxes.names

    @property
    def paths(self) -> Mapping[str, str]:
        return dict.fromkeys(self._boxes.names, "")

    @property
    def rank(self) -> float:
        names = self._boxes.names
        return sum("." in name.rpartition("/")[2] for name in names) / max(1, len(names))

    def expect(self, photos: Mapping[str, str]) -> Sequence[str]:
        try:
            self._boxes.expect(photos)
        except UsageError as error:
            raise NoneInCommonError from error
        self._alone = Texts(self._boxes.left)
        return self._alone

    def own_name(self, key: str) -> str | None:
        return key if key in self._alone else None

    def size(self, key: str) -> SizeWH | None:
        return self._boxes.stated_size(key, self.own_name(key))

    def gives_all(self, said: SideColumns) -> bool:
        return said.has_several

    def location(self, key: str) -> Location:
        return NOWHERE

    def read(self, keys: Column, sizes: NDArray[np.int32]) -> SideColumns:
        columns = Builder()
        for key, (width, height) in zip(keys, sizes.tolist(), strict=True):
            size = (width, height) if width and height else None
            try:
                found = self._boxes.of_photo(key, size, self.own_name(key)).rounded()
            except PhotoError as error:
                self.fail(key, error.reason, error.message)
                columns.add(State.FAILED, size)
                continue
            counts = wanted_mask(found, self._classes) & (found.scores >= np.float32(self._conf))
            boxes = [
                SideBox(
                    found.edges(i) if size is None else clip(found.edges(i), size),
                    found.score(i),
                    found.class_names[i],
                )
                for i in np.flatnonzero(counts & (found.areas > 0)).tolist()
            ]
            columns.add(State.LOOKED if found.listed else State.NOT_LOOKED, size, boxes)
        self.notes += self._boxes.notes_on_file()
        return columns.take()


class _PathsOf(Mapping[str, str]):
    """Key → path or address of photos, made when it is read."""

    def __init__(self, keys: Column, locations: Mapping[str, Location]) -> None:
        self._keys, self._locations = keys, locations

    def __getitem__(self, key: str) -> str:
        if key not in self._keys:
            raise KeyError(key)
        return self._locations.get(key, NOWHERE).own_path

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)


def _about_folder(config: CropConfig) -> str:
    conf = "" if config.conf is None else f", conf {config.conf:g}"
    return f"folder, model {config.model}{conf}"


def _boxes_of(record: Record) -> list[SideBox]:
    """Return the boxes that an output folder has for a photo; none of one that a reviewer rejected."""
    if record.status == "rejected":
        return []
    found = record.animals or (record,)
    return [SideBox(one.box, one.score, one.class_name) for one in found if one.box is not None]
