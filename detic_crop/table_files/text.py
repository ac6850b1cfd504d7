"""The bytes of a text file → its text, as the mark at its beginning says."""

from __future__ import annotations

import codecs
import io

# The longer ones first: UTF-32's little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK = 1 << 20


def encoding_of(data: bytes) -> str:
    """Return the encoding that a text's mark states: ``utf-8-sig``, ``utf-16`` or ``utf-32``; else UTF-8."""
    return next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")


def opened(data: bytes, encoding: str, errors: str = "strict", newline: str | None = "") -> io.TextIOWrapper:
    """Return a text that is decoded while it is read; `newline` is that of `open`."""
    return io.TextIOWrapper(io.BytesIO(data), encoding, errors, newline)


def first_bad_byte(data: bytes, encoding: str) -> int | None:
    """Return the place of the first byte that is not of an encoding; None if all are. Takes no memory."""
    decoder = codecs.getincrementaldecoder(encoding)()
    for start in range(0, len(data), _CHUNK):
        waiting = len(decoder.getstate()[0])
        chunk = data[start : start + _CHUNK]
        try:
            decoder.decode(chunk, start + _CHUNK >= len(data))
        except UnicodeDecodeError as error:
            return start - waiting + error.start
    return None
