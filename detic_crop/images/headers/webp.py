"""The header of a WebP."""

from __future__ import annotations

import struct

from detic_crop.images.headers.header import Header, cut_header, damaged_header, u32
from detic_crop.images.orientation import exif_orientation, xmp_orientation


def read_webp(data: bytes) -> Header:
    """Read the canvas size and the orientation."""
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
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        length = u32(data, at + 4)
        if (kind := data[at : at + 4]) in (b"EXIF", b"XMP "):
            chunks.setdefault(kind, data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    orientation = exif_orientation(chunks.get(b"EXIF", b"")) or xmp_orientation(chunks.get(b"XMP ", b"")) or 1
    return Header("WebP", width, height, data, orientation, truncated=8 + u32(data, 4) > len(data))
