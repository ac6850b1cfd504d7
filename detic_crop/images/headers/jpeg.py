"""The header of a JPEG."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice

from detic_crop.errors import PhotoError
from detic_crop.images.headers.header import CONVERT, DAMAGED, Extent, Header, cut_header, damaged_header
from detic_crop.images.orientation import exif_orientation, xmp_orientation
from detic_crop.images.source import Readable

FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_SEQUENTIAL = frozenset({0xC0, 0xC1})  # Huffman-coded, one pass
_HEIGHT_IN_FRAME = 5  # behind the mark (2 bytes), the length (2) and the precision (1)
EOI = b"\xff\xd9"
# In entropy-coded data FF is followed by 00, by a restart mark, or by more FF.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
SOS = b"\xff\xda"
# Each scan visits the whole picture, so a few bytes are much work. Real progressive JPEGs have about ten, and
# thoroughly optimised small ones some dozens. 20 scans of 200 MP take a second or two.
_MAX_SCANS = 500
_SCANS_AT_ANY_SIZE = 64
_MAX_SCANNED_PIXELS = 4_000_000_000
# Segments before the picture, some dozens in real ones, and bytes between them that belong to none.
_MOST_SEGMENTS = 1 << 16
_MOST_RUBBISH = 1 << 20
_EXIF_IN_JPEG = b"Exif\0\0"
_XMP_IN_JPEG = b"http://ns.adobe.com/xap/1.0/\0"


def read_jpeg(data: bytes) -> Header:
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
            if not width or not height:
                raise damaged_header("JPEG")
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
        # Application segments are dropped, except JFIF's and Adobe's: they tell how the colours are stored.
        if not 0xE1 <= marker <= 0xEF:
            lean.append(_usual_jfif(data[start - 4 : end]) if marker == 0xE0 else data[start - 4 : end])
        elif marker == 0xEE:
            lean.append(_usual_adobe(data[start - 4 : end]))
    raise _no_picture()


def read_jpeg_extent(data: Readable) -> Extent:
    """Walk the segments up to the first scan, and no further."""
    frame: tuple[int, int, int, int] | None = None
    progressive = False
    for marker, start, end in _jpeg_segments(data):
        if marker in FRAMES and frame is None:
            if end - start < 6:
                break
            frame = struct.unpack(">BHHB", data[start : start + 6])
            progressive = marker & 3 == 2
        if marker == 0xDA:
            if frame is None:
                break
            _, height, width, components = frame
            if not width or not height:
                raise damaged_header("JPEG")
            kind = "four colours" if components > 3 else ""
            # What comes in several scans is kept as coefficients until the last one.
            kind = kind or ("scans" if progressive or data[start] != components else "")
            return Extent("JPEG", width, height, kind)
    raise _no_picture()


def jpeg_exif(data: Readable) -> Iterator[bytes]:
    """Yield the EXIF blocks before the picture; raise PhotoError where the header is damaged."""
    for marker, start, end in _jpeg_segments(data):
        if marker == 0xE1 and data[start : start + len(_EXIF_IN_JPEG)] == _EXIF_IN_JPEG:
            yield data[start:end]


def _no_picture() -> PhotoError:
    return PhotoError("unreadable", f"expected a JPEG with a picture in it, got a damaged header; {DAMAGED}")


def _check_scans(data: bytes, first: int, pixels: int, components: int | None) -> None:
    """Refuse a JPEG of more scans than a picture has.

    Args:
        data: the file.
        first: offset at which the data of its first scan begin.
        pixels: width × height of the picture.
        components: components of a sequential JPEG, which are the most scans it has; None if progressive.
    """
    most = components or min(_MAX_SCANS, max(_SCANS_AT_ANY_SIZE, _MAX_SCANNED_PIXELS // max(1, pixels)))
    # What follows the picture may have scans, too: the next picture of an MPO file, a film.
    if data.count(SOS, first) >= most and sum(1 for _ in islice(scan_headers(data, first), most)) >= most:
        kind = "JPEG" if components else f"progressive JPEG of {pixels:,} pixels"
        raise PhotoError("unreadable", f"expected a {kind} of at most {most} scans, got more; {DAMAGED}")


def scan_headers(data: bytes, at: int) -> Iterator[bytes]:
    """Yield the headers of a JPEG's scans up to its end mark, without mark and length.

    Args:
        data: the file.
        at: offset to begin at: a mark, or inside the data of a scan.
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
    """Return a scan header that ends with the numbers which a sequential JPEG must have there.

    Some cameras leave zeros. All decoders ignore them, but libjpeg remarks on them as on damage, and then
    does not remark on real damage.
    """
    return payload[:-3] + b"\0\x3f\0" if sequential and len(payload) >= 6 else payload


def _usual_jfif(segment: bytes) -> bytes:
    """Return the segment with a version that libjpeg knows; it reads others alike but remarks on them."""
    if segment[4:9] == b"JFIF\0" and segment[9:10] not in (b"\1", b"\2"):
        return segment[:9] + b"\1" + segment[10:]
    return segment


def _usual_adobe(segment: bytes) -> bytes:
    """Return the segment with a colour transform that libjpeg knows; it remarks on others, taken as YCbCr."""
    if segment[4:9] == b"Adobe" and len(segment) >= 16 and segment[15] > 2:
        return segment[:15] + b"\1" + segment[16:]
    return segment


def _jpeg_segments(data: Readable) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, first byte of the payload, end) of each segment up to the first scan's header.

    Raises:
        PhotoError: ``truncated``: the file ends inside the header; ``unreadable``: there is no end of it.
    """
    at, rubbish = 2, 0
    for _ in range(_MOST_SEGMENTS):
        before, at = at, _next_mark(data, at)
        rubbish += at - before
        if rubbish > _MOST_RUBBISH:
            break
        marker = data[at + 1]
        if marker == 0xD9:
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end < at + 4:
            return
        if end > len(data):
            raise cut_header("JPEG")
        yield marker, at + 4, end
        if marker == 0xDA:
            return
        at = end
    raise _no_picture()


def _next_mark(data: Readable, at: int) -> int:
    """Return where the next segment begins, at or after an offset."""
    last = at + _MOST_RUBBISH
    while at <= last:
        at = data.find(b"\xff", at, last + 1)
        if at < 0 <= len(data) - last:
            break
        if at < 0 or at + 4 > len(data):
            raise cut_header("JPEG")
        marker = data[at + 1]
        if marker != 0xFF and marker != 0 and marker not in _STANDALONE:
            return at
        at += 1 if marker == 0xFF else 2
    raise _no_picture()


def _last_whole_segment(data: bytes, at: int) -> int:
    """Return where to end a JPEG without end mark: before a segment that was cut, else at the end.

    A progressive JPEG has segments between its scans; the decoder would wait for the rest of one.
    """
    while found := _JPEG_MARKER.search(data, at):
        at = found.start()
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if at + 4 > len(data) or end > len(data):
            return at
        at = max(end, at + 2)
    return len(data)
