"""Ask a decoder whether a picture's data are damaged, where it has not said so by itself."""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
from PIL import WebPImagePlugin

from detic_crop.images.directory import read_directory
from detic_crop.images.quiet import take_remark
from detic_crop.images.tiff_samples import layout_of, strips_of

__all__ = ["is_only_padded", "is_remarked_on", "is_tiff_damaged", "left_over"]

_EOI = b"\xff\xd9"
_JPEG_CHEAPLY = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
# Bytes to take away: more than encoders put at the end though no decoder needs them (libwebp: four, and two).
_WEBP_SPARE = {b"VP8 ": 16, b"VP8L": 6}
_WEBP_LEAST = 128  # bytes; less is a plain colour
_TIFF_SPARE = 1 << 16
_TIFF_JPEG, _TIFF_DEFLATE, _TIFF_JPEG_TABLES = 7, (8, 32946), 347


def is_remarked_on(jpeg: bytes) -> bool | None:
    """Whether libjpeg has something to say about a JPEG; None where nobody hears it.

    To be called within `quiet_c_stderr`. Pillow silences libjpeg, so OpenCV's is asked, at the least expense.
    """
    take_remark()
    cv2.imdecode(np.frombuffer(jpeg, np.uint8), _JPEG_CHEAPLY)
    return take_remark()


def is_only_padded(jpeg: bytes) -> bool:
    """Whether a JPEG on which libjpeg remarks is whole but for zeros between its data and the end mark.

    Some cameras fill up so. Without the right number of zeros there is nothing to remark on; the data
    themselves may end with one or two.
    """
    end = jpeg.find(_EOI, jpeg.find(b"\xff\xda"))
    zeros = end - len(jpeg[:end].rstrip(b"\0"))
    return any(
        is_remarked_on(jpeg[: end - spare] + jpeg[end:]) is False
        for spare in range(zeros, max(0, zeros - 3), -1)
    )


def left_over(webp: bytes) -> bool:
    """Whether a WebP that decodes has data left over: its decoder went astray on the way.

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
    """Whether strips or tiles of a TIFF are damaged that libtiff decodes; None where nobody can tell.

    Deflated ones end with a checksum, at which libtiff does not look; of JPEG libjpeg is asked. To be called
    within `quiet_c_stderr`.
    """
    directory = read_directory(tiff)
    layout = layout_of(tiff, directory)
    strips = strips_of(tiff, directory)
    if layout.compression in _TIFF_DEFLATE and layout.fill_order == 1:
        size = layout.block_bytes * layout.block[1]
        return any(_is_deflate_damaged(tiff[at : at + length], size) for at, length in strips)
    if layout.compression == _TIFF_JPEG:
        tables = directory.bytes_of(_TIFF_JPEG_TABLES, tiff).removesuffix(_EOI) or b"\xff\xd8"
        remarks = [is_remarked_on(tables + tiff[at + 2 : at + length]) for at, length in strips]
        return True if True in remarks else None if None in remarks else False
    return False


def _is_deflate_damaged(data: bytes, size: int) -> bool:
    """Whether a zlib stream breaks off, has another checksum, or gives far more than its strip."""
    stream = zlib.decompressobj()
    try:
        stream.decompress(data, 2 * size + _TIFF_SPARE)
    except zlib.error:
        return True
    return not stream.eof


def _webp_picture(webp: bytes) -> bytes:
    """The chunk with the (first) picture, its head included; empty where there is none."""
    at = 12
    while at + 8 <= len(webp):
        kind, length = webp[at : at + 4], int.from_bytes(webp[at + 4 : at + 8], "little")
        if kind in (b"VP8 ", b"VP8L"):
            return webp[at : at + 8 + length]
        # A frame of an animation is 16 bytes on its place and time, then chunks.
        at += 8 + 16 if kind == b"ANMF" else 8 + length + length % 2
    return b""
