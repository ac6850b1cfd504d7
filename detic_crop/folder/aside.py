"""Crops that a reviewer rejected: set aside in `.detic-crop/rejected`, and put back.

They are files there, also where other crops are in tar files, under names that no reader of pictures takes
for one of its own (``day1/whale.jpg.rejected``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping

from detic_crop.folder.animals import crops_of
from detic_crop.folder.inside import Inside
from detic_crop.folder.journal import recorded_crops
from detic_crop.folder.layout import REJECTED, Layout
from detic_crop.folder.mirror import Mirror
from detic_crop.folder.names import ASIDE, aside_name
from detic_crop.folder.records import Record, files_of
from detic_crop.folder.tars import Crops
from detic_crop.folder.write_errors import folder_errors


def place_for(record: Record, name: str) -> str:
    """Return where a crop of a record belongs, relative to the folder: a rejected one is out of the way."""
    return f"{REJECTED}/{aside_name(name)}" if record.status == "rejected" else name


class Aside:
    """The crops of a folder that are set aside.

    Args:
        layout: paths of the folder.
        inside: changes the files below the folder.
        crops: crops of the folder.
        mirror: the store that the folder stands for.
    """

    def __init__(self, layout: Layout, inside: Inside, crops: Crops, mirror: Mirror) -> None:
        self._layout = layout
        self._inside = inside
        self._crops = crops
        self._mirror = mirror

    def find(self, record: Record, name: str) -> str:
        """Return where a crop of a record is: earlier versions set it aside under its own name."""
        place = place_for(record, name)
        if record.status == "rejected" and self._crops.size(place) is None:
            earlier = f"{REJECTED}/{name}"
            return place if self._crops.size(earlier) is None else earlier
        return place

    def move(self, before: Record, after: Record) -> None:
        """Set the crops of a photo aside or put them back, those that are not there already: all, or none.

        Args:
            before: record of the photo so far; it tells where the crops are.
            after: new record of the photo; it tells where they belong.

        Raises:
            OSError: one cannot be moved; the others are as they were.
        """
        moved: list[tuple[str, str, Record]] = []
        try:
            for name, record in crops_of(after):
                start, target = self.find(before, name), place_for(after, name)
                if start != target and self._crops.size(start) is not None:
                    self._crops.move(start, target, record)
                    moved.append((start, target, record))
        except OSError:
            for start, target, record in reversed(moved):
                with contextlib.suppress(OSError):
                    self._crops.move(target, start, record)
            raise

    def rename_earlier(self) -> None:
        """Give what earlier versions set aside a name that no reader of pictures looks at.

        Raises:
            OSError: it cannot be renamed.
        """
        nobody = Record(image="", status="rejected")  # what stays set aside needs nothing of its record
        names = {name for name in self._names() if not name.endswith(ASIDE)}
        if names:
            for name in sorted(names.intersection(recorded_crops(self._layout.journal))):
                self._crops.move(f"{REJECTED}/{name}", f"{REJECTED}/{aside_name(name)}", nobody)

    def remove_stale(self, records: Mapping[str, Record]) -> None:
        """Remove crops that were set aside and whose photos are not rejected any more.

        Killed between setting one aside and noting it, the crop is missing in its place: it goes back. What
        somebody else has put there stays.

        Raises:
            OutputError: something cannot be removed.
        """
        with folder_errors(self._layout.shown):
            names = self._names()
            if names:  # most folders have none
                self._remove_stale(names, records)
            for folder, _, _ in self._inside.walk(self._layout.rejected):
                with contextlib.suppress(OSError):  # not empty
                    self._inside.rmdir(folder)

    def _remove_stale(self, names: Collection[str], records: Mapping[str, Record]) -> None:
        wanted = set(names)  # of many records few are rejected
        by_name = {
            aside: (file, record)
            for record in records.values()
            for file in files_of(record)
            if (aside := aside_name(file.name)) in wanted
        }
        former = wanted.difference(by_name)
        if former:
            former.intersection_update(map(aside_name, recorded_crops(self._layout.journal)))
        for name in names:
            place = f"{REJECTED}/{name}"
            if name not in by_name:
                if name in former:
                    self._crops.discard(place)
                continue
            file, record = by_name[name]
            if record.status != "rejected":
                is_last = self._crops.size(file.name) is None
                if is_last and self._crops.size(place) == file.size:
                    self._crops.move(place, file.name, dict(crops_of(record))[file.name])
                else:
                    self._crops.discard(place)

    def _names(self) -> list[str]:
        """Return the crops set aside, on this disk and in the store, relative to their folder."""
        folder = self._layout.rejected
        here = [
            (path / name).relative_to(folder).as_posix()
            for path, _, names in self._inside.walk(folder)
            for name in names
        ]
        there = (name.removeprefix(f"{REJECTED}/") for name in self._mirror.state_names(REJECTED))
        return list(dict.fromkeys([*here, *there]))
