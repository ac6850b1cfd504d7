"""Lines of journal.jsonl and candidates.jsonl, written as the package writes them, or compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from detic_crop.folder.lines import to_line
from detic_crop.folder.records import Record, ResumeEntry, SizeOfCrop
from detic_crop.photos.keys import STATE

Values = dict[str, Any]


def values_of(line: bytes) -> Values:
    """What a line says, without its checksum."""
    values: Values = json.loads(line)
    values.pop("crc", None)
    return values


def entry_of(record: Record) -> ResumeEntry:
    """What a resume has to know of a photo, taken from its whole record."""
    known = {name: getattr(record, name) for name in ResumeEntry.__struct_fields__}
    sizes = tuple(SizeOfCrop(animal.number, animal.crop_bytes) for animal in record.animals)
    return ResumeEntry(**known | {"animals": sizes})


def change_line(path: Path, number: int, change: Callable[[Values], object]) -> Values:
    """Change what a line says, with a checksum that fits; returns that."""
    lines = path.read_bytes().splitlines(keepends=True)
    values = values_of(lines[number])
    change(values)
    lines[number] = to_line(values)
    path.write_bytes(b"".join(lines))
    return values


def without_checksums(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files of an output folder, their lines of JSON as an earlier version without checksums wrote them.

    A span in the boxes becomes the number of its first line and the number of its lines: offsets differ.
    """
    found = dict(files)
    for name, data in files.items():
        if name.startswith(STATE) and name.endswith(".jsonl"):
            boxes = files.get(name.replace("journal.jsonl", "candidates.jsonl"), b"")
            found[name] = b"".join(_plain(line, boxes) for line in data.splitlines())
    return found


def _plain(line: bytes, boxes: bytes) -> bytes:
    values = values_of(line)
    if (span := values.get("candidates")) is not None:
        start, length = span
        values["candidates"] = boxes[:start].count(b"\n"), boxes[start : start + length].count(b"\n")
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"
