"""Put EXIF into the file of a crop, whose pixels stay as they are encoded."""

from __future__ import annotations

from detic_crop.config import Format
from detic_crop.images.headers.png import png_chunk

_EXIF_HEAD = b"Exif\0\0"
_PNG_HEAD = 33  # bytes of the signature and of the first chunk, which tells the size
_HAS_EXIF = 0x08  # a flag of WebP's extended header


def embed_exif(data: bytes, format: Format, exif: bytes, width: int, height: int) -> bytes:
    """Return the file with an EXIF block in it.

    Args:
        data: file of a picture without EXIF, as `images.encode.encode` makes it.
        format: its format.
        exif: the block, beginning with the byte order; empty for none.
        width, height: of the picture, pixels.
    """
    if not exif:
        return data
    return {"jpg": _in_jpeg, "png": _in_png, "webp": _in_webp}[format](data, exif, width, height)


def _in_jpeg(data: bytes, exif: bytes, width: int, height: int) -> bytes:
    """Add an APP1 segment (EXIF 2.32, section 4.7.2) behind JFIF's APP0; each wants to be the first."""
    at = 2
    if data[2:4] == b"\xff\xe0":
        at += 2 + int.from_bytes(data[4:6], "big")
    payload = _EXIF_HEAD + exif
    return b"".join([data[:at], b"\xff\xe1", (2 + len(payload)).to_bytes(2, "big"), payload, data[at:]])


def _in_png(data: bytes, exif: bytes, width: int, height: int) -> bytes:
    """Add an eXIf chunk (PNG, third edition, section 11.3.3.6) before the picture."""
    return data[:_PNG_HEAD] + png_chunk(b"eXIf", exif) + data[_PNG_HEAD:]


def _in_webp(data: bytes, exif: bytes, width: int, height: int) -> bytes:
    """Add an EXIF chunk at the end and the extended header that tells of it (RFC 9649, section 2.7)."""
    chunks = data[12:]
    if not chunks.startswith(b"VP8X"):
        canvas = b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
        chunks = _chunk(b"VP8X", bytes(4) + canvas) + chunks
    chunks = chunks[:8] + bytes([chunks[8] | _HAS_EXIF]) + chunks[9:] + _chunk(b"EXIF", exif)
    return b"".join([b"RIFF", (4 + len(chunks)).to_bytes(4, "little"), b"WEBP", chunks])


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return kind + len(payload).to_bytes(4, "little") + payload + b"\0" * (len(payload) % 2)
