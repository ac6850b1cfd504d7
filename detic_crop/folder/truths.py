"""What a reviewer's verdicts say about where the animal is: what a detector can be taught from.

A verdict is given to get the right crop, so not every one tells where an animal is:

- accepted: the detector's box is right; where nothing was found, the page asked "no animal?".
- box: the animal is there, in the box that the reviewer picked or drew.
- rejected: there is nothing to crop, so no animal.
- whole: all of the photo is wanted. Where nothing was found that agrees with the detector: no animal. Over a
  box it says only that the box is wrong: the animal may fill the photo, or there may be none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from detic_crop.boxes.geometry import Box, area_of
from detic_crop.errors import PhotoError
from detic_crop.folder.decisions import Decision, detected_box
from detic_crop.folder.records import Record

Source: TypeAlias = Literal["accepted", "corrected", "empty"]


class Truth(NamedTuple):
    """What is known of one photo.

    Attributes:
        image: key of the photo.
        box: left, top, right, bottom of the animal in pixels of the upright photo; None: there is no animal.
        source: whether the detector's own box was ``accepted``, a reviewer picked or drew another
            (``corrected``), or there is no animal (``empty``).
    """

    image: str
    box: Box | None
    source: Source


def truths_of(
    records: Mapping[str, Record], decisions: Mapping[str, Decision]
) -> tuple[list[Truth], dict[str, str]]:
    """Return what reviewers said of the photos, by key, and key → why a verdict says nothing.

    Args:
        records: last record of each photo, by key.
        decisions: the reviewer's last word on each photo, by key, whether it was applied or not; keys without
            a record are ignored.
    """
    truths, unclear = [], {}
    for key in sorted(decisions):
        record, decision = records.get(key), decisions[key]
        if record is None or not decision.verdict:
            continue
        if record.status == "failed":
            unclear[key] = "the run could not read this photo"
            continue
        detected = detected_box(record)
        if decision.verdict == "box":
            try:
                box = max(decision.clipped((record.width, record.height)).boxes, key=area_of)
            except PhotoError as error:
                unclear[key] = error.message
                continue
            truths.append(Truth(key, box, "corrected"))
        elif decision.verdict == "accepted" and detected is not None:
            truths.append(Truth(key, detected, "accepted"))
        elif decision.verdict == "unsure":
            unclear[key] = "the reviewer could not tell"
        elif decision.verdict == "whole" and detected is not None:
            unclear[key] = (
                "the whole photo was taken instead of a box, which does not say whether an animal is there"
            )
        else:
            truths.append(Truth(key, None, "empty"))
    return truths, unclear
