"""COCO data sets: one JSON of photos and boxes, and for each fold one to train on and one to validate on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, TextIO

from detic_crop.detectors.boxes_file.json_items import SOURCE_PHOTO
from detic_crop.exports.detection import (
    PICTURES,
    Parts,
    TrainingExport,
    edges_of,
    names_with_extension,
    program,
)
from detic_crop.exports.job import Job
from detic_crop.exports.picture import ExportedBox, Picture


class Coco(TrainingExport):
    """Pictures in `images`, and their boxes in `annotations/all.json`."""

    def write(self, job: Job) -> None:
        """Write the pictures, and go through them twice: for `images`, and for `annotations`."""
        categories = {name: place + 1 for name, place in self.classes(job).items()}
        names = names_with_extension(job, self.accepts)
        job.place_all(lambda picture: f"{PICTURES}/{names(picture)}")
        parts = Parts(job)
        with ExitStack() as stack:
            files = {
                part: _JsonFile(stack.enter_context(job.target.text(f"annotations/{part}.json")))
                for part in ("all", *parts.names)
            }
            for file in files.values():
                file.begin(_head(job, categories))
            for number, picture in enumerate(job.each("writing images"), 1):
                image = _image(number, names(picture), picture)
                for part in ("all", *parts.of(picture)):
                    files[part].add(image)
            for file in files.values():
                file.next_list("annotations")
            count = 0
            for number, picture in enumerate(job.each("writing boxes"), 1):
                for box in picture.boxes:
                    count += 1
                    category = categories[job.class_of(picture, box)]
                    annotation = _annotation(count, number, category, box, picture)
                    for part in ("all", *parts.of(picture)):
                        files[part].add(annotation)
            for file in files.values():
                file.end()
        self.note_unconfirmed(job)


class _JsonFile:
    """A JSON object that ends in long lists, written item by item.

    Args:
        file: where it goes.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._is_first = True

    def begin(self, head: Mapping[str, Any]) -> None:
        """Write all that stands before the lists, and begin the list `images`."""
        self._file.write(json.dumps(head)[:-1] + ',\n"images": [')

    def add(self, item: Mapping[str, Any]) -> None:
        """Write an item of the list."""
        self._file.write(("\n" if self._is_first else ",\n") + json.dumps(item))
        self._is_first = False

    def next_list(self, name: str) -> None:
        """End the list, and begin another."""
        self._file.write(f'\n],\n"{name}": [')
        self._is_first = True

    def end(self) -> None:
        """End the list and the object."""
        self._file.write("\n]\n}\n")


def _head(job: Job, categories: Mapping[str, int]) -> dict[str, Any]:
    return {
        "info": {
            "description": f"{job.boxes} boxes in {job.of}, pixels of the upright picture",
            "version": "1.0",
            "contributor": program(),
            "model": job.config.model,
        },
        "licenses": [],
        "categories": [
            {"id": number, "name": name, "supercategory": "none"} for name, number in categories.items()
        ],
    }


def _image(number: int, name: str, picture: Picture) -> dict[str, Any]:
    width, height = picture.sides
    image = {"id": number, "file_name": name, "width": width, "height": height}
    return image if name == picture.name else {**image, SOURCE_PHOTO: picture.name}


def _annotation(number: int, image: int, category: int, box: ExportedBox, picture: Picture) -> dict[str, Any]:
    left, top, right, bottom = edges_of(box, picture.sides)
    width, height = round(right - left, 2), round(bottom - top, 2)
    annotation = {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [left, top, width, height],
        "area": round(width * height, 4),
        "segmentation": [],
        "iscrowd": 0,
    }
    return annotation if box.score is None else {**annotation, "score": box.score}
