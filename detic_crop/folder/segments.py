"""Append-only files as a store can keep them: immutable segments, each named by the byte it begins with.

A store cannot append. What `journal.jsonl` grew by is therefore one object below ``journal/``, whole lines
only; where it ends, its size says. Two writers cannot both continue a file at one byte: the second one finds
the name taken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from detic_crop.errors import UsageError
from detic_crop.folder.inside import Inside, write_all

LARGEST = 8 << 20  # bytes, but for a single line


def segments_folder(path: Path) -> Path:
    """Return the folder of the segments of an append-only file: ``journal`` next to ``journal.jsonl``."""
    return path.with_suffix("")


def segment_name(start: int) -> str:
    """Return the name of the segment that begins at a byte."""
    return f"{start:015}.jsonl"


def continuing(sizes: Mapping[str, int], end: int, shown: str) -> list[str]:
    """Return the segments that continue a file, in order.

    Args:
        sizes: name → bytes of what lies there; other names are ignored.
        end: bytes that the file has already; segments before that are ignored.
        shown: name of the file in messages.

    Raises:
        UsageError: one is missing, or two overlap.
    """
    names = []
    for name in sorted(name for name in sizes if re.fullmatch(r"\d{15}\.jsonl", name)):
        start = int(name[:15])
        if start + sizes[name] <= end:
            continue
        if start != end:
            what = "is missing" if start > end else "is there twice"
            raise UsageError(
                "segment_missing",
                f"a part of {shown} {what}: expected one that begins at byte {end}, got {name}; "
                "bring it back, pass another --out, or begin again with --overwrite",
            )
        names.append(name)
        end += sizes[name]
    return names


def pieces(data: bytes) -> list[bytes]:
    """Return whole lines in pieces that are not larger than `LARGEST`."""
    found = []
    while len(data) > LARGEST:
        cut = data.rfind(b"\n", 0, LARGEST) + 1 or data.find(b"\n") + 1 or len(data)
        found.append(data[:cut])
        data = data[cut:]
    return [*found, data] if data else found


def is_incomplete(path: Path) -> bool:
    """Return whether the segments of a file on a disk hold more than the file itself."""
    sizes = _sizes(path)
    return bool(sizes) and max(int(name[:15]) + size for name, size in sizes.items()) > _whole_size(path)


def complete(path: Path, inside: Inside) -> None:
    """Append to a file on a disk what its segments hold beyond it; all or nothing.

    Raises:
        UsageError: they do not continue it.
        OSError: it cannot be written.
    """
    sizes = _sizes(path)
    end = _whole_size(path)
    if not (names := continuing(sizes, end, str(path))):
        return
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    inside.remove(temporary)
    try:
        with inside.create(temporary) as file:
            if end:
                write_all(file, path.read_bytes()[:end])
            for name in names:
                write_all(file, (segments_folder(path) / name).read_bytes())
        inside.replace(temporary, path)
    finally:
        inside.remove(temporary)


def _sizes(path: Path) -> dict[str, int]:
    try:
        with os.scandir(segments_folder(path)) as entries:
            return {e.name: e.stat().st_size for e in entries if re.fullmatch(r"\d{15}\.jsonl", e.name)}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _whole_size(path: Path) -> int:
    """Return the bytes of the whole lines of a file, whose last line may be torn."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - LARGEST))
            tail = file.read()
    except FileNotFoundError:
        return 0
    return end - len(tail) + tail.rfind(b"\n") + 1
