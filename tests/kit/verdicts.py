"""Verdicts as a reviewer leaves them in an output folder."""

from __future__ import annotations

from pathlib import Path

from detic_crop.boxes.geometry import Box
from detic_crop.folder.verdict_lines import Verdict
from detic_crop.folder.verdicts import VerdictLog, read_verdicts
from detic_crop.photos.keys import STATE

DRAWN = (5.0, 5.0, 31.0, 28.0)
"""A box that no detector found."""


def give_verdict(out: Path, image: str, verdict: str, box: Box | None = None) -> None:
    """Append one line to the review.csv of an output folder."""
    boxes = () if box is None else (box,)
    verdict_log(out).append(Verdict(image, verdict, boxes, "me", "now"))


def give_verdicts(out: Path, verdicts: dict[str, str]) -> None:
    """Append a line for each photo; the verdict ``box`` wants `DRAWN`."""
    verdict_log(out).append(
        *(Verdict(image, word, (DRAWN,) if word == "box" else ()) for image, word in verdicts.items())
    )


def verdict_log(out: Path) -> VerdictLog:
    """The review.csv of an output folder."""
    return VerdictLog(out / STATE / "review.csv")


def verdicts_of(out: Path) -> dict[str, Verdict]:
    """The last verdict on each photo that was not taken back."""
    return read_verdicts(out / STATE / "review.csv")
