"""Crops of an output folder to show at a glance."""

from __future__ import annotations

from typing import Annotated

import msgspec

from detic_crop.app.folders import output_folder
from detic_crop.app.roots import Roots
from detic_crop.commands.show import Order, show
from detic_crop.wording import visible

_MOST = 60


class CropsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which crops of a folder.

    Attributes:
        path: the output folder.
        most: how many.
        order: the most suspicious first, or random ones.
    """

    path: str
    most: Annotated[int, msgspec.Meta(ge=1, le=_MOST)] = 12
    order: Order = "suspicious"


class ShownCrop(msgspec.Struct):
    """One crop.

    Attributes:
        name: its photo, with the number of the animal where each has a crop.
        found: class and score, and what a reviewer said.
        flags: what is doubtful.
        jpeg: a small picture of it, base64; null: it cannot be read.
    """

    name: str
    found: str
    flags: list[str]
    jpeg: bytes | None


def crops_of(roots: Roots, asked: CropsQuery) -> list[ShownCrop]:
    """Return some crops of a folder, with pictures.

    Raises:
        RefusedError: it is no output folder.
        UsageError: nothing is finished.
    """
    sheet = show(output_folder(roots, asked.path), asked.most, order=asked.order)
    return [
        ShownCrop(visible(crop.name), crop.found, [flag.replace("_", " ") for flag in crop.flags], crop.jpeg)
        for crop in sheet.crops
    ]
