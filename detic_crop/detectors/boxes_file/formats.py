"""Every format that is read, in the order in which they are tried; of others, what to do instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from detic_crop.config import BoxFormat
from detic_crop.detectors.boxes_file.coco import coco_dataset, coco_results
from detic_crop.detectors.boxes_file.createml import createml, is_createml
from detic_crop.detectors.boxes_file.csv_table import read_csv
from detic_crop.detectors.boxes_file.cvat import cvat, is_cvat
from detic_crop.detectors.boxes_file.json_items import list_of, mapping
from detic_crop.detectors.boxes_file.kinds import (
    Content,
    FolderFormat,
    PhotoFormat,
    WholeFormat,
    refuse_box_format,
)
from detic_crop.detectors.boxes_file.label_studio import is_label_studio, label_studio
from detic_crop.detectors.boxes_file.labelme import is_labelme, read_labelme
from detic_crop.detectors.boxes_file.labelme import stated_photo as stated_by_labelme
from detic_crop.detectors.boxes_file.megadetector import megadetector
from detic_crop.detectors.boxes_file.open_images import is_open_images, open_images
from detic_crop.detectors.boxes_file.per_photo import PhotoFiles
from detic_crop.detectors.boxes_file.speciesnet import is_speciesnet, speciesnet
from detic_crop.detectors.boxes_file.supervisely import is_supervisely, read_supervisely
from detic_crop.detectors.boxes_file.table import BoxesTable
from detic_crop.detectors.boxes_file.ultralytics import is_result, read_result
from detic_crop.detectors.boxes_file.via import is_via, is_via_csv, via, via_csv
from detic_crop.detectors.boxes_file.voc import is_voc, read_voc
from detic_crop.detectors.boxes_file.voc import stated_photo as stated_by_voc
from detic_crop.detectors.boxes_file.yolo import YoloFolder
from detic_crop.table_files.kinds import NUMPY, PHOTO, ZIP, Kind


def _is_coco(content: Any) -> bool:
    values = mapping(content)
    return isinstance(values.get("images"), list) and isinstance(values.get("annotations"), list)


def _is_megadetector(content: Any) -> bool:
    images = mapping(content).get("images")
    return isinstance(images, list) and (not images or any("file" in mapping(image) for image in images))


def _are_results(content: Any) -> bool:
    return isinstance(content, list) and (
        not content or any("image_id" in item or "bbox" in item for item in map(mapping, content))
    )


def _named(read: Callable[[Content], BoxesTable]) -> Callable[[Content, BoxFormat | None], BoxesTable]:
    """Return a reader of a format that says itself what each of its numbers is."""

    def read_named(content: Content, box_format: BoxFormat | None) -> BoxesTable:
        refuse_box_format(box_format)
        return read(content)

    return read_named


LABELME = PhotoFormat("labelme JSON", ".json", is_labelme, read_labelme, stated_by_labelme)
SUPERVISELY = PhotoFormat("Supervisely JSON", ".json", is_supervisely, read_supervisely)
ULTRALYTICS = PhotoFormat("ultralytics to_json", ".json", is_result, read_result)
VOC: PhotoFormat[Element] = PhotoFormat("Pascal VOC XML", ".xml", is_voc, read_voc, stated_by_voc)

WHOLE_JSON: Sequence[WholeFormat[Any]] = (
    WholeFormat("COCO data set (images, annotations)", _is_coco, coco_dataset),
    WholeFormat("MegaDetector (images with `file` and `detections`)", _is_megadetector, megadetector),
    WholeFormat("SpeciesNet (predictions with `filepath`)", is_speciesnet, speciesnet),
    WholeFormat("COCO results (a list with `image_id` and `bbox`)", _are_results, coco_results),
    WholeFormat("CreateML (a list with `image` and `annotations`)", is_createml, _named(createml)),
    WholeFormat("Label Studio JSON or JSON-MIN", is_label_studio, _named(label_studio)),
    WholeFormat("VGG Image Annotator", is_via, _named(via)),
)
PHOTO_JSON: Sequence[PhotoFormat[Any]] = (LABELME, SUPERVISELY, ULTRALYTICS)

WHOLE_XML: Sequence[WholeFormat[Element]] = (WholeFormat("CVAT for images", is_cvat, _named(cvat)),)
PHOTO_XML: Sequence[PhotoFormat[Element]] = (VOC,)

TABLES: Sequence[WholeFormat[str]] = (
    WholeFormat("VGG Image Annotator CSV", is_via_csv, _named(via_csv)),
    WholeFormat("Open Images CSV", is_open_images, _named(open_images)),
    WholeFormat("CSV with a header", lambda _: True, read_csv),
)

FOLDERS: Sequence[FolderFormat] = (YoloFolder(), *map(PhotoFiles, (VOC, *PHOTO_JSON)))

# Of files that are no text: what to do, where boxes need something else than other tables.
ADVICE: Mapping[Kind, str] = {
    ZIP: "unpack it and pass the folder; of an Excel workbook save the table as CSV",
    PHOTO: "pass the file that has the boxes",
    NUMPY: "it names no photos; save a CSV with a column `image`",
}


def _has(*keys: str) -> Callable[[Any], bool]:
    def has_keys(content: Any) -> bool:
        first = list_of(content)[0] if list_of(content) else content
        return set(keys) <= mapping(first).keys()

    return has_keys


# JSON of other tools, by keys of the whole or of the first item → what it is, and what to do.
OTHER_JSON: Sequence[tuple[Callable[[Any], bool], str]] = (
    (_has("categories", "items"), "a Datumaro project; export it as COCO"),
    (_has("data_row"), "a Labelbox export; convert it to COCO"),
    (_has("asset", "regions"), "a VoTT file of one photo; export the project as Pascal VOC"),
    (_has("assets", "tags"), "a VoTT project; export it as Pascal VOC"),
    (_has("name", "labels"), "Scalabel or BDD100K labels; convert them to COCO"),
    (
        _has("predictions", "image"),
        "Roboflow's answer for one photo, which does not name it; export the data set as COCO",
    ),
    (_has("type", "features"), "GeoJSON, whose shapes are places and no boxes"),
)

# Tables of other tools, by some of their columns, where none names the photo → what it is, and what to do.
OTHER_TABLES: Sequence[tuple[frozenset[str], str]] = (
    (
        frozenset({"name", "class", "confidence", "box"}),
        "ultralytics' to_csv of one photo; call save_txt(f'labels/{stem}.txt', save_conf=True) for each "
        "photo and pass the folder labels",
    ),
    (
        frozenset({"xmin", "ymin", "xmax", "ymax", "confidence", "class", "name"}),
        "YOLOv5's boxes of one photo; add a column `image` with the photo's name",
    ),
    (
        frozenset({"annotation_id", "lead_time"}),
        "a Label Studio CSV, whose photos and boxes are in columns that each project names differently; "
        "export it again as JSON",
    ),
    (
        frozenset({"image name", "prediction", "confidence"}),
        "YOLOv5's --save-csv, which has no boxes; pass the folder labels that --save-txt writes",
    ),
    (frozenset({"scorer"}), "DeepLabCut's keypoints, which are not boxes"),
)
