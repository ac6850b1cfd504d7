"""Where the photos of a folder are now: how many are missing or have changed, and how to say so."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from detic_crop.columns import Layers
from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.records import Record
from detic_crop.folder.state import SavedListing, load_listing
from detic_crop.naming import NameIndex
from detic_crop.photos.find import discover
from detic_crop.photos.location import NOWHERE, LocalFile, Location, file_or_object, locate
from detic_crop.photos.table import Locations, OwnPaths
from detic_crop.wording import counted, either

PASS_INPUT = "pass --in FOLDER, where they are now"
"""Advice about photos that have moved, of commands that take ``--in`` for them."""

_ABSENT = -1
_UNKNOWN = -2


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What a look for the photos of a folder found.

    Attributes:
        locations: key → where the photo should be now.
        absent: number of photos that are not there.
        photos: number of photos that should be there; failed ones do not count.
        where: the folder, list or address in which they were looked for, without secrets.
        given: True if the user named `where` in this call.
        changed: number of files whose size is not that of the run.
        first: where the first absent photo was expected, without secrets.
    """

    locations: Mapping[str, Location] = field(default_factory=dict)
    absent: int = 0
    photos: int = 0
    where: str = ""
    given: bool = False
    changed: int = 0
    first: str = ""

    @property
    def count(self) -> str:
        """The beginning of a sentence: ``3 of 105 photos are not``."""
        if self.absent < self.photos:
            return f"{self.absent:,} of {self.photos:,} photos {either(self.absent, 'is', 'are')} not"
        return f"none of the {self.photos:,} photos is" if self.photos > 1 else "the one photo is not"

    def sentences(self, so: str, advice: str = PASS_INPUT) -> list[str]:
        """Return what is missing or has changed, in sentences; none if all is well.

        Args:
            so: what follows for missing photos.
            advice: what to do if nobody has said where the photos are now.
        """
        said = []
        if self.absent and self.given:
            said.append(f"{self.count} in --in {self.where}: {so}")
        elif self.absent:
            found = f"{self.count} where the run found {either(self.photos, 'it', 'them')}"
            said.append(f"{found} ({self.where or self.first}): {so}; {advice}")
        if self.changed:
            photos, have = counted(self.photos, "photo"), either(self.changed, "has", "have")
            said.append(
                f"{self.changed:,} of {photos} {have} changed since the run (the file's size "
                "differs); run the `run` command again"
            )
        return said


def look_for_photos(
    folder: OutputFolder, records: Mapping[str, Record], input: str | os.PathLike[str] | None = None
) -> Whereabouts:
    """Look where the run found the photos, or in `input`.

    Args:
        folder: the output folder; its listing is read.
        records: last record of each photo, by key.
        input: where the photos are now, if they have moved.

    Raises:
        UsageError: none of the photos is in `input`.
    """
    listing = load_listing(folder)
    locations = locations_now(listing, records, input)
    if input is None:  # signed addresses are known only to the call that found them
        private = {key: place for key, place in folder.private_locations.items() if key in locations}
        locations = Layers(private, locations)
    where = file_or_object(listing.root) if input is None else locate(input)
    found = count_absent(records, locations, where.describe(), given=input is not None)
    if found.given and 0 < found.photos == found.absent:
        raise UsageError(
            "photos_not_in_input",
            f"{found.count} in --in {found.where}, nothing was changed; expected the first at "
            f"{found.first}: pass the folder that holds them below the same names",
        )
    return found


def locations_now(
    listing: SavedListing, keys: Collection[str], input: str | os.PathLike[str] | None
) -> Mapping[str, Location]:
    """Return key → location of photos of a saved listing: where they were then, or below `input`.

    Raises:
        UsageError: `input` holds no photos.
    """
    if input is None:
        return listing.expected_locations(keys)
    photos = discover(input).photos
    found = Locations(photos)
    # Copies may have other spellings, or lie below another folder.
    names = NameIndex(keys).match(OwnPaths(photos))
    now = {key: found[name] for key, name in names.photo_of.items()}
    # Of several inputs only one has moved; of one alone it is said where a photo was looked for.
    then = listing.expected_locations(keys) if len(listing.inputs) > 1 else {}
    expected = dict(zip(keys, locate(input).below(keys), strict=True))
    return {key: now.get(key) or then.get(key) or expected[key] for key in keys}


def count_absent(
    records: Mapping[str, Record], locations: Mapping[str, Location], where: str, given: bool
) -> Whereabouts:
    """Check that the photos exist and have the size they had; they are not read.

    Stores are not asked, as that would take a request for each photo; of tar files only the file is checked.

    Args:
        records: last record of each photo, by key.
        locations: where each photo should be.
        where: name of that place in messages.
        given: True if the user named it in this call.
    """
    tars: dict[str, bool] = {}
    count, absent, changed, first = 0, 0, 0, ""
    for key, record in records.items():
        if record.status == "failed":
            continue
        count += 1
        location = locations.get(key, NOWHERE)
        size = _size_at(location, tars)
        if size == _ABSENT:
            absent, first = absent + 1, first or location.describe()
        changed += size >= 0 and record.file_size not in (0, size)  # 0: unknown
    return Whereabouts(locations, absent, count, where, given, changed, first)


def _size_at(location: Location, tars: dict[str, bool]) -> int:
    """Return the bytes of the photo at a location, `_ABSENT` or `_UNKNOWN`."""
    path = location.local_path
    if path is None:
        return _UNKNOWN
    if isinstance(location, LocalFile):
        return _file_size(location)
    if path not in tars:
        tars[path] = _file_size(LocalFile(path)) != _ABSENT
    return _UNKNOWN if tars[path] else _ABSENT


def _file_size(file: LocalFile) -> int:
    found = file.stat()
    return _ABSENT if found is None else found.size
