"""The exports there are, by the name that ``--to`` takes; each is loaded when it is asked for."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, NamedTuple

from detic_crop.errors import UsageError

if TYPE_CHECKING:
    from detic_crop.exports.base import Export


class Format(NamedTuple):
    """An export by name.

    Attributes:
        module: module of this room that implements it.
        kind: name of the class.
        about: what it is, in one line of the help.
    """

    module: str
    kind: str
    about: str


FORMATS: dict[str, Format] = {
    "imagefolder": Format("image_folder", "ImageFolder", "class folders: torchvision, timm, Hugging Face"),
    "coco": Format("coco", "Coco", "boxes as a COCO data set: pycocotools, detectron2, supervision"),
    "yolo": Format("yolo", "Yolo", "boxes as a YOLO data set: ultralytics, supervision"),
    "voc": Format("voc", "Voc", "boxes as a Pascal VOC data set: torchvision, supervision"),
    "megadetector": Format(
        "megadetector", "MegaDetector", "boxes as MegaDetector's JSON: Timelapse, AddaxAI"
    ),
    "label-studio": Format("label_studio", "LabelStudio", "boxes as predictions that Label Studio corrects"),
    "tfrecord": Format(
        "tfrecord", "TfRecord", "records for TensorFlow on a TPU, as in the Happywhale notebooks"
    ),
    "kaggle": Format("kaggle", "Kaggle", "crops as a data set to upload, with table and card"),
    "boxes-fullbody": Format("box_table", "BoxTable", "a CSV of boxes as NumPy prints them: [[x1 y1 x2 y2]]"),
    "boxes-yolo": Format("box_table", "BoxTable", "a CSV of boxes as lists: [[x1, y1, x2, y2]]"),
    "wildlife": Format("wildlife", "Wildlife", "metadata.csv for WildlifeDatasets and wildlife-tools"),
    "miewid": Format("miewid", "MiewId", "annotations for the training of MiewID"),
    "pyseter": Format("pyseter", "Pyseter", "flat folder, boxes and encounters for pyseter"),
    "wildbook": Format("wildbook", "Wildbook", "photos and spreadsheets for the bulk import of Flukebook"),
}


def export_named(name: str) -> Export:
    """Return the export of a name.

    Raises:
        UsageError: there is none; names those that there are.
    """
    if name not in FORMATS:
        near = difflib.get_close_matches(name, FORMATS, n=1, cutoff=0.5)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise UsageError("no_such_export", f"--to {name}: expected one of {', '.join(FORMATS)}{meant}")
    found = FORMATS[name]
    module = importlib.import_module(f"detic_crop.exports.{found.module}")
    export: Export = getattr(module, found.kind)(name)
    return export
