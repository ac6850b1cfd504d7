"""The header of a WebP."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from detic_crop.images.headers.header import Extent, Header, cut_header, damaged_header, u32
from detic_crop.images.orientation import exif_orientation, xmp_orientation
from detic_crop.images.source import Readable

_MOST_CHUNKS = 1 << 16


def read_webp_extent(data: Readable) -> Extent:
    """Read the canvas size, and whether there may be alpha."""
    width, height = _size(data[:32])
    # The simple lossy file has none.
    return Extent("WebP", width, height, "" if data[12:16] == b"VP8 " else "alpha")


def read_webp(data: bytes) -> Header:
    """Read the canvas size and the orientation."""
    width, height = _size(data[:32])
    chunks: dict[bytes, bytes] = {}
    for kind, start, end in _chunks(data):
        if kind in (b"EXIF", b"XMP "):
            chunks.setdefault(kind, data[start:end])
    orientation = exif_orientation(chunks.get(b"EXIF", b"")) or xmp_orientation(chunks.get(b"XMP ", b"")) or 1
    return Header("WebP", width, height, data, orientation, truncated=8 + u32(data, 4) > len(data))


def webp_exif(data: Readable) -> Iterator[bytes]:
    """Yield the EXIF blocks."""
    for kind, start, end in _chunks(data):
        if kind == b"EXIF":
            yield data[start:end]


def _chunks(data: Readable) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, first byte of the payload and its end of each chunk."""
    at = 12
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data):
            return
        length = u32(data, at + 4)
        yield data[at : at + 4], at + 8, at + 8 + length
        at += 8 + length + length % 2


def _size(data: bytes) -> tuple[int, int]:
    """Return the width and height that the first bytes of a file state."""
    width = height = 0
    first = data[12:16]
    try:
        if first == b"VP8X":
            width = int.from_bytes(data[24:27], "little") + 1
            height = int.from_bytes(data[27:30], "little") + 1
        elif first == b"VP8 ":
            width, height = (v & 0x3FFF for v in struct.unpack_from("<HH", data, 26))
        elif first == b"VP8L":
            bits = u32(data, 21)
            width, height = (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    except struct.error:
        pass
    if len(data) < 30:
        raise cut_header("WebP")
    if not width or not height:
        raise damaged_header("WebP")
    return width, height
