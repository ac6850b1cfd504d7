"""Annotations and pictures as the training of MiewID reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import ClassVar

from detic_crop.errors import UsageError
from detic_crop.exports.base import Export, Of
from detic_crop.exports.individuals import (
    UNKNOWN,
    Tally,
    animals_in,
    individual_of,
    plain_names,
    xywh_of,
)
from detic_crop.exports.job import Job
from detic_crop.exports.names import NameOf
from detic_crop.exports.picture import Picture
from detic_crop.splits.folds import UNSEEN

_COLUMNS = ("theta", "viewpoint", "name", "file_name", "species", "file_path", "x", "y", "w", "h")
_WORDS = {"top": "up"}
"""Viewpoints that the data of Wild Me, and so MiewID's configurations, call otherwise."""
_FOLDER = "images/"
_FOLDS_FOR_A_TEST = 3


class MiewId(Export):
    """One row for each animal of a known individual; for each part of the data where there are folds."""

    of: ClassVar[tuple[Of, ...]] = ("photos", "crops")
    takes = frozenset({"pictures", "individual", "species"})

    def write(self, job: Job) -> None:
        """Write images/ and train.csv, val.csv, test.csv; annotations.csv without folds."""
        if job.individual_column is None:
            raise UsageError(
                "no_individual",
                "--to miewid needs an individual for each picture, and no label column is called "
                "individual_id or the like; pass --individual COLUMN",
            )
        job.leave_out(lambda picture: "" if individual_of(job, picture) else "individual unknown")
        if job.has_folds:
            job.leave_out(lambda picture: "without a fold: split again" if job.fold(picture) is None else "")
        if not job.count:
            raise UsageError(
                "nothing_to_export",
                f"--to miewid: nothing of {job.folder.shown} is left to export (no picture has an individual "
                f"in {job.individual_column})",
            )
        names = plain_names(job, _FOLDER, self.accepts)
        job.place_all(names)
        tally = Tally()
        for part, belongs in _parts(job).items():
            rows = self._rows(job, names, tally, part, belongs)
            job.target.table(f"{part}.csv", rows)
        job.notes += tally.sentences(job)
        folder = job.target.final(_FOLDER.rstrip("/")) if job.has_files else f"the folder of the {job.of}"
        job.notes.append(
            f"in MiewID's configuration: images_dir: {folder}, use_full_image_path: false, crop_bbox: true"
        )

    def _rows(
        self, job: Job, names: NameOf, tally: Tally, part: str, belongs: Callable[[Picture], bool]
    ) -> Iterator[list[str]]:
        yield [*_COLUMNS, "photo", "flags"]
        for picture in animals_in(job, f"writing {part}.csv"):
            if not belongs(picture):
                continue
            individual = individual_of(job, picture)
            tally.add(picture, individual)
            name, viewpoint = names(picture), job.viewpoint(picture)
            yield [
                "0",
                _WORDS.get(viewpoint, viewpoint) or UNKNOWN,
                individual,
                name.removeprefix(_FOLDER) if job.has_files else name,
                # Rows without a species are lost where MiewID groups by name and species.
                job.label(picture, job.species_column) or UNKNOWN,
                job.target.final(name) if job.has_files else "",
                *map(str, xywh_of(picture)),
                picture.key,
                job.cells(picture)["flags"],
            ]


def _parts(job: Job) -> dict[str, Callable[[Picture], bool]]:
    """Return the name of each part → whether a picture belongs into it."""
    if not job.has_folds:
        return {"annotations": lambda picture: True}
    folds = Counter(job.fold(picture) for picture in job.pictures())
    ordinary = sorted(fold for fold in folds if fold not in (None, UNSEEN))
    part_of: dict[int | None, str] = dict.fromkeys(ordinary, "train")
    if UNSEEN in folds:
        part_of[UNSEEN] = "test"
    elif len(ordinary) >= _FOLDS_FOR_A_TEST:
        part_of[ordinary[1]] = "test"
    if len(ordinary) > 1:
        part_of[ordinary[0]] = "val"

    def is_in(part: str, picture: Picture) -> bool:
        return part_of.get(job.fold(picture)) == part

    used = [part for part in ("train", "val", "test") if part in part_of.values()]
    return {part: partial(is_in, part) for part in used}
