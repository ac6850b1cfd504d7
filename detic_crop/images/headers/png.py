"""The header of a PNG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from detic_crop.images.headers.header import Extent, Header, cut_header, damaged_header
from detic_crop.images.orientation import (
    MOST_TEXT,
    PNG_TEXTS,
    exif_orientation,
    is_exif,
    png_profiles,
    png_text_orientation,
)
from detic_crop.images.source import Readable

# Chunks that pixels or their orientation are read from; damage in others does not matter.
_PNG_USED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf"})
# Those of a photo of 200 MP that are hard to pack, in the small chunks that libpng writes, are 150,000.
_MOST_CHUNKS = 1 << 20
_MOST_BEFORE_SIZE = 1 << 8  # the size belongs into the first chunk


def read_png_extent(data: Readable) -> Extent:
    """Walk the chunks up to the one that tells the size."""
    if len(data) < 33:  # the first chunk is not whole
        raise cut_header("PNG")
    at = 8
    for _ in range(_MOST_BEFORE_SIZE):
        if at + 8 > len(data):
            break
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"IHDR":
            head = data[at + 8 : at + 8 + length]
            if len(head) != 13:
                break
            width, height, depth, colour = struct.unpack(">IIBB", head[:10])
            if not width or not height:
                break
            return Extent("PNG", width, height, "deep" if depth == 16 and colour in (0, 2) else "")
        at += 12 + length
    raise damaged_header("PNG")


def read_png(data: bytes) -> Header:
    """Walk the chunks; the lean file has all picture data that exists, with right checksums."""
    chunks: dict[bytes, bytes] = {}
    texts: list[tuple[bytes, bytes]] = []
    parts: list[bytes | memoryview] = []  # chunks of picture data
    truncated = True
    damaged = False
    at = 8
    view = memoryview(data)  # a chunk may be as large as the file
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data):
            break
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        payload = view[at + 8 : at + 8 + length]
        right = kind not in _PNG_USED or data[at + 8 + length : at + 12 + length] == _checksum(kind, payload)
        if kind == b"IDAT":
            parts.append(view[at : at + 12 + length] if right else png_chunk(kind, payload))
            damaged |= not right
        elif kind == b"IEND":
            truncated = False
            break
        elif len(payload) == length:
            damaged |= not right and kind not in chunks
            if kind in _PNG_USED:
                chunks.setdefault(kind, bytes(payload))
            if kind in PNG_TEXTS:
                texts.append((kind, bytes(payload)))
        # A chunk's name is letters; if it is not, the length of the chunk before it is wrong.
        damaged |= not kind.isalpha()
        at += 12 + length
    head = chunks.get(b"IHDR", b"")
    if len(head) != 13:
        raise cut_header("PNG") if truncated and len(data) < 33 else damaged_header("PNG")
    if not parts:
        raise cut_header("PNG") if truncated else damaged_header("PNG")
    width, height, depth, colour = struct.unpack_from(">IIBB", head)
    lean: list[bytes | memoryview] = [data[:8], png_chunk(b"IHDR", head)]
    if not width or not height:
        raise damaged_header("PNG")
    if colour == 3 and not 3 <= len(chunks.get(b"PLTE", b"")) <= 768:
        raise damaged_header("PNG")
    if colour == 3:
        lean.append(png_chunk(b"PLTE", chunks[b"PLTE"]))
    key: tuple[int, ...] | None = None
    transparency = chunks.get(b"tRNS", b"")
    wanted = {0: 2, 2: 6}.get(colour, len(transparency))
    if transparency and len(transparency) == wanted and colour in (0, 2, 3):
        if depth == 16:
            key = struct.unpack(f">{wanted // 2}H", transparency)
        else:
            lean.append(png_chunk(b"tRNS", transparency))
    lean += [*parts, png_chunk(b"IEND", b"")]
    return Header(
        "PNG",
        width,
        height,
        b"".join(lean),
        exif_orientation(chunks.get(b"eXIf", b"")) or png_text_orientation(texts) or 1,
        truncated,
        damaged,
        colour_key=key,
    )


def png_exif(data: Readable) -> Iterator[bytes]:
    """Yield the EXIF blocks, last those in text chunks, where they were before PNG had a place for them."""
    texts: list[tuple[bytes, bytes]] = []
    at = 8
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data):
            break
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if length <= MOST_TEXT and kind == b"eXIf":
            yield data[at + 8 : at + 8 + length]
        if length <= MOST_TEXT and kind in PNG_TEXTS:
            texts.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    yield from filter(is_exif, png_profiles(texts))


def png_chunk(kind: bytes, payload: bytes | memoryview) -> bytes:
    return b"".join((len(payload).to_bytes(4, "big"), kind, payload, _checksum(kind, payload)))


def _checksum(kind: bytes, payload: bytes | memoryview) -> bytes:
    return zlib.crc32(payload, zlib.crc32(kind)).to_bytes(4, "big")
