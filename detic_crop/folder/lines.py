"""Lines of JSON with a checksum: a line that was changed is told from one that was written."""

from __future__ import annotations

from detic_crop.folder.typed_json import encode_sealed, is_sealed


def to_line(value: object) -> bytes:
    """Return a struct, or what JSON knows, as a sealed line: ``{"image":"a.jpg","crc":"1a2b3c4d"}``.

    Args:
        value: what is an object in JSON, of one field at least.
    """
    return encode_sealed(value) + b"\n"


class LineCheck:
    """Checks the lines of one file in their order: once one has a checksum, every later one must have one."""

    def __init__(self) -> None:
        self._required = False

    def __call__(self, line: bytes) -> None:
        """Check a line.

        Raises:
            ValueError: its checksum does not fit, or is missing.
        """
        found = is_sealed(line)
        if self._required and not found:
            raise ValueError("expected a line with a checksum")
        self._required = found
