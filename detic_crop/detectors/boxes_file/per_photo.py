"""Folders of XML or JSON files, one for each photo."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from detic_crop.detectors.boxes_file.drafts import Drafts
from detic_crop.detectors.boxes_file.folder import LabelFolder
from detic_crop.detectors.boxes_file.judge import settle
from detic_crop.detectors.boxes_file.kinds import FoundLabels, PhotoFormat
from detic_crop.detectors.boxes_file.table import BoxesTable, RowError, clean_path
from detic_crop.detectors.boxes_file.xml_tree import parse_xml


def parse_json(data: bytes) -> Any:
    """Return JSON in UTF-8 as Python values.

    Raises:
        RowError: the data are not JSON.
    """
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise RowError(f"expected JSON, got text that cannot be read as such ({error})") from error


# labelme's JSON may have the whole photo in it.
_TOGETHER = {".xml": 64, ".json": 1}
PARSERS: dict[str, Callable[[bytes], Any]] = {".xml": parse_xml, ".json": parse_json}


@dataclass(frozen=True, slots=True)
class PhotoFiles:
    """A `PhotoFormat` as a `FolderFormat`."""

    format: PhotoFormat[Any]

    @property
    def name(self) -> str:
        return self.format.name

    def find(self, folder: LabelFolder) -> FoundLabels | None:
        """Return all files of the suffix, if one of a sample is of the format."""
        files = folder.ending(self.format.suffix)
        example = next((file for file, data in folder.sample(files) if self._is_one(data)), None)
        if example is None:
            return None
        return FoundLabels(self.name, files, example, partial(self._read, folder, files))

    def _is_one(self, data: bytes) -> bool:
        try:
            return self.format.matches(PARSERS[self.format.suffix](data))
        except RowError:
            return False

    def _read(self, folder: LabelFolder, files: Sequence[str]) -> BoxesTable:
        return read_photo_files(self.format, self._parsed(folder, files))

    def _parsed(self, folder: LabelFolder, files: Sequence[str]) -> Iterator[tuple[str, str, Any]]:
        for file, data in folder.bytes_of(files, _TOGETHER[self.format.suffix]):
            try:
                content = PARSERS[self.format.suffix](data)
            except RowError as error:
                content = error
            yield file, folder.photo_of(file), content


def read_photo_files(format: PhotoFormat[Any], files: Iterable[tuple[str, str, Any]]) -> BoxesTable:
    """Read the label file of each photo: (its name, path of the photo, its content or why it has none)."""
    table = BoxesTable()
    drafts = named_drafts(table)
    others: list[str] = []
    renamed: list[str] = []
    for file, path, content in files:
        if isinstance(content, RowError):
            drafts.add_problem(file, str(content), path)
            continue
        if not format.matches(content):
            others.append(file)
            continue
        stated = format.stated_photo(content)
        if stated and _is_other(stated, path):
            renamed.append(f"{file} says {stated}")
        format.read(drafts, file, path, content)
    if others:
        table.notes.append(
            f"{format.suffix} files that are not {format.name}: {len(others):,} (first: {others[0]})"
        )
    if renamed:
        table.notes.append(
            f"label files that state another photo than the one they are named after: {len(renamed):,} "
            f"(first: {renamed[0]}); their own names count"
        )
    return settle(drafts)


def named_drafts(table: BoxesTable) -> Drafts:
    """Return drafts for a format that defines its numbers; only pixels or shares are to be judged."""
    return Drafts(table, "the boxes", "xywh")


def _is_other(stated: str, path: str) -> bool:
    """Return whether a label file states another photo than its name does, apart from extensions."""
    name, own = (clean_path(text).rpartition("/")[2].casefold() for text in (stated, path))
    return own not in (name, name.rpartition(".")[0]) and name != own.rpartition(".")[0]
