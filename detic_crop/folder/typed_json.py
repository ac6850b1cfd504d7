"""JSON as the files of `.detic-crop` hold it: compact, ASCII, and of checked types when it is read."""

from __future__ import annotations

import json
from typing import TypeVar

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
    try:
        return msgspec.convert(json.loads(data, parse_constant=_refuse), decoder.type)
    except RecursionError as error:
        raise ValueError("expected fewer levels") from error


def _refuse(constant: str) -> float:
    raise ValueError(f"expected a number, got {constant}")
