"""Label Studio: tasks with the boxes as predictions, in percent, and the labelling interface for them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from detic_crop.detectors.boxes_file.json_items import SOURCE_PHOTO
from detic_crop.exports.detection import PICTURES, BoxExport, edges_of, names_with_extension, writable
from detic_crop.exports.job import Job
from detic_crop.exports.picture import ExportedBox, Picture

TASKS = "tasks.json"
INTERFACE = "interface.xml"
_FROM, _TO = "label", "image"
_DECIMALS = 8


class LabelStudio(BoxExport):
    """Pictures in `images`, to be served as local files, and a task for each."""

    def write(self, job: Job) -> None:
        """Write the pictures, the tasks, and the labelling interface."""
        classes = self.classes(job)
        names = names_with_extension(job, self.accepts)
        job.place_all(lambda picture: f"{PICTURES}/{names(picture)}")
        with job.target.text(TASKS) as file:
            file.write("[")
            for number, picture in enumerate(job.each(f"writing {TASKS}")):
                task = _task(job, picture, f"{PICTURES}/{names(picture)}")
                file.write((",\n" if number else "\n") + json.dumps(task))
            file.write("\n]\n")
        labels = [f"    <Label value={quoteattr(writable(label))}/>" for label in classes]
        lines = [
            "<View>",
            f'  <Image name="{_TO}" value="${_TO}" zoom="true"/>',
            f'  <RectangleLabels name="{_FROM}" toName="{_TO}">',
            *labels,
            "  </RectangleLabels>",
            "</View>",
        ]
        with job.target.text(INTERFACE) as file:
            file.write("\n".join(lines) + "\n")


def _task(job: Job, picture: Picture, path: str) -> dict[str, Any]:
    address = "/data/local-files/?d=" + quote(path, errors="surrogateescape")
    result = [_region(job, picture, box, number) for number, box in enumerate(picture.boxes, 1)]
    scores = [box.score for box in picture.boxes if box.score is not None]
    prediction = {
        "model_version": picture.record.model or job.config.model,
        "score": max(scores, default=1.0 if result else 0.0),
        "result": result,
    }
    return {"data": {_TO: address, SOURCE_PHOTO: picture.name}, "predictions": [prediction]}


def _region(job: Job, picture: Picture, box: ExportedBox, number: int) -> dict[str, Any]:
    width, height = picture.sides
    left, top, right, bottom = edges_of(box, picture.sides)
    value = {
        "x": round(left / width * 100, _DECIMALS),
        "y": round(top / height * 100, _DECIMALS),
        "width": round((right - left) / width * 100, _DECIMALS),
        "height": round((bottom - top) / height * 100, _DECIMALS),
        "rotation": 0,
        "rectanglelabels": [writable(job.class_of(picture, box))],
    }
    region = {
        "id": f"box{number}",
        "type": "rectanglelabels",
        "from_name": _FROM,
        "to_name": _TO,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": value,
    }
    return region if box.score is None else {**region, "score": box.score}
