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
        class_name: name of the class in the file.
        box_format: meaning of the numbers if this box states it (the box of a mask does), else None.
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
        table: receives the rows; it has the photo sizes that the file states.
        column: column or key of the numbers, for messages: "`bbox`".
        box_format: meaning of the numbers as the user states it; None if it is to be judged.
        declared: meaning of the numbers by the file's header or format; it is refused if many boxes can only
            be something else.
        usual: meaning of the numbers unless the rows contradict it; None if nothing is usual.
        as_original: boxes are written as in the original data sets, whose corners need no remark.
        normalised: True for shares of the photo, False for pixels, None if it is to be judged.
        strict: a box that reaches far out of the size that the file states contradicts left, top, width,
            height; where these are declared it is cut off like any other.
        may_be_centres: shares in such columns are those of a centre as often as of a corner.
        rows: rows of the file, in its order.
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
        """Return what to do if the numbers are not what the file calls them."""
        if "," not in self.column:
            return f"pass --box-format {other}"
        return f"name the columns {'x, y, w, h' if other == 'xywh' else 'xmin, ymin, xmax, ymax'}"

    def add(self, place: str, path: str, boxes: Sequence[Draft] = ()) -> None:
        """Add a row that could be read."""
        self.rows.append(Row(place, path, boxes))

    def add_problem(self, place: str, text: str, path: str = "") -> None:
        """Add a row that cannot be used; `path` is empty if it names no photo."""
        self.rows.append(Row(place, path, (), text))

    def boxes(self) -> Iterator[tuple[Row, Draft]]:
        """Return every box with its row."""
        return ((row, draft) for row in self.rows for draft in row.boxes)
