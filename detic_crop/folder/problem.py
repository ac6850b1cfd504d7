"""What `verify` may find: a word for each kind of problem, and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

PROBLEMS: Mapping[str, str] = {
    "crop_missing": "a crop is not where the journal or manifest.csv says",
    "crop_changed": "a crop has another size or SHA-256 than it was made with",
    "crop_damaged": "a crop cannot be decoded, or not all of it",
    "crop_unreadable": "the disk or store does not give a crop",
    "photo_missing": "a photo is not where the run found it, or not in --in",
    "photo_changed": "a photo has another size, CRC-32 or SHA-256 than the one that was cropped",
    "photo_unreadable": "the disk, store or server does not give a photo",
    "not_ours": "a picture or tar file lies among the crops, where a trainer may read it, and is no crop",
    "journal": "lines of the journal, or the boxes of a photo, are damaged",
    "state": "another file of .detic-crop is damaged",
    "table": "a table is missing, was changed since it was written, or does not fit the crops",
    "manifest": "manifest.csv is damaged, or was written before crops changed",
    "verdict": "a verdict was given and not applied yet",
    "unfinished": "crops wait to be packed into tar files, as after a kill",
}
"""Kind of problem → what it means."""


class Problem(NamedTuple):
    """Something in a folder that is not as it was made.

    Attributes:
        kind: one of `PROBLEMS`.
        name: photo, crop or file that it is about.
        said: what was expected, what was there, and what to do, without the name.
    """

    kind: str
    name: str
    said: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}: {self.said}"
