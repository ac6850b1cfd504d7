"""metadata.csv and pictures as WildlifeDatasets and wildlife-tools read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import ClassVar

from detic_crop.exports.base import Export, Of
from detic_crop.exports.individuals import (
    UNKNOWN,
    Dates,
    Tally,
    animals_in,
    id_of,
    individual_of,
    plain_names,
    xywh_of,
)
from detic_crop.exports.job import Job
from detic_crop.exports.names import NameOf
from detic_crop.report.table import renamed_columns

_COLUMNS = ("image_id", "identity", "path", "bbox", "date", "position", "species", "photo")
_OF_THE_BOX = ("class_name", "score", "area_frac", "flags", "suspicion", "verdict")
_CHECKED = ("keypoints", "orientation", "segmentation", "video")
"""Further columns to which WildlifeDatasets gives a meaning; a label column called so is renamed."""


class Wildlife(Export):
    """One row for each animal: who it is, in which picture, and where in it."""

    of: ClassVar[tuple[Of, ...]] = ("photos", "crops")
    takes = frozenset({"pictures", "individual", "species"})

    def write(self, job: Job) -> None:
        """Write images/ and metadata.csv."""
        names = plain_names(job, "images/", self.accepts)
        job.place_all(names)
        tally, dates = Tally(), Dates(job)
        job.target.table("metadata.csv", self._rows(job, names, tally, dates))
        job.notes += [*tally.sentences(job), *dates.sentences()]

    def _rows(self, job: Job, names: NameOf, tally: Tally, dates: Dates) -> Iterator[list[str]]:
        more = [
            *_OF_THE_BOX,
            *(name for more in job.audit.more if more.are_of_photo for name in more.columns),
        ]
        used = {job.individual_column, job.species_column, job.viewpoint_column}
        labels = job.audit.labels.columns if job.audit.labels else []
        theirs = [
            name
            for original, name in zip(labels, renamed_columns(job.audit), strict=True)
            if original not in used
        ]
        taken = {*_COLUMNS, *more, *_CHECKED}
        yield [*_COLUMNS, *more, *(_free(name, taken, theirs) for name in theirs)]
        for picture in animals_in(job, "writing metadata.csv"):
            individual, moment = individual_of(job, picture), dates.of(picture)
            tally.add(picture, individual)
            cells = job.cells(picture)
            yield [
                id_of(picture),
                individual or UNKNOWN,
                names(picture),
                json.dumps(xywh_of(picture)),
                moment.date if moment else "",
                job.viewpoint(picture),
                job.label(picture, job.species_column),
                picture.key,
                *(cells[name] for name in more),
                *(cells[name] for name in theirs),
            ]


def _free(name: str, taken: set[str], theirs: Sequence[str]) -> str:
    """Return a name for a label column that means nothing else here, and that no other label column has."""
    free = name
    while free in taken or (free != name and free in theirs):
        free = f"label_{free}"
    return free
