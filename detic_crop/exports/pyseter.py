"""A flat folder, boxes, encounters and individuals as pyseter reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from detic_crop.exports.base import Export, Of
from detic_crop.exports.individuals import Tally, box_of, individual_of
from detic_crop.exports.job import Job
from detic_crop.exports.names import UniqueNames, UniqueWords, plain, with_extension_of
from detic_crop.exports.picture import Picture
from detic_crop.report.groups import PANDAS_MISSING

_FOLDER = "all_images/"


class Pyseter(Export):
    """Each animal is a picture of its own, since pyseter knows one box for a file."""

    of: ClassVar[tuple[Of, ...]] = ("photos", "crops")
    takes = frozenset({"pictures", "individual"})
    accepts = ("JPEG",)  # it decodes a PNG with as many channels as it has, and then wants three
    each_animal = True

    def write(self, job: Job) -> None:
        """Write all_images/, bounding_boxes.csv, encounter_info.csv and individuals.csv."""
        names = UniqueNames(job.pictures(), self._wanted)
        job.place_all(names)
        tally = Tally()
        job.target.table("bounding_boxes.csv", self._boxes(job, names, tally))
        job.target.table("encounter_info.csv", self._encounters(job, names))
        if job.individual_column is not None:
            job.target.table("individuals.csv", self._individuals(job, names))
        job.notes += tally.sentences(job)

    def _wanted(self, picture: Picture) -> str:
        name = plain(with_extension_of(picture.name, self.accepts), "_")
        if picture.crop or picture.animal is None:
            return _FOLDER + name
        stem, dot, extension = name.rpartition(".")
        return f"{_FOLDER}{stem}.{picture.animal}{dot}{extension}"

    def _boxes(self, job: Job, names: UniqueNames, tally: Tally) -> Iterator[list[str]]:
        yield ["filename", "xmin", "ymin", "xmax", "ymax"]
        for picture in job.each("writing bounding_boxes.csv"):
            tally.add(picture, individual_of(job, picture))
            yield [_file(names, picture), *map(str, box_of(picture))]

    def _encounters(self, job: Job, names: UniqueNames) -> Iterator[list[str]]:
        folder_names = UniqueWords("_", "photos")
        yield ["encounter", "image"]
        for picture in job.each("writing encounter_info.csv"):
            encounter = job.encounter(picture) or picture.key.rpartition("/")[0]
            yield [_as_text(folder_names(encounter)), _file(names, picture)]

    def _individuals(self, job: Job, names: UniqueNames) -> Iterator[list[str]]:
        yield ["image", "individual_id"]
        for picture in job.each("writing individuals.csv"):
            if individual := individual_of(job, picture):
                yield [_file(names, picture), individual]


def _file(names: UniqueNames, picture: Picture) -> str:
    return names(picture).removeprefix(_FOLDER)


def _as_text(encounter: str) -> str:
    """Return a name that pandas does not read as a number, or as missing: pyseter makes folders called so."""
    try:
        float(encounter)
    except ValueError:
        is_text = encounter.casefold() not in PANDAS_MISSING
    else:
        is_text = False
    return encounter if is_text else f"encounter_{encounter}"
