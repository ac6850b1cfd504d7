"""Photos that are not where they are looked for: how many, and how to say so."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass

from detic_crop.runs.journal import Record
from detic_crop.runs.places import is_path, member_at, shown
from detic_crop.runs.stores import is_address


@dataclass(frozen=True, slots=True)
class Absent:
    """What a look at the photos of a run found.

    Attributes:
        absent: how many are not there.
        photos: how many there should be; failed ones do not count.
        where: the folder, list or address that they were looked for in.
        given: the user has said where they are now.
    """

    absent: int
    photos: int
    where: str
    given: bool

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
        return f"{self.absent:,} of {self.photos:,} photos {'is' if self.absent == 1 else 'are'} not"

    def sentence(self, so: str, todo: str = "pass --in FOLDER, where they are now") -> str:
        """What is missing, what follows from it, and what to do.

        Args:
            so: what follows.
            todo: what to do where nobody has said where the photos are now.
        """
        if self.given:
            return f"{self.count} in --in {shown(self.where)}: {so}"
        found = f"{self.count} where the run found {'it' if self.photos == 1 else 'them'}"
        return f"{found} ({shown(self.where)}): {so}; {todo}"


def absent_among(records: Mapping[str, Record], paths: Mapping[str, str], where: str, given: bool) -> Absent:
    """Look which photos are there, by name only: a file that has changed is there.

    Stores are not asked, since that would take a request for each photo; nor is each part of a tar file.

    Args:
        records: of the journal, by key.
        paths: where each photo should be.
        where: what to say of where that is.
        given: the user has said where they are now.
    """
    keys = [key for key, record in records.items() if record.status != "failed"]
    tars: dict[str, bool] = {}
    return Absent(sum(not _is_there(paths.get(key, ""), tars) for key in keys), len(keys), where, given)


def _is_there(place: str, tars: dict[str, bool]) -> bool:
    if is_path(place):
        return _is_file(place)
    member = member_at(place)
    if member is None or is_address(member.tar):
        return True
    if member.tar not in tars:
        tars[member.tar] = _is_file(member.tar)
    return tars[member.tar]


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):  # ValueError: a NUL in a name from a list
        return False
