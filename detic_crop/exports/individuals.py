"""What the exports for identifying individuals share: who is where in a picture, seen when and from where."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import NamedTuple

from detic_crop.boxes.geometry import PixelBox, round_out, whole
from detic_crop.exports.job import Job
from detic_crop.exports.names import NameOf, UniqueNames, plain, with_extension_of
from detic_crop.exports.picture import Picture, each_animal
from detic_crop.folder.times_file import load_times, read_time
from detic_crop.report.groups import PANDAS_MISSING, individual_named
from detic_crop.wording import counted, either

UNKNOWN = "unknown"
"""What stands for an individual, species or viewpoint that nobody knows, where a reader wants a word."""

DATE_COLUMNS = (
    *("date", "date_taken", "taken", "datetime", "date_time", "timestamp", "observed_on"),
    *("event_date", "encounter_date", "sighting_date", "datetimeoriginal"),
)

_DATE = re.compile(
    r"(?P<year>\d{4})(?:[-/:.](?P<month>\d{1,2})(?:[-/:.](?P<day>\d{1,2})"
    r"(?:[T ]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::\d{2}.*)?)?)?)?"
)
_COMPACT_DATE = re.compile(r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})")
_FIRST_YEAR = 1800  # before it nobody took a photo


class Moment(NamedTuple):
    """When a photo was taken, by the camera's clock; None from where it is unknown.

    Attributes:
        year, month, day, hour, minute: as usual, month and day from 1.
    """

    year: int
    month: int | None = None
    day: int | None = None
    hour: int | None = None
    minute: int | None = None

    @property
    def date(self) -> str:
        """The day, ``2019-07-04``; empty if only the year or month is known."""
        if self.month is None or self.day is None:
            return ""
        return f"{self.year:04}-{self.month:02}-{self.day:02}"


def moment_of(text: str) -> Moment | None:
    """Return when a text says, which begins with the year; None if it says otherwise, or nothing.

    ``04/07/2019`` may be in April or July, and so is not taken.
    """
    text = text.strip()
    found = _COMPACT_DATE.fullmatch(text) or _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day = (int(found[name] or 0) for name in ("year", "month", "day"))
    parts = found.groupdict()
    hour, minute = (int(parts[name]) if parts.get(name) else None for name in ("hour", "minute"))
    try:
        datetime.datetime(year, month or 1, day or 1, hour or 0, minute or 0)
    except ValueError:
        return None
    return Moment(year, month or None, day or None, hour, minute) if year >= _FIRST_YEAR else None


class Dates:
    """When photos were taken: as the labels say, else as their EXIF does, which is read where no run has.

    Args:
        job: what is exported.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._column = job.usual_column(DATE_COLUMNS)
        self._times = load_times(job.folder)
        self._unread = 0
        self._example = ""

    def of(self, picture: Picture) -> Moment | None:
        """Return when the photo was taken; None if nobody knows."""
        if self._column is not None and (label := self._job.label(picture, self._column)):
            if said := moment_of(label):
                return said
            if label.casefold() not in PANDAS_MISSING:
                self._unread += 1
                self._example = self._example or label
        return moment_of(self._taken(picture))

    def to_the_minute(self, picture: Picture) -> Moment | None:
        """Return when the photo was taken; the time is that of the EXIF, if the label has the day only."""
        said = self.of(picture)
        if said is None or said.day is None or said.hour is not None:
            return said
        taken = moment_of(self._taken(picture))
        return taken if taken is not None and taken.date == said.date else said

    def sentences(self) -> Iterator[str]:
        """Yield which labels were not taken for dates."""
        if self._unread:
            yield (
                f"{counted(self._unread, 'date')} of the label column {self._column} "
                f"{either(self._unread, 'is', 'are')} not taken, such as {self._example}: write dates as "
                "2019-07-04, since others may swap day and month; EXIF counts instead where there is any"
            )

    def _taken(self, picture: Picture) -> str:
        record = picture.record
        if record.taken or self._job.config.metadata:
            return record.taken
        known = self._times.of(record) or read_time(self._job.location(picture), record)
        return known[0] if known else ""


def individual_of(job: Job, picture: Picture) -> str:
    """Return the individual of a picture as the labels spell it; empty if nobody knows it."""
    return individual_named(job.label(picture, job.individual_column))


def box_of(picture: Picture) -> PixelBox:
    """Return the whole pixels that contain the picture's one box; all of them if there is none."""
    if not picture.boxes:
        return whole(picture.sides)
    return round_out(picture.boxes[0].xyxy, picture.sides)


def xywh_of(picture: Picture) -> tuple[int, int, int, int]:
    """Return left, top, width and height of `box_of`."""
    left, top, right, bottom = box_of(picture)
    return left, top, right - left, bottom - top


def id_of(picture: Picture) -> str:
    """Return a name for an animal of a picture that no other has: the photo's key, ``#`` and its number."""
    return picture.key if picture.animal is None else f"{picture.key}#{picture.animal}"


def animals_in(job: Job, doing: str) -> Iterator[Picture]:
    """Yield a picture for each animal of the pictures, and show how far it is; see `each_animal`."""
    for picture in job.each(doing):
        yield from each_animal(picture)


def plain_names(job: Job, folder: str, accepts: tuple[str, ...]) -> NameOf:
    """Return names for the pictures in one folder, of letters, digits and ``_`` that every program reads.

    Where no pictures are written they have their own names, below their own folder.
    """
    if not job.has_files:
        return lambda picture: picture.name

    def wanted(picture: Picture) -> str:
        return folder + plain(with_extension_of(picture.name, accepts), "_")

    return UniqueNames(job.pictures(), wanted)


class Tally:
    """Counts what a person should know of the animals of an export."""

    def __init__(self) -> None:
        self._animals = self._unknown = self._whole = self._crowded = 0

    def add(self, picture: Picture, individual: str) -> None:
        """Count one animal."""
        self._animals += 1
        self._unknown += not individual
        self._whole += not picture.boxes and picture.record.reason != "reviewed_whole"
        self._crowded += bool(individual) and len(picture.photo.record.animals) > 1

    def sentences(self, job: Job) -> Iterator[str]:
        """Yield what is to be known."""
        yield f"{counted(self._animals, 'animal')}, {self._unknown:,} of unknown individuals"
        yield from without_box(self._whole)
        if self._crowded:
            yield (
                f"{counted(self._crowded, 'animal')} {either(self._crowded, 'shares', 'share')} a photo with "
                f"others, and so {either(self._crowded, 'its', 'their')} {job.individual_column} may be that "
                "of another one; flags has several_animals there"
            )


def without_box(count: int) -> Iterator[str]:
    """Yield a sentence on whole photos that stand for an animal, if there are any."""
    if count:
        yield (
            f"{counted(count, 'whole photo')} {either(count, 'is', 'are')} among them, in which no box was "
            "chosen; reject those without an animal in `detic-crop review`, then apply"
        )
