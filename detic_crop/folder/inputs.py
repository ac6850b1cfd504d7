"""The inputs of an output folder: one ``--in``, or several that were added on purpose.

Two inputs mixed by mistake give every photo twice, or one data set out of two. So a run continues only with
the photos that the folder has: the same input, however much it grew, or the same photos elsewhere.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace

from detic_crop.columns import Column, Texts, in_column
from detic_crop.errors import UsageError
from detic_crop.folder.state import Given, SavedListing
from detic_crop.photos.location import LocalFile, Location
from detic_crop.photos.photo import Photo
from detic_crop.photos.table import Photos, Places
from detic_crop.wording import counted, either

_ENOUGH = 0.5
"""Share of the photos known or given, whichever are fewer, that makes two inputs the same one, moved."""


def short_names(inputs: Sequence[Given]) -> list[str]:
    """Return short names of the inputs: no more of their paths than tells them apart."""
    parts = [given.shown.replace("\\", "/").rstrip("/").split("/") for given in inputs]
    for count in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [given.shown for given in inputs]


class KnownInputs:
    """The inputs that an output folder has before a run.

    Args:
        listing: saved listing of the folder.
        shown: name of the folder in messages.
    """

    def __init__(self, listing: SavedListing, shown: str) -> None:
        self._inputs = listing.inputs
        self._known = listing.photos
        self._locations = listing.known_locations()
        self._shown = shown

    def with_input(
        self,
        given: Given,
        photos: Photos,
        is_same: Callable[[Photo], bool | None],
        add: bool,
    ) -> list[Given]:
        """Return the inputs of the folder with the one of this run in its place.

        Args:
            given: the input of this run.
            photos: all of its photos.
            is_same: returns whether a photo is the one that the folder has under its key; None if that is not
                known.
            add: put an input that the folder does not have yet at the end.

        Raises:
            UsageError: these are other photos than the folder has, or some have the names of others.
        """
        inputs = self._inputs
        if not inputs:
            return [given]
        index = self._index_of(given)
        if index is None:
            if add:
                index = self._index_of_moved(given, photos, is_same)
            else:
                self._check_same_photos(given, photos, is_same)
                index = max(range(len(inputs)), key=lambda i: _count_common(inputs[i], given))
        if index is None:
            self._check_new(given, photos)
            return [*inputs, given]
        for other in (*inputs[:index], *inputs[index + 1 :]):
            if rows := [row for key in other.keys if (row := photos.keys.find(key)) is not None]:
                raise self._same_name(photos[min(rows)], other, given)
        return [given if i == index else other for i, other in enumerate(inputs)]

    def photos_of(self, inputs: Sequence[Given], photos: Photos) -> Photos:
        """Return the photos of all inputs in order.

        Args:
            inputs: inputs from `with_input`.
            photos: photos of this run's input; those of the others are where they were.
        """
        if len(inputs) == 1:
            return photos
        ours, found = photos.keys, Photos()
        for given in inputs:
            for key in given.keys:
                if (row := ours.find(key)) is not None:
                    found.append(photos[row])
                elif (location := self._locations.get(key)) is not None:
                    found.append(Photo(key, location))
        return found

    def _index_of(self, given: Given) -> int | None:
        """Return which input has the same `where`; in a folder that kept none, the same root."""
        for index, other in enumerate(self._inputs):
            if other.where == given.where or (not other.where and other.root in ("", given.root)):
                return index
        return None

    def _index_of_moved(
        self, given: Given, photos: Photos, is_same: Callable[[Photo], bool | None]
    ) -> int | None:
        """Return which input this is, if its photos were moved; None if it is a new one."""
        for index, other in enumerate(self._inputs):
            common = _count_common(other, given)
            if common and common >= _ENOUGH * min(len(other.keys), len(given.keys)):
                theirs = in_column(other.keys)
                ours = photos.of(array("q", (row for row, key in enumerate(photos.keys) if key in theirs)))
                gone = not any(_is_there(self._locations.get(key)) for key in ours.keys)
                if gone and all(is_same(photo) is not False for photo in ours):
                    return index
        return None

    def _check_same_photos(
        self, given: Given, photos: Photos, is_same: Callable[[Photo], bool | None]
    ) -> None:
        """Refuse an input that is neither the folder's own nor its photos elsewhere.

        Cameras begin at IMG_0001 every day: photos that only moved keep their bytes.
        """
        before = " and ".join(other.shown for other in self._inputs)
        known, keys = self._known.keys, photos.keys
        new = photos.of(array("q", (row for row, key in enumerate(keys) if key not in known)))
        common = len(photos) - len(new)
        for photo in photos:
            if photo.key in known and is_same(photo) is False:
                raise UsageError(
                    "same_name_other_photo",
                    f"{self._shown} has the photos of {before}, and {photo.key} of {given.shown} is another "
                    "photo of that name; pass another --out, or the folder above both as --in",
                )
        if common and common >= _ENOUGH * min(len(known), len(photos)):
            return
        places = Places(self._known)
        for photo in new:
            if (then := places.key_at(_public(photo))) is None:
                continue
            raise UsageError(
                "same_photos_other_names",
                f"{self._shown} has the photos of {before}, and --in {given.shown} names them otherwise "
                f"({photo.key} is {then} there), so they would be in it twice; pass --in "
                f"{self._inputs[0].shown} again, or another --out",
            )
        raise UsageError(
            "other_photos",
            f"{self._shown} has the photos of {before}, and --in {given.shown} has "
            f"{counted(len(new), 'other')} (first: {new[0].key if new else given.keys[0]}); pass --add to "
            "add them to it, or another --out",
        )

    def _check_new(self, given: Given, photos: Photos) -> None:
        """Refuse photos that the folder has already, or others of their names."""
        places, known = Places(self._known), self._known.keys
        for photo in photos:
            if (key := places.key_at(_public(photo))) is not None:
                raise UsageError(
                    "already_in_folder",
                    f"--add: {photo.location.describe()} is in {self._shown} already, as {key}; pass "
                    f"--in {self._owner_of(key).shown} again to continue with it",
                )
            if photo.key in known:
                raise self._same_name(photo, self._owner_of(photo.key), given)

    def _owner_of(self, key: str) -> Given:
        """Return the input that a photo came from."""
        return next((other for other in reversed(self._inputs) if key in other.keys), self._inputs[0])

    def _same_name(self, photo: Photo, other: Given, given: Given) -> UsageError:
        return UsageError(
            "same_name_twice",
            f"{photo.key} is a photo of {other.shown} ({self._locations.get(photo.key, 'gone')}) and one of "
            f"{given.shown} ({photo.location.describe()}), and one --out has each name once; rename one of "
            "them, or pass the folder above both as --in, with another --out",
        )


def photos_left(before: SavedListing, now: Column) -> list[str]:
    """Return which photos were in the inputs at the last call and are not in them now, in their order."""
    return [] if before.keys == now else [key for key in before.keys if key not in now]


def describe_move(before: Sequence[Given], now: Sequence[Given], left: Sequence[str], shown: str) -> str:
    """Return from where the photos come now, if it was elsewhere; else empty.

    Args:
        before: the inputs of the folder before.
        now: the same ones after `KnownInputs.with_input`; others may follow.
        left: photos that were in the inputs before and are not in them now.
        shown: name of the folder.
    """
    moved = [(then, given) for then, given in zip(before, now, strict=False) if then.where != given.where]
    moved = [(then, given) for then, given in moved if then.where]  # an earlier version kept none
    if not moved:
        return ""
    [(then, given)] = moved  # a call has one input
    words = f"{shown} had the photos of {then.shown}; from now on it has those of {given.shown}"
    if not left:
        return words
    return (
        f"{words}, which lacks {len(left):,} of {len(then.keys):,} (first: {left[0]}); "
        f"{either(len(left), 'that one keeps its row and crop', 'those keep their rows and crops')}"
    )


def _count_common(one: Given, other: Given) -> int:
    ours = in_column(one.keys)
    return sum(key in ours for key in other.keys)


def _is_there(location: Location | None) -> bool:
    """Return whether a photo is still there, as far as that is known."""
    return location is not None and (not isinstance(location, LocalFile) or os.path.exists(location.path))


def _public(photo: Photo) -> Location:
    return photo.location.absolute().redact()


def check_same_data_set(before: SavedListing, inputs: Sequence[Given], shown: str) -> None:
    """Refuse to recrop another data set into a folder.

    Args:
        before: saved listing of that folder.
        inputs: inputs of the data set that is to be made there.
        shown: name of the folder in messages.

    Raises:
        UsageError: the folder has other inputs and other photos.
    """
    known = before.inputs
    if not known or not {given.shown for given in known}.isdisjoint(given.shown for given in inputs):
        return
    theirs, ours = (Texts(key for given in several for key in given.keys) for several in (known, inputs))
    if sum(key in theirs for key in ours) < _ENOUGH * min(len(theirs), len(ours)):
        raise UsageError(
            "other_photos",
            f"{shown} has the photos of {known[0].shown}, not those of {inputs[0].shown}; pass another --out",
        )


def parts_of(inputs: Sequence[Given], keys: Sequence[str]) -> list[Given]:
    """Return the inputs with only the photos `keys`, in that order."""
    if len(inputs) == 1:
        return [replace(inputs[0], keys=keys)]
    columns = [in_column(given.keys) for given in inputs]
    parts = [Texts() for _ in inputs]
    for key in keys:
        # Most are the first one's, which has what no other has.
        owner = next((index for index in range(len(columns) - 1, 0, -1) if key in columns[index]), 0)
        parts[owner].append(key)
    return [replace(given, keys=part) for given, part in zip(inputs, parts, strict=True)]
