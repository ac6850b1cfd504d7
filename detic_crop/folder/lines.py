"""Lines of JSON that end with a checksum: a line that was changed is told from one that was written."""

from __future__ import annotations

import zlib
from typing import Final

from detic_crop.folder.typed_json import encode

_FIELD = b',"crc":"'
_LENGTH: Final = len(_FIELD) + len(b'01234567"}')


def to_line(value: object) -> bytes:
    """Return a struct, or what JSON knows, as a line whose last field is the CRC-32 of what is before it.

    It stays an object of JSON: ``{"image":"a.jpg","status":"resized","crc":"1a2b3c4d"}``.

    Args:
        value: what is an object in JSON, of one field at least.
    """
    text = encode(value)[:-1]
    return text + _ending(text) + b"\n"


def has_checksum(line: bytes) -> bool:
    """Return whether a line has a checksum, which fits; lines of earlier versions have none.

    Raises:
        ValueError: it does not fit.
    """
    line = line.rstrip()
    if line[-_LENGTH : len(_FIELD) - _LENGTH] != _FIELD:
        return False
    text = line[:-_LENGTH]
    if (expected := _ending(text)) != line[-_LENGTH:]:
        raise ValueError(f"expected a line that ends with {expected.decode()}")
    return True


class LineCheck:
    """Checks the lines of one file in their order: once one has a checksum, every later one must have one."""

    def __init__(self) -> None:
        self._required = False

    def __call__(self, line: bytes) -> None:
        """Check a line.

        Raises:
            ValueError: its checksum does not fit, or is missing.
        """
        found = has_checksum(line)
        if self._required and not found:
            raise ValueError("expected a line with a checksum")
        self._required = found


def _ending(text: bytes) -> bytes:
    return b'%s%08x"}' % (_FIELD, zlib.crc32(text))
