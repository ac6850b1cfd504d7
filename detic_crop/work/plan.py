"""Which photos of a data set still need a crop, and what every crop is called."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray

from detic_crop.columns import Column, TextMap, Texts, hashes_of, numbers
from detic_crop.config import CropConfig
from detic_crop.folder.crop_paths import within
from detic_crop.folder.decisions import Decision
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import unfinished_of_each
from detic_crop.folder.known import Known
from detic_crop.folder.names import CropNames, FixedNames, NameRules
from detic_crop.folder.records import Record, ResumeEntry, files_of, names_of
from detic_crop.images.encode import EXTENSIONS
from detic_crop.photos.photo import Photo
from detic_crop.photos.table import Photos
from detic_crop.work.recipe import Job

_TOGETHER = 10_000
"""Files that are told apart together."""


@dataclass(frozen=True, slots=True)
class Task:
    """The data set that a command is asked for.

    Attributes:
        keys: every photo of the input; names are computed from all of them.
        photos: the photos of this call, in input order.
        config: resolved settings.
        per_tar: most photos in a tar file of crops.
        decisions: what a reviewer decided, by key; a crop that does not follow it is made again.
        earlier: records of the run whose boxes are used again, by key; crops keep their names but for the
            extension.
    """

    keys: Column
    photos: Photos
    config: CropConfig
    per_tar: int
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    earlier: Mapping[str, Record] = field(default_factory=dict)


class Jobs(Sequence[Job]):
    """The jobs of a plan, each made when it is read.

    Args:
        task: the task.
    """

    def __init__(self, task: Task) -> None:
        self._photos = task.photos
        self._decisions = task.decisions
        self._earlier = task.earlier
        self._rows = array("q")
        # Of each crop: how long it is alike with its photo's key, and what follows.
        self._alike, self._endings = array("i"), Texts()

    def add(self, row: int, key: str, crop: str) -> None:
        """Put the photo in a row of the task at the end.

        Args:
            row: its row.
            key: its key.
            crop: path of its crop.
        """
        stem = crop.rpartition(".")[0]
        alike = len(stem) if key.startswith(stem) else 0
        self._rows.append(row)
        self._alike.append(alike)
        self._endings.append(crop[alike:])

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, number: int) -> Job: ...
    @overload
    def __getitem__(self, number: slice) -> list[Job]: ...
    def __getitem__(self, number: int | slice) -> Job | list[Job]:
        if isinstance(number, slice):
            return [self[i] for i in range(len(self))[number]]
        photo = self._photos[self._rows[number]]
        crop = photo.key[: self._alike[number]] + self._endings[number]
        return Job(photo, crop, self._decisions.get(photo.key), self._earlier.get(photo.key))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is left to do.

    Attributes:
        jobs: photos to work on, in input order.
        skipped: number of photos whose crop is there and whose file has not changed.
        replaced: key → crops that the folder has of a photo that is done again.
        unfinished: key → crops that a killed run was about to write, of a photo that was not recorded since.
    """

    jobs: Sequence[Job]
    skipped: int
    replaced: Mapping[str, Collection[str]]
    unfinished: Mapping[str, Collection[str]]


class _Replaced(Mapping[str, Collection[str]]):
    """Key → crops of a photo, in two columns."""

    def __init__(self) -> None:
        self._crops = TextMap()

    def add(self, key: str, crops: Collection[str]) -> None:
        """Put in the crops of a photo that has none yet."""
        self._crops.add(key, "\0".join(crops))  # which no path has

    def __getitem__(self, key: str) -> Collection[str]:
        return self._crops[key].split("\0")

    def __len__(self) -> int:
        return len(self._crops)

    def __iter__(self) -> Iterator[str]:
        return iter(self._crops)


class Surroundings(Protocol):
    """What else is in the folder; it depends on whether other runs put crops there at the same time."""

    def files_in_the_way(self) -> Iterable[tuple[str, int]]:
        """Yield the files that new names avoid, and their bytes; -1 for a link."""
        ...


def make_plan(
    task: Task, records: Known[ResumeEntry], folder: OutputFolder, surroundings: Surroundings
) -> Plan:
    """Name every crop and find the photos that still need one.

    Args:
        task: what is wanted.
        records: what the journal has, by key.
        folder: the output folder.
        surroundings: the files that new crops avoid.

    Raises:
        UsageError: a crop could overwrite a photo or a tar file of somebody else; nothing was changed.
    """
    are_numbered = task.config.animals == "all"
    rules = folder.crops.rules.numbered() if are_numbered else folder.crops.rules
    fixed, ours = FixedNames(are_numbered=are_numbered), array("q")
    for record in records.values():
        if record.crop:
            ours.extend(map(hash, names_of(record)))
            fixed.settle(record.image, within(record.crop))
    unfinished = unfinished_of_each(folder.layout.candidates, records)
    names_unfinished = set(chain.from_iterable(unfinished.values()))
    files = _FilesThere(surroundings.files_in_the_way(), ours, names_unfinished)
    for path in files.others:
        fixed.take(path)
    lent = partial(_lent_name, task, rules, files.others)
    for key, earlier in task.earlier.items():
        if (name := lent(earlier)) and not _crop_of(records.get(key)):
            fixed.settle(key, name)
    names = CropNames(task.keys, EXTENSIONS[task.config.format], fixed, rules)
    places = folder.crops.places(filter(None, map(_crop_of, records.values())), task.per_tar)
    check = folder.checks.check_of_crops()
    jobs, replaced = Jobs(task), _Replaced()
    for row, photo in enumerate(task.photos):
        found = records.get(photo.key)
        before = _crop_of(found)
        name = within(before) or lent(task.earlier.get(photo.key)) or names[photo.key]
        crop = places.place(name, before)
        recorded = () if found is None else files_of(found)
        # Where the photos are was checked before the folder was locked.
        sizes = [files.size(file.name) for file in recorded]
        for file, size in zip(recorded, sizes, strict=True):
            check(file.name, size is not None and size >= 0)
        if not recorded:
            size = files.size(crop)
            check(crop, size is not None and size >= 0)
        decision = task.decisions.get(photo.key)
        # What was written after its record may be in the place of a crop, or beside its crops.
        is_torn = photo.key in unfinished
        if found is None or is_torn or not _is_finished(photo, found, folder, sizes, decision):
            jobs.add(row, photo.key, crop)
            if recorded:
                replaced.add(photo.key, [file.name for file in recorded])
    places.refuse_foreign(files.others, names_unfinished)
    return Plan(jobs, len(task.photos) - len(jobs), replaced, unfinished)


def _crop_of(record: ResumeEntry | None) -> str:
    """Return the crop that is recorded; empty for none."""
    return "" if record is None else record.crop


def _lent_name(task: Task, rules: NameRules, foreign: Container[str], record: Record | None) -> str:
    """Return the name that the crop of the run lends whose boxes are used again; empty for none.

    Args:
        task: the task.
        rules: rules for the file names.
        foreign: files of others, which no name takes.
        record: record of that run.
    """
    if record is None or not record.crop:
        return ""
    name = os.path.splitext(within(record.crop))[0] + EXTENSIONS[task.config.format]
    return name if name not in foreign and rules.allow(name) else ""


class _FilesThere:
    """The files in the folder: sizes of our crops by hashes of their paths, 16 bytes each; and all others.

    Args:
        files: path and bytes of each; -1 for a link.
        ours: hashes of the recorded crops.
        unfinished: crops that a killed run was about to write, which are ours, too.

    Attributes:
        others: path → bytes of what is not ours.
    """

    def __init__(
        self, files: Iterable[tuple[str, int]], ours: array[int], unfinished: Collection[str]
    ) -> None:
        self.others: dict[str, int] = {}
        paths, sizes = array("q"), array("q")
        known: NDArray[np.int64] | None = None
        files = iter(files)
        while several := list(islice(files, _TOGETHER)):
            if known is None:
                known = np.sort(np.concatenate([np.frombuffer(ours, np.int64), hashes_of(unfinished)]))
            found = hashes_of([path for path, _ in several])
            for (path, size), number, is_ours in zip(
                several, found.tolist(), _are_in(found, known).tolist(), strict=True
            ):
                if is_ours:
                    paths.append(number)
                    sizes.append(size)
                else:
                    self.others[path] = size
        order = np.argsort(np.frombuffer(paths, np.int64))
        self._paths = numbers(np.frombuffer(paths, np.int64)[order])
        self._sizes = numbers(np.frombuffer(sizes, np.int64)[order])

    def size(self, path: str) -> int | None:
        """Return the bytes of a file, -1 of a link; None if it is not there."""
        number = hash(path)
        place = bisect_left(self._paths, number)
        if place < len(self._paths) and self._paths[place] == number:
            return self._sizes[place]
        return self.others.get(path)


def _are_in(hashes: NDArray[np.int64], ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each hash is among some others: (N,) bool."""
    if not len(ascending):
        return np.zeros(len(hashes), np.bool_)
    places = np.minimum(np.searchsorted(ascending, hashes), len(ascending) - 1)
    are_in: NDArray[np.bool_] = ascending[places] == hashes
    return are_in


def _is_finished(
    photo: Photo,
    record: ResumeEntry,
    folder: OutputFolder,
    sizes: Sequence[int | None],
    decision: Decision | None,
) -> bool:
    """Return whether a photo need not be done again.

    Args:
        photo: the photo as it is now.
        record: what the journal has of it.
        folder: the output folder.
        sizes: bytes of each file where a crop of it belongs; None or negative where that is not known.
        decision: what a reviewer decided; None for nothing.
    """
    if record.status == "failed":
        return False
    if decision is not None and not decision.is_followed_by(record):
        return False
    if (record.file_size, record.file_time) != (photo.size, photo.version):
        return False
    if record.status == "rejected":
        return True
    for file, size in zip(files_of(record), sizes, strict=True):
        if size is None or size < 0:  # a link, a shard's or in a tar file
            size = folder.crops.size(file.name)
        if size != file.size:
            return False
    return True
