"""manifest.csv of an output folder: what its photos and crops are known by, in the order of audit.csv."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain

from detic_crop.errors import PhotoError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.manifest import MANIFEST_COLUMNS, MISSING, Entry, FileHash, hash_photo
from detic_crop.folder.records import CropFile, Record, files_of
from detic_crop.folder.tars import Crops
from detic_crop.photos.location import NOWHERE, Location
from detic_crop.report.model import Audit
from detic_crop.report.table import csv_parts
from detic_crop.system.in_order import map_in_order
from detic_crop.system.machine import default_workers
from detic_crop.wording import counted, either

_WITHOUT_HASH = {
    "gone": ("photo is gone", "photos are gone", "pass --in FOLDER, where they are now"),
    "changed": ("photo has changed", "photos have changed", "run the `run` command again"),
    "unreadable": ("photo cannot be read", "photos cannot be read", "see to that"),
    "lost": (
        "crop is missing or has changed",
        "crops are missing or have changed",
        "run the `run` command again",
    ),
}
"""Why a photo or crop has no hash → that of one, of many, and what to do."""


@dataclass(slots=True)
class Hashed:
    """What was hashed so far.

    Attributes:
        photos: number of photos.
        crops: number of crops.
        without: why a photo or crop has no hash → how many there are; see `_WITHOUT_HASH`.
        first: the same → the first name.
    """

    photos: int = 0
    crops: int = 0
    without: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def note(self, why: str, name: str) -> None:
        """Count a photo or crop that has no hash."""
        self.without[why] += 1
        self.first.setdefault(why, name)

    def sentences(self) -> list[str]:
        """Return what has no hash, and why, in sentences; none if all has one."""
        return [
            f"manifest.csv: {self.without[why]:,} {either(self.without[why], of_one, of_many)} (the first: "
            f"{self.first[why]}), so the hash is left empty; {advice}, then make it again"
            for why, (of_one, of_many, advice) in _WITHOUT_HASH.items()
            if self.without[why]
        ]


def write_manifest(
    folder: OutputFolder, audit: Audit, all_records: Mapping[str, Record], step: Callable[[], None]
) -> list[str]:
    """Write manifest.csv; every photo and crop is read once, a few at a time.

    Args:
        folder: the output folder.
        audit: the photos of audit.csv, their order, and where they are now.
        all_records: last record of each photo, by key: those that labels leave out of audit.csv follow.
        step: called after each photo.

    Returns:
        What a person should know: how much it holds, its own SHA-256, and what has no hash.

    Raises:
        OutputError: the disk is full, or the folder cannot be read or written.
    """
    hashed, own = Hashed(), hashlib.sha256()

    def parts() -> Generator[bytes, None, None]:
        shown = (photo.record for photo in audit.photos.in_order())
        others = (record for key, record in all_records.items() if key not in audit.photos)
        records = chain(shown, others)
        entries = entries_of(records, audit.whereabouts.locations, folder.crops, hashed, step)
        for part in csv_parts(manifest_cells(entries)):
            own.update(part)
            yield part

    with closing(parts()) as made:
        folder.write_parts(folder.layout.manifest, made)
    photos, crops = counted(hashed.photos, "photo"), counted(hashed.crops, "crop")
    return [*hashed.sentences(), f"manifest.csv: {photos}, {crops}; its own SHA-256 is {own.hexdigest()}"]


def manifest_cells(entries: Iterable[Entry]) -> Iterator[list[str]]:
    """Yield the header of a manifest, then the cells of each row."""
    return chain([[*MANIFEST_COLUMNS]], (entry.cells() for entry in entries))


def entries_of(
    records: Iterable[Record],
    locations: Mapping[str, Location],
    crops: Crops,
    hashed: Hashed,
    step: Callable[[], None],
) -> Iterator[Entry]:
    """Yield the rows of photos: one for each crop, or one without.

    Args:
        records: records of the photos.
        locations: key → where the photo is now.
        crops: the crops.
        hashed: is told what was hashed, and what could not be.
        step: called after each photo.

    Raises:
        OSError: a crop cannot be read.
    """
    jobs = ((record, locations.get(record.image, NOWHERE)) for record in records)
    with closing(map_in_order(lambda job: _look(*job, crops), jobs, default_workers())) as found:
        for record, photo, reason, files in found:
            if reason:
                hashed.note(reason, record.image)
            hashed.photos += 1
            hashed.crops += len(files)
            for file, crop_file in files:
                if crop_file is None:
                    hashed.note("lost", file.name)
            rows = [Entry(record.image, photo, file.name, crop_file) for file, crop_file in files]
            yield from rows or [Entry(record.image, photo)]
            step()


def _look(
    record: Record, location: Location, crops: Crops
) -> tuple[Record, FileHash | None, str, list[tuple[CropFile, FileHash | None]]]:
    """Return the record, the photo's hash or why it has none, and its crops."""
    photo, reason = None, ""
    try:
        photo = hash_photo(location, record)
    except PhotoError as error:
        if record.status != "failed":  # of which nobody expects anything
            is_gone = error.reason in MISSING
            reason = "gone" if is_gone else "changed" if error.reason == "photo_changed" else "unreadable"
    files = () if record.status == "rejected" else files_of(record)
    return record, photo, reason, [(file, _hash_crop(file, crops)) for file in files]


def _hash_crop(file: CropFile, crops: Crops) -> FileHash | None:
    """Return what a crop is known by; None where it is not as the journal says."""
    try:
        found = FileHash.of(crops.read(file.name))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found if found.size == file.size else None
