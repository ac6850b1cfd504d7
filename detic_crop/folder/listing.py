"""listing.json: the photos of a run in input order, and where they are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from detic_crop.errors import UsageError
from detic_crop.folder.folder import OutputFolder
from detic_crop.folder.inputs import Given, as_json, recorded_inputs
from detic_crop.naming import NameIndex
from detic_crop.photos.find import discover
from detic_crop.photos.location import absolute, given, kept
from detic_crop.photos.photo import Photo
from detic_crop.stores.store import is_address


def write_listing(
    folder: OutputFolder,
    photos: Sequence[Photo],
    inputs: Sequence[Given],
) -> None:
    """Keep the input order and where the photos are, for the tables and for later crops.

    Args:
        folder: the output folder.
        photos: all photos in input order.
        inputs: what they were given as; only places that are not below the first one's root are spelled out.
    """
    elsewhere: dict[str, str] = {}
    root = inputs[0].root
    above = _above(root)
    for photo in photos:
        place = photo.location
        if place == above + photo.key:
            continue  # nearly all
        place = absolute(place)
        if (public := kept(place)) != place:
            folder.secret_places[photo.key] = place
        if public != _usual_place(root, photo.key):
            elsewhere[photo.key] = public
    keys = {photo.key: None for photo in photos}
    # Photos of earlier calls that are not asked for now keep the place where they were.
    before = read_listing(folder)
    known = dict.fromkeys([*before["keys"], *before["paths"]])
    before["keys"] = [key for key in known if key not in keys]
    value = {
        "root": root,
        "inputs": as_json(inputs),
        "keys": list(keys),
        "paths": elsewhere | photo_paths(before),
    }
    folder.write(folder.layout.listing, json.dumps(value, separators=(",", ":")).encode())


def read_listing(folder: OutputFolder) -> dict[str, Any]:
    """What `write_listing` wrote; an empty listing when there is none.

    Raises:
        UsageError: the file is damaged.
    """
    if not folder.layout.listing.exists():
        return {"root": "", "keys": [], "paths": {}}
    try:
        value: dict[str, Any] = json.loads(folder.layout.listing.read_bytes())
        root, keys, paths = value["root"], value["keys"], value["paths"]
        places = paths.values() if isinstance(paths, dict) else [None]
        if not isinstance(keys, list) or not all(isinstance(text, str) for text in (root, *keys, *places)):
            raise TypeError
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder.layout.shown_of(folder.layout.listing)} is damaged; delete it and give the "
            "`detic-crop run` command again"
        ) from error
    return value


def photo_paths(listing: Mapping[str, Any]) -> dict[str, str]:
    """Key → place (absolute path, address …) of every photo in what `read_listing` returned."""
    root, elsewhere = listing["root"], listing["paths"]
    above = _above(root)
    if os.sep == "/" or is_address(root):  # the same in less time
        return {key: elsewhere.get(key) or above + key for key in listing["keys"]}
    return {key: elsewhere.get(key) or _usual_place(root, key) for key in listing["keys"]}


def _usual_place(root: str, key: str) -> str:
    return _above(root) + (key if os.sep == "/" or is_address(root) else key.replace("/", os.sep))


def _above(root: str) -> str:
    if is_address(root):
        return root.rstrip("/") + "/"
    return root if root.endswith(os.sep) else root + os.sep


def paths_now(
    listing: Mapping[str, Any], keys: Sequence[str], input: str | os.PathLike[str] | None
) -> dict[str, str]:
    """Where the photos of a kept listing are: where they were then, or below `input`.

    Raises:
        UsageError: `input` holds no photos.
    """
    if input is None:
        return photo_paths({**listing, "keys": keys})
    text = given(input)
    found = {photo.key: photo.location for photo in discover(text).photos}
    names = NameIndex(keys).match(found)  # copies may have other spellings, or lie below another folder
    now = {key: found[names.photo_of[key]] if key in names.photo_of else "" for key in keys}
    # Of several inputs only one has moved; of one alone it is said where a photo was looked for.
    then = photo_paths({**listing, "keys": keys}) if len(recorded_inputs(listing)) > 1 else {}
    return {key: now[key] or then.get(key) or _usual_place(text, key) for key in keys}
