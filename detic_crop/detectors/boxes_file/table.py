"""Boxes per photo, as read from a file of any dialect, with every row that makes no sense named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Sized
from dataclasses import dataclass, field
from typing import NamedTuple

from detic_crop.boxes.choose import UNKNOWN_CLASS
from detic_crop.naming import clean_path as clean_path  # the spelling of the entries' paths


class FormatError(ValueError):
    """The file as a whole cannot be used; the message says what was expected, what was there, what to do."""


class StatedFormatError(FormatError):
    """The file says itself what its four numbers are, and so a person must not."""


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
    """What the file says of one photo; any problem spoils the whole photo.

    Attributes:
        boxes: those that count.
        problems: rows that cannot be used.
        size_wh: width and height in pixels of the photo that the boxes are of, where the file states them.
    """

    boxes: list[Box] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    size_wh: tuple[int, int] | None = None


@dataclass(slots=True)
class BoxesTable:
    """A parsed boxes file.

    Attributes:
        entries: normalised path (`clean_path`) → what is said of that photo, in the file's order.
        problems: every row that cannot be used, also those that name no photo, in the file's order.
        normalised: boxes are shares of the photo's sides and not pixels.
        declared_classes: names that the file's own category list offers, used or not.
        good_rows: rows that could be used.
        default_conf: the lowest score that the file itself proposes to count; None where it proposes none.
        left_out: boxes that do not count, by what they are, in the plural ("crowds (iscrowd)").
        notes: what a person should know of how the file was read, a sentence each.
        numbers: entries that are not a photo's name but the number that its name is (139 of 000139.jpg).
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    normalised: bool = False
    declared_classes: set[str] = field(default_factory=set)
    good_rows: int = 0
    default_conf: float | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    numbers: set[str] = field(default_factory=set)

    def add(self, path: str, boxes: Sequence[Box] = ()) -> None:
        """Add a usable row; without boxes it means that the photo has none."""
        self.entry(path).boxes.extend(boxes)
        self.good_rows += 1

    def list_photo(self, path: str, items: Sized) -> None:
        """Add a photo to the list; one without any item counts as a usable row, too."""
        if len(items):
            self.entry(path)
        else:
            self.add(path)

    def entry(self, path: str) -> Entry:
        """Return the entry of that photo, from now on in the file's list of photos."""
        return self.entries.setdefault(path, Entry())

    def leave_out(self, path: str, what: str) -> None:
        """Add a row whose box is understood and does not count; `what` names its kind, in the plural."""
        self.add(path)
        self.left_out[what] += 1

    def state_size(self, place: str, path: str, size_wh: tuple[int, int]) -> None:
        """Note the size of the photo that the boxes are from; a second, different size is a problem."""
        entry = self.entry(path)
        if entry.size_wh is None:
            entry.size_wh = size_wh
        elif entry.size_wh != size_wh:
            sizes = "{} x {} and {} x {} px".format(*entry.size_wh, *size_wh)
            self.add_problem(place, f"expected one size of the photo, got {sizes}", path)

    def add_problem(self, place: str, text: str, path: str = "") -> None:
        """Add a row that cannot be used; `path` is empty if it names no photo."""
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
