"""Ask a decoder whether a picture's data are damaged, if it has not said so by itself."""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
from PIL import WebPImagePlugin

from detic_crop.errors import PhotoError
from detic_crop.images.directory import read_directory
from detic_crop.images.headers.jpeg import EOI, FRAMES, SOS, scan_headers
from detic_crop.images.headers.read import read_header
from detic_crop.images.quiet import take_remark
from detic_crop.images.tiff_samples import Layout, layout_of, strips_of

__all__ = ["is_only_padded", "is_remarked_on", "is_tiff_damaged", "lacks_scans", "left_over"]

_PROGRESSIVE_FRAMES = frozenset({0xC2, 0xCA})
_JPEG_CHEAPLY = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
# Bytes to take away: more than encoders put at the end though no decoder needs them (libwebp: four, and two).
_WEBP_SPARE = {b"VP8 ": 16, b"VP8L": 6}
_WEBP_LEAST = 128  # bytes; less is a plain colour
_TIFF_SPARE = 1 << 12
_TIFF_PADDING = 8  # bytes after PackBits, of writers that align strips
# Compressions of a TIFF.
_TIFF_PLAIN = 1
_TIFF_JPEG = 7
_TIFF_DEFLATE = (8, 32946)
_TIFF_PACKBITS = 32773
_TIFF_JPEG_TABLES = 347
_TIFF_YCBCR = 6


def is_remarked_on(jpeg: bytes) -> bool | None:
    """Return whether libjpeg remarks on a JPEG; None if remarks cannot be heard.

    To be called within `quiet_c_stderr`. Pillow silences libjpeg, so OpenCV's is asked, at the least expense.
    """
    take_remark()
    cv2.imdecode(np.frombuffer(jpeg, np.uint8), _JPEG_CHEAPLY)
    return take_remark()


def is_only_padded(jpeg: bytes) -> bool:
    """Return whether libjpeg remarks on a JPEG only because of zeros between its data and the end mark.

    Some cameras fill up so. Without the right number of zeros there is nothing to remark on; the data
    themselves may end with one or two.
    """
    end = jpeg.find(EOI, jpeg.find(SOS))
    zeros = end - len(jpeg[:end].rstrip(b"\0"))
    return any(
        is_remarked_on(jpeg[: end - spare] + jpeg[end:]) is False
        for spare in range(zeros, max(0, zeros - 3), -1)
    )


def lacks_scans(jpeg: bytes) -> bool:
    """Return whether a JPEG ends before its last scans; to libjpeg it is complete even if one is missing.

    A sequential one sends each component once. A progressive one's scans each send some coefficients of some
    components down to some bit; in the end all are there entirely.
    """
    at = 2
    while jpeg[at + 1] not in FRAMES:
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    progressive = jpeg[at + 1] in _PROGRESSIVE_FRAMES
    components = jpeg[at + 10 : at + 10 + 3 * jpeg[at + 9] : 3]
    missing = {component: set(range(64)) for component in components}
    for scan in scan_headers(jpeg, at):
        if not scan or len(scan) != 4 + 2 * scan[0]:
            return True
        sent = scan[1 : 1 + 2 * scan[0] : 2]
        if not progressive and len(sent) == len(components):  # nearly all; its data need not be searched
            return False
        first, last, bits = scan[1 + 2 * len(sent) :] if progressive else (0, 63, 0)
        for component in sent:
            if bits & 15 == 0:
                missing.get(component, set()).difference_update(range(first, last + 1))
    return any(missing.values())


def left_over(webp: bytes) -> bool:
    """Return whether a WebP that can be decoded has data left over, because its decoder went astray.

    libwebp fails when there is too little data, and says nothing when there is too much. Then there is still
    enough when some of the end is taken away.
    """
    picture = _webp_picture(webp)
    if len(picture) < _WEBP_LEAST:
        return False
    kind = picture[:4]
    payload = picture[8 : -_WEBP_SPARE[kind]]
    chunk = kind + len(payload).to_bytes(4, "little") + payload + b"\0" * (len(payload) % 2)
    shorter = b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk
    try:
        WebPImagePlugin.WebPImageFile(io.BytesIO(shorter)).load()
    except (OSError, EOFError, ValueError, SyntaxError):
        return False
    return True


def is_tiff_damaged(tiff: bytes) -> bool | None:
    """Return whether strips or tiles of a TIFF are damaged that libtiff decodes; None if unknown.

    Some may be missing. Deflated ones end with a checksum, at which libtiff does not look; PackBits must give
    as many bytes as there are pixels; of JPEG libjpeg is asked. To be called within `quiet_c_stderr`.
    """
    directory = read_directory(tiff)
    layout = layout_of(tiff, directory)
    strips = strips_of(tiff, directory)
    if strips and _lacks_strips(strips, layout):
        return True
    if layout.compression in _TIFF_DEFLATE and layout.fill_order == 1:
        size = layout.block_bytes * layout.block[1]
        return any(_is_deflate_damaged(tiff[at : at + length], size) for at, length in strips)
    if layout.compression == _TIFF_PACKBITS and _has_whole_rows(layout):
        return any(
            not _packs(tiff[at : at + length], layout.block_bytes * _rows_in(number, layout))
            for number, (at, length) in enumerate(strips[: _blocks_of(layout)])
        )
    if layout.compression == _TIFF_JPEG:
        tables = directory.bytes_of(_TIFF_JPEG_TABLES, tiff).removesuffix(EOI) or b"\xff\xd8"
        most = 2 * layout.block[0] * layout.block[1]  # sides may be rounded up to whole blocks
        remarks = [_is_jpeg_damaged(tables + tiff[at + 2 : at + length], most) for at, length in strips]
        return True if True in remarks else None if None in remarks else False
    return False


def _lacks_strips(strips: list[tuple[int, int]], layout: Layout) -> bool:
    """Return whether strips or tiles are missing, or hold less data than their pixels take."""
    needed = _blocks_of(layout)
    if len(strips) < needed:
        return True
    if any(not start or not length for start, length in strips[:needed]) and needed > 1:
        return True
    if layout.compression != _TIFF_PLAIN or not _has_whole_rows(layout):
        return False
    return any(
        0 < length < layout.block_bytes * _rows_in(number, layout)
        for number, (_, length) in enumerate(strips[:needed])
    )


def _blocks_of(layout: Layout) -> int:
    """Return how many strips or tiles a picture has."""
    return -(-layout.height // layout.block[1]) * layout.across * (layout.samples if layout.planes else 1)


def _has_whole_rows(layout: Layout) -> bool:
    """Return whether a row takes `block_bytes`: colours are not subsampled, samples are of one size."""
    return layout.photometric != _TIFF_YCBCR and len(set(layout.bits)) == 1


def _rows_in(number: int, layout: Layout) -> int:
    """Return the rows of a strip or tile, numbered over all planes; only a last strip may have fewer."""
    down = -(-layout.height // layout.block[1])
    is_last = number // layout.across % down == down - 1
    return layout.height - (down - 1) * layout.block[1] if is_last and not layout.tiled else layout.block[1]


def _packs(data: bytes, size: int) -> bool:
    """Return whether PackBits data expand to `size` bytes, and end soon after the last run."""
    at, end = 0, len(data)
    while size > 0 and at < end:
        length = data[at]
        if length < 128:  # so many bytes and one more, as they are
            at += length + 2
            size -= length + 1
        elif length > 128:
            at += 2
            size -= 257 - length
        else:
            at += 1
    return size == 0 and 0 <= end - at <= _TIFF_PADDING


def _is_jpeg_damaged(jpeg: bytes, most_pixels: int) -> bool | None:
    """Return what `is_remarked_on` does, for a part of a picture of at most that number of pixels."""
    try:
        header = read_header(jpeg)
    except PhotoError:
        return True
    if header.truncated or header.width * header.height > most_pixels:
        return True
    return is_remarked_on(header.lean)


def _is_deflate_damaged(data: bytes, size: int) -> bool:
    """Return whether a zlib stream breaks off, has a wrong checksum, or gives far more than its strip."""
    stream = zlib.decompressobj()
    try:
        stream.decompress(data, 2 * size + _TIFF_SPARE)
    except zlib.error:
        return True
    return not stream.eof


def _webp_picture(webp: bytes) -> bytes:
    """Return the chunk with the (first) picture, with its head; empty if there is none."""
    at = 12
    while at + 8 <= len(webp):
        kind, length = webp[at : at + 4], int.from_bytes(webp[at + 4 : at + 8], "little")
        if kind in (b"VP8 ", b"VP8L"):
            return webp[at : at + 8 + length]
        # A frame of an animation is 16 bytes on its place and time, then chunks.
        at += 8 + 16 if kind == b"ANMF" else 8 + length + length % 2
    return b""
