"""Which inputs an output folder has: one ``--in``, or several that were added on purpose.

Two inputs mixed by mistake give every photo twice, or one data set out of two. So a run goes on only with the
photos that the folder has: the same input, however much it grew, or the same photos elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from detic_crop.errors import UsageError
from detic_crop.folder.state import Given, SavedListing
from detic_crop.photos.location import LocalFile, Location
from detic_crop.photos.photo import Photo
from detic_crop.wording import counted

_ENOUGH = 0.5  # of the photos known or given, whichever are fewer: then these are the same that were moved


def short_names(inputs: Sequence[Given]) -> list[str]:
    """What a page that is passed on calls the inputs: no more of their paths than tells them apart."""
    parts = [given.shown.replace("\\", "/").rstrip("/").split("/") for given in inputs]
    for count in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [given.shown for given in inputs]


def arranged(
    before: SavedListing,
    places: Mapping[str, Location],
    given: Given,
    photos: Sequence[Photo],
    is_same: Callable[[Photo], bool | None],
    add: bool,
    shown: str,
) -> list[Given]:
    """The inputs of a folder with the one of this call in its place.

    Args:
        before: the listing of the folder.
        places: where the photos of that listing are.
        given: the input of this call.
        photos: its photos.
        is_same: whether a photo is the one that the folder has under that key; None where that is not known.
        add: put an input that the folder does not have yet at the end.
        shown: the folder, for messages.

    Raises:
        UsageError: these are other photos than the folder has, or some have the names of others.
    """
    inputs = before.inputs
    if not inputs:
        return [given]
    index = _index_of(inputs, given)
    if index is None:
        known = set(before.known_keys)
        if add:
            index = _moved(inputs, given, photos, places, is_same)
        else:
            _check_same_photos(inputs, given, photos, known, places, is_same, shown)
            index = max(range(len(inputs)), key=lambda i: _common(inputs[i], given))
    if index is None:
        _check_new(inputs, photos, places, given, shown)
        return [*inputs, given]
    others = {key: other for i, other in enumerate(inputs) if i != index for key in other.keys}
    for photo in photos:
        if photo.key in others:
            raise _twice(photo, others[photo.key], places, given)
    return [given if i == index else other for i, other in enumerate(inputs)]


def _index_of(inputs: Sequence[Given], given: Given) -> int | None:
    """Which of them was given by the same words; in a folder that kept none, of the same root."""
    for index, other in enumerate(inputs):
        if other.where == given.where or (not other.where and other.root in ("", given.root)):
            return index
    return None


def _common(one: Given, other: Given) -> int:
    return len(set(one.keys).intersection(other.keys))


def _moved(
    inputs: Sequence[Given],
    given: Given,
    photos: Sequence[Photo],
    places: Mapping[str, Location],
    is_same: Callable[[Photo], bool | None],
) -> int | None:
    """Which of the inputs this is, whose photos have gone from where they were; None: it is a new one."""
    for index, other in enumerate(inputs):
        common = _common(other, given)
        if common and common >= _ENOUGH * min(len(other.keys), len(given.keys)):
            theirs = set(other.keys)
            ours = [photo for photo in photos if photo.key in theirs]
            gone = not any(_is_there(places.get(photo.key)) for photo in ours)
            if gone and all(is_same(photo) is not False for photo in ours):
                return index
    return None


def _is_there(location: Location | None) -> bool:
    """Return whether a photo is still there, as far as that is known."""
    return location is not None and (not isinstance(location, LocalFile) or os.path.exists(location.path))


def _check_same_photos(
    inputs: Sequence[Given],
    given: Given,
    photos: Sequence[Photo],
    known: set[str],
    places: Mapping[str, Location],
    is_same: Callable[[Photo], bool | None],
    shown: str,
) -> None:
    """Refuse an input that is neither the folder's own nor its photos elsewhere.

    Cameras begin at IMG_0001 every day: photos that only moved keep their bytes.
    """
    before = " and ".join(other.shown for other in inputs)
    common = [photo for photo in photos if photo.key in known]
    for photo in common:
        if is_same(photo) is False:
            raise UsageError(
                f"{shown} has the photos of {before}, and {photo.key} of {given.shown} is another photo "
                "of that name; pass another --out, or give the folder above both as --in"
            )
    if common and len(common) >= _ENOUGH * min(len(known), len(photos)):
        return
    new = [photo for photo in photos if photo.key not in known]
    keys = {place: key for key, place in places.items()}
    again = next((photo for photo in new if _public(photo) in keys), None)
    if again is not None:
        raise UsageError(
            f"{shown} has the photos of {before}, and --in {given.shown} names them otherwise "
            f"({again.key} is {keys[_public(again)]} there), so they would be in it twice; give --in "
            f"{inputs[0].shown} again, or another --out"
        )
    raise UsageError(
        f"{shown} has the photos of {before}, and --in {given.shown} has {counted(len(new), 'other')} "
        f"(first: {new[0].key if new else given.keys[0]}); pass --add to add them to it, or another --out"
    )


def _check_new(
    inputs: Sequence[Given],
    photos: Sequence[Photo],
    places: Mapping[str, Location],
    given: Given,
    shown: str,
) -> None:
    """Refuse photos that the folder has already, or others of their names."""
    owners = {key: other for other in inputs for key in other.keys}
    keys = {place: key for key, place in places.items()}
    for photo in photos:
        if (key := keys.get(_public(photo))) is not None:
            raise UsageError(
                f"--add: {photo.location.describe()} is in {shown} already, as {key}; give --in "
                f"{owners[key].shown if key in owners else inputs[0].shown} again to go on with it"
            )
        if photo.key in places:
            raise _twice(photo, owners.get(photo.key, inputs[0]), places, given)


def _twice(photo: Photo, other: Given, places: Mapping[str, Location], given: Given) -> UsageError:
    return UsageError(
        f"{photo.key} is a photo of {other.shown} ({places.get(photo.key, 'gone')}) and one of "
        f"{given.shown} ({photo.location.describe()}), and one --out has each name once; give one of them "
        "another name, or pass the folder above both as --in, with another --out"
    )


def _public(photo: Photo) -> Location:
    return photo.location.absolute().redact()


def check_same_data_set(before: SavedListing, inputs: Sequence[Given], shown: str) -> None:
    """Refuse to mix another data set into a folder that one was made in from kept boxes.

    Args:
        before: the listing of that folder.
        inputs: of the data set that is to be made there.
        shown: the folder, for messages.

    Raises:
        UsageError: they are others, and so are their photos.
    """
    known = before.inputs
    theirs, ours = ({key for given in several for key in given.keys} for several in (known, inputs))
    others = {given.shown for given in known}.isdisjoint(given.shown for given in inputs)
    if known and others and len(theirs & ours) < _ENOUGH * min(len(theirs), len(ours)):
        raise UsageError(
            f"{shown} has the photos of {known[0].shown}, not those of {inputs[0].shown}; pass another --out"
        )


def united(
    inputs: Sequence[Given], photos: Sequence[Photo], places: Mapping[str, Location]
) -> tuple[list[Given], list[Photo]]:
    """The photos of all inputs in order, those of this call as they were found, the others where they were.

    Args:
        inputs: from `arranged`.
        photos: of this call's input.
        places: where the photos of the others are.
    """
    if len(inputs) == 1:
        return list(inputs), list(photos)
    ours = {photo.key: photo for photo in photos}
    found = [
        ours.get(key) or Photo(key, places[key])
        for given in inputs
        for key in given.keys
        if key in ours or key in places
    ]
    return list(inputs), found


def parts_of(inputs: Sequence[Given], keys: Sequence[str]) -> list[Given]:
    """The inputs with only some of their photos, in that order."""
    if len(inputs) == 1:
        return [replace(inputs[0], keys=keys)]
    owner = {key: index for index, given in enumerate(inputs) for key in given.keys}
    parts: list[list[str]] = [[] for _ in inputs]
    for key in keys:
        parts[owner.get(key, 0)].append(key)
    return [replace(given, keys=part) for given, part in zip(inputs, parts, strict=True)]
