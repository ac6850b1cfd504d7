"""Ask a decoder whether a picture's data are damaged, where it has not said so by itself."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import WebPImagePlugin

from detic_crop.images.quiet import take_remark

__all__ = ["is_only_padded", "is_remarked_on", "left_over"]

_EOI = b"\xff\xd9"
_JPEG_CHEAPLY = cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_IGNORE_ORIENTATION
# Encoders end their data with up to four bytes that no decoder needs.
_WEBP_SPARE = 16


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
    if len(picture) < 8 * _WEBP_SPARE:
        return False
    kind, payload = picture[:4], picture[8:-_WEBP_SPARE]
    if len(payload) % 2:
        payload = payload[:-1]
    chunk = kind + len(payload).to_bytes(4, "little") + payload
    shorter = b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk
    try:
        WebPImagePlugin.WebPImageFile(io.BytesIO(shorter)).load()
    except (OSError, EOFError, ValueError, SyntaxError):
        return False
    return True


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
