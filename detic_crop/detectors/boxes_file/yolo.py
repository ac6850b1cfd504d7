"""YOLO: a folder of text files, one for each photo, with a line for each box (`yolo_rows`).

The folder is that of the labels, or the data set's root. Where it has folders called `labels`, only what lies
in them counts; they mirror folders called `images`. An empty file is a photo without a box; a photo without a
file is one that nobody has looked at, as far as the folder tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from detic_crop.detectors.boxes_file.drafts import Drafts
from detic_crop.detectors.boxes_file.folder import LabelFolder
from detic_crop.detectors.boxes_file.json_items import category_names
from detic_crop.detectors.boxes_file.judge import settle
from detic_crop.detectors.boxes_file.kinds import FoundLabels
from detic_crop.detectors.boxes_file.numbers import MAX_NORMALISED, check_range
from detic_crop.detectors.boxes_file.shapes import draft
from detic_crop.detectors.boxes_file.table import BoxesTable, RowError
from detic_crop.detectors.boxes_file.yolo_names import CLASS_LISTS, YoloDataset, dataset_of
from detic_crop.detectors.boxes_file.yolo_rows import is_row, layout_of, parse_line

_LISTS_OF_VOC = "imagesets"
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


class YoloFolder:
    """YOLO labels as a `FolderFormat`."""

    name = "YOLO labels (.txt)"

    def find(self, folder: LabelFolder) -> FoundLabels | None:
        texts = [file for file in folder.ending(".txt") if not _is_other(file)]
        labels = [file for file in texts if "labels" in file.lower().split("/")[:-1]] or texts
        sample = list(folder.sample(labels))
        example = next((file for file, data in sample if _has_rows(data)), "")
        if example or (sample and not any(data.strip() for _, data in sample)):
            return FoundLabels(self.name, labels, example, partial(read_yolo, folder, labels))
        return None


def _is_other(file: str) -> bool:
    """Return whether a text file comes with data sets and is not a label file."""
    *folders, name = file.lower().split("/")
    if _LISTS_OF_VOC in folders:
        return True
    return name in CLASS_LISTS or name.startswith(("readme", "requirements"))


def _has_rows(data: bytes) -> bool:
    try:
        return any(map(is_row, data.decode("utf-8-sig").splitlines()))
    except UnicodeDecodeError:
        return False


def read_yolo(folder: LabelFolder, files: Sequence[str]) -> BoxesTable:
    """Return boxes in shares of the photos' sides."""
    dataset = dataset_of(folder)
    table = BoxesTable(declared_classes=set(dataset.names.values()))
    drafts = Drafts(table, "the boxes", "xywh", normalised=True)
    rows: list[tuple[str, str, list[float]]] = []  # place, path, numbers
    lists: list[str] = []
    for file, data in folder.bytes_of(files, together=64):
        path = folder.photo_of(file)
        try:
            lines = data.decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            drafts.add_problem(file, f"expected UTF-8 text, got {error.reason}", path)
            continue
        if _is_list_of_photos(lines):
            lists.append(file)
            continue
        table.list_photo(path, "".join(lines).strip())
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    rows.append((f"{file} line {number}", path, parse_line(line)))
                except RowError as error:
                    drafts.add_problem(f"{file} line {number}", str(error), path)
    _add_boxes(drafts, rows, dataset)
    if dataset.source:
        table.notes.append(f"class names are those of {dataset.source}")
    elif len({numbers[0] for _, _, numbers in rows}) > 1:
        table.notes.append("no data.yaml, classes.txt or obj.names says what the classes are called")
    if lists:
        table.notes.append(
            f"text files that are lists of photos and no labels: {len(lists):,} (first: {lists[0]})"
        )
    return settle(drafts)


def _add_boxes(drafts: Drafts, rows: Sequence[tuple[str, str, list[float]]], dataset: YoloDataset) -> None:
    layout = layout_of((numbers for _, _, numbers in rows), dataset.keypoints)
    classes = [{"class": index} for index in sorted({int(numbers[0]) for _, _, numbers in rows})]
    name_of = category_names(dataset.names, classes, "class")
    polygons = 0
    for place, path, numbers in rows:
        try:
            edges, score, of_polygon = layout.box(numbers)
            if not of_polygon:
                check_range(numbers[1:5], MAX_NORMALISED)  # as they stand there, not as edges
            name = name_of({"class": int(numbers[0])})
        except RowError as error:
            drafts.add_problem(place, str(error), path)
        else:
            polygons += of_polygon
            drafts.add(place, path, [draft(edges, name, score)])
    if polygons:
        drafts.table.notes.append(
            f"polygons or turned boxes, taken as the upright boxes around them: {polygons:,}"
        )


def _is_list_of_photos(lines: Sequence[str]) -> bool:
    """Return whether each line is a photo's path, as in `train.txt`."""
    filled = [line.strip().lower() for line in lines if line.strip()]
    return bool(filled) and all(line.endswith(_IMAGES) for line in filled)
