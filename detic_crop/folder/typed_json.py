"""JSON as the files of `.detic-crop` hold it: compact, ASCII, and of checked types when it is read.

An object may be sealed: its last field is then a checksum of all that stands before it. Without one a flipped
bit in a name, a number or a path would be believed.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

# Made once: json.dumps makes an encoder for each call that asks for separators.
_encode = json.JSONEncoder(separators=(",", ":")).encode


def encode(value: object) -> bytes:
    """Return a struct, or what JSON knows, as JSON; struct fields at their default may be left out."""
    # Not by msgspec's own encoder: it refuses lone surrogates, which file names that are not text become.
    return _encode(msgspec.to_builtins(value)).encode()


def decode(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return the value that JSON text stands for.

    Raises:
        ValueError: it is not JSON, or not of the decoder's type.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):
        pass  # perhaps only for a lone surrogate
    value: T = msgspec.convert(decode_any(data, parse_constant=_refuse), decoder.type)
    return value


def decode_any(data: bytes, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Return the value that JSON text of any type stands for; see `json.loads`.

    Raises:
        ValueError: it is not JSON, or goes deeper than Python does.
    """
    try:
        return json.loads(data, parse_constant=parse_constant)
    except RecursionError as error:
        raise ValueError("expected fewer levels") from error


_FIELD = b',"crc":"'
_END = b'"}'
_LENGTH = len(_FIELD) + 8 + len(_END)

SEAL = re.compile(rb',"crc":"([0-9a-f]{8})"\}\s*\Z')
"""The end of a sealed object."""


def seal(document: bytes) -> bytes:
    """Return an object of one field or more with a last one, ``crc``: the CRC-32 of what precedes it."""
    body = document[: document.rindex(b"}")]
    return body + seal_of(zlib.crc32(body))


def seal_of(crc: int) -> bytes:
    """Return the end of a sealed object of which the CRC-32 so far is known."""
    return b"%s%08x%s" % (_FIELD, crc, _END)


def is_sealed(document: bytes) -> bool:
    """Return whether an object is sealed; one that an earlier version wrote is not.

    Raises:
        ValueError: its checksum is another one: it is not as it was written.
    """
    if document[-2:] != _END:
        document = document.rstrip()
    if document[-_LENGTH : len(_FIELD) - _LENGTH] != _FIELD or document[-2:] != _END:
        return False
    if int(document[-10:-2], 16) != zlib.crc32(document[:-_LENGTH]):
        raise ValueError("expected another checksum: a part of it has changed")
    return True


def encode_sealed(value: object) -> bytes:
    """Return a struct, or what JSON knows, as a sealed object; see `encode`."""
    return seal(encode(value))


def decode_sealed(data: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return the value that an object stands for; see `decode`.

    Raises:
        ValueError: it is not JSON, not of the decoder's type, or not as it was written.
    """
    is_sealed(data)
    return decode(data, decoder)


def decode_lines(data: bytes, decoder: msgspec.json.Decoder[T], count: int) -> list[T] | None:
    """Return the values of some lines in less time than one by one; None where `decode` may have to help."""
    try:
        values = decoder.decode_lines(data)
    except (ValueError, RecursionError):
        return None
    return values if len(values) == count else None  # it passes over empty lines


def _refuse(constant: str) -> float:
    raise ValueError(f"expected a number, got {constant}")
