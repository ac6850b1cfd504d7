"""The header of a TIFF."""

from __future__ import annotations

import struct

from detic_crop.errors import PhotoError
from detic_crop.images.directory import Directory, read_directory
from detic_crop.images.headers.header import CONVERT, Extent, Header, camera_raw, cut_header, damaged_header
from detic_crop.images.headers.jpeg import SOS
from detic_crop.images.orientation import valid, xmp_orientation
from detic_crop.images.source import Readable
from detic_crop.images.tiff_samples import layout_of

# What pixels depend on: size, sample layout, compression, strips and tiles, palette, JPEG tables, YCbCr.
_PIXEL_TAGS = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332}
    | {338, 339, 340, 341, 347, 512, 513, 514, 515, 519, 520, 521, 529, 530, 531, 532}
)
_SINGLE_TAGS = frozenset(
    {256, 257, 259, 262, 266, 277, 278, 284, 292, 293, 317, 322, 323, 332, 513, 514, 531}
)
_ORIENTATION = 274
_XMP = 700
_SUBFILE_TYPE = 254
_SUB_DIRECTORIES = 330
_DNG_VERSION = 50706
# Tiles are at most a few thousand pixels a side; a damaged size would make libtiff ask for gigabytes.
_MAX_TILE_PIXELS = 1 << 26
# Tiles at the edges reach beyond the picture; some writers store equal strips once.
_MOST_TILED = 4
_MOST_OVERLAP = 4
_OVERLAP_OF_ANY_SIZE = 1 << 26
_TIFF_JPEG = 7
# Four colours and two alphas is the most that Pillow takes; it logs an error for more.
_MAX_SAMPLES = 6


def read_tiff(data: bytes) -> Header:
    """Read the first page; the lean file gets a new directory at its end with only `_PIXEL_TAGS`."""
    directory, width, height = _checked(data)
    _check_tiff_work(data, directory, width, height)
    return Header(
        "TIFF",
        width,
        height,
        _lean_tiff(data, directory),
        valid(directory.number(_ORIENTATION)) or xmp_orientation(directory.bytes_of(_XMP, data)) or 1,
        truncated=_tiff_data_end(data, directory) > len(data),
    )


def read_tiff_extent(data: Readable) -> Extent:
    """Read the directory of the first page, and how its samples are stored."""
    directory, _, _ = _checked(data)
    layout = layout_of(data, directory)
    width, height = layout.block
    down = -(-layout.height // height)
    block_bytes = layout.block_bytes * height
    blocks = max(map(directory.count, (273, 279, 324, 325)))
    if not layout.is_left_to_pillow:
        return Extent(
            "TIFF",
            layout.width,
            layout.height,
            "samples",
            layout.samples * layout.bits[0] / 8,
            layout.across * width * down * height,
            block_bytes,
            blocks,
        )
    kind = "other"
    if layout.photometric in (0, 1, 2) and layout.samples == layout.colours:
        kind = "rgb" if layout.photometric == 2 else "grey"
    return Extent("TIFF", layout.width, layout.height, kind, block_bytes=block_bytes, blocks=blocks)


def _checked(data: Readable) -> tuple[Directory, int, int]:
    """Return the directory of the first page, its width and height; raise PhotoError if they are no use."""
    directory = _directory(data)
    width, height = directory.number(256), directory.number(257)
    if directory.big and directory.order == ">":
        raise PhotoError("unsupported_format", f"expected a usual TIFF, got a big-endian BigTIFF; {CONVERT}")
    if _DNG_VERSION in directory.entries or (
        directory.number(_SUBFILE_TYPE) & 1 and _SUB_DIRECTORIES in directory.entries
    ):
        # The first directory of a RAW file is a thumbnail, which must not pass for the photo.
        raise camera_raw()
    if directory.number(277, 1) > _MAX_SAMPLES:
        raise PhotoError(
            "unsupported_format",
            f"expected a grey or colour TIFF, got {directory.number(277)} samples per pixel; {CONVERT}",
        )
    if not width or not height or directory.number(322) * directory.number(323) > _MAX_TILE_PIXELS:
        raise damaged_header("TIFF")
    return directory, width, height


def _directory(data: Readable) -> Directory:
    """Return the directory of the first page."""
    try:
        directory = read_directory(data)
    except struct.error as error:
        raise cut_header("TIFF") from error
    except ValueError as error:
        raise damaged_header("TIFF") from error
    if not directory.whole:
        raise cut_header("TIFF")
    return directory


def _check_tiff_work(data: bytes, directory: Directory, width: int, height: int) -> None:
    """Refuse tiles that are mostly outside the picture, and strips or tiles that overlap.

    Each is decoded whole, so a small file could be made to take years of work.
    """
    tile_width, tile_height = directory.number(322), directory.number(323)
    if tile_width and tile_height:
        tiled = -(-width // tile_width) * -(-height // tile_height) * tile_width * tile_height
        if tiled > _MOST_TILED * width * height + _MAX_TILE_PIXELS:
            raise damaged_header("TIFF")
    lengths = directory.numbers(279, data) or directory.numbers(325, data)
    if sum(lengths) > _MOST_OVERLAP * len(data) + _OVERLAP_OF_ANY_SIZE:
        raise damaged_header("TIFF")
    starts = directory.numbers(273, data) or directory.numbers(324, data)
    if directory.number(259) == _TIFF_JPEG:
        strips = zip(starts, lengths, strict=False)
        if sum(data.count(SOS, at, at + length) for at, length in strips) > len(lengths) * _MAX_SAMPLES:
            raise damaged_header("TIFF")


def _tiff_data_end(data: bytes, directory: Directory) -> int:
    """Return where the last strip or tile ends."""
    starts = directory.numbers(273, data) or directory.numbers(324, data)
    lengths = directory.numbers(279, data) or directory.numbers(325, data)
    return max(map(sum, zip(starts, lengths, strict=False)), default=0)


def _lean_tiff(data: bytes, directory: Directory) -> bytes:
    entries = []
    outside = 0
    for tag in sorted(_PIXEL_TAGS & directory.entries.keys()):
        entry = directory.entries[tag]
        if entry.count != 1 and tag in _SINGLE_TAGS:
            continue
        # Pillow warns when the values together are larger than the file, which overlapping ones may be.
        outside += entry.size
        if outside > len(data):
            break
        entries.append(entry.raw)
    start = len(data) + len(data) % 2
    offset, count = ("Q", "Q") if directory.big else ("L", "H")
    pointer = 8 if directory.big else 4
    parts: tuple[bytes | memoryview, ...] = (
        data[:pointer],
        struct.pack(directory.order + offset, start),
        memoryview(data)[pointer + struct.calcsize(directory.order + offset) :],
        b"\0" * (start - len(data)),
        struct.pack(directory.order + count, len(entries)),
        *entries,
        struct.pack(directory.order + offset, 0),
    )
    return b"".join(parts)
