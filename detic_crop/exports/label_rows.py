"""Tables that follow the label table row by row, as notebooks expect that join tables by position."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from detic_crop.exports.job import Job
from detic_crop.exports.picture import Picture
from detic_crop.wording import counted

IMAGE = "image"


class LabelRows:
    """Rows of a table: for each picture one of each label row of its photo, else one.

    Args:
        job: the export.
        taken: columns of the table that are not the labels': theirs of such a name is called ``label_…``.
    """

    def __init__(self, job: Job, taken: Collection[str]) -> None:
        self._labels = job.audit.labels
        self._names: dict[str, int] = {}
        columns = self._labels.columns if self._labels else []
        for place, column in enumerate(columns):
            name = column
            while name in taken or (name != column and name in columns):
                name = f"label_{name}"
            self._names[name] = place
        self.count = 0

    @property
    def columns(self) -> list[str]:
        """Names of the label columns in the table, in the order of the label table; `image` is always one."""
        return [*([] if IMAGE in self._names else [IMAGE]), *self._names]

    def of(self, picture: Picture) -> Iterator[dict[str, str]]:
        """Yield the label cells of each row of a picture, by column; `image` names the photo in any case."""
        if self._labels is None or not picture.photo.labels:
            self.count += 1
            yield dict.fromkeys(self._names, "") | {IMAGE: picture.key}
            return
        key = self._labels.columns.index(self._labels.key_column)
        for cells in picture.photo.labels:
            self.count += 1
            yield {IMAGE: cells[key], **{name: cells[place] for name, place in self._names.items()}}

    @property
    def note(self) -> list[str]:
        """Say that rows cannot be joined by their number, if label rows are missing."""
        missing = (len(self._labels.rows) if self._labels else 0) - self.count
        if missing <= 0:
            return []
        return [
            f"{counted(missing, 'label row is', 'label rows are')} not in the table: join it with your "
            f"labels by the column {IMAGE}, not by position"
        ]
