"""Boxes per photo, as read from a file of any dialect, with every row that makes no sense named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.naming import clean_path as clean_path  # the spelling of the entries' paths


class FormatError(ValueError):
    """The file as a whole cannot be used; the message says what was expected, what was there, what to do."""


class RowError(ValueError):
    """One row, or one JSON item, cannot be used; the message says why, without the place."""


class Box(NamedTuple):
    """One box: edges in pixels, or in shares of the photo's sides where the table is normalised."""

    xmin: float
    ymin: float
    xmax: float
    ymax: float
    score: float
    class_name: str


class Problem(NamedTuple):
    """A row that cannot be used: where ("line 17", "images[3].detections[0]") and why."""

    place: str
    text: str


@dataclass(slots=True)
class Entry:
    """What the file says of one photo; any problem spoils the whole photo."""

    boxes: list[Box] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(slots=True)
class BoxesTable:
    """A parsed boxes file.

    Attributes:
        entries: normalised path (`clean_path`) → what is said of that photo, in the file's order.
        problems: every row that cannot be used, also those that name no photo, in the file's order.
        normalised: boxes are shares of the photo's sides and not pixels.
        declared_classes: names that the file's own category list offers, used or not.
        good_rows: rows that could be used.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    normalised: bool = False
    declared_classes: set[str] = field(default_factory=set)
    good_rows: int = 0

    def add(self, path: str, boxes: Sequence[Box] = ()) -> None:
        """A usable row; without boxes it says that the photo has none."""
        self.entry(path).boxes.extend(boxes)
        self.good_rows += 1

    def entry(self, path: str) -> Entry:
        """The entry of that photo, from now on in the file's list of photos."""
        return self.entries.setdefault(path, Entry())

    def add_problem(self, place: str, text: str, path: str = "") -> None:
        """A row that cannot be used; `path` is empty when it names no photo."""
        problem = Problem(place, text)
        self.problems.append(problem)
        if path:
            self.entry(path).problems.append(problem)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Every class in the file, sorted; empty (open names) when it has none."""
        names = {box.class_name for entry in self.entries.values() for box in entry.boxes}
        names |= self.declared_classes
        return () if names <= {UNKNOWN_CLASS} else tuple(sorted(names))
