"""Which photos of a data set still need a crop, and what every crop is called."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Protocol

from detic_crop.config import CropConfig
from detic_crop.folder.decisions import Decision
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.journal import unfinished_crops
from detic_crop.folder.known import Known
from detic_crop.folder.names import NameRules
from detic_crop.folder.records import Record, ResumeEntry
from detic_crop.folder.tars import within
from detic_crop.images.encode import EXTENSIONS
from detic_crop.photos.photo import Photo
from detic_crop.work.recipe import Job


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

    keys: Sequence[str]
    photos: Sequence[Photo]
    config: CropConfig
    per_tar: int
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    earlier: Mapping[str, Record] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is left to do.

    Attributes:
        jobs: photos to work on, in input order.
        skipped: number of photos whose crop is there and whose file has not changed.
        replaced: key → crop that the folder has of a photo that is done again.
    """

    jobs: list[Job]
    skipped: int
    replaced: dict[str, str]


class Naming(Protocol):
    """How crops are named; it depends on whether other runs put crops into the folder at the same time."""

    def files_in_the_way(self) -> dict[str, int]:
        """Return the files that new names avoid: path → size in bytes, -1 for a link."""
        ...

    def name_crops(
        self, task: Task, settled: Mapping[str, str], taken: Set[str], extension: str, rules: NameRules
    ) -> dict[str, str]:
        """Return key → crop of at least the photos of the task; see `crop_names`."""
        ...


def make_plan(task: Task, records: Known[ResumeEntry], folder: OutputFolder, naming: Naming) -> Plan:
    """Name every crop and find the photos that still need one.

    Args:
        task: what is wanted.
        records: what the journal has, by key.
        folder: the output folder.
        naming: how new crops are named.

    Raises:
        UsageError: a crop could overwrite a photo or a tar file of somebody else; nothing was changed.
    """
    files = naming.files_in_the_way()
    recorded = {key: record.crop for key, record in records.items() if record.crop}
    ours: set[str] = set()
    if files:
        ours = {*recorded.values(), *unfinished_crops(folder.layout.candidates, records)}
    names = _crop_names(task, recorded, folder, naming, foreign=files.keys() - ours)
    crops = [names[photo.key] for photo in task.photos]
    folder.crops.refuse_foreign(crops, ours, files)
    # Where the photos are was checked before the folder was locked.
    folder.checks.crops_inside(crops, {name for name, size in files.items() if size >= 0})
    jobs = [
        Job(photo, crop, task.decisions.get(photo.key), task.earlier.get(photo.key))
        for photo, crop in zip(task.photos, crops, strict=True)
        if not _is_finished(photo, records.get(photo.key), folder, files, task.decisions.get(photo.key))
    ]
    keys = (job.photo.key for job in jobs)
    replaced = {key: recorded[key] for key in keys if key in recorded}
    return Plan(jobs, len(crops) - len(jobs), replaced)


def _crop_names(
    task: Task, recorded: Mapping[str, str], folder: OutputFolder, naming: Naming, foreign: Set[str]
) -> dict[str, str]:
    """Return key → crop; recorded names stay, new ones keep clear of `foreign` files."""
    suffix = EXTENSIONS[task.config.format]
    rules = folder.crops.rules
    earlier = {key: record.crop for key, record in task.earlier.items() if record.crop}
    settled = {key: os.path.splitext(within(crop))[0] + suffix for key, crop in earlier.items()}
    settled = {key: name for key, name in settled.items() if name not in foreign and rules.allow(name)}
    settled |= {key: within(crop) for key, crop in recorded.items()}
    keys = [photo.key for photo in task.photos]
    names = naming.name_crops(task, settled, foreign, suffix, rules)
    return folder.crops.arrange(names, keys, recorded, task.per_tar)


def _is_finished(
    photo: Photo,
    record: ResumeEntry | None,
    folder: OutputFolder,
    files: Mapping[str, int],
    decision: Decision | None,
) -> bool:
    if record is None or record.status == "failed":
        return False
    if decision is not None and not decision.is_followed_by(record):
        return False
    if (record.file_size, record.file_time) != (photo.size, photo.version):
        return False
    if record.status == "rejected":
        return True
    size = files.get(record.crop)
    if size is None or size < 0:  # a link, a shard's or in a tar file
        size = folder.crops.size(record.crop)
    return size == record.crop_bytes
