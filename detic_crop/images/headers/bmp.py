"""The header of a BMP."""

from __future__ import annotations

import struct

from detic_crop.images.headers.header import Extent, Header, cut_header, damaged_header, u32
from detic_crop.images.source import Readable

_BMP_RUNS = frozenset({1, 2})  # run-length coded: how long, the header says


def read_bmp_extent(data: Readable) -> Extent:
    """Read the size and the bits of a pixel."""
    _, width, height, bits, _ = _head(data[:54])
    return Extent("BMP", width, height, "alpha" if bits == 32 else "")


def read_bmp(data: bytes) -> Header:
    """Read the old 12-byte or a newer header; a negative height means rows from the top."""
    offset, width, height, bits, compression = _head(data[:54])
    stored = (width * bits + 31) // 32 * 4 * height if compression in (0, 3, 6) else 0
    if compression in _BMP_RUNS:
        stored = u32(data, 34)
    return Header("BMP", width, height, data, truncated=offset + stored > len(data))


def _head(data: bytes) -> tuple[int, int, int, int, int]:
    """Return the offset of the pixels, width, height, bits of a pixel, and compression."""
    try:
        (offset,), (size,) = struct.unpack_from("<I", data, 10), struct.unpack_from("<I", data, 14)
        if size == 12:
            width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
            compression = 0
        else:
            width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    except struct.error as error:
        raise cut_header("BMP") from error
    if not width or not height:
        raise damaged_header("BMP")
    return offset, abs(width), abs(height), bits, compression
