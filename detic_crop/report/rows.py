"""The rows of audit.csv: which there are, and in which order; each is made when it is read."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import overload

from detic_crop.columns import Column, Texts, ascending, checked_row, equal, shown
from detic_crop.folder.records import Record
from detic_crop.photos.labels import Labels
from detic_crop.report.groups import label_groups


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the audit.

    Attributes:
        record: last record of the photo.
        label: cells of the label row that the row answers; empty without labels.
        groups: names of the groups that the label row puts the photo in, the narrowest first.
    """

    record: Record
    label: Sequence[str] = ()
    groups: tuple[str, ...] = ()


class Rows(Sequence[Row]):
    """The rows of a table, in a few bytes each. Equal to any other sequence of the same rows.

    Args:
        records: last record of each photo, by key.
        images: for each row the key of its photo, or what its label row calls one that there is not.
    """

    def __init__(self, records: Mapping[str, Record], images: Column) -> None:
        self._records = records
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        place = checked_row(index, len(self))
        return self._row(place, self.images.text(place))

    def __iter__(self) -> Iterator[Row]:
        for place, image in enumerate(self.images):
            yield self._row(place, image)

    def _row(self, place: int, image: str) -> Row:
        return Row(self._records[image])

    def __eq__(self, other: object) -> bool:
        return equal(self, other)

    def __repr__(self) -> str:
        return shown(self)


class LabelledRows(Rows):
    """The rows of a table that answers a label table.

    Args:
        records: last record of each photo, by key.
        images: see `Rows`.
        labels: the label table.
        label_rows: for each row the index of its label row; of one without a photo as ``-1 - index``.
    """

    def __init__(
        self, records: Mapping[str, Record], images: Column, labels: Labels, label_rows: Sequence[int]
    ) -> None:
        super().__init__(records, images)
        self._labels, self._groups_of = labels.rows, label_groups(labels)
        self._label_rows = label_rows

    def _row(self, place: int, image: str) -> Row:
        number = self._label_rows[place]
        record = missing_record(image) if number < 0 else self._records[image]
        number = -1 - number if number < 0 else number
        label = self._labels[number]
        return Row(record, label, self._groups_of(label))


def table_rows(
    records: Mapping[str, Record], order: Sequence[str], labels: Labels | None, matches: Sequence[str | None]
) -> Rows:
    """Return the rows of audit.csv: in the order of the label file, else of the listing, else of the keys.

    Args:
        records: last record of each photo, by key.
        order: keys in input order.
        labels: the label table, or None.
        matches: key of the photo of each label row, None where there is none.
    """
    if labels is None:
        return Rows(records, recorded_in_order(records, order))
    images, label_rows = Texts(), array("q")
    for number, (name, key) in enumerate(zip(labels.names(), matches, strict=True)):
        if key is None or key in records:
            images.append(name if key is None else key)
            label_rows.append(-1 - number if key is None else number)
    return LabelledRows(records, images, labels, label_rows)


def recorded_in_order(records: Mapping[str, Record], order: Sequence[str]) -> Column:
    """Return the keys of the records: those of `order` first, then the others by name."""
    column = order if isinstance(order, Column) else Texts(order)
    present = array("q", (place for place, key in enumerate(column) if key in records))
    if len(present) == len(records):
        return column if len(present) == len(column) else column.of(present)
    others = Texts(key for key in records if key not in column)
    return Texts(chain(column.of(present), others.of(ascending(others))))


def missing_record(name: str) -> Record:
    """Return the failed record of a label row that has no photo."""
    return Record(
        image=name,
        status="failed",
        reason="missing_file",
        stage="discover",
        error="no such photo in --in; add it, or leave it out of --labels",
    )
