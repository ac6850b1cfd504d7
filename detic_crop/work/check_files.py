"""Whether the crops of a photo, and the photo itself, are still as they were made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from detic_crop.errors import PhotoError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.manifest import MISSING, NOTHING_KNOWN, Entry, FileHash, hash_photo
from detic_crop.folder.problem import Problem
from detic_crop.folder.records import CropFile, Record, files_of
from detic_crop.images.decode import PhotoFile
from detic_crop.images.source import BytesSource
from detic_crop.photos.location import Location
from detic_crop.system.memory_budget import MemoryBudget
from detic_crop.wording import counted

_MAX_PIXELS = 1 << 32
"""Of a crop, as a JPEG may have: `native` ones are as large as photos, and memory is limited anyway."""


class _Repair(NamedTuple):
    """What a person can do about a crop.

    Attributes:
        of_file: one that is missing or has another size.
        of_bytes: one that has its size and other bytes.
    """

    of_file: str
    of_bytes: str


_RUN_AGAIN = _Repair(
    "run the `detic-crop run` command again, which makes it again",
    "delete the file, then run the `detic-crop run` command again",  # a run goes by sizes
)
_COPY_AGAIN = _Repair(*["copy it again from where it came"] * 2)


class Task(NamedTuple):
    """A photo to check.

    Attributes:
        image: its key.
        record: what the journal says of it; None where there is no journal.
        entries: its rows in manifest.csv.
        location: where it is now; None if it is not to be checked.
    """

    image: str
    record: Record | None
    entries: tuple[Entry, ...] = ()
    location: Location | None = None


class Checked(NamedTuple):
    """What was found of a photo.

    Attributes:
        problems: what is wrong.
        crops: number of crops that were looked at.
        photos: 1 if the photo was looked at, else 0.
    """

    problems: list[Problem]
    crops: int
    photos: int


class FileCheck:
    """Checks the files of one photo after another; safe from several threads.

    Args:
        folder: the folder with the crops.
        with_manifest: a crop that is in no row of manifest.csv is a problem.
        memory: where memory for pixels is borrowed.
    """

    def __init__(self, folder: OutputFolder, with_manifest: bool, memory: MemoryBudget) -> None:
        self._folder = folder
        self._with_manifest = with_manifest
        self._memory = memory

    def __call__(self, task: Task) -> Checked:
        """Check the crops of a photo and, if it says where, the photo."""
        if task.record is None:
            named = [entry for entry in task.entries if entry.crop]
            problems = [problem for entry in named for problem in self._listed_crop(entry)]
            count = len(named)
        else:
            problems = list(self._recorded_crops(task.record, task.entries))
            count = len(files_of(task.record))
        expected = _expected_photo(task)
        if expected is None or task.location is None:
            return Checked(problems, count, 0)
        problems += _check_photo(task, task.location, *expected)
        return Checked(problems, count, 1)

    # ------------------------------------------------------------ crops

    def _listed_crop(self, entry: Entry) -> Iterator[Problem]:
        """Yield what is wrong with a crop of which only the manifest knows."""
        yield from self._check(entry.crop, entry.crop, entry.crop_file, _COPY_AGAIN)

    def _recorded_crops(self, record: Record, entries: Iterable[Entry]) -> Iterator[Problem]:
        """Yield what is wrong with the crops that the journal has of a photo."""
        rows = {entry.crop: entry.crop_file for entry in entries if entry.crop}
        is_aside = record.status == "rejected"
        for file in files_of(record):
            listed = None if is_aside else rows.pop(file.name, None)
            place = self._folder.aside.find(record, file.name) if is_aside else file.name
            if listed is not None and listed.size != file.size:  # the crop was made again since
                yield _older(file)
                listed = None
            elif listed is None and self._with_manifest and not is_aside:
                yield Problem("manifest", file.name, "expected its SHA-256 in manifest.csv, found none")
            yield from self._check(file.name, place, listed or FileHash(file.size, ""), _RUN_AGAIN)
        for name in rows:
            yield Problem(
                "manifest", name, "the journal has no such crop; write manifest.csv again: audit --manifest"
            )

    def _check(self, name: str, place: str, expected: FileHash | None, repair: _Repair) -> Iterator[Problem]:
        """Yield what is wrong with a crop, at most one thing.

        Args:
            name: path of the crop, for messages.
            place: where it is; a rejected one is set aside.
            expected: what it is known by, without a SHA-256 where that is unknown; None: nothing.
            repair: what to do.
        """
        try:
            data = self._folder.crops.read(place)
        except (FileNotFoundError, NotADirectoryError):
            yield Problem("crop_missing", name, f"expected a crop, found none; {repair.of_file}")
            return
        except OSError as error:
            yield Problem("crop_unreadable", name, f"it cannot be read: {error.strerror or error}")
            return
        if expected is not None and len(data) != expected.size:
            size = counted(expected.size, "byte")
            yield Problem("crop_changed", name, f"expected {size}, got {len(data):,}; {repair.of_file}")
        elif expected is not None and expected.sha256 and FileHash.of(data) != expected:
            yield Problem(
                "crop_changed", name, f"expected the SHA-256 of manifest.csv, got another; {repair.of_bytes}"
            )
        elif (damage := self._damage(data, name)) is not None:
            kind = "unreadable" if damage.reason == "out_of_memory" else "damaged"
            yield Problem(f"crop_{kind}", name, damage.message)

    def _damage(self, data: bytes, name: str) -> PhotoError | None:
        """Return why a crop cannot be decoded; None if it can."""
        try:
            crop = PhotoFile.open(
                BytesSource(data), self._memory, name=name, max_pixels=_MAX_PIXELS, truncated="fail"
            )
            try:
                crop.decode()
            finally:
                crop.give_back()
        except PhotoError as error:
            return error
        return None


def _older(file: CropFile) -> Problem:
    return Problem(
        "manifest", file.name, "it was cropped again after manifest.csv; write that again: audit --manifest"
    )


def _expected_photo(task: Task) -> tuple[Record, FileHash | None] | None:
    """Return what journal and manifest know of a photo's file; None if there is nothing to expect of it."""
    listed = next((entry.photo for entry in task.entries if entry.photo is not None), None)
    if task.record is None or task.record.status == "failed":  # that one may be as it likes
        return None if listed is None else (NOTHING_KNOWN, listed)
    return task.record, listed


def _check_photo(task: Task, location: Location, known: Record, listed: FileHash | None) -> Iterator[Problem]:
    """Yield what is wrong with a photo, at most one thing.

    Args:
        task: the photo.
        location: where it is now.
        known: what the journal knows of its file.
        listed: what manifest.csv knows of it; None: nothing.
    """
    try:
        found = hash_photo(location, known)
    except PhotoError as error:
        kind = "missing" if error.reason in MISSING else "unreadable"
        kind = "changed" if error.reason == "photo_changed" else kind
        where = f" ({location.describe()})" if kind == "missing" else ""
        yield Problem(f"photo_{kind}", task.image, f"{error.message}{where}")
        return
    if listed is None or found == listed:
        return
    if found.size != listed.size:
        said = f"expected the {listed.size:,} bytes of manifest.csv, got {found.size:,}"
    else:
        said = "expected the SHA-256 of manifest.csv, got another"
    yield Problem("photo_changed", task.image, said)
