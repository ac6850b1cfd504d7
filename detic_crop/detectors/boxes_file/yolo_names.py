"""What a YOLO data set calls its classes, and how it lays out its rows: data.yaml, classes.txt, obj.names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from detic_crop.detectors.boxes_file.folder import LabelFolder
from detic_crop.detectors.boxes_file.json_items import list_of, mapping
from detic_crop.detectors.boxes_file.numbers import shown
from detic_crop.detectors.boxes_file.table import FormatError
from detic_crop.errors import one_line

CLASS_LISTS = ("classes.txt", "obj.names", "_darknet.labels")
_FIRST_YAMLS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_LABELS = "labels"


@dataclass(frozen=True, slots=True)
class YoloDataset:
    """
    Attributes:
        names: class index as text → name; empty where nothing names them.
        keypoints: number of keypoints and numbers for each (2 or 3), of a pose data set.
        source: file that says so.
    """

    names: dict[str, str]
    keypoints: tuple[int, int] | None = None
    source: str = ""


def dataset_of(folder: LabelFolder) -> YoloDataset:
    """Return what the folder says of its classes, or one above it when it lies within a folder `labels`.

    Raises:
        FormatError: a file of names cannot be read, or several of the same kind differ.
    """
    for at in (folder, *_above(folder)):
        found = _of_yaml(at) or _of_lists(at)
        if found is not None:
            if at is not folder:
                folder.add_other(at)
            return found
    return YoloDataset({})


def _above(folder: LabelFolder) -> Iterator[LabelFolder]:
    """Yield the two folders above the folder `labels` that this one is or lies in."""
    root = folder.root.absolute()
    for at in (root, *root.parents):
        if at.name.lower() == _LABELS:
            for above in (at.parent, at.parent.parent):
                with suppress(OSError):  # nobody asked for that folder
                    yield LabelFolder(above, deep=False)
            return


def _of_yaml(folder: LabelFolder) -> YoloDataset | None:
    files = [file for file in folder.ending(".yaml", ".yml") if "/" not in file]
    first = {name: i for i, name in enumerate(_FIRST_YAMLS)}
    for file in sorted(files, key=lambda file: (first.get(file.lower(), len(first)), file)):
        content = _yaml(folder.root / file, next(folder.sample([file]))[1])
        if isinstance(content, dict) and {"names", "kpt_shape"} & content.keys():
            _ = list(folder.bytes_of([file]))
            shape = [value for value in list_of(content.get("kpt_shape")) if isinstance(value, int)]
            keypoints = (
                (shape[0], shape[1]) if len(shape) == 2 and shape[0] >= 0 and shape[1] in (2, 3) else None
            )
            names = _names(file, content["names"]) if "names" in content else {}
            return YoloDataset(names, keypoints, file if names else "")
    return None


def _yaml(path: Path, data: bytes) -> Any:
    try:
        return yaml.load(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FormatError(
            f"expected YAML in {path.name}, got text that cannot be read as such ({one_line(error)})"
        ) from error


def _names(file: str, value: object) -> dict[str, str]:
    pairs = value.items() if isinstance(value, dict) else enumerate(list_of(value))
    names = {str(key).strip(): str(name) for key, name in pairs if isinstance(name, str | int | float)}
    if names and len(names) == len(mapping(value) or list_of(value)):
        return names
    # Not shown whole: lists within lists by YAML's aliases have no end.
    plain = not value or isinstance(value, str | int | float)
    got = shown(value) if plain else f"a {type(value).__name__} with others in it"
    raise FormatError(f"expected a list of class names in `names` of {file}, got {got}")


def _of_lists(folder: LabelFolder) -> YoloDataset | None:
    """Return the highest list of names; labelImg leaves one in each folder."""
    files = [file for file in folder.files if file.rpartition("/")[2].lower() in CLASS_LISTS]
    if not files:
        return None
    least = min(file.count("/") for file in files)
    files = [file for file in files if file.count("/") == least]
    lists = [(file, _lines(file, data)) for file, data in folder.bytes_of(files)]
    file, names = lists[0]
    for other, others in lists[1:]:
        if others != names:
            raise FormatError(
                f"expected one list of class names, got {file} and {other}, which differ; "
                "pass the folder of one of them at a time"
            )
    return YoloDataset({str(i): name for i, name in enumerate(names)}, source=file)


def _lines(file: str, data: bytes) -> list[str]:
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"expected UTF-8 text in {file}, got {error.reason}; save it as UTF-8") from error
    return [line.strip() for line in lines if line.strip()]
