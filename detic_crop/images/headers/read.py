"""Read a photo's header: find its format by its content, and hand it to the reader of that format.

Each reader finds the size, the orientation and whether the file was cut short, limits the work that decoding
can take, and makes a *lean* file: only the parts that pixels are decoded from. Damaged or hostile metadata
(EXIF, colour profiles, text, animation tables) thus never reaches a decoder, and decoders have nothing to
remark on but damaged pictures.

Pillow's own readers are not used for this: they refuse photos whose unused metadata is damaged, miss
orientations in XMP, allocate a WebP's canvas before its size can be checked, and do not tell a file that was
cut short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from os.path import splitext
from typing import NamedTuple

from detic_crop.errors import PhotoError
from detic_crop.images.headers.bmp import read_bmp, read_bmp_extent
from detic_crop.images.headers.header import CONVERT, Extent, Header, camera_raw, u32
from detic_crop.images.headers.heic import heic_exif, read_heic, read_heic_extent
from detic_crop.images.headers.jpeg import jpeg_exif, read_jpeg, read_jpeg_extent
from detic_crop.images.headers.png import png_exif, read_png, read_png_extent
from detic_crop.images.headers.tiff import read_tiff, read_tiff_extent
from detic_crop.images.headers.webp import read_webp, read_webp_extent, webp_exif
from detic_crop.images.source import Readable

HEIC_EXTENSIONS = frozenset({".heic", ".heif", ".hif", ".heics", ".heifs"})
RAW_EXTENSIONS = frozenset(
    {".3fr", ".ari", ".arw", ".bay", ".cap", ".cr2", ".cr3", ".crw", ".dcr", ".dcs", ".dng", ".erf", ".fff"}
    | {".iiq", ".k25", ".kdc", ".mdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".ptx", ".pxn"}
    | {".r3d", ".raf", ".raw", ".rw2", ".rwl", ".rwz", ".sr2", ".srf", ".srw", ".x3f"}
)

_LONGEST_START = 256
"""Bytes that tell a format."""
_HEIC_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_RAW_STARTS = (
    b"FUJIFILMCCD-RAW",
    b"IIRO",
    b"IIRS",
    b"MMOR",
    b"IIU\0",
    b"FOVb",
    b"\0MRM",
    b"II\x1a\0\0\0HEAPCCDR",
)
_OTHER_STARTS = (
    (b"GIF8", "GIF"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"\0\0\1\0", "icon"),
)


class _Readers(NamedTuple):
    """What reads the headers of one format."""

    header: Callable[[bytes], Header]
    extent: Callable[[Readable], Extent]
    exif: Callable[[Readable], Iterator[Readable]]


_READERS = {
    "JPEG": _Readers(read_jpeg, read_jpeg_extent, jpeg_exif),
    "PNG": _Readers(read_png, read_png_extent, png_exif),
    "WebP": _Readers(read_webp, read_webp_extent, webp_exif),
    "TIFF": _Readers(read_tiff, read_tiff_extent, lambda data: iter((data,))),  # it is one itself
    "BMP": _Readers(read_bmp, read_bmp_extent, lambda _: iter(())),
    "HEIC": _Readers(read_heic, read_heic_extent, heic_exif),
}


def read_header(data: bytes, name: str = "") -> Header:
    """Return the header of a photo.

    Args:
        data: the file.
        name: file name; its extension only helps to recognise camera RAW.

    Raises:
        PhotoError: ``not_an_image``, ``unsupported_format``, ``truncated`` or ``unreadable``.
    """
    return _readers_of(data, name).header(data)


def read_extent(data: Readable, name: str = "") -> Extent:
    """Return how much there is to decode in a photo, from as little of it as tells; see `read_header`."""
    return _readers_of(data, name).extent(data)


def find_exif(data: Readable) -> Iterator[Readable]:
    """Yield the EXIF blocks of a photo, the likeliest first, from as little of it as holds them.

    Raises:
        PhotoError: it is no photo, or its header is damaged.
    """
    yield from _readers_of(data, "").exif(data)


def _readers_of(data: Readable, name: str) -> _Readers:
    """Return what reads headers of the photo's format; raise PhotoError if there is nothing."""
    kind = _sniff(data[:_LONGEST_START])
    has_raw_name = splitext(name)[1].lower() in RAW_EXTENSIONS  # pathlib would intern millions of names
    if kind == "RAW" or (has_raw_name and kind in ("TIFF", "")):
        raise camera_raw()
    if kind in _READERS:
        return _READERS[kind]
    if kind:
        raise PhotoError("unsupported_format", f"expected a photo, got a {kind} file; {CONVERT}")
    raise PhotoError(
        "not_an_image",
        "expected JPEG, PNG, WebP, TIFF, BMP or HEIC, got other content; remove it or copy it again",
    )


def _sniff(data: bytes) -> str:
    """Return the format's name; "RAW" for camera RAW; "" if no known image format fits."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith(_RAW_STARTS) or (data[:4] == b"II*\0" and data[8:10] == b"CR"):
        return "RAW"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if data[:2] == b"BM" and len(data) >= 18 and 12 <= u32(data, 14) <= 256:
        return "BMP"
    if data[4:8] == b"ftyp":
        return _sniff_iso_media(data)
    return next((label for start, label in _OTHER_STARTS if data.startswith(start)), "")


def _sniff_iso_media(data: bytes) -> str:
    """Tell HEIC, AVIF, Canon's RAW and films apart by the brands of the first box."""
    end = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12]} | {data[i : i + 4] for i in range(16, end, 4)}
    if data[8:11] == b"crx":
        return "RAW"
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS else "video"
