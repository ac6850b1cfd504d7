"""Photos that are not where they are looked for, or not what they were: how many, and how to say so."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from detic_crop.errors import UsageError
from detic_crop.folder.records import Record
from detic_crop.photos.location import is_path, member_at, shown
from detic_crop.stores.store import is_address
from detic_crop.wording import counted, either


@dataclass(frozen=True, slots=True)
class Absent:
    """What a look at the photos of a run found.

    Attributes:
        absent: how many are not there.
        photos: how many there should be; failed ones do not count.
        where: the folder, list or address that they were looked for in.
        given: the user has said where they are now.
        changed: how many files have another size than at the time of the run.
        first: where the first absent one was looked for.
    """

    absent: int
    photos: int
    where: str
    given: bool
    changed: int = 0
    first: str = ""

    def __bool__(self) -> bool:
        """Whether any photo is not there."""
        return self.absent > 0

    @property
    def is_all(self) -> bool:
        """Whether no photo is there."""
        return 0 < self.photos == self.absent

    @property
    def count(self) -> str:
        """``3 of 105 photos are``."""
        if self.is_all:
            return f"none of the {self.photos:,} photos is" if self.photos > 1 else "the one photo is not"
        return f"{self.absent:,} of {self.photos:,} photos {either(self.absent, 'is', 'are')} not"

    def refuse_all(self) -> None:
        """Refuse a place that the user gave and that has none of them.

        Raises:
            UsageError: says where the first one was looked for.
        """
        if self.given and self.is_all:
            raise UsageError(
                f"{self.count} in --in {shown(self.where)}, nothing was changed; expected the first at "
                f"{shown(self.first)}: pass the folder that holds them below the same names"
            )

    def sentences(self, so: str, todo: str = "pass --in FOLDER, where they are now") -> list[str]:
        """What is missing, what follows from it, and what to do; what has changed. Nothing when all is well.

        Args:
            so: what follows where photos are missing.
            todo: what to do where nobody has said where the photos are now.
        """
        said = []
        if self.absent and self.given:
            said.append(f"{self.count} in --in {shown(self.where)}: {so}")
        elif self.absent:
            found = f"{self.count} where the run found {either(self.photos, 'it', 'them')}"
            said.append(f"{found} ({shown(self.where or self.first)}): {so}; {todo}")
        if self.changed:
            photos, have = counted(self.photos, "photo"), either(self.changed, "has", "have")
            said.append(
                f"{self.changed:,} of {photos} {have} changed since the run (the file's size "
                "is another one); give the `run` command again"
            )
        return said


def absent_among(records: Mapping[str, Record], paths: Mapping[str, str], where: str, given: bool) -> Absent:
    """Look which photos are there, and of the size they had; they are not read.

    Stores are not asked, since that would take a request for each photo; nor is each part of a tar file.

    Args:
        records: of the journal, by key.
        paths: where each photo should be.
        where: what to say of where that is.
        given: the user has said where they are now.
    """
    keys = [key for key, record in records.items() if record.status != "failed"]
    tars: dict[str, bool] = {}
    absent, changed, first = 0, 0, ""
    for key in keys:
        size = _size_at(paths.get(key, ""), tars)
        if size == _ABSENT:
            absent, first = absent + 1, first or paths.get(key, "")
        # Of a photo of unknown size nothing can be said.
        changed += size >= 0 and records[key].file_size not in (0, size)
    return Absent(absent, len(keys), where, given, changed, first)


_ABSENT, _UNKNOWN = -1, -2


def _size_at(place: str, tars: dict[str, bool]) -> int:
    """Bytes of what is at a place, or one of the above."""
    if is_path(place):
        return _file_size(place)
    member = member_at(place)
    if member is None or is_address(member.tar):
        return _UNKNOWN
    if member.tar not in tars:
        tars[member.tar] = _file_size(member.tar) >= 0
    return _UNKNOWN if tars[member.tar] else _ABSENT


def _file_size(path: str) -> int:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a NUL in a name from a list
        return _ABSENT
    return status.st_size if stat.S_ISREG(status.st_mode) else _ABSENT
