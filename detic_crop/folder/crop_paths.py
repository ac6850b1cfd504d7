"""What the path of a crop says: its tar file, and which animal of its photo it shows."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

_TAR_NAME = re.compile(r"crops-(?:\d{4,}-of-\d{4,}-)?\d{5,}\.tar")
_NUMBER = re.compile(r"\.\d+$")
LONGEST_NUMBER = len(".999")
"""Bytes that the number of an animal adds to a name at most."""


class Place(NamedTuple):
    """A crop's tar file and its name there."""

    tar: str
    name: str


def is_tar_name(name: str) -> bool:
    """Return whether one of our tar files may be called so."""
    return _TAR_NAME.fullmatch(name) is not None


def place_of(crop: str) -> Place | None:
    """Return where in which tar file a crop is; None of one that is a file of its own."""
    if not crop.startswith("crops-"):  # nearly all
        return None
    tar, _, name = crop.partition("/")
    return Place(tar, name) if name and is_tar_name(tar) else None


def within(crop: str) -> str:
    """Return a crop's path without the name of a tar file."""
    place = place_of(crop)
    return place.name if place else crop


def file_of(crop: str) -> str:
    """Return the file below the output folder that a crop is in: its tar file, or itself."""
    place = place_of(crop)
    return place.tar if place else crop


def numbered(crop: str, number: int) -> str:
    """Return the path of one of several crops of a photo: ``day1/whale.2.jpg`` of ``day1/whale.jpg``.

    In a tar file it is ``whale_2.jpg``: WebDataset cuts a name at its first dot. As each crop has a number,
    photos whose paths differ have no crop in common.
    """
    stem, extension = os.path.splitext(crop)
    return f"{stem}{'.' if place_of(crop) is None else '_'}{number}{extension}"


def without_number(path: str) -> str:
    """Return the path that a file of its own was numbered after; the path itself if it has no number."""
    stem, extension = os.path.splitext(path)
    return _NUMBER.sub("", stem) + extension
