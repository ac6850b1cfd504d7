"""What the page sends of a photo: checked, and joined with what was said of it before."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple

from detic_crop.boxes.detections import BOX_DECIMALS
from detic_crop.boxes.geometry import Box, clip
from detic_crop.folder.verdict_lines import VERDICTS, VIEWPOINTS, Verdict
from detic_crop.folder.verdicts import now
from detic_crop.wording import utf8

MOST_BOXES = 999
"""Animals of one photo: their numbers are in the names of the crops."""
LONGEST_NOTE = 2000
"""Characters of a note."""


class Said(NamedTuple):
    """What a person says of a photo.

    Attributes:
        verdict: one of `VERDICTS`; empty: the verdict stays, only the note or the viewpoint is new.
        boxes: of each animal left, top, right, bottom in pixels of the upright photo, from left to right.
        note: the new note; None: it stays.
        note_before: the note that the person saw, and changed.
        viewpoint: one of `VIEWPOINTS`; empty: it is taken back; None: it stays.
        viewpoint_before: the viewpoint that the person saw.
    """

    verdict: str
    boxes: tuple[Box, ...] = ()
    note: str | None = None
    note_before: str = ""
    viewpoint: str | None = None
    viewpoint_before: str = ""

    @property
    def has_remarks(self) -> bool:
        """Whether a note or a viewpoint is given."""
        return bool(self.note or self.viewpoint)

    def after(self, image: str, last: Verdict | None, reviewer: str) -> Verdict:
        """Return the line that says it.

        A note that somebody else has changed meanwhile is kept, and the new one stands below it. Of two
        viewpoints the later one counts, but nobody takes back what somebody else has said meanwhile. Whoever
        only says such things has not given the verdict beside them.

        Args:
            image: key of the photo.
            last: the last word on it so far.
            reviewer: name of the person.

        Raises:
            ValueError: both notes together are too long.
        """
        before = Verdict(image, "undone") if last is None else last
        note = before.note if self.note is None else _joined(before.note, self.note_before, self.note)
        viewpoint = before.viewpoint
        if self.viewpoint or (self.viewpoint is not None and viewpoint == self.viewpoint_before):
            viewpoint = self.viewpoint
        if self.verdict:
            return Verdict(image, self.verdict, self.boxes, reviewer, now(), note, viewpoint)
        if before.verdict != "undone":
            return before._replace(note=note, viewpoint=viewpoint)
        return Verdict(image, "undone", (), reviewer, now(), note, viewpoint)


def stamp_of(last: Verdict | None) -> str:
    """Return a hash of the verdict that stands, by whomever; empty without one, whatever is noted."""
    if last is None or last.verdict == "undone":
        return ""
    said = repr((last.verdict, last.boxes, last.reviewer, last.time))
    return hashlib.blake2s(utf8(said), digest_size=8).hexdigest()


def said_of(asked: Mapping[str, Any], resolution_wh: tuple[int, int]) -> Said:
    """Return what the page sent.

    Args:
        asked: `verdict`, `boxes` or `box`, `note` and `note_before`, `viewpoint` and `viewpoint_before`, as
            far as they are given.
        resolution_wh: width and height of the upright photo, in pixels.

    Raises:
        ValueError: it is not what a person can say.
    """
    word = asked.get("verdict", "")
    if word not in ("", *VERDICTS):
        raise ValueError(f"expected a verdict of {', '.join(VERDICTS)}")
    note, viewpoint = asked.get("note"), asked.get("viewpoint")
    if not word and note is None and viewpoint is None:
        raise ValueError("expected a verdict, a note or a viewpoint")
    boxes = _boxes_of(asked, resolution_wh) if word == "box" else ()
    before = _note_of(asked.get("note_before", ""))
    return Said(
        word,
        boxes,
        None if note is None else _note_of(note),
        before,
        None if viewpoint is None else _viewpoint_of(viewpoint),
        _viewpoint_of(asked.get("viewpoint_before", "")),
    )


def _boxes_of(asked: Mapping[str, Any], resolution_wh: tuple[int, int]) -> tuple[Box, ...]:
    values = asked.get("boxes", [asked.get("box")])
    if not isinstance(values, list) or not 1 <= len(values) <= MOST_BOXES:
        raise ValueError(f"expected 1 to {MOST_BOXES} boxes")
    return tuple(sorted({_box_of(value, resolution_wh) for value in values}))


def _box_of(value: object, resolution_wh: tuple[int, int]) -> Box:
    """Return a box clipped to the photo."""
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError("expected four numbers as the box")
    if not all(isinstance(edge, int | float) and not isinstance(edge, bool) for edge in value):
        raise ValueError("expected four numbers as the box")
    if not all(map(math.isfinite, value)):
        raise ValueError("expected four numbers as the box")
    left, top, right, bottom = (round(edge, BOX_DECIMALS) for edge in clip(value, resolution_wh))
    if right - left < 1 or bottom - top < 1:
        width, height = resolution_wh
        raise ValueError(f"expected a box of at least 1 px inside {width}×{height} px")
    return left, top, right, bottom


def _note_of(value: object) -> str:
    """Return a note without what cannot be seen: line breaks and tabs stay, other control characters go."""
    if not isinstance(value, str):
        raise ValueError("expected text as the note")
    lines = value.replace("\r\n", "\n").replace("\r", "\n")
    note = "".join(c for c in lines if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs")).strip()
    _require_short(note)
    return note


def _viewpoint_of(value: object) -> str:
    if not isinstance(value, str) or value not in ("", *VIEWPOINTS):
        raise ValueError(f"expected a viewpoint of {', '.join(VIEWPOINTS)}")
    return value


def _joined(current: str, before: str, new: str) -> str:
    if current in (before, new) or not current:
        return new
    if new == before or not new:
        return current
    both = f"{current}\n{new}"
    _require_short(both)
    return both


def _require_short(note: str) -> None:
    if len(note) > LONGEST_NOTE:
        raise ValueError(f"expected a note of at most {LONGEST_NOTE} characters, got {len(note)}")
