"""What a photo's bytes say about themselves, before any pixel is decoded.

Each reader finds the size, the orientation and whether the file was cut short, bounds the work that decoding
can be, and makes a *lean* file: only the parts that pixels are decoded from. Damaged or hostile metadata
(EXIF, colour profiles, text, animation tables) thus never reaches a decoder, and none has anything to remark
on but damaged pictures.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePath

from detic_crop.errors import PhotoError
from detic_crop.images.directory import Directory, read_directory
from detic_crop.images.orientation import (
    PNG_TEXTS,
    exif_orientation,
    png_text_orientation,
    valid,
    xmp_orientation,
)

HEIC_EXTENSIONS = frozenset({".heic", ".heif", ".hif", ".heics", ".heifs"})
RAW_EXTENSIONS = frozenset(
    {".3fr", ".ari", ".arw", ".bay", ".cap", ".cr2", ".cr3", ".crw", ".dcr", ".dcs", ".dng", ".erf", ".fff"}
    | {".iiq", ".k25", ".kdc", ".mdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".ptx", ".pxn"}
    | {".r3d", ".raf", ".raw", ".rw2", ".rwl", ".rwz", ".sr2", ".srf", ".srw", ".x3f"}
)

CONVERT = "convert it to JPEG or TIFF and run again"
DAMAGED = "open it in a viewer, or copy it again from its source"

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


@dataclass(frozen=True, slots=True)
class Header:
    """One photo's header.

    Attributes:
        format: ``JPEG``, ``PNG``, ``WebP``, ``TIFF``, ``BMP`` or ``HEIC``.
        width, height: in pixels as stored, before the orientation; both 0 for HEIC (its library tells).
        orientation: 1 to 8 as in EXIF; see `images.orientation`.
        truncated: the file ends before its own structure says so.
        damaged: its own checksums say that some of it is wrong.
        lean: the file to decode, without metadata.
        plain: an 8-bit grey or three-colour JPEG, which cv2 decodes exactly right.
        height_at: where in `lean` the height stands (two bytes, big-endian), of a JPEG whose rows are stored
            from top to bottom in one scan; 0 for all others.
        colour_key: 16-bit PNG only: the sample values that are transparent; such a lean file has no tRNS.
    """

    format: str
    width: int
    height: int
    lean: bytes
    orientation: int = 1
    truncated: bool = False
    damaged: bool = False
    plain: bool = False
    height_at: int = 0
    colour_key: tuple[int, ...] | None = None


def read_header(data: bytes, name: str = "") -> Header:
    """The header of a photo, judged by its content; `name` only tells camera RAW files apart.

    Raises:
        PhotoError: ``not_an_image``, ``unsupported_format``, ``truncated`` or ``unreadable``.
    """
    kind = _sniff(data)
    raw_name = PurePath(name).suffix.lower() in RAW_EXTENSIONS
    if kind == "RAW" or (raw_name and kind in ("TIFF", "")):
        raise _raw()
    if kind == "JPEG":
        return _read_jpeg(data)
    if kind == "PNG":
        return _read_png(data)
    if kind == "WebP":
        return _read_webp(data)
    if kind == "TIFF":
        return _read_tiff(data)
    if kind == "BMP":
        return _read_bmp(data)
    if kind == "HEIC":
        return Header("HEIC", 0, 0, data)
    if kind:
        raise PhotoError("unsupported_format", f"expected a photo, got a {kind} file; {CONVERT}")
    raise PhotoError(
        "not_an_image",
        "expected JPEG, PNG, WebP, TIFF, BMP or HEIC, got other content; remove it or copy it again",
    )


def _sniff(data: bytes) -> str:
    """The format's name; "RAW" for camera RAW; "" for no known image."""
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
    if data[:2] == b"BM" and len(data) >= 18 and 12 <= _u32(data, 14) <= 256:
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


# ---------------------------------------------------------------- JPEG

FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_SEQUENTIAL = frozenset({0xC0, 0xC1})  # Huffman-coded, one pass
_HEIGHT_IN_FRAME = 5  # behind the mark (2 bytes), the length (2) and the precision (1)
EOI = b"\xff\xd9"
# In entropy-coded data FF is followed by 00, by a restart mark, or by more FF.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_SOS = b"\xff\xda"
# Each scan visits the whole picture, so a few bytes are much work. Real progressive JPEGs have about ten, and
# thoroughly optimised small ones some dozens. 20 scans of 200 MP take a second or two.
_MAX_SCANS = 500
_SCANS_AT_ANY_SIZE = 64
_MAX_SCANNED_PIXELS = 4_000_000_000
_EXIF_IN_JPEG = b"Exif\0\0"
_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"


def _read_jpeg(data: bytes) -> Header:
    """Walk the segments up to the first scan, and look for the end mark behind it.

    Entropy-coded data cannot contain the end mark FF D9, so one behind the start of the scan is the
    picture's own, whatever follows it (trailing rubbish, the next picture of an MPO file); thumbnails with
    end marks of their own lie in segments before the scan.
    """
    frame: tuple[int, int, int, int] | None = None  # precision, height, width, components
    orientation = 0
    xmp = b""
    progressive = False
    sequential = False
    height_at = 0
    lean: list[bytes | memoryview] = [b"\xff\xd8"]
    for marker, start, end in _jpeg_segments(data):
        if marker in FRAMES and frame is None:
            if end - start < 6:
                break
            frame = struct.unpack_from(">BHHB", data, start)
            progressive = marker & 3 == 2
            sequential = marker in _SEQUENTIAL
            height_at = sum(map(len, lean)) + _HEIGHT_IN_FRAME
        elif marker == 0xE1 and not orientation and data.startswith(_EXIF_IN_JPEG, start):
            orientation = exif_orientation(data[start:end])
        elif marker == 0xE1 and not xmp and data.startswith(_XMP_IN_JPEG, start):
            xmp = data[start:end]
        if marker == 0xDA:
            if frame is None:
                break
            truncated = data.rfind(EOI, end) < 0
            precision, height, width, components = frame
            if precision != 8:
                raise PhotoError(
                    "unsupported_format", f"expected a JPEG of 8 bits, got one of {precision}; {CONVERT}"
                )
            one_scan = not progressive and data[start] == components
            if not one_scan:
                _check_scans(data, end, width * height, None if progressive else components)
            stop = _last_whole_segment(data, end) if truncated else len(data)
            lean += [data[start - 4 : start], _scan_header(data[start:end], sequential)]
            lean += [memoryview(data)[end:stop], EOI if truncated else b""]
            return Header(
                "JPEG",
                width,
                height,
                b"".join(lean),
                orientation or xmp_orientation(xmp) or 1,
                truncated,
                plain=components in (1, 3),
                height_at=height_at if one_scan and sequential else 0,
            )
        # Application segments are dropped, but for JFIF's and Adobe's: they tell how the colours are stored.
        if not 0xE1 <= marker <= 0xEF:
            lean.append(_usual_jfif(data[start - 4 : end]) if marker == 0xE0 else data[start - 4 : end])
        elif marker == 0xEE:
            lean.append(_usual_adobe(data[start - 4 : end]))
    raise PhotoError("unreadable", f"expected a JPEG with a picture in it, got a damaged header; {DAMAGED}")


def _check_scans(data: bytes, first: int, pixels: int, components: int | None) -> None:
    """Refuse a JPEG of more scans than a picture has.

    Args:
        data: the file.
        first: where the data of its first scan begin.
        pixels: of the picture.
        components: of a sequential one, which has a scan for each at most; None: progressive.
    """
    most = components or min(_MAX_SCANS, max(_SCANS_AT_ANY_SIZE, _MAX_SCANNED_PIXELS // max(1, pixels)))
    # What follows the picture may have scans, too: the next picture of an MPO file, a film.
    if data.count(_SOS, first) >= most and sum(1 for _ in islice(scan_headers(data, first), most)) >= most:
        kind = "JPEG" if components else f"progressive JPEG of {pixels:,} pixels"
        raise PhotoError("unreadable", f"expected a {kind} of at most {most} scans, got more; {DAMAGED}")


def scan_headers(data: bytes, at: int) -> Iterator[bytes]:
    """The headers of a JPEG's scans up to its end mark, without mark and length.

    Args:
        data: the file.
        at: where to begin: at a mark, or within the data of a scan.
    """
    while found := _JPEG_MARKER.search(data, at):
        at, marker = found.end(), found[0][1]
        if marker == 0xD9:
            return
        if marker not in _STANDALONE:
            end = at + int.from_bytes(data[at : at + 2], "big")
            if marker == 0xDA:
                yield data[at + 2 : end]
            at = end


def _scan_header(payload: bytes, sequential: bool) -> bytes:
    """That of a sequential JPEG ends with the numbers it must have: some cameras leave zeros there.

    All decoders ignore them, and libjpeg remarks on it: as on damage, which it then keeps silent about.
    """
    return payload[:-3] + b"\0\x3f\0" if sequential and len(payload) >= 6 else payload


def _usual_jfif(segment: bytes) -> bytes:
    """Without a version that libjpeg does not know and would remark on; it reads all alike."""
    if segment[4:9] == b"JFIF\0" and segment[9:10] not in (b"\1", b"\2"):
        return segment[:9] + b"\1" + segment[10:]
    return segment


def _usual_adobe(segment: bytes) -> bytes:
    """Without a colour transform that libjpeg does not know and would remark on; it takes such for YCbCr."""
    if segment[4:9] == b"Adobe" and len(segment) >= 16 and segment[15] > 2:
        return segment[:15] + b"\1" + segment[16:]
    return segment


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, first byte of the payload, end) of each segment up to the first scan's header.

    Raises:
        PhotoError: ``truncated``: the file ends inside the header.
    """
    at = 2
    while True:
        at = data.find(b"\xff", at)
        while 0 <= at < len(data) - 1 and data[at + 1] == 0xFF:
            at += 1
        if at < 0 or at + 4 > len(data):
            raise _cut_header("JPEG")
        marker = data[at + 1]
        if marker == 0 or marker in _STANDALONE:
            at += 2
            continue
        if marker == 0xD9:
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end < at + 4:
            return
        if end > len(data):
            raise _cut_header("JPEG")
        yield marker, at + 4, end
        if marker == 0xDA:
            return
        at = end


def _last_whole_segment(data: bytes, at: int) -> int:
    """Where to end a JPEG without end mark: before a table or scan header that was cut, else at the end.

    Between its scans a progressive JPEG has such segments; the decoder would wait for the rest of one.
    """
    while found := _JPEG_MARKER.search(data, at):
        at = found.start()
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if at + 4 > len(data) or end > len(data):
            return at
        at = max(end, at + 2)
    return len(data)


# ---------------------------------------------------------------- PNG


# Chunks that pixels or their orientation are read from; the others may be damaged as they like.
_PNG_USED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf"})


def _read_png(data: bytes) -> Header:
    """Walk the chunks; the lean file has all the picture data there is, and right checksums."""
    chunks: dict[bytes, bytes] = {}
    texts: list[tuple[bytes, bytes]] = []
    parts: list[bytes] = []  # chunks of picture data
    truncated = True
    damaged = False
    at = 8
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        payload = data[at + 8 : at + 8 + length]
        whole = data[at : at + 12 + length]
        right = kind not in _PNG_USED or whole == _png_chunk(kind, payload)
        if kind == b"IDAT":
            parts.append(whole if right else _png_chunk(kind, payload))
            damaged |= not right
        elif kind == b"IEND":
            truncated = False
            break
        elif len(payload) == length:
            damaged |= not right and kind not in chunks
            chunks.setdefault(kind, payload)
            if kind in PNG_TEXTS:
                texts.append((kind, payload))
        # What is no letters is no chunk: the length of the one before it is wrong.
        damaged |= not kind.isalpha()
        at += 12 + length
    head = chunks.get(b"IHDR", b"")
    if len(head) != 13:
        raise _cut_header("PNG") if truncated and len(data) < 33 else _damaged("PNG")
    if not parts:
        raise _cut_header("PNG") if truncated else _damaged("PNG")
    width, height, depth, colour = struct.unpack_from(">IIBB", head)
    lean = [data[:8], _png_chunk(b"IHDR", head)]
    if colour == 3 and not 3 <= len(chunks.get(b"PLTE", b"")) <= 768:
        raise _damaged("PNG")
    if colour == 3:
        lean.append(_png_chunk(b"PLTE", chunks[b"PLTE"]))
    key: tuple[int, ...] | None = None
    transparency = chunks.get(b"tRNS", b"")
    wanted = {0: 2, 2: 6}.get(colour, len(transparency))
    if transparency and len(transparency) == wanted and colour in (0, 2, 3):
        if depth == 16:
            key = struct.unpack(f">{wanted // 2}H", transparency)
        else:
            lean.append(_png_chunk(b"tRNS", transparency))
    lean += [*parts, _png_chunk(b"IEND", b"")]
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


def _png_chunk(kind: bytes, payload: bytes) -> bytes:
    checksum = zlib.crc32(payload, zlib.crc32(kind))
    return b"".join((len(payload).to_bytes(4, "big"), kind, payload, checksum.to_bytes(4, "big")))


# ---------------------------------------------------------------- WebP


def _read_webp(data: bytes) -> Header:
    """The canvas size, and the orientation where there is one."""
    width = height = 0
    first = data[12:16]
    try:
        if first == b"VP8X":
            width = int.from_bytes(data[24:27], "little") + 1
            height = int.from_bytes(data[27:30], "little") + 1
        elif first == b"VP8 ":
            width, height = (v & 0x3FFF for v in struct.unpack_from("<HH", data, 26))
        elif first == b"VP8L":
            bits = _u32(data, 21)
            width, height = (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    except struct.error:
        pass
    if len(data) < 30:
        raise _cut_header("WebP")
    if not width or not height:
        raise _damaged("WebP")
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        length = _u32(data, at + 4)
        if (kind := data[at : at + 4]) in (b"EXIF", b"XMP "):
            chunks.setdefault(kind, data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    orientation = exif_orientation(chunks.get(b"EXIF", b"")) or xmp_orientation(chunks.get(b"XMP ", b"")) or 1
    return Header("WebP", width, height, data, orientation, truncated=8 + _u32(data, 4) > len(data))


# ---------------------------------------------------------------- TIFF

# What pixels depend on: size, sample layout, compression, strips and tiles, palette, JPEG tables, YCbCr.
_PIXEL_TAGS = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332}
    | {338, 339, 340, 341, 347, 512, 513, 514, 515, 519, 520, 521, 529, 530, 531, 532}
)
_SINGLE_TAGS = frozenset(
    {256, 257, 259, 262, 266, 277, 278, 284, 292, 293, 317, 322, 323, 332, 513, 514, 531}
)
_ORIENTATION, _XMP = 274, 700
_SUBFILE_TYPE, _SUB_DIRECTORIES, _DNG_VERSION = 254, 330, 50706
# Tiles are at most a few thousand pixels a side; a damaged size would make libtiff ask for gigabytes.
_MAX_TILE_PIXELS = 1 << 26
# Tiles at the edges reach beyond the picture; some writers store equal strips once.
_MOST_TILED = 4
_MOST_OVERLAP = 4
_OVERLAP_OF_ANY_SIZE = 1 << 26
_TIFF_JPEG = 7
# Four colours and two alphas is the most that Pillow takes; it logs an error for more.
_MAX_SAMPLES = 6


def _read_tiff(data: bytes) -> Header:
    """The first page. The lean file gets a new directory at its end with nothing but `_PIXEL_TAGS`."""
    try:
        directory = read_directory(data)
    except struct.error as error:
        raise _cut_header("TIFF") from error
    except ValueError as error:
        raise _damaged("TIFF") from error
    if not directory.whole:
        raise _cut_header("TIFF")
    if directory.big and directory.order == ">":
        raise PhotoError("unsupported_format", f"expected a usual TIFF, got a big-endian BigTIFF; {CONVERT}")
    if _DNG_VERSION in directory.entries or (
        directory.number(_SUBFILE_TYPE) & 1 and _SUB_DIRECTORIES in directory.entries
    ):
        # The first directory of a RAW file is a thumbnail, which must not pass for the photo.
        raise _raw()
    width, height = directory.number(256), directory.number(257)
    if directory.number(277, 1) > _MAX_SAMPLES:
        raise PhotoError(
            "unsupported_format",
            f"expected a grey or colour TIFF, got {directory.number(277)} samples per pixel; {CONVERT}",
        )
    if not width or not height or directory.number(322) * directory.number(323) > _MAX_TILE_PIXELS:
        raise _damaged("TIFF")
    _check_tiff_work(data, directory, width, height)
    return Header(
        "TIFF",
        width,
        height,
        _lean_tiff(data, directory),
        valid(directory.number(_ORIENTATION)) or xmp_orientation(directory.bytes_of(_XMP, data)) or 1,
        truncated=_tiff_data_end(data, directory) > len(data),
    )


def _check_tiff_work(data: bytes, directory: Directory, width: int, height: int) -> None:
    """Refuse tiles that are mostly outside the picture, and strips or tiles that lie on each other.

    Each is decoded whole and from bytes of its own, so a small file could be made to mean years of work.
    """
    tile_width, tile_height = directory.number(322), directory.number(323)
    if tile_width and tile_height:
        tiled = -(-width // tile_width) * -(-height // tile_height) * tile_width * tile_height
        if tiled > _MOST_TILED * width * height + _MAX_TILE_PIXELS:
            raise _damaged("TIFF")
    lengths = directory.numbers(279, data) or directory.numbers(325, data)
    if sum(lengths) > _MOST_OVERLAP * len(data) + _OVERLAP_OF_ANY_SIZE:
        raise _damaged("TIFF")
    starts = directory.numbers(273, data) or directory.numbers(324, data)
    if directory.number(259) == _TIFF_JPEG:
        strips = zip(starts, lengths, strict=False)
        if sum(data.count(_SOS, at, at + length) for at, length in strips) > len(lengths) * _MAX_SAMPLES:
            raise _damaged("TIFF")


def _tiff_data_end(data: bytes, directory: Directory) -> int:
    """Where the last strip or tile ends."""
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
    parts = (
        data[:pointer],
        struct.pack(directory.order + offset, start),
        data[pointer + struct.calcsize(directory.order + offset) :],
        b"\0" * (start - len(data)),
        struct.pack(directory.order + count, len(entries)),
        *entries,
        struct.pack(directory.order + offset, 0),
    )
    return b"".join(parts)


# ---------------------------------------------------------------- BMP


_BMP_RUNS = frozenset({1, 2})  # run-length coded: how long, the header says


def _read_bmp(data: bytes) -> Header:
    """Both the old 12-byte and the newer headers; a negative height means rows from the top."""
    try:
        (offset,), (size,) = struct.unpack_from("<I", data, 10), struct.unpack_from("<I", data, 14)
        if size == 12:
            width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
            compression = 0
        else:
            width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    except struct.error as error:
        raise _cut_header("BMP") from error
    width, height = abs(width), abs(height)
    if not width or not height:
        raise _damaged("BMP")
    stored = (width * bits + 31) // 32 * 4 * height if compression in (0, 3, 6) else 0
    if compression in _BMP_RUNS:
        stored = _u32(data, 34)
    return Header("BMP", width, height, data, truncated=offset + stored > len(data))


# ---------------------------------------------------------------- shared


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _raw() -> PhotoError:
    return PhotoError("unsupported_format", f"expected a photo, got a camera RAW file; {CONVERT}")


def _cut_header(kind: str) -> PhotoError:
    return PhotoError(
        "truncated", f"expected a whole {kind}, got a file that ends inside its header; {DAMAGED}"
    )


def _damaged(kind: str) -> PhotoError:
    return PhotoError("unreadable", f"expected a {kind} photo, got a damaged header; {DAMAGED}")
