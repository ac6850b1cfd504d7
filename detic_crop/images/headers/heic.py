"""The header of a HEIC: as much of it as tells how large the picture is."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator

from detic_crop.images.headers.header import Extent, Header
from detic_crop.images.source import Readable

_MOST_BOXES = 1 << 12
_MOST_META = 1 << 24
"""Bytes of the box that describes the pictures; real ones have some thousand."""
_MOST_BYTES = 1 << 28  # of a file that is read only for its EXIF
_FULL_BOX = 4  # bytes of version and flags


def read_heic(data: bytes) -> Header:
    """Return the file as it is: its library tells the size and turns it upright."""
    return Header("HEIC", 0, 0, data)


def read_heic_extent(data: Readable) -> Extent:
    """Return the largest size that its pictures state; 0 × 0 if none does.

    A picture is put together from tiles, and has thumbnails; which is which does not matter here.
    """
    start, end = next(_boxes(b"meta", data, 0, len(data)), (0, 0))
    meta = data[start:end] if end - start <= _MOST_META else b""
    width, height = max(_sizes(meta), key=lambda size: size[0] * size[1], default=(0, 0))
    return Extent("HEIC", width, height)


def heic_exif(data: Readable) -> Iterator[bytes]:
    """Yield the EXIF block that the library finds: without pixels, but it wants the whole file."""
    if len(data) > _MOST_BYTES:
        return
    try:
        library = importlib.import_module("pillow_heif")
        exif = library.open_heif(io.BytesIO(data[0 : len(data)])).info.get("exif")
    except Exception:  # whatever it raises for a damaged file, decoding will say so
        return
    if isinstance(exif, bytes):
        yield exif


def _sizes(meta: bytes) -> Iterator[tuple[int, int]]:
    """Yield the sizes in the properties of a meta box."""
    for properties in _boxes(b"iprp", meta, _FULL_BOX, len(meta)):
        for container in _boxes(b"ipco", meta, *properties):
            for start, end in _boxes(b"ispe", meta, *container):
                size = meta[start + _FULL_BOX : min(start + _FULL_BOX + 8, end)]
                if len(size) == 8:
                    yield int.from_bytes(size[:4], "big"), int.from_bytes(size[4:], "big")


def _boxes(wanted: bytes, data: Readable, at: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield first byte of the content and end of each box of a kind in a part of an ISO media file."""
    for _ in range(_MOST_BOXES):
        if at + 8 > end:
            return
        length, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if length == 1:
            length, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        stop = at + length if length else end
        if stop < at + head:
            return
        if kind == wanted:
            yield at + head, min(stop, end)
        at = stop
