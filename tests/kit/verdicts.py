"""Verdicts as a reviewer leaves them in an output folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from detic_crop.boxes.geometry import Box
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import VerdictLog, read_verdicts
from detic_crop.photos.keys import STATE

DRAWN = (5.0, 5.0, 31.0, 28.0)
"""A box that no detector found."""


ALSO_DRAWN = (33.0, 2.0, 58.0, 38.0)
"""Another one, which hardly touches it and is larger."""

_OF_WORDS: Mapping[str, tuple[str, tuple[Box, ...], str, str]] = {
    "box": ("box", (DRAWN,), "", ""),
    "boxes": ("box", (ALSO_DRAWN, DRAWN), "", "top"),
    "note": ("undone", (), "perhaps another; so, look again", "left"),
}


def give_verdict(out: Path, image: str, verdict: str, box: Box | None = None) -> None:
    """Append one line to the review.csv of an output folder."""
    boxes = () if box is None else (box,)
    verdict_log(out).append(Verdict(image, verdict, boxes, "me", "now"))


def give_verdicts(out: Path, verdicts: dict[str, str]) -> None:
    """Append a line for each photo.

    The word ``box`` wants `DRAWN`; ``boxes`` `ALSO_DRAWN`, too, seen from the top; ``note`` says
    something, also from which side, and decides nothing.
    """
    lines = []
    for image, word in verdicts.items():
        verdict, boxes, note, viewpoint = _OF_WORDS.get(word, (word, (), "", ""))
        lines.append(Verdict(image, verdict, boxes, note=note, viewpoint=viewpoint))
    verdict_log(out).append(*lines)


def verdict_log(out: Path) -> VerdictLog:
    """The review.csv of an output folder."""
    return VerdictLog(out / STATE / "review.csv")


def verdicts_of(out: Path) -> dict[str, Verdict]:
    """The last verdict on each photo that was not taken back."""
    return read_verdicts(out / STATE / "review.csv")
