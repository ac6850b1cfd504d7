"""Boxes as a file has them, before it is known what their four numbers mean.

A reader knows the columns or keys, and adds every row; `judge.settle` then looks at the file as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from detic_crop.config import BoxFormat
from detic_crop.detectors.boxes_file.table import BoxesTable

Numbers = tuple[float, float, float, float]


class Draft(NamedTuple):
    """One box: four numbers, in pixels or shares of the photo.

    Attributes:
        numbers: edges, or left, top, width, height; not checked.
        score: 0 to 1.
        class_name: as the file calls it.
        box_format: what the numbers are where this box says so itself (it is that of a mask).
        rotation: degrees by which the box is turned about its centre.
    """

    numbers: Numbers
    score: float
    class_name: str
    box_format: BoxFormat | None = None
    rotation: float = 0.0


class Row(NamedTuple):
    """A row of the file: the photo's boxes in it, none for a photo without, or why it cannot be used."""

    place: str
    path: str
    boxes: Sequence[Draft] = ()
    problem: str = ""


@dataclass(slots=True)
class Drafts:
    """All rows of one file.

    Attributes:
        table: what they will be added to; it has the sizes that the file states.
        column: where the numbers stand, for messages: "`bbox`".
        box_format: what they mean, without any doubt: the person who gives the file says so.
        declared: what the file's header or its format calls them; many boxes that can only be something else
            are too many to believe it.
        usual: what they mean unless the file itself speaks against it; None: nothing is usual.
        as_original: they are written as the original data sets write them, whose corners need no remark.
        normalised: they are shares of the photo, or pixels, by definition; None is to be judged.
        strict: a box that reaches far out of the size that the file states contradicts left, top, width,
            height; where these are declared it is cut off like any other.
        may_be_centres: shares in such columns are those of a centre as often as of a corner.
        rows: in the file's order.
    """

    table: BoxesTable
    column: str
    box_format: BoxFormat | None
    declared: BoxFormat | None = None
    usual: BoxFormat | None = None
    normalised: bool | None = None
    strict: bool = False
    may_be_centres: bool = False
    as_original: bool = False
    rows: list[Row] = field(default_factory=list)

    def cure(self, other: BoxFormat) -> str:
        """Return what to do where they are not what they are called."""
        if "," not in self.column:
            return f"give --box-format {other}"
        return f"name the columns {'x, y, w, h' if other == 'xywh' else 'xmin, ymin, xmax, ymax'}"

    def add(self, place: str, path: str, boxes: Sequence[Draft] = ()) -> None:
        """A row that could be read."""
        self.rows.append(Row(place, path, boxes))

    def add_problem(self, place: str, text: str, path: str = "") -> None:
        """A row that cannot be used; `path` is empty when it names no photo."""
        self.rows.append(Row(place, path, (), text))

    def boxes(self) -> Iterator[tuple[Row, Draft]]:
        """Return every box with its row."""
        return ((row, draft) for row in self.rows for draft in row.boxes)
