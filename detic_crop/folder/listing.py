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
from detic_crop.photos.location import Location, file_or_object, locate, parse
from detic_crop.photos.photo import Photo


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
    usual = file_or_object(root).below(photo.key for photo in photos)
    for photo, location in zip(photos, usual, strict=True):
        if photo.location == location:
            continue  # nearly all
        found = photo.location.absolute()
        if (public := found.redact()) != found:
            folder.private_locations[photo.key] = found
        if public != location:
            elsewhere[photo.key] = str(public)
    keys = {photo.key: None for photo in photos}
    # Photos of earlier calls that are not asked for now keep the place where they were.
    before = read_listing(folder)
    known = dict.fromkeys([*before["keys"], *before["paths"]])
    before["keys"] = [key for key in known if key not in keys]
    value = {
        "root": root,
        "inputs": as_json(inputs),
        "keys": list(keys),
        "paths": elsewhere | {key: str(location) for key, location in photo_locations(before).items()},
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


def photo_locations(listing: Mapping[str, Any]) -> dict[str, Location]:
    """Return key → location of every photo in what `read_listing` returned."""
    elsewhere = {key: parse(text) for key, text in listing["paths"].items()}
    usual = file_or_object(listing["root"]).below(listing["keys"])
    return {key: elsewhere.get(key, location) for key, location in zip(listing["keys"], usual, strict=True)}


def locations_now(
    listing: Mapping[str, Any], keys: Sequence[str], input: str | os.PathLike[str] | None
) -> dict[str, Location]:
    """Return key → location of the photos of a kept listing: where they were then, or below `input`.

    Raises:
        UsageError: `input` holds no photos.
    """
    if input is None:
        return photo_locations({**listing, "keys": keys})
    found = {photo.key: photo.location for photo in discover(input).photos}
    # Copies may have other spellings, or lie below another folder.
    names = NameIndex(keys).match({key: location.own_path for key, location in found.items()})
    now = {key: found[name] for key, name in names.photo_of.items()}
    # Of several inputs only one has moved; of one alone it is said where a photo was looked for.
    then = photo_locations({**listing, "keys": keys}) if len(recorded_inputs(listing)) > 1 else {}
    expected = dict(zip(keys, locate(input).below(keys), strict=True))
    return {key: now.get(key) or then.get(key) or expected[key] for key in keys}
